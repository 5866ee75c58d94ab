"""These tests run when they are asked for (`make test-bucket`), beside a real S3 server."""

from __future__ import annotations

import os
import secrets

import pytest

from tests.long_suites import leave_out


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out(config, items, "bucket")


@pytest.fixture
def url() -> str:
    """A folder of the bucket that nothing else uses."""
    bucket = os.environ.get("TESTS_BUCKET")
    assert bucket, "no bucket: run `make test-bucket`"
    return f"{bucket}/{secrets.token_hex(6)}"
