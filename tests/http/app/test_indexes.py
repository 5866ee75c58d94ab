"""Named indexes: definitions that count for the next request of every worker, and the addresses below a name.

Replaced here: the beginning of a barrier's tick, to count the barriers that a turn of the event loop goes through.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import httpx
import pytest

from quire.access.records import AccessRecords
from quire.catalog.freshness import Barrier
from quire.config.network import RESERVED_PATHS
from quire.config.settings import Settings
from quire.domain.indexes import RESERVED
from quire.http.app.application import create_application
from quire.http.app.routes import endpoints
from quire.http.fast.fast_path import ASGIHeaders, FastPath, FastPathApplication
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations import defining
from quire.store.contracts import Store
from tests.asking import BUCKET_IN_MEMORY, Site, post, serve, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.index.test_index import staged_wheel
from tests.serving import run_quire
from tests.store.bucket.counted import counted_bucket

API = "/-/api/v1/indexes"
JSON = {"accept": "application/vnd.pypi.simple.v1+json"}
FRESH = {"connection": "close"}
"""Each request on a connection of its own, so that every worker gets some."""


@dataclass
class Rig:
    """Two servers of one store, with two workers each, and an administrator's token."""

    sites: tuple[Site, Site]
    token: str

    def define(self, path: str, body: object, status: int = 200, server: int = 0) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json", **FRESH}
        answer = self.sites[server].client.post(f"{API}{path}", content=json.dumps(body), headers=headers)
        assert answer.status_code == status, answer.text
        return answer

    def create(self, name: str, **settings: object) -> str:
        self.define("", {"name": name, **settings})
        return name


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("indexes")
    flags = ("-a", ".", "-P", ".", "--disable-fallback", "--workers", 2)
    with serve(folder, *flags) as first, serve(folder, *flags) as second:
        upload(first, "/", "of-main", "1.0")
        made = run_quire("token", "create", "--right", "admin", "-d", first.root, cwd=folder)
        yield Rig((first, second), made.stdout.strip())


def upload(site: Site, at: str, name: str, version: str, content: bytes | None = None) -> httpx.Response:
    filename = wheel_name(name, version)
    return post(site, twine_form(filename, content or make_wheel(name, version), name=name, version=version), at)


def status(site: Site, path: str) -> int:
    return site.client.get(path, headers=FRESH).status_code


def test_a_definition_counts_for_the_next_request_of_every_worker(rig: Rig) -> None:
    """Made and deleted on one worker, again and again: each request that is sent after the answer sees it."""
    for turn in range(8):
        name, server = f"turn-{turn % 2}", turn % 2
        rig.define("", {"name": name}, server=server)
        assert {status(site, f"/{name}/simple/") for site in rig.sites for _ in range(4)} == {200}
        assert upload(rig.sites[1 - server], f"/{name}/", "demo", f"{turn}.0").status_code == 200
        assert {status(site, f"/{name}/simple/demo/") for site in rig.sites for _ in range(4)} == {200}
        deleted = rig.define(f"/{name}/delete", {"with_files": True}, server=1 - server)
        assert deleted.json() == {"index": name, "deleted_files": 1}
        assert {status(site, f"/{name}/simple/{page}") for site in rig.sites for page in ("", "demo/")} == {404}
        assert upload(rig.sites[server], f"/{name}/", "demo", "9.0").status_code == 404


