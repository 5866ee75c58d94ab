"""`quire mirror export` and `import`: from one store to another, whole, in part, damaged, forged and interrupted.

Replaced here: the bound of a page, so that a small one is over it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from quire.cli import main
from quire.domain.project import Status
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.store.posix.store import PosixStore
from quire.upstream.page_documents import page_document, read_document
from quire.upstream.pages import UpstreamFile, UpstreamPage
from tests.asking import OPEN, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import environment, quire_command, until
from tests.upstreams import Answer, FakeIndex, page, serving_index

FAR, OTHER = wheel_name("far", "1.0"), wheel_name("other", "1.0")
METADATA = b"Metadata-Version: 2.1\nName: far\nVersion: 1.0\n"
CONTENTS = {FAR: make_wheel("far", "1.0"), OTHER: make_wheel("other", "1.0")}


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)
    for name in ("outside", "inside"):
        (tmp_path / name).mkdir()
        PosixStore.open(tmp_path / name)


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeIndex]:
    """It is that of the servers' settings."""
    with serving_index() as index:
        monkeypatch.setenv("QUIRE_UPSTREAM", index.url)
        offer(index, serial=5)
        yield index


def offer(index: FakeIndex, *, serial: int | None, version: str = "1.0") -> None:
    """Two projects; one has metadata beside its file, and numbers its pages."""
    name = wheel_name("far", version)
    index.has("far", {FAR: CONTENTS[FAR], name: make_wheel("far", version)})
    body = json.loads(index.answers["/simple/far/"][0].body)
    body["files"][0]["core-metadata"] = {"sha256": hashlib.sha256(METADATA).hexdigest()}
    if serial is not None:
        body["meta"]["_last-serial"] = serial
    index.at("/simple/far/", Answer(json.dumps(body).encode(), page([]).content_type))
    index.at(f"/files/{FAR}.metadata", Answer(METADATA))
    index.has("other", {OTHER: CONTENTS[OTHER]})


class Quire:
    """Runs `quire mirror` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def fetch(self, upstream: FakeIndex, *pins: str) -> None:
        Path("pins.txt").write_text("\n".join(pins or ("far", "other")).replace("\n", "==1.0\n") + "==1.0\n")
        self("fetch", "--upstream", upstream.url, "pins.txt", "-d", "outside")

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        """The JSON document that it prints."""
        found = main(["mirror", *arguments, "--json"])
        out, err = self._capsys.readouterr()
        assert found == code, out + err
        return json.loads(out)

    def refusal(self, *arguments: str, code: int = 1) -> str:
        """The one line that it ends with."""
        assert main(["mirror", *arguments]) == code
        out, err = self._capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1, err
        return err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export as `kept`, and as `kept.tar`; tests copy it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "store").mkdir()
    PosixStore.open(folder / "store")
    (folder / "pins.txt").write_text("far==1.0\nother==1.0\n")
    with serving_index() as index, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        offer(index, serial=5)
        store = ("-d", str(folder / "store"))
        assert main(["mirror", "fetch", "--upstream", index.url, str(folder / "pins.txt"), *store]) == 0
        for target in ("kept", "kept.tar"):
            assert main(["mirror", "export", str(folder / target), "--upstream", index.url, *store]) == 0
    return folder


@pytest.fixture
def export(whole: Path, tmp_path: Path) -> None:
    """`kept` and `kept.tar` in the working directory."""
    shutil.copytree(whole / "kept", tmp_path / "kept")
    shutil.copy(whole / "kept.tar", tmp_path / "kept.tar")


@pytest.fixture
def quire(capsys: pytest.CaptureFixture[str]) -> Quire:
    return Quire(capsys)


def mirrored(root: str) -> list[str]:
    """The names of the files in a store's mirror, without metadata that was made of them."""
    names = (blob.key.rpartition("/")[2] for blob in PosixStore.open(Path(root)).blobs.list("mirror"))
    return sorted(name for name in names if not name.startswith("made-"))


def pages(root: str) -> dict[str, list[str]]:
    """The pages in a store's mirror: the files of each project."""
    records = PosixStore.open(Path(root)).records
    found = {}
    for prefix in records.prefixes():
        for name in records.names(prefix).names if prefix.startswith("mirror/") else ():
            document = json.loads(records.read(f"{prefix}/{name}").data or b"")
            found[name] = [file["filename"] for file in document["inline"]["files"]]
    return found


