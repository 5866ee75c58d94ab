"""Lock files of real tools, and those that are refused.

The files in `data/` are of one small project, locked with uv 0.13.9 (also its exports), poetry 2.5.1, pdm 2.29.3 (also
its export) and pipenv 2026.10.3, with names of hosts that do not exist.

Replaced here: the bounds of a lock, which no test should have to reach.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quire.domain.errors import InvalidRequest
from quire.locks import reading
from quire.locks.locked import Elsewhere, Lock, LockedRelease
from quire.locks.reading import read_lock

DATA = Path(__file__).parent / "data"
IDNA = ("12f65c9b470abda6dc35cf8e63cc574b1c52b11df2c86030af0ac09b01b13ea9", "946d195a0d259cbba61165e88e65941f")
"""Of the source archive, and the beginning of the wheel's."""
EVERY = {"docopt": "0.6.2", "idna": "3.10", "iniconfig": "2.1.0"}
WINDOWS = {"colorama": "0.4.6"}


def read(name: str) -> Lock:
    return read_lock(name, (DATA / name).read_bytes())


@pytest.mark.parametrize(
    ("name", "kind", "releases"),
    [
        ("uv.lock", "uv.lock", EVERY | WINDOWS),
        ("pylock.toml", "pylock.toml", EVERY | WINDOWS),
        ("requirements.txt", "requirements.txt", EVERY | WINDOWS),
        ("poetry.lock", "poetry.lock", EVERY | WINDOWS),
        ("pdm.lock", "pdm.lock", EVERY | WINDOWS),
        ("pylock.pdm.toml", "pylock.toml", EVERY | WINDOWS),
        ("Pipfile.lock", "Pipfile.lock", EVERY),
    ],
)
def test_real_locks(name: str, kind: str, releases: dict[str, str]) -> None:
    """Each names the same releases, with the same digests; the project itself and one beside it are no releases."""
    lock = read(name)
    assert lock.kind == kind
    assert {each.project: each.version for each in lock.releases} == releases
    (idna,) = (each for each in lock.releases if each.project == "idna")
    digests = idna.digests or [digest for file in idna.files for digest in file.digests]
    assert sorted(digest[: len("sha256:") + 32] for digest in digests) == [f"sha256:{each[:32]}" for each in IDNA]
    if idna.files:
        assert {file.filename for file in idna.files} == {"idna-3.10-py3-none-any.whl", "idna-3.10.tar.gz"}
    assert all(each.is_local for each in lock.elsewhere)
    assert {each.name for each in lock.elsewhere} <= {"beside", "throwaway"}


def test_packages_of_no_index() -> None:
    """By their source; what comes with the project is told from what an air gap would cut off."""
    uv = b"""version = 1
requires-python = ">=3.11"
[[package]]
name = "a"
version = "1"
source = { git = "https://git.example/a?rev=main#0123" }
[[package]]
name = "b"
version = "1"
source = { url = "https://files.example/b-1-py3-none-any.whl" }
[[package]]
name = "c"
source = { registry = "wheels" }
"""
    assert read_lock("uv.lock", uv).elsewhere == (
        Elsewhere("a", "a Git repository", is_local=False),
        Elsewhere("b", "a URL", is_local=False),
        Elsewhere("c", "a directory of files", is_local=True),
    )
    text = b"-e .\n./local\nd @ https://files.example/d-1.tar.gz --hash=sha256:" + b"0" * 64 + b"\n"
    found = read_lock("requirements.txt", text).elsewhere
    assert [(each.name, each.is_local) for each in found] == [(".", True), ("./local", True), ("d", False)]


def test_requirements_as_people_write_them() -> None:
    """Comments, continuations, options, extras, markers, and several digests on one line."""
    digests = " ".join(f"--hash=sha256:{number}{'0' * 63}" for number in range(2))
    text = f"""
--index-url https://index.example/simple/
# idna==9.9 \\
Idna[all] == 3.10 ; python_version >= "3.8" \\
    {digests}  # via something
six===1.16.0
-c constraints.txt
"""
    assert read_lock("dev-requirements.txt", text.encode()).releases == (
        LockedRelease("idna", "3.10", digests=(f"sha256:0{'0' * 63}", f"sha256:1{'0' * 63}")),
        LockedRelease("six", "1.16.0"),
    )


def test_releases_that_are_named_twice_are_one() -> None:
    """As in exports with a line for each marker."""
    text = f"""idna==3.10 ; sys_platform == 'linux' --hash=sha256:{"1" * 64}
idna==3.10 ; sys_platform == 'win32' --hash=sha256:{"1" * 64} --hash=sha256:{"2" * 64}
"""
    (release,) = read_lock("requirements.txt", text.encode()).releases
    assert len(release.digests) == 2


