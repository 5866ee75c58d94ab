"""Importing a folder: everything that was served is taken, nothing is lost or overwritten, and it can be repeated.

Replaced here: system calls, since no real file system refuses links or is overtaken by another process on request,
and reading, where nothing may be read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quire import cli
from quire.catalog.composing import ProjectNames, Projects
from quire.catalog.drop_ins import DropIns
from quire.catalog.hosted import Hosted, HostedFile
from quire.domain.changes import Selection
from quire.domain.errors import StoreFull
from quire.domain.project import File, Status
from quire.dropin.folder import Folder
from quire.index.audit.reading import LogReader
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.operations.importing import Importer, Outcome, Report, Result
from quire.operations.importing import project as project_import
from quire.operations.importing.project import BATCH_FILES
from quire.store.faults import Fault
from quire.store.memory import MemoryStore
from quire.store.posix.directory import Directories
from quire.store.posix.store import PosixStore
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name

MTIME = 1_580_601_600_123_456_000
UPLOADED = "2020-02-02T00:00:00.123456Z"


def put(folder: Path, name: str = "alpha", version: str = "1.0", *, sdist: bool = False, **options: Any) -> Path:
    """A distribution in a folder, some years old."""
    data = make_sdist(name, version, **options) if sdist else make_wheel(name, version, **options)
    path = folder / (sdist_name(name, version) if sdist else wheel_name(name, version))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(MTIME, MTIME))
    return path


def new_index(root: Path) -> Index:
    root.mkdir(parents=True, exist_ok=True)
    return Index(PosixStore.open(root))


def files_of(index: Index, name: str = "alpha") -> dict[str, File]:
    project = index.project(name)
    return dict(project.files) if project is not None else {}


def content(index: Index, file: File, suffix: str = "") -> bytes:
    with index.store.blobs.open(f"{file.blob}/{file.filename}{suffix}") as opened:
        return opened.read()


def only(report: Report) -> Result:
    (result,) = report.results
    return result


def publish(index: Index, filename: str, data: bytes) -> None:
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(data)
    index.publish([examine(staging.finish(), filename)])


def test_everything_that_is_served_is_taken(tmp_path: Path) -> None:
    """Wheels, sdists and installers, nested or not, with digests, metadata, signature, and the mtime as upload time."""
    wheel = put(tmp_path / "in")
    sdist = put(tmp_path / "in" / "old", "Beta.Project", "0.1", sdist=True)
    (tmp_path / "in" / "gamma-1.0.win32-py2.7.exe").write_bytes(b"MZ")
    (tmp_path / "in" / "README.txt").write_text("no distribution")
    (tmp_path / "in" / f"{wheel.name}.asc").write_bytes(b"signature")
    index = new_index(tmp_path / "root")
    report = Importer(index, tmp_path / "in").run()
    assert [result.outcome for result in report.results] == [Outcome.IMPORTED] * 3
    assert not report.failed
    assert index.names() == ("alpha", "beta-project", "gamma")
    file = files_of(index)[wheel.name]
    assert file.sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert (file.size, file.uploaded, file.requires_python) == (wheel.stat().st_size, UPLOADED, ">=3.8")
    assert file.signed
    assert content(index, file) == wheel.read_bytes()
    assert content(index, file, ".asc") == b"signature"
    assert hashlib.sha256(content(index, file, ".metadata")).hexdigest() == file.metadata_sha256
    beta = index.project("beta-project")
    assert beta is not None
    assert (beta.name, list(beta.files)) == ("Beta.Project", [sdist.name])
    assert wheel.exists()
    assert sdist.exists()


def test_folders_that_were_not_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, each with a sentence, also in JSON; the rest is imported."""
    source, target = tmp_path / "in", tmp_path / "root"
    put(source)
    put(source / "closed", "beta")
    put(source / "a\nb", "gamma")
    put(source / os.fsdecode(b"\xff"), "delta")
    put(source / ".hidden", "epsilon")
    original = Directories.open

    def opens(self: Directories, path: str) -> Any:
        if path == str(source / "closed"):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
        return original(self, path)

    target.mkdir()
    monkeypatch.setattr(Directories, "open", opens)
    assert cli.main(["import", str(source), "--into", str(target)]) == 1
    said = capsys.readouterr()
    assert "closed: refused: This folder cannot be read" in said.err
    assert said.err.count("This folder was not read for the characters of its name") == 2
    assert "1 file imported" in said.out
    assert "3 refused" in said.out
    assert cli.main(["import", str(source), "--into", str(target), "--json"]) == 1
    files = json.loads(capsys.readouterr().out)["sources"][0]["files"]
    assert {each["path"] for each in files if each["failed"]} == {"closed", "a\nb", "\\xff"}


