"""Promotions: no order of the steps of promoters, other workers and readers shows a part of one.

Replaced here: the records of a store in memory by such whose operations wait until they are chosen.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quire.catalog.hosted import Hosted
from quire.domain.changes import Selection, publish
from quire.domain.errors import ChangedMeanwhile, FileExists, OutcomeUnknown, ProjectClosed, QuotaExceeded
from quire.domain.names import parse_filename
from quire.domain.project import File, Status
from quire.domain.promotions import JOURNAL, Promotion, State
from quire.domain.quotas import Quotas
from quire.index.audit.entries import Origin, entries_of
from quire.index.commits import stored_project
from quire.index.index import Index
from quire.index.promoting import ABANDONED_SECONDS, REMEMBERED_SECONDS, Part, Promoter
from quire.operations.changing import only_of
from quire.operations.checking import Check
from quire.operations.checking.references import named_blobs
from quire.operations.importing.stores import StoreImporter
from quire.store.faults import Fault, Faults
from quire.store.memory import MemoryState, MemoryStore
from quire.store.posix.store import PosixStore
from tests.distributions import wheel_name
from tests.index.interleaving import Actor, Run, explore
from tests.index.promotion_model import Broken
from tests.index.promotion_model import explore as explore_model
from tests.index.test_index import staged_wheel

MOST = int(os.environ.get("QUIRE_TEST_ORDERS", "25")) or None
"""Orders of a kind; 0: all of them, as `make test-names` has it."""


def a_file(name: str, version: str) -> File:
    filename = wheel_name(name, version)
    digest = hashlib.sha256(filename.encode()).hexdigest()
    return File(
        filename=filename,
        version=version,
        size=10,
        hashes={"sha256": digest},
        blob=f"{parse_filename(filename).project}/{digest}-00000000",
    )


def parts(*names: str, version: str = "2.0") -> list[Part]:
    return [Part(name=name, files=[a_file(name, version)]) for name in names]


def add(index: Index, name: str, version: str) -> None:
    """As an upload does, without bytes."""
    Promoter(index).promote("elsewhere", parts(name, version=version))


def with_acme() -> MemoryState:
    store = MemoryStore()
    add(Index(store), "acme", "1.0")
    return store.state


def truth(state: MemoryState) -> dict[str, frozenset[str]]:
    """The files that are shown, by project, as the documents say."""
    documents = {
        key.rpartition("/")[2]: json.loads(data)
        for key, (_, data) in state.revisions.items()
        if data is not None and key.startswith("main/projects/")
    }
    journal = documents.pop(JOURNAL, {"promotions": {}})["promotions"]
    shown = {}
    for name, document in documents.items():
        files = set(document["files"])
        pending = document.get("pending")
        if pending is not None and journal.get(pending["promotion"], {}).get("state") == "committed":
            files |= set(pending["files"])
        if files:
            shown[name] = frozenset(files)
    return shown


def has_new(shown: Any) -> set[bool]:
    return {any("2.0" in each for each in shown.get(name, ())) for name in ("acme", "beta")}


def judge(seen: list[object]) -> None:
    """Both projects have the new file, or neither; it stays."""
    before = False
    for shown in seen:
        both = has_new(shown)
        assert len(both) == 1, shown
        assert not before or both == {True}, "it was shown, and is not any more"
        before = both == {True}


def promoter(store: MemoryStore) -> None:
    """OutcomeUnknown: while it wrote the commit, its entry was aborted and forgotten."""
    try:
        Promoter(Index(store)).promote("pr-1", parts("acme", "beta"))
    except (ChangedMeanwhile, OutcomeUnknown):
        return


def other_worker(store: MemoryStore) -> None:
    """A worker to which every promotion is old."""
    Promoter(Index(store), now=lambda: datetime.now(UTC) + timedelta(seconds=ABANDONED_SECONDS)).recover()


def late_worker(store: MemoryStore) -> None:
    """One to which they are so old that the journal need not remember them any more."""
    Promoter(Index(store), now=lambda: datetime.now(UTC) + timedelta(seconds=REMEMBERED_SECONDS)).recover()


def uploader(store: MemoryStore) -> None:
    """Changes one of the projects meanwhile, in a way that fits beside the promotion."""
    Index(store).yank("acme", Selection(version="1.0"))


class Reader:
    """Reads a project twice, the second time with what it knows from the first; and the list of names so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers: list[tuple[int, int, object]] = []
        self.steps = 0
        """How many steps were made so far in the run, by all actors."""

    def __call__(self, store: MemoryStore) -> None:
        hosted, known = Hosted(Index(store)), None
        for _ in range(2):
            begun = self.steps
            known = hosted.project(self.name, known)
            found = frozenset(known.project.files) if known.project is not None else frozenset()
            self.answers.append((begun, self.steps, found))