UV = 'version = 1\nrequires-python = ">=3.11"\n'
PIPFILE = {"_meta": {"pipfile-spec": 6}}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("requirements.txt", "# in\nrequests>=2\n", "line 2 names no one version of requests; compile a lock"),
        ("requirements.txt", "requests\n", "no one version of requests"),
        ("requirements.txt", "requests==2.*\n", "no one version of requests"),
        ("requirements.txt", "requests==2,<3\n", "no one version of requests"),
        ("requirements.txt", "-r base.txt\n", "line 1 includes 'base.txt': name that file"),
        ("requirements.txt", "not a requirement\n", "line 1 is no requirement"),
        ("requirements.txt", "idna==3 --hash=sha256:xyz\n", "line 1: 'sha256:xyz' is no digest"),
        ("uv.lock", UV.replace("1", "2", 1), "a uv.lock of version 2 is not known"),
        ("uv.lock", UV + "[package]\nname = 'a'\n", "package is no array"),
        (
            "uv.lock",
            UV + "[[package]]\nname = '../a'\nsource = { registry = 'https://i.example' }\n",
            "is no name of a",
        ),
        (
            "uv.lock",
            UV + "[[package]]\nname = 'a'\nversion = '1'\nsource = { registry = 'https://i.example' }\n"
            "wheels = [{ url = 'https://f.example/..%2f..%2fetc' }]\n",
            "is no filename of a distribution",
        ),
        ("poetry.lock", "[metadata]\nlock-version = '9.0'\n", "a poetry.lock of version 9.0 is not known"),
        ("pdm.lock", "[metadata]\nlock_version = '5.0'\n", "a pdm.lock of version 5.0 is not known"),
        ("pylock.toml", "lock-version = '2.0'\n", "no pylock.toml as PEP 751 has it"),
        ("pylock.toml", "lock-version = '1.0'\n", "no pylock.toml as PEP 751 has it"),
        ("Pipfile.lock", '{"_meta": {"pipfile-spec": 7}}', "a Pipfile.lock of version 7 is not known"),
        ("Pipfile.lock", "{", "it is no JSON"),
        ("Pipfile.lock", json.dumps(PIPFILE | {"default": []}), "default is no table"),
        ("Pipfile.lock", '{"a":' * 100_000, "it is no JSON"),
        ("pyproject.toml", "[project]\nname = 'a'\n", "no lock file that is known; take uv.lock"),
        ("uv.lock", "x = " + "[" * 100_000, "it is no lock file that is known"),
        ("notes.md", "# Notes", "no lock file that is known"),
        ("uv.lock", "\udcff", "it is no text in UTF-8"),
    ],
)
def test_files_that_are_no_lock(name: str, content: str, words: str) -> None:
    """A part of a sentence says why."""
    with pytest.raises(InvalidRequest, match=words.replace("(", r"\(")):
        read_lock(name, content.encode(errors="surrogateescape"))


@pytest.mark.parametrize("line", [f"a==1; {'(' * 1500}os_name=='a'{')' * 1500}", "a=="])
def test_requirements_that_are_none(line: str) -> None:
    """However deep a marker nests."""
    with pytest.raises(InvalidRequest, match="line 1 is no requirement"):
        read_lock("requirements.txt", line.encode())


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes or releases than any lock has are refused."""
    monkeypatch.setattr(reading, "MOST_BYTES", 10)
    with pytest.raises(InvalidRequest, match="more than 10 bytes"):
        read("uv.lock")
    monkeypatch.undo()
    monkeypatch.setattr("quire.locks.locked.MOST_RELEASES", 2)
    with pytest.raises(InvalidRequest, match="names more than 2 releases"):
        read("uv.lock")


def test_the_work_grows_with_the_file_and_no_faster() -> None:
    """A file of strangers: many spaces that begin no comment, and many entries of one release."""
    spaces = " " * 300_000
    (release,) = read_lock("requirements.txt", f"a==1{spaces}\n".encode()).releases
    assert (release.project, release.version) == ("a", "1")
    wheels = ", ".join(
        f"{{ url = 'https://f.example/a-1-{number}-py3-none-any.whl', hash = 'sha256:{number:064}' }}"
        for number in range(3)
    )
    entry = (
        f"[[package]]\nname = 'a'\nversion = '1'\nsource = {{ registry = 'https://i.example' }}\nwheels = [{wheels}]\n"
    )
    (release,) = read_lock("uv.lock", f"{UV}{entry * 2}".encode()).releases
    assert [each.filename for each in release.files] == [f"a-1-{number}-py3-none-any.whl" for number in range(3)]
