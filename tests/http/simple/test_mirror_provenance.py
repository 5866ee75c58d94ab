"""Provenance and status that an upstream states are passed on: by this server's own URLs, checked and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asking import OPEN, Site, serve
from tests.distributions import make_wheel, wheel_name
from tests.upstreams import JSON, Answer, FakeIndex, serving_index

PUBLIC = "https://packages.acme.example/"
NAME = wheel_name("far", "1.0")
CONTENT = make_wheel("far", "1.0")
BUNDLE = {"publisher": {"kind": "GitHub", "repository": "far/far"}, "attestations": [{"version": 1}]}
PROVENANCE = json.dumps({"version": 1, "attestation_bundles": [BUNDLE]}).encode()
KIND = "application/vnd.pypi.integrity.v1+json"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeIndex]:
    with serving_index() as index:
        yield index


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, upstream: FakeIndex, place: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("provenance")
    flags = ("--upstream", upstream.url, "--public-url", PUBLIC)
    with serve(folder, *OPEN, *flags, place=place, NO_PROXY="*") as served:
        yield served


def offer(upstream: FakeIndex, project: str, answer: Answer, **status: str) -> str:
    """A project whose only file has this provenance object; the path at which this server gives it."""
    name = wheel_name(project, "1.0")
    content = make_wheel(project, "1.0")
    entry = {
        "filename": name,
        "url": f"../../files/{name}",
        "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
        "size": len(content),
        "provenance": f"{upstream.base}/integrity/{project}/provenance",
    }
    document = {"meta": {"api-version": "1.4"}, "name": project, "files": [entry], "versions": ["1.0"]}
    upstream.at(f"/simple/{project}/", Answer(json.dumps({**document, "project-status": status}).encode(), JSON))
    upstream.at(f"/integrity/{project}/provenance", answer)
    return f"/integrity/{project}/1.0/{name}/provenance"


def test_provenance_is_passed_on_by_an_own_url(site: Site, upstream: FakeIndex) -> None:
    """In JSON and HTML; it is fetched when a client asks for it, and once."""
    path = offer(upstream, "far", Answer(PROVENANCE, KIND))
    before = upstream.paths.count("/integrity/far/provenance")
    (file,) = site.listing("far")["files"]
    assert file["provenance"] == f"{PUBLIC}{path[1:]}"
    assert f'data-provenance="{PUBLIC}{path[1:]}"' in site.get("/simple/far/").text
    assert upstream.paths.count("/integrity/far/provenance") == before
    for _ in range(2):
        answer = site.get(path)
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, KIND, PROVENANCE)
    assert upstream.paths.count("/integrity/far/provenance") == before + 1
    assert site.get(path, if_none_match=answer.headers["etag"]).status_code == 304
    assert site.get(path, accept="application/json").headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("project", "answer", "status", "sentence"),
    [
        ("lost", Answer(status=404), 404, "gives it no more"),
        ("html", Answer(b"<h1>Log in</h1>", "text/html"), 502, "is no provenance object"),
        ("other", Answer(b'{"version": 2, "attestation_bundles": []}', KIND), 502, "has the version 2"),
        ("list", Answer(b'["version"]', KIND), 502, "is no provenance object"),
        ("huge", Answer(b" " * (4 * 1024 * 1024) + PROVENANCE, KIND), 502, "longer than 4194304 bytes"),
        ("busy", Answer(status=503), 503, "answers 503"),
        ("elsewhere", Answer(status=302, headers={"Location": "http://169.254.169.254/x"}), 502, "not public"),
    ],
)
def test_an_answer_that_is_no_provenance_is_a_sentence(
    site: Site, upstream: FakeIndex, project: str, answer: Answer, status: int, sentence: str
) -> None:
    """And is not kept: the next request gets what the upstream has then."""
    path = offer(upstream, project, answer)
    found = site.get(path)
    assert (found.status_code, sentence in found.text) == (status, True), found.text
    upstream.at(f"/integrity/{project}/provenance", Answer(PROVENANCE, KIND))
    assert site.get(path).content == PROVENANCE


@pytest.mark.parametrize("status", ["archived", "deprecated", "quarantined"])
def test_the_status_of_a_project_is_passed_on(site: Site, upstream: FakeIndex, status: str) -> None:
    """With its reason, in JSON and HTML; a quarantined project offers nothing."""
    path = offer(upstream, status, Answer(PROVENANCE, KIND), status=status, reason="It ended.")
    listing = site.listing(status)
    assert listing["project-status"] == {"status": status, "reason": "It ended."}
    assert len(listing["files"]) == (0 if status == "quarantined" else 1)
    assert f'<meta name="pypi:project-status" content="{status}">' in site.get(f"/simple/{status}/").text
    assert site.get(path).status_code == (404 if status == "quarantined" else 200)


@pytest.mark.on_disk("two servers on one directory")
def test_kept_provenance_is_served_without_the_upstream(tmp_path: Path) -> None:
    """By a server that asks none; one that is not kept is a sentence."""
    with serving_index() as upstream:
        kept = offer(upstream, "kept", Answer(PROVENANCE, KIND))
        other = offer(upstream, "unknown", Answer(PROVENANCE, KIND))
        flags = (*OPEN, "--upstream", upstream.url)
        with serve(tmp_path, *flags, NO_PROXY="*") as site:
            assert site.get(kept).content == PROVENANCE
            assert site.listing("unknown")["files"][0].get("provenance") is None  # it takes --public-url
        with serve(tmp_path, *flags, "--upstream-offline", NO_PROXY="*") as site:
            assert site.get(kept).content == PROVENANCE
            answer = site.get(other)
            assert (answer.status_code, "asks no other index" in answer.text) == (404, True)
