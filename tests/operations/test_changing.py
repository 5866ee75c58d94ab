"""One door for changes: the same checks and the same line in the log for all callers."""

from __future__ import annotations

import msgspec
import pytest
from structlog.testing import capture_logs

from quire.domain.changes import Selection
from quire.domain.errors import NotFound, ReadOnlyFile
from quire.domain.project import Project, Status
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.operations import changing
from quire.operations.changing import FixedFile
from quire.store.memory import MemoryStore
from tests.distributions import make_wheel, wheel_name

FIXED = FixedFile(wheel_name("acme", "2.0"), "2.0", False, "It lies in a folder.")
HIDDEN = FixedFile(wheel_name("acme", "1.0"), "1.0", True, "Another one lies in a folder.")


def upload(index: Index, version: str) -> Upload:
    staging = index.store.blobs.stage(upload_key(wheel_name("acme", version)))
    staging.write(make_wheel("acme", version))
    return examine(staging.finish(), wheel_name("acme", version))


def publish(index: Index, version: str) -> None:
    changing.publish(index, [upload(index, version)])


def test_each_change_is_logged_once_with_its_origin() -> None:
    """By a request: its user and its id. By a command: the origin of the index. A call that changed nothing logs
    nothing."""
    index = Index(MemoryStore(), origin=Origin(user="root", command="quire yank"))
    asked = Origin(user="alice", request="5eb63bbb-1")
    with capture_logs() as logs:
        changing.publish(index, [upload(index, "1.0")], origin=asked)
        changing.publish(index, [upload(index, "1.0")], origin=asked)
        changing.yank(index, "acme", Selection(version="1.0"), ())
        changing.yank(index, "acme", Selection(version="1.0"), ())
        changing.unyank(index, "acme", Selection(filename=wheel_name("acme", "1.0")), ())
        changing.set_status(index, "acme", Status.DEPRECATED)
        changing.delete(index, "acme", Selection(version="1.0"), (), origin=asked)
    by = [(line["event"], line["user"], line.get("request")) for line in logs]
    assert by == [
        ("published", "alice", "5eb63bbb-1"),
        ("already published", "alice", "5eb63bbb-1"),
        ("yanked", "root", None),
        ("unyanked", "root", None),
        ("status set", "root", None),
        ("deleted", "alice", "5eb63bbb-1"),
    ]
    assert all(line["project"] == "acme" for line in logs)
    assert (logs[-1]["what"], logs[-1]["version"]) == ("the release 1.0", "1.0")


def test_several_files_are_published_in_one_step_and_logged_each() -> None:
    """Of a release of which one file is published already, only the other one is new."""
    index = Index(MemoryStore(), origin=Origin(user="root", command="quire import"))
    publish(index, "1.0")
    with capture_logs() as logs:
        change = changing.publish(index, [upload(index, "1.0"), upload(index, "2.0")], imported=True)
    assert change.after is not None
    assert sorted(change.after.files) == [wheel_name("acme", "1.0"), wheel_name("acme", "2.0")]
    assert [(line["event"], line["file"], line["user"]) for line in logs] == [
        ("already published", wheel_name("acme", "1.0"), "root"),
        ("published", wheel_name("acme", "2.0"), "root"),
    ]


def test_a_repair_is_logged_if_it_changed_anything() -> None:
    """With the user of the command."""
    index = Index(MemoryStore(), origin=Origin(user="root", command="quire check"))
    publish(index, "1.0")

    def rename(project: Project | None) -> Project:
        assert project is not None
        return msgspec.structs.replace(project, name="Acme")

    with capture_logs() as logs:
        assert changing.repair(index, "acme", rename).changed
        assert not changing.repair(index, "acme", rename).changed
    assert [(line["event"], line["project"], line["user"]) for line in logs] == [("repaired", "acme", "root")]


def test_a_change_of_which_a_part_cannot_be_made_is_refused() -> None:
    """A drop-in among what is meant: nothing is changed. One that is hidden would come to light by a deletion only."""
    index = Index(MemoryStore())
    publish(index, "1.0")
    before = index.project("acme")
    with pytest.raises(ReadOnlyFile, match="It lies in a folder"):
        changing.yank(index, "acme", Selection(version="2.0"), [FIXED, HIDDEN])
    with pytest.raises(ReadOnlyFile, match="Another one lies in a folder"):
        changing.delete(index, "acme", Selection(version="1.0"), [FIXED, HIDDEN])
    with pytest.raises(ReadOnlyFile):
        changing.delete(index, "acme", Selection(), [FIXED])
    with pytest.raises(NotFound):
        changing.delete(index, "acme", Selection(version="3.0"), [FIXED])
    assert index.project("acme") == before
    changing.yank(index, "acme", Selection(version="1.0"), [FIXED, HIDDEN])
    changing.delete(index, "acme", Selection(version="1.0"), [FIXED])
    assert index.project("acme") is None
