"""A real server whose directory fails under it: full, read-only, gone, or with foreign and damaged files in it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from quire.catalog.drop_ins import DropIns
from quire.catalog.file_count import FileCount
from quire.catalog.hosted import Hosted
from quire.config.settings import Settings
from quire.domain.changes import Selection
from quire.domain.errors import StoreFull
from quire.dropin.folder import Folder
from quire.http.app.application import create_application
from quire.index.upload import examine, upload_key
from quire.store.open_blob import OpenBlob
from tests.asking import OPEN, Site, nothing_changes, post, publish, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index with the project `good`."""
    with serve(tmp_path_factory.mktemp("trouble"), *OPEN) as site:
        publish_wheel(site, "good")
        yield site


def _mount(folder: Path, size: str) -> bool:
    """A small file system of its own at this place, if this user may make one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder whose `packages` is a file system of two megabytes."""
    if not _mount(tmp_path / "packages", "2m"):
        pytest.skip("needs the right to mount a tmpfs")
    yield tmp_path
    subprocess.run(["umount", tmp_path / "packages"], check=True)


def _upload(site: Site, name: str, size: int = 100) -> httpx.Response:
    content = make_wheel(name, "1.0", files={"data": os.urandom(size)})
    return publish(site, wheel_name(name, "1.0"), content, name=name, version="1.0")


def _fill(path: Path) -> None:
    """Let this file take all the space that is left."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _is_one_sentence(answer: httpx.Response) -> bool:
    return len(answer.text.splitlines()) == 1 and answer.text.endswith(".\n") and "Traceback" not in answer.text


def test_a_full_disk(small: Path) -> None:
    """507, nothing half-way, everything is served on; when there is room again it is used."""
    with serve(small, *OPEN) as site:
        publish_wheel(site, "good")
        with nothing_changes(site):
            answer = _upload(site, "large", 3_000_000)
            assert (answer.status_code, _is_one_sentence(answer)) == (507, True)
        ballast = site.root / "ballast"
        _fill(ballast)
        with nothing_changes(site):
            for name in ("good", "other"):  # a new revision, and a new record
                content = make_wheel(name, "2.0")
                answer = publish(site, wheel_name(name, "2.0"), content, name=name, version="2.0")
                assert (answer.status_code, _is_one_sentence(answer)) == (507, True)
        ballast.unlink()
        assert _upload(site, "other").status_code == 200


def test_a_disk_that_becomes_full_in_the_middle(small: Path) -> None:
    """Wherever the space ends on the way from the first byte to the record: published whole, or not at all."""
    with serve(small, *OPEN) as site:
        publish_wheel(site, "good")
        content = make_wheel("edge", "1.0", files={"data": os.urandom(20_000)})
        ballast = site.root / "ballast"
        outcomes = set()
        for spare in range(15):
            ballast.write_bytes(b"")
            free = os.statvfs(site.root)
            ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - spare * 4096))
            blobs = site.blobs()
            answer = publish(site, wheel_name("edge", "1.0"), content, name="edge", version="1.0")
            outcomes.add(answer.status_code)
            if answer.status_code == 200:
                assert site.filenames("edge") == [wheel_name("edge", "1.0")]
                break
            assert answer.status_code == 507, answer.text
            assert (site.projects(), site.staged(), site.blobs()) == (["good"], [], blobs)
        assert outcomes == {200, 507}


def test_a_disk_that_becomes_read_only(small: Path) -> None:
    """A file system that turned read-only: uploads get a sentence, everything else goes on."""

    def remount(mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", small / "packages"], check=True)

    with serve(small, *OPEN) as site:
        publish_wheel(site, "good")
        remount("ro")
        with nothing_changes(site):
            answer = _upload(site, "other")
            assert (answer.status_code, _is_one_sentence(answer)) == (503, True)
            answer = post(site, [(":action", "remove_pkg"), ("name", "good"), ("version", "1.0")])
            assert (answer.status_code, _is_one_sentence(answer)) == (503, True)
        remount("rw")
        assert _upload(site, "other").status_code == 200
    remount("ro")
    with serve(small, *OPEN) as site:
        assert site.filenames("good") == [wheel_name("good", "1.0")]
        assert _upload(site, "third").status_code == 403
        assert "is mounted read-only; serving it so, without uploads" in site.served.output()


def test_a_directory_without_permission(tmp_path: Path) -> None:
    """A server whose user may read the directory, but not write, does not start but with --read-only."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "good")
        everything = [site.root, *site.root.rglob("*")]
    as_root = os.geteuid() == 0 and shutil.which("setpriv") is not None
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with pytest.raises(AssertionError, match="ended with 2"), serve(tmp_path, *OPEN, unprivileged=as_root):
        pass
    with serve(tmp_path, *OPEN, "--read-only", unprivileged=as_root) as site:
        assert site.filenames("good") == [wheel_name("good", "1.0")]
        assert _upload(site, "other").status_code == 403
    for path in everything:
        path.chmod(0o755)


