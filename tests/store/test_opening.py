"""A store is opened in one place, by a path or a URL."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from quire.config.resolving import check_workers, resolve
from quire.domain.errors import ConfigurationError, StoreReadOnly
from quire.store.memory import MemoryStore
from quire.store.opening import open_store
from quire.store.posix.store import PosixStore
from tests.serving import environment, run_quire

KEY = "main/projects/demo"


def test_a_directory_and_its_url_are_one_store(tmp_path: Path) -> None:
    """Path, text, `file:///...` and `file://localhost/...`, with escapes."""
    root = tmp_path / "pack ages"
    root.mkdir()
    first = open_store(root)
    assert isinstance(first, PosixStore)
    assert (first.place, first.home, first.exists) == (str(root), f"{root}/quire", True)
    first.records.write(KEY, b"{}", first.records.read(KEY))
    for place in (str(root), root.as_uri(), root.as_uri().replace("file://", "file://localhost")):
        assert open_store(place, create=False).records.read(KEY).data == b"{}"


def test_a_place_without_a_store(tmp_path: Path) -> None:
    """It says so, and is as empty as a store can be."""
    store = open_store(tmp_path, create=False)
    assert not store.exists
    assert not store.writable
    assert (store.records.prefixes(), list(store.blobs.list())) == ((), [])


def test_a_store_in_memory_is_one_per_name() -> None:
    """Each handle on the same name has the same content; another name has another store; read-only is kept."""
    place = f"memory:{uuid.uuid4().hex}"
    first, second, other = open_store(place), open_store(place, read_only=True), open_store("memory:other")
    assert isinstance(first, MemoryStore)
    assert (first.place, first.home, first.exists) == (place, None, True)
    first.records.write(KEY, b"{}", first.records.read(KEY))
    assert second.records.read(KEY).data == b"{}"
    assert other.records.read(KEY).data is None
    assert not second.writable
    with pytest.raises(StoreReadOnly):
        second.records.write(KEY, b"[]", second.records.read(KEY))


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("ftp://server/prefix", "'ftp://server/prefix' cannot be served: a store is in a directory or a bucket"),
        ("s3://", "is no URL of a bucket; write it like s3://bucket/prefix"),
        ("s3://bucket/../other", "is no URL of a bucket"),
        ("s3://user:secret@bucket/a", "has credentials or parameters in it; write it like s3://bucket/prefix"),
        ("gs://bucket/a?token=secret", "has credentials or parameters in it"),
        ("https://user:secret@index.example/", "It cannot be served"),
        ("file://user:secret@server/a", "It names no directory"),
        ("s3://[user:secret@bucket/a", "It is no URL"),
        ("HTTPS://index.example/", "cannot be served"),
        ("file://server/share", "names no directory of this machine"),
        ("file://relative", "names no directory of this machine"),
        ("file:///a%00b", "names no directory of this machine"),
        ("file:///a?b", "names no directory of this machine"),
        ("file://[/a", "is no URL"),
        ("memory:a/b", "has a name that cannot be used"),
        ("memory://a", "has a name that cannot be used"),
    ],
)
def test_other_places_are_refused(place: str, sentence: str) -> None:
    """With one sentence, by the store and by the settings alike."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(place)
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        resolve({"directories": [place]}, {})
    assert sentence in str(caught.value)
    assert str(caught.value).count(". ") == 0


def test_the_settings_take_urls(tmp_path: Path) -> None:
    """As an argument, from the variable and from quire.toml; what is no URL is a path, and made absolute."""
    url = tmp_path.as_uri()
    assert resolve({"directories": [url]}, {}).directories == (str(tmp_path),)
    assert resolve({}, {"QUIRE_DIRECTORIES": url}).directories == (str(tmp_path),)
    file = tmp_path / "quire.toml"
    file.write_text(f'directories = ["memory:trial", "{url}", "beside"]\n')
    settings = resolve({}, {}, config_file=str(file))
    assert settings.directories == ("memory:trial", str(tmp_path), str(tmp_path / "beside"))
    assert settings.drop_in_roots == settings.folders == settings.directories[1:]
    assert resolve({"directories": ["./memory:x"]}, {}).directories == (f"{Path.cwd()}/memory:x",)
    assert resolve({"directories": [f"odd{os.sep}s3:x"]}, {}).directories == (f"{Path.cwd()}/odd/s3:x",)


def test_only_the_first_place_is_a_store(tmp_path: Path) -> None:
    """The others are folders of files."""
    with pytest.raises(ConfigurationError, match="only the first place can be a store"):
        resolve({"directories": [str(tmp_path), "memory:"]}, {})


def test_a_store_in_memory_has_one_worker() -> None:
    """By default; more are refused, whichever source asks for them."""
    assert resolve({"directories": ["memory:"]}, {}).workers == 1
    for flags, variables in (({"workers": "2"}, {}), ({}, {"WEB_CONCURRENCY": "3"})):
        with pytest.raises(ConfigurationError, match="is a store in the memory of one process"):
            resolve({"directories": ["memory:"], **flags}, variables)
    check_workers("/srv/packages", 64)


def test_gunicorns_configuration_cannot_add_workers(tmp_path: Path) -> None:
    """Its own file decides where quire has no setting; the sentence is the same, and nothing listens."""
    (tmp_path / "gunicorn.conf.py").write_text("workers = 3\n")
    ended = run_quire("run", "--server", "gunicorn", "-p", 0, "memory:", cwd=tmp_path, environ=environment())
    assert ended.returncode != 0
    assert "and 3 workers would have 3 different ones; serve it with one worker" in ended.stderr


@pytest.mark.parametrize("command", [("ls",), ("check",), ("gc",), ("update",), ("doctor",), ("log",)])
def test_commands_cannot_reach_a_store_in_memory(tmp_path: Path, command: tuple[str, ...]) -> None:
    """It is in another process, and an empty one of their own would be a wrong answer."""
    ended = run_quire(*command, cwd=tmp_path, environ=environment(QUIRE_DIRECTORIES="memory:"))
    assert ended.returncode == 2, ended.stdout
    assert "which commands cannot reach; name a directory." in ended.stderr
    assert "Traceback" not in ended.stderr
