"""No private name reaches the upstream, by any door of any worker, while workers are killed; on a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linearizability.mirrors.private_names import ask_for_private_names

pytestmark = pytest.mark.bucket

SECONDS = 8.0


def test_no_private_name_reaches_the_upstream(url: str, tmp_path: Path) -> None:
    """As on a volume (`tests.linearizability.mirrors.test_private_names`), without what is dropped in."""
    found = ask_for_private_names(url, tmp_path, seed=1, seconds=SECONDS, kill_every=1.0)
    assert found.leaked == {}
    assert found.odd == {}
    assert found.requests >= 100, found
    assert found.kills >= 2, found
    assert found.controls >= 1, found
