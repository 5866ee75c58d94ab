"""A run over promotions from its plan to its report."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.operations import defining
from quire.store.opening import open_store
from tests.asking import OPEN
from tests.linearizability.checker import check
from tests.linearizability.http import NoAnswer, NotSent
from tests.linearizability.promotions import clients, program
from tests.linearizability.promotions.clients import PromotionReader, Record
from tests.linearizability.promotions.plan import HAND_STAGES, STAGES, PromotionPlan
from tests.linearizability.promotions.program import Safeguard
from tests.linearizability.runs import Findings, Rows, command, odd_rows, under_kills
from tests.linearizability.servers import Victim, quire_servers
from tests.linearizability.torture import in_words

_ORIGIN: Final = Origin(command="judge")
_SHOWN: Final = 3
_LAST_LOOKS: Final = 3


@dataclass(slots=True)
class PromotionReport(Findings):
    """The findings of a run."""

    seed: int
    seconds: float
    promoted: int = 0
    """Promotions that were acknowledged."""
    refused: int = 0
    """Since another promotion of one of the projects was under way, or took too long."""
    unknown: int = 0
    removed: int = 0
    reads: int = 0
    """Pages, lists and files that were judged."""
    workers_killed: int = 0
    hands_killed: int = 0
    violations: int = 0
    undecided: int = 0
    odd: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.violations or self.undecided or self.odd)

    def rows(self) -> Rows:
        return [
            ("seed", self.seed),
            ("seconds", round(self.seconds)),
            (
                "promotions",
                f"{self.promoted:,} ({self.refused:,} refused, {self.unknown:,} changes of unknown outcome)",
            ),
            ("deletions", f"{self.removed:,}"),
            ("reads judged", f"{self.reads:,}"),
            ("kills", f"{self.workers_killed:,} of workers, {self.hands_killed:,} of promoting processes"),
            ("violations", f"{self.violations:,}"),
            ("undecided", f"{self.undecided:,}"),
            *odd_rows(self.odd),
        ]


def torture_promotions(
    stores: Sequence[Path | str],
    folder: Path,
    *,
    seed: int,
    seconds: float,
    kinds: Sequence[str] = ("gunicorn",),
    workers: int = 3,
    kill_every: float = 1.0,
    readers: int = 4,
    pause: float = 0.05,
    doubt: float = 3.0,
    safeguard: Safeguard = Safeguard.NONE,
    tell: Callable[[str], object] = lambda _: None,
) -> PromotionReport:
    """Start servers over the store, promote stages, and judge what clients were told.

    `stores`: a directory as each of the servers mounts it, or a bucket. `kill_every`: 0.0 for never.
    """
    if isinstance(stores[0], Path):
        stores[0].mkdir(parents=True, exist_ok=True)
    access = AccessRecords(open_store(str(stores[0])))
    for stage in (*STAGES, *HAND_STAGES):
        defining.create_index(access, stage, {"in_front_of": "main"}, default="main", origin=_ORIGIN)
    began = time.monotonic()
    with quire_servers(
        kinds,
        stores,
        folder,
        workers,
        kill_every=kill_every,
        flags=(*OPEN, "--no-drop-in"),
        program=partial(command, program.__name__, safeguard),
    ) as servers:
        plan = PromotionPlan(
            seed=seed,
            seconds=seconds,
            servers=tuple((served.host, served.port) for served, _ in servers),
            stores=tuple(map(str, stores)),
            readers=readers,
            pause=pause,
            kill_hands=bool(kill_every),
            doubt=doubt,
        )
        victims = [victim for _, victim in servers] if kill_every else []
        record, kills = _work(plan, folder, victims, tell)
        tell("a last look at everything")
        _last_look(plan, record)
    tell(f"judging {len(record.history):,} operations")
    verdict = check(record.history)
    counts = record.counts
    return PromotionReport(
        seed=seed,
        seconds=time.monotonic() - began,
        promoted=counts["promoted"],
        refused=counts["refused"],
        unknown=counts["unknown"],
        removed=counts["removed"],
        reads=counts["page"] + counts["list"] + counts["file"],
        workers_killed=kills,
        hands_killed=counts["hands killed"],
        violations=len(verdict.violations),
        undecided=verdict.undecided,
        odd=dict(record.odd.most_common(10)),
        examples=[in_words("the index", each) for each in verdict.violations[:_SHOWN]],
    )


def _work(
    plan: PromotionPlan, folder: Path, victims: Sequence[Victim], tell: Callable[[str], object]
) -> tuple[Record, int]:
    """Let the clients work while workers are killed: their record, and the number of kills."""
    path = folder / "clients"
    kills = under_kills(clients.work, [(plan, path)], plan, victims, tell)
    record: Record = pickle.loads(path.read_bytes())
    return record, kills


def _last_look(plan: PromotionPlan, record: Record) -> None:
    """Ask for every page once more, when nothing changes any more: what is lost then stays lost."""
    for each in range(_LAST_LOOKS):
        for is_json in (True, False):
            reader = PromotionReader(plan, 900 + each, record)
            with suppress(NoAnswer, NotSent):  # of a worker that was killed last
                for project in plan.projects:
                    reader.page(project, is_json=is_json)
            reader.close()
