"""Policies that look releases up, with data of `quire osv update`, on real servers with two workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.advisories.taking import document, take_in, until
from tests.asking import JSON_V1, OPEN, Site, publish, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire
from tests.upstreams import FakeIndex, serving_index

FRESH = {"accept": JSON_V1, "connection": "close"}
"""Each request on a connection of its own, for which the kernel draws one of the two workers."""
ENOUGH = 40
"""Such requests: that all go to one worker happens once in 500,000,000,000 times."""


@dataclass
class Rig:
    """A server before an upstream with three releases of `far`; `near` is published."""

    site: Site
    upstream: FakeIndex

    def quire(self, *words: object, code: int = 0) -> str:
        done = run_quire(*words, "-d", self.site.root, cwd=self.site.root.parent)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def take_in(self, *documents: dict[str, Any]) -> None:
        """Let these be all advisories."""
        take_in(self.site.root, *documents)

    def versions(self, name: str) -> list[str]:
        """Of the files that every worker lists."""
        answers = [self.site.client.get(f"/simple/{name}/", headers=FRESH) for _ in range(ENOUGH)]
        assert {each.content for each in answers} == {answers[0].content}, [each.status_code for each in answers]
        return [each["filename"].split("-")[1] for each in answers[0].json()["files"]]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("blocked")
    with serving_index() as upstream:
        files = {wheel_name("far", version): make_wheel("far", version) for version in ("1.0", "2.0", "3.0")}
        upstream.has("far", files)
        with serve(folder, *OPEN, "--workers", 2, "--upstream", upstream.url, NO_PROXY="*") as site:
            for version in ("1.0", "2.0"):
                publish_wheel(site, "near", version)
            yield Rig(site, upstream)


def test_malicious_releases_are_blocked_at_once(rig: Rig) -> None:
    """On every worker, from the first request after the update on, and until the next one says otherwise."""
    rig.take_in(document("PYSEC-1", "far", versions=["1.0"]))
    rig.quire("policy", "set", "--malicious", "block")
    assert (rig.versions("far"), rig.versions("near")) == (["1.0", "2.0", "3.0"], ["1.0", "2.0"])
    url = rig.site.file_url("far", wheel_name("far", "2.0"))
    bad = document("MAL-2024-1", "far", versions=["2.0"]), document("MAL-2024-2", "near", versions=["1.0"])
    for _ in range(2):
        rig.take_in(*bad)
        assert (rig.versions("far"), rig.versions("near")) == (["1.0", "3.0"], ["2.0"])
        answer = rig.site.client.get(url, headers=FRESH)
        assert answer.status_code == 403
        assert "MAL-2024-1" in answer.text
        assert "far==2.0" in answer.text
        rig.take_in(document("PYSEC-1", "far", versions=["1.0"]))
        assert rig.versions("far") == ["1.0", "2.0", "3.0"]
        assert rig.site.client.get(url, headers=FRESH).content == make_wheel("far", "2.0")
    rig.take_in(*bad)
    assert "MAL-2024-2" in rig.quire("policy", "explain", "near==1.0", code=1)
    remote = run_quire("policy", "explain", "far==2.0", "--url", rig.site.base, cwd=rig.site.root.parent)
    assert "MAL-2024-1" in remote.stdout, remote.stderr
    rig.quire("policy", "exempt", "far==2.0")
    assert rig.versions("far") == ["1.0", "2.0", "3.0"]
    rig.quire("policy", "exempt", "far==2.0", "--remove")
    rig.quire("osv", "remove", "osv")
    assert rig.versions("far") == ["1.0", "2.0", "3.0"]


def test_severe_advisories_are_blocked(rig: Rig) -> None:
    """By the rating of the database, and by ranges; less severe ones let their releases pass."""
    critical = document("GHSA-1", "far", ranges=until("3.0"), database_specific={"severity": "CRITICAL"})
    rig.take_in(critical, document("GHSA-2", "near", versions=["1.0"], database_specific={"severity": "LOW"}))
    rig.quire("policy", "set", "--block-severity", "critical", "--malicious", "block")
    assert (rig.versions("far"), rig.versions("near")) == (["3.0"], ["1.0", "2.0"])
    answer = publish(rig.site, wheel_name("far", "1.0"), b"x", name="far", version="1.0")
    assert answer.status_code >= 400
    rig.take_in(document("MAL-2024-3", "near", versions=["9.0"]))
    content = make_wheel("near", "9.0")
    answer = publish(rig.site, wheel_name("near", "9.0"), content, name="near", version="9.0")
    assert answer.status_code == 403
    assert "MAL-2024-3" in answer.text
    assert rig.versions("near") == ["1.0", "2.0"]


def test_no_file_is_served_unchecked(rig: Rig) -> None:
    """While the data that a policy needs is missing, the answer is 503; `quire osv update` mends it."""
    rig.quire("policy", "set", "--malicious", "block")
    rig.take_in(document("MAL-2024-4", "far", versions=["2.0"]))
    for blob in (rig.site.root / "quire" / "blobs" / "advisories").glob("*/*"):
        blob.unlink()
    rig.take_in(document("MAL-2024-4", "far", versions=["2.0"]), document("MAL-2024-5", "far", versions=["1.0"]))
    assert rig.versions("far") == ["3.0"]
    for blob in (rig.site.root / "quire" / "blobs" / "advisories").glob("*/*"):
        blob.unlink()
    rig.quire("index", "create", "another")
    assert rig.versions("far") == ["3.0"]  # what was read is right, whatever became of the blob
    with serve(rig.site.root.parent, *OPEN) as other:
        assert other.client.get("/simple/near/", headers=FRESH).status_code == 503
        assert other.client.get("/-/api/v1/indexes/-/projects/near/owners", headers=FRESH).status_code == 200
        rig.take_in(document("MAL-2024-4", "near", versions=["2.0"]))
        files = other.client.get("/simple/near/", headers=FRESH).json()["files"]
        assert [each["filename"] for each in files] == [wheel_name("near", "1.0")]
