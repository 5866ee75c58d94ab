"""A run over mirrored pages from its plan to its report."""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from quire.access.records import AccessRecords
from quire.domain.changes import Selection
from quire.domain.project import Status
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations import defining
from quire.store.opening import open_store
from tests.asking import OPEN
from tests.distributions import make_wheel, wheel_name
from tests.linearizability.http import NoAnswer, NotSent
from tests.linearizability.mirrors import program, reading
from tests.linearizability.mirrors.judge import Judgement, Kind, Seen, judge
from tests.linearizability.mirrors.plan import PREFIXES, RESERVED, MirrorPlan, offered
from tests.linearizability.mirrors.program import Safeguard
from tests.linearizability.mirrors.reading import Log, MirrorReader
from tests.linearizability.mirrors.upstream import MAIN, NAMED, Lie, LyingUpstream
from tests.linearizability.runs import Findings, Rows, command, odd_rows, under_kills
from tests.linearizability.servers import Victim, quire_servers

_MAX_AGE: Final = 1
"""Seconds for which a page is fresh."""
_HOSTED: Final = ("ours-hosted", "ours-deleted", "ours-held")
_CLAIMED: Final = "ours-claimed"
_DROPPED: Final = "ours-dropped"
_COPIED: Final = "ours-copied"
_CAUGHT_UP: Final = 120.0
_ORIGIN: Final = Origin(command="judge")


@dataclass(slots=True)
class MirrorReport(Findings):
    """The findings of a run."""

    seed: int
    seconds: float
    workers: int
    pages: int = 0
    """Answers about pages that were judged."""
    files: int = 0
    """Downloads, of metadata too."""
    changes: int = 0
    """Of the upstream."""
    asked: int = 0
    """Requests to the upstream."""
    lies: int = 0
    """Its answers that were wrong, late or none."""
    kinds_of_lies: int = 0
    kills: int = 0
    private: int = 0
    """Requests of clients for private names."""
    violations: dict[str, int] = field(default_factory=dict)
    odd: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.violations and not self.odd

    def rows(self) -> Rows:
        return [
            ("seed", self.seed),
            ("seconds", round(self.seconds)),
            ("workers", self.workers),
            ("pages judged", f"{self.pages:,}"),
            ("files judged", f"{self.files:,}"),
            ("private names", f"asked for {self.private:,} times"),
            ("upstream", f"{self.changes:,} changes, {self.asked:,} requests"),
            ("its lies", f"{self.lies:,} of {self.kinds_of_lies} kinds"),
            ("kills", f"{self.kills:,}"),
            ("violations", f"{sum(self.violations.values()):,}"),
            *((f"  {number:,}", kind) for kind, number in self.violations.items()),
            *odd_rows(self.odd),
        ]


def torture_mirror(
    stores: Sequence[Path | str],
    folder: Path,
    *,
    seed: int,
    seconds: float,
    kinds: Sequence[str] = ("gunicorn",),
    workers: int = 3,
    kill_every: float = 1.0,
    processes: int = 1,
    readers: int = 4,
    large: int = 120,
    patience: float = _CAUGHT_UP,
    safeguard: Safeguard = Safeguard.NONE,
    favoured: Sequence[Lie] = (),
    ends_early: bool = False,
    tell: Callable[[str], object] = lambda _: None,
) -> MirrorReport:
    """Start an upstream and servers over the store, and judge what clients were told.

    `stores`: a directory as each of the servers mounts it, or a bucket. `kill_every`: 0.0 for never. `large`: the files
    of a large page. `patience`: seconds until all pages are the upstream's, once it changes no more. `favoured`: see
    `LyingUpstream`. `ends_early`: do not wait until all pages are the upstream's.
    """
    choose = random.Random(seed)
    projects = offered(large)
    private = _prepare(stores[0])
    with LyingUpstream(projects, private, choose, favoured) as upstream:
        flags = (
            *(*OPEN, "--upstream", upstream.url, "--upstream-hosts", NAMED, "--upstream-max-age", _MAX_AGE),
            *("--local", "acme-*"),
        )
        with quire_servers(
            kinds,
            stores,
            folder,
            workers,
            kill_every=kill_every,
            flags=flags,
            program=partial(command, program.__name__, safeguard),
        ) as servers:
            plan = MirrorPlan(
                seed=seed,
                seconds=seconds,
                servers=tuple((served.host, served.port) for served, _ in servers),
                projects=tuple(each.name for each in projects),
                private=private,
                processes=processes,
                readers=readers,
            )
            began = time.monotonic()
            victims = [victim for _, victim in servers] if kill_every else []
            log, kills = _read(plan, folder, victims, tell)
            upstream.rest()
            tell("a last look at everything")
            late = [] if ends_early else _last_look(plan, upstream, log, workers, patience)
            passed = time.monotonic() - began
    judgement = judge(upstream.history, log.reads)
    _judge_requests(upstream, private, log, judgement)
    for path in late:
        judgement.convict(Kind.LATE, path)
    wrong = {lie: number for lie, number in upstream.lies.items() if lie != "nothing"}
    return MirrorReport(
        seed=seed,
        seconds=passed,
        workers=workers * len(kinds),
        pages=log.counts["page"],
        files=log.counts["file"] + log.counts["metadata"] + log.counts["no file"],
        changes=upstream.changes,
        asked=len(upstream.asked),
        lies=sum(wrong.values()),
        kinds_of_lies=len(wrong),
        kills=kills,
        private=log.counts["private"],
        violations={str(kind): number for kind, number in judgement.violations.items()},
        odd=dict(log.odd.most_common(10)),
        counts=dict(log.counts) | {str(lie): number for lie, number in wrong.items()},
        examples=judgement.examples,
    )


