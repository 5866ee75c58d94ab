"""`quire update`: what it offers, prints and fetches, against a real index on this machine.

Replaced here: `os.link`, since the file system of the test may have links.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.cli import main
from quire.config.settings import DEFAULT_FALLBACK_URL
from quire.domain.changes import Selection
from quire.domain.names import guess_filename, is_prerelease, parse_filename, version_sort_key
from quire.domain.project import Status
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations.update.plan import Present, counterpart, newest, plan
from quire.store.posix.store import PosixStore
from quire.upstream.pages import UpstreamFile
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.serving import environment, free_port, quire_command, run_quire, running
from tests.upstreams import Answer, FakeIndex, serving_index

# -- which release ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "versions", "expected", "unstable"),
    [
        ("1.0", ["0.9", "1.0"], None, None),
        ("1.0", ["1.0", "1.10", "1.9"], "1.10", "1.10"),
        ("1.0", ["1.0", "1.1", "2.0rc1", "2.0.dev3"], "1.1", "2.0rc1"),
        ("1.0", ["1.0", "2.0rc1"], None, "2.0rc1"),
        ("1.0", ["1.1a1", "1.1a2"], "1.1a2", "1.1a2"),  # nothing but pre-releases
        ("2.0rc1", ["1.9", "2.0rc2"], "2.0rc2", "2.0rc2"),  # a project with a candidate gets candidates
        ("2.0rc1", ["2.0", "2.1rc1"], "2.0", "2.1rc1"),  # until the release
        ("1.0", ["1.0.post1"], "1.0.post1", "1.0.post1"),
        ("1.0", ["1!0.1"], "1!0.1", "1!0.1"),
        ("1.0.0", ["1.0"], None, None),
        ("1.0+ours", ["1.0"], None, None),
        ("", ["1.0"], "1.0", "1.0"),
        ("odd_version", ["0.1"], "0.1", "0.1"),
        ("1.0", [], None, None),
    ],
)
def test_which_release(present: str, versions: list[str], expected: str | None, unstable: str | None) -> None:
    """Finals over pre-releases, as pip takes them; everything with -u."""
    assert newest(versions, present) == expected
    assert newest(versions, present, unstable=True) == unstable


VERSIONS = st.sampled_from(["0.1", "1.0", "1.0.post1", "1.1a1", "1.1rc1", "1.1", "2.0.dev1", "2.0", "1!0.1"])


@given(VERSIONS, st.lists(VERSIONS))
def test_a_release_is_always_higher(present: str, versions: list[str]) -> None:
    """Never a downgrade; a pre-release only where the rules say so; `-u` takes the highest of all."""
    found = newest(versions, present)
    if found is not None:
        assert version_sort_key(found) > version_sort_key(present)
        assert not is_prerelease(found) or is_prerelease(present) or all(map(is_prerelease, versions))
    highest = max(versions, key=version_sort_key, default=present)
    expected = highest if version_sort_key(highest) > version_sort_key(present) else None
    assert newest(versions, present, unstable=True) == expected


# -- which files ------------------------------------------------------------------------------------------------------


def offered(*filenames: str, yanked: bool = False) -> list[UpstreamFile]:
    return [
        UpstreamFile(filename=name, url=f"http://x.test/{name}", version=parse_filename(name).version, yanked=yanked)
        for name in filenames
    ]


@pytest.mark.parametrize(
    ("present", "tails", "expected"),
    [
        ("foo-1.0.tar.gz", ["-py3-none-any.whl", ".zip", ".tar.gz"], ".tar.gz"),
        ("foo-1.0.tar.bz2", ["-py3-none-any.whl", ".zip"], ".zip"),
        ("foo-1.0.tar.gz", ["-cp311-cp311-win_amd64.whl", "-py3-none-any.whl"], "-py3-none-any.whl"),
        ("foo-1.0.tar.gz", ["-cp311-cp311-win_amd64.whl", "-py2-none-any.whl"], None),
        ("foo-1.0-py3.8.egg", ["-py3-none-any.whl", ".tar.gz"], ".tar.gz"),
        ("foo-1.0-py3-none-any.whl", [".tar.gz", "-py2.py3-none-any.whl"], "-py2.py3-none-any.whl"),
        ("foo-1.0-py3-none-any.whl", [".tar.gz", "-cp311-cp311-win_amd64.whl"], ".tar.gz"),
        (
            "foo-1.0-cp311-cp311-manylinux2014_x86_64.whl",
            ["-cp312-cp312-manylinux2014_x86_64.whl", "-cp311-cp311-manylinux_2_28_x86_64.whl", "-py3-none-any.whl"],
            "-cp311-cp311-manylinux_2_28_x86_64.whl",
        ),
        (
            "foo-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            ["-cp311-cp311-manylinux_2_28_x86_64.whl", "-cp311-cp311-manylinux_2_17_x86_64.whl"],
            "-cp311-cp311-manylinux_2_17_x86_64.whl",
        ),
        (
            "foo-1.0-cp311-cp311-linux_x86_64.whl",
            ["-cp311-cp311-musllinux_1_2_x86_64.whl", "-cp311-cp311-manylinux_2_28_aarch64.whl"],
            None,
        ),
        (
            "foo-1.0-cp311-cp311-manylinux1_x86_64.whl",
            ["-cp312-abi3-manylinux_2_28_x86_64.whl", "-cp39-abi3-manylinux_2_28_x86_64.whl", ".tar.gz"],
            "-cp39-abi3-manylinux_2_28_x86_64.whl",
        ),
        ("foo-1.0-pp310-pypy310_pp73-win_amd64.whl", ["-cp39-abi3-win_amd64.whl", ".tar.gz"], ".tar.gz"),
        (
            "foo-1.0-cp311-cp311-macosx_11_0_arm64.whl",
            ["-cp311-cp311-macosx_10_9_x86_64.whl", "-cp311-cp311-macosx_10_9_universal2.whl"],
            "-cp311-cp311-macosx_10_9_universal2.whl",
        ),
        ("foo-1.0-py3-none-any.whl", ["-py3-none-any.whl", "-2-py3-none-any.whl"], "-2-py3-none-any.whl"),
        ("foo-odd-1.0_x-py3-none-any.whl", ["-py3-none-any.whl"], "-py3-none-any.whl"),
        ("foo-1.0-1.x86_64.rpm", ["-py3-none-any.whl", ".tar.gz"], ".tar.gz"),
    ],
)
def test_which_file(present: str, tails: list[str], expected: str | None) -> None:
    """The kind that is present, for the platform that it is for; what serves every platform otherwise."""
    parsed = guess_filename(present)
    assert parsed is not None
    file = counterpart(parsed, offered(*(f"foo-2.0{tail}" for tail in tails)))
    assert (file.parsed.filename if file else None) == (f"foo-2.0{expected}" if expected else None)


def test_each_present_file_gets_its_successor() -> None:
    """One fetch per present file of the highest version, to where it is; copies and older versions add none."""
    names = ["foo-0.9.zip", "foo-1.0.tar.gz", "foo-1.0-py3-none-any.whl", "foo-1.0.0-py2.py3-none-any.whl"]
    present = [Present(parse_filename(name), f"/dir{number}") for number, name in enumerate(names)]
    present.append(Present(parse_filename("foo-1.0-py3-none-win_amd64.whl"), None))
    update = plan("foo", present, offered("foo-1.1.tar.gz", "foo-1.1-py3-none-any.whl"))
    assert update is not None
    assert {(fetch.file.parsed.filename, fetch.directory) for fetch in update.fetches} == {
        ("foo-1.1.tar.gz", "/dir1"),
        ("foo-1.1-py3-none-any.whl", "/dir2"),
        ("foo-1.1-py3-none-any.whl", "/dir3"),
        ("foo-1.1-py3-none-any.whl", None),
    }
    assert (update.present, update.version, update.directory) == ("1.0", "1.1", "/dir1")
    elsewhere = plan("foo", present, offered("foo-1.1.tar.gz"), directory="/elsewhere")
    assert elsewhere is not None
    assert [fetch.directory for fetch in elsewhere.fetches] == ["/elsewhere"]


def test_yanked_files_and_eggs_do_not_count() -> None:
    """A yanked release is no update, and neither is one of eggs."""
    present = [Present(parse_filename("foo-1.0.tar.gz"), "/d")]
    assert plan("foo", present, offered("foo-2.0.tar.gz", yanked=True) + offered("foo-2.0-py3.8.egg")) is None


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("QUIRE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def upstream() -> Iterator[FakeIndex]:
    """An index with foo 1.0, 1.1 and 2.0rc1, and bar 1.0: a wheel and an sdist of each."""
    with serving_index() as index:
        for name, versions in (("foo", ("1.0", "1.1", "2.0rc1")), ("bar", ("1.0",))):
            index.has(
                name,
                {wheel_name(name, version): make_wheel(name, version) for version in versions}
                | {sdist_name(name, version): make_sdist(name, version) for version in versions},
            )
        yield index


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A served directory with nothing in it."""
    directory = tmp_path / "served"
    directory.mkdir()
    return directory


