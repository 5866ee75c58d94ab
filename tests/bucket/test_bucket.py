"""A store in a real bucket: the contract, servers and commands over it, and what is said when it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import pytest

from quire.domain.errors import StoreError, StoreReadOnly
from quire.store.bucket.client import open_bucket
from quire.store.bucket.objects import Object
from quire.store.bucket.staging import SMALL
from quire.store.bucket.store import BucketStore
from quire.testing import EXCLUSIVE_RULES, RULES, Rule, check_rule
from quire.testing.helpers import race
from tests.asking import JSON_V1, OPEN, Site, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import environment, run_quire

pytestmark = pytest.mark.bucket


@pytest.fixture
def url(each_url: str) -> str:
    """All of these run on every server."""
    return each_url


def opened(url: str) -> BucketStore:
    return BucketStore(open_bucket(url, os.environ), url)


@pytest.mark.parametrize("rule", RULES + EXCLUSIVE_RULES, ids=lambda rule: rule.__name__)
def test_a_bucket_keeps_every_rule(rule: Rule, url: str) -> None:
    """Of the contract of stores, on a real server."""
    check_rule(lambda: opened(url), rule)


def test_racing_projects_are_all_listed(url: str) -> None:
    """Eight workers that create projects at the same time: none is lost from the list, and no token is left."""

    def create(number: int) -> Callable[[], None]:
        def run() -> None:
            records = opened(url).records
            for each in range(5):
                key = f"main/projects/p{number}-{each}"
                records.write(key, b"{}", records.read(key))

        return run

    race([create(number) for number in range(8)])
    store = opened(url)
    names = store.records.names("main/projects")
    assert names.names == tuple(sorted(f"p{number}-{each}" for number in range(8) for each in range(5)))
    assert store.records.names("main/projects", names) is names
    assert store.sweep(older_than=0) == 0


def test_a_large_blob_goes_in_parts(url: str) -> None:
    """And comes back by position; a part of one that was given up leaves nothing."""
    store = opened(url)
    content = os.urandom(SMALL * 2 + 12345)
    staging = store.blobs.stage("acme/1/acme-1.0.tar.gz")
    staging.write(content)
    store.blobs.publish(staging.finish())
    with opened(url).blobs.open("acme/1/acme-1.0.tar.gz") as blob:
        assert blob.size == len(content)
        assert b"".join(blob.pieces()) == content
        assert blob.read_at(SMALL - 5, 10) == content[SMALL - 5 : SMALL + 5]
        assert blob.read_at(len(content) - 3, 100) == content[-3:]
    upload = store.bucket.upload("blobs/acme/2/half", SMALL)
    upload.write(content)
    upload.abort()
    assert [each.key for each in store.blobs.list()] == ["acme/1/acme-1.0.tar.gz"]


def test_two_servers_tell_the_same_truth(tmp_path: Path, url: str) -> None:
    """The workers of each serve in their next answer the changes that the other one acknowledged; commands see and
    change the same."""
    with ExitStack() as stack:
        sites = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            flags = (*OPEN, "--overwrite", "--workers", 2)
            sites.append(stack.enter_context(serve(tmp_path / name, *flags, place=url)))
        for number in range(10):
            writer, reader = sites[number % 2], sites[(number + 1) % 2]
            publish_wheel(writer, f"project-{number // 3}", f"1.{number}")
            for _ in range(4):  # whichever worker answers
                assert wheel_name(f"project-{number // 3}", f"1.{number}") in page(reader, f"project-{number // 3}")
                assert f"project-{number // 3}" in fresh(reader, "/simple/").text
        link = wheel_name("project-0", "1.0")
        content = download(sites[1], "project-0", link)
        assert content == make_wheel("project-0", "1.0")
        assert command(url, "yank", "project-0", "1.0").startswith("Yanked")
        assert "data-yanked" in page(sites[0], "project-0")
        assert "Deleted" in command(url, "delete", "project-3", "1.9", "--yes")
        assert fresh(sites[1], "/simple/project-3/").status_code in {200, 303}
        assert "project-3" not in fresh(sites[0], "/simple/").text
        assert command(url, "ls").split()[0] == "project-0"
        assert command(url, "check").startswith("3 projects, 9 files")


def page(site: Site, project: str) -> str:
    return fresh(site, f"/simple/{project}/").text


def fresh(site: Site, path: str) -> httpx.Response:
    """By a connection of its own, so that any worker may get it."""
    return httpx.get(str(site.client.base_url.join(path)), follow_redirects=False)


def download(site: Site, project: str, filename: str) -> bytes:
    links = fresh(site, f"/simple/{project}/").text
    href = next(part.split('"')[0] for part in links.split('href="')[1:] if filename in part)
    address = str(site.client.base_url.join(f"/simple/{project}/")) + href.partition("#")[0]
    whole = httpx.get(address)
    part = httpx.get(address, headers={"Range": "bytes=3-9"})
    assert (part.status_code, part.content) == (206, whole.content[3:10])
    assert httpx.head(address).headers["content-length"] == str(len(whole.content))
    return whole.content


def command(url: str, name: str, *arguments: str) -> str:
    """The output of a command."""
    done = run_quire(name, "-d", url, *arguments, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_store_moves_there_and_back_while_it_is_served(tmp_path: Path, url: str) -> None:
    """From a directory into the bucket while people publish; again for the rest; and back into an empty directory."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    with serve(old, *OPEN) as site:
        publish_wheel(site, "acme", "1.0")
        publish_wheel(site, "gone", "1.0")
        assert "2 files imported" in copied(site.root, url)
        publish_wheel(site, "acme", "1.1")
        command(str(site.root), "yank", "acme", "1.0", "--reason", "broken")
        command(str(site.root), "delete", "gone", "--all", "--yes")
        assert "1 file imported" in copied(site.root, url)
        assert "0 files imported" in copied(site.root, url)
        before = site.client.get("/simple/acme/", headers={"Accept": JSON_V1}).json()
    with serve(tmp_path, *OPEN, place=url) as site:
        moved = site.client.get("/simple/acme/", headers={"Accept": JSON_V1}).json()
        for file in (*before["files"], *moved["files"]):
            del file["url"]
        assert moved["files"] == before["files"]
        assert "gone" not in site.client.get("/simple/").text
        assert download(site, "acme", wheel_name("acme", "1.1")) == make_wheel("acme", "1.1")
        assert "2 files imported" in copied(url, new)
    assert command(str(new), "check").startswith("1 project, 2 files, 1 file in the trash, 1 deleted file")
    assert command(url, "check").startswith("1 project, 2 files, 1 file in the trash, 1 deleted file")
    assert "gone" in command(url, "log")


