"""Sources: what each is asked, how their answers become one, and those that have to be awaited.

Replaced here: the reading of one source, since a change between two readings of one page comes by chance otherwise.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import Awaitable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.catalog.composing import Projects
from quire.catalog.drop_ins import DropInFile, DropIns
from quire.catalog.hosted import Hosted, HostedFile
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.catalog.sources import Content, ListedFile
from quire.catalog.views import ProjectView
from quire.domain.changes import Selection
from quire.domain.errors import NotFound, StoreError
from quire.domain.project import File, Status
from quire.dropin.folder import Folder
from quire.dropin.listing import Listing
from quire.index.index import Index
from quire.observe.metrics.tally import BarrierTally
from quire.process.budget import Budget
from quire.process.threads import Threads
from quire.store.memory import MemoryStore
from quire.store.open_blob import OpenBlob
from tests.clocks import Clock
from tests.distributions import make_wheel, wheel_name
from tests.dropin.test_folder import much_later
from tests.index.test_index import staged_wheel

RACY_WINDOW = 2.5
"""Seconds."""


def _drop_ins(folder: Path, clock: Clock) -> DropIns:
    """They believe that nothing has changed when the clock was moved by RACY_WINDOW since they were asked."""
    return DropIns(Folder([folder], racy_window=RACY_WINDOW, clock=clock, wall=much_later))


class Place:
    """A source of its own kind, and how files get there and away."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._folder = folder
        self._index = Index(MemoryStore())
        self.clock = Clock()
        self.source: Any = Hosted(self._index) if kind == "hosted" else _drop_ins(folder, self.clock)
        self._is_hosted = kind == "hosted"

    def settle(self) -> None:
        """Let a change be long ago."""
        self.clock.now += RACY_WINDOW

    def add(self, name: str, version: str) -> None:
        if self._is_hosted:
            self._index.publish([staged_wheel(self._index.store, name, version)])
        else:
            (self._folder / wheel_name(name, version)).write_bytes(make_wheel(name, version))

    def remove(self, name: str, version: str) -> None:
        if self._is_hosted:
            self._index.delete(name, Selection(version=version))
        else:
            (self._folder / wheel_name(name, version)).unlink()