# -- whole ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["kept", "kept.tar"])
def test_all_that_is_kept(quire: Quire, upstream: FakeIndex, tmp_path: Path, target: str) -> None:
    """The other store serves it without a network, byte for byte and page for page; again, nothing is new. The page is
    that of a project with metadata: a server makes those of others once it has the file."""
    quire.fetch(upstream)
    exported = quire("export", target, "-d", "outside")
    assert (exported["pages"], exported["files"], exported["missing"]) == (2, 3, [])
    imported = quire("import", target, "-d", "inside", "--sha256", exported["sha256"])
    assert (imported["pages"], imported["files"], imported["present"]) == (2, 3, 0)
    assert imported["upstreams"] == [f"{upstream.url.rstrip('/')}/"]
    status = quire("status", "-d", "inside")
    assert (status["oldest_use"], status["unused"]) == (None, 3)
    assert status["upstreams"][0]["url"] == imported["upstreams"][0]
    again = quire("import", target, "-d", "inside")
    assert (again["pages"], again["files"], again["present"], again["kept_pages"]) == (0, 0, 3, 2)
    if target == "kept":
        return
    asked = len(upstream.paths)
    (tmp_path / "served").mkdir()
    for name, place in (("outside", "there"), ("inside", "here")):
        folder = tmp_path / "served" / place
        folder.mkdir()
        shutil.copytree(name, folder / "packages")
        with serve(folder, *OPEN, "--upstream", upstream.url, "--upstream-offline", NO_PROXY="*") as site:
            listed = site.get("/simple/far/", accept="application/vnd.pypi.simple.v1+json").content
            for project, filename in (("far", FAR), ("other", OTHER)):
                assert site.client.get(site.file_url(project, filename)).content == CONTENTS[filename]
            assert site.client.get(f"{site.file_url('far', FAR)}.metadata").content == METADATA
        if place == "there":
            expected = listed
        else:
            assert listed == expected
    assert len(upstream.paths) == asked


def test_an_export_again_into_a_folder_writes_what_is_new(quire: Quire, upstream: FakeIndex) -> None:
    """A file that is there stays as it is; a damaged one is written again."""
    quire.fetch(upstream, "other")
    quire("export", "kept", "-d", "outside")
    (other,) = Path("kept/files").iterdir()
    before = other.stat().st_ino
    quire.fetch(upstream)
    quire("export", "kept", "-d", "outside")
    assert len(list(Path("kept/files").iterdir())) == 3
    assert other.stat().st_ino == before
    other.write_bytes(b"x" * other.stat().st_size)
    quire("export", "kept", "-d", "outside")
    assert other.read_bytes() == CONTENTS[OTHER]


def test_the_files_of_a_lock(quire: Quire, upstream: FakeIndex) -> None:
    """With the pages of their projects and no others; a file that is not kept and a project of the store's own are
    named."""
    quire.fetch(upstream)
    index, mine = Index(PosixStore.open(Path("outside"))), wheel_name("mine", "1.0")
    staging = index.store.blobs.stage(upload_key(mine))
    staging.write(make_wheel("mine", "1.0"))
    index.publish([examine(staging.finish(), mine)])
    Path("lock.txt").write_text("other==1.0\nmine==1.0\nnone==1.0\nfar==2.0\n")
    exported = quire("export", "kept.tar", "--lock", "lock.txt", "-d", "outside", code=1)
    assert exported["own"] == ["mine"]
    assert [each["project"] for each in exported["missing"]] == ["far", "none"]
    quire("import", "kept.tar", "-d", "inside")
    assert mirrored("inside") == [OTHER]
    assert sorted(pages("inside")) == ["far", "other"]