def test_an_index_has_the_addresses_of_the_one_at_the_root(rig: Rig) -> None:
    """Its pages, files and documents are its own: no other index has them, and it has none of another."""
    site, name = rig.sites[0], rig.create("own")
    content, filename = make_wheel("demo", "1.0"), wheel_name("demo", "1.0")
    assert upload(site, f"/{name}/legacy/", "demo", "1.0", content).status_code == 200
    place = f"packages/demo/{hashlib.sha256(content).hexdigest()}/{filename}"
    for address, expected in ((f"/{name}", 200), ("", 404)):
        for path in ("simple/demo/", place, f"{place}.metadata", "pypi/demo/json", "pypi/demo/1.0/json"):
            for _ in range(3):  # the later ones come from what is prepared
                assert status(site, f"{address}/{path}") == expected, (address, path)
    page = site.client.get(f"/{name}/simple/demo/", headers=JSON)
    url = httpx.URL(str(page.url)).join(page.json()["files"][0]["url"].partition("#")[0])
    assert url.path == f"/{name}/{place}"
    assert site.client.get(url).content == content
    assert [each["name"] for each in site.client.get(f"/{name}/simple/", headers=JSON).json()["projects"]] == ["demo"]
    assert status(site, f"/{name}/simple/of-main/") == 404
    document = site.client.get(f"/{name}/pypi/demo/json").json()
    assert document["urls"][0]["url"] == f"{site.base.rstrip('/')}/{name}/{place}"
    assert filename in site.client.get(f"/{name}/packages/").text
    assert filename not in site.client.get("/packages/").text
    for asked, location in (
        (f"/{name}/simple", "simple/"),
        (f"/{name}/simple/Demo/", "../demo/"),
        (f"/{name}/", "simple/"),
        (f"/{name}", f"{name}/simple/"),
        ("/unknown/", "../simple/unknown/"),
        (f"/{name}/packages", "packages/"),
    ):
        assert site.client.get(asked, follow_redirects=False).headers["location"] == location
    call = "<?xml version='1.0'?><methodCall><methodName>search</methodName><params><param><value><struct><member>"
    call += "<name>name</name><value><array><data><value><string>demo</string></value></data></array></value></member>"
    call += "</struct></value></param></params></methodCall>"
    assert "demo" in site.client.post(f"/{name}/RPC2", content=call, headers={"content-type": "text/xml"}).text
    assert site.client.get(f"{API}/{name}/projects").json()["projects"][0]["name"] == "demo"


def test_the_pages_of_an_index_are_validated(rig: Rig) -> None:
    """A page that is prepared on a worker has a file that another worker took; the same ETag is a 304."""
    name = rig.create("fresh")
    for turn, (to, asked) in enumerate(itertools.product(rig.sites, rig.sites)):
        assert upload(to, f"/{name}/", "demo", f"{turn}.0").status_code == 200
        with httpx.Client(base_url=asked.base) as client:  # one worker, several times
            answers = [client.get(f"/{name}/simple/demo/", headers=JSON) for _ in range(3)]
            assert [len(each.json()["files"]) for each in answers] == [turn + 1] * 3
            kept = {**JSON, "if-none-match": answers[0].headers["etag"]}
            assert client.get(f"/{name}/simple/demo/", headers=kept).status_code == 304


def test_settings_of_an_index_count_for_the_next_upload(rig: Rig) -> None:
    """Uploads that are not taken, and files that may be replaced, on every worker; also of the index at the root."""
    name = rig.create("settings", uploads=False)
    assert {upload(site, f"/{name}/", "demo", "1.0").status_code for site in rig.sites for _ in range(3)} == {403}
    rig.define(f"/{name}", {"uploads": True})
    assert upload(rig.sites[1], f"/{name}/", "demo", "1.0").status_code == 200
    other = make_wheel("demo", "1.0", files={"more.txt": b"other content"})
    assert upload(rig.sites[0], f"/{name}/", "demo", "1.0", other).status_code in {400, 409}
    rig.define(f"/{name}", {"overwrite": True})
    assert upload(rig.sites[1], f"/{name}/", "demo", "1.0", other).status_code == 200
    rig.define("/-", {"uploads": False})
    assert upload(rig.sites[1], "/", "demo", "1.0").status_code == 403
    rig.define("/main", {"uploads": True})


def test_an_index_with_files_is_not_deleted_by_accident(rig: Rig) -> None:
    """It is refused with a project's name; with its files they are in the trash, and come back with the index."""
    site, name = rig.sites[0], rig.create("kept")
    upload(site, f"/{name}/", "demo", "1.0")
    refused = rig.define(f"/{name}/delete", {}, status=400)
    assert "has files of 1 project, such as demo" in refused.text
    assert status(site, f"/{name}/simple/demo/") == 200
    assert rig.define(f"/{name}/delete", {"with_files": True}).json()["deleted_files"] == 1
    rig.define(f"/{name}/delete", {"with_files": True}, status=404)
    rig.create(name)
    assert status(site, f"/{name}/simple/demo/") == 200  # local, but without files
    assert site.client.get(f"/{name}/simple/demo/", headers=JSON).json()["files"] == []
    restored = run_quire("trash", "restore", "demo", "--index", name, "-d", site.root, cwd=site.root.parent)
    assert restored.returncode == 0, restored.stderr
    assert len(site.client.get(f"/{name}/simple/demo/", headers=JSON).json()["files"]) == 1