@pytest.fixture(params=["hosted", "drop-ins"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    return Place(request.param, tmp_path)


def _names(files: Iterable[ListedFile]) -> list[str]:
    return sorted(each.file.filename for each in files)


def test_an_answer_stays_the_same_object_until_it_changes(place: Place) -> None:
    """So that what was made of it can be kept: a project, its absence, and the list of names."""
    source = place.source
    absent, names = source.project("alpha", None), source.names(None)
    assert (absent.exists, list(absent.files()), names.names) == (False, [], ())
    assert source.project("alpha", absent) is absent
    assert source.names(names) is names
    place.add("alpha", "1.0")
    assert source.project_inline("alpha", absent, object()) is not absent
    assert not source.names_unchanged(names)
    present = source.project("alpha", absent)
    assert (present.exists, _names(present.files())) == (True, [wheel_name("alpha", "1.0")])
    place.settle()
    assert source.project("alpha", present) is present
    assert source.project_inline("alpha", present, object()) is present
    names = source.names(names)
    assert names.names == ("alpha",)
    assert source.names(names) is names
    assert source.names_unchanged(names)
    place.remove("alpha", "1.0")
    gone = source.project("alpha", present)
    assert list(gone.files()) == []
    assert source.claims("alpha") == gone.was_written
    assert not source.claims("never-here")


def test_a_name_that_was_never_asked_for_is_told_at_once_where_there_is_nothing(place: Place) -> None:
    """Else it takes a thread, which reads files or records; so it does while a folder would have to be listed."""
    source = place.source
    place.add("alpha", "1.0")
    first = source.first_inline("beta", object())
    assert (first is None) == isinstance(source, DropIns)
    source.names(None)
    place.settle()
    source.names(None)
    absent = source.first_inline("beta", object())
    assert (absent.exists, absent.was_written) == (False, False)
    assert source.project_inline("beta", absent, object()) is absent
    assert source.first_inline("alpha", object()) is None
    place.add("beta", "1.0")
    assert source.first_inline("beta", object()) is None
    place.remove("alpha", "1.0")
    assert source.first_inline("alpha", object()) is None  # deleted, or gone from the folder a moment ago


def test_a_file_says_where_its_bytes_are(place: Place) -> None:
    """Itself and its metadata; another companion, or the file after it has gone, is not found."""
    place.add("alpha", "1.0")
    (listed,) = place.source.project("alpha", None).files()
    wheel = make_wheel("alpha", "1.0")
    if isinstance(listed, HostedFile):
        wheel = make_wheel("alpha", "1.0", files={"variant.txt": b""})
    content = listed.open("")
    assert isinstance(content.body, OpenBlob)
    with content.body as blob:
        assert blob.read() == wheel
    assert content.digest == hashlib.sha256(wheel).hexdigest()
    assert listed.is_permanent == (listed.file.sha256 in listed.place) == (listed.removal_problem is None)
    document = listed.metadata_document()
    assert document is not None
    assert hashlib.sha256(document).hexdigest() == listed.file.metadata_sha256 == listed.open(".metadata").digest
    for companion in (".asc", ".attestations"):
        with pytest.raises(NotFound):
            listed.open(companion)


def test_a_drop_in_that_was_replaced_is_not_given_as_the_old_one(tmp_path: Path) -> None:
    """The listing of a file is true of the bytes that it gives, or it gives none."""
    path = tmp_path / wheel_name("alpha", "1.0")
    path.write_bytes(make_wheel("alpha", "1.0"))
    (listed,) = _drop_ins(tmp_path, Clock()).project("alpha", None).files()
    path.write_bytes(make_wheel("alpha", "1.0", files={"more": b"more"}))
    with pytest.raises(NotFound):
        listed.open("")


def test_the_first_source_hides_files_of_the_same_name(tmp_path: Path) -> None:
    """A hosted file comes before a drop-in; the drop-in is still known as one that cannot be removed."""
    index = Index(MemoryStore())
    for version in ("1.0", "2.0"):
        (tmp_path / wheel_name("alpha", version)).write_bytes(make_wheel("alpha", version))
    index.publish([staged_wheel(index.store, "alpha", "1.0")])
    view = Projects([Hosted(index), _drop_ins(tmp_path, Clock())]).load_blocking("alpha")
    kinds: dict[str, type] = {name: type(each) for name, each in view.files.items()}
    assert kinds == {wheel_name("alpha", "1.0"): HostedFile, wheel_name("alpha", "2.0"): DropInFile}
    drop_ins = [each for each in view.all_files() if each.removal_problem is not None]
    assert _names(drop_ins) == [wheel_name("alpha", version) for version in ("1.0", "2.0")]


def test_a_small_change_is_merged_without_a_thread(tmp_path: Path) -> None:
    """Of the hosted files, beside drop-ins that have not changed; a changed drop-in takes a thread."""
    index, clock, tick = Index(MemoryStore()), Clock(), Projects.begin_tick
    (tmp_path / wheel_name("alpha", "1.0")).write_bytes(make_wheel("alpha", "1.0"))
    projects = Projects([Hosted(index), _drop_ins(tmp_path, clock)])
    before = projects.load_blocking("alpha")
    clock.now += RACY_WINDOW
    assert projects.load_blocking("alpha", before) is before
    index.publish([staged_wheel(index.store, "alpha", "2.0")])
    tick(projects)
    after = projects.load_inline("alpha", before)
    assert after is not None
    assert _names(after.files.values()) == [wheel_name("alpha", version) for version in ("1.0", "2.0")]
    tick(projects)
    assert projects.load_inline("alpha", after) is after
    (tmp_path / wheel_name("alpha", "3.0")).write_bytes(make_wheel("alpha", "3.0"))
    tick(projects)
    assert projects.load_inline("alpha", after) is None


@pytest.mark.parametrize("way", ["first", "again", "inline", "awaited"])
def test_a_page_is_of_one_moment(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is dropped in after the drop-ins were read, and then another one is uploaded before the hosted files are:
    no answer has the second one alone. Read for the first time and once more, in a thread and without; and before
    another server is asked."""
    index, clock, far = Index(MemoryStore()), Clock(), Far()
    hosted, drop_ins = Hosted(index), _drop_ins(tmp_path, clock)
    index.publish([staged_wheel(index.store, "alpha", "0.1")])
    behind: dict[str, Any] = {"behind": [[far]], "joined": [{"alpha"}]} if way == "awaited" else {}
    projects = Projects([hosted, drop_ins], **behind)
    known = projects.load_blocking("alpha") if way in {"again", "inline"} else None
    clock.now += RACY_WINDOW
    assert known is None or projects.load_blocking("alpha", known) is known
    step = "project_inline" if way == "inline" else "project"
    read = getattr(hosted, step)

    def meanwhile(*asked: Any) -> Any:
        path = tmp_path / wheel_name("alpha", "1.5")
        if not path.exists():
            path.write_bytes(make_wheel("alpha", "1.5"))
            index.publish([staged_wheel(index.store, "alpha", "2.0")])
        return read(*asked)

    monkeypatch.setattr(hosted, step, meanwhile)
    if way == "inline":
        projects.begin_tick()
        assert projects.load_inline("alpha", known) is None
        return
    loaded = projects.load("alpha", known)
    view = loaded if isinstance(loaded, ProjectView) else asyncio.run(_awaited(loaded))
    assert {wheel_name("alpha", version) for version in ("0.1", "1.5", "2.0")} <= set(view.files)


async def _awaited(loaded: Awaitable[ProjectView]) -> ProjectView:
    return await loaded


def test_a_page_with_an_unchanged_record_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drop-ins are not read twice for it: hosted files that are as they were before have been so all the time."""
    index = Index(MemoryStore())
    index.publish([staged_wheel(index.store, "alpha", "1.0")])
    drop_ins = _drop_ins(tmp_path, Clock())
    projects = Projects([Hosted(index), drop_ins])
    known = projects.load_blocking("alpha")
    reads: list[str] = []
    read = drop_ins.project

    def counted(name: str, known: Any) -> Any:
        reads.append(name)
        return read(name, known)

    monkeypatch.setattr(drop_ins, "project", counted)
    (tmp_path / wheel_name("alpha", "2.0")).write_bytes(make_wheel("alpha", "2.0"))
    assert len(projects.load_blocking("alpha", known).files) == 2
    assert reads == ["alpha"]


# -- a source that needs awaiting -------------------------------------------------------------------------------------


class FarFile:
    """A file on another server."""

    is_permanent = False
    removal_problem: str | None = "It belongs to another index."
    further_bytes = 0

    def __init__(self, file: File) -> None:
        self.file = file
        self.place = self.label = f"far/{file.filename}"

    def opens_inline(self, companion: str) -> bool:
        return True

    def open(self, companion: str) -> Content:
        return Content(b"far", self.file.sha256)

    def opener(self, companion: str) -> None:
        return None

    def metadata_document(self) -> bytes | None:
        return None


class FarProject:
    was_written = False
    display_name = None
    status: Status | None = None
    status_reason = None
    owners = None
    bytes_in_memory = 0

    def __init__(self, found: list[FarFile]) -> None:
        self._found = found
        self.exists = bool(found)
        self.names = ("alpha", "beta") if found else ()

    def files(self) -> Iterator[FarFile]:
        return iter(self._found)


class Far:
    """Another server, which answers on the event loop, in its own time; a source that needs awaiting."""

    needs_awaiting = True
    validates_inline = True
    may_have_files = True

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.version = "1.0"
        self._answers: dict[str, FarProject] = {}

    async def project(self, name: str, known: FarProject | None) -> FarProject:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails:
            raise StoreError("The other server is away.")
        return self._answer()

    def first_inline(self, name: str, tick: object) -> None:
        """None: it is always asked."""

    def project_inline(self, name: str, known: FarProject, tick: object) -> FarProject | None:
        return known if known is self._answers.get(self.version) else None

    async def names(self, known: FarProject | None) -> FarProject:
        await asyncio.sleep(0)
        return self._answer()

    def names_unchanged(self, known: FarProject) -> bool:
        return known is self._answers.get(self.version)

    def claims(self, name: str) -> bool:
        return False

    def disclaims_inline(self, name: str) -> bool:
        return True

    def find(self, place: str) -> None:
        return None

    def count(self) -> int:
        raise AssertionError("the files of another server are not counted")

    def _answer(self) -> FarProject:
        files = [
            File(filename=wheel_name("alpha", version), version=version, size=3, hashes={"sha256": "0" * 64})
            for version in ("1.0", self.version)
        ]
        return self._answers.setdefault(self.version, FarProject([FarFile(file) for file in files]))


@pytest.mark.parametrize("inline", [True, False])
def test_a_source_that_needs_awaiting(tmp_path: Path, inline: bool) -> None:
    """It is asked on the event loop, its answer is composed with the others', validated like theirs, and its failure
    reaches the request. Lists and counts for people, and the files that uploads are compared with, leave it out."""
    index, far, threads = Index(MemoryStore()), Far(), Threads()
    far.validates_inline = inline
    served = ServedIndex(
        index,
        [far],
        IndexPolicy(),
        budget=Budget(2**20),
        threads=threads,
        tallies={"project": BarrierTally(), "projects": BarrierTally()},
    )
    index.publish([staged_wheel(index.store, "alpha", "1.0")])

    async def scenario() -> None:
        view = await served.project("alpha")
        assert [type(each) for each in view.files.values()] == [HostedFile]
        assert view.had_record
        far.version = "2.0"
        view = await served.project("alpha")
        assert [type(each) for each in view.files.values()] == [HostedFile, FarFile]
        assert (await served.names()).names == ("alpha", "beta")
        asked = far.asked
        await asyncio.sleep(0)
        assert await served.project("alpha") is view
        assert (far.asked == asked) == inline
        assert b"far" not in (await served.file_list.get("")).page.body
        assert served.file_count.count() == 1
        assert served.existing_files("alpha") == {}
        far.fails, far.version = True, "3.0"
        await asyncio.sleep(0)
        with pytest.raises(StoreError, match="away"):
            await served.project("alpha")

    asyncio.run(scenario())
    threads.close()


def test_no_list_of_files_is_kept_for_the_names_that_it_lacks(tmp_path: Path) -> None:
    """The answer that a name is not here is remembered with the files of one moment alone."""
    clock = Clock()
    source = _drop_ins(tmp_path, clock)
    for number in range(5):
        (tmp_path / wheel_name("alpha", f"1.{number}")).write_bytes(make_wheel("alpha", f"1.{number}"))
        source.names(None)
        clock.now += RACY_WINDOW
        source.names(None)
        for name in (f"rare-{number}", "never-here"):
            assert not source.disclaims_inline(name)
            assert not source.claims(name)
            assert source.disclaims_inline(name)
    gc.collect()
    kept = [each for each in gc.get_objects() if isinstance(each, Listing) and str(tmp_path) in each.folders]
    assert len(kept) == 1
