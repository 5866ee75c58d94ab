"""`quire mirror fetch`, with a real HTTP upstream in this process.

Replaced here: the pause between attempts, and the number of failures after which no file is tried, for a fast test.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.cli import main
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.store.posix.store import PosixStore
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.serving import environment, quire_command, until
from tests.upstreams import Answer, FakeIndex, serving_index

FAR, OTHER = wheel_name("far", "1.0"), wheel_name("other", "1.0")
LINUX, WINDOWS = "far-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "far-1.0-cp312-cp312-win_amd64.whl"
SDIST = sdist_name("old", "1.0")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def upstream() -> Iterator[FakeIndex]:
    with serving_index() as index:
        index.has("far", {FAR: make_wheel("far", "1.0"), LINUX: b"for Linux", WINDOWS: b"for Windows"})
        index.has("other", {OTHER: make_wheel("other", "1.0")})
        index.has("old", {SDIST: make_sdist("old", "1.0")})
        yield index


@pytest.fixture
def store(tmp_path: Path) -> PosixStore:
    (tmp_path / "packages").mkdir()
    return PosixStore.open(tmp_path / "packages")


def digest(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def lock(path: Path, **files: bytes) -> str:
    """A uv.lock of files by their names with `_` for `.`."""
    lines = ["version = 1", 'requires-python = ">=3.11"']
    for filename, content in files.items():
        name = filename.partition("-")[0]
        where = f'url = "https://files.example/{filename}", hash = "{digest(content)}"'
        lines += [
            "[[package]]",
            f'name = "{name}"',
            'version = "1.0"',
            'source = { registry = "https://index.example" }',
        ]
        lines += [f"sdist = {{ {where} }}" if filename.endswith(".gz") else f"wheels = [{{ {where} }}]"]
    path.write_text("\n".join(lines))
    return str(path)


def fetch(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main(["mirror", "fetch", "-d", "packages", "--json", *arguments]) == code
    return json.loads(capsys.readouterr().out)


def files_at(upstream: FakeIndex) -> list[str]:
    """The files that the upstream was asked for, in their order."""
    return [path.removeprefix("/files/") for path in upstream.paths if path.startswith("/files/")]


def test_all_kinds_of_locks(
    upstream: FakeIndex, store: PosixStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files are fetched once, those of locks without filenames found by their digests; the choice counts."""
    uv = lock(tmp_path / "uv.lock", **{LINUX: b"for Linux", SDIST: make_sdist("old", "1.0")})
    hashes = " ".join(f"--hash={digest(content)}" for content in (b"for Linux", b"for Windows"))
    (tmp_path / "requirements.txt").write_text(f"far==1.0 {hashes}\n")
    where = ("--upstream", upstream.url, uv, "requirements.txt")
    found = fetch(capsys, *where, "--platform", "linux-x86_64", "--python", "3.12")
    assert [(each["filename"], each["how"]) for each in found["files"]] == [(LINUX, "fetched"), (SDIST, "fetched")]
    assert (found["missing"], found["built"], found["left_out"]) == ([], ["old 1.0"], [])
    found = fetch(capsys, *where)
    assert {each["filename"]: each["how"] for each in found["files"]} == {
        LINUX: "kept",
        WINDOWS: "fetched",
        SDIST: "kept",
    }
    assert sorted(files_at(upstream)) == sorted([LINUX, SDIST, WINDOWS])


