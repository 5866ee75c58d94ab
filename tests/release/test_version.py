"""The version is in `quire.__version__`; each other place that says it says the same, and the pages promise alike."""

from __future__ import annotations

import re

import pytest

import quire
from tests.documents import ROOT
from tests.release.building import tracked

NUMBER = r"(\d+\.\d+\.\d+)"
FORMS = (
    rf"^appVersion: \"{NUMBER}\"",
    rf"^version: {NUMBER}$",
    rf"^ *docker_image_tag += \"{NUMBER}\"",
    rf"^ *tag: \"{NUMBER}\"",
    rf"quire(?:-index:|_index-|-index==|/|-index@v?| ){NUMBER}\b",
    rf"\?ref=v{NUMBER}",
)
"""The ways in which a file says which version of quire it is about."""
PLACES = {
    "deploy/helm/quire-index/Chart.yaml": 2,
    "deploy/terraform/aws/examples/beside-pypiserver/main.tf": 1,
    "deploy/terraform/aws/examples/bucket/main.tf": 1,
    "deploy/terraform/aws/examples/minimal/main.tf": 1,
    "docs/aws.md": 4,
    "docs/how-to/install.md": 2,
    "docs/how-to/kubernetes.md": 3,
    "docs/how-to/webhooks.md": 1,
}
"""How often each file says it."""
KIND = (".md", ".tf", ".yaml", ".yml", ".toml", ".env", ".service", ".html", ".svg")
OTHERS = ("docs/benchmarks", "docs/comparison.md", "benchmarks/", "tests/", "requirements/", "deploy/monitoring/")
"""They say what was measured, or what is not quire."""


def _said(path: str) -> list[str]:
    text = (ROOT / path).read_text()
    return [found for form in FORMS for found in re.findall(form, text, re.M)]


def test_each_place_says_the_version_of_the_program() -> None:
    """No file but these says one; another one is added to the list, so that a release does not forget it."""
    said = {path: _said(path) for path in tracked() if path.endswith(KIND) and not path.startswith(OTHERS)}
    said = {path: versions for path, versions in said.items() if versions}
    assert {path: len(versions) for path, versions in said.items()} == PLACES
    assert {path for path, versions in said.items() if set(versions) != {quire.__version__}} == set()


@pytest.mark.parametrize("path", ["CHANGELOG.md", "deploy/terraform/aws/CHANGELOG.md"])
def test_a_changelog_has_a_dated_section_for_it(path: str) -> None:
    """Above it is nothing but what is not released."""
    sections = re.findall(r"^## (?:\d.*|Unreleased)$", (ROOT / path).read_text(), re.M)
    released = [each for each in sections if each != "## Unreleased"]
    assert re.fullmatch(rf"## {re.escape(quire.__version__)} - \d{{4}}-\d\d-\d\d", released[0])
    assert sections[:1] == released[:1] or sections[:2] == ["## Unreleased", released[0]]


def test_weaknesses_are_mended_where_the_promise_says_so() -> None:
    """The two pages that say which versions get fixes agree, and the version of the program is among them."""
    security, stability = ((ROOT / path).read_text() for path in ("SECURITY.md", "docs/stability.md"))
    major, minor, _ = quire.__version__.split(".")
    assert f"| {major}.{minor} | yes |" in security
    for words in ("the latest minor version of the latest major version gets", "six months after"):
        assert words in security
        assert words in stability
