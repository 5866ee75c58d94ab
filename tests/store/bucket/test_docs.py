"""The table of requests in docs/bucket.md is what the real code sends.

Replaced here: the time after which the rights of a request are read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from quire.access.records import AccessRecords
from quire.cli import main
from quire.config.settings import Settings
from quire.http.app import access
from quire.http.app.application import create_application
from quire.operations.sweeping import Sweeper
from quire.store.opening import open_store
from tests.asking import password_file
from tests.distributions import make_wheel, wheel_name
from tests.documents import DOCS
from tests.store.bucket.counted import BACKUPS, PLACE, CountedBucket, counted_bucket

KINDS = ("get", "head", "put", "delete", "list")
FURTHER_BYTES = 20 * 1024 * 1024
Row = dict[str, int]


class Counting:
    """Operations one after the other, each with the requests that it took."""

    def __init__(self, bucket: CountedBucket, folder: Path, rights: str) -> None:
        """`rights`: the setting."""
        self._bucket = bucket
        self._rights = rights
        self._folder = folder
        self.rows: dict[str, Row] = {}

    @contextmanager
    def row(self, label: str) -> Iterator[None]:
        """The operations in this block are those of this row of the table."""
        assert not self._bucket.requests(), f"before {label!r} there are requests that belong to no row"
        yield
        found = self._bucket.requests()
        assert set(found) <= set(KINDS)
        assert self.rows.setdefault(label, found) == found

    def forget(self) -> None:
        """Operations since the last row belong to none."""
        self._bucket.requests()

    @contextmanager
    def worker(self, **settings: object) -> Iterator[tuple[httpx.AsyncClient, Starlette]]:
        """A worker that has just started, and a client of it."""
        chosen = {"authenticate": (), "rights": self._rights, "no_drop_in": True, "fallback_url": None, **settings}
        application = create_application(Settings(directories=(PLACE,), **chosen))  # type: ignore[arg-type]
        transport = httpx.ASGITransport(application)
        try:
            yield httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1"), application
        finally:
            application.state.worker.close()

    def quire(self, *arguments: str) -> None:
        command, *others = arguments
        with contextlib.redirect_stdout(io.StringIO()):
            assert main([command, "-d", PLACE, *others]) == 0

    async def run(self) -> None:
        """Fill the table."""
        with self.worker() as (client, application), self.worker() as (other, _):
            with self.row("first request in a new bucket (the list of projects)"):
                assert (await client.get("/simple/")).status_code == 200
            await self._publish(client)
            with self.row("first page of a worker"):
                assert (await other.get("/simple/acme/")).status_code == 200
            await self._read(client)
            with self.row("an idle worker, with its hourly sweep"):
                Sweeper(application.state.worker.default.hosted, ends_stages=True).sweep(86400.0)
            await self._delete(client)
        self._commands()

    async def _publish(self, client: httpx.AsyncClient) -> None:
        with self.row("publish the first file of a project"):
            await publish(client, "acme", "1.0")
        with self.row("publish to an existing project"):
            await publish(client, "acme", "1.1")
        with self.row("publish the same file once more"):
            await publish(client, "acme", "1.1")
        with self.row("refuse a file that is there with other content"):
            await publish(client, "acme", "1.1", {"other.py": b""}, status=409)
        large = {"large.bin": os.urandom(FURTHER_BYTES)}
        with self.row("publish a file of 20 MiB to an existing project"):
            self.large = await publish(client, "acme", "2.0", large)

    async def _read(self, client: httpx.AsyncClient) -> None:
        for path, label in (("/simple/acme/", "page of a project"), ("/simple/", "list of projects")):
            for state in ("that changed", "that did not change"):
                with self.row(f"{label} {state}"):
                    assert "acme" in (await client.get(path)).text
        with self.row("JSON of a project (`/pypi/<name>/json`), the first time"):
            assert (await client.get("/pypi/acme/json")).status_code == 200
        with self.row("JSON of a project, again"):
            assert (await client.get("/pypi/acme/json")).status_code == 200
        with self.row("page of a project that is not there"):
            assert (await client.get("/simple/nothing/")).status_code == 404
        small = make_wheel("acme", "1.0")
        with self.row("download a small file"):
            assert (await client.get(file_path("1.0", small))).content == small
        with self.row("download its metadata"):
            assert (await client.get(f"{file_path('1.0', small)}.metadata")).status_code == 200
        with self.row("a part of a file"):
            assert (await client.get(file_path("1.0", small), headers={"range": "bytes=2-9"})).content == small[2:10]
        with self.row("HEAD of a file"):
            assert (await client.head(file_path("1.0", small))).headers["content-length"] == str(len(small))
        with self.row("download a file of 20 MiB"):
            assert (await client.get(file_path("2.0", self.large))).content == self.large
        await self._shown(client)
        for path in ("/health", "/health"):
            with self.row("`/health`"):
                assert (await client.get(path)).status_code == 200
        with self.row("`/ready`, at most once a second"):
            assert (await client.get("/ready")).status_code == 200
        users = password_file(self._folder, eva="secret")
        with self.worker(passwords=str(users), authenticate=("list",)) as (guarded, _):
            await guarded.get("/simple/acme/", auth=("eva", "secret"))
            self.forget()
            with self.row("page of a project that did not change, with a login"):
                assert (await guarded.get("/simple/acme/", auth=("eva", "secret"))).status_code == 200

    async def _shown(self, client: httpx.AsyncClient) -> None:
        """The pages for people."""
        wheel = f"/project/acme/1.0/files/{wheel_name('acme', '1.0')}/"
        for path, label in (
            ("/project/acme/1.0/", "page of a project for people, the first time"),
            ("/project/acme/1.0/", "page of a project for people, again"),
            (wheel, "look inside a small wheel"),
            (f"{wheel}acme-1.0.dist-info/METADATA", "the text of one of its members"),
        ):
            with self.row(label):
                answer = await client.get(path)
                assert answer.status_code == 200, answer.text

    async def _delete(self, client: httpx.AsyncClient) -> None:
        with self.row("delete a release, by HTTP"):
            await remove(client, "1.0")
        await remove(client, "2.0")
        self.forget()
        with self.row("delete a project's last release, by HTTP"):
            await remove(client, "1.1")
        await publish(client, "acme", "3.0")
        await publish(client, "acme", "3.1")
        await publish(client, "acme", "3.2")
        self.forget()

    def _commands(self) -> None:
        with self.row("start of a server"):
            store = open_store(PLACE)  # `quire run` does this in a process of its own, which cannot be counted here
            store.probe()
            AccessRecords(store).read()
        with self.row("`quire ls` of one project"):
            self.quire("ls")
        with self.row("`quire yank`"):
            self.quire("yank", "acme", "3.0")
        with self.row("`quire delete` of a release"):
            self.quire("delete", "acme", "3.0", "--yes")
        with self.row("`quire gc` of one project with six files"):
            self.quire("gc")
        with self.row("the first `quire backup` of them, into another bucket"):
            self.quire("backup", BACKUPS)
        with self.row("the next `quire backup`, without a change"):
            self.quire("backup", BACKUPS)
        self.quire("yank", "acme", "3.1")
        self.forget()
        with self.row("the next `quire backup`, after a yank"):
            self.quire("backup", BACKUPS)


async def publish(
    client: httpx.AsyncClient, name: str, version: str, files: Mapping[str, bytes] | None = None, status: int = 200
) -> bytes:
    """Upload a wheel, which must be answered so; its content."""
    content = make_wheel(name, version, files=files)
    parts = {"content": (wheel_name(name, version), content)}
    answer = await client.post("/", data={":action": "file_upload"}, files=parts)
    assert answer.status_code == status, answer.text
    return content


async def remove(client: httpx.AsyncClient, version: str) -> None:
    answer = await client.post("/", data={":action": "remove_pkg", "name": "acme", "version": version})
    assert answer.status_code == 200, answer.text


def file_path(version: str, content: bytes) -> str:
    return f"/packages/acme/{hashlib.sha256(content).hexdigest()}/{wheel_name('acme', version)}"


def table_lines(rows: Mapping[str, Row], without_grants: Mapping[str, Row]) -> list[str]:
    """As docs/bucket.md has them. `without_grants`: the rows of `--rights settings`."""
    lines = []
    for label, counts in rows.items():
        fewer = without_grants[label]
        assert {**fewer, "get": 0} == {**counts, "get": 0}, "the last column is of GET alone"
        cells = [label, *(str(counts.get(kind) or "") for kind in KINDS), str(fewer.get("get") or "")]
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
    return lines


def documented_lines() -> list[str]:
    text = (DOCS / "bucket.md").read_text()
    section = text.partition("\n## What a request costs\n")[2].partition("\n## ")[0]
    table = section.partition("\n|")[2].partition("\n\n")[0]  # a line of another kind between its rows would end it
    found = f"|{table}".splitlines()
    assert found[0] == f"| | {' | '.join(kind.upper() for kind in KINDS)} | GET, `--rights settings` |"
    return found[2:]


def test_the_table_of_requests_is_what_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row of docs/bucket.md. A page is two requests, one for the grants; a small wheel with metadata is 5, or
    9 in a new project. With `--rights settings` each is one less."""
    monkeypatch.setattr(access, "DECIDED_AGAIN_SECONDS", math.inf)  # on a busy machine an upload takes longer
    counted: dict[str, dict[str, Row]] = {}
    for rights in ("store", "settings"):
        with counted_bucket() as bucket:
            counting = Counting(bucket, tmp_path, rights)
            asyncio.run(counting.run())
        counted[rights] = counting.rows
    assert documented_lines() == table_lines(counted["store"], counted["settings"])
    for rights, more in (("store", 1), ("settings", 0)):
        rows = counted[rights]
        for label in ("page of a project that did not change", "list of projects that did not change"):
            assert rows[label] == {"get": 1 + more}
        assert sum(rows["publish to an existing project"].values()) <= 4 + more
        assert sum(rows["publish the first file of a project"].values()) <= 8 + more
        assert rows["page of a project that did not change, with a login"] == {"get": 1 + more}
        assert rows["`/health`"] == {}
