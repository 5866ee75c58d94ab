"""Where a bucket is and how to reach it, by its URL and the variables that the clouds' own tools read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

_S3_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_S3_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_CERTIFICATES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
ENDPOINTS: Final = (*_S3_ENDPOINTS, "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "GOOGLE_BASE_URL")
"""Variables that name another server than the cloud's own."""
_HOST_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class Address(NamedTuple):
    """The parts of a bucket's URL."""

    scheme: str
    bucket: str
    prefix: str
    """Without slashes around it; empty for the whole bucket."""


def address_of(url: str) -> Address:
    """The parts of a URL that `quire.store.opening.parse_place` accepted."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    return Address(scheme, bucket, prefix.strip("/"))


def s3_endpoint(environ: Mapping[str, str]) -> str | None:
    """The URL of the S3 server; None for AWS itself."""
    return _first(environ, _S3_ENDPOINTS)


def s3_region(environ: Mapping[str, str]) -> str | None:
    """The region of the bucket; None when the environment does not say."""
    return _first(environ, _S3_REGIONS)


def is_virtual_hosted(bucket: str, environ: Mapping[str, str]) -> bool:
    """Whether the bucket's name is part of the host's name, and not of the path.

    AWS wants it there. Other servers rarely have the DNS entries, and no certificate fits a name with dots.
    `AWS_VIRTUAL_HOSTED_STYLE_REQUEST` decides otherwise.
    """
    chosen = environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower()
    if chosen:
        return chosen in {"1", "true", "yes", "on"}
    return s3_endpoint(environ) is None and _HOST_LABEL.fullmatch(bucket) is not None


def certificates(environ: Mapping[str, str], *, is_s3: bool) -> tuple[str, str] | None:
    """The variable that names a file with further authorities to trust, and the file; None: those of the system."""
    names = ("AWS_CA_BUNDLE", *_CERTIFICATES) if is_s3 else _CERTIFICATES
    return next(((name, environ[name]) for name in names if environ.get(name)), None)


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)
