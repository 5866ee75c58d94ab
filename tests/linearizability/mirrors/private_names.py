"""Names that are private at a mirror, asked for through all workers by every door while workers are killed: not one
request for them may reach the upstream, which has them all.

Some names are private all the time. In each round others become private while clients ask for them: by a claim, by a
first upload, by the promotion of a stage. Until that is acknowledged the upstream may be asked for them; from then on
not. Names that are reserved are never asked for, also while they are uploaded and promoted.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from quire.operations import defining, promoting
from quire.operations.advisories import update_advisories
from quire.process.progress import Progress
from quire.store.contracts import Store
from quire.store.opening import open_store
from tests.asking import OPEN, content_type, multipart, twine_form
from tests.bucket.proxy import ProxyProcess
from tests.distributions import make_wheel, wheel_name
from tests.linearizability.http import Answer, Connection, NoAnswer, NotSent
from tests.linearizability.mirrors import program
from tests.linearizability.mirrors.private_doors import Request, request_for
from tests.linearizability.mirrors.program import Safeguard
from tests.linearizability.runs import command
from tests.linearizability.servers import Killer, Victim, quire_servers
from tests.serving import Served, until
from tests.upstreams import FakeIndex, serving_index

_ALL: Final = ("", "/front", "/stage")
"""The prefixes of the index at the root, of one before it, and of a stage before it."""
_CONTROL: Final = "control"
"""A name that is not private."""
_ORIGIN: Final = Origin(command="judge")
_EXPECTED: Final = frozenset({200, 301, 302, 303, 404})
_LEAST: Final = 20
"""Requests of each client, however busy the machine is."""
_QUIET: Final = 1.0
"""Seconds without a request to the upstream, after which nothing is under way."""
_ACCEPT: Final = (
    b"Accept: text/html\r\n",
    b"Accept: application/vnd.pypi.simple.v1+json\r\n",
    b"Accept: application/vnd.pypi.simple.v1+json\r\nAccept-Encoding: gzip\r\nUser-Agent: uv/0.9\r\n",
)


@dataclass
class Findings:
    """Of one run."""

    requests: int = 0
    """Of clients, that were answered."""
    kills: int = 0
    faults: int = 0
    """Requests to the bucket that failed on the way."""
    controls: list[int] = field(default_factory=list)
    """Of each round, the requests to the upstream for a name that is not private: it can be asked."""
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
    rounds: int = 1,
    faults: float = 0.0,
    safeguard: Safeguard = Safeguard.NONE,
) -> Findings:
    """Start a server with three workers over the store, and ask. `seconds`: of each part; there is one more than
    rounds. `faults`: of a thousand requests of the workers to the bucket, that many fail on the way or are late."""
    private = _prepare(store, folder)
    findings, choose = Findings(), random.Random(seed)
    with serving_index() as upstream, _faulty(faults, seed, findings) as proxy:
        for name in (*private, _CONTROL):
            upstream.has(name, {wheel_name(name, "9.0"): make_wheel(name, "9.0")})
        with _served(store, folder, upstream, kill_every, safeguard, proxy) as (served, victim):
            asking = _Asking((served.host, served.port), findings, choose, may_fail=bool(faults))
            judged = _Judged(upstream, dict.fromkeys(private, 0))
            with Killer([victim], random.Random(seed)) as killer:
                asking.ask_all({**private, _CONTROL: _ALL}, seconds)
                findings.controls.append(judged.controls(asking))
                for number in range(rounds):
                    later = _Later(number, open_store(str(store)), upstream)
                    judged.begin(later.reserved, 0)
                    asking.together([partial(later.become_private, asking)], {**later.names, _CONTROL: _ALL})
                    _wait_until_quiet(upstream)
                    judged.begin(later.names, len(upstream.paths))
                    private |= later.names
                    asking.ask_all(later.names, seconds / 2)  # while workers live that knew them as the upstream's
                    asking.ask_all({**private, _CONTROL: _ALL}, seconds / 2)
                    findings.controls.append(judged.controls(asking))
                _wait_until_quiet(upstream)
            findings.kills, findings.leaked = killer.kills, judged.leaked()
    return findings


@contextmanager
def _served(
    store: Path | str, folder: Path, upstream: FakeIndex, kill_every: float, safeguard: Safeguard, proxy: str | None
) -> Iterator[tuple[Served, Victim]]:
    flags = (*OPEN, "--upstream", upstream.url, "--upstream-max-age", 0, "--local", "acme-*")
    with quire_servers(
        ("gunicorn",),
        [store],
        folder,
        3,
        kill_every=kill_every,
        flags=flags,
        program=partial(command, program.__name__, safeguard),
        variables={} if proxy is None else {"AWS_ENDPOINT_URL": proxy},
    ) as servers:
        yield servers[0]


@contextmanager
def _faulty(faults: float, seed: int, findings: Findings) -> Iterator[str | None]:
    """The URL of a proxy before the bucket that fails; None for none."""
    if not faults:
        yield None
        return
    proxy = ProxyProcess(faults, seed)
    try:
        yield proxy.url
        findings.faults = sum(proxy.counts()[1].values())
    finally:
        proxy.stop()


class _Judged:
    """The requests for names at the upstream, from when they are private."""

    def __init__(self, upstream: FakeIndex, begun: Mapping[str, int]) -> None:
        self._upstream = upstream
        self._begun = dict(begun)
        self._controls = 0

    def begin(self, names: Sequence[str] | Mapping[str, object], number: int) -> None:
        """From its request of this number on the upstream must not be asked for them, if not from an earlier one on."""
        for name in names:
            self._begun.setdefault(name, number)

    def controls(self, asking: _Asking) -> int:
        """The requests for the control since the last call; one more is made."""
        asking.ask_all({_CONTROL: ("",)}, 0.0)
        before, self._controls = self._controls, sum(_CONTROL in path for path in self._upstream.paths)
        return self._controls - before

    def leaked(self) -> Counter[str]:
        paths = self._upstream.paths
        return Counter(
            path for name, begun in self._begun.items() for path in paths[begun:] if _plain(name) in _plain(path)
        )


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


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

    def __init__(self, server: tuple[str, int], findings: Findings, choose: random.Random, *, may_fail: bool) -> None:
        """`may_fail`: whether the store fails at times, which clients are told."""
        self._server = server
        self._findings = findings
        self._choose = choose
        self._expected = _EXPECTED | ({503} if may_fail else set())

    def ask_all(self, names: Mapping[str, Sequence[str]], seconds: float) -> None:
        """Four clients ask for so long, for names and below their prefixes, by doors that they choose."""
        ends = time.monotonic() + seconds
        self._run([self._client(names, lambda: time.monotonic() > ends) for _ in range(4)])

    def together(self, changes: Sequence[Callable[[], object]], names: Mapping[str, Sequence[str]]) -> None:
        """Three clients ask while the changes are made."""
        over = threading.Event()

        def change() -> None:
            try:
                for each in changes:
                    each()
            finally:
                over.set()

        self._run([change, *(self._client(names, over.is_set) for _ in range(3))])

    def upload(self, name: str) -> None:
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
            if status not in {200, 503}:  # 403: the upstream was asked for it, and has it
                self._findings.odd[f"upload of {name}: {status}"] += 1
            return status in {200, 403}

        until(is_uploaded)

    def _client(self, names: Mapping[str, Sequence[str]], is_over: Callable[[], bool]) -> Callable[[], None]:
        return partial(self._ask, names, is_over, random.Random(self._choose.random()))

    def _ask(self, names: Mapping[str, Sequence[str]], is_over: Callable[[], bool], choose: random.Random) -> None:
        connection, known = Connection(*self._server), tuple(names)
        asked = 0
        while not is_over() or asked < _LEAST:
            asked += 1
            name = choose.choice(known)
            request = request_for(name, choose.choice(names[name]), choose)
            try:
                answer = _sent(connection, request, choose.choice(_ACCEPT))
            except (NoAnswer, NotSent):
                connection.close()
                continue
            self._findings.requests += 1
            is_expected = answer.status in self._expected or (
                answer.status == 503 and request.door.startswith("/search")  # its catalog cannot be used just now
            )
            if not is_expected and name != _CONTROL:
                self._findings.odd[f"{request.door} of {name}: {answer.status}"] += 1
            if choose.random() < 0.1:
                connection.close()
        connection.close()

    @staticmethod
    def _run(jobs: Sequence[Callable[[], object]]) -> None:
        threads = [threading.Thread(target=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _sent(connection: Connection, request: Request, accept: bytes) -> Answer:
    if request.body:
        return connection.post(request.path, request.content_type, request.body)
    return connection.get(request.path, b"" if request.door.startswith("/integrity/") else accept)


class _Later:
    """The names that become private in one round."""

    def __init__(self, number: int, store: Store, upstream: FakeIndex) -> None:
        self._store = store
        self._uploaded = (f"uploaded-later-{number}", f"acme-uploaded-{number}")
        self._promoted = (f"promoted-later-{number}", f"acme-promoted-{number}")
        self._claimed = f"claimed-later-{number}"
        self.names = dict.fromkeys((*self._uploaded, *self._promoted, self._claimed), _ALL)
        self.reserved = [name for name in self.names if name.startswith("acme-")]
        """Private from the beginning."""
        for name in self.names:
            if name != self._uploaded[0]:  # else its upload would be refused
                upstream.has(name, {wheel_name(name, "9.0"): make_wheel(name, "9.0")})
        for name in self._promoted:
            _publish(Index(store, "stage"), name)

    def become_private(self, asking: _Asking) -> None:
        """Claim one that the upstream has, upload two, and promote two from the stage in one step.

        The claim comes first: a changed definition makes workers forget what they know of names.
        """
        access = AccessRecords(self._store)
        defining.set_index(access, "main", {"claim": [self._claimed]}, default="main", origin=_ORIGIN)
        for name in self._uploaded:
            asking.upload(name)
        stage = Index(self._store, "stage")
        projects = {name: project for name in self._promoted if (project := stage.project(name)) is not None}
        promoting.promote(stage, projects, promoting.Target(Index(self._store)), origin=_ORIGIN)


def _publish(index: Index, name: str) -> None:
    filename = wheel_name(name, "1.0")
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(make_wheel(name, "1.0"))
    index.publish([examine(staging.finish(), filename)])


def _prepare(store: Path | str, folder: Path) -> dict[str, tuple[str, ...]]:
    """Make what is private in the store, and an advisory; the names, with the prefixes below which they are."""
    if isinstance(store, Path):
        store.mkdir(parents=True, exist_ok=True)
    opened = open_store(str(store))
    access, main, behind = AccessRecords(opened), Index(opened), Index(opened, "behind")
    ours, theirs = ("ours-hosted", "ours-deleted", "ours-held"), ("ours-behind", "ours-emptied")
    for name in (*ours, *theirs):
        _publish(main if name in ours else behind, name)
    main.delete("ours-deleted", Selection())
    behind.delete("ours-emptied", Selection())
    main.set_status("ours-held", Status.QUARANTINED)
    for name, settings in (
        ("behind", {"claim": ["ours-claimed-behind"]}),
        ("front", {"behind": ["main"], "claim": ["ours-claimed-front"]}),
        ("stage", {"in_front_of": "main"}),
    ):
        defining.create_index(access, name, settings, default="main", origin=_ORIGIN)
    _publish(Index(opened, "stage"), "ours-staged")
    affected = [{"package": {"ecosystem": "PyPI", "name": "ours-hosted"}, "versions": ["1.0"]}]
    advisory = {"id": "MAL-1", "modified": "2026-01-01T00:00:00Z", "affected": affected}
    (folder / "advisory.json").write_text(json.dumps(advisory))
    update_advisories(opened, access, str(folder / "advisory.json"), "osv", origin=_ORIGIN, progress=Progress())
    granted = {"name": "ourspace", "owners": ["group:platform"], "with_existing": False}
    changes = {"behind": ["behind"], "claim": ["ours-claimed", "ours-pattern-*"], "grant_namespace": granted}
    defining.set_index(access, "main", changes, default="main", origin=_ORIGIN)
    everywhere = (*ours, *theirs, "ours-claimed-behind", "ours-claimed", "ours-pattern-x", "acme-reserved")
    names: dict[str, tuple[str, ...]] = dict.fromkeys((*everywhere, "ourspace-tools"), _ALL)
    names |= {"ours-claimed-front": ("/front",), "ours-staged": ("/stage",)}
    if isinstance(store, Path):
        (store / wheel_name("ours-dropped", "1.0")).write_bytes(make_wheel("ours-dropped", "1.0"))
        (store / f".{wheel_name('ours-copied', '1.0')}.Xy12Zz").write_bytes(b"half")
        (store / "sub").mkdir()
        (store / "sub" / "ours-partial-1.0.tar.gz.part").write_bytes(b"half")
        names |= dict.fromkeys(("ours-dropped", "ours-copied", "ours-partial"), _ALL)
    return names
