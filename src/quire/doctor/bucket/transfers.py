"""Large objects: in parts, by ranges."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from quire.doctor.bucket.checks import Check, Count, Result
from quire.doctor.bucket.site import Site
from quire.domain.errors import StoreError

if TYPE_CHECKING:
    from quire.store.bucket.aws import S3Control

PART: Final = 5 * 1024 * 1024
"""The smallest part that S3 takes, but for the last one."""
_ODD: Final = 4321


def check_transfers(site: Site, control: S3Control | None) -> Iterator[Check]:
    """Send an object in parts, read it by ranges, give another one up."""
    writer, reader = site.connections[:2]
    key = site.key("parts/object")
    data = os.urandom(PART + _ODD)
    whole = Count()
    upload = writer.upload(key, PART)
    upload.write(data[:PART])
    upload.write(data[PART:])
    whole.add(reader.head(key) is None, "it was there before its end")
    whole.add(not site.listed(reader, "parts"), "a listing had it before its end")
    upload.finish()
    found = reader.head(key)
    whole.add(found is not None and found.size == len(data), "it was not there at its end")
    yield whole.check(
        "parts",
        "An object that is sent in parts appears when the last one is there",
        "Clients could download a part of a file. Use another server.",
    )
    if found is not None:
        yield _check_ranges(site, key, data)
    given_up = site.key("parts/given-up")
    upload = writer.upload(given_up, PART)
    upload.write(data)
    abort = Count()
    try:
        upload.abort()
    except StoreError as error:
        abort.add(False, str(error))
    abort.add(reader.head(given_up) is None, "it is there")
    with contextlib.suppress(StoreError):  # a server that cannot be asked for them was reported with the rights
        abort.add(control is None or not control.abort_uploads_to(given_up), "its parts stayed in the bucket")
    yield abort.check(
        "abort",
        "An upload that is given up leaves nothing",
        "Refused uploads stay and are paid for. Let a lifecycle rule abort unfinished uploads after a day.",
        otherwise=Result.WARNING,
    )


def _check_ranges(site: Site, key: str, data: bytes) -> Check:
    reader, count = site.connections[-1], Count()
    for offset, size in ((0, 10), (PART - 5, 10), (len(data) - 10, 10), (len(data) - 3, 100), (17, 100_000)):
        read = reader.read_at(key, offset, size)
        count.add(read == data[offset : offset + size], f"{size} bytes from byte {offset} on were other ones")
    count.add(reader.begin_reading(key, 100) == (len(data), data[:100]), "the size in the answer was another one")
    return count.check(
        "ranges",
        "A part of an object can be read",
        "Downloads would be wrong or incomplete. Use another server, or take away what changes answers on the way.",
    )
