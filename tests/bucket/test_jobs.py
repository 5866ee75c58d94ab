"""Jobs of a server whose store is a bucket: a check, and a collection of garbage, from the operator's page."""

from __future__ import annotations

from pathlib import Path

import pytest

from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.operations import granting
from quire.store.opening import open_store
from tests.asking import password_file, publish_wheel, serve
from tests.http.app.test_jobs import ALICE, LOGIN, asked, begun_by_form, ended, shown, versions

pytestmark = pytest.mark.bucket


def test_jobs_of_a_bucket(tmp_path: Path, url: str) -> None:
    """Their process opens the bucket as the server does; either worker shows how far it is, and what it found."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN, "--workers", 2, place=url) as site:
        for version in ("1.0.dev1", "1.0.dev2"):
            publish_wheel(site, "acme-tools", version, authorization=ALICE)
        granting.begin(AccessRecords(open_store(url)), "alice", ("update",), Origin())
        kept = site.client.post("/-/api/v1/indexes/-", json={"keep": ["dev:1"]}, headers={"authorization": ALICE})
        assert kept.status_code == 200, kept.text
        assert "The check has begun" in begun_by_form(site, "check")
        checked = ended(site, asked(site)["jobs"][0])
        assert (checked["state"], checked["counts"]["files"], checked["counts"]["damage"]) == ("done", 2, 0), checked
        assert "removes nothing" in begun_by_form(site, "preview")
        found = ended(site, asked(site)["jobs"][0])
        assert (found["state"], found["dry_run"], found["counts"]["releases"]) == ("done", True, 1), found
        assert versions(site) == ["1.0.dev1", "1.0.dev2"]
        assert "The removal has begun" in begun_by_form(site, "collect")
        removed = ended(site, asked(site)["jobs"][0])
        assert (removed["state"], removed["dry_run"], removed["counts"]["releases"]) == ("done", False, 1), removed
        assert versions(site) == ["1.0.dev2"]
        assert "hx-get" not in shown(site)  # nothing runs