def test_a_lock_that_the_index_contradicts(
    upstream: FakeIndex, store: PosixStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other digests, files and projects that are not there, bytes that are not the announced ones, packages of no
    index: each is named with the reason, and nothing of it is kept. All else is fetched."""
    upstream.at(f"/files/{OTHER}", Answer(make_wheel("other", "2.0")))
    changed = lock(tmp_path / "uv.lock", **{FAR: b"changed", OTHER: make_wheel("other", "1.0"), LINUX: b"for Linux"})
    (tmp_path / "requirements.txt").write_text(
        f"far==1.0 --hash=sha256:{'0' * 64}\nfar==9.0\nnone==1.0\ngit @ git+https://git.example/git\n"
        f"old==1.0 --hash={digest(make_sdist('old', '1.0'), 'sha512')}\n"
    )
    assert main(["mirror", "fetch", "-d", "packages", "--upstream", upstream.url, changed, "requirements.txt"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("1 file fetched, ")
    assert out.endswith("; 6 missing.\n")
    lines = err.splitlines()
    assert f"missing: far, sha256:{'0' * 64}: The index lists no file of this release with this digest." in lines
    assert f"missing: {FAR}: The lock has the sha256 digest {digest(b'changed')[7:]}" in err
    assert "missing: far 9.0: The index lists no file of this release." in lines
    assert "missing: none 1.0: No index has this project." in lines
    assert any(line.startswith(f"missing: {OTHER}: The file {OTHER} has ") for line in lines)
    assert "missing: git comes from a URL, which no index has; publish it here." in lines
    assert not [blob.key for blob in store.blobs.list("mirror") if OTHER in blob.key]


def test_digests_of_other_kinds_are_compared_with_the_bytes(
    upstream: FakeIndex, store: PosixStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page announces the SHA-256 alone."""
    content = make_wheel("other", "1.0")
    for said, missing in ((content, 0), (b"changed", 1)):
        sha512 = hashlib.sha512(said).hexdigest()
        (tmp_path / "pylock.toml").write_text(
            'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "other"\nversion = "1.0"\n'
            f'wheels = [{{ url = "https://files.example/{OTHER}", hashes = {{ sha512 = "{sha512}" }} }}]\n'
        )
        found = fetch(capsys, "--upstream", upstream.url, "pylock.toml", code=missing)
        assert len(found["missing"]) == missing
    assert "the lock has" in found["missing"][0]["why"]


def test_names_of_this_store_are_asked_of_no_upstream(
    upstream: FakeIndex, store: PosixStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hosted file of the lock is here; a claimed and a reserved name are missing, and stay private."""
    index = Index(store)
    mine = wheel_name("mine", "1.0")
    staging = store.blobs.stage(upload_key(mine))
    staging.write(make_wheel("mine", "1.0"))
    index.publish([examine(staging.finish(), mine)])
    assert main(["claim", "acme-*", "-d", "packages"]) == 0
    (tmp_path / "requirements.txt").write_text("mine==1.0\nacme-tools==1.0\nkept-back==1.0\n")
    capsys.readouterr()
    found = fetch(capsys, "--upstream", upstream.url, "--local", "kept-*", "requirements.txt", code=1)
    assert [(each["filename"], each["how"]) for each in found["files"]] == [(mine, "own")]
    assert [each["project"] for each in found["missing"]] == ["acme-tools", "kept-back"]
    assert all("is of this store" in each["why"] for each in found["missing"])
    assert upstream.paths == []


def test_files_that_a_policy_holds_back(
    upstream: FakeIndex, store: PosixStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are missing, with the sentence that clients get, and are not fetched."""
    blocked = hashlib.sha256(b"for Linux").hexdigest()
    assert main(["policy", "block", blocked, "--reason", "stolen key", "-d", "packages"]) == 0
    capsys.readouterr()
    named = lock(tmp_path / "uv.lock", **{LINUX: b"for Linux", OTHER: make_wheel("other", "1.0")})
    found = fetch(capsys, "--upstream", upstream.url, named, code=1)
    assert [each["filename"] for each in found["files"]] == [OTHER]
    (missing,) = found["missing"]
    assert missing["file"] == LINUX
    assert "stolen key" in missing["why"]
    assert files_at(upstream) == [OTHER]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("requirements.txt",), "requirements.txt: line 1 names no one version of far; compile a lock of it first"),
        (("nothing.lock",), "nothing.lock cannot be read (No such file or directory)"),
        (("pinned.txt",), "The index main has no upstream to fetch from"),
        (("pinned.txt", "--platform", "Amiga!"), "'Amiga!' is no platform"),
        (("pinned.txt", "--jobs", "0"), "--jobs is a number"),
    ],
)
def test_what_cannot_be_begun(
    arguments: tuple[str, ...], words: str, store: PosixStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, and exit code 2."""
    (tmp_path / "requirements.txt").write_text("far>=1\n")
    (tmp_path / "pinned.txt").write_text("far==1.0\n")
    assert main(["mirror", "fetch", "-d", "packages", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_an_upstream_that_fails_is_not_asked_for_all(
    upstream: FakeIndex,
    store: PosixStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After some failures in a row the others are not tried."""
    monkeypatch.setattr("quire.operations.mirroring.fetching.LONGEST_WAIT", 0.0)
    monkeypatch.setattr("quire.operations.mirroring.fetching.MOST_FAILURES", 1)
    for name in (LINUX, OTHER, SDIST):
        upstream.at(f"/files/{name}", Answer(b"", status=503))
    named = lock(
        tmp_path / "uv.lock",
        **{LINUX: b"for Linux", SDIST: make_sdist("old", "1.0"), OTHER: make_wheel("other", "1.0")},
    )
    found = fetch(capsys, "--jobs", "1", "--upstream", upstream.url, named, code=1)
    assert len(found["missing"]) == 3
    assert len(set(files_at(upstream))) == 1


def test_pages_are_confirmed(
    upstream: FakeIndex, store: PosixStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A release of this minute is found, although the kept page is fresh."""
    (tmp_path / "first.txt").write_text("other==1.0\n")
    fetch(capsys, "--upstream", upstream.url, "first.txt")
    new = wheel_name("other", "2.0")
    upstream.has("other", {new: make_wheel("other", "2.0")})
    (tmp_path / "second.txt").write_text("other==2.0\n")
    assert [each["filename"] for each in fetch(capsys, "--upstream", upstream.url, "second.txt")["files"]] == [new]


def test_a_killed_fetch_goes_on(
    upstream: FakeIndex, store: PosixStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed in the middle of a file: the next one fetches that file, and none that was complete."""
    held = threading.Event()
    content = make_wheel("other", "1.0")
    upstream.at(f"/files/{OTHER}", Answer(content, held=held), Answer(content))
    named = lock(tmp_path / "uv.lock", **{FAR: make_wheel("far", "1.0"), OTHER: content})
    command = ("mirror", "fetch", "-d", "packages", "--jobs", "1", "--upstream", upstream.url, named)
    with subprocess.Popen(quire_command(*command), cwd=tmp_path, env=environment(NO_PROXY="*")) as process:
        until(lambda: files_at(upstream) == [FAR, OTHER])
        process.kill()
    held.set()
    found = fetch(capsys, "--upstream", upstream.url, named)
    assert {each["filename"]: each["how"] for each in found["files"]} == {FAR: "kept", OTHER: "fetched"}
    assert files_at(upstream) == [FAR, OTHER, OTHER]


def test_policies_know_the_upstream_of_the_settings(
    upstream: FakeIndex, store: PosixStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment or the command line, as far as its pages are kept; it is not asked, and a server has its
    own."""
    Path("requirements.txt").write_text("other==1.0\n")
    fetch(capsys, "--upstream", upstream.url, "requirements.txt")
    asked = len(upstream.paths)
    explain = ("policy", "explain", "other", "-d", "packages")
    tried = ("policy", "try", "--lock", "requirements.txt", "-d", "packages")

    def said(*words: str, code: int = 0) -> str:
        assert main([*words]) == code
        return "".join(capsys.readouterr())

    assert "has no file of other" in said(*explain, code=2)
    assert f"{OTHER}: offered" in said(*explain, "--upstream", upstream.url)
    assert "has no file of other" in said(*explain, "--upstream", upstream.url, "--local", "oth*", code=2)
    assert "1 file of 1 release looked at" in said(*tried, "--upstream", upstream.url)
    monkeypatch.setenv("QUIRE_UPSTREAM", upstream.url)
    assert f"{OTHER}: offered" in said(*explain)
    assert "1 file of 1 release looked at" in said(*tried)
    assert "other==1.0: not on main" in said(*tried, "--local", "oth*")
    words = ("--url", "http://127.0.0.1:9/", "--upstream", upstream.url)
    assert "--upstream is for a store" in said("policy", "explain", "other", *words, code=2)
    assert len(upstream.paths) == asked
