"""A name that belongs to this index is never looked up on another one, whatever happens to its files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.domain.names import guess_project
from tests.asking import Site, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name
from tests.upstreams import serving_index

FALLBACK = "http://fallback.invalid/simple/"
FLAGS = ("-a", ".", "-P", ".", "--fallback-url", FALLBACK)
DOORS = ("/simple/{}/", "/simple/{}", "/{}", "/{}/", "/pypi/{}/json", "/{}/json", "/packages/{}-1.0-py3-none-any.whl")
"""Every address that leads to a project by its name."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index with a fallback, which reserves some names."""
    folder = tmp_path_factory.mktemp("local")
    with serve(folder, *FLAGS, "--local", "acme-*,Lone.Wolf", "--local", "b?t") as site:
        yield site


def falls_back(site: Site, name: str) -> bool:
    """Whether any door leads to the other index, followed to its end."""
    outside = []
    for door in DOORS:
        answer = site.get(door.format(name))
        for _ in range(3):
            location = answer.headers.get("location", "")
            if location.startswith(FALLBACK):
                outside.append(door)
            if not location or location.startswith(FALLBACK):
                break
            answer = site.client.get(answer.url.join(location))
        assert answer.status_code in {200, 303, 404}, (door, answer.status_code, answer.text)
    assert outside in ([], [door for door in DOORS if "json" not in door and "packages" not in door]), outside
    return bool(outside)


def is_empty(site: Site, name: str) -> bool:
    """Whether the page says that there are no files, to every kind of client."""
    return site.listing(name)["files"] == [] and "<a " not in site.get(f"/simple/{name}/").text


def test_an_unknown_name_falls_back(site: Site) -> None:
    """The other tests need a name that falls back."""
    assert falls_back(site, "nobody-has-this")


@pytest.mark.parametrize(
    "filename",
    [
        "{}-1.0-py3-none-any.whl",
        ".{}-1.0-py3-none-any.whl.Xy12Zz",
        "{}-1.0.tar.gz.part",
        "{}-1.0.tar.gz.filepart",
        "{}-1.0.tar.gz.asc",
        "{}-1.0.whl",
        "sub/{}-1.0.zip",
        "{}-1.0\u00a0(copy).zip",
        "a\u00a0b/{}-1.0-py3-none-any.whl",
        "caf\udce9/{}-1.0-py3-none-any.whl",
        "caf\udce9/sub/{}-1.0.zip",
    ],
)
def test_a_file_that_is_being_copied_keeps_its_name_here(site: Site, filename: str) -> None:
    """The first bytes of the only file of a project, under its own name or that of a copying program's partial file."""
    name = f"copied{abs(hash(filename))}"
    assert falls_back(site, name)
    path = site.root / filename.format(name)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(make_wheel(name, "1.0")[:100])
    assert not falls_back(site, name)
    assert is_empty(site, name)
    path.unlink()
    assert falls_back(site, name)


def test_a_damaged_file_keeps_its_name_here(site: Site) -> None:
    """Garbage has been lying there for long; an upload of another release makes no difference."""
    path = site.root / "damaged-1.0.tar.gz"
    path.write_bytes(b"no archive at all")
    os.utime(path, (0, 0))
    assert "damaged" in site.projects()
    assert not falls_back(site, "damaged")
    assert is_empty(site, "damaged")


def test_a_file_that_may_not_be_read_keeps_its_name_here(tmp_path: Path) -> None:
    """Its permissions are wrong, or those of the folder that it lies in: then no name is known to be another's."""
    with serve(tmp_path, *FLAGS, unprivileged=os.geteuid() == 0) as site:
        path = site.root / wheel_name("closed", "1.0")
        path.write_bytes(make_wheel("closed", "1.0"))
        path.chmod(0)
        assert not falls_back(site, "closed")
        folder = site.root / "folder"
        folder.mkdir()
        (folder / wheel_name("within", "1.0")).write_bytes(make_wheel("within", "1.0"))
        assert not falls_back(site, "within")
        folder.chmod(0)
        answer = site.get("/simple/within/")
        assert (answer.status_code, len(answer.text.splitlines())) == (503, 1)
        assert "not known whether within is a project of this index" in answer.text
        folder.chmod(0o755)
        assert not falls_back(site, "within")
        folder = folder.rename(site.root / "caf\udce9")
        folder.chmod(0)
        answer = site.get("/simple/within/")
        assert answer.status_code == 503
        assert "/caf\\xe9 cannot be read" in answer.text
        folder.chmod(0o755)
        assert not falls_back(site, "within")
        (site.root / "lost+found").mkdir(mode=0)
        assert falls_back(site, "other")


