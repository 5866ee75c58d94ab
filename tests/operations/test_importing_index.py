"""`quire import --from-index`: another index over its Simple API, honest, old or hostile."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire import cli
from quire.domain.changes import Selection
from quire.domain.project import Status
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.store.posix.store import PosixStore
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.documents import DOCS, commands
from tests.serving import environment, quire_command
from tests.upstreams import JSON, Answer, FakeIndex, page, serving_index

WHEEL, SDIST = wheel_name("acme-tools", "1.0"), sdist_name("acme-tools", "1.0")
WHEEL_BYTES, SDIST_BYTES = make_wheel("acme-tools", "1.0"), make_sdist("acme-tools", "1.0")


@pytest.fixture
def other() -> Iterator[FakeIndex]:
    """Another index, which lists acme-tools."""
    with serving_index() as index:
        listed(index, "Acme_Tools")
        yield index


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def listed(index: FakeIndex, *names: str) -> None:
    document = {"meta": {"api-version": "1.0"}, "projects": [{"name": name} for name in names]}
    index.at("/simple/", Answer(json.dumps(document).encode(), JSON))


def run(capsys: pytest.CaptureFixture[str], other: FakeIndex, *words: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert cli.main(["import", "--from-index", other.url, "-d", "root", *words]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def stored(root: Path) -> Index:
    return Index(PosixStore.open(root))


def publish(root: Path, filename: str, content: bytes) -> None:
    index = stored(root)
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(content)
    index.publish([examine(staging.finish(), filename)])


def test_all_that_a_page_says_is_taken(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """Yanks with reasons, upload times, the digests; and nothing is fetched twice."""
    changes = {
        "acme_tools_1_0_py3_none_any_whl": {"yanked": "broken", "upload-time": "2024-05-06T07:08:09.123Z"},
    }
    other.has("acme-tools", {WHEEL: WHEEL_BYTES, SDIST: SDIST_BYTES}, **changes)
    out, _ = run(capsys, other)
    assert f"{other.url}: 2 files imported" in out
    assert "The other index does not say the upload time of 1 file." in out
    project = stored(root).project("acme-tools")
    assert project is not None
    file = project.files[WHEEL]
    assert (file.yanked, file.uploaded) == ("broken", "2024-05-06T07:08:09.123000Z")
    assert file.metadata_sha256 is not None
    assert project.files[SDIST].sha256 == hashlib.sha256(SDIST_BYTES).hexdigest()
    other.requests.clear()
    out, _ = run(capsys, other)
    assert "0 files imported, 0 B; 2 already published" in out
    assert other.paths == ["/simple/", "/simple/acme-tools/"]


def test_the_pages_of_old_servers(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """HTML with relative links, as of Artifactory, and an MD5, as of old Nexus: the time is that of Last-Modified."""
    md5 = hashlib.md5(SDIST_BYTES, usedforsecurity=False).hexdigest()
    sha256 = hashlib.sha256(WHEEL_BYTES).hexdigest()
    html = (
        f'<a href="../../files/{WHEEL}#sha256={sha256}" data-requires-python="&gt;=3.9">{WHEEL}</a>'
        f'<a href="../../files/{SDIST}#md5={md5}" data-yanked="">{SDIST}</a><a href="../">..</a>'
    )
    other.at("/simple/", Answer(b'<a href="acme-tools/">acme-tools</a><a href="../">..</a>', "text/html"))
    other.at("/simple/acme-tools/", Answer(html.encode(), "text/html"))
    modified = {"Last-Modified": "Mon, 06 May 2024 07:08:09 GMT"}
    other.at(f"/files/{WHEEL}", Answer(WHEEL_BYTES, headers=modified))
    other.at(f"/files/{SDIST}", Answer(SDIST_BYTES))
    out, _ = run(capsys, other)
    assert "2 files imported" in out
    assert "not say the size of 2 files, the upload time of 2 files, the sha256 of 1 file." in out
    project = stored(root).project("acme-tools")
    assert project is not None
    assert project.files[WHEEL].uploaded == "2024-05-06T07:08:09.000000Z"
    assert project.files[SDIST].yanked is True
    assert "2 already published" in run(capsys, other)[0]


def test_a_dry_run_fetches_nothing(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how much there is, also where there is no store yet."""
    other.has("acme-tools", {WHEEL: WHEEL_BYTES})
    out, _ = run(capsys, other, "--dry-run")
    assert "Would import 1 file," in out
    assert not any(path.startswith("/files/") for path in other.paths)
    assert list(root.iterdir()) == []
    document = json.loads(run(capsys, other, "--dry-run", "--json")[0])
    assert (document["sources"][0]["to_import"], document["sources"][0]["imported"]) == (1, 0)