def test_a_directory_that_vanishes(tmp_path: Path) -> None:
    """A lost mount: 503 with a sentence, never an empty list; health and home page answer; it comes back by itself.

    No sentence tells where the directory is; the log does.
    """
    with serve(tmp_path, *OPEN, "--fallback-url", "http://fallback.invalid/") as site:
        publish_wheel(site, "good")
        (site.root / wheel_name("dropped", "1.0")).write_bytes(make_wheel("dropped", "1.0"))
        paths = ["/simple/", "/simple/good/", "/simple/dropped/", "/simple/unknown/", "/packages/", "/good/json"]
        paths.append(site.file_url("good", wheel_name("good", "1.0")))
        before = [site.get(path).status_code for path in paths]
        away = site.root.with_name("away")
        for _ in range(2):
            site.root.rename(away)
            for path in paths:
                answer = site.get(path)
                assert (answer.status_code, _is_one_sentence(answer)) == (503, True), (path, answer.text)
                assert answer.headers["retry-after"]
                assert answer.headers["cache-control"] == "no-store"
                assert str(tmp_path) not in answer.text
            assert str(tmp_path) not in site.get("/ready").text
            answer = _upload(site, "other")
            assert (answer.status_code, _is_one_sentence(answer)) == (503, True)
            assert not site.root.exists()
            assert [site.get(path).status_code for path in ("/", "/health")] == [200, 200]
            away.rename(site.root)
            assert [site.get(path).status_code for path in paths] == before
        assert str(site.root) in site.served.output()
        assert _upload(site, "other").status_code == 200


def test_an_empty_directory_in_its_place(tmp_path: Path) -> None:
    """A mount point without its mount is no empty index: no client gets a 404 for a project."""
    with serve(tmp_path, *OPEN, "--fallback-url", "http://fallback.invalid/") as site:
        publish_wheel(site, "good")
        away = site.root.with_name("away")
        site.root.rename(away)
        site.root.mkdir()
        for path in ("/simple/", "/simple/good/", "/packages/"):
            assert site.get(path).status_code == 503, path
        assert _upload(site, "other").status_code == 503
        assert list(site.root.iterdir()) == []
        site.root.rmdir()
        away.rename(site.root)
        assert site.filenames("good") == [wheel_name("good", "1.0")]


def _garbage(record: Path) -> None:
    (record / "00000002.json").write_bytes(b"\x89PNG garbage")


