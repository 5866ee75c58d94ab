"""OSV's API, as scanners ask it, on a server with two workers; the operator takes data in by the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.advisories import taking
from tests.advisories.taking import document, until
from tests.asking import OPEN, Site, basic, password_file, serve
from tests.serving import run_quire

BATCH, QUERY, VULNS = "/-/osv/v1/querybatch", "/-/osv/v1/query", "/-/osv/v1/vulns"
FRESH = {"connection": "close"}
"""Each request on a connection of its own, so that both workers get some."""


def take_in(site: Site, *documents: dict[str, Any], source: str = "osv") -> None:
    taking.take_in(site.root, *documents, source=source)


def ask(site: Site, address: str, body: object) -> httpx.Response:
    return site.client.post(address, content=json.dumps(body), headers=FRESH)


def by_name(name: str, version: str | None = "1.0", ecosystem: str = "PyPI") -> dict[str, Any]:
    asked: dict[str, Any] = {"package": {"name": name, "ecosystem": ecosystem}}
    return asked if version is None else asked | {"version": version}


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json().get("vulns", [])]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With advisories of OSV and of the operator."""
    with serve(tmp_path_factory.mktemp("osv"), *OPEN, "--workers", 2) as site:
        run_quire("index", "create", "team", "-d", site.root, cwd=site.root.parent)
        take_in(
            site,
            document("GHSA-1", "demo", "other", ranges=until("2.0"), aliases=["CVE-1"]),
            document("PYSEC-2", "demo", ranges=until("1.0")),
        )
        take_in(site, document("ACME-1", "acme-tools", ranges=until("2.0")), source="acme")
        yield site


@pytest.mark.parametrize("below", ["", "/team"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (by_name("demo"), ["GHSA-1"]),
        (by_name("Demo", "0.9"), ["GHSA-1", "PYSEC-2"]),
        (by_name("demo", None), ["GHSA-1", "PYSEC-2"]),
        (by_name("demo", "2.0"), []),
        (by_name("acme_tools"), ["ACME-1"]),
        (by_name("demo", "1.0", "npm"), []),
        (by_name("not a name"), []),
        (by_name("nothing"), []),
        ({"package": {"purl": "pkg:pypi/demo@0.9"}}, ["GHSA-1", "PYSEC-2"]),
        ({"package": {"purl": "pkg:pypi/demo"}, "version": "1.0"}, ["GHSA-1"]),
        ({"package": {"purl": "pkg:pypi/demo@1.0%2Bcu118?arch=any#x"}}, ["GHSA-1"]),
        ({"package": {"purl": "pkg:npm/demo@0.9"}}, []),
    ],
)
def test_queries(site: Site, below: str, body: dict[str, Any], expected: list[str]) -> None:
    """One by one with whole documents, and in a batch with the ids; below the name of an index as well."""
    answer = ask(site, f"{below}{QUERY}", body)
    assert ids(answer) == expected
    assert all(each["affected"] for each in answer.json().get("vulns", []))
    batch = ask(site, f"{below}{BATCH}", {"queries": [body, by_name("nothing")]}).json()
    vulns = [{"id": each, "modified": "2024-05-01T00:00:00Z"} for each in expected]
    assert batch == {"results": [{"vulns": vulns} if vulns else {}, {}]}


def test_a_document_is_given_as_it_is(site: Site) -> None:
    """By its id."""
    expected = document("GHSA-1", "demo", "other", ranges=until("2.0"), aliases=["CVE-1"])
    answer = site.client.get(f"{VULNS}/GHSA-1", headers=FRESH)
    assert (answer.json(), answer.headers["content-type"]) == (expected, "application/json")
    for identity in ("GHSA-2", "x" * 1000, "%00"):
        assert site.client.get(f"{VULNS}/{identity}", headers=FRESH).status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "The body is no query"),
        ({}, "names a package"),
        ({"package": {"name": "demo"}}, "by a purl, or by name and ecosystem"),
        ({"package": {"purl": "pkg:pypi/demo@1", "name": "demo"}}, "not by both"),
        ({"package": {"purl": "pkg:pypi/demo@1"}, "version": "1"}, "not in both"),
        ({"commit": "6879efc"}, "commits are not looked up"),
        (by_name("demo") | {"page_token": "x"}, "page_token"),
        (by_name("demo", "1." + "1" * 400), "at most 200 characters"),
        ({"package": {"purl": f"pkg:pypi/demo@{'1' * 400}"}}, "at most 200 characters"),
    ],
)
def test_queries_that_are_refused(site: Site, body: object, words: str) -> None:
    """With a sentence, by one address as by the other."""
    for answer in (ask(site, QUERY, body), ask(site, BATCH, {"queries": [body]})):
        assert answer.status_code == 400
        assert words in answer.text


def test_bounds(site: Site) -> None:
    """A thousand queries, and a mebibyte."""
    many = {"queries": [by_name("demo")] * 1000}
    assert len(ask(site, BATCH, many).json()["results"]) == 1000
    many["queries"].append(by_name("demo"))
    assert ask(site, BATCH, many).status_code == 400
    assert ask(site, QUERY, by_name("x" * 2_000_000)).status_code == 413
    assert site.client.post(QUERY, content=b"[" * 100_000).status_code == 400


def test_long_answers_have_pages(site: Site) -> None:
    """Each with the token of the next one."""
    take_in(site, *(document(f"L-{number:04}", "long", ranges=until("2.0")) for number in range(700)), source="long")
    first = ask(site, BATCH, {"queries": [by_name("long")]}).json()["results"][0]
    assert len(first["vulns"]) == 500
    asked = by_name("long") | {"page_token": first["next_page_token"]}
    assert ids(ask(site, QUERY, asked)) == [f"L-{number:04}" for number in range(500, 700)]
    assert "next_page_token" not in ask(site, QUERY, asked).json()
    results = ask(site, BATCH, {"queries": [by_name("long")] * 100}).json()["results"]
    assert sum(len(each.get("vulns", ())) for each in results) == 3000
    assert results[-1] == {"next_page_token": "0"}


def test_every_worker_has_new_data_at_once(site: Site) -> None:
    """From the first request after the update on."""
    for number in range(6):
        take_in(site, document(f"N-{number}", "new", ranges=until("2.0")), source="new")
        assert [ids(ask(site, QUERY, by_name("new"))) for _ in range(6)] == [[f"N-{number}"]] * 6


def test_the_right_to_read(tmp_path: Path) -> None:
    """Is needed; and without advisories there is no clean bill."""
    passwords = password_file(tmp_path, ann="secret")
    with serve(tmp_path, "-a", "list,download,update", "-P", passwords, "--disable-fallback") as site:
        assert ask(site, QUERY, by_name("demo")).status_code == 401
        site.client.headers["authorization"] = basic("ann", "secret")
        answer = ask(site, QUERY, by_name("demo"))
        assert answer.status_code == 503
        assert "quire osv update" in answer.text
        assert site.client.get(f"{VULNS}/A-1").status_code == 503
        assert ask(site, f"/nothing{QUERY}", by_name("demo")).status_code == 404
        take_in(site, document("A-1", "demo", ranges=until("2.0")))
        assert ids(ask(site, QUERY, by_name("demo"))) == ["A-1"]

        take_in(site, document("A-2", "demo", ranges=until("2.0")))
        for each in (site.root / "quire" / "blobs" / "advisories").glob("*/*"):
            each.unlink()
        assert ask(site, QUERY, by_name("demo")).status_code == 503
