"""A project as it was: equal to what was listed at that moment, wherever the bytes are still there."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from quire.domain.changes import Selection
from quire.domain.errors import QuireError
from quire.domain.past import Past, past_of
from quire.domain.project import File, Project, Status
from quire.index.audit.archive import MOST_CARRIED, archive_key, expire
from quire.index.audit.entries import timestamp
from quire.index.index import Index
from quire.index.past import is_unchanged, read_past
from quire.index.promoting import Part, Promoter
from quire.store.memory import MemoryStore
from tests.distributions import wheel_name
from tests.index.test_index import staged_wheel

WEEK = 7 * 86_400.0
NEVER = "9999-01-01T00:00:00.000000Z"


class Moment(NamedTuple):
    """The project as it was listed at a moment."""

    at: str
    files: dict[str, File]
    status: Status
    reason: str | None


class History:
    """An index whose only project changes, and what was listed after each change."""

    def __init__(self) -> None:
        self.index = Index(MemoryStore(), trash_seconds=WEEK)
        self.moments: list[Moment] = []
        self.note()

    def note(self) -> str:
        """Note a moment of its own; when it was."""
        project = self.index.project("demo")
        before = timestamp()
        while (at := timestamp()) <= before:  # its changes are before it, and later ones not
            pass
        shown = (project.files, project.status, project.status_reason) if project else ({}, Status.ACTIVE, None)
        self.moments.append(Moment(at, *shown))
        return at

    def publish(self, version: str, variant: str = "", *, overwrite: bool = False) -> str:
        upload = staged_wheel(self.index.store, "demo", version, variant=variant)
        self.index.publish([upload], overwrite=overwrite)
        return self.note()

    def delete(self, version: str | None, *, to_trash: bool = True) -> str:
        change = self.index.delete("demo", Selection(version=version), to_trash=to_trash)
        self.index.remove_blobs(change.removed)
        return self.note()

    def restore(self, version: str) -> str:
        self.index.restore("demo", lambda each: each.file.version == version)
        return self.note()

    def empty(self) -> str:
        self.index.empty_trash("demo", lambda _: True)
        return self.note()

    def yank(self, version: str, reason: str | None = None) -> str:
        self.index.yank("demo", Selection(version=version), reason)
        return self.note()

    def unyank(self, version: str) -> str:
        self.index.unyank("demo", Selection(version=version))
        return self.note()

    def status(self, status: Status, reason: str | None = None) -> str:
        self.index.set_status("demo", status, reason)
        return self.note()

    def past(self, at: str) -> Past:
        return read_past(self.index, "demo", at).past

    def check(self) -> None:
        """The past is what was listed then, without the files whose bytes are gone, and says nothing more."""
        project = self.index.project("demo")
        held = [*(project.files.values() if project is not None else ())]
        held += [each.file for each in self.index.trash.files("demo")]
        there = {(file.filename, file.sha256) for file in held}
        for moment in self.moments:
            past = self.past(moment.at)
            expected = {name: file for name, file in moment.files.items() if (name, file.sha256) in there}
            assert {name: (file.sha256, file.yanked) for name, file in past.files.items()} == {
                name: (file.sha256, file.yanked) for name, file in expected.items()
            }
            assert all((file.uploaded or NEVER) < moment.at for file in past.files.values())
            if project is None or project.status is not Status.QUARANTINED:
                assert past.status is moment.status
                assert past.status is Status.ACTIVE or past.status_reason == moment.reason


VERSIONS = st.sampled_from(["1.0", "2.0"])
CHANGES = st.one_of(
    st.tuples(st.just("publish"), VERSIONS, st.sampled_from(["", "other"])),
    st.tuples(st.just("overwrite"), VERSIONS, st.sampled_from(["", "other"])),
    st.tuples(st.just("yank"), VERSIONS, st.sampled_from([None, "broken", "worse"])),
    st.tuples(st.just("unyank"), VERSIONS),
    st.tuples(st.just("delete"), st.sampled_from(["1.0", "2.0", None]), st.booleans()),
    st.tuples(st.just("restore"), VERSIONS),
    st.tuples(st.just("empty")),
    st.tuples(st.just("status"), st.sampled_from([*Status]), st.sampled_from([None, "why"])),
)


def change(history: History, action: str, *values: Any) -> None:
    """Make it, unless the index refuses."""
    made: dict[str, Callable[..., object]] = {
        "overwrite": lambda version, variant: history.publish(version, variant, overwrite=True),
        "delete": lambda version, to_trash: history.delete(version, to_trash=to_trash),
    }
    with contextlib.suppress(QuireError):
        (made.get(action) or getattr(history, action))(*values)


@given(st.lists(CHANGES, max_size=30))
@settings(deadline=None, max_examples=40)
def test_the_past_is_what_was_listed_then(changes: list[tuple[Any, ...]]) -> None:
    """After random changes, at each moment between two of them."""
    history = History()
    for each in changes:
        note(f"{each}")
        change(history, *each)
    history.check()


def test_it_is_known_over_more_changes_than_a_record_carries() -> None:
    """The older entries are in the archive; when they are expired, the upload times are known."""
    history = History()
    first = history.publish("1.0")
    history.publish("2.0")
    for _ in range(MOST_CARRIED):
        history.yank("1.0", "broken")
        history.unyank("1.0")
    history.delete("2.0")
    history.check()
    assert [*history.past(first).files] == [wheel_name("demo", "1.0")]
    known = read_past(history.index, "demo", first)
    assert is_unchanged(history.index, known)
    expire(history.index.store.records, archive_key("main", "demo"), NEVER)
    assert not is_unchanged(history.index, known)
    assert [*history.past(first).files] == [wheel_name("demo", "1.0")]


def test_attestations_that_are_added_are_no_first_publication() -> None:
    """Also where the log has its entry no more: the upload time tells."""
    index = Index(MemoryStore())
    for number in range(MOST_CARRIED + 20):
        index.publish([staged_wheel(index.store, "demo", f"1.{number}")])
    at, name = timestamp(), wheel_name("demo", "1.0")
    assert expire(index.store.records, archive_key("main", "demo"), at) > 0
    assert name in read_past(index, "demo", at).past.files
    index.publish([dataclasses.replace(staged_wheel(index.store, "demo", "1.0"), provenance=b"{}")])
    assert name in read_past(index, "demo", at).past.files


def test_the_same_content_published_again_counts_from_its_first_publication() -> None:
    history = History()
    history.publish("1.0")
    first = history.yank("1.0", "broken")
    gone = history.delete("1.0", to_trash=False)
    history.publish("1.0")
    (file,) = history.past(first).files.values()
    assert (file.yanked, (file.uploaded or NEVER) < first) == ("broken", True)
    assert history.past(gone).files == {}


@pytest.mark.parametrize("end", ["overwritten", "deleted"])
def test_the_mark_of_an_earlier_publication_is_not_that_of_a_later_one(end: str) -> None:
    """Its bytes are those in the trash, which has the mark of the publication that was deleted."""
    history = History()
    history.publish("1.0")
    history.yank("1.0", "broken")
    history.delete("1.0")
    again = history.publish("1.0")
    if end == "overwritten":
        history.publish("1.0", "other", overwrite=True)
    else:
        history.delete("1.0", to_trash=False)
    assert [file.yanked for file in history.past(again).files.values()] == [False]
    history.check()


def test_a_quarantined_project_was_quarantined() -> None:
    """Files that are not to be installed are offered at no moment; once the status is lifted, it is as it was."""
    history = History()
    before = history.publish("1.0")
    during = history.status(Status.QUARANTINED, "malware")
    assert history.past(before).status is Status.QUARANTINED
    history.status(Status.ACTIVE)
    assert history.past(before).status is Status.ACTIVE
    assert history.past(during)[1:] == (Status.QUARANTINED, "malware")


def test_a_promotion_is_seen_as_a_whole_from_its_beginning_on() -> None:
    """Also before each of its projects has the entry in its log."""
    index = Index(MemoryStore())
    uploaded, after = moment(1), moment(2)
    parts = [Part(name, [file("1.0", "a" * 64, blob=f"{name}/x", uploaded=uploaded)]) for name in ("demo", "other")]
    Promoter(index).promote("stage", parts)
    for name in ("demo", "other"):
        assert [*read_past(index, name, uploaded).past.files] == []
        assert [*read_past(index, name, after).past.files] == [wheel_name("demo", "1.0")]


def file(version: str = "1.0", sha256: str = "a", **fields: Any) -> File:
    return File(filename=wheel_name("demo", version), version=version, size=1, hashes={"sha256": sha256}, **fields)


def entry(action: str, at: int, *files: File, **fields: Any) -> dict[str, Any]:
    named = [{"filename": each.filename, "version": each.version, "sha256": each.sha256} for each in files]
    return {"action": action, "at": moment(at), "files": named, **fields}


def moment(hour: int) -> str:
    return f"2026-11-01T{hour:02}:00:00.000000Z"


OLD = file(uploaded="2020-01-01T00:00:00.000000Z")


@pytest.mark.parametrize(
    ("listed", "log", "expected"),
    [
        pytest.param(OLD, [], [OLD], id="older than the log"),
        pytest.param(file(), [], [], id="of unknown time"),
        pytest.param(OLD, [entry("publish", 12, OLD)], [], id="published later, by the log"),
        pytest.param(OLD, [entry("publish", 12, OLD, command="quire import")], [OLD], id="imported later"),
        pytest.param(OLD, [entry("import", 12, OLD)], [OLD], id="carried here later"),
        pytest.param(
            msgspec.structs.replace(OLD, yanked=True),
            [entry("yank", 12, OLD)],
            [OLD],
            id="yanked since, published before the log",
        ),
        pytest.param(OLD, [entry("unyank", 12, OLD)], [msgspec.structs.replace(OLD, yanked=True)], id="unyanked since"),
        pytest.param(
            OLD,
            [{"action": "publish", "at": moment(12), "files": [{"filename": OLD.filename, "replaced": "b"}]}],
            [],
            id="overwritten since",
        ),
        pytest.param(OLD, [{"action": 7, "at": None, "files": "?"}, {"files": [7]}, {}], [OLD], id="damaged entries"),
    ],
)
def test_what_the_log_does_not_say(listed: File, log: Sequence[dict[str, Any]], expected: list[File]) -> None:
    """The upload time says it then; a file that nothing proves is left out."""
    project = Project(name="demo", files={listed.filename: listed})
    assert [*past_of(project, log, (), moment(11)).files.values()] == expected