def _half(record: Path) -> None:
    document = (record / "00000001.json").read_bytes()
    (record / "00000002.json").write_bytes(document[: len(document) // 2])


def _empty(record: Path) -> None:
    (record / "00000002.json").write_bytes(b"")


def _newer(record: Path) -> None:
    document = (record / "00000001.json").read_text()
    (record / "00000002.json").write_text(document.replace('"format": 1', '"format": 99'))


def _folder(record: Path) -> None:
    (record / "00000002.json").mkdir()


def _link(record: Path) -> None:
    (record / "00000002.json").symlink_to("/etc/passwd")


@pytest.mark.parametrize("damage", [_garbage, _half, _empty, _newer, _folder, _link])
def test_a_damaged_record(site: Site, damage: Callable[[Path], None]) -> None:
    """503 and a sentence for that project alone, and nothing is written over it; repaired, it is served at once."""
    name = f"damaged{damage.__name__.replace('_', '-')}"
    filename = publish_wheel(site, name)
    url = site.file_url(name, filename)
    record = site.root / "quire/records/main/projects" / name
    damage(record)
    for path in (f"/simple/{name}/", f"/{name}/json", url):
        answer = site.get(path)
        assert (answer.status_code, _is_one_sentence(answer)) == (503, True), path
    content = make_wheel(name, "2.0")
    answer = publish(site, wheel_name(name, "2.0"), content, name=name, version="2.0")
    assert (answer.status_code, _is_one_sentence(answer)) == (503, True)
    assert site.filenames("good") == [wheel_name("good", "1.0")]
    assert name in site.projects()
    for path in ("/", "/packages/", "/simple/"):
        assert site.get(path).status_code == 200
    assert wheel_name("good", "1.0") in site.get("/packages/").text
    broken = record / "00000002.json"
    broken.rmdir() if broken.is_dir() and not broken.is_symlink() else broken.unlink()
    assert site.filenames(name) == [filename]
    assert publish(site, wheel_name(name, "2.0"), content, name=name, version="2.0").status_code == 200


def test_foreign_files_among_the_records(site: Site) -> None:
    """Files that people and programs leave there are no projects; where one is in the way of a project, a sentence
    says so."""
    folder = site.root / "quire/records/main/projects"
    before = site.projects()
    for name in (".nfs0001", "README.txt", "Thumbs.db", "foreign", "UPPER", "a b"):
        (folder / name).write_text("foreign")
    for name in ("good/notes.txt", "good/.nfs0002", "good/0001.json", "good/00000009.json.swp"):
        (folder / name).write_text("foreign")
    (folder / "no-record").mkdir()
    assert [name for name in site.projects() if name != "no-record"] == before
    assert site.filenames("good") == [wheel_name("good", "1.0")]
    assert site.get("/simple/foreign/").status_code == 404
    assert site.get("/simple/no-record/").status_code == 404
    answer = _upload(site, "foreign")
    assert (answer.status_code, _is_one_sentence(answer), site.staged()) == (503, True, [])
    assert "foreign" not in site.projects()
    assert _upload(site, "no-record").status_code == 200


def test_a_stored_file_that_is_missing(site: Site) -> None:
    """A blob that was removed by hand: 404 for the file, and the page still stands."""
    filename = publish_wheel(site, "lost")
    url = site.file_url("lost", filename)
    (file,) = (site.root / "quire/blobs/lost").rglob(filename)
    file.unlink()
    answer = site.client.get(url)
    assert (answer.status_code, _is_one_sentence(answer)) == (404, True)
    assert site.filenames("lost") == [filename]


def test_counting_fails_quietly(site: Site) -> None:
    """The home page's number comes from a count that may fail: the old one stays, and it is not tried at once again."""
    now = 0.0
    count = FileCount([Hosted(site.index()), DropIns(Folder([site.root]))], clock=lambda: now)

    async def fine(_: Callable[[], int]) -> int:
        return 7

    async def failing(_: Callable[[], int]) -> int:
        raise StoreFull("The store is full.")

    async def story() -> list[int | None]:
        nonlocal now
        numbers = [await count.get(failing), await count.get(fine)]
        for seconds, source in ((10, fine), (0, failing), (10, failing), (0, fine), (10, fine)):
            now += seconds
            numbers.append(await count.get(source))
        return numbers

    assert asyncio.run(story()) == [None, None, 7, 7, 7, 7, 7]


@pytest.mark.parametrize("is_published_again", [False, True])
def test_a_delete_that_races_a_download(tmp_path: Path, is_published_again: bool) -> None:
    """404 and no error in the log when the file is deleted between the look at its listing and the opening of its
    bytes; the bytes when the same file is published again at that moment.
    """
    application = create_application(Settings(directories=(str(tmp_path),)))
    index = application.state.worker.default
    filename, content = wheel_name("raced", "1.0"), make_wheel("raced", "1.0")

    def publish_it() -> str:
        staging = index.store.blobs.stage(upload_key(filename))
        staging.write(content)
        upload = examine(staging.finish(), filename)
        index.hosted.publish([upload])
        return f"/packages/raced/{hashlib.sha256(content).hexdigest()}/{filename}"

    url, opened = publish_it(), index.store.blobs.open

    def delete_and_open(key: str) -> OpenBlob:
        index.store.blobs.open = opened
        index.hosted.remove_blobs(index.hosted.delete("raced", Selection(version="1.0"), to_trash=False).removed)
        if is_published_again:
            publish_it()
        found: OpenBlob = opened(key)
        return found

    index.store.blobs.open = delete_and_open

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://index") as client:
            return await client.get(url)

    with capture_logs() as lines:
        answer = asyncio.run(get())
    assert answer.status_code == (200 if is_published_again else 404)
    assert (answer.content == content) == is_published_again
    assert [line for line in lines if line["log_level"] == "error"] == []