class NamesReader(Reader):
    """The same for the list of names."""

    def __call__(self, store: MemoryStore) -> None:
        hosted, known = Hosted(Index(store)), None
        for _ in range(2):
            begun = self.steps
            known = hosted.names(known)
            self.answers.append((begun, self.steps, known.names))


def test_no_order_of_steps_breaks_the_protocol() -> None:
    """The model of the protocol, whole."""
    count, way = explore_model()
    assert not way
    assert count > 500


@pytest.mark.parametrize("broken", [Broken.FENCE, Broken.GC, Broken.REREAD])
def test_each_safeguard_of_the_protocol_is_needed(broken: Broken) -> None:
    """Without it there is an order of steps that shows a part, or takes back what was shown."""
    _, way = explore_model(broken)
    assert way[-1].is_wrong


@pytest.mark.parametrize("other", [other_worker, late_worker])
def test_no_order_of_steps_shows_a_part(other: Actor) -> None:
    """The real code: a promoter, and a worker that thinks it is dead, at any of its steps."""
    ended = explore(with_acme, lambda: {"promoter": promoter, "other": other}, truth, judge, most=MOST)
    assert ended > 20


@pytest.mark.parametrize("kind", [Reader, NamesReader])
@pytest.mark.parametrize("other", [other_worker, uploader])
def test_each_answer_was_true_at_some_moment(kind: type[Reader], other: Actor) -> None:
    """A reader with a memory, beside a promoter and another worker: what it answers was so while it asked."""
    reader = kind("acme")

    def actors() -> Mapping[str, Actor]:
        reader.answers, reader.steps = [], 0
        return {"promoter": promoter, "other": other, "reader": reader}

    def observe(state: MemoryState) -> object:
        reader.steps += 1
        return truth(state)

    def is_true(seen: list[object]) -> None:
        judge(seen)
        for begun, ended, found in reader.answers:
            then: list[Any] = seen[max(0, begun - 1) : ended + 1]
            possible = [
                tuple(sorted(shown)) if kind is NamesReader else shown.get("acme", frozenset()) for shown in then
            ]
            assert found in possible, (found, possible)

    ended = explore(with_acme, actors, observe, is_true, most=MOST)
    assert ended > 20


def is_clean(state: MemoryState) -> bool:
    """Whether nothing is left of any promotion."""
    documents = [data for _, data in state.revisions.values() if data is not None]
    return not any(b'"pending"' in data or b'"promotions"' in data for data in documents)


def test_any_worker_ends_the_promotion_of_a_killed_one() -> None:
    """Killed before each of its steps: all is published or nothing, and nothing is left of the promotion."""
    published, steps = set(), 0
    while True:
        run = Run(with_acme, {"promoter": promoter})
        for _ in range(steps):
            run.step("promoter")
        is_whole = not run.ready
        run.end()
        shown = truth(run.state)
        late_worker(MemoryStore(run.state))
        assert truth(run.state) == shown
        both = has_new(shown)
        assert len(both) == 1
        assert is_clean(run.state)
        assert Index(MemoryStore(run.state)).names() == (("acme", "beta") if both == {True} else ("acme",))
        published |= both
        steps += 1
        if is_whole:
            break
    assert published == {True, False}
    assert steps > 15


def at_preparation(state: MemoryState) -> Index:
    """An index in which a promoter was killed when it had prepared both projects."""
    run = Run(lambda: state, {"promoter": promoter})
    while b'"pending"' not in (state.revisions.get("main/projects/beta", (0, None))[1] or b""):
        run.step("promoter")
    run.end()
    return Index(MemoryStore(state))


