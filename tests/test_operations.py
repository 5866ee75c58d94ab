"""docs/operations.md, rehearsed: every block of it is run, here or (what needs more programs) in tests/deploy."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import httpx
import pytest

from quire.domain.changes import Selection
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations.checking.findings import Severity
from quire.store.posix.store import PosixStore
from tests import operating
from tests.asking import OPEN, Site, content_type, multipart, password_file, publish, publish_wheel, serve, twine_form
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.operating import Host, blocks, checked, published_in, publishing
from tests.serving import DEADLINE, free_port, running, until

ACME = wheel_name("acme-tools", "1.0")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host.make(tmp_path)


def records(root: Path, project: str = "acme-tools") -> list[Path]:
    """All revisions of a project, the highest last."""
    return sorted((root / "quire" / "records" / "main" / "projects" / project).glob("*.json"))


def stored(root: Path, filename: str) -> Path:
    """The one stored file of this name."""
    (path,) = (root / "quire" / "blobs").rglob(filename)
    return path


def delete(root: Path, project: str, version: str | None = None) -> None:
    """Delete a release, or a project, with its bytes, as `quire delete` does."""
    index = Index(PosixStore.open(root))
    index.remove_blobs(index.delete(project, Selection(version=version)).removed)


def test_every_block_is_run() -> None:
    """No block of the page is without a name, and each name stands in a test."""
    page = operating.PAGE.read_text()
    assert page.count("\n```sh\n") == len(blocks())
    others = ("deploy/test_operations.py", "bucket/test_moving.py")
    tests = "".join(path.read_text() for path in (Path(__file__), *map(Path(__file__).parent.joinpath, others)))
    for name in blocks():
        assert f'"{name}"' in tests, name


# -- backup and restore -----------------------------------------------------------------------------------------------


def test_backup_of_a_store_in_use(host: Host) -> None:
    """A copy by cp, while uploads go on: all that was acknowledged before it began is in it, and its check is clean."""
    (host.data / sdist_name("dropped", "1.0")).write_bytes(make_sdist("dropped", "1.0"))
    with host.serve() as site, publishing(site) as publisher:
        before = set(publisher.acknowledged)
        assert "Everything is in order." in without_young(host.run("backup-cp"))
        publisher.await_more(1)
    assert published_in(host.backup) >= before
    assert publisher.refused == []
    with serve(host.folder / "backup", *OPEN) as copy:
        assert copy.filenames("dropped") == [sdist_name("dropped", "1.0")]
        assert copy.get(f"/packages/{min(before)}").status_code == 200
    assert not checked(host.backup).counts[Severity.DAMAGE]


def test_backup_and_restore_by_quire(host: Host) -> None:
    """While uploads go on: all that was acknowledged before is there again, and its check is clean."""
    (host.folder / "backup" / "quire").mkdir()
    with host.serve() as site, publishing(site) as publisher:
        before = set(publisher.acknowledged)
        assert "Everything is in order." in host.run("backup-quire")
        publisher.await_more(1)
    assert publisher.refused == []
    assert "Everything is in order." in without_young(host.run("restore-quire"))
    assert published_in(host.new) >= before


def without_young(printed: str) -> str:
    """The output of a check; files that were copied before a record names them are no finding."""
    if "so young that a change may be under way" in printed:
        assert "damage" not in printed, printed
        return "Everything is in order."
    return printed


def test_the_order_of_the_copy(host: Host) -> None:
    """Records before files is right whatever is published in between; files before records is not."""
    *lines, check = host.script("backup-cp").splitlines()
    (blobs,) = (number for number, line in enumerate(lines) if "/blobs" in line)
    (first,) = (number for number, line in enumerate(lines) if "/records" in line)
    assert first < blobs
    with host.serve() as site:
        publish_wheel(site, "acme-tools")
        for number, line in enumerate(lines):
            before = (
                {ACME, *(wheel_name("acme-tools", f"1.{each}") for each in range(1, number + 1))} if number else {ACME}
            )
            host.shell(line)
            publish_wheel(site, "acme-tools", f"1.{number + 1}")
            if number == first:
                promised = before
        host.shell(check)
        assert published_in(host.backup) == promised
        shutil.rmtree(host.backup)
        lines[first], lines[blobs] = lines[blobs], lines[first]
        for number, line in enumerate(lines):
            host.shell(line)
            publish_wheel(site, "acme-tools", f"2.{number}")
        assert "missing-file" in {finding.code for finding in checked(host.backup).findings}


def test_what_is_deleted_while_it_is_copied(host: Host) -> None:
    """The check names it, and the repair of the copy takes out just that."""
    *lines, check = host.script("backup-cp").splitlines()
    with host.serve() as site:
        for version in ("1.0", "1.1"):
            publish_wheel(site, "acme-tools", version)
        publish_wheel(site, "gone")
        for line in lines:
            host.shell(line)
            if "/records" in line:
                delete(host.data, "acme-tools", "1.0")
                delete(host.data, "gone")
        assert "damage 2" in host.shell(check, code=1)
        host.run("backup-repair")
        assert not checked(host.backup).counts[Severity.DAMAGE]
        assert published_in(host.backup) == published_in(host.data) == {wheel_name("acme-tools", "1.1")}


def test_restore(host: Host) -> None:
    """All of the backup is back, and what was published after it, as far as its bytes were left."""
    with host.serve() as site:
        publish_wheel(site, "acme-tools")
        Index(PosixStore.open(host.data)).yank("acme-tools", Selection(version="1.0"))
        shutil.copytree(host.data, host.backup)
        publish_wheel(site, "acme-tools", "1.1")
        publish_wheel(site, "younger")
        whole = published_in(host.data)
    shutil.rmtree(host.data / "quire" / "records")
    host.run("restore")
    with host.serve() as site:
        assert site.filenames("acme-tools") == [ACME]
        assert site.listing("acme-tools")["files"][0]["yanked"] is True
        host.run("restore-later")
        assert published_in(host.data) == whole
        assert site.filenames("younger") == [wheel_name("younger", "1.0")]
        publish_wheel(site, "acme-tools", "1.2")
    assert not checked(host.data).counts[Severity.DAMAGE]
    host.run("restore", code=1)  # not over what an earlier one put aside


def test_import_into_another_volume(host: Host) -> None:
    """Dropped and published files arrive, with their times, while servers of both volumes take uploads."""
    (host.data / sdist_name("dropped", "1.0")).write_bytes(make_sdist("dropped", "1.0"))
    with (
        host.serve() as old,
        host.serve(volume="new") as new,
        publishing(old) as there,
        publishing(new, "other") as here,
    ):
        before = {*there.acknowledged, *here.acknowledged}
        one = there.acknowledged[0]
        host.run("move-import")
        times = [
            each["upload-time"]
            for site in (old, new)
            for each in site.listing("busy-0")["files"]
            if each["filename"] == one
        ]
        assert len(times) == 2
        assert times[0] == times[1]
    assert published_in(host.new) >= before | {sdist_name("dropped", "1.0")}
    assert not checked(host.new).counts[Severity.DAMAGE]


# -- going back -------------------------------------------------------------------------------------------------------


def test_going_back_on_the_same_volume(host: Host) -> None:
    """A real pypiserver serves what quire published, byte for byte, and nothing that was deleted or is damaged."""
    if importlib.util.find_spec("pypiserver") is None:  # not importorskip: it changes how this process imports
        pytest.skip("pypiserver is not installed")
    contents = {wheel_name("acme-tools", "1.1"): make_wheel("acme-tools", "1.1")}
    contents[sdist_name("old", "1.0")] = make_sdist("old", "1.0")
    (host.data / sdist_name("old", "1.0")).write_bytes(contents[sdist_name("old", "1.0")])
    with host.serve() as site:
        for version in ("1.0", "1.1", "1.2"):
            publish_wheel(site, "acme-tools", version)
        assert site.client.post("/", data={":action": "remove_pkg", "name": "acme-tools", "version": "1.0"}).is_success
        stored(host.data, wheel_name("acme-tools", "1.2")).write_bytes(b"damaged")
        checked(host.data, repair=True)
    assert stored(host.data, ACME)  # its bytes stay for downloads under way
    host.run("go-back")
    _pypiserver_serves(host, contents)
    host.run("go-back-flat")
    assert {path.name for path in host.data.iterdir()} == {*contents, ".quire-damaged"}
    _pypiserver_serves(host, contents)
    with host.serve() as site:  # and to quire again
        assert site.filenames("acme-tools") == [wheel_name("acme-tools", "1.1")]


def test_both_servers_on_one_volume(host: Host) -> None:
    """quire and a real pypiserver, beside each other as in docs/aws.md: each has at once, byte for byte, what the other
    took, and takes no other content under its name. quire does not list a file that pypiserver has half written."""
    if importlib.util.find_spec("pypiserver") is None:  # not importorskip: it changes how this process imports
        pytest.skip("pypiserver is not installed")
    contents: dict[str, bytes] = {}
    with host.serve() as site, _pypiserver(host, "--backend", "simple-dir") as old:
        servers = (site.client, old)

        def both_have(name: str) -> None:
            ours = {filename: content for filename, content in contents.items() if name.replace("-", "_") in filename}
            for server in servers:
                assert _listed(server, f"/simple/{name}/") == ours

        def send(server: httpx.Client, name: str, version: str, content: bytes) -> int:
            parts = twine_form(wheel_name(name, version), content, name=name, version=version)
            return server.post("/", content=multipart(parts), headers={"content-type": content_type()}).status_code

        dropped = set()
        for name, takers in (("acme-tools", (site.client, old)), ("other", (old, site.client))):
            for number, taker in enumerate(takers):
                version = f"1.{number}"
                filename, content = wheel_name(name, version), make_wheel(name, version)
                assert send(taker, name, version, content) == 200
                contents[filename] = content
                dropped |= {filename} if taker is old else set()
                both_have(name)
                different = make_wheel(name, version, files={"data": b"other bytes"})
                assert [send(server, name, version, different) for server in servers] == [409, 409]
                both_have(name)
        assert {path.name for path in host.data.glob("*.whl")} == dropped
        half, content = wheel_name("other", "4.0"), make_wheel("other", "4.0")
        with (host.data / half).open("wb", buffering=0) as file:  # as pypiserver writes: in place
            file.write(content[: len(content) // 2])
            assert half in _listed(old, "/simple/other/")
            assert _listed(site.client, "/simple/other/").keys() == {name for name in contents if "other" in name}
            assert site.get(f"/packages/{half}").status_code == 404
            file.write(content[len(content) // 2 :])
        contents[half] = content
        until(lambda: half in site.filenames("other"))
        both_have("other")
    assert "Everything is in order." in host.quire("check", "-d", host.data)


def _listed(server: httpx.Client, page: str) -> dict[str, bytes]:
    """The files of a page, with what the server gives for its links."""
    answer = server.get(page)
    assert answer.status_code == 200, answer.text
    urls = [answer.url.join(path) for path in re.findall(r'href="([^"#]+)', answer.text)]
    files = {url.path.rpartition("/")[2]: server.get(url).content for url in urls if url.path.startswith("/packages/")}
    assert len(files) == len(urls)
    return files


@contextmanager
def _pypiserver(host: Host, *flags: str) -> Iterator[httpx.Client]:
    """pypiserver, started as the page says, with further flags."""
    port = free_port()
    words = shlex.split(host.script("go-back-serve"))
    assert words[:4] == ["pypi-server", "run", "-p", "8080"]
    command = [sys.executable, "-m", "pypiserver", "run", "-p", str(port), "-i", "127.0.0.1", *flags, *words[4:]]
    with (
        running(command, port, cwd=host.folder),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE, trust_env=False) as client,
    ):
        yield client


def _pypiserver_serves(host: Host, contents: dict[str, bytes]) -> None:
    """pypiserver has these files and no others."""
    with _pypiserver(host) as server:
        assert _listed(server, "/packages/") == contents


# -- trouble ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(host: Host) -> Iterator[Host]:
    """A host whose /data/packages is a file system of three megabytes."""
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(host.data)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield host
    subprocess.run(["umount", str(host.data)], check=True)


def test_a_full_disk(small: Host) -> None:
    """Refused with 507, everything acknowledged is served on, the reserve makes deletions possible, uploads go on."""
    rehearse_a_full_disk(small, reserve="200K", to_the_last_byte=True)


def rehearse_a_full_disk(host: Host, reserve: str, *, to_the_last_byte: bool) -> None:
    """Fill the disk of /data by uploads; do what the page says. `to_the_last_byte`: and leave no room for a record,
    where the file system keeps no blocks back, as ext4 does."""
    host.run("reserve", edit=lambda text: text.replace("100M", reserve))
    with host.serve() as site:
        publish_wheel(site, "acme-tools", files={"data": os.urandom(400_000)})
        acknowledged = {ACME}
        for number in range(1000):
            content = make_wheel("filler", f"1.{number}", files={"data": os.urandom(150_000)})
            filename = wheel_name("filler", f"1.{number}")
            answer = publish(site, filename, content, name="filler", version=f"1.{number}")
            if answer.status_code != 200:
                break
            acknowledged.add(filename)
        assert (answer.status_code, answer.text.count("full")) == (507, 1)
        assert {*site.filenames("acme-tools"), *site.filenames("filler")} == acknowledged
        for name in sorted(acknowledged):
            assert site.get(f"/packages/{name}").status_code == 200
        assert site.get("/ready").status_code == 200
        assert not checked(host.data).counts[Severity.DAMAGE]
        if to_the_last_byte:
            host.shell(f"cat /dev/zero > {host.data}/.filler || true")
            assert "full" in host.quire("delete", "-d", host.data, "acme-tools", "1.0", "--yes", code=1)
            until(lambda: not site.staged())  # what failed left nothing that takes space
        host.run("full")
        answer = publish(site, filename, content, name="filler", version=filename.split("-")[1])
        assert answer.status_code == 200, answer.text
    assert published_in(host.data) == acknowledged - {ACME} | {filename}
    assert not checked(host.data).counts[Severity.DAMAGE]


def test_a_volume_that_is_gone(host: Host) -> None:
    """503 and never 404 while it is away; the same workers go on when it is back; no server starts without it."""
    with host.serve() as site:
        publish_wheel(site, "acme-tools")
        away = host.folder / "away"
        (host.data / "quire").rename(away)
        for path in ("/simple/", "/simple/acme-tools/", "/simple/never-there/", f"/packages/{ACME}"):
            assert site.get(path).status_code == 503, path
        until(lambda: site.get("/ready").status_code == 503)
        assert site.get("/health").status_code == 200
        content = make_wheel("acme-tools", "1.1")
        name = wheel_name("acme-tools", "1.1")
        assert publish(site, name, content, name="acme-tools", version="1.1").status_code == 503
        away.rename(host.data / "quire")
        assert site.filenames("acme-tools") == [ACME]
        assert publish(site, name, content, name="acme-tools", version="1.1").status_code == 200
        until(lambda: site.get("/ready").status_code == 200)
    port = free_port()
    guarded = host.script("guard").replace("quire serve", f"quire serve -p {port}")
    with running(["sh", "-eu", "-c", guarded], port, cwd=host.folder, environ=host.environ()) as served:
        assert ACME in served.get("/simple/acme-tools/")[2]
    shutil.rmtree(host.data / "quire")
    host.run("guard", code=1)
    assert list(host.data.iterdir()) == []


def damaged(host: Host, site: Site, *, all_revisions: bool = False) -> None:
    """Two releases, a copy, and then garbage in place of the record."""
    for version in ("1.0", "1.1"):
        publish_wheel(site, "acme-tools", version)
    publish_wheel(site, "other")
    shutil.copytree(host.data, host.backup)
    for path in records(host.data)[0 if all_revisions else -1 :]:
        path.write_bytes(b"garbage")


def mended(host: Host, site: Site) -> None:
    """The project is whole again, for the server that ran all the time and for a new one, and goes on."""
    everything = [ACME, wheel_name("acme-tools", "1.1")]
    assert sorted(site.filenames("acme-tools")) == everything
    for name in everything:
        assert site.get(f"/packages/{name}").status_code == 200
    publish_wheel(site, "acme-tools", "1.2")
    assert not checked(host.data).counts[Severity.DAMAGE]
    assert published_in(host.data) == {*everything, wheel_name("acme-tools", "1.2"), wheel_name("other", "1.0")}


def test_a_damaged_record_from_the_backup(host: Host) -> None:
    """Put in as the next revision while a server runs: nothing is lost."""
    with host.serve() as site:
        damaged(host, site)
        assert site.get("/simple/acme-tools/").status_code in {200, 503}  # 200 from memory
        with host.serve() as fresh:
            assert fresh.get("/simple/acme-tools/").status_code == 503
            assert fresh.filenames("other") == [wheel_name("other", "1.0")]
            assert fresh.projects() == ["acme-tools", "other"]
            answer = publish(fresh, ACME, make_wheel("acme-tools", "1.0"), name="acme-tools", version="1.0")
            assert (answer.status_code, "quire check" in answer.text) == (503, True)
        assert "damage: main/projects/acme-tools" in host.quire("check", "-d", host.data, code=1)
        assert host.run("record-look").count(records(host.data)[-1].name) == 2
        assert "Everything is in order." in host.run("record-from-backup")
        mended(host, site)


def test_a_damaged_record_from_an_older_revision(host: Host) -> None:
    """The last change is taken back, its file is kept, and published again by the second line."""
    with host.serve() as site:
        damaged(host, site)
        host.run("record-repair")
        mended(host, site)


def test_a_record_without_any_good_revision(host: Host) -> None:
    """The project is made again from its files."""
    with host.serve() as site:
        damaged(host, site, all_revisions=True)
        assert "restore it from a backup" in checked(host.data, repair=True).findings[0].sentence
        host.run("record-again")
        mended(host, site)


def test_a_damaged_file(host: Host) -> None:
    """It is found; the backup brings it back; without one it is taken out of the list and published again."""
    with host.serve() as site:
        publish_wheel(site, "acme-tools")
        shutil.copytree(host.data, host.backup)
        content = make_wheel("acme-tools", "1.0")
        path = stored(host.data, ACME)
        path.write_bytes(bytes(len(content)))
        assert [finding.code for finding in checked(host.data).findings] == ["damaged-file"]
        host.run("file-from-backup")
        assert site.get(f"/packages/{ACME}").content == content
        path.write_bytes(bytes(len(content)))
        answer = publish(site, ACME, content, name="acme-tools", version="1.0")
        assert (answer.status_code, "its content is restored" in answer.text) == (200, True)
        assert site.get(f"/packages/{ACME}").content == content
        for path in (host.data / "quire" / "blobs").rglob(ACME):  # the lost one goes minutes later
            path.write_bytes(bytes(len(content)))
        host.run("file-repair")
        assert site.get("/simple/acme-tools/").status_code != 200 or site.filenames("acme-tools") == []
        publish_wheel(site, "acme-tools")
        assert site.get(f"/packages/{ACME}").content == content
        assert not checked(host.data).counts[Severity.DAMAGE]


# -- passwords --------------------------------------------------------------------------------------------------------


def test_a_new_password(host: Host) -> None:
    """Every worker takes the new one and refuses the old one in the very next request; other users notice nothing."""
    users = password_file(host.folder, alice="old", bob="bob").replace(host.folder / "etc" / "quire" / "htpasswd")
    (host.folder / "etc" / "quire" / "new-password").write_text("new\n")
    with host.serve("-a", "download,list,update", "-P", users, "--workers", 2) as site:

        def status(user: str, password: str) -> set[int]:
            """The answers of many connections, so that both workers are asked."""
            url = f"{site.base}simple/"
            return {httpx.get(url, auth=(user, password), trust_env=False).status_code for _ in range(8)}

        assert (status("alice", "old"), status("bob", "bob")) == ({200}, {200})
        host.run("password")
        assert status("alice", "new") == {200}
        assert status("alice", "old") <= {401, 429}
        assert status("bob", "bob") == {200}
    assert bcrypt.checkpw(b"new", dict(line.split(":") for line in users.read_text().split())["alice"].encode())


# -- the rights on files ----------------------------------------------------------------------------------------------


def test_the_folder_with_secrets_is_closed(host: Host) -> None:
    """Also where an older version left it open; a copy of it is closed as well."""
    records = PosixStore.open(host.data).records
    records.write("access/rules/store", b'{"format": 1}', records.read("access/rules/store"))
    folder = host.data / "quire/records/access"
    folder.chmod(0o755)
    host.run("private")
    host.run("backup-cp")
    copy = host.backup / "quire/records/access"
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, copy)] == ["0o750", "0o750"]


# -- capacity ---------------------------------------------------------------------------------------------------------


def test_capacity(host: Host) -> None:
    """The page's figures of inodes and of bytes are not exceeded, and not by far too high."""
    page = operating.PAGE.read_text()
    per_file, per_project, file_room, per_entry, per_log = (
        int(number.replace(",", "")) for number in re.findall(r"<!-- measured -->([0-9,]+)", page)
    )
    # without waiting for the minute in which revisions may not be pruned
    index = Index(PosixStore.open(host.data, prune_age=0.0))
    content = 0
    for project in range(3):
        for release in range(40):
            content += _publish(index, f"project-{project}", f"1.{release}")
    files = 3 * 40 * 2
    paths = [
        *(host.data / "quire" / "blobs").rglob("*"),
        *(host.data / "quire" / "records" / "main" / "projects").rglob("*"),
    ]
    inodes = len(paths)
    sizes = [os.lstat(path).st_blocks * 512 for path in (host.data / "quire" / "blobs").rglob("*")]
    record = max(path.stat().st_size for project in range(3) for path in records(host.data, f"project-{project}"))
    print(f"{inodes} inodes, {sum(sizes)} bytes for {content} of {files} files; a record of 80 files: {record} bytes")
    assert 0.8 * (most := per_file * files + per_project * 3) <= inodes <= most
    assert sum(sizes) <= content + file_room * 1024 * files
    assert 0.6 * (most := per_entry * 80 + per_log) <= record <= most
    kept = [len(records(host.data, f"project-{project}")) for project in range(3)]
    assert max(kept) <= per_project - 2


def _publish(index: Index, name: str, version: str) -> int:
    """A release of a wheel and an sdist; the bytes of both."""
    contents = {
        wheel_name(name, version): make_wheel(name, version),
        sdist_name(name, version): make_sdist(name, version),
    }
    uploads = []
    for filename, content in contents.items():
        staging = index.store.blobs.stage(upload_key(filename))
        staging.write(content)
        uploads.append(examine(staging.finish(), filename))
    index.publish(uploads)
    return sum(map(len, contents.values()))