def copied(source: object, target: object) -> str:
    """The output of `quire import --from`."""
    done = run_quire("import", "--from", str(source), str(target), cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- what cannot be used ----------------------------------------------------------------------------------------------


_SECRETS: Final = {
    "s3": ("AWS_SECRET_ACCESS_KEY", "wrong-secret", "it answered 403 SignatureDoesNotMatch"),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmctc2VjcmV0", "it answered 403 AuthorizationFailure"),
    "gs": ("GOOGLE_BEARER_TOKEN", "wrong-secret", "it answered 401 AuthenticationRequired"),
}
"""By the scheme of the URL: the variable of a secret, a wrong one, and its sentence."""


def test_a_bucket_that_is_not_there_is_one_sentence(tmp_path: Path, url: str) -> None:
    """Before a port is bound, by servers and by commands."""
    place = f"{url.partition(':')[0]}://there-is-no-such-bucket/a"
    refused(tmp_path, place, "does not exist; create it, or name another one.")


def test_a_wrong_secret_is_one_sentence(tmp_path: Path, url: str) -> None:
    """Without the secret."""
    variable, secret, sentence = _SECRETS[url.partition(":")[0]]
    said = refused(tmp_path, url, sentence, **{variable: secret})
    assert secret not in said


def test_a_server_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    """With its address, the cause and the thing to look at."""
    address = "http://127.0.0.1:9"
    refused(tmp_path, "s3://bucket/a", f"{address} refuses connections; check that", AWS_ENDPOINT_URL=address)


def test_a_server_whose_name_does_not_resolve_is_one_sentence(tmp_path: Path) -> None:
    """With the name."""
    address = "http://s3.no-such-name.invalid"
    refused(tmp_path, "s3://bucket/a", "name s3.no-such-name.invalid does not resolve", AWS_ENDPOINT_URL=address)


def refused(cwd: Path, place: str, sentence: str, **variables: str) -> str:
    """All that a server, a command and the doctor say that cannot use the place."""
    said = ""
    for arguments in (("run", "-p", "0", *OPEN, place), ("ls", "-d", place), ("doctor", "--quick", place)):
        done = run_quire(*arguments, cwd=cwd, environ=environment(**variables))
        assert done.returncode in {1, 2}
        assert sentence in (done.stdout if arguments[0] == "doctor" and done.stdout else done.stderr)
        assert "Traceback" not in done.stderr
        said += done.stdout + done.stderr
    assert "does not keep" not in said, "nothing is known of the bucket"
    return said


def test_a_bucket_of_another_layout_is_left_alone(url: str) -> None:
    """One of a newer quire, and a folder of another program."""
    store = opened(url)
    store.bucket.put("format.json", b'{"quire": 2}', None)
    with pytest.raises(StoreError, match="newer quire"):
        store.records.read("main/projects/acme")
    other = opened(f"{url}/other")
    other.bucket.put("format.json", b"<html>", None)
    with pytest.raises(StoreError, match="not of quire"):
        other.probe()


def test_drop_in_folders_are_served_beside_a_bucket(tmp_path: Path, url: str) -> None:
    """Those that `--drop-in` names and those named after the bucket, with what was published; a copied file appears in
    the next answer."""
    named = tmp_path / "named"
    named.mkdir()
    (named / wheel_name("named", "1.0")).write_bytes(make_wheel("named", "1.0"))
    with serve(tmp_path, *OPEN, "--drop-in", named, place=url) as site:
        publish_wheel(site, "published", "1.0")
        (site.root / wheel_name("further", "1.0")).write_bytes(make_wheel("further", "1.0"))
        (named / wheel_name("named", "2.0")).write_bytes(make_wheel("named", "2.0"))
        assert site.projects() == ["further", "named", "published"]
        assert site.filenames("named") == [wheel_name("named", "1.0"), wheel_name("named", "2.0")]
        assert site.get(site.file_url("named", wheel_name("named", "2.0"))).content == make_wheel("named", "2.0")


def test_commands_name_the_bucket(tmp_path: Path, url: str) -> None:
    """Where there is no store in it."""
    empty = run_quire("gc", "-d", f"{url}-empty", cwd=tmp_path)
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "name the bucket and the prefix of a store with -d" in empty.stderr


def test_the_list_of_projects_is_compared_and_repaired(tmp_path: Path, url: str) -> None:
    """After an operator restored an old list and removed a record, `quire check` names both, and `--repair` makes the
    list right for the servers that go on."""
    store = opened(url)
    with serve(tmp_path, *OPEN, place=url) as site:
        publish_wheel(site, "acme", "1.0")
        publish_wheel(site, "gone", "1.0")
        old = store.bucket.get("names/main/projects.json")
        assert isinstance(old, Object)
        publish_wheel(site, "new", "1.0")
        store.bucket.remove("names/main/projects.json")
        store.bucket.put("names/main/projects.json", old.data, None)
        store.bucket.remove("records/main/projects/gone.json")
        found = run_quire("check", "-d", url, cwd=tmp_path)
        assert found.returncode == 1
        assert "damage: main/projects/gone: The list of projects has this name, and there is no such" in found.stdout
        assert "damage: main/projects/new: The project can be read, and the list of projects lacks" in found.stdout
        repaired = run_quire("check", "-d", url, "--repair", cwd=tmp_path)
        assert (repaired.returncode, repaired.stdout.count("Repaired: ")) == (0, 2), repaired.stdout + repaired.stderr
        assert site.projects() == ["acme", "new"]
    assert "damage" not in run_quire("check", "-d", url, cwd=tmp_path).stdout


def test_a_read_only_server_writes_nothing(url: str) -> None:
    """Not even the mark of its layout."""
    store = BucketStore(open_bucket(url, os.environ), url, writable=False)
    assert store.records.names("main/projects").names == ()
    assert not store.exists
    with pytest.raises(StoreReadOnly):
        store.records.write("main/projects/a", b"{}", store.records.read("main/projects/a"))
    with pytest.raises(StoreReadOnly):
        store.blobs.stage("acme/1/file")
    assert list(store.bucket.list("")) == []