def _read(plan: MirrorPlan, folder: Path, victims: Sequence[Victim], tell: Callable[[str], object]) -> tuple[Log, int]:
    """Let the clients read while workers are killed: their log, and the number of kills."""
    paths = [folder / f"readers-{number}" for number in range(plan.processes)]
    arguments = [(plan, number, path) for number, path in enumerate(paths, 1)]
    kills = under_kills(reading.read_all, arguments, plan, victims, tell)
    log = Log()
    for path in paths:
        log.merge(pickle.loads(path.read_bytes()))
    return log, kills


def _last_look(plan: MirrorPlan, upstream: LyingUpstream, log: Log, workers: int, patience: float) -> list[str]:
    """Ask every server for every page until they are the upstream's; those that never are."""
    late = []
    expected = {name: states[-1].shown for name, states in upstream.history.items()}
    deadline = time.monotonic() + patience
    for at, server in enumerate(plan.servers):
        only = replace(plan, servers=(server,))
        for project in plan.projects:
            for prefix in PREFIXES:
                last = partial(_last, only, project, prefix, log, 10_000 + at)
                while last() != [Seen(expected[project])] * 2:
                    if time.monotonic() > deadline:
                        late.append(f"{prefix}/simple/{project}/ of server {at}")
                        break
                    time.sleep(0.2)
        for _ in range(2 * workers):  # each a connection of its own, so probably each worker
            for project in plan.projects:
                _last(only, project, "", log, 10_000 + at)
    return late


def _last(plan: MirrorPlan, project: str, prefix: str, log: Log, client: int) -> list[Seen]:
    """The pages of a project for a new client, in both forms."""
    reader, before = MirrorReader(plan, client, log), len(log.reads)
    with suppress(NoAnswer, NotSent):  # of a worker that was killed last
        for is_json in (True, False):
            reader.page(project, prefix, is_json=is_json)
        reader.files(project)
    reader.close()
    return [read.observation for read in log.reads[before:] if isinstance(read.observation, Seen)]


def _judge_requests(upstream: LyingUpstream, private: Sequence[str], log: Log, judgement: Judgement) -> None:
    """The requests to the upstream, and the pages that clients compared."""
    names = {name.replace("-", "") for name in private}
    for asked in upstream.asked:
        plain = asked.path.lower().replace("-", "").replace("_", "").replace(".", "")
        if any(name in plain for name in names):
            judgement.convict(Kind.PRIVATE, asked.path)
        if asked.host not in {MAIN, NAMED}:
            judgement.convict(Kind.HOST, f"{asked.path} from {asked.host}")
        if asked.host != MAIN and asked.has_login:
            judgement.convict(Kind.LOGIN, f"{asked.path} from {asked.host}")
    for each in log.disagreements:
        judgement.convict(Kind.ETAG, each)


def _prepare(store: Path | str) -> tuple[str, ...]:
    """Make what is private in the store, and an index before its first one; the names that are private."""
    if isinstance(store, Path):
        store.mkdir(parents=True, exist_ok=True)
    opened = open_store(str(store))
    access, index = AccessRecords(opened), Index(opened)
    for name in _HOSTED:
        filename = wheel_name(name, "1.0")
        staging = opened.blobs.stage(upload_key(filename))
        staging.write(make_wheel(name, "1.0"))
        index.publish([examine(staging.finish(), filename)])
    index.delete("ours-deleted", Selection())
    index.set_status("ours-held", Status.QUARANTINED)
    defining.set_index(access, "main", {"claim": [_CLAIMED]}, default="main", origin=_ORIGIN)
    defining.create_index(access, "team", {"behind": ["main"]}, default="main", origin=_ORIGIN)
    if not isinstance(store, Path):
        return (*_HOSTED, _CLAIMED, *RESERVED)
    (store / wheel_name(_DROPPED, "1.0")).write_bytes(make_wheel(_DROPPED, "1.0"))
    (store / f".{wheel_name(_COPIED, '1.0')}.Xy12Zz").write_bytes(b"half")
    return (*_HOSTED, _CLAIMED, *RESERVED, _DROPPED, _COPIED)