@pytest.mark.parametrize("door", ["form", "command"])
def test_a_deleted_project_keeps_its_name_here(site: Site, door: str) -> None:
    """After its last file was deleted, by every door, in the very next answer; and a new release is served again."""
    name = f"deleted-{door}"
    publish_wheel(site, name)
    if door == "form":
        form = {":action": "remove_pkg", "name": name, "version": "1.0"}
        assert site.client.post("/", data=form).status_code == 200
    else:
        command = [sys.executable, "-m", "quire", "delete", "-d", str(site.root), "--all", "--yes", name]
        subprocess.run(command, check=True, capture_output=True)
    assert not falls_back(site, name)
    assert is_empty(site, name)
    assert name not in site.projects()
    publish_wheel(site, name, "2.0")
    assert site.filenames(name) == [wheel_name(name, "2.0")]


def test_a_removed_drop_in_file_keeps_its_name_here(site: Site) -> None:
    """Once a page has shown it, so that its digests are stored, the name is known to be local by every worker."""
    path = site.root / wheel_name("removed", "1.0")
    path.write_bytes(make_wheel("removed", "1.0"))
    assert site.filenames("removed") == [path.name]
    path.unlink()
    assert not falls_back(site, "removed")
    with serve(site.root.parent, *FLAGS) as other:
        assert not falls_back(other, "removed")


@pytest.mark.parametrize("name", ["acme-tools", "acme-x", "lone-wolf", "bat"])
def test_reserved_names_stay_here(site: Site, name: str) -> None:
    """Whether they exist or not, in every spelling of the pattern."""
    assert not falls_back(site, name)
    assert is_empty(site, name)
    assert name not in site.projects()


@pytest.mark.parametrize("name", ["acme", "acmex", "lone-wolves", "boat"])
def test_a_pattern_reserves_nothing_else(site: Site, name: str) -> None:
    """A pattern is matched as a whole."""
    assert falls_back(site, name)


def test_a_spelling_is_no_way_out(site: Site) -> None:
    """A name in another spelling leads to the normalized one, which stays here."""
    for spelling in ("Acme_Tools", "ACME.tools", "acme--tools"):
        for door in ("/simple/{}/", "/simple/{}", "/{}/", "/{}"):
            answer = site.client.get(door.format(spelling), follow_redirects=True)
            assert (answer.status_code, answer.url.path) == (200, "/simple/acme-tools/")


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_what_installers_make_of_an_empty_page(site: Site, tmp_path: Path, tool: str) -> None:
    """uv, which asks indexes in order, does not ask the next one after an empty page; pip asks all of them anyway."""
    with serving_index() as stranger:
        stranger.has("acme-secret", {wheel_name("acme-secret", "9.0"): make_wheel("acme-secret", "9.0")})
        here, there = f"{site.base}simple/", stranger.url
        if tool == "uv":
            command = [sys.executable, "-m", "uv", "pip", "install", "--no-cache", "--target", str(tmp_path)]
            command += ["--index", here, "--default-index", there, "acme-secret"]
        else:
            command = [sys.executable, "-m", "pip", "download", "--no-cache-dir", "-d", str(tmp_path)]
            command += ["--index-url", here, "--extra-index-url", there, "acme-secret"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        asked = any("acme-secret" in path for path in stranger.paths)
    assert (done.returncode == 0, asked) == ((False, False) if tool == "uv" else (True, True)), done.stderr


@pytest.mark.parametrize(
    ("filename", "project"),
    [
        (".Acme_Core-1.0-py3-none-any.whl.a1B2c3", "acme-core"),
        ("acme-1.0.tar.gz~", "acme"),
        ("._acme-1.0.zip", "acme"),
        ("acme-1.0.tgz.crdownload", "acme"),
        ("acme-1.0-py3-none-any.whl.metadata", "acme"),
        ("acme.whl", "acme"),
        ("setup.exe.part", "setup"),
        ("README.txt", None),
        ("acme-1.0.zipped", None),
        (".whl", None),
        ("", None),
        ("a\nb-1.0.zip.part", None),
        ("acme-1.0.zip.caf\udce9", "acme"),
        ("caf\udce9 acme-1.0.zip", None),
    ],
)
def test_guess_project(filename: str, project: str | None) -> None:
    """The project in a partial or unusual name."""
    assert guess_project(filename) == project
