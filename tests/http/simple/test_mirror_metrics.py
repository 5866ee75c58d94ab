"""The metrics of a mirror: upstreams that give other bytes than they announce, or none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.asking import OPEN, Site, serve
from tests.distributions import make_wheel, wheel_name
from tests.http.simple.test_mirror_space import metrics, sample
from tests.serving import until
from tests.upstreams import JSON, Answer, FakeIndex, serving_index

NAME = wheel_name("far", "1.0")
CONTENT = make_wheel("far", "1.0")
PROVENANCE = "provenance"


@pytest.fixture
def upstream() -> Iterator[FakeIndex]:
    with serving_index() as index:
        yield index


def refused(site: Site, kind: str) -> float:
    return sample(metrics(site), f'quire_mirror_refused_files_total{{kind="{kind}"}}')


@pytest.mark.parametrize(
    "other",
    [Answer(CONTENT[:-1] + b"!"), Answer(CONTENT + b"!"), Answer(CONTENT + b"!", has_length=False)],
    ids=["digest", "length", "size"],
)
def test_files_that_are_not_what_their_page_announces_are_counted(
    tmp_path: Path, upstream: FakeIndex, other: Answer
) -> None:
    """Each fetch of such a file; one that breaks off, or comes whole, is none of them."""
    upstream.has("far", {NAME: CONTENT})
    with serve(tmp_path, *OPEN, "--upstream", upstream.url, NO_PROXY="*") as site:
        url = site.file_url("far", NAME)

        def ask() -> None:
            with suppress(httpx.RemoteProtocolError):
                assert site.client.get(url).status_code == 502

        for number in (1, 2):
            upstream.at(f"/files/{NAME}", other)
            ask()
            assert refused(site, "file") == number
        upstream.at(f"/files/{NAME}", Answer(CONTENT[:-1], has_length=False))
        ask()
        upstream.at(f"/files/{NAME}", Answer(CONTENT))
        assert site.client.get(url).content == CONTENT
        assert (refused(site, "file"), refused(site, "metadata"), refused(site, "provenance")) == (2, 0, 0)


def test_documents_that_are_not_what_they_should_be_are_counted(tmp_path: Path, upstream: FakeIndex) -> None:
    """Metadata with another digest, and provenance that is none."""
    upstream.has(
        "far",
        {NAME: CONTENT},
        **{
            NAME.replace(".", "_").replace("-", "_"): {
                "core-metadata": {"sha256": "0" * 64},
                "provenance": f"{upstream.base}/{PROVENANCE}",
            }
        },
    )
    upstream.at(f"/files/{NAME}.metadata", Answer(b"Name: far\n"))
    upstream.at(f"/{PROVENANCE}", Answer(json.dumps({"version": 2, "attestation_bundles": []}).encode(), JSON))
    with serve(tmp_path, *OPEN, "--upstream", upstream.url, NO_PROXY="*") as site:
        assert site.client.get(site.file_url("far", NAME) + ".metadata").status_code == 502
        assert site.get(f"/integrity/far/1.0/{NAME}/provenance").status_code == 502
        assert (refused(site, "file"), refused(site, "metadata"), refused(site, "provenance")) == (0, 1, 1)


def test_the_oldest_page_that_is_served_while_its_upstream_fails(tmp_path: Path, upstream: FakeIndex) -> None:
    """By the time of its confirmation; none as long as the upstream answers, whatever the age."""
    name = "quire_mirror_oldest_stale_timestamp_seconds"
    for project in ("far", "near"):
        upstream.has(project, {NAME: CONTENT})
    with serve(tmp_path, *OPEN, "--upstream", upstream.url, "--upstream-max-age", 0, NO_PROXY="*") as site:
        begun = time.time()
        for project in ("far", "near", "far"):
            assert site.get(f"/simple/{project}/").status_code == 200
            between = time.time()
        assert sample(metrics(site), name) == 0
        upstream.at("/simple/near/", Answer(status=503))
        until(lambda: site.get("/simple/near/").status_code == 200 and sample(metrics(site), name) > 0)
        assert begun <= sample(metrics(site), name) <= between