def test_projects_are_named(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """In words or in a file; one that there is not is an error, and the others go on."""
    other.has("acme-tools", {WHEEL: WHEEL_BYTES})
    (root.parent / "names").write_text("missing  # a comment\n")
    out, err = run(capsys, other, "Acme.Tools", "--projects", "names", code=1)
    assert "1 file imported" in out
    assert "missing: refused: The index has no such project." in err
    assert "/simple/" not in other.paths


def test_files_that_cannot_be_taken_are_named(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """A conflict, a deleted name, one that is too large, one without a digest; all others are imported."""
    other.has(
        "acme-tools",
        {WHEEL: WHEEL_BYTES, SDIST: SDIST_BYTES},
        acme_tools_1_0_py3_none_any_whl={},
    )
    sizes = {wheel_name("large", "1.0"): make_wheel("large", "1.0")}
    other.has("large", sizes, large_1_0_py3_none_any_whl={"size": 4 * 1024**3})
    other.has("bare", {wheel_name("bare", "1.0"): make_wheel("bare", "1.0")}, bare_1_0_py3_none_any_whl={"hashes": {}})
    other.has("gone", {wheel_name("gone", "1.0"): make_wheel("gone", "1.0")})
    listed(other, "acme-tools", "large", "bare", "gone")
    publish(root, WHEEL, make_wheel("acme-tools", "1.0", files={"other.py": b""}))
    publish(root, wheel_name("gone", "1.0"), make_wheel("gone", "1.0"))
    stored(root).delete("gone", Selection())
    out, err = run(capsys, other, code=1)
    assert "1 file imported" in out
    assert f"acme-tools/{WHEEL}: conflict: Other content is published" in err
    assert "large-1.0-py3-none-any.whl: refused: It has 4294967296 bytes" in err
    assert "bare-1.0-py3-none-any.whl: refused: The index announces no digest" in err
    assert stored(root).names() == ("acme-tools",)
    assert "1 deleted" in out


def test_a_closed_project_takes_nothing(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """Its status is said."""
    other.has("acme-tools", {WHEEL: WHEEL_BYTES, SDIST: SDIST_BYTES})
    publish(root, SDIST, SDIST_BYTES)
    stored(root).set_status("acme-tools", Status.ARCHIVED)
    _, err = run(capsys, other, code=1)
    assert "refused: The project is archived and takes no files" in err


def test_a_status_is_carried_over(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the last file, since an archived project takes none."""
    other.has("acme-tools", {WHEEL: WHEEL_BYTES})
    document = json.loads(other.answer("/simple/acme-tools/").body)
    document["project-status"] = {"status": "archived", "reason": "old"}
    other.at("/simple/acme-tools/", Answer(json.dumps(document).encode(), JSON))
    run(capsys, other)
    project = stored(root).project("acme-tools")
    assert project is not None
    assert (project.status, project.status_reason) == (Status.ARCHIVED, "old")


def test_a_file_that_breaks_off_is_fetched_again(
    root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    """From its beginning; nothing of the first attempt is kept."""
    other.has("acme-tools", {SDIST: SDIST_BYTES})
    half = Answer(SDIST_BYTES[:100], length=len(SDIST_BYTES))
    other.at(f"/files/{SDIST}", half, Answer(SDIST_BYTES))
    assert "1 file imported" in run(capsys, other)[0]
    assert other.paths.count(f"/files/{SDIST}") == 2


def test_bytes_with_another_digest_are_never_stored(
    root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is refused, and the others of the project are published."""
    other.has("acme-tools", {WHEEL: WHEEL_BYTES, SDIST: SDIST_BYTES})
    other.at(f"/files/{SDIST}", Answer(SDIST_BYTES[:-1] + b"x"))
    out, err = run(capsys, other, code=1)
    assert "1 file imported" in out
    assert f"acme-tools/{SDIST}: refused: The sha256 digest" in err
    project = stored(root).project("acme-tools")
    assert project is not None
    assert list(project.files) == [WHEEL]


def test_no_answer_is_endless(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without a size is read up to the limit, one with a size no further than that, and then refused."""
    changes: dict[str, Any] = {"acme_tools_1_0_py3_none_any_whl": {"size": None}}
    other.has("acme-tools", {WHEEL: WHEEL_BYTES, SDIST: SDIST_BYTES}, **changes)
    endless = bytes(4 * 1024 * 1024)
    for name in (WHEEL, SDIST):
        other.at(f"/files/{name}", Answer(endless, has_length=False, headers={"Connection": "close"}))
    _, err = run(capsys, other, "--max-upload-size", "1M", code=1)
    assert f"acme-tools/{WHEEL}: refused: The file {WHEEL} has more than 1048576 bytes, the limit" in err
    assert f"acme-tools/{SDIST}: refused: The file {SDIST} has not the {len(SDIST_BYTES)} bytes" in err
    assert not (root / "quire").exists() or stored(root).names() == ()


HOSTILE: list[dict[str, Any]] = [
    {"filename": SDIST, "url": "file:///etc/passwd"},
    {"filename": "../../acme-tools-1.0.tar.gz", "url": "x"},
    {"filename": "other-1.0.tar.gz", "url": "x"},
    {"filename": "acme-tools-2.0.tar.gz", "url": "//[", "hashes": {}},
]


def test_hostile_entries_are_named_and_not_asked_for(
    root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    """Links to files of this machine, names with folders or of other projects."""
    other.at("/simple/acme-tools/", page(HOSTILE))
    out, err = run(capsys, other, code=1)
    assert "0 files imported" in out
    assert err.count("refused: Its name or its link is none of a distribution") == len(HOSTILE)
    assert other.paths == ["/simple/", "/simple/acme-tools/"]


@pytest.mark.parametrize("address", ["http://169.254.169.254/x", "http://10.11.12.13/x", "http://[::ffff:10.0.0.1]/x"])
def test_no_private_address_is_asked(
    root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    """Neither for a link of a page, nor for a redirect of a file."""
    other.has("acme-tools", {WHEEL: WHEEL_BYTES, SDIST: SDIST_BYTES}, acme_tools_1_0_py3_none_any_whl={"url": address})
    other.at(f"/files/{SDIST}", Answer(status=302, headers={"Location": address}))
    _, err = run(capsys, other, code=1)
    assert err.count("has an address that is not public") + err.count("link-local") == 2
    assert not (root / ".quire").exists() or stored(root).names() == ()


def test_a_page_that_is_none_is_said(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """The page of a login, and an index that does not answer at all."""
    other.at("/simple/", Answer(b"nothing", "text/plain"))
    assert "which is no page of the Simple API" in run(capsys, other, code=1)[1]
    other.at("/simple/", Answer(b"{}", JSON))
    assert "no list of projects" in run(capsys, other, code=1)[1]
    other.at("/simple/", Answer(b"", "text/html", 401))
    assert "answers 401" in run(capsys, other, code=1)[1]


def test_more_projects_than_a_private_index_has_are_not_taken(
    root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list of a mirror of a public index: the projects have to be named."""
    listed(other, *(f"p{number}" for number in range(50_001)))
    assert "name the projects to import" in run(capsys, other, code=1)[1]


def test_wrong_flags_are_refused(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """With a sentence, and without a login in it."""
    for words in (["--move"], ["--jobs", "0"], ["--projects", "none"]):
        assert run(capsys, other, *words, code=2)[1]
    assert cli.main(["import", "--from-index", "ftp://user:secret@host/", "-d", "root"]) == 2
    assert "secret" not in capsys.readouterr().err
    assert cli.main(["import", "--dry-run", "root"]) == 2


def test_a_status_is_carried_over_by_a_repetition(
    root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the first import ended before it; but not where an operator has changed the project since."""
    other.has("acme-tools", {WHEEL: WHEEL_BYTES})
    run(capsys, other)
    document = json.loads(other.answer("/simple/acme-tools/").body)
    document["project-status"] = {"status": "archived"}
    other.at("/simple/acme-tools/", Answer(json.dumps(document).encode(), JSON))
    run(capsys, other)
    project = stored(root).project("acme-tools")
    assert project is not None
    assert project.status is Status.ARCHIVED
    assert cli.main(["status", "acme-tools", "active", "-d", "root"]) == 0
    run(capsys, other)
    project = stored(root).project("acme-tools")
    assert project is not None
    assert project.status is Status.ACTIVE


def test_provenance_is_kept(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """The document is served with the file, byte for byte; one that is none refuses its file."""
    document = b'{"version": 1, "attestation_bundles": []}'
    other.has(
        "acme-tools",
        {WHEEL: WHEEL_BYTES, SDIST: SDIST_BYTES},
        acme_tools_1_0_py3_none_any_whl={"provenance": "../../integrity/wheel"},
        acme_tools_1_0_tar_gz={"provenance": "../../integrity/sdist"},
    )
    other.at("/integrity/wheel", Answer(document, "application/json"))
    other.at("/integrity/sdist", Answer(b"<html>", "text/html"))
    _, err = run(capsys, other, code=1)
    assert f"acme-tools/{SDIST}: refused: The provenance of {SDIST} is no provenance object" in err
    index = stored(root)
    project = index.project("acme-tools")
    assert project is not None
    file = project.files[WHEEL]
    assert file.provenance_sha256 == hashlib.sha256(document).hexdigest()
    with index.store.blobs.open(f"{file.blob}/{WHEEL}.attestations") as opened:
        assert opened.read() == document


def test_a_named_index_is_filled(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """The others stay as they are; one that there is not is refused before the other index is asked."""
    other.has("acme-tools", {WHEEL: WHEEL_BYTES})
    publish(root, wheel_name("acme-core", "1.0"), make_wheel("acme-core", "1.0"))
    assert cli.main(["index", "create", "team", "-d", "root"]) == 0
    run(capsys, other, "--index", "team")
    assert Index(stored(root).store, "team").names() == ("acme-tools",)
    assert stored(root).names() == ("acme-core",)
    other.requests.clear()
    assert "There is no index 'typo'" in run(capsys, other, "--index", "typo", code=1)[1]
    assert other.paths == []


def test_a_project_below_a_namespace_is_named(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """Another index puts none below a namespace by listing it; one that is here already is updated."""
    other.has("acme-tools", {WHEEL: WHEEL_BYTES, SDIST: SDIST_BYTES})
    other.has("acme-new", {wheel_name("acme-new", "1.0"): make_wheel("acme-new", "1.0")})
    listed(other, "acme-new", "acme-tools")
    publish(root, SDIST, SDIST_BYTES)
    words = ["namespace", "grant", "acme", "user:ann", "--with-existing", "-d", "root"]
    assert cli.main(words) == 0
    out, err = run(capsys, other, code=1)
    assert "acme-new: refused: It is not here, and below the namespace acme of user:ann; name the project" in err
    assert "1 file imported" in out
    assert stored(root).names() == ("acme-tools",)
    assert "1 file imported" in run(capsys, other, "acme-new")[0]


class Gate(threading.Event):
    """Says that a thread waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)


def test_an_import_that_is_killed_is_repeated(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """In the midst of a file: nothing of the project is here, and the repetition brings all of it."""
    gate = Gate()
    other.has("acme-tools", {WHEEL: WHEEL_BYTES, SDIST: SDIST_BYTES})
    other.at(f"/files/{SDIST}", Answer(SDIST_BYTES, held=gate), Answer(SDIST_BYTES))
    command = quire_command("import", "--from-index", other.url, "-d", "root")
    with subprocess.Popen(command, cwd=root.parent, env=environment()) as process:
        assert gate.reached.wait(60)
        process.kill()
    gate.set()
    assert stored(root).names() == ()
    assert "2 files imported" in run(capsys, other)[0]
    assert "2 already published" in run(capsys, other)[0]


def test_the_guide_does_what_it_says(root: Path, other: FakeIndex, capsys: pytest.CaptureFixture[str]) -> None:
    """Its commands, in their order, with the URL of this index."""
    (root.parent / "packages").mkdir()
    other.has("acme-tools", {WHEEL: WHEEL_BYTES})
    other.has("acme-core", {wheel_name("acme-core", "1.0"): make_wheel("acme-core", "1.0")})
    lines = commands(DOCS / "how-to" / "move-from-an-index.md")
    for words in lines:
        assert cli.main([other.url if word.startswith("https:") else word for word in words]) == 0
    said = capsys.readouterr().out
    counts = ["0 files imported, 0 B; 1 to be imported", "1 file imported", "1 already published"]
    assert all(each in said for each in counts)
    assert stored(root.parent / "packages").names() == ("acme-core", "acme-tools")
