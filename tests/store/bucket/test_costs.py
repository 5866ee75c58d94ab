"""The costs in docs/bucket.md are those that scripts/bucket_cost.py computes; docs/features.md has the same figures."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import pytest

from tests.documents import DOCS, ROOT

PAGE = DOCS / "bucket.md"


@pytest.fixture(scope="module")
def costs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bucket_cost", ROOT / "scripts" / "bucket_cost.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses looks for it there
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_script(costs: ModuleType) -> None:
    """If not: scripts/bucket_cost.py --write."""
    page = PAGE.read_text()
    assert page == costs.rewritten(page)


def test_the_requests_are_those_of_the_page(costs: ModuleType) -> None:
    """The script counts as many requests for a page, a download, a publication and a probe as the page's table."""
    rows = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7:
            rows[cells[0]] = [int(cell or 0) if (cell or "0").isdigit() else None for cell in cells[1:]]
    get, _, put, _, _, get_without_grants = range(6)
    assert rows["page of a project that did not change"][get] == costs.GET_PER_PAGE
    assert rows["download a small file"][get] == costs.GET_PER_DOWNLOAD
    published = rows["publish to an existing project"]
    assert (published[get], published[put]) == (costs.GET_PER_PUBLICATION, costs.PUT_PER_PUBLICATION)
    for row in (rows["page of a project that did not change"], rows["download a small file"], published):
        assert (row[get] or 0) - costs.GET_FOR_GRANTS == row[get_without_grants]
    unchanged = rows["the next `quire backup`, without a change"]
    assert sum(count or 0 for count in (unchanged[put], unchanged[4])) == costs.PUT_OR_LIST_PER_BACKUP + 1
    # a deleted file is in the trash, which has a project more
    assert unchanged[get] == costs.GET_PER_BACKUP + costs.GET_PER_PROJECT_IN_BACKUP + 2
    (probe,) = (counts for name, counts in rows.items() if name.startswith("`/ready`"))
    assert probe[get] == costs.GET_PER_PROBE


def test_the_figures_of_the_features_are_those_of_the_page() -> None:
    """The costs of a month, rounded, and the rates and times of one page."""
    page, features = PAGE.read_text(), (DOCS / "features.md").read_text()
    (costs,) = (row for row in features.splitlines() if row.startswith("| A month for a team"))
    (all_costs,) = re.findall(r"^\| \*\*all\*\* \|(.+)\|$", page, re.M)
    few_s3, _, few_efs, many_s3, _, many_efs = (f"{float(cell.strip(' *')):.0f}" for cell in all_costs.split("|"))
    assert f"| EFS: {few_efs} and {many_efs} dollars | S3: {few_s3} and {many_s3} dollars |" in costs
    (speed,) = (row for row in features.splitlines() if row.startswith("| A page that did not change"))
    (measured,) = re.findall(r"^\| 1 worker, 32 connections \|(.+)\|$", page, re.M)
    directory, bucket, _, _, directory_p50, bucket_p50 = (cell.strip() for cell in measured.split("|"))
    assert f"{directory}, {directory_p50} (" in speed
    assert f"{bucket}, {bucket_p50} (" in speed
    (alone,) = re.findall(r"^\| page that did not change \| (\d+ ms) \|", page, re.M)
    assert f"10 ms away: {alone} |" in speed