def test_pending_files_reserve_their_names_and_show_nothing() -> None:
    """Other changes are made beside them; one that would not fit is refused in a sentence."""
    index = at_preparation(with_acme())
    assert index.names() == ("acme",)
    assert index.project("beta") is None
    other = File(**{**vars_of(a_file("acme", "2.0")), "hashes": {"sha256": "0" * 64}})
    with pytest.raises(FileExists, match=r"acme-2\.0-py3-none-any\.whl already exists in a promotion"):
        add_file(index, "acme", other)
    same_purpose = File(**{**vars_of(other), "filename": wheel_name("acme", "2.0.0"), "version": "2.0.0"})
    with pytest.raises(FileExists, match=r"Release 2\.0 gets acme-2\.0-py3-none-any\.whl by a promotion"):
        add_file(index, "acme", same_purpose)
    with pytest.raises(ProjectClosed, match="A promotion of beta is under way"):
        add_file(index, "beta", a_file("beta", "1.0"))
    with pytest.raises(ProjectClosed, match="A promotion of acme is under way"):
        index.delete("acme", Selection(), to_trash=False)
    with pytest.raises(ProjectClosed, match="A promotion of acme is under way"):
        index.set_status("acme", Status.ARCHIVED, None)
    wheel = staged_wheel(index.store, "acme", "3.0")
    with pytest.raises(QuotaExceeded, match="has used 80 %"):  # 10 bytes that are listed, and 10 that are pending
        index.publish([wheel], quotas=Quotas(project=25))
    add_file(index, "acme", a_file("acme", "1.1"))
    late_worker(MemoryStore(index.store.state))  # type: ignore[attr-defined]
    assert truth(index.store.state) == {  # type: ignore[attr-defined]
        "acme": frozenset({wheel_name("acme", "1.0"), wheel_name("acme", "1.1")})
    }
    add_file(index, "acme", other)
    assert index.deleted("acme") == {}


def test_other_work_meanwhile_sees_what_readers_see() -> None:
    """A copy of the store, a check of it, the collection of garbage, and a change of what a client has seen."""
    state = with_acme()
    index = at_preparation(state)
    copy = Index(MemoryStore())
    seen = index.project("acme")
    StoreImporter(index, copy, jobs=1).run()
    assert copy.names() == ()  # there are no bytes to copy here; and no project that has nothing but pending files
    assert truth(copy.store.state) == {}  # type: ignore[attr-defined]
    references = named_blobs([index], "beta")
    assert {key.rpartition("/")[2] for key in references} == {wheel_name("beta", "2.0")}
    only_of(seen)(stored_project(index.store.records.read(index.key("acme"))))
    codes = {each.code for each in Check(index.store, lambda: [index]).run().findings}
    assert "record-name" not in codes
    assert "damaged-record" not in codes


def vars_of(file: File) -> dict[str, Any]:
    return {name: getattr(file, name) for name in File.__struct_fields__}


def add_file(index: Index, name: str, file: File) -> None:
    index.amend(name, lambda project: publish(project, name, [file]))


def test_a_refusal_of_one_project_publishes_none() -> None:
    """The other one is as it was, and can be published to at once."""
    state = with_acme()
    index = Index(MemoryStore(state))
    other = File(**{**vars_of(a_file("acme", "1.0")), "hashes": {"sha256": "0" * 64}})
    with pytest.raises(FileExists):
        Promoter(index).promote("pr-1", [*parts("beta"), Part(name="acme", files=[other])])
    assert truth(state) == truth(with_acme())
    assert is_clean(state)
    add_file(index, "beta", a_file("beta", "1.0"))


def test_all_projects_together_fit_into_the_quota() -> None:
    """The index has 10 bytes; each project would fit, both do not."""
    state = with_acme()
    index = Index(MemoryStore(state))
    index.usage.follow()
    Hosted(index).count()
    with pytest.raises(QuotaExceeded):
        Promoter(index).promote("pr-1", parts("acme", "beta"), quotas=Quotas(index=25))
    assert has_new(truth(state)) == {False}
    Promoter(index).promote("pr-1", parts("acme", "beta"), quotas=Quotas(index=30))
    assert index.usage.known is not None
    assert index.usage.known.bytes == 30


def test_a_promotion_without_a_readable_origin_is_folded() -> None:
    """Nothing is known of its promoter then."""
    index = at_preparation(with_acme())
    ((identity, found),) = index.commits.journal.promotions().items()
    damaged = Promotion(
        state=State.COMMITTED, source=found.source, projects=found.projects, begun=found.begun, origin={"user": 1}
    )
    index.commits.journal.change(lambda _: {identity: damaged})
    Promoter(index).recover()
    assert index.names() == ("acme", "beta")
    entry = entries_of(index.store.records.read(index.key("beta")))[-1]
    assert (entry["action"], entry.get("user"), entry["promoted_from"]) == ("publish", None, found.source)