def test_the_url_of_an_upstream_goes_with_it(
    quire: Quire, upstream: FakeIndex, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a definition, the settings, or the command line; without it nothing could name what was carried over, and
    nothing is written, unless that upstream is left out or has nothing that is wanted."""
    quire.fetch(upstream)
    monkeypatch.delenv("QUIRE_UPSTREAM")
    (name,) = (each["name"] for each in quire("status", "-d", "outside")["upstreams"])
    for target in ("kept", "kept.tar"):
        assert f"The URL of the upstream {name} is not known here" in quire.refusal(
            "export", target, "-d", "outside", code=2
        )
        assert not [each for each in Path().rglob("*") if each.is_file() and "kept" in each.parts[0]]
    assert "--upstream: " in quire.refusal("export", "kept", "--upstream", "ftp://x", "-d", "outside", code=2)
    assert quire("export", "none", "--skip-unknown", "-d", "outside")["pages"] == 0
    Path("lock.txt").write_text("none==1.0\n")
    assert quire("export", "none", "--lock", "lock.txt", "-d", "outside", code=1)["pages"] == 0
    others = ("--upstream", "https://other.example/simple/")
    assert quire("export", "kept", *others, "--upstream", upstream.url, "-d", "outside")["pages"] == 2
    assert main(["index", "set", "main", "--upstream", upstream.url, "-d", "outside"]) == 0
    capsys.readouterr()
    assert quire("status", "-d", "outside")["upstreams"][0]["url"] == f"{upstream.url.rstrip('/')}/"
    assert quire("export", "defined", "-d", "outside")["pages"] == 2


def test_a_file_that_the_upstream_lists_no_more_is_no_part_of_it(quire: Quire, upstream: FakeIndex) -> None:
    quire.fetch(upstream)
    upstream.has("other", {wheel_name("other", "2.0"): b"new"})
    Path("pins.txt").write_text("other==2.0\n")
    quire("fetch", "--upstream", upstream.url, "pins.txt", "-d", "outside")
    quire("export", "kept", "-d", "outside")
    quire("import", "kept", "-d", "inside")
    assert mirrored("inside") == sorted([FAR, f"{FAR}.metadata", wheel_name("other", "2.0")])


# -- older and newer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serials", [(5, 6), (None, None), (None, 6), (5, None)])
def test_no_page_goes_back(quire: Quire, upstream: FakeIndex, serials: tuple[int | None, int | None]) -> None:
    """By the serial numbers where both have one, else by the time of confirmation; in either order of imports."""
    offer(upstream, serial=serials[0])
    quire.fetch(upstream)
    quire("export", "first", "-d", "outside")
    offer(upstream, serial=serials[1], version="2.0")
    quire.fetch(upstream)
    quire("export", "second", "-d", "outside")
    new = sorted([FAR, wheel_name("far", "2.0")])
    assert quire("import", "first", "-d", "inside")["pages"] == 2
    assert quire("import", "second", "-d", "inside")["pages"] == 2
    assert sorted(pages("inside")["far"]) == new
    again = quire("import", "first", "-d", "inside")
    assert (again["pages"], again["kept_pages"]) == (0, 2)
    assert sorted(pages("inside")["far"]) == new


# -- damaged and forged -----------------------------------------------------------------------------------------------


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the entries of an exported folder's list, with the number of them that is right."""
    lines = [json.loads(line) for line in (path / "manifest.jsonl").read_text().splitlines()]
    change(lines)
    if lines[-1]["type"] == "end":
        lines[-1]["entries"] = len(lines) - 2
    (path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _set(kind: str, **values: object) -> Callable[[list[dict[str, Any]]], object]:
    def change(lines: list[dict[str, Any]]) -> None:
        next(line for line in lines if line["type"] == kind).update(values)

    return change


FORGERIES: Mapping[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "a path as a project": (_set("file", project="../../etc"), "an entry that cannot be"),
    "a path as a filename": (_set("file", name="../../far-1.0-py3-none-any.whl"), "an entry that cannot be"),
    "a path as an upstream": (_set("file", upstream="../x"), "an entry that cannot be"),
    "a path as a digest": (_set("file", sha256="../../../etc/passwd"), "an entry that cannot be"),
    "a file of another project": (_set("file", project="other"), "an entry that cannot be"),
    "a file with another digest than its name": (_set("file", of="0" * 64), "an entry that cannot be"),
    "a negative size": (_set("file", size=-1), "an entry that cannot be"),
    "an upstream with another URL": (
        lambda lines: lines[0]["upstreams"].update(dict.fromkeys(lines[0]["upstreams"], "https://x.example/")),
        "an upstream",
    ),
    "a newer format": (_set("quire mirror", format=2), "of a newer quire"),
    "no end": (lambda lines: lines.pop(), "is not whole"),
    "no head": (lambda lines: lines.pop(0), "has no head"),
    "two entries of one file": (
        lambda lines: lines.insert(-1, next(line for line in lines if line["type"] == "file")),
        "is not whole",
    ),
    "a file that its page does not list": (
        _set("file", name="far-9.0-py3-none-any.whl", of="0" * 64, sha256="0" * 64),
        "a file far-9.0-py3-none-any.whl that its page does not list",
    ),
    "a file without a page": (
        lambda lines: lines.remove(next(line for line in lines if line["type"] == "page")),
        "that no page lists",
    ),
    "a time without a zone": (_set("page", confirmed="2026-01-01T00:00:00"), "an entry that cannot be"),
}


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize(("change", "words"), FORGERIES.values(), ids=FORGERIES)
def test_a_forged_list(quire: Quire, change: Callable[[list[dict[str, Any]]], object], words: str) -> None:
    """One sentence, and nothing is imported."""
    rewrite(Path("kept"), change)
    assert words in quire.refusal("import", "kept", "-d", "inside")
    assert (mirrored("inside"), pages("inside")) == ([], {})


@pytest.mark.usefixtures("export")
def test_forged_metadata(quire: Quire) -> None:
    """The page announces the digest of the metadata beside a file: no list of an export changes it."""
    forged = METADATA + b"Requires-Dist: evil\n"
    digest = hashlib.sha256(forged).hexdigest()
    (Path("kept/files") / digest).write_bytes(forged)

    def change(lines: list[dict[str, Any]]) -> None:
        next(line for line in lines if line.get("name", "").endswith(".metadata")).update(
            sha256=digest, size=len(forged)
        )

    rewrite(Path("kept"), change)
    assert "that its page does not list" in quire.refusal("import", "kept", "-d", "inside")
    assert mirrored("inside") == []


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize("pack", ["zstd bomb", "other bytes", "other project"])
def test_a_page_that_is_none(quire: Quire, pack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too long, of other bytes, or of another project."""
    if pack == "zstd bomb":
        monkeypatch.setattr("quire.operations.mirroring.importing.MAX_CONTENT_BYTES", 100_000)
    data = {
        "zstd bomb": zstandard.compress(b" " * 200_000),
        "other bytes": b"no zstd",
        "other project": zstandard.compress(page([{"filename": FAR, "url": "https://f.example/x", "hashes": {}}]).body),
    }[pack]
    digest = hashlib.sha256(data).hexdigest()
    (Path("kept/pages") / digest).write_bytes(data)
    rewrite(Path("kept"), _set("page", sha256=digest, size=len(data)))
    sentence = quire.refusal("import", "kept", "-d", "inside")
    assert re.search("is longer than|is not readable|does not list", sentence)
    assert (mirrored("inside"), pages("inside")) == ([], {})


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize("damage", ["bytes", "size", "missing", "link", "folder link", "pipe"])
def test_a_damaged_folder(quire: Quire, tmp_path: Path, damage: str) -> None:
    """It is refused, without a page; whole again, it is imported, and files that are here are not read again."""
    path = Path("kept/files") / hashlib.sha256(CONTENTS[OTHER]).hexdigest()
    content = path.read_bytes()
    path.unlink()
    if damage == "bytes":
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "size":
        path.write_bytes(content[:-1])
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    elif damage == "folder link":
        path.write_bytes(content)
        Path("kept/files").rename(tmp_path / "elsewhere")
        Path("kept/files").symlink_to(tmp_path / "elsewhere")
    elif damage == "pipe":
        os.mkfifo(path)
    assert "The export is " in quire.refusal("import", "kept", "-d", "inside")
    assert pages("inside") == {}
    assert OTHER not in mirrored("inside")
    if damage == "folder link":
        Path("kept/files").unlink()
        (tmp_path / "elsewhere").rename("kept/files")
    else:
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    here = len(mirrored("inside"))
    imported = quire("import", "kept", "-d", "inside")
    assert (imported["present"], imported["files"], imported["pages"]) == (here, 3 - here, 2)


def _members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as archive:
        found = []
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found.append((member, file.read()))
        return found


def _archive(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize(
    "damage", ["bytes", "cut", "link", "path", "device", "no list", "long name", "other order", "gzip"]
)
def test_a_damaged_archive(quire: Quire, damage: str, tmp_path: Path) -> None:
    """One sentence, no page, nothing outside the store; the whole archive is taken then."""
    whole = Path("kept.tar").read_bytes()
    members = _members(Path("kept.tar"))
    head, content = members[-1]
    if damage == "bytes":
        members[-1] = head, bytes([content[0] ^ 1]) + content[1:]
    elif damage == "link":
        link = tarfile.TarInfo(head.name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        members[-1] = link, b""
    elif damage == "path":
        head.name = "../../../evil"
    elif damage == "device":
        head.type, head.size = tarfile.CHRTYPE, 0
        members[-1] = head, b""
    elif damage == "long name":
        head.name = "files/" + "0" * 200
    elif damage == "no list":
        del members[0]
    elif damage == "other order":
        members = [members[0], *members[:0:-1]]
    _archive(Path("kept.tar"), members)
    if damage == "cut":
        Path("kept.tar").write_bytes(whole[: len(whole) // 2])
    elif damage == "gzip":
        Path("kept.tar").write_bytes(b"\x1f\x8b" + whole)
    assert re.search(r"The (export|file) ", quire.refusal("import", "kept.tar", "-d", "inside"))
    assert pages("inside") == {}
    assert not list(tmp_path.rglob("evil"))
    Path("kept.tar").write_bytes(whole)
    assert quire("import", "kept.tar", "-d", "inside")["pages"] == 2


@pytest.mark.usefixtures("export")
@pytest.mark.parametrize("cut", ["in a file", "after a file", "in the end", "one file", "a folder's file"])
def test_an_export_that_is_cut_is_refused_also_when_all_files_are_here(quire: Quire, cut: str) -> None:
    """By a person that trusts it to be whole, such as for a further store."""
    quire("import", "kept.tar", "-d", "inside")
    whole, members = Path("kept.tar").read_bytes(), _members(Path("kept.tar"))
    last = members[-1][0]
    after = last.offset_data + last.size + -last.size % 512
    if cut == "one file":
        _archive(Path("kept.tar"), members[:-1])
    elif cut == "a folder's file":
        next(Path("kept/files").iterdir()).unlink()
    else:
        places = {"in a file": last.offset_data + 1, "after a file": after, "in the end": after + 512}
        Path("kept.tar").write_bytes(whole[: places[cut]])
    source = "kept" if "folder" in cut else "kept.tar"
    assert re.search("export (ends early|is not whole)", quire.refusal("import", source, "-d", "inside"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "nothing.tar"), "cannot be read (No such file or directory)"),
        (("import", "empty"), "has no manifest.jsonl"),
        (("import", "empty", "--sha256", "abc"), "--sha256 is 64 hexadecimal digits"),
        (("export", "outside/quire/x"), "is in the store itself"),
        (("export", "full"), "has other files in it, such as notes"),
        (("export", "full/notes"), "is a file; name a folder"),
        (("export", "missing/x.tar"), "its folder is not there"),
    ],
)
def test_what_cannot_be_begun(quire: Quire, arguments: tuple[str, ...], words: str) -> None:
    for folder in ("empty", "full"):
        Path(folder).mkdir()
    Path("full/notes").touch()
    assert words in quire.refusal(*arguments, "-d", "outside", code=2)


@pytest.mark.usefixtures("export")
def test_another_digest_than_expected(quire: Quire) -> None:
    """Of the whole list, which a person has from elsewhere: nothing is imported."""
    assert "nothing was imported" in quire.refusal("import", "kept.tar", "-d", "inside", "--sha256", "0" * 64)
    assert mirrored("inside") == []


def test_kept_bytes_that_are_damaged_are_not_exported(quire: Quire, upstream: FakeIndex) -> None:
    """The export says which, and leaves no archive."""
    quire.fetch(upstream)
    (path,) = Path("outside/quire").rglob(OTHER)
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    assert OTHER in quire.refusal("export", "kept.tar", "-d", "outside")
    assert not list(Path().glob("*kept*"))


# -- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("export")
def test_a_killed_import_goes_on(quire: Quire, tmp_path: Path) -> None:
    """Killed in the middle of an archive that arrives slowly: no page is there, and the next one reads the rest."""
    data = Path("kept.tar").read_bytes()
    command = quire_command("mirror", "import", "-", "-d", "inside")
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        last = _members(Path("kept.tar"))[-1][0]
        process.stdin.write(data[: last.offset_data + last.size // 2])
        process.stdin.flush()
        until(lambda: len(mirrored("inside")) == 2)
        process.send_signal(signal.SIGKILL)
    assert pages("inside") == {}
    imported = quire("import", "kept.tar", "-d", "inside")
    assert (imported["present"], imported["files"], imported["pages"]) == (2, 1, 2)


def test_page_documents_lose_nothing() -> None:
    """Every field of a page and of its files is read back as it was."""
    file = UpstreamFile(
        filename=FAR,
        url="https://files.example/far-1.0-py3-none-any.whl",
        version="1.0",
        hashes={"sha256": "0" * 64, "md5": "1" * 32},
        yanked="broken",
        size=12,
        requires_python=">=3.8",
        uploaded="2024-01-02T03:04:05.678901Z",
        metadata="2" * 64,
        provenance="https://index.example/provenance",
        signed=True,
    )
    whole = UpstreamPage(files=(file,), status=Status.ARCHIVED, status_reason="over")
    bare = UpstreamFile(filename=FAR, url=file.url, version="1.0", metadata=True, yanked=True)
    for each in (whole, UpstreamPage(files=(bare,))):
        assert read_document("far", page_document("far", each)) == each
    for struct, skipped in ((whole, {"serial"}), (file, set[str]())):
        defaults = {field.name: field.default for field in msgspec.structs.fields(struct)}
        same = {name for name, default in defaults.items() if getattr(struct, name) == default}
        assert same == skipped
