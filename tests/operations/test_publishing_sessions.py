"""Publishing sessions on the store: races in every order of steps, and workers that die at any step.

Replaced here: the records of a store in memory by such whose operations wait until they are chosen.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from quire.access.publishing_sessions import SessionExists
from quire.access.records import AccessRecords
from quire.domain import publishing_sessions as documents
from quire.domain.changes import Selection
from quire.domain.errors import FileExists, NameReserved, NotFound, ProjectClosed, SessionConflict, StoreError
from quire.domain.indexes import IndexDefinition
from quire.domain.publishing_sessions import FileStatus, OpenSession, PublishingSession, SessionFile, Status
from quire.domain.webhooks import Webhook
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations import promoting
from quire.operations.promoting import Target
from quire.operations.publishing_sessions import KEPT, LIFETIME, LONGEST, Sessions, is_published
from quire.operations.session_files import remove_staged
from quire.store.contracts import Store
from quire.store.faults import Fault, Faults, Operation
from quire.store.memory import MemoryState, MemoryStore
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore
from tests.distributions import wheel_name
from tests.index.interleaving import explore
from tests.index.test_index import staged_wheel

MOST = int(os.environ.get("QUIRE_TEST_ORDERS", "12")) or None
"""Orders of a kind; 0: all of them."""
ORIGIN = Origin(user="ann")
ALPHA = OpenSession(project="alpha", version="1.0", by="user:ann", is_first=True)
NAME = wheel_name("alpha", "1.0")


def sessions_of(store: Store, after: timedelta = timedelta()) -> Sessions:
    """The sessions of a store, as a worker has them whose clock is later by `after`."""
    return Sessions(store, AccessRecords(store), "main", lambda: datetime.now(UTC) + after)


def filled(store: Store, opened: OpenSession = ALPHA) -> str:
    """A session with one completed file."""
    sessions = sessions_of(store)
    token, _ = sessions.create("main", opened, ORIGIN)
    upload = staged_wheel(store, opened.project, opened.version, variant="session")
    Index(store, token).publish([upload])
    file = SessionFile(filename=upload.parsed.filename, size=1, hashes={}, sha256=upload.staged.digests.sha256)
    file = msgspec.structs.replace(file, status=FileStatus.COMPLETED)
    sessions.change(token, lambda found: documents.with_file(found, "0", file))
    return token


def definition_of(store: Store, token: str) -> IndexDefinition | None:
    return AccessRecords(store).read().state.document.indexes.get(token)


def read(store: Store, token: str) -> PublishingSession:
    session = sessions_of(store).read(token)
    assert session is not None
    return session


def publish(store: Store, token: str, after: timedelta = timedelta()) -> PublishingSession:
    definition = definition_of(store, token)
    assert definition is not None
    return sessions_of(store, after).publish(token, definition, Target(Index(store)), ORIGIN)


def settled(store: Store, token: str, after: timedelta = timedelta()) -> PublishingSession:
    sessions = sessions_of(store, after)
    session = sessions.read(token)
    assert session is not None
    return sessions.settled(token, session, definition_of(store, token), Index(store), ORIGIN)


COPYING, LATE = timedelta(seconds=120), timedelta(seconds=560)
"""For so long the files are copied; so long after that another worker is asked for the status. Then the publication is
older than any ought to be, and its promotion is not."""


class Observed(NamedTuple):
    """The session and the index after a step."""

    status: Status
    sha256: str | None
    """Of the file in the index."""


class Race:
    """Actors that work on one session at the same time."""

    def __init__(self) -> None:
        store = MemoryStore()
        self.token = filled(store)
        session = sessions_of(store).read(self.token)
        assert session is not None
        self.sha256 = str(session.files["0"].sha256)
        self.state = store.state

    def publisher(self, store: MemoryStore) -> None:
        try:
            publish(store, self.token)
        except (SessionConflict, FileExists, ProjectClosed, AssertionError):
            return

    def canceler(self, store: MemoryStore) -> None:
        try:
            sessions_of(store).cancel(self.token, definition_of(store, self.token), ORIGIN)
        except SessionConflict:
            return

    def uploader(self, store: MemoryStore) -> None:
        """A legacy upload of the filename with other content."""
        try:
            Index(store).publish([staged_wheel(store, "alpha", "1.0", variant="legacy")])
        except (FileExists, ProjectClosed):
            return

    def reader(self, store: MemoryStore) -> None:
        """A request of which all that was interrupted is settled."""
        settled(store, self.token)

    def late(self, store: MemoryStore) -> None:
        """As `reader`, of a worker by which the publication ought to have ended, and its promotion not."""
        settled(store, self.token, LATE)

    def slow(self, store: MemoryStore) -> None:
        """As `publisher`, where the session was begun some time before the promotion is."""
        try:
            publish(store, self.token, -COPYING)
        except (SessionConflict, AssertionError):
            return

    def observe(self, state: MemoryState) -> Observed:
        store = MemoryStore(state)
        session = sessions_of(store).read(self.token)
        project = Index(store).project("alpha")
        assert session is not None
        return Observed(session.status, None if project is None else project.files[NAME].sha256)

    def judge(self, seen: list[object]) -> None:
        """A shown file stays; a published session is shown, and never a canceled one, nor one of which it was told that
        nothing was published."""
        shown: str | None = None
        for each in seen:
            assert isinstance(each, Observed)
            assert shown is None or each.sha256 == shown
            shown = each.sha256
            assert each.status is not Status.PUBLISHED or shown == self.sha256
            assert each.status not in {Status.CANCELED, Status.ERROR} or shown != self.sha256


@pytest.mark.parametrize(
    ("first", "others"),
    [
        ("publisher", ("publisher",)),
        ("publisher", ("canceler",)),
        ("publisher", ("uploader",)),
        ("publisher", ("reader",)),
        ("publisher", ("uploader", "canceler")),
        ("slow", ("late",)),
    ],
)
def test_no_order_of_steps_breaks_a_publication(first: str, others: tuple[str, ...]) -> None:
    """Two that publish, one that cancels meanwhile, one that uploads a file of this name by the legacy API, one for
    which the publication takes too long."""
    made: list[Race] = []

    def actors() -> dict[str, Any]:  # is called before `prepare`, for each run
        race = Race()
        made.append(race)
        return {"first": getattr(race, first), **{each: getattr(race, each) for each in others}}

    def observe(state: MemoryState) -> object:
        return made[-1].observe(state)

    def judge(seen: list[object]) -> None:
        made[-1].judge(seen)

    assert explore(lambda: made[-1].state, actors, observe, judge, most=MOST)


class Killed(BaseException):
    """A worker dies."""


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("step", range(16))
def test_a_worker_that_dies_leaves_all_or_nothing(step: int) -> None:
    """At any write of a publication: the next request tells how it ended, or that it is not decided yet, and a later
    one settles it; then it can be published if it was not, and nothing is left."""
    store = MemoryStore()
    token = filled(store)
    faults = Faults()
    faults.call("write", kill, skip=step)
    try:
        publish(MemoryStore(store.state, faults), token)
    except Killed:
        pass
    else:
        assert step > 5, "it has fewer steps than that"
        return
    begun = settled(store, token)
    shown = is_published(begun, Index(store).project("alpha"))
    assert (begun.status is Status.PUBLISHED) == shown
    late = settled(store, token, timedelta(seconds=700))
    shown = is_published(late, Index(store).project("alpha"))
    if shown:
        assert late.status is Status.PUBLISHED
    else:
        assert late.status in {Status.OPEN, Status.ERROR}
        assert late.status is Status.OPEN or late.notices
        assert publish(store, token).status is Status.PUBLISHED
    settled(store, token)
    assert definition_of(store, token) is None
    assert Index(store, token).names() == ()
    assert Index(store).names() == ("alpha",)


@pytest.mark.parametrize(
    "fault", [Fault.BEFORE, Fault.AFTER, Fault.CONFLICT, Fault.UNKNOWN_BEFORE, Fault.UNKNOWN_AFTER]
)
@pytest.mark.parametrize("step", range(9))
def test_a_store_that_fails_leaves_all_or_nothing(step: int, fault: Fault) -> None:
    """As above, where the worker lives on."""
    store = MemoryStore()
    token = filled(store)
    faults = Faults()
    faults.next("write", fault, skip=step)
    try:
        status = publish(MemoryStore(store.state, faults), token).status
    except StoreError:
        status = settled(store, token, timedelta(seconds=700)).status
    shown = is_published(settled(store, token), Index(store).project("alpha"))
    assert (status is Status.PUBLISHED) == shown
    if not shown:
        assert publish(store, token).status is Status.PUBLISHED
    settled(store, token)
    assert definition_of(store, token) is None


def test_a_release_that_was_deleted_does_not_come_back() -> None:
    """A worker dies when it has published a session, and the release is deleted before anyone asks for the status."""
    store = MemoryStore()
    token = filled(store)
    faults = Faults()
    for _ in range(16):
        faults.call("write", lambda: kill() if Index(store).project("alpha") is not None else None)
    with pytest.raises(Killed):
        publish(MemoryStore(store.state, faults), token)
    Index(store).delete("alpha", Selection(filename=NAME))
    assert settled(store, token).status is Status.PROCESSING
    session = settled(store, token, timedelta(seconds=700))
    assert (session.status, session.notices) == (Status.PUBLISHED, ())
    assert definition_of(store, token) is None
    assert Index(store).project("alpha") is None


@pytest.mark.parametrize("step", range(16))
def test_a_session_is_given_back_only_when_nothing_will_be_published(step: int) -> None:
    """A worker stands still before any write of a publication, until others ask for the status and it ought to have
    ended. While its promotion can still be committed nothing is told of the end; else it publishes nothing any more."""
    store = MemoryStore()
    token = filled(store)
    faults = Faults()
    told: list[PublishingSession] = []
    faults.call("write", lambda: told.append(settled(store, token, LATE)), skip=step)
    try:
        end: Status | None = publish(MemoryStore(store.state, faults), token, -COPYING).status
    except SessionConflict:
        end = None
    shown = Index(store).project("alpha") is not None
    assert shown == (end is Status.PUBLISHED)
    assert not shown or not told or told[0].status is not Status.ERROR
    assert shown or told[0].status is Status.ERROR
    if not shown:
        assert publish(store, token).status is Status.PUBLISHED
    assert settled(store, token).status is Status.PUBLISHED
    assert definition_of(store, token) is None
    assert Index(store).names() == ("alpha",)


def test_a_refused_publication_gives_the_session_back() -> None:
    """With its files, and the status that it had."""
    store = MemoryStore()
    token = filled(store)
    Index(store).publish([staged_wheel(store, "alpha", "1.0", variant="legacy")])
    with pytest.raises(FileExists):
        publish(store, token)
    session = settled(store, token)
    assert (session.status, session.attempt, list(session.live)) == (Status.OPEN, None, [NAME])
    assert Index(store, token).project("alpha") is not None


@pytest.mark.parametrize(
    ("operation", "fault", "skip"),
    [
        ("write", Fault.AFTER, 0),  # that of the session's record, as it is begun
        ("write", Fault.BEFORE, 1),  # the later end of a session that would expire meanwhile
        ("stage.write", Fault.FULL, 0),  # the copies
        ("publish", Fault.BEFORE, 0),
    ],
)
def test_a_publication_that_fails_before_its_promotion_gives_the_session_back(
    operation: Operation, fault: Fault, skip: int
) -> None:
    """At once: nothing can be published by it any more."""
    store = MemoryStore()
    token = filled(store)
    faults, late = Faults(), LIFETIME - timedelta(minutes=10)
    faults.next(operation, fault, skip=skip)
    with pytest.raises(StoreError):
        publish(MemoryStore(store.state, faults), token, late)
    session = read(store, token)
    assert (session.status, session.attempt, list(session.live)) == (Status.OPEN, None, [NAME])
    assert publish(store, token, late).status is Status.PUBLISHED


def test_a_session_is_extended_within_bounds() -> None:
    """Never to an earlier end, and not beyond the longest time."""
    store = MemoryStore()
    token = filled(store)

    def extended(seconds: int) -> datetime:
        sessions = sessions_of(store)
        session = sessions.read(token)
        assert session is not None
        sessions.extend(token, session, seconds, ORIGIN)
        definition = definition_of(store, token)
        assert definition is not None
        assert definition.ends_at is not None
        return definition.ends_at

    first = extended(1)
    assert extended(3600) - first == timedelta(hours=1)
    latest = extended(10**9)
    assert timedelta(seconds=-5) < latest - datetime.now(UTC) - LONGEST < timedelta(seconds=5)
    assert extended(3600) == latest


def test_a_session_expires_with_its_files() -> None:
    """Its status says so; gc deletes the stage, and after some days the record."""
    store = MemoryStore()
    token = filled(store)
    after = LIFETIME + timedelta(seconds=2)
    session = settled(store, token, after)
    assert (session.status, bool(session.notices)) == (Status.CANCELED, True)
    sessions = sessions_of(store, after)
    promoting.end_stages(AccessRecords(store), store, "main", ORIGIN, sessions.now())
    assert definition_of(store, token) is None
    assert Index(store, token).names() == ()
    assert sessions.forget_ended(ORIGIN) == 0
    Index(store, token).publish(
        [staged_wheel(store, "alpha", "1.0", variant="session")]
    )  # of an upload that was under way
    assert sessions_of(store, after + KEPT).forget_ended(ORIGIN) == 1
    assert Index(store, token).names() == ()
    assert sessions.read(token) is None
    with pytest.raises(NotFound):
        sessions.change(token, lambda found: found)


@pytest.mark.parametrize("is_published", [True, False], ids=["published", "canceled"])
def test_a_session_leaves_no_trace_at_last(is_published: bool, tmp_path: Path) -> None:
    """Its deleted records and those of its stage are erased with it; of those that were only deleted, by a thorough
    run; and none of a session that is open, or that ended not long ago."""
    store = PosixStore.open(tmp_path)
    tokens = [filled(store, msgspec.structs.replace(ALPHA, version=version)) for version in ("1.0", "1.1", "1.2")]
    erased, forgotten, kept = tokens
    for token in (erased, forgotten):
        if is_published:
            publish(store, token)
        else:
            sessions_of(store).cancel(token, definition_of(store, token), ORIGIN)
    record = store.records.read(f"access/publishing/{forgotten}")
    store.records.write(record.key, None, record)  # as an earlier version did

    def traces() -> set[str]:
        found = {prefix.partition("/")[0] for prefix in store.records.prefixes()}
        return found & {*tokens} | {*store.records.written("access/publishing")}

    assert traces() == {*tokens}
    assert sessions_of(store).forget_ended(ORIGIN) == 0
    assert traces() == {*tokens}
    assert sessions_of(store).forget_ended(ORIGIN, thorough=True) == 0
    assert traces() == {erased, kept}
    sessions_of(store).extend(kept, read(store, kept), 20 * 24 * 3600, ORIGIN)
    assert sessions_of(store, KEPT + timedelta(hours=1)).forget_ended(ORIGIN) == 1
    assert traces() == {kept}
    assert publish(store, kept).status is Status.PUBLISHED
    assert os.listdir(tmp_path / "quire" / "incoming") == []
    assert PosixInspector(store).anomalies() == []


def test_a_stage_that_lost_its_record_is_not_erased() -> None:
    """Its definition is there, so that it is served."""
    store = MemoryStore()
    token = filled(store)
    record = store.records.read(f"access/publishing/{token}")
    store.records.write(record.key, None, record)
    assert sessions_of(store).forget_ended(ORIGIN, thorough=True) == 0
    assert Index(store, token).names() == ("alpha",)


def test_a_preview_with_other_files_is_not_published() -> None:
    """A worker that dies between the file and the record leaves one that the session does not have."""
    store = MemoryStore()
    token = filled(store)
    other = staged_wheel(store, "alpha", "1.1")
    Index(store, token).publish([other])
    with pytest.raises(SessionConflict, match="preview"):
        publish(store, token)
    session = sessions_of(store).read(token)
    assert session is not None
    assert session.status is Status.OPEN
    assert Index(store).project("alpha") is None
    file = SessionFile(filename=other.parsed.filename, size=1, hashes={}, sha256=other.staged.digests.sha256)
    remove_staged(Index(store, token), "alpha", file, ORIGIN)
    assert publish(store, token).status is Status.PUBLISHED


def test_one_session_of_a_release_is_open() -> None:
    """Of two that are created at the same time one is told of the other; a new name is reserved for one sender."""
    store = MemoryStore()
    token = filled(store)
    sessions = sessions_of(store)
    with pytest.raises(SessionExists) as refused:
        sessions.create("main", ALPHA, ORIGIN)
    assert refused.value.token == token
    bob = msgspec.structs.replace(ALPHA, by="user:bob", version="2.0")
    with pytest.raises(NameReserved):
        sessions.create("main", bob, ORIGIN)
    assert [*store.records.written("access/publishing")] == [token], "those that were refused leave nothing"
    sessions.create("main", msgspec.structs.replace(bob, by="user:ann"), ORIGIN)
    assert len(store.records.names("access/publishing").names) == 2


def test_open_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each sender, and for the store."""
    monkeypatch.setattr("quire.access.publishing_sessions.MOST_OF_ONE", 2)
    monkeypatch.setattr("quire.access.publishing_sessions.MOST_OPEN", 3)
    sessions = sessions_of(MemoryStore())

    def create(by: str, project: str) -> None:
        sessions.create("main", OpenSession(project=project, version="1", by=by), ORIGIN)

    create("user:ann", "one")
    create("user:ann", "two")
    with pytest.raises(SessionConflict, match="You have 2"):
        create("user:ann", "three")
    create("user:bob", "three")
    with pytest.raises(SessionConflict, match="The store has 3"):
        create("user:eve", "four")


