"""Another index for the tests of this folder, which is asked without the proxies of the environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.upstreams import FakeIndex, serving_index


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with serving_index() as served:
        yield served