def test_old_files_are_judged_as_drop_ins_are(tmp_path: Path) -> None:
    """Odd metadata, an odd version, no metadata: what uploads may not have is taken as it was served."""
    source = tmp_path / "in"
    put(source, metadata=metadata_text("other", "9", requires_python="nonsense"))
    put(source, "beta", "1.0-custom", sdist=True)
    index = new_index(tmp_path / "root")
    report = Importer(index, source).run()
    assert not report.failed
    assert files_of(index)[wheel_name("alpha", "1.0")].requires_python is None
    assert [file.version for file in files_of(index, "beta").values()] == ["1.0-custom"]


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("move", [False, True])
def test_repeating_changes_nothing(tmp_path: Path, link: bool, move: bool) -> None:
    """The second import finds everything published, writes nothing, and removes what the first one left."""
    put(tmp_path / "in")
    put(tmp_path / "in", version="2.0")
    index = new_index(tmp_path / "root")
    assert not Importer(index, tmp_path / "in", link=link).run().failed
    before = index.project("alpha")
    report = Importer(index, tmp_path / "in", link=link, move=move).run()
    assert [result.outcome for result in report.results] == [Outcome.PRESENT] * 2
    assert [result.removed for result in report.results] == [move] * 2
    assert not report.failed
    assert index.project("alpha") == before
    assert bool(list((tmp_path / "in").iterdir())) is not move


def test_other_content_is_never_overwritten(tmp_path: Path) -> None:
    """A published file stays; the conflict is told, its source stays too, and the other files are imported."""
    index = new_index(tmp_path / "root")
    published = make_wheel("alpha", "1.0", files={"x": b"published"})
    publish(index, wheel_name("alpha", "1.0"), published)
    same_size = put(tmp_path / "in")
    same_size.write_bytes(b"PX" + published[2:])
    put(tmp_path / "in", version="2.0")
    report = Importer(index, tmp_path / "in", move=True).run()
    assert [result.outcome for result in report.results] == [Outcome.CONFLICT, Outcome.IMPORTED]
    assert [result.filename for result in report.failed] == [same_size.name]
    assert content(index, files_of(index)[same_size.name]) == published
    assert same_size.exists()


@pytest.mark.parametrize("move", [False, True])
def test_a_deleted_filename_gets_no_other_content(tmp_path: Path, move: bool) -> None:
    """A file that was deleted from the store with other content is a conflict and stays; the others are taken."""
    index = new_index(tmp_path / "root")
    publish(index, wheel_name("alpha", "1.0"), make_wheel("alpha", "1.0"))
    index.delete("alpha", Selection())
    other = put(tmp_path / "in", files={"more": b"other"})
    put(tmp_path / "in", version="2.0")
    report = Importer(index, tmp_path / "in", move=move).run()
    assert [result.outcome for result in report.results] == [Outcome.CONFLICT, Outcome.IMPORTED]
    assert "never comes back with other content" in str(report.results[0].note)
    assert list(files_of(index)) == [wheel_name("alpha", "2.0")]
    assert other.exists()
    put(tmp_path / "in")
    again = Importer(index, tmp_path / "in").run().results[0]
    assert (again.filename, again.outcome) == (wheel_name("alpha", "1.0"), Outcome.IMPORTED)


def test_a_lost_file_is_restored(tmp_path: Path) -> None:
    """A file that is listed and whose bytes are gone is taken again from the folder."""
    index = new_index(tmp_path / "root")
    path = put(tmp_path / "in")
    assert only(Importer(index, tmp_path / "in").run()).outcome is Outcome.IMPORTED
    (file,) = files_of(index).values()
    index.store.blobs.remove(f"{file.blob}/{file.filename}")
    assert only(Importer(index, tmp_path / "in", move=True).run()).outcome is Outcome.IMPORTED
    assert not path.exists()
    (after,) = files_of(index).values()
    assert (after.sha256, after.uploaded) == (file.sha256, file.uploaded)
    assert hashlib.sha256(content(index, after)).hexdigest() == file.sha256


