"""The record of a mirrored project: the page that another index gave last, when it was confirmed, and the worker that
asks for the next one. Pure functions from document to document, but for `read_content`.

Theory of operation
-------------------
All workers share the record, and only ever replace it with a later one (compare-and-swap), so they never disagree, and
no answer goes back behind one that was given. A page is served without asking while it is fresh (`Ages.fresh`). Then
one worker takes the lease, asks the other index, and writes the result; meanwhile the others serve the page that is
there. A lease ends by itself when its worker dies. The result of a worker that was slower than its lease is discarded:
its swap fails, since another worker has written after it read.

A page that is somewhat stale is served at once and asked for behind the answer. After a longer time a request waits for
the new page, as long as `Ages.patience` says. When the other index cannot be reached, the page is served for as long as
`Ages.stale` says, and the next attempt is at a time that all workers share.

Some indexes number their changes (a serial). A page with a lower number than the one that is kept is of an older state,
as a cache between here and there may have it: it is not taken.

Small pages stand in the record itself, larger ones in a blob beside it (`quire.upstream.page_store`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from json import JSONDecoder
from typing import Final

import msgspec
import zstandard

from quire.domain.errors import DamagedRecord
from quire.domain.project import Status
from quire.domain.structs import decode_as
from quire.store.contracts import Blobs
from quire.upstream.pages import UpstreamFile, UpstreamPage

FORMAT: Final = 1
"""A document with a higher number is as good as none: it is derived, and asked for again."""
_LEVEL: Final = 1
"""Of the compression. Most of a page are digests: higher levels take longer and find no more."""
MAX_CONTENT_BYTES: Final = 128 * 1024 * 1024
"""Of a page as it is kept, unpacked."""
MOST_READ_INLINE: Final = 256 * 1024
"""Bytes of the blob of a page that are unpacked on an event loop, which takes about a millisecond."""
MOST_UNPACKED_INLINE: Final = 4 * 1024 * 1024
"""Bytes of such a page, unpacked."""
INLINE_BYTES: Final = 16 * 1024
"""A page of up to this size stands in the record."""
LEASE: Final = timedelta(seconds=40)
"""A worker that asks must have written the result within this time."""
LONGEST_PAUSE: Final = timedelta(minutes=10)
"""Between attempts while the other index fails."""
DISTRUST: Final = timedelta(hours=24)
"""For which the other index must have given nothing but older pages, until one is taken."""
_OLDER: Final = "The index gives an older page"
_FIRST_PAUSE: Final = timedelta(seconds=5)
_MOST_SAID: Final = 300
MOST_MADE: Final = 2000
"""Files of a project with metadata that was made here; the record has an entry of each."""
_SUM: Final = 32
_SAID: Final = re.compile(rb'\{\n "sum": "([0-9a-f]{32})",|\{\s*"(?:format|confirmed)"')
"""The begin of a record; those of older versions, which were always durable, have no digest."""
_FILE_BEGIN: Final = b'{"filename":'


@dataclass(frozen=True, slots=True)
class Ages:
    """How old a page may be."""

    fresh: timedelta = timedelta(minutes=10)
    """Served without asking."""
    behind: timedelta = timedelta(minutes=30)
    """Served at once, and asked for behind the answer."""
    stale: timedelta = timedelta(days=30)
    """Served while the other index cannot be reached."""
    patience: float = 3.0
    """Seconds that a request waits for a page which is older than `behind`, before it is served."""


class Lease(msgspec.Struct, frozen=True):
    """One worker asks."""

    holder: str
    """A nonce of that attempt."""
    until: datetime


class Trouble(msgspec.Struct, frozen=True):
    """The other index could not be asked, or gave no usable answer."""

    said: str
    """A sentence."""
    since: datetime
    times: int
    """Attempts since then."""
    again: datetime
    """No worker asks before this time."""


class Validators(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of the last answer (RFC 9110, 8.8), for the next request."""

    etag: str | None = None
    last_modified: str | None = None


class MirroredPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The document. Immutable: a change makes a new one."""

    format: int = FORMAT
    confirmed: datetime
    """When the other index last said that this is its page."""
    content: str | None = None
    """Names the page: the SHA-256 of its bytes. None where the other index has no such project."""
    inline: UpstreamPage | None = None
    """The page itself, when it is small."""
    blob: str | None = None
    """The name of its blob, when it is larger. No two records ever name the same blob."""
    is_active: bool = False
    """Whether the project is known to have the status `active`, so that a page in a blob can be served without being
    read. Records of versions that did not know it say False."""
    validators: Validators = Validators()
    serial: int | None = None
    """See `UpstreamPage.serial`; the highest one so far, also when the project is gone."""
    made: dict[str, str] = {}
    """The SHA-256 of metadata that was made here, by that of its file (`quire.upstream.making`)."""
    lease: Lease | None = None
    trouble: Trouble | None = None

    @property
    def is_unread(self) -> bool:
        """Whether it can be served without reading its blob."""
        return self.blob is not None and self.content is not None and self.is_active


class Need(Enum):
    """The step that a page takes before it is served."""

    NOTHING = auto()
    BEHIND = auto()
    """It is served; the other index is asked behind the answer."""
    AHEAD = auto()
    """The other index is asked first; after some patience it is served as it is."""
    UNUSABLE = auto()
    """It is too old to be served."""


def encode_page(page: MirroredPage) -> bytes:
    """The record's bytes. They begin with a digest of those behind it: a record that was not durable when the power
    failed may be damaged in any way."""
    rest = msgspec.json.format(msgspec.json.encode(page), indent=1)[1:] + b"\n"
    return b'{\n "sum": "%b",%b' % (_sum(rest), rest)


def _sum(rest: bytes) -> bytes:
    return hashlib.sha256(rest).hexdigest()[:_SUM].encode()


def decode_page(data: bytes) -> MirroredPage:
    """Raises DamagedRecord for bytes that this version does not understand."""
    said = _SAID.match(data)
    if said is None or (said[1] is not None and said[1] != _sum(data[said.end() :])):
        raise DamagedRecord("The page of another index has bytes that were not written.")
    try:
        page = decode_as(data, MirroredPage)
        if page.format > FORMAT:
            raise DamagedRecord(f"The page has format {page.format}, written by a newer quire.")
        for time in (page.confirmed, *((page.lease.until,) if page.lease is not None else ())):
            if time.tzinfo is None:
                raise DamagedRecord("The page has a time without a zone.")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedRecord(f"The page of another index is not readable ({error}).") from error
    return page


def decode_content(data: bytes) -> UpstreamPage:
    """Raises DamagedRecord for other bytes than those of a `Content`."""
    try:
        return decode_as(data, UpstreamPage)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedRecord(f"The page of another index is not readable ({error}).") from error


def read_content(blobs: Blobs, key: str, page: MirroredPage) -> UpstreamPage | None:
    """The page itself; None where the other index has no such project. Blocks. `key`: of its record.

    Raises BlobMissing when it was replaced meanwhile, DamagedRecord, StoreError.
    """
    if page.content is None:
        return None
    if page.blob is None:
        if page.inline is None:
            raise DamagedRecord(f"The page {key} is missing.")
        return page.inline
    with blobs.open(f"{key}/{page.blob}") as opened:
        packed = opened.read()
    return decode_content(_unpacked(packed, key))


def read_file(
    blobs: Blobs, key: str, page: MirroredPage, filename: str, *, inline: bool = False
) -> UpstreamFile | None:
    """One file of a page in a blob; None when it has none of this name. Blocks. Raises as `read_content`. `inline`:
    also None for a page that is not small and in the system's memory."""
    if page.blob is None:
        return None
    with blobs.open(f"{key}/{page.blob}") as opened:
        packed = (opened.read_inline() if opened.size <= MOST_READ_INLINE else None) if inline else opened.read()
    if inline and packed is not None and not _is_small(packed):
        return None
    return None if packed is None else find_file(_unpacked(packed, key), filename)


