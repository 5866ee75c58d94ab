"""Nothing that a release has is gone or renamed: docs/stability.md says what each version may change.

To add is fine, and needs nothing here: `python -m tests.promise` records it when a release is made.
"""

from __future__ import annotations

import pytest

from quire.http.app.routes import endpoint_of
from tests.documents import DOCS
from tests.promise import recorded
from tests.promise.interface import EXPERIMENTAL, LISTS


@pytest.mark.parametrize("name", LISTS)
def test_nothing_of_a_release_is_gone(name: str) -> None:
    missing = recorded.gone(name)
    assert not missing, (
        f"{missing}: the last release has it, and docs/stability.md promises that it goes on. Keep it, and deprecate "
        "it if it is to go. Only a major version removes it (python -m tests.promise --major)."
    )


def test_a_minor_version_adds_lines_and_forgets_none() -> None:
    assert recorded.after_release({"kept", "gone"}, {"kept", "new"}, is_major=False) == {"kept", "gone", "new"}
    assert recorded.after_release({"kept", "gone"}, {"kept", "new"}, is_major=True) == {"kept", "new"}


def test_the_page_names_the_experimental_part() -> None:
    assert f"`{endpoint_of(EXPERIMENTAL).path}`" in (DOCS / "stability.md").read_text()