def test_a_deletion_meanwhile_is_seen(tmp_path: Path) -> None:
    """Another writer publishes other content and deletes it between reading the record and the publication."""
    put(tmp_path / "in")
    store = MemoryStore()
    index, other = Index(store), Index(store.shared())

    def meanwhile() -> None:
        publish(other, wheel_name("alpha", "1.0"), make_wheel("alpha", "1.0", files={"more": b"other"}))
        other.delete("alpha", Selection())

    store.faults.call("read", meanwhile, skip=1)
    result = only(Importer(index, tmp_path / "in").run())
    assert index.deleted("alpha")
    assert (result.outcome, files_of(index)) == (Outcome.CONFLICT, {})


def test_a_served_folder_moves_into_the_store_in_it(tmp_path: Path) -> None:
    """The main use: afterwards the directory holds the store only, and readers see the same files and data."""
    root = tmp_path / "root"
    paths = [put(root), put(root / "sub", "beta", "0.1", sdist=True)]
    (root / f"{paths[0].name}.asc").write_bytes(b"signature")
    index = new_index(root)
    folder = Folder([root], digests=index.store.records)
    projects = Projects([Hosted(index), DropIns(folder)])
    before = {name: projects.load_blocking(name) for name in ("alpha", "beta")}
    report = Importer(index, root, facts_apply=True, move=True, link=True).run()
    assert not report.failed
    assert all(result.removed for result in report.results)
    assert sorted(path.name for path in root.rglob("*") if path.is_file() and "quire" not in path.parts) == []
    for name, view in before.items():
        after = projects.load_blocking(name, view)
        assert list(after.files) == list(view.files)
        for filename, each in after.files.items():
            old = view.files[filename].file
            assert isinstance(each, HostedFile)
            assert (each.file.hashes, each.file.uploaded, each.file.metadata_sha256) == (
                old.hashes,
                old.uploaded,
                old.metadata_sha256,
            )


