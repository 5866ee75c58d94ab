"""No private name reaches the upstream, by any door of any worker, while workers are killed; on buckets.

As on a volume (`tests.linearizability.mirrors.test_private_names`), without what is dropped in.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linearizability.mirrors.private_names import Findings, ask_for_private_names

pytestmark = pytest.mark.bucket

FAULTS = 30.0
"""Of a thousand requests to the bucket, that many fail."""


def check(found: Findings) -> None:
    assert found.leaked == {}
    assert found.odd == {}
    # that it was a test at all
    assert found.requests >= 100, found
    assert found.kills >= 2, found
    assert min(found.controls) >= 1, found


def test_no_private_name_reaches_the_upstream(each_url: str, tmp_path: Path) -> None:
    """On each of the servers."""
    check(ask_for_private_names(each_url, tmp_path, seed=1, seconds=3.0, kill_every=2.0))


def test_no_private_name_reaches_the_upstream_while_the_bucket_fails(url: str, tmp_path: Path) -> None:
    """Some of its answers are late, errors, cut, or lost."""
    found = ask_for_private_names(url, tmp_path, seed=2, seconds=4.0, kill_every=2.0, rounds=3, faults=FAULTS)
    check(found)
    assert found.faults >= 1, found
