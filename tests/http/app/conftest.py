"""The stores of tests of several workers, and upstreams in this process, for which no proxy is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asking import BUCKET_IN_MEMORY
from tests.store.bucket.counted import counted_bucket


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstreams of this process are reached directly."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(params=["volume", "bucket"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new place of a store: a directory, or a prefix of a bucket in memory."""
    with counted_bucket() if request.param == "bucket" else contextlib.nullcontext():
        yield str(tmp_path) if request.param == "volume" else f"{BUCKET_IN_MEMORY}/{tmp_path.name}"
