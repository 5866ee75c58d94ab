"""Metadata of mirrored files whose upstream offers none: made of what clients wanted, and offered once it is kept."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import pytest

from tests.asking import OPEN, Site, serve
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.serving import until
from tests.upstreams import Answer, FakeIndex, page, serving_index


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeIndex]:
    with serving_index() as index:
        yield index


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, upstream: FakeIndex, place: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("metadata")
    with serve(folder, *OPEN, "--upstream", upstream.url, place=place, NO_PROXY="*") as served:
        yield served


def offer(upstream: FakeIndex, project: str, name: str, content: bytes, *, takes_ranges: bool, **more: Any) -> None:
    entry = {
        "filename": name,
        "url": f"../../files/{name}",
        "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
        "size": len(content),
        **more,
    }
    upstream.at(f"/simple/{project}/", page([entry]))
    upstream.at(f"/files/{name}", Answer(content, takes_ranges=takes_ranges))
    upstream.requests.clear()


def entry(site: Site, project: str) -> dict[str, Any]:
    (file,) = site.listing(project)["files"]
    return dict(file)


def offered(site: Site, project: str) -> object:
    return entry(site, project)["core-metadata"]


def path_of(site: Site, project: str, name: str) -> str:
    return site.file_url(project, name).removeprefix(str(site.client.base_url).rstrip("/"))


def padded(project: str, megabytes: int) -> tuple[bytes, bytes]:
    """A wheel with a large member before its metadata and a small one behind, and that metadata."""
    with ZipFile(BytesIO(make_wheel(project, "1.0"))) as small:
        members = {name: small.read(name) for name in small.namelist()}
    (metadata,) = (content for name, content in members.items() if name.endswith("METADATA"))
    written = BytesIO()
    with ZipFile(written, "w", ZIP_STORED) as archive:
        archive.writestr("first.bin", random.Random(1).randbytes(megabytes * 500_000))
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("last.bin", random.Random(2).randbytes(megabytes * 500_000))
    return written.getvalue(), metadata


def test_metadata_of_a_wheel_that_is_not_here_is_made_of_parts(site: Site, upstream: FakeIndex) -> None:
    """When a client reads a part of it, as installers do. Its bytes are never asked for as a whole."""
    content, metadata = padded("parts", 2)
    name = wheel_name("parts", "1.0")
    offer(upstream, "parts", name, content, takes_ranges=True)
    assert offered(site, "parts") is False
    path = path_of(site, "parts", name)
    assert site.get(path, range=f"bytes={len(content) - 100}-").content == content[-100:]
    until(lambda: offered(site, "parts") == {"sha256": hashlib.sha256(metadata).hexdigest()})
    assert site.get(f"{path}.metadata").content == metadata
    assert f'data-core-metadata="sha256={hashlib.sha256(metadata).hexdigest()}"' in site.get("/simple/parts/").text
    ranges = [headers.get("range") for asked, headers in upstream.requests if asked == f"/files/{name}"]
    assert None not in ranges
    assert len(ranges) <= 4
    assert site.get(path).content == content


@pytest.mark.parametrize("takes_ranges", [True, False])
def test_metadata_of_a_file_that_was_fetched_is_made_of_it(
    site: Site, upstream: FakeIndex, *, takes_ranges: bool
) -> None:
    """No further request is made for it. An upstream that says `true` without a digest says too little."""
    project = f"whole-{takes_ranges}".lower()
    name = wheel_name(project, "1.0")
    offer(
        upstream,
        project,
        name,
        make_wheel(project, "1.0"),
        takes_ranges=takes_ranges,
        **{"core-metadata": takes_ranges},
    )
    assert offered(site, project) is False
    path = path_of(site, project, name)
    assert site.get(f"{path}.metadata").status_code == 404
    assert site.get(path).status_code == 200
    until(lambda: offered(site, project) is not False)
    assert site.get(f"{path}.metadata").text.startswith("Metadata-Version: ")
    assert upstream.paths == [f"/simple/{project}/", f"/files/{name}"]


def test_metadata_of_an_sdist_is_offered_only_if_it_is_that_of_its_wheels(site: Site, upstream: FakeIndex) -> None:
    """PEP 643."""
    for project, version in (("static-one", "2.2"), ("old-one", "2.1")):
        name = sdist_name(project, "1.0")
        text = f"Metadata-Version: {version}\nName: {project}\nVersion: 1.0\n"
        content = make_sdist(project, "1.0", metadata=text)
        offer(upstream, project, name, content, takes_ranges=False)
        assert site.get(path_of(site, project, name)).content == content
    until(lambda: offered(site, "static-one") is not False)
    assert offered(site, "old-one") is False


@pytest.mark.parametrize("content", [b"no wheel at all" * 1000, make_wheel("another", "9.0")])
def test_a_file_without_usable_metadata_offers_none(site: Site, upstream: FakeIndex, content: bytes) -> None:
    """And is served all the same: installers say what is wrong with it."""
    project = f"odd-{len(content)}"
    name = wheel_name(project, "1.0")
    offer(upstream, project, name, content, takes_ranges=True)
    path = path_of(site, project, name)
    assert site.get(path, range="bytes=5-9").content == content[5:10]
    assert site.get(path).content == content
    assert offered(site, project) is False
    assert site.get(f"{path}.metadata").status_code == 404


@pytest.mark.on_disk("files that are removed from the store")
def test_metadata_stays_when_the_page_is_confirmed_and_when_files_are_removed(tmp_path: Path) -> None:
    """It is kept with the pages; if it is lost all the same, the page offers it no more."""
    with serving_index() as upstream:
        name = wheel_name("stays", "1.0")
        offer(upstream, "stays", name, make_wheel("stays", "1.0"), takes_ranges=False)
        flags = ("--upstream", upstream.url, "--upstream-max-age", 0, "--mirror-size", 1)
        with serve(tmp_path, *OPEN, *flags, NO_PROXY="*") as site:
            path = path_of(site, "stays", name)
            assert site.get(path).status_code == 200  # it is larger than the bound, so it is not kept
            assert not [blob for blob in site.blobs() if "stays" in blob]
        with serve(tmp_path, *OPEN, *flags[:-2], NO_PROXY="*") as site:
            assert site.get(path).status_code == 200
            until(lambda: offered(site, "stays") is not False)
        with serve(tmp_path, *OPEN, *flags, NO_PROXY="*") as site:
            assert offered(site, "stays") is not False
            (made,) = (blob for blob in site.blobs() if "/made-" in blob)
            assert site.get(f"{path}.metadata").status_code == 200
            (site.root / "quire" / "blobs" / made).unlink()
            assert site.get(f"{path}.metadata").status_code == 404
            until(lambda: offered(site, "stays") is False)
