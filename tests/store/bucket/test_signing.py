"""URLs at which clients get a file from the bucket itself."""

from __future__ import annotations

import pytest

from quire.domain.errors import StoreError
from quire.store.bucket.blobs import BucketBlobs
from quire.store.bucket.client import open_bucket
from quire.store.contracts import BlobOptions
from tests.store.bucket.memory import MemoryBucket


@pytest.mark.parametrize(
    "variables",
    [{"AZURE_STORAGE_SAS_KEY": "sv=1&sig=topsecret"}, {"AZURE_SKIP_SIGNATURE": "true"}],
    ids=["a signed URL itself", "no credentials"],
)
def test_credentials_that_cannot_sign(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Are found when the store is tried, before a port is bound; the sentence says what is needed, and no secret."""
    for name, value in (variables | {"AZURE_STORAGE_ACCOUNT_NAME": "account"}).items():
        monkeypatch.setenv(name, value)
    bucket = open_bucket("az://container/prefix", variables)
    blobs = BucketBlobs(bucket, writable=True, options=BlobOptions(redirect_seconds=60))
    with pytest.raises(StoreError, match=r"cannot be signed .* serve with --downloads stream") as refused:
        blobs.check_signing()
    assert "topsecret" not in str(refused.value)
    BucketBlobs(bucket, writable=True).check_signing()


def test_only_what_is_asked_for_is_signed() -> None:
    """Without redirects a blob has no URL; with them each has, for the time that was set."""
    for seconds, expected in ((None, None), (77, "https://bucket.example/blobs/a/1/file?seconds=77")):
        blobs = BucketBlobs(MemoryBucket(), writable=True, options=BlobOptions(redirect_seconds=seconds))
        staging = blobs.stage("a/1/file")
        staging.write(bytes(200_000))
        blobs.publish(staging.finish())
        with blobs.open("a/1/file") as blob:
            assert blob.redirect_url() == expected
            assert blob.read() == bytes(200_000)
