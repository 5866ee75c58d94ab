"""These tests run when they are asked for (`make test-bucket`), beside real servers of buckets."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.bucket.servers import served_buckets
from tests.long_suites import leave_out


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without an S3 server, those that need one are left out (`make test-bucket BUCKET_SERVERS=az`)."""
    leave_out(config, items, "bucket")
    if served_buckets() and "s3" not in served_buckets():
        here = Path(__file__).parent
        items[:] = [each for each in items if here not in each.path.parents or "each_bucket" in _fixtures(each)]


def _fixtures(item: pytest.Item) -> list[str]:
    assert isinstance(item, pytest.Function)
    return item.fixturenames


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the parameter `each_url` runs once for each server."""
    if "each_bucket" in metafunc.fixturenames:
        buckets = served_buckets() or {"none": ""}
        metafunc.parametrize("each_bucket", buckets.values(), ids=buckets)


@pytest.fixture
def each_url(each_bucket: str) -> str:
    """A folder that nothing else uses, on each of the servers."""
    assert each_bucket, "no bucket: run `make test-bucket`"
    return f"{each_bucket}/{secrets.token_hex(6)}"


@pytest.fixture
def url() -> str:
    """A folder of the S3 server that nothing else uses."""
    assert "s3" in served_buckets(), "no bucket: run `make test-bucket`"
    return f"{served_buckets()['s3']}/{secrets.token_hex(6)}"
