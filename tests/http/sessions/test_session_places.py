"""Publishing sessions on a real server and every store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.asking import JSON_V1, OPEN, Site, serve
from tests.distributions import make_wheel, wheel_name
from tests.http.sessions.session_client import HEADERS, META, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("sessions"), *OPEN, "--experimental", place=place) as site:
        yield site


def test_canceled_and_published(site: Site) -> None:
    """One session of a release after the other; the second one is published, and its stage is gone."""

    def send(url: str, status: int, **body: object) -> Any:
        answer = site.client.post(url, json={"meta": META, **body}, headers=HEADERS)
        assert answer.status_code == status, answer.text
        return answer.json()

    def listed(address: str) -> list[str]:
        answer = site.client.get(f"{address}alpha/", headers={"accept": JSON_V1})
        return [each["filename"] for each in answer.json()["files"]] if answer.status_code == 200 else []

    content, name = make_wheel("alpha", "1.0"), wheel_name("alpha", "1.0")
    hashes = {"sha256": hashlib.sha256(content).hexdigest()}
    for is_published in (False, True):
        session = send(ROOT, 201, name="alpha", version="1.0")
        links, about = session["links"], {"filename": name, "size": len(content), "mechanism": "http-post-bytes"}
        file = send(links["upload"], 202, hashes=hashes, **about)
        kind = {"content-type": "application/octet-stream"}
        assert site.client.post(file["mechanism"]["file_url"], content=content, headers=kind).status_code == 200
        send(file["links"]["complete"], 201)
        assert listed(links["stage"]) == [name]
        assert listed("/simple/") == []
        if is_published:
            assert send(links["publish"], 201)["status"] == "published"
        else:
            answer = site.client.delete(links["session"])
            assert (answer.status_code, answer.content) == (204, b"")
        assert listed(links["stage"]) == []
        ended = "published" if is_published else "canceled"
        assert site.client.get(links["session"]).json()["status"] == ended
    assert listed("/simple/") == [name]
