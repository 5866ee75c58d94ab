"""The rights of the credentials, each action tried once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from quire.doctor.bucket.checks import Check, Result
from quire.doctor.bucket.site import Site, nonce
from quire.domain.errors import StoreError, StoreReadOnly
from quire.store.bucket.objects import Forbidden, Refused

if TYPE_CHECKING:
    from quire.store.bucket.aws import S3Control

_ROLES: Final = {
    "s3": {
        "write": "s3:PutObject",
        "read": "s3:GetObject",
        "missing": "s3:ListBucket (without it S3 answers 403 for an object that is not there)",
        "list": "s3:ListBucket",
        "remove": "s3:DeleteObject",
    },
    "gs": {
        "write": "storage.objects.create and storage.objects.delete",  # the second one to replace an object
        "read": "storage.objects.get",
        "missing": "storage.objects.list",
        "list": "storage.objects.list",
        "remove": "storage.objects.delete",
    },
    "az": {
        "write": "write (role Storage Blob Data Contributor; of a SAS: c and w)",
        "read": "read (role Storage Blob Data Contributor; of a SAS: r)",
        "missing": "read (role Storage Blob Data Contributor; of a SAS: r)",
        "list": "list (role Storage Blob Data Contributor; of a SAS: l)",
        "remove": "delete (role Storage Blob Data Contributor; of a SAS: d)",
    },
}
_CAUSES: Final = {
    "SignatureDoesNotMatch": "The secret key is wrong.",
    "InvalidAccessKeyId": "The access key does not exist (any more).",
    "ExpiredToken": "The credentials have expired; log in again.",
    "RequestTimeTooSkewed": "This machine's clock is wrong; let it use NTP.",
    "AuthenticationFailed": "The key of the account, or the SAS token, is wrong or has expired.",
    "AuthorizationFailure": "The account does not accept the key, the SAS token, or this machine's address.",
    "answered 401": "The access token or the key is wrong or has expired; log in again.",
}
"""By what the sentence of a refusal has: why the bucket accepts no request at all."""
_WRITER: Final = "write"


def check_rights(site: Site, scheme: str, control: S3Control | None) -> Iterator[Check]:
    """Ends after the first right without which nothing else can be tried."""
    connection, key = site.connections[0], site.key("rights")

    def write() -> None:
        try:
            connection.put(key, nonce(), None)
        except Refused as error:
            raise StoreError("A new object was refused.") from error

    names = _ROLES[scheme]
    steps: list[tuple[str, Callable[[], object]]] = [
        (_WRITER, write),
        ("read", lambda: connection.get(key)),
        ("missing", lambda: connection.get(site.key("missing"))),
        ("list", lambda: list(connection.list(site.folder))),
        ("remove", lambda: connection.remove(key)),
    ]
    for code, step in steps:
        try:
            step()
        except (Forbidden, StoreReadOnly) as error:
            yield _missing(code, names[code], str(error))
            return
    granted = dict.fromkeys(names[code].partition(" (")[0] for code, _ in steps)
    yield Check("rights", Result.OK, f"The credentials may do what a server does: {', '.join(granted)}.")
    if control is not None:
        yield _check_uploads(site, control)


def _missing(code: str, right: str, said: str) -> Check:
    cause = next((sentence for name, sentence in _CAUSES.items() if name in said), "")
    if cause:
        return Check(
            "credentials",
            Result.UNKNOWN,
            f"The bucket does not accept the credentials, so nothing could be tried. {said}",
            cause,
        )
    if code == _WRITER:
        return Check(
            "rights",
            Result.UNKNOWN,
            f"The credentials may not write, so nothing could be tried. {said}",
            f"Missing is {right}. A server with --read-only needs no more than to read; examine the bucket with the "
            "credentials of one that writes.",
        )
    return Check(
        "rights",
        Result.UNKNOWN,
        f"The credentials lack a right that every server needs, so nothing else could be tried. {said}",
        f"Missing is {right}.",
    )


def _check_uploads(site: Site, control: S3Control) -> Check:
    """The rights that `quire gc` needs to tidy unfinished uploads."""
    try:
        next(control.unfinished_uploads(site.folder), None)
        control.abort_upload(site.key("rights"), "no-such-upload")
    except StoreError as error:
        return Check(
            "tidy", Result.WARNING, f"'quire gc' cannot remove unfinished uploads. {error}", "Or use a lifecycle rule."
        )
    return Check("tidy", Result.OK, "'quire gc' can remove unfinished uploads.")
