"""No private name reaches the upstream, by any door of any worker, while workers are killed; on a volume.

`tests.bucket.test_private_names` is the same on a bucket.
"""

from __future__ import annotations

from pathlib import Path

from tests.linearizability.mirrors.private_names import ask_for_private_names

SECONDS = 2.0


def test_no_private_name_reaches_the_upstream(tmp_path: Path) -> None:
    """Hosted, deleted, quarantined, claimed, reserved, below a namespace, staged, dropped in, half-copied, of an index
    behind, in any spelling; and once it has become private by an upload, a promotion or a claim."""
    found = ask_for_private_names(tmp_path / "packages", tmp_path, seed=1, seconds=SECONDS, kill_every=1.0)
    assert found.leaked == {}
    assert found.odd == {}
    # that it was a test at all
    assert found.requests >= 50, found
    assert found.kills >= 1, found
    assert min(found.controls) >= 1, found