def test_the_log_says_whose_promotion_it_was() -> None:
    """Also where another worker has folded it."""
    state = with_acme()
    index = Index(MemoryStore(state))
    origin = Origin(user="alice", address="192.0.2.1")
    guarded: list[str | None] = []
    part = Part(
        name="acme",
        files=[a_file("acme", "2.0")],
        guard=lambda project: guarded.append(project.name if project is not None else None),
    )
    Promoter(index).promote(
        "pr-1", [part, Part(name="beta", files=[a_file("beta", "2.0")], owner="user:alice")], origin=origin
    )
    assert guarded
    for name in ("acme", "beta"):
        entry = entries_of(index.store.records.read(index.key(name)))[-1]
        assert entry["action"] == "publish"
        assert (entry["user"], entry["promoted_from"]) == ("alice", "pr-1")
        assert [each["filename"] for each in entry["files"]] == [wheel_name(name, "2.0")]
    beta = index.project("beta")
    assert beta is not None
    assert beta.owners == ("user:alice",)


@pytest.mark.parametrize("fault", [Fault.UNKNOWN_AFTER, Fault.UNKNOWN_BEFORE, Fault.CONFLICT])
def test_a_write_of_unknown_outcome_publishes_all_or_nothing(fault: Fault) -> None:
    """At each write of a promotion."""
    for skip in range(7):
        state, faults = with_acme(), Faults()
        faults.next("write", fault, skip=skip)
        expected = True
        try:
            Promoter(Index(MemoryStore(state, faults))).promote("pr-1", parts("acme", "beta"))
        except OutcomeUnknown:
            expected = False
        late_worker(MemoryStore(state))
        assert has_new(truth(state)) == {expected}
        assert is_clean(state)
        index = Index(MemoryStore(state))
        assert len(entries_of(index.store.records.read(index.key("acme")))) == 1 + expected
        assert len(faults.happened) == 1


def test_a_preparation_that_arrives_after_its_abort_is_known() -> None:
    """The journal still has its promotion, so it shows nothing, and is removed."""
    state, faults = with_acme(), Faults()
    faults.next("write", Fault.UNKNOWN_BEFORE, skip=2)
    with pytest.raises(OutcomeUnknown):
        Promoter(Index(MemoryStore(state, faults))).promote("pr-1", parts("acme", "beta"))
    [entry] = Index(MemoryStore(state)).commits.journal.promotions().values()
    assert entry.state == "aborted"
    late_worker(MemoryStore(state))
    assert is_clean(state)


class _Mortal:
    """The records of a store, for a process that is killed before one of their operations."""

    def __init__(self, records: Any, steps: int) -> None:
        self._records, self._left = records, steps

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._records, name)

        def step(*arguments: Any, **more: Any) -> Any:
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
            return operation(*arguments, **more)

        return step


class _MortalStore:
    def __init__(self, store: PosixStore, steps: int) -> None:
        self._store, self.records = store, _Mortal(store.records, steps)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def promoted_by_a_mortal(root: Path, version: str, steps: int) -> bool:
    """Promote in a process of its own; whether it lived to the end."""
    process = os.fork()
    if not process:
        status = 1
        try:
            store: Any = _MortalStore(PosixStore.open(root), steps)
            Promoter(Index(store)).promote("pr-1", parts("acme", "beta", version=version))
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(process, 0)
    assert os.WIFSIGNALED(ended) or os.WEXITSTATUS(ended) == 0, ended
    return not os.WIFSIGNALED(ended)


def test_processes_on_a_volume_are_killed_at_each_operation(tmp_path: Path) -> None:
    """Real ones, on a real directory: readers with a memory, of each project and of the names, see all or nothing."""
    index = Index(PosixStore.open(tmp_path))
    add(index, "acme", "1.0")
    hosted, known, names, shown, lived = Hosted(index), dict[str, Any](), None, set[str](), False
    hour = timedelta(seconds=REMEMBERED_SECONDS)
    for steps in range(60):
        version = f"2.{steps}"
        lived = promoted_by_a_mortal(tmp_path, version, steps)
        for _ in ("before another worker goes on", "after it"):
            for _ in range(2):
                found = []
                for name in ("acme", "beta"):
                    known[name] = hosted.project(name, known.get(name))
                    project = known[name].project
                    files = project.files if project is not None else {}
                    found.append({file.version for file in files.values() if file.version != "1.0"})
                assert found[0] == found[1]
                assert shown <= found[0]
                shown = found[0]
                names = hosted.names(names)
                assert names.names == (("acme", "beta") if shown else ("acme",))
            Promoter(index, now=lambda: datetime.now(UTC) + hour).recover()
        assert not lived or version in shown
        assert index.commits.journal.promotions() == {}
        if lived:
            break
    assert lived
    assert 1 < len(shown) < steps
