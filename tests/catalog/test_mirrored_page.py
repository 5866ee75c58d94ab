"""The page of a large mirrored project, which is made without views: it is the page that a view gives."""

from __future__ import annotations

import random
from typing import Any

import pytest

from quire.catalog.mirrored import MirroredProject
from quire.catalog.mirrored_page import json_page
from quire.catalog.views import ProjectView
from quire.domain.namespaces import Namespaces
from quire.render.negotiation import MediaType
from quire.store.contracts import Record
from quire.upstream.mirrored import MirroredPage, now_utc
from quire.upstream.page_store import Mirrored
from quire.upstream.pages import UpstreamFile, UpstreamPage

VERSIONS = ("1.0", "1.0.0", "v1", "2.0a1", "10", "2", "1!0", "2024.1+local", "nonsense", "", "1.0-1")
ORIGINS = ("https://files.test/packages/", "https://files.test/", "http://other.test:8000/a/b/")
FOLDERS = (f"ab/cd/{'e' * 60}/", "x/", "", "with space/", "%41/", f"ab/cd/{'E' * 60}/", ".hidden/", "a//b/")


def file(choose: random.Random, number: int) -> UpstreamFile:
    version = choose.choice(VERSIONS)
    filename = f"foo-{version}-{number}.tar.gz"
    digest = f"{number:064x}"
    names = choose.sample(["sha512", "md5", "sha384", "blake2b"], choose.randrange(3))
    hashes = dict.fromkeys(names, "0" * 32) | ({"sha256": digest} if choose.random() < 0.9 else {})
    changes: dict[str, Any] = {
        "yanked": choose.choice([False, True, "a <reason> with \u00fc"]),
        "size": choose.choice([None, 0, 17]),
        "requires_python": choose.choice([None, ">=3.8,<4"]),
        "uploaded": choose.choice([None, "2024-01-01T00:00:00Z"]),
        "metadata": choose.choice([False, True, "a" * 64]),
        "provenance": choose.choice([None, "https://files.test/provenance"]),
        "signed": choose.random() < 0.2,
    }
    some = {name: value for name, value in changes.items() if choose.random() < 0.6}
    url = choose.choice(ORIGINS) + choose.choice(FOLDERS) + choose.choice([filename, f"{filename}?a=b", "other.zip"])
    return UpstreamFile(filename=filename, url=url, version=version, hashes=hashes, **some)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("integrity", [None, "https://here.test/integrity/"])
def test_it_is_the_page_of_a_view(seed: int, integrity: str | None) -> None:
    """For files of every kind, in any order, few and many; with metadata made here, and in an index with namespaces."""
    choose = random.Random(seed)
    page = UpstreamPage(files=tuple(file(choose, number) for number in range(choose.choice([0, 1, 40, 700]))))
    made = {each.hashes["sha256"]: "b" * 64 for each in page.files[::3] if "sha256" in each.hashes}
    mirrored = Mirrored(
        "foo", Record("a/foo", b"", "1"), MirroredPage(confirmed=now_utc(), content="", made=made), page
    )
    namespaces = None if seed % 2 else Namespaces((), ())
    project: Any = MirroredProject(mirrored, None)  # type: ignore[arg-type]  # the files are not asked for
    view = ProjectView("foo", [(None, project)], integrity, namespaces=namespaces)  # type: ignore[list-item]
    made_page = json_page("foo", page, made, integrity, view.namespaces)
    assert made_page.body == view.page(MediaType.JSON_V1, None).body
    assert made_page.etag == view.page(MediaType.JSON_V1, None).etag