def test_upstreams_over_the_api(rig: Rig) -> None:
    """Added and changed one by one; only administrators see where they are; the rules are those of commands."""
    name = rig.create("mirroring", upstream={"url": "https://a.acme.test/simple", "only": ["Torch_*"]})
    for body, said in (
        ({"upstream": {"url": "https://u:s3cret@b.acme.test/"}}, "--upstream-netrc"),
        ({"upstream": {"url": "https://b.acme.test/", "max_age": -1}}, "max-age"),
        ({"upstream": {"url": "https://b.acme.test/", "hosts": ["a b"]}}, "no host name"),
        ({"upstream": {"url": "https://b.acme.test/", "login": "x"}}, "login"),
        ({"remove_upstream": "https://b.acme.test/"}, "no upstream"),
        ({"merge": ["-"]}, "-"),
    ):
        answer = rig.define(f"/{name}", body, status=400)
        assert said in answer.text
        assert "s3cret" not in answer.text
    assert "no upstream" in rig.define("", {"name": "merging", "merge": ["numpy"]}, status=400).text
    rig.define(f"/{name}", {"upstream": {"url": "https://b.acme.test/", "first": True}, "merge": ["Numpy"]}, server=1)
    rig.define(f"/{name}", {"upstream": {"url": "https://a.acme.test/simple/", "max_age": 60}})
    headers = {"authorization": f"Bearer {rig.token}", **FRESH}
    for sent, sees in ((headers, True), (FRESH, False)):
        entries = rig.sites[1].client.get(API, headers=sent).json()["indexes"]
        entry = next(each for each in entries if each["name"] == name)
        urls = [each["url"] for each in entry["upstreams"] or ()]
        assert urls == (["https://b.acme.test/", "https://a.acme.test/simple/"] if sees else [])
        assert entry["merged"] == ["numpy"]
        assert not sees or (entry["upstreams"][1]["only"], entry["upstreams"][1]["max_age"]) == (["torch-*"], 60)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("simple", "beginning of other addresses"),
        ("pypi", "beginning of other addresses"),
        ("main", "already"),
        ("Team", "no name of an index"),
        ("a/b", "no name of an index"),
        ("-", "no name of an index"),
        ("_", "no name of an index"),
        ("", "no name of an index"),
        ("access", "'access' is a part of every store"),
        ("mirror", "'mirror' is a part of every store"),
        ("x" * 101, "no name of an index"),
    ],
)
def test_names_that_no_index_can_have(rig: Rig, name: str, sentence: str) -> None:
    """One sentence says why."""
    assert sentence in rig.define("", {"name": name}, status=400).json()["detail"]


def test_the_index_at_the_root_is_not_deleted(rig: Rig) -> None:
    """By neither of its names."""
    for name in ("main", "-"):
        assert "cannot be deleted" in rig.define(f"/{name}/delete", {"with_files": True}, status=400).text
    assert status(rig.sites[0], "/simple/of-main/") == 200
    assert status(rig.sites[0], "/-/simple/") == 404


def test_first_parts_of_addresses_are_reserved() -> None:
    """No index can have a name that another address begins with."""
    firsts = {each.path.split("/")[1] for each in endpoints("/health")} | RESERVED_PATHS
    names = {first for first in map(str.lower, firsts) if re.fullmatch("[a-z0-9][a-z0-9_-]*", first)}
    assert names <= RESERVED


