"""Names that are private at a mirror, asked for through all workers by every door while workers are killed: not one
request for them may reach the upstream, which has them all.

First come the names that are private all the time. Then others become private: by a claim, and by a first upload that
runs while clients ask for the name. Until that is acknowledged the upstream may be asked for them; from then on not.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from quire.store.contracts import Store
from quire.store.opening import open_store
from tests.asking import OPEN, content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.linearizability.http import Connection, NoAnswer, NotSent
from tests.linearizability.mirrors import program
from tests.linearizability.mirrors.program import Safeguard
from tests.linearizability.runs import command
from tests.linearizability.servers import Killer, quire_servers
from tests.serving import until
from tests.upstreams import FakeIndex, serving_index

DOORS: Final = (
    *("/simple/{}/", "/simple/{}", "/{}", "/{}/", "/pypi/{}/json", "/{}/json", "/packages/{}/x/{}-1.0.tar.gz"),
    *("/packages/{}-1.0-py3-none-any.whl", "/packages/{}-1.0-py3-none-any.whl.metadata"),
    "/simple/{}/?format=application/vnd.pypi.simple.v1%2Bjson",
)
"""Every address that leads to a project by its name."""
_PREFIXES: Final = ("", "/front")
"""Of the index at the root, and of one before it."""
_ORIGIN: Final = Origin(command="judge")
_CLAIMED_LATER: Final = "claimed-later"
_UPLOADED_LATER: Final = "uploaded-later"
_RESERVED_UPLOAD: Final = "acme-uploaded"
_LEAST: Final = 20
"""Requests of each client, however busy the machine is."""
_QUIET: Final = 1.0
"""Seconds without a request to the upstream, after which nothing is under way."""


@dataclass
class Findings:
    """Of one run."""

    requests: int = 0
    """Of clients, that were answered."""
    kills: int = 0
    controls: int = 0
    """Requests to the upstream for a name that is not private: it can be asked."""
    leaked: Counter[str] = field(default_factory=Counter)
    """Requests to the upstream for private names, by path."""
    odd: Counter[str] = field(default_factory=Counter)


def ask_for_private_names(
    store: Path | str,
    folder: Path,
    *,
    seed: int,
    seconds: float,
    kill_every: float,
    safeguard: Safeguard = Safeguard.NONE,
) -> Findings:
    """Start a server with three workers over the store, and ask. `seconds`: of each of the two parts."""
    private = _prepare(store)
    names = (*private, _CLAIMED_LATER, _UPLOADED_LATER, _RESERVED_UPLOAD)
    findings = Findings()
    with serving_index() as upstream:
        for name in (*names, "control"):
            if name != _UPLOADED_LATER:  # else its upload would be refused
                upstream.has(name, {wheel_name(name, "9.0"): make_wheel(name, "9.0")})
        flags = (*OPEN, "--upstream", upstream.url, "--upstream-max-age", 0, "--local", "acme-*")
        with quire_servers(
            ("gunicorn",),
            [store],
            folder,
            3,
            kill_every=kill_every,
            flags=flags,
            program=partial(command, program.__name__, safeguard),
        ) as servers:
            served, victim = servers[0]
            asking = _Asking((served.host, served.port), findings, random.Random(seed))
            with Killer([victim], random.Random(seed)) as killer:
                asking.ask_all((*private, _RESERVED_UPLOAD, "control"), seconds)
                asking.ask_all(("control",), 0.5)
                findings.controls = len(_about(upstream, ("control",), 0))
                _count(findings, upstream, (*private, _RESERVED_UPLOAD), 0)
                asking.become_private(open_store(str(store)))
                _wait_until_quiet(upstream)
                begun = len(upstream.paths)
                _count(findings, upstream, (_RESERVED_UPLOAD,), 0)
                asking.ask_all(names, seconds)
                _wait_until_quiet(upstream)
                _count(findings, upstream, names, begun)
            findings.kills = killer.kills
    return findings


def _about(upstream: FakeIndex, names: Sequence[str], begin: int) -> list[str]:
    plain = {_plain(name) for name in names}
    return [path for path in upstream.paths[begin:] if any(name in _plain(path) for name in plain)]


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _count(findings: Findings, upstream: FakeIndex, names: Sequence[str], begin: int) -> None:
    findings.leaked.update(_about(upstream, names, begin))


def _wait_until_quiet(upstream: FakeIndex) -> None:
    """Wait until no worker asks the upstream any more."""
    known, since = -1, time.monotonic()

    def is_quiet() -> bool:
        nonlocal known, since
        if known != len(upstream.paths):
            known, since = len(upstream.paths), time.monotonic()
        return time.monotonic() - since > _QUIET

    until(is_quiet)


class _Asking:
    """The clients."""

    def __init__(self, server: tuple[str, int], findings: Findings, choose: random.Random) -> None:
        self._server = server
        self._findings = findings
        self._choose = choose

    def ask_all(self, names: Sequence[str], seconds: float) -> None:
        """Four clients ask by every door, at least once each by chance alone, for so long."""
        ends = time.monotonic() + seconds
        self._together([lambda: self._ask(names, lambda: time.monotonic() > ends)] * 4)

    def become_private(self, store: Store) -> None:
        """Upload two new names while clients ask for them, and claim another one that the upstream has."""
        names, over = (_UPLOADED_LATER, _RESERVED_UPLOAD, _CLAIMED_LATER), threading.Event()

        def change() -> None:
            try:
                for name in (_UPLOADED_LATER, _RESERVED_UPLOAD):
                    self._upload(name)
                defining.set_index(
                    AccessRecords(store), "main", {"claim": [_CLAIMED_LATER]}, default="main", origin=_ORIGIN
                )
            finally:
                over.set()

        self._together([change, *[lambda: self._ask(names, over.is_set)] * 3])

    def _ask(self, names: Sequence[str], is_over: Callable[[], bool]) -> None:
        choose = random.Random(self._choose.random())
        connection = Connection(*self._server)
        asked = 0
        while not is_over() or asked < _LEAST:
            asked += 1
            name, door, prefix = choose.choice(names), choose.choice(DOORS), choose.choice(_PREFIXES)
            spelling = choose.choice((name, name, name.title(), name.replace("-", "_"), name.replace("-", ".")))
            try:
                answer = connection.get(f"{prefix}{door.format(spelling, spelling)}", b"Accept: text/html\r\n")
            except (NoAnswer, NotSent):
                connection.close()
                continue
            self._findings.requests += 1
            if answer.status not in {200, 301, 302, 303, 404} and name != "control":
                self._findings.odd[f"{door} of {name}: {answer.status}"] += 1
            if choose.random() < 0.1:
                connection.close()
        connection.close()

    def _upload(self, name: str) -> None:
        """Until it is acknowledged: its worker may be killed meanwhile."""
        filename = wheel_name(name, "1.0")
        body = multipart(twine_form(filename, make_wheel(name, "1.0"), name=name, version="1.0"))

        def is_uploaded() -> bool:
            connection = Connection(*self._server)
            try:
                status = connection.post("/", content_type(), body).status
            except (NoAnswer, NotSent):
                return False
            finally:
                connection.close()
            if status == 403:  # the upstream was asked for it, and has it
                self._findings.odd[f"upload of {name}: 403"] += 1
            return status in {200, 403}

        until(is_uploaded)

    @staticmethod
    def _together(jobs: Sequence[Callable[[], object]]) -> None:
        threads = [threading.Thread(target=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _prepare(store: Path | str) -> tuple[str, ...]:
    """Make what is private in the store; the names."""
    if isinstance(store, Path):
        store.mkdir(parents=True, exist_ok=True)
    opened = open_store(str(store))
    access, main, behind = AccessRecords(opened), Index(opened), Index(opened, "behind")
    ours, theirs = ("ours-hosted", "ours-deleted", "ours-held"), ("ours-behind", "ours-emptied")
    for name in (*ours, *theirs):
        index = main if name in ours else behind
        filename = wheel_name(name, "1.0")
        staging = opened.blobs.stage(upload_key(filename))
        staging.write(make_wheel(name, "1.0"))
        index.publish([examine(staging.finish(), filename)])
    main.delete("ours-deleted", Selection())
    behind.delete("ours-emptied", Selection())
    main.set_status("ours-held", Status.QUARANTINED)
    for name, settings in (
        ("behind", {"claim": ["ours-claimed-behind"]}),
        ("front", {"behind": ["main"], "claim": ["ours-claimed-front"]}),
    ):
        defining.create_index(access, name, settings, default="main", origin=_ORIGIN)
    changes = {"behind": ["behind"], "claim": ["ours-claimed", "ours-pattern-*"]}
    defining.set_index(access, "main", changes, default="main", origin=_ORIGIN)
    names = (*ours, *theirs, "ours-claimed-behind", "ours-claimed", "ours-pattern-x", "acme-reserved")
    if not isinstance(store, Path):
        return names
    (store / wheel_name("ours-dropped", "1.0")).write_bytes(make_wheel("ours-dropped", "1.0"))
    (store / f".{wheel_name('ours-copied', '1.0')}.Xy12Zz").write_bytes(b"half")
    (store / "sub").mkdir()
    (store / "sub" / "ours-partial-1.0.tar.gz.part").write_bytes(b"half")
    return (*names, "ours-dropped", "ours-copied", "ours-partial")