def put(directory: Path, name: str, version: str) -> Path:
    path = directory / wheel_name(name, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_wheel(name, version))
    return path


def host(served: Path, name: str, version: str) -> Index:
    """Publish a wheel into the store of the directory."""
    index = Index(PosixStore.open(served))
    staging = index.store.blobs.stage(upload_key(wheel_name(name, version)))
    staging.write(make_wheel(name, version))
    index.publish([examine(staging.finish(), wheel_name(name, version))])
    return index


def update(upstream: FakeIndex, *arguments: object) -> int:
    return main(["update", "--log-stream", "none", "--index-url", upstream.url, *map(str, arguments)])


def visible(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_it_prints_pip_commands(upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is a shell script: a comment and a pip command per update; all else is on standard error."""
    put(served / "a b", "foo", "1.0")
    put(served, "foo", "0.9")
    put(served, "bar", "1.0")
    put(served, "private", "1.0")
    before = visible(served)
    assert update(upstream, served) == 0
    out, err = capsys.readouterr()
    assert out == (
        f"# update foo from 1.0 to 1.1\npip -q download --no-deps -i {upstream.url} -d '{served}/a b' foo==1.1\n\n"
    )
    assert "No release found upstream for private." in err
    assert "--ignorelist-file" in err
    assert visible(served) == before
    assert not (served / "quire").exists()


def test_unstable_and_directory(upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`-u` offers pre-releases, `-d` names another directory, as with pypi-server; its other flags are accepted."""
    put(served, "foo", "1.0")
    flags = [
        "-u",
        "-d",
        "/else where",
        "-v",
        "--hash-algo",
        "md5",
        "--backend",
        "simple-dir",
        "--log-frmt",
        "%(message)s",
    ]
    assert update(upstream, *flags, served) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"pip -q download --no-deps -i {upstream.url} -d '/else where' foo==2.0rc1\n\n")


@pytest.mark.parametrize("flag", ["--ignorelist-file", "--blacklist-file"])
def test_ignored_projects_are_never_asked_for(
    upstream: FakeIndex, served: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    """Names in the ignorelist, in any spelling, drop-in or hosted, do not leave this machine."""
    put(served, "my-private", "1.0")
    put(served, "foo", "1.0")
    host(served, "hosted.private", "1.0")
    ignored = tmp_path / "ignored"
    ignored.write_text("# ours\n\n My.Private  # spelled otherwise\nHosted_Private\n")
    assert update(upstream, "--hosted", flag, ignored, served) == 0
    assert upstream.paths == ["/simple/foo/"]
    assert "--ignorelist-file" not in capsys.readouterr().err


def test_reserved_names_are_never_asked_for(upstream: FakeIndex, served: Path, tmp_path: Path) -> None:
    """Names that the servers' setting `local` matches, drop-in or hosted, are not sent to another index."""
    put(served, "my-private", "1.0")
    put(served, "foo", "1.0")
    host(served, "my.hosted", "1.0")
    (tmp_path / "quire.toml").write_text('local = "My_*"\n')
    assert update(upstream, "--hosted", served) == 0
    assert upstream.paths == ["/simple/foo/"]


@pytest.mark.parametrize("flags", [(), ("--hosted",)])
@pytest.mark.parametrize("kept", [("claim", "My_*"), ("namespace", "grant", "my", "user:alice")])
def test_claimed_names_are_never_asked_for(
    upstream: FakeIndex, served: Path, tmp_path: Path, flags: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    """Names that any index of the store keeps for itself, and those below a namespace, are not sent elsewhere."""
    put(served, "my-private", "1.0")
    put(served, "foo", "1.0")
    host(served, "my.hosted", "1.0")
    index = ("--index", "team") if kept[0] == "claim" else ()
    if index:
        assert main(["index", "create", "team", "-d", str(served)]) == 0
    assert main([*kept, *index, "-d", str(served)]) == 0
    assert update(upstream, *flags, served) == 0
    assert upstream.paths == ["/simple/foo/"]


@pytest.mark.parametrize("content", [None, b"foo==1.0\n", b"\xff\xfe\n", b"a b\n"])
def test_an_ignorelist_that_is_not_understood_stops_everything(
    upstream: FakeIndex, served: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    """Nothing is asked for while it is not clear what must not be."""
    put(served, "foo", "1.0")
    if content is not None:
        (tmp_path / "ignored").write_bytes(content)
    assert update(upstream, "--ignorelist-file", tmp_path / "ignored", served) == 2
    assert upstream.paths == []
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_execute_downloads_beside_the_present_file(
    upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new wheel lies complete beside the old one, as readable as any file; a second run finds nothing to do."""
    put(served / "team", "foo", "1.0")
    assert update(upstream, "-x", served) == 0
    new = served / "team" / wheel_name("foo", "1.1")
    assert capsys.readouterr().out == f"# update foo from 1.0 to 1.1\ndownloaded {new}\n\n"
    assert new.read_bytes() == make_wheel("foo", "1.1")
    assert visible(served) == [f"team/{wheel_name('foo', '1.0')}", f"team/{wheel_name('foo', '1.1')}"]
    assert stat.S_IMODE(new.stat().st_mode) & 0o600 == 0o600
    assert new.stat().st_nlink == 1
    asked = len(upstream.requests)
    assert update(upstream, "-x", served) == 0
    assert len(upstream.requests) == asked + 1
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write what belongs to another user")
def test_root_does_not_add_to_a_store_of_another_user(
    upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its server could not change what root adds there; every command that writes to a store says so."""
    host(served, "foo", "1.0")
    os.chown(served / "quire", 1234, 1234)
    assert update(upstream, "--hosted", "-x", served) == 2
    assert f"{served}/quire belongs to the user 1234" in capsys.readouterr().err
    assert list(Index(PosixStore.open(served)).project("foo").files) == [wheel_name("foo", "1.0")]  # type: ignore[union-attr]
    assert update(upstream, "--hosted", served) == 0  # which only asks


def test_execute_publishes_where_the_project_is_hosted(
    upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hosted project gets its update through the index: record, blob and metadata, and no file in the directory."""
    index = host(served, "foo", "1.0")
    put(served, "bar", "0.1")
    assert update(upstream, "--hosted", "-x", served) == 0
    assert f"published {wheel_name('foo', '1.1')}\n" in capsys.readouterr().out
    project = index.project("foo")
    assert project is not None
    entry = json.loads(run_quire("log", "-d", served, "--json", cwd=served).stdout)[-1]
    assert (entry["user"], entry["command"], entry["host"]) == (getpass.getuser(), "quire update", socket.gethostname())
    assert list(project.files) == [wheel_name("foo", "1.0"), wheel_name("foo", "1.1")]
    file = project.files[wheel_name("foo", "1.1")]
    assert file.metadata_sha256 is not None
    with index.store.blobs.open(f"{file.blob}/{file.filename}") as blob:
        assert blob.read() == make_wheel("foo", "1.1")
    assert (served / wheel_name("bar", "1.0")).exists()
    assert not (served / wheel_name("foo", "1.1")).exists()
    assert list((served / "quire" / "incoming").iterdir()) == []


def test_hosted_projects_are_asked_for_only_when_their_owner_says_so(
    upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name published here is not told to another index, and nothing from there joins it, not even a drop-in file."""
    index = host(served, "foo", "1.0")
    put(served, "foo", "0.9")
    assert update(upstream, "-x", served) == 0
    assert upstream.paths == []
    assert "--hosted" in capsys.readouterr().err
    project = index.project("foo")
    assert project is not None
    assert len(project.files) == 1


def test_hosted_projects_that_are_closed_are_left_alone(
    upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PEP 792: archived takes no uploads, so nothing is asked for it."""
    index = host(served, "foo", "1.0")
    index.set_status("foo", Status.ARCHIVED)
    index.yank("foo", Selection())
    assert update(upstream, "--hosted", "-x", served) == 0
    assert "Left alone: foo, which is archived." in capsys.readouterr().err
    assert upstream.paths == []


def test_a_download_directory_takes_everything(upstream: FakeIndex, served: Path, tmp_path: Path) -> None:
    """With -d also a hosted project's update becomes a file there; the directory is made."""
    index = host(served, "foo", "1.0")
    put(served, "bar", "0.1")
    assert update(upstream, "--hosted", "-x", "-d", tmp_path / "new" / "er", served) == 0
    assert visible(tmp_path / "new") == [f"er/{wheel_name('bar', '1.0')}", f"er/{wheel_name('foo', '1.1')}"]
    project = index.project("foo")
    assert project is not None
    assert len(project.files) == 1


@pytest.mark.parametrize("hard_links", [True, False])
def test_nothing_is_ever_overwritten(
    upstream: FakeIndex,
    served: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    hard_links: bool,
) -> None:
    """A file of that name stays as it is: the same content is fine, other content is an error. Also without link()."""
    if not hard_links:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, "not permitted")

        monkeypatch.setattr(os, "link", refuse)
    put(served, "foo", "1.0")
    target = tmp_path / "target"
    assert update(upstream, "-x", "-d", target, served) == 0
    assert update(upstream, "-x", "-d", target, served) == 0
    new = target / wheel_name("foo", "1.1")
    assert f"{new} was there already\n" in capsys.readouterr().out
    new.write_bytes(b"mine")
    assert update(upstream, "-x", "-d", target, served) == 1
    assert new.read_bytes() == b"mine"
    assert "already exists" in capsys.readouterr().err
    new.unlink()
    new.symlink_to(served / "nowhere")
    assert update(upstream, "-x", "-d", target, served) == 1
    assert new.is_symlink()
    assert not (served / "nowhere").exists()
    assert visible(target) == []


def test_all_files_of_a_project_or_none(upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When one of its files is not what was announced none is shown, nothing is left behind, and others go on."""
    put(served, "foo", "1.0")
    (served / sdist_name("foo", "1.0")).write_bytes(make_sdist("foo", "1.0"))
    put(served, "bar", "0.1")
    upstream.at(f"/files/{sdist_name('foo', '1.1')}", Answer(b"x" * len(make_sdist("foo", "1.1"))))
    before = set(visible(served))
    assert update(upstream, "-x", served) == 1
    assert set(visible(served)) - before == {wheel_name("bar", "1.0")}
    err = capsys.readouterr().err
    assert "quire: error: foo: The sha256 digest of foo-1.1.tar.gz is" in err
    assert "Traceback" not in err


def test_a_bad_archive_is_not_published(upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hosted project takes from upstream only what it would take as an upload, whatever its digest."""
    index = host(served, "foo", "1.0")
    upstream.has("foo", {wheel_name("foo", "1.1"): b"not a wheel"})
    assert update(upstream, "--hosted", "-x", served) == 1
    project = index.project("foo")
    assert project is not None
    assert len(project.files) == 1
    assert list((served / "quire" / "incoming").iterdir()) == []
    assert "quire: error: foo: " in capsys.readouterr().err


def test_a_release_without_a_fitting_file(
    upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A release for another platform only is an update for pip to judge, and an error to fetch."""
    put(served, "foo", "1.0")
    upstream.has("foo", {"foo-3.0-cp311-cp311-win_amd64.whl": b"x"})
    assert update(upstream, served) == 0
    assert "foo==3.0" in capsys.readouterr().out
    assert update(upstream, "-x", served) == 1
    assert "no file that corresponds" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written(
    upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit code 1: here the target is below a file."""
    put(served, "foo", "1.0")
    target = served / wheel_name("foo", "1.0") / "below"
    assert update(upstream, "-x", "-d", target, served) == 1
    assert f"quire: error: foo: The directory {target} cannot be used: Not a directory." in capsys.readouterr().err


def test_one_failing_project_does_not_hide_the_others(
    upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Updates that were found are offered; failures are one line for all with the same cause, and exit code 1."""
    for name in ("aaa", "bbb"):
        put(served, name, "1.0")
        upstream.at(f"/simple/{name}/", Answer(b"\x1b[2J", "text/\x1bplain"))
    put(served, "foo", "1.0")
    assert update(upstream, served) == 1
    out, err = capsys.readouterr()
    assert "foo==1.1" in out
    assert len([line for line in err.splitlines() if line.startswith("quire: error: aaa, bbb: ")]) == 1
    assert "\x1b" not in err


def test_an_index_that_is_not_there(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence for all projects together."""
    for name in ("foo", "bar", "baz"):
        put(served, name, "1.0")
    url = f"http://user:secret@127.0.0.1:{free_port()}/simple/"
    assert main(["update", "--log-stream", "none", "--index-url", url, str(served)]) == 1
    err = capsys.readouterr().err
    assert len([line for line in err.splitlines() if "error" in line]) == 1
    assert "secret" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--index-url", "ftp://host.test/"],
        ["--index-url", "no URL"],
        ["--max-upload-size", "much"],
        ["--hash-algo", "rot13"],
        ["--backend", "other"],
        ["-d", ""],
        ["missing"],
    ],
)
def test_wrong_settings_are_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one line."""
    assert main(["update", "--log-stream", "none", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


def test_nothing_to_ask(upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty directory needs no index, and is told so."""
    assert update(upstream, served) == 0
    assert capsys.readouterr().err == "There is no project to ask for.\n"
    assert upstream.requests == []


def test_json(upstream: FakeIndex, served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One document with everything that the lines say."""
    put(served, "foo", "1.0")
    put(served, "private", "1.0")
    host(served, "broken", "1.0")
    (record,) = (served / "quire" / "records" / "main" / "projects" / "broken").glob("*.json")
    record.write_text("garbage")
    assert update(upstream, "--hosted", "--json", "-x", served) == 1
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["checked"] == 2
    assert document["missing"] == ["private"]
    assert list(document["problems"]) == ["broken"]
    (found,) = document["updates"]
    assert (found["project"], found["present"], found["version"]) == ("foo", "1.0", "1.1")
    assert found["command"][-1] == "foo==1.1"
    assert found["files"][0]["url"] == f"{upstream.base}/files/{wheel_name('foo', '1.1')}"
    assert found["done"] == [{"outcome": "downloaded", "file": f"{served}/{wheel_name('foo', '1.1')}"}]


def test_the_fallback_url_is_the_default_index(
    upstream: FakeIndex, served: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a mirror of one's own as the fallback updates come from there; the help names the built-in one."""
    put(served, "foo", "1.0")
    (tmp_path / "quire.toml").write_text(f'fallback-url = "{upstream.url}"\n')
    assert main(["update", "--log-stream", "none", str(served)]) == 0
    assert "foo==1.1" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["update", "--help"])
    assert DEFAULT_FALLBACK_URL in capsys.readouterr().out.replace("\n", "").replace(" ", "")


def shell(command: str, cwd: Path, path: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    variables = environment(PATH=os.pathsep.join([*map(str, path), os.environ["PATH"]]), NO_PROXY="*")
    return subprocess.run(
        ["/bin/sh", "-euc", command], cwd=cwd, env=variables, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.clients
def test_its_output_feeds_a_shell(served: Path, tmp_path: Path) -> None:
    """`quire update | sh` lets the real pip download the update from a real second quire; then all is new."""
    source = tmp_path / "source"
    put(source, "foo", "1.1")
    put(served, "foo", "1.0")
    port = free_port()
    command = quire_command("serve", "-p", port, "--workers", "1", source)
    with running(command, port, cwd=tmp_path):
        url = f"http://127.0.0.1:{port}/simple/"
        result = shell(
            f"{sys.executable} -m quire update --index-url {url} {served} | sh -eu",
            tmp_path,
            [Path(sys.executable).parent],
        )
        assert result.returncode == 0, result.stderr
        assert (served / wheel_name("foo", "1.1")).read_bytes() == make_wheel("foo", "1.1")
        again = run_quire("update", "--index-url", url, served, cwd=tmp_path, environ=environment(NO_PROXY="*"))
        assert (again.returncode, again.stdout) == (0, "")
