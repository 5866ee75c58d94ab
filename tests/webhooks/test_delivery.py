"""Events reach their receiver at least once, those of a project in their order, whatever fails in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from quire.access.records import AccessRecords
from quire.access.webhook_changes import make_webhook, with_webhook
from quire.domain.changes import Selection
from quire.domain.errors import InvalidRequest, NotFound, StoreError
from quire.domain.project import Status
from quire.domain.webhooks import EVENTS, new_secret
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.observe.metrics.catalog import CHANGE_ACTIONS, WEBHOOK_RESULTS
from quire.operations import webhooks
from quire.store.bucket.store import BucketStore
from quire.store.contracts import Store
from quire.store.opening import open_store
from quire.testing import Faults, MemoryStore
from quire.webhooks.attempts import Attempt
from quire.webhooks.deliverer import Deliverer
from quire.webhooks.delivery import DELAYS, Delivery
from quire.webhooks.positions import Position, Positions
from quire.webhooks.sending import Sender
from tests.distributions import make_wheel, wheel_name
from tests.receivers import Answer, Received, Receiver, receiving
from tests.serving import until
from tests.store.bucket.counted import PLACE, counted_bucket
from tests.store.bucket.memory import MemoryBucket

ORIGIN = Origin(user="boss")
LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@dataclass
class Scene:
    """An index with a webhook."""

    store: Store
    receiver: Receiver
    secret: str
    identity: str = "aaaaaaaaaa"

    @property
    def index(self) -> Index:
        return Index(self.store)

    def tally(self) -> dict[str, int]:
        return dict.fromkeys(WEBHOOK_RESULTS, 0)

    @contextmanager
    def worker(self, **options: Any) -> Iterator[Deliverer]:
        """The deliverer of one worker."""
        deliverer = Deliverer(self.store, Sender(LOOPBACK), self.tally(), **options)
        try:
            yield deliverer
        finally:
            deliverer.close()

    def told(self, deliverer: Deliverer) -> Index:
        """The index of a worker, whose changes the deliverer is told of."""
        index, document = Index(self.store), AccessRecords(self.store).read().state.document
        index.commits.listener = lambda project, action: deliverer.changed(document, "main", project, action)
        return index

    def deliver(self, project: str, attempts: list[Attempt] | None = None, **options: Any) -> object:
        """One call, in this thread."""
        delivery = Delivery(self.store, Sender(LOOPBACK), self.tally(), **options)
        report = list[Attempt]() if attempts is None else attempts
        return delivery.deliver(self.identity, "main", project, report.append)


def scene_of(store: Store, receiver: Receiver, *, now: datetime | None = None, **words: Any) -> Scene:
    scene = Scene(store, receiver, new_secret())
    webhook = make_webhook(
        receiver.url,
        scene.secret,
        words.get("events", ()),
        words.get("index", "*"),
        words.get("projects", ()),
        now=now or datetime.now(UTC),
        by="boss",
    )
    AccessRecords(store).change(
        lambda document: with_webhook(document, scene.identity, webhook), "webhook-add", {}, ORIGIN
    )
    return scene


@pytest.fixture
def scene(receiver: Receiver) -> Scene:
    return scene_of(MemoryStore(), receiver)


def upload(store: Store, name: str, version: str) -> Upload:
    filename = wheel_name(name, version)
    staging = store.blobs.stage(upload_key(filename))
    staging.write(make_wheel(name, version))
    return examine(staging.finish(), filename)


def publish(index: Index, name: str, version: str = "1.0") -> None:
    index.publish([upload(index.store, name, version)], origin=ORIGIN)


def change(index: Index, name: str, times: int) -> None:
    """So many changes of a project that there is."""
    for _ in range(times):
        project = index.project(name)
        assert project is not None
        index.set_status(name, Status.DEPRECATED if project.status is Status.ACTIVE else Status.ACTIVE)


def test_events_are_the_changes_of_the_log() -> None:
    """A new kind of change is an event, or says why not."""
    assert set(EVENTS) == set(CHANGE_ACTIONS)


def test_each_change_is_reported_once_and_in_order(scene: Scene) -> None:
    """With what the log says of it, signed; a worker that was told of its changes needs no search."""
    with scene.worker() as deliverer:
        index = scene.told(deliverer)
        publish(index, "acme-tools")
        index.yank("acme-tools", Selection(version="1.0"), "broken", origin=Origin(user="ci", token="t1"))
        index.set_status("acme-tools", Status.DEPRECATED, "old")
        index.delete("acme-tools", Selection(version="1.0"), origin=Origin(job={"platform": "GitHub", "run": "7"}))
        until(lambda: len(scene.receiver.received) == 4)
    assert all(each.is_signed_by(scene.secret) for each in scene.receiver.received)
    assert all(each.headers["webhook-id"] == each.event["id"] for each in scene.receiver.received)
    first, second, third, fourth = scene.receiver.delivered()
    filename = wheel_name("acme-tools", "1.0")
    (file,) = first["files"]
    assert list(first) == [
        *("id", "type", "at", "index", "project", "version", "revision", "files", "more_files"),
        *("status", "reason", "owners", "user", "token", "job"),
    ]
    assert first | {"id": 0, "at": 0, "files": 0} == {
        "id": 0,
        "type": "publish",
        "at": 0,
        "index": "main",
        "project": "acme-tools",
        "version": "1.0",
        "revision": 1,
        "files": 0,
        "more_files": 0,
        "status": None,
        "reason": None,
        "owners": None,
        "user": "boss",
        "token": None,
        "job": None,
    }
    sha256 = file["sha256"]
    assert file["path"] == f"packages/acme-tools/{sha256}/{filename}"
    assert (second["type"], second["reason"], second["user"], second["token"]) == ("yank", "broken", "ci", "t1")
    assert (third["type"], third["status"], third["files"], third["version"]) == ("status", "deprecated", [], None)
    assert (fourth["type"], fourth["files"][0]["path"]) == ("delete", None)
    assert fourth["job"] == {"platform": "GitHub", "run": "7"}
    assert [each["revision"] for each in scene.receiver.delivered()] == [1, 2, 3, 4]


def test_changes_that_no_worker_was_told_of_are_found(scene: Scene) -> None:
    """Those of commands, and of workers that were killed; also when the log has them in its archive by now."""
    publish(scene.index, "acme-tools")
    publish(scene.index, "other")
    change(scene.index, "acme-tools", 60)
    with scene.worker() as deliverer:
        assert deliverer.search()
        until(lambda: len(scene.receiver.received) == 62)
        assert deliverer.search()
        change(scene.index, "other", 1)
        assert deliverer.search()
        until(lambda: len(scene.receiver.received) == 63)
    assert scene.receiver.revisions("acme-tools") == list(range(1, 62))
    assert scene.receiver.revisions("other") == [1, 2]


def test_a_record_that_cannot_be_read_hides_no_changes_of_others(receiver: Receiver) -> None:
    """An object in a bucket that is no document: the events of later projects are found all the same."""
    bucket = MemoryBucket()
    scene = scene_of(BucketStore(bucket, "memory:///"), receiver)
    for name in ("acme-tools", "other"):
        publish(scene.index, name)
    bucket.overwrite("records/main/projects/acme-tools.json", b"damaged")
    with scene.worker() as deliverer:
        deliverer.search()
        until(lambda: len(receiver.received) == 1)
    assert receiver.revisions("other") == [1]


def test_a_project_without_files_is_reported(scene: Scene) -> None:
    """The last deletion leaves no document."""
    publish(scene.index, "acme-tools")
    scene.index.delete("acme-tools", Selection())
    with scene.worker() as deliverer:
        deliverer.search()
        until(lambda: len(scene.receiver.received) == 2)
    assert [each["type"] for each in scene.receiver.delivered()] == ["publish", "delete"]


def test_changes_before_a_webhook_are_not_reported(receiver: Receiver) -> None:
    """The history of a store is not sent to a new receiver; later changes are."""
    store = MemoryStore()
    publish(Index(store), "acme-tools")
    scene = scene_of(store, receiver, now=datetime.now(UTC) + timedelta(hours=1))
    assert scene.deliver("acme-tools") is None
    assert receiver.received == []
    later = scene_of(MemoryStore(), receiver, now=datetime.now(UTC) - timedelta(hours=1))
    publish(later.index, "acme-tools")
    assert later.deliver("acme-tools") is None
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ({}, [("acme-tools", "publish"), ("acme-tools", "yank"), ("other", "publish")]),
        ({"events": ["yank", "delete"]}, [("acme-tools", "yank")]),
        ({"projects": ["acme-*"]}, [("acme-tools", "publish"), ("acme-tools", "yank")]),
        ({"index": "main", "events": ["*"], "projects": ["Other"]}, [("other", "publish")]),
        ({"index": "stage"}, []),
    ],
)
def test_only_what_was_asked_for_is_reported(words: dict[str, Any], reported: list[Any], receiver: Receiver) -> None:
    """Kinds of changes, projects, and the index; told of a change and by a search alike."""
    scene = scene_of(MemoryStore(), receiver, **words)
    with scene.worker() as deliverer:
        index = scene.told(deliverer)
        publish(index, "acme-tools")
        index.yank("acme-tools", Selection(version="1.0"))
        until(lambda: len(receiver.received) >= len([each for each in reported if each[0] == "acme-tools"]))
        publish(scene.index, "other")
        deliverer.search()
        until(lambda: len(receiver.received) >= len(reported))
    assert scene.deliver("other") is None
    assert [(each["project"], each["type"]) for each in receiver.delivered()] == reported


def test_a_failure_is_tried_again_and_keeps_the_order(scene: Scene) -> None:
    """Later events of the project wait; those of others do not."""
    failures = iter([500, 502, 404])

    def answer(received: Received) -> Answer:
        return Answer(next(failures, 204)) if received.event["project"] == "acme-tools" else Answer()

    scene.receiver.answer = answer
    with scene.worker(delays=[0.05, 0.05, 0.05]) as deliverer:
        index = scene.told(deliverer)
        publish(index, "acme-tools")
        publish(index, "other")
        index.yank("acme-tools", Selection(version="1.0"))
        until(lambda: len(scene.receiver.received) == 6)
    assert scene.receiver.revisions("acme-tools") == [1, 2]
    assert scene.receiver.revisions("other") == [1]
    tried = [each.event["revision"] for each in scene.receiver.received if each.event["project"] == "acme-tools"]
    assert tried == [1, 1, 1, 1, 2]
    assert len({each.event["id"] for each in scene.receiver.received}) == 3


def test_a_receiver_that_hangs_delays_no_other(scene: Scene, receiver: Receiver) -> None:
    """And no change: each webhook has a thread of its own."""
    gate = threading.Event()
    with receiving() as other:
        second = make_webhook(other.url, new_secret(), (), "*", (), now=datetime.now(UTC), by=None)
        AccessRecords(scene.store).change(
            lambda document: with_webhook(document, "bbbbbbbbbb", second), "webhook-add", {}, ORIGIN
        )
        receiver.answer = lambda _: Answer(before=lambda: gate.wait(25))
        with scene.worker() as deliverer:
            index = scene.told(deliverer)
            publish(index, "acme-tools")
            publish(index, "other")
            until(lambda: len(other.received) == 2)
            assert receiver.received == []
            gate.set()
            until(lambda: len(receiver.received) == 2)


def test_delays_grow_until_an_event_is_given_up(scene: Scene) -> None:
    """Each failure is remembered by the store, not by a worker; what was given up can be sent once more."""
    scene.receiver.answer = lambda _: Answer(500, body=b"no\x1bway")
    publish(scene.index, "acme-tools")
    scene.index.yank("acme-tools", Selection(version="1.0"))
    waits, attempts = [], list[Attempt]()
    clock = [time.time()]
    for _ in DELAYS:
        later: Any = scene.deliver("acme-tools", attempts, now=lambda: clock[0])
        waits.append(later.seconds)
        again: Any = scene.deliver("acme-tools", attempts, now=lambda: clock[0])
        assert again.seconds == pytest.approx(later.seconds), "it is not due yet"
        clock[0] += later.seconds + 1
    assert all(0.8 * delay <= wait <= 1.2 * delay for wait, delay in zip(waits, DELAYS, strict=True))
    assert 24 * 3600 < sum(DELAYS) < 30 * 3600
    scene.receiver.answer = lambda received: Answer(500 if received.event["type"] == "publish" else 204)
    assert scene.deliver("acme-tools", attempts, now=lambda: clock[0]) is None
    assert scene.receiver.revisions("acme-tools") == [2], "the next event follows"
    _, found = webhooks.deliveries(scene.store, scene.identity)
    (given_up,) = found.given_up
    assert (given_up.type, given_up.attempt, given_up.status) == ("publish", len(DELAYS) + 1, 500)

    sender = Sender(LOOPBACK)
    (failed,) = webhooks.redeliver(scene.store, sender, scene.identity, [given_up.event])
    assert failed.error is not None
    scene.receiver.answer = lambda _: Answer()
    (again_sent,) = webhooks.redeliver(scene.store, sender, scene.identity, [given_up.event])
    assert (again_sent.result, again_sent.error) == ("delivered", None)
    assert scene.receiver.delivered()[-1]["id"] == given_up.event
    assert webhooks.deliveries(scene.store, scene.identity)[1].given_up == []
    with pytest.raises(NotFound, match="not among the latest deliveries"):
        webhooks.redeliver(scene.store, sender, scene.identity, ["evt_none"])


def test_resume_tries_at_once(scene: Scene) -> None:
    """Once the receiver is repaired; an event that is still tried is not sent beside that."""
    scene.receiver.answer = lambda _: Answer(500)
    with scene.worker() as deliverer:
        publish(scene.told(deliverer), "acme-tools")

        def waiting() -> dict[str, Attempt]:
            return webhooks.deliveries(scene.store, scene.identity)[1].waiting

        until(lambda: bool(waiting()))
        (attempt,) = waiting().values()
        assert attempt.next is not None
        with pytest.raises(InvalidRequest, match="still being tried"):
            webhooks.redeliver(scene.store, Sender(LOOPBACK), scene.identity, [attempt.event])
        scene.receiver.answer = lambda _: Answer()
        webhooks.resume_webhook(AccessRecords(scene.store), scene.identity, ORIGIN)
        deliverer.resume(scene.identity)
        until(lambda: scene.receiver.revisions("acme-tools") == [1])
        until(lambda: not waiting())


def test_a_receiver_that_is_gone_is_left_alone(scene: Scene) -> None:
    """410 disables the webhook, and the log says so; after `resume` it gets what it missed."""
    scene.receiver.answer = lambda _: Answer(410)
    publish(scene.index, "acme-tools")
    scene.deliver("acme-tools")
    publish(scene.index, "other")
    assert scene.deliver("acme-tools") is None
    assert scene.deliver("other") is None
    assert len(scene.receiver.received) == 1
    access = AccessRecords(scene.store)
    webhook = access.read().state.document.webhooks[scene.identity]
    assert "410" in str(webhook.disabled)
    assert access.log()[-1]["action"] == "webhook-disable"
    scene.receiver.answer = lambda _: Answer()
    webhooks.resume_webhook(access, scene.identity, ORIGIN)
    assert scene.deliver("acme-tools") is None
    assert scene.deliver("other") is None
    assert [each["project"] for each in scene.receiver.delivered()] == ["acme-tools", "other"]


def test_retry_after_is_kept(scene: Scene) -> None:
    """For the event, and for all others of the same webhook in this worker."""
    scene.receiver.answer = lambda _: Answer(429, {"Retry-After": "3000"})
    publish(scene.index, "acme-tools")
    later: Any = scene.deliver("acme-tools")
    assert later.whole
    assert later.seconds == pytest.approx(3000)
    with scene.worker() as deliverer:
        index = scene.told(deliverer)
        publish(index, "first")
        until(lambda: len(scene.receiver.received) == 2)
        publish(index, "second")
        attempts = webhooks.deliveries
        until(lambda: bool(attempts(scene.store, scene.identity)[1].waiting))
    assert len(scene.receiver.received) == 2


@pytest.mark.parametrize("tell", [lambda worker, webhook: worker.resume(webhook), lambda worker, _: worker.search()])
def test_resume_ends_the_wait_of_retry_after(scene: Scene, tell: Callable[[Deliverer, str], object]) -> None:
    """For the event that was tried, and for all that waited behind it; also when a command on the store resumed it."""
    scene.receiver.answer = lambda _: Answer(429, {"Retry-After": "3000"})
    with scene.worker() as deliverer:
        index = scene.told(deliverer)
        publish(index, "first")
        until(lambda: bool(webhooks.deliveries(scene.store, scene.identity)[1].waiting))
        publish(index, "second")
        assert len(scene.receiver.received) == 1
        scene.receiver.answer = lambda _: Answer()
        webhooks.resume_webhook(AccessRecords(scene.store), scene.identity, ORIGIN)
        tell(deliverer, scene.identity)
        until(lambda: sorted(each["project"] for each in scene.receiver.delivered()) == ["first", "second"])


@pytest.mark.parametrize("status", [200, 503])
def test_an_odd_retry_after_delays_nothing(scene: Scene, status: int) -> None:
    """An event is delivered once, or its attempts count, whatever the date that a receiver names."""
    odd = {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}
    scene.receiver.answer = lambda _: Answer(status, odd)
    publish(scene.index, "acme-tools")
    attempts = list[Attempt]()
    later = scene.deliver("acme-tools", attempts)
    assert (later is None) == (status == 200)
    assert [(each.attempt, each.status) for each in attempts] == [(1, status)]
    assert len(scene.receiver.received) == 1


def test_nothing_begins_after_a_removal(scene: Scene) -> None:
    """The definition is read before each event, not only before the first one."""
    access = AccessRecords(scene.store)
    publish(scene.index, "acme-tools")
    change(scene.index, "acme-tools", 3)
    scene.receiver.answer = lambda _: Answer(before=lambda: webhooks.remove_webhooks(access, [scene.identity], ORIGIN))
    assert scene.deliver("acme-tools") is None
    assert len(scene.receiver.received) == 1
    with pytest.raises(NotFound, match="There is no webhook"):
        webhooks.send_ping(scene.store, Sender(LOOPBACK), scene.identity)


def test_two_workers_share_the_deliveries(scene: Scene) -> None:
    """Both are told of every change, and each event is delivered once."""
    changes = 12
    with scene.worker() as one, scene.worker() as two:
        first, second = scene.told(one), scene.told(two)
        publish(first, "acme-tools")
        for number in range(changes):
            change(first if number % 2 else second, "acme-tools", 1)
            one.search()
            two.search()
        until(lambda: len(scene.receiver.received) >= changes + 1)
        until(lambda: Positions(scene.store.records).read("main", "acme-tools").of(scene.identity).lease is None)
    assert [each["revision"] for each in scene.receiver.delivered()] == list(range(1, changes + 2))


def test_the_lease_of_a_dead_worker_is_taken_over(scene: Scene) -> None:
    """After it was seen unchanged for its time, by the clock of the worker that looks."""
    publish(scene.index, "acme-tools")
    positions = Positions(scene.store.records)
    seen = positions.read("main", "acme-tools")
    positions.swap(seen, scene.identity, Position(lease="dead"), [scene.identity])
    later: Any = scene.deliver("acme-tools", lease=30)
    assert 0 < later.seconds <= 30
    assert scene.receiver.received == []
    with scene.worker(lease=0.3) as deliverer:
        deliverer.search()
        until(lambda: scene.receiver.revisions("acme-tools") == [1])


def test_one_worker_searches(scene: Scene) -> None:
    """One goes on; another takes over when the first has not searched since it looked last."""
    with scene.worker() as one, scene.worker() as two:
        assert [one.search(), two.search(), one.search(), two.search(), one.search()] == [True, False] * 2 + [True]
        assert [two.search(), two.search(), two.search()] == [False, True, True]
        assert [one.search(), one.search()] == [False, True]


@pytest.mark.parametrize("times", [1, 3, 5])
def test_a_log_that_begins_once_more_is_reported(scene: Scene, times: int) -> None:
    """As after the restoration of a record from a backup, whose revisions are smaller; also when the delivery runs only
    after they have come up to those that were delivered."""
    publish(scene.index, "acme-tools")
    change(scene.index, "acme-tools", 5)
    backup = scene.store.records.read("main/projects/acme-tools").data
    change(scene.index, "acme-tools", 3)
    assert scene.deliver("acme-tools") is None
    records = scene.store.records
    records.write("main/projects/acme-tools", backup, records.read("main/projects/acme-tools"))
    scene.receiver.received.clear()
    assert scene.deliver("acme-tools") is None
    change(scene.index, "acme-tools", times)
    scene.receiver.answer = lambda _: Answer(500)
    assert scene.deliver("acme-tools") is not None
    scene.receiver.answer = lambda _: Answer()
    assert scene.deliver("acme-tools", now=lambda: time.time() + DELAYS[1]) is None
    expected = [*range(7, 7 + times)]
    assert [each["revision"] for each in scene.receiver.delivered()] == expected
    change(scene.index, "acme-tools", 1)
    assert scene.deliver("acme-tools") is None
    assert [each["revision"] for each in scene.receiver.delivered()] == [*expected, 7 + times]


def test_an_event_of_a_log_that_begins_once_more_is_given_up(scene: Scene) -> None:
    """After as many attempts as any other one; then the next event follows."""
    publish(scene.index, "acme-tools")
    backup = scene.store.records.read("main/projects/acme-tools").data
    change(scene.index, "acme-tools", 3)
    assert scene.deliver("acme-tools") is None
    records = scene.store.records
    records.write("main/projects/acme-tools", backup, records.read("main/projects/acme-tools"))
    change(scene.index, "acme-tools", 2)
    scene.receiver.received.clear()
    scene.receiver.answer = lambda received: Answer(500 if received.event["revision"] == 2 else 204)
    clock = [time.time()]
    for _ in DELAYS:
        later: Any = scene.deliver("acme-tools", now=lambda: clock[0])
        clock[0] += later.seconds + 1
    assert scene.deliver("acme-tools", now=lambda: clock[0]) is None
    assert scene.receiver.revisions("acme-tools") == [3]
    _, found = webhooks.deliveries(scene.store, scene.identity)
    assert [each.attempt for each in found.given_up] == [len(DELAYS) + 1]


def test_a_damaged_position_loses_no_event(scene: Scene) -> None:
    """Events are delivered again then, rather than not at all."""
    publish(scene.index, "acme-tools")
    records = scene.store.records
    records.write("main/deliveries/acme-tools", b"{", records.read("main/deliveries/acme-tools"))
    assert scene.deliver("acme-tools") is None
    assert scene.receiver.revisions("acme-tools") == [1]


@pytest.mark.parametrize("seed", range(12))
def test_a_store_that_fails_loses_no_event(seed: int, receiver: Receiver) -> None:
    """Whatever its reads and writes do: every event arrives, first arrivals in their order."""
    store = MemoryStore()
    scene = scene_of(store, receiver)
    publish(scene.index, "acme-tools")
    change(scene.index, "acme-tools", 6)
    failing = MemoryStore(store.state, faults=Faults.random(seed, 0.25, ("read", "write")))
    delivery = Delivery(failing, Sender(LOOPBACK), scene.tally(), lease=0.0)
    for _ in range(200):
        try:
            if delivery.deliver(scene.identity, "main", "acme-tools", lambda _: None) is None:
                break
        except StoreError:
            continue
    assert receiver.revisions("acme-tools") == list(range(1, 8))


def test_the_record_of_attempts_is_bounded(scene: Scene) -> None:
    """However many events there are."""
    publish(scene.index, "acme-tools")
    change(scene.index, "acme-tools", 80)
    with scene.worker() as deliverer:
        deliverer.search()
        until(lambda: len(scene.receiver.received) == 81)
    found = webhooks.deliveries(scene.store, scene.identity)[1]
    assert [each.revision for each in found.recent] == list(range(32, 82))
    assert len(msgspec.json.encode(found)) < 50_000


def test_the_cost_in_a_bucket(receiver: Receiver) -> None:
    """Without a webhook a change costs nothing more; with one, some requests after the answer."""
    with counted_bucket() as bucket:
        store = open_store(PLACE)
        index = Index(store)
        publish(index, "acme-tools")
        index.yank("acme-tools", Selection(version="1.0"))
        bucket.requests()
        index.unyank("acme-tools", Selection(version="1.0"))
        of_change = bucket.requests()
        scene = scene_of(store, receiver)
        told = scene.told(Deliverer(store, Sender(LOOPBACK), scene.tally()))
        delivery = Delivery(store, Sender(LOOPBACK), scene.tally())
        delivery.deliver(scene.identity, "main", "acme-tools", lambda _: None)
        told.commits.listener = lambda *_: None
        bucket.requests()
        told.yank("acme-tools", Selection(version="1.0"))
        assert bucket.requests() == of_change
        receiver.received.clear()
        assert delivery.deliver(scene.identity, "main", "acme-tools", lambda _: None) is None
        assert len(receiver.received) == 1
        assert bucket.requests() == {"get": 3, "put": 2}
        with scene.worker() as deliverer:
            assert deliverer.search()
            bucket.requests()
            assert deliverer.search()
            found = bucket.requests()
        assert found == {"get": 3, "put": 1, "list": 2}, "of one project that did not change"


def test_no_secret_is_shown(scene: Scene) -> None:
    """Neither in the log of changes nor in the representation of objects."""
    document = AccessRecords(scene.store).read().state.document
    assert scene.secret not in repr(document)
    assert scene.secret not in repr(AccessRecords(scene.store).log())