@pytest.mark.parametrize("store_kind", ["volume", "bucket"])
def test_behind_the_fast_path(store_kind: str, tmp_path: Path) -> None:
    """In this process, on a volume and in a bucket: made and deleted by another writer, found by the next request,
    with the answers of the application."""
    where = str(tmp_path) if store_kind == "volume" else f"{BUCKET_IN_MEMORY}/{tmp_path.name}"
    settings = Settings(directories=(where,), authenticate=(), no_drop_in=True, fallback_url=None)
    with counted_bucket() if store_kind == "bucket" else contextlib.nullcontext():
        general = create_application(settings)
        worker = general.state.worker
        fast_path = FastPath(worker, worker.default)
        store, origin = worker.default.store, Origin(user="ann")
        asyncio.run(_made_and_deleted(FastPathApplication(general, fast_path), fast_path, store, origin))


async def _made_and_deleted(
    application: FastPathApplication, fast_path: FastPath, store: Store, origin: Origin
) -> None:
    transport, access, prepared = httpx.ASGITransport(application), AccessRecords(store), 0
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        content, filename = make_wheel("demo", "1.0"), wheel_name("demo", "1.0")
        for _ in range(3):
            assert (await client.get("/team/simple/demo/", headers=JSON)).status_code == 404
            await asyncio.to_thread(defining.create_index, access, "team", {}, default="main", origin=origin)
            form = {":action": "file_upload"}
            sent = await client.post("/team/", data=form, files={"content": (filename, content)})
            assert sent.status_code == 200, sent.text
            answers = [await client.get("/team/simple/demo/", headers=JSON) for _ in range(4)]
            assert {(each.status_code, each.content) for each in answers} == {(200, answers[0].content)}
            headers = ASGIHeaders([(name.lower(), value) for name, value in answers[0].request.headers.raw])
            given = await fast_path.respond_awaited("/team/simple/demo/", headers, lambda: "127.0.0.1")
            if not fast_path.waits:
                given = fast_path.respond_inline("/team/simple/demo/", headers, lambda: "127.0.0.1")
            prepared += given is not None
            index = Index(store, "team", origin, trash_seconds=9)
            ends = partial(defining.delete_index, access, index, with_files=True, default="main", origin=origin)
            await asyncio.to_thread(ends)
    assert prepared == 3


def test_nothing_is_left_of_indexes_that_are_gone(tmp_path: Path) -> None:
    """A worker that has served many stages, one after the other, asks no more in each turn than before, and keeps
    nothing of them."""
    settings = Settings(directories=(str(tmp_path),), authenticate=(), no_drop_in=True, fallback_url=None)
    general = create_application(settings)
    worker = general.state.worker
    fast_path = FastPath(worker, worker.indexes.default)
    index = worker.default.hosted
    index.publish([staged_wheel(index.store, "demo", "1.0")])
    access, names = AccessRecords(index.store), [f"pr-{number}" for number in range(5)]
    headers = ASGIHeaders([(b"host", b"127.0.0.1"), (b"accept", JSON["accept"].encode())])

    def barriers_of_a_tick() -> int:
        with mock.patch.object(Barrier, "begin_tick", autospec=True) as begin:
            fast_path.begin_tick()
        fast_path.end_tick()
        return begin.call_count

    async def serve_them() -> None:
        transport = httpx.ASGITransport(FastPathApplication(general, fast_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=JSON) as client:
            before = barriers_of_a_tick()
            for name in names:
                stage = {"in_front_of": "main"}
                await asyncio.to_thread(
                    defining.create_index, access, name, stage, default="main", origin=Origin(user="ann")
                )
                for _ in range(3):
                    assert (await client.get(f"/{name}/simple/demo/")).status_code == 200
            assert fast_path.respond_inline(f"/{names[0]}/simple/demo/", headers, lambda: "127.0.0.1") is not None
            assert barriers_of_a_tick() > before
            for name in names:
                stage_index, ann = Index(index.store, name), Origin(user="ann")
                ends = partial(defining.delete_index, access, stage_index, with_files=True, default="main", origin=ann)
                await asyncio.to_thread(ends)
            for _ in range(3):
                assert (await client.get("/simple/demo/")).status_code == 200
            assert barriers_of_a_tick() == before
            assert [worker.indexes.known(name) for name in names] == [None] * len(names)
            gc.collect()
            assert sum(type(each) is FastPath for each in gc.get_objects()) == 1

    asyncio.run(serve_them())