ACTIONS: dict[str, Callable[[PublishingSession], PublishingSession]] = {
    "add": lambda found: documents.with_file(found, "1", SessionFile(filename="b", size=1, hashes={})),
    "arrive": lambda found: documents.arrived(found, "0", "0" * 64),
    "complete": lambda found: documents.completed(found, "0"),
    "delete": lambda found: documents.without_file(found, "0"),
    "cancel": lambda found: documents.canceled(found, "now", "then"),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("status", [Status.PROCESSING, Status.PUBLISHED, Status.CANCELED])
def test_what_is_not_editable_takes_no_change(status: Status, action: str) -> None:
    """Repeated cancellations alone change nothing."""
    file = SessionFile(filename="a", size=1, hashes={})
    session = PublishingSession(
        index="main", project="alpha", version="1", created="c", expires="e", status=status, files={"0": file}
    )
    if (status, action) == (Status.CANCELED, "cancel"):
        assert ACTIONS[action](session) is session
        return
    with pytest.raises(SessionConflict):
        ACTIONS[action](session)


def test_a_session_that_was_extended_meanwhile_does_not_expire() -> None:
    """A request that has read its definition before goes by the one of now."""
    store = MemoryStore()
    token = filled(store)
    sessions = sessions_of(store, LIFETIME + timedelta(seconds=2))
    before, session = definition_of(store, token), sessions.read(token)
    assert session is not None
    sessions_of(store).extend(token, session, 3600, ORIGIN)
    assert sessions.settled(token, session, before, Index(store), ORIGIN).status is Status.OPEN


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (f"s-{'0' * 48}", True),
        (f"s-{'a' * 47}", False),
        (f"s-{'g' * 48}", False),
        ("0" * 50, False),
        (f"s-{'0' * 46}/.", False),
        ("", False),
    ],
)
def test_what_has_the_form_of_a_token(text: str, is_one: bool) -> None:
    """Nothing else is looked up, and no webhook is told of what is in a stage of this name."""
    assert documents.is_token(text) is is_one
    hook = Webhook(url="https://hooks.example/", created="2026-11-29T12:00:00Z", secret="whsec_x")
    assert hook.covers(text, "alpha") is not is_one