def moving_between_checks(index: Index, folder: Folder, root: Path, method: str, names: str) -> list[Report]:
    """Move the root's files into the store right after whichever of the two looks comes first."""
    moved: list[Report] = []

    def then_move(looking: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            seen = looking(*arguments)
            if not moved:
                moved.append(Importer(new_index(root), root, move=True).run())
            return seen

        return wrapped

    setattr(index.store.records, names, then_move(getattr(index.store.records, names)))
    setattr(folder, method, then_move(getattr(folder, method)))
    return moved


def test_no_answer_misses_a_file_on_its_way(tmp_path: Path) -> None:
    """A reader between whose two looks a file is published and leaves its folder sees it all the same."""
    path = put(tmp_path)
    index, folder = new_index(tmp_path), Folder([tmp_path], racy_window=0)
    moved = moving_between_checks(index, folder, tmp_path, "project", "read")
    assert list(Projects([Hosted(index), DropIns(folder)]).load_blocking("alpha").files) == [path.name]
    assert only(moved[0]).removed


def test_the_list_of_projects_misses_none_on_its_way(tmp_path: Path) -> None:
    """The same for the list of projects."""
    put(tmp_path)
    index, folder = new_index(tmp_path), Folder([tmp_path], racy_window=0)
    moved = moving_between_checks(index, folder, tmp_path, "names", "names")
    assert list(ProjectNames([Hosted(index), DropIns(folder)]).load_blocking().names) == ["alpha"]
    assert only(moved[0]).removed


def test_derived_digests_save_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that servers have stored of the served folder are believed where nothing is removed; nothing is read
    again."""
    root = tmp_path / "root"
    put(root)
    index = new_index(root)
    Folder([root], digests=index.store.records, wall=lambda: 1e12).project("alpha")
    assert not Importer(index, root, facts_apply=True).run().failed

    def no_reading(*_: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(project_import, "read_unchanged", no_reading)
    assert only(Importer(index, root, facts_apply=True).run()).outcome is Outcome.PRESENT


def test_a_file_that_cannot_be_imported_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    """A truncated wheel, a link to outside, a name too long, a closed project: each with its sentence."""
    source = tmp_path / "in"
    good = put(source, "good", "1.0")
    (source / "half-1.0-py3-none-any.whl").write_bytes(good.read_bytes()[:-30])
    (source / "linked-1.0.zip").symlink_to("/etc/passwd")
    (source / f"long-{'1' * 235}.exe").write_bytes(b"MZ")
    long = source / f"long-1.0.{'0' * 230}.zip"
    long.write_bytes(make_wheel("long", "1.0"))
    put(source, "closed", "1.0")
    index = new_index(tmp_path / "root")
    publish(index, wheel_name("closed", "0.1"), make_wheel("closed", "0.1"))
    index.set_status("closed", Status.ARCHIVED)
    report = Importer(index, source, move=True).run()
    notes = {result.project: (result.outcome, result.note) for result in report.results}
    assert notes.pop("good") == (Outcome.IMPORTED, None)
    assert {outcome for outcome, _ in notes.values()} == {Outcome.REFUSED}
    assert "complete archive" in str(notes["half"][1])
    assert "outside the folder" in str(notes["linked"][1])
    assert "longer than 240 bytes" in str(notes["long"][1])
    assert "archived" in str(notes["closed"][1])
    assert {result.project for result in report.failed} == set(notes)
    assert long.exists()


def test_copies_and_links_within_the_folder(tmp_path: Path) -> None:
    """Of several copies the preferred one is imported; equal ones go with it, a different one is a conflict."""
    source = tmp_path / "in"
    first = put(source)
    put(source / "equal")
    other = put(source / "other", files={"x": b"different"})
    (source / "beta-1.0.zip").symlink_to(first.name)
    index = new_index(tmp_path / "root")
    report = Importer(index, source, move=True).run()
    outcomes = {result.path: result.outcome for result in report.results}
    assert outcomes == {
        first.name: Outcome.IMPORTED,
        f"equal/{first.name}": Outcome.PRESENT,
        f"other/{first.name}": Outcome.CONFLICT,
        "beta-1.0.zip": Outcome.IMPORTED,
    }
    assert [path for path in source.rglob("*") if path.is_file()] == [other]


def test_a_served_file_is_not_contradicted(tmp_path: Path) -> None:
    """Importing from elsewhere: a drop-in file of that name with other content is a conflict; the same one is none."""
    root = tmp_path / "root"
    index = new_index(root)
    put(root)
    put(root, version="2.0")
    put(tmp_path / "in", files={"x": b"different"})
    put(tmp_path / "in", version="2.0")
    report = Importer(index, tmp_path / "in", drop_ins=Folder([root], digests=index.store.records)).run()
    assert [result.outcome for result in report.results] == [Outcome.CONFLICT, Outcome.IMPORTED]
    assert list(files_of(index)) == [wheel_name("alpha", "2.0")]


def test_a_project_appears_in_one_step(tmp_path: Path) -> None:
    """All files of a project are published at once; many of them in batches."""
    for minor in range(BATCH_FILES + 2):
        put(tmp_path / "in", version=f"1.{minor}")
    index = new_index(tmp_path / "root")
    assert not Importer(index, tmp_path / "in").run().failed
    changes = LogReader(index.store.records, index.name, index.prefix).project("alpha")
    assert [len(change.entry["files"]) for change in changes] == [BATCH_FILES, 2]
    assert len(files_of(index)) == BATCH_FILES + 2


def test_an_upload_meanwhile(tmp_path: Path) -> None:
    """Another writer publishes one of the files, with other content, between the check and the publication."""
    put(tmp_path / "in")
    put(tmp_path / "in", version="2.0")
    store = MemoryStore()
    content = make_wheel("alpha", "1.0", files={"x": b""})
    store.faults.call("read", lambda: publish(Index(store.shared()), wheel_name("alpha", "1.0"), content), skip=1)
    report = Importer(Index(store), tmp_path / "in").run()
    assert [result.outcome for result in report.results] == [Outcome.CONFLICT, Outcome.IMPORTED]
    assert store.state.incoming == set()


def test_an_import_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """A full store ends the import with nothing half-way; repeated, it does the rest."""
    names = ["alpha", "beta", "gamma"]
    for name in names:
        put(tmp_path / "in", name)
    store = MemoryStore()
    store.faults.next("finish", Fault.FULL, skip=2)
    report = Report()
    with pytest.raises(StoreFull):
        Importer(Index(store), tmp_path / "in", jobs=1, move=True).run(report)
    left = {path.name.partition("-")[0] for path in (tmp_path / "in").iterdir()}
    assert left | set(Index(store).names()) == set(names)  # the next one may be published, and not removed yet
    assert not store.state.incoming
    assert not Importer(Index(store), tmp_path / "in", jobs=1, move=True).run().failed
    assert list(Index(store).names()) == names
    assert list((tmp_path / "in").iterdir()) == []


def test_a_damaged_record_stops_its_project_only(tmp_path: Path) -> None:
    """The files of the project are refused, the others imported."""
    index = new_index(tmp_path / "root")
    record = index.store.records.read("main/projects/alpha")
    index.store.records.write("main/projects/alpha", b"garbage", record)
    put(tmp_path / "in")
    put(tmp_path / "in", "beta")
    report = Importer(index, tmp_path / "in").run()
    assert [result.outcome for result in report.results] == [Outcome.REFUSED, Outcome.IMPORTED]


def test_a_source_stays_when_the_stored_bytes_are_not_right(tmp_path: Path) -> None:
    """Moving reads the stored file back; when that is damaged the source is the only good one, and stays."""
    path = put(tmp_path / "in")
    index = new_index(tmp_path / "root")
    Importer(index, tmp_path / "in").run()
    file = files_of(index)[path.name]
    stored = tmp_path / "root" / "quire" / "blobs" / str(file.blob) / path.name
    stored.write_bytes(b"x" * file.size)
    result = only(Importer(index, tmp_path / "in", move=True).run())
    assert (result.outcome, result.removed, result.failed) == (Outcome.PRESENT, False, True)
    assert "damaged" in str(result.note)
    assert path.exists()


def test_a_source_that_changes_is_not_removed(tmp_path: Path) -> None:
    """A file replaced right after it was published is another file; it stays."""
    path = put(tmp_path / "in")
    index = new_index(tmp_path / "root")
    publishing = index.publish

    def replaced_after(uploads: list[Upload], **options: Any) -> Any:
        change = publishing(uploads, **options)
        path.write_bytes(make_wheel("alpha", "1.0", files={"x": b"new"}))
        return change

    index.publish = replaced_after  # type: ignore[method-assign, assignment] # the test's moment
    result = only(Importer(index, tmp_path / "in", move=True).run())
    assert (result.outcome, result.removed, result.failed) == (Outcome.IMPORTED, False, True)
    assert path.exists()


def replacing_at_the_removal(
    monkeypatch: pytest.MonkeyPatch, path: Path, before: Callable[[], object], after: Callable[[], object] | None = None
) -> None:
    """Do something at the instant between the last look at a source and the step that takes it from its place."""
    happened: list[str] = []

    def meanwhile(name: str) -> None:
        original = getattr(os, name)

        def step(source: Any, *rest: Any, **options: Any) -> Any:
            is_it = os.fspath(source) == str(path) and not happened
            if is_it:
                happened.append(name)
                before()
            result = original(source, *rest, **options)
            if is_it and after is not None:
                after()
            return result

        monkeypatch.setattr(os, name, step)

    meanwhile("unlink")
    meanwhile("rename")


def replace(path: Path, content: bytes) -> None:
    """Put a file in the place of another in one step, with the size and times of the other if it can be."""
    status = path.stat() if path.exists() else None
    new = path.with_name(".new")
    new.write_bytes(content)
    if status is not None:
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.replace(path)


@pytest.mark.parametrize("kind", ["file", "linked", "link"])
def test_a_source_that_is_replaced_at_its_removal_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The new file is at its path, however equal it looks; nothing else is left beside it."""
    path, index = put(tmp_path / "in"), new_index(tmp_path / "root")
    if kind == "link":
        target = path.rename(path.with_name("alpha-0.9.data"))
        path.symlink_to(target)
    old = path.read_bytes()
    new = bytes([*old[:-1], old[-1] ^ 1])
    replacing_at_the_removal(monkeypatch, path, lambda: replace(path, new))
    result = only(Importer(index, tmp_path / "in", move=True, link=kind == "linked").run())
    assert (result.outcome, result.removed, result.failed) == (Outcome.IMPORTED, False, True)
    assert "changed meanwhile" in str(result.note)
    assert path.read_bytes() == new
    assert sorted(each.name for each in path.parent.iterdir()) == (
        ["alpha-0.9.data", path.name] if kind == "link" else [path.name]
    )


def test_a_newer_file_is_not_replaced_by_one_that_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two files that came while the source was removed the later one stays."""
    path, index = put(tmp_path / "in"), new_index(tmp_path / "root")
    replacing_at_the_removal(monkeypatch, path, lambda: replace(path, b"new"), lambda: replace(path, b"newer still"))
    assert not only(Importer(index, tmp_path / "in", move=True).run()).removed
    assert path.read_bytes() == b"newer still"
    assert list(path.parent.iterdir()) == [path]


def test_a_signature_that_is_replaced_at_its_removal_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for what lies beside a source."""
    path, index = put(tmp_path / "in"), new_index(tmp_path / "root")
    signature = path.with_name(f"{path.name}.asc")
    signature.write_bytes(b"signed")
    replacing_at_the_removal(monkeypatch, signature, lambda: replace(signature, b"other!"))
    result = only(Importer(index, tmp_path / "in", move=True).run())
    assert (result.removed, "signature" in str(result.note)) == (True, True)
    assert signature.read_bytes() == b"other!"
    assert list(path.parent.iterdir()) == [signature]


def test_where_there_are_no_hard_links_a_replaced_source_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps the name that it was given, and the report says which."""
    path, index = put(tmp_path / "in"), new_index(tmp_path / "root")

    def refuse(*_: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    replacing_at_the_removal(
        monkeypatch, path, lambda: replace(path, b"new"), lambda: monkeypatch.setattr(os, "link", refuse)
    )
    result = only(Importer(index, tmp_path / "in", move=True).run())
    (left,) = path.parent.iterdir()
    assert (result.removed, left.name in str(result.note), left.read_bytes()) == (False, True, b"new")


def test_links_share_the_bytes_only_where_that_is_safe(tmp_path: Path) -> None:
    """A hard link where no other user can write into the file; a copy where one can, and by default."""
    index = new_index(tmp_path / "root")
    mine, shared = put(tmp_path / "in", "mine"), put(tmp_path / "in", "shared")
    mine.chmod(0o644)
    shared.chmod(0o664)
    assert not Importer(index, tmp_path / "in", link=True).run().failed
    assert (mine.stat().st_nlink, shared.stat().st_nlink) == (2, 1)
    for name in ("mine", "shared"):
        (file,) = files_of(index, name).values()
        assert hashlib.sha256(content(index, file)).hexdigest() == file.sha256
    copied = put(tmp_path / "copied", "copied")
    assert not Importer(index, tmp_path / "copied").run().failed
    assert copied.stat().st_nlink == 1


def test_a_young_link_to_an_old_file_is_not_swept(tmp_path: Path) -> None:
    """Another worker's sweep leaves an adopted file alone, although its mtime is years old."""
    store = PosixStore.open(tmp_path)
    path = put(tmp_path / "in")
    path.chmod(0o644)
    staged = store.blobs.adopt(str(path), "alpha/x/file")
    assert staged is not None
    assert store.sweep(3600) == 0
    store.blobs.publish(staged)
    assert [blob.size for blob in store.blobs.list()] == [path.stat().st_size]
    assert store.sweep(0) == 0


def test_what_cannot_be_adopted(tmp_path: Path) -> None:
    """A symbolic link, a directory, a FIFO, a missing file: none is staged, and nothing is left."""
    store = PosixStore.open(tmp_path)
    (tmp_path / "link").symlink_to("format")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "directory", "fifo", "missing"):
        assert store.blobs.adopt(str(tmp_path / name), "alpha/x/file") is None
    assert list((tmp_path / "quire" / "incoming").iterdir()) == []


def test_a_file_that_was_imported_can_be_deleted_and_imported_again(tmp_path: Path) -> None:
    """An import after a deletion publishes again, under another key."""
    put(tmp_path / "in")
    index = new_index(tmp_path / "root")
    Importer(index, tmp_path / "in").run()
    (before,) = files_of(index).values()
    index.delete("alpha", Selection())
    assert only(Importer(index, tmp_path / "in").run()).outcome is Outcome.IMPORTED
    (after,) = files_of(index).values()
    assert before.blob != after.blob
