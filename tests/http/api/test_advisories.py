"""Advisories over the JSON API: taken in whole or not at all, by the code that reads files of operators.

Replaced here: the limit of a body, which is a GiB.
"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire.access.records import AccessRecords
from quire.advisories.reading import MAX_DOCUMENT_BYTES
from quire.config.settings import Settings
from quire.http.api import v1_advisories
from quire.http.app.application import create_application
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations import granting
from quire.store.opening import open_store
from tests.tokens import make_token

PATH = "/-/api/v1/advisories"
ZIP = {"content-type": "application/zip"}


def document(identity: str, name: str = "acme", **fields: Any) -> bytes:
    affected = [{"package": {"ecosystem": "PyPI", "name": name}, "versions": ["1.0"]}]
    return json.dumps({"id": identity, "modified": "2026-05-01T00:00:00Z", "affected": affected, **fields}).encode()


def archive(*documents: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for number, each in enumerate(documents):
            packed.writestr(f"{number}.json", each)
    return made.getvalue()


class Rig:
    """A server whose clients have tokens of the rights `admin` and `read`."""

    def __init__(self, folder: Path) -> None:
        root = folder / "packages"
        root.mkdir()
        store = open_store(str(root))
        Index(store)
        access, origin = AccessRecords(store), Origin(user="ann")
        granting.begin(access, "ann", ["update"], origin)
        self.tokens: dict[str, str] = {}
        for right in ("admin", "read"):
            self.tokens[right] = make_token(access, [right], origin=origin).text
        self.application = create_application(Settings(directories=(str(root),), fallback_url=None))

    def run(self, *requests: tuple[str, str, dict[str, Any]], right: str = "admin") -> list[httpx.Response]:
        async def ask() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.application)
            headers = {"authorization": f"Bearer {self.tokens[right]}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
                return [await client.request(method, f"{PATH}{path}", **more) for method, path, more in requests]

        return asyncio.run(ask())

    def post(self, body: Any, path: str = "/osv", right: str = "admin", **headers: str) -> httpx.Response:
        (answer,) = self.run(("POST", path, {"content": body, "headers": ZIP | headers}), right=right)
        return answer


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_an_archive_is_taken_in_by_an_administrator(rig: Rig) -> None:
    """All that its source has from then on; others may read, and no more. One document is enough."""
    assert rig.post(archive(document("A-1")), right="read").status_code == 403
    done = rig.post(archive(document("A-1"), document("MAL-1", "evil"), b"{"), "/osv?origin=all.zip").json()
    assert (done["advisories"], done["malicious"], done["bad"], done["changed"]) == (2, 1, 1, True)
    assert [each["document"] for each in done["problems"]] == ["2.json"]
    assert not rig.post(archive(document("A-1"), document("MAL-1", "evil"))).json()["changed"]
    own = rig.post(document("ACME-1", "Acme"), "/own", **{"content-type": "application/json"})
    assert own.json()["advisories"] == 1
    listed, about, of_release, other = rig.run(
        ("GET", "", {}), ("GET", "/projects/ACME", {}), ("GET", "/projects/acme?version=2", {}), ("GET", "/osv", {})
    )
    assert [(each["source"], each["origin"]) for each in listed.json()["sources"]] == [
        ("osv", "archive.zip"),
        ("own", "document.json"),
    ]
    assert [each["id"] for each in about.json()["advisories"]] == ["A-1", "ACME-1"]
    assert of_release.json()["advisories"] == []
    assert other.status_code == 405
    assert [each.status_code for each in rig.run(("GET", "", {}), ("GET", "/projects/acme", {}), right="read")] == [
        403,
        200,
    ]
    removed, again = rig.run(("POST", "/own/remove", {}), ("POST", "/own/remove", {}))
    assert (removed.json(), again.status_code) == ({"source": "own", "removed": True}, 404)


@pytest.mark.parametrize(
    ("path", "body", "media_type", "status", "sentence"),
    [
        ("/osv", b"{}", "text/plain", 400, "The body must be a zip archive or an OSV document"),
        ("/A%20B", b"{}", "application/zip", 400, "no name of a source"),
        ("/osv?origin=..%2Fx", b"{}", "application/zip", 400, "without its folder"),
        ("/osv?origin=x%0Ay", b"{}", "application/zip", 400, "without its folder"),
        ("/osv?origin=all.zip", b"PK\x03\x04rest", "application/zip", 400, "all.zip"),
        ("/osv", b"", "application/zip", 400, "archive.zip has no advisory that can be read"),
        ("/osv", archive(b'"' + b"a" * MAX_DOCUMENT_BYTES), "application/zip", 400, "larger than 8 MiB"),
        ("/osv", archive(document("A-1"))[:-9], "application/zip", 400, "archive.zip"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    path: str, body: bytes, media_type: str, status: int, sentence: str, rig: Rig
) -> None:
    """Which names no temporary file; nothing is taken in. Small bodies that unpack to much are among them."""
    answer = rig.post(body, path, **{"content-type": media_type})
    assert (answer.status_code, "/tmp" in answer.text) == (status, False)
    assert sentence in answer.json()["detail"]
    (listed,) = rig.run(("GET", "", {}))
    assert listed.json() == {"sources": []}
    (nothing,) = rig.run(("GET", "/projects/acme", {}))
    assert (nothing.status_code, "takes some in" in nothing.json()["detail"]) == (404, True)


def test_a_version_of_many_digits_is_refused(rig: Rig) -> None:
    """Python reads no number of so many; the longest version that is taken has no such number."""
    rig.post(archive(document("A-1")))
    paths = (f"/projects/acme?version={'9' * digits}" for digits in (5000, 201, 200))
    refused, *others = rig.run(*(("GET", path, {}) for path in paths))
    assert (refused.status_code, refused.json()["detail"]) == (400, "A version has at most 200 characters.")
    assert [each.status_code for each in others] == [400, 200]


def test_less_than_half_needs_a_word(rig: Rig) -> None:
    """As on the command line."""
    rig.post(archive(*(document(f"A-{number}") for number in range(4))))
    refused = rig.post(archive(document("A-1")))
    assert (refused.status_code, "is it the whole file?" in refused.json()["detail"]) == (400, True)
    assert rig.post(archive(document("A-1")), "/osv?shrinks=true").json()["advisories"] == 1


def test_a_body_beyond_the_limit_is_refused_while_it_arrives(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is sent; nothing of it is taken in."""
    monkeypatch.setattr(v1_advisories, "MAX_ARCHIVE_BYTES", 2 << 20)

    async def long() -> AsyncIterator[bytes]:
        for _ in range(48):
            yield b"\0" * (1 << 16)

    refused = rig.post(long())
    assert (refused.status_code, refused.json()["detail"]) == (413, "The archive is larger than 2 MiB.")