def pack(content: Content) -> bytes:
    """The bytes of a page's blob. They carry a checksum, as the record does."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(content.data)


def _is_small(packed: bytes) -> bool:
    """Whether these bytes are unpacked at once: another index may write pages that are small only while packed."""
    try:
        return bool(zstandard.get_frame_parameters(packed).content_size <= MOST_UNPACKED_INLINE)
    except zstandard.ZstdError:
        return True  # `_unpacked` says that they are damaged


def _unpacked(packed: bytes, key: str) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=MAX_CONTENT_BYTES)
    except zstandard.ZstdError as error:
        raise DamagedRecord(f"The page {key} is damaged ({error}).") from error


def find_file(data: bytes, filename: str) -> UpstreamFile | None:
    """One file of a page in the bytes of a `Content`, which are not decoded for it. Raises DamagedRecord.

    The name is the first field of a file, and of no other object; the quotes of such text in a string are escaped.
    """
    begin = data.find(_FILE_BEGIN + msgspec.json.encode(filename) + b",")
    if begin < 0:
        return None
    end = data.find(b"," + _FILE_BEGIN, begin)
    try:
        if end < 0:  # the last one
            end = begin + JSONDecoder().raw_decode(data[begin:].decode())[1]
        return decode_as(data[begin:end], UpstreamFile)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedRecord(f"The page of another index is not readable ({error}).") from error


# -- decisions --------------------------------------------------------------------------------------------------------


def need(page: MirroredPage, ages: Ages, now: datetime) -> Need:
    """The step before the page is served. While another worker asks, or none may ask, it is served as it is. Where no
    age is fresh (`Ages.fresh` of zero), every page is asked for."""
    age = _age(page, ages, now)
    if age < ages.fresh:
        return Need.NOTHING
    if age > max(ages.stale, ages.fresh):
        return Need.UNUSABLE
    if is_leased(page, now) or is_pausing(page, now):
        return Need.NOTHING
    return Need.BEHIND if age < ages.behind else Need.AHEAD


def _age(page: MirroredPage, ages: Ages, now: datetime) -> timedelta:
    """How old the page is. A time of confirmation that lies ahead, by a clock that was wrong, counts as this very
    moment; one that lies ahead by more than the clocks of workers differ says nothing: the page may be of any age, and
    is asked for first."""
    if is_ahead(page.confirmed, now):
        return max(ages.behind, ages.fresh) + timedelta.resolution
    return max(now - page.confirmed, timedelta())


def is_ahead(confirmed: datetime, now: datetime) -> bool:
    """Whether a time is one of a clock that was wrong."""
    return confirmed - now > LEASE


def is_leased(page: MirroredPage, now: datetime) -> bool:
    """Whether a worker asks. A lease that would last longer than any is one of a wrong clock, and counts as over."""
    return page.lease is not None and timedelta() < page.lease.until - now <= LEASE


def is_pausing(page: MirroredPage, now: datetime) -> bool:
    """Whether no worker may ask, after failures."""
    return page.trouble is not None and timedelta() < page.trouble.again - now <= LONGEST_PAUSE


def fresh_until(page: MirroredPage, ages: Ages, now: datetime) -> datetime:
    """Until when `need` says NOTHING while the record is unchanged; `now` for a page that needs something."""
    if need(page, ages, now) is not Need.NOTHING:
        return now
    confirmed = now - _age(page, ages, now)
    ends = [confirmed + ages.fresh]
    if is_leased(page, now) and page.lease is not None:
        ends.append(page.lease.until)
    if is_pausing(page, now) and page.trouble is not None:
        ends.append(page.trouble.again)
    return min(max(ends), confirmed + max(ages.stale, ages.fresh))


# -- changes ----------------------------------------------------------------------------------------------------------


def with_lease(page: MirroredPage, holder: str, now: datetime) -> MirroredPage:
    """One worker asks from now on."""
    return msgspec.structs.replace(page, lease=Lease(holder, now + LEASE))


def confirmed(page: MirroredPage, validators: Validators, now: datetime) -> MirroredPage:
    """The other index said that nothing changed. Validators that the answer repeats replace the old ones."""
    kept = page.validators
    return msgspec.structs.replace(
        page,
        confirmed=now,
        validators=Validators(validators.etag or kept.etag, validators.last_modified or kept.last_modified),
        lease=None,
        trouble=None,
    )


@dataclass(frozen=True, slots=True)
class Content:
    """A page as it is kept."""

    name: str
    """See `MirroredPage.content`."""
    data: bytes
    page: UpstreamPage
    """Without the serial number, which is no part of the bytes."""
    serial: int | None

    @classmethod
    def of(cls, page: UpstreamPage) -> Content:
        """Equal for pages that say the same."""
        serial, page = page.serial, msgspec.structs.replace(page, serial=None)
        data = msgspec.json.encode(page)
        return cls(hashlib.sha256(data).hexdigest(), data, page, serial)

    @property
    def is_small(self) -> bool:
        """Whether it stands in the record itself."""
        return len(self.data) <= INLINE_BYTES


def found(
    before: MirroredPage | None, content: Content, blob: str | None, validators: Validators, now: datetime
) -> MirroredPage:
    """The other index gave a page. `blob`: the name of its new blob; None for a small page, and for one that is kept
    already."""
    is_kept = before is not None and before.content == content.name
    return MirroredPage(
        confirmed=now,
        content=content.name,
        inline=content.page if content.is_small else None,
        blob=before.blob if is_kept and before is not None else blob,
        is_active=content.page.status is Status.ACTIVE,
        validators=validators,
        serial=content.serial if is_older(before, content.serial) else _highest(before, content.serial),
        made=_still_offered(before, content.page),
    )


def _still_offered(before: MirroredPage | None, page: UpstreamPage) -> dict[str, str]:
    """The metadata made of files that the page has."""
    if before is None or not before.made:
        return {}
    offered = {each.hashes.get("sha256") for each in page.files}
    return {file: digest for file, digest in before.made.items() if file in offered}


def with_made(page: MirroredPage, file: str, digest: str | None) -> MirroredPage:
    """With the metadata of a file that was made; None: without any. The very page if nothing is to be changed."""
    made = {name: each for name, each in page.made.items() if name != file}
    if digest is not None and page.content is not None and len(made) < MOST_MADE:
        made[file] = digest
    return page if made == page.made else msgspec.structs.replace(page, made=made)


def gone(before: MirroredPage | None, now: datetime) -> MirroredPage:
    """The other index has no such project (any more)."""
    return MirroredPage(confirmed=now, serial=_highest(before, None))


def lost(serial: int | None) -> MirroredPage | None:
    """The remains of a page that cannot be read any more. `serial`: its number; None without one."""
    return None if serial is None else MirroredPage(confirmed=datetime.min.replace(tzinfo=UTC), serial=serial)


def is_older(before: MirroredPage | None, serial: int | None) -> bool:
    """Whether a page with this serial is of an older state than the one that is kept."""
    return before is not None and before.serial is not None and serial is not None and serial < before.serial


_WRONG: Final = timedelta(days=1)


def older_page(name: str) -> str:
    """The sentence about a page that is not taken, since it is of an older state."""
    return f"{_OLDER} of {name} than before."


def distrusts_serial(before: MirroredPage | None, now: datetime) -> bool:
    """Whether the number of the page that is kept counts no more: the other index has given nothing but older pages for
    so long that the number itself was wrong, or the index was made again."""
    trouble = before.trouble if before is not None else None
    return trouble is not None and trouble.said.startswith(_OLDER) and now - trouble.since >= DISTRUST


def is_newer(before: MirroredPage | None, serial: int | None, confirmed: datetime, now: datetime) -> bool:
    """Whether a page of another mirror of the same index says more than the one that is kept: by the serial numbers
    where both have one, and they differ; else by the time at which the other index confirmed them. A time a day ahead
    is that of a wrong clock and says nothing; one that is less ahead says that the page is of about now."""
    if before is None:
        return True
    if before.serial is not None and serial is not None and before.serial != serial:
        return serial > before.serial
    return confirmed > before.confirmed or before.confirmed - now > _WRONG


def failed(before: MirroredPage, said: str, wait: float, now: datetime) -> MirroredPage:
    """The other index could not be asked. `wait`: seconds that it asked for, 0.0 for none."""
    times = before.trouble.times + 1 if before.trouble is not None else 1
    is_same = before.trouble is not None and before.trouble.said.startswith(_OLDER) == said.startswith(_OLDER)
    since = before.trouble.since if before.trouble is not None and is_same else now
    pause = max(_FIRST_PAUSE * 2 ** min(times - 1, 10), timedelta(seconds=min(wait, 1e6)))
    trouble = Trouble(said[:_MOST_SAID], since, times, now + min(pause, LONGEST_PAUSE))
    return msgspec.structs.replace(before, lease=None, trouble=trouble)


def _highest(before: MirroredPage | None, serial: int | None) -> int | None:
    known = before.serial if before is not None else None
    return max((each for each in (known, serial) if each is not None), default=None)


def now_utc() -> datetime:
    """The time of this worker's clock."""
    return datetime.now(UTC)
