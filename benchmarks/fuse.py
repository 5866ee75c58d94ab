"""The messages of FUSE, as the kernel sends them on /dev/fuse and expects them there (fuse(4), linux/fuse.h).

Only what a file system needs that is read and never written. Everything is little-endian, as on the machines that the
benchmarks run on. The messages here are of protocol 7.31, which every kernel since 5.2 speaks.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

ROOT = 1
"""The node that is the mount point."""
READ_BUFFER = 16384
"""Bytes to read from the device at once; as long as nothing is written the kernel sends less."""


class Op(IntEnum):
    """The operation."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    READLINK = 5
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


UNANSWERED = frozenset({Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT})
"""Requests without an answer: the kernel neither waits for one nor takes one."""


class Request(NamedTuple):
    op: int
    """Of Op, or a number that is not there."""
    unique: int
    """The number that joins the answer to its request."""
    node: int
    body: bytes


_MAJOR, _MINOR = 7, 31
_PARALLEL_DIROPS = 1 << 18  # without it the kernel lets names of one directory be looked up one after the other
_ASYNC_READ = 1 << 0
_IN = struct.Struct("<IIQQIIIHH")
_OUT = struct.Struct("<IiQ")
_INIT = struct.Struct("<IIIIHHIIHHI28x")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("<QQQQII")
_ATTRIBUTES_HEAD = struct.Struct("<QII")
_OPENED = struct.Struct("<QII")
_READ = struct.Struct("<QQI")
_STATFS = struct.Struct("<QQQQQIIII24x")
_DIRENT = struct.Struct("<QQII")


def request(message: bytes) -> Request:
    """One message of the kernel."""
    _, op, unique, node, *_ = _IN.unpack_from(message)
    return Request(op, unique, node, message[_IN.size :])


def answer(unique: int, body: bytes = b"", error: int = 0) -> bytes:
    """The answer to a request: a body, or an error number."""
    return _OUT.pack(_OUT.size + len(body), -error, unique) + body


def initialized(body: bytes) -> bytes:
    """The answer to INIT; it agrees on the version and on what either side can do."""
    offered = struct.unpack_from("<IIII", body)[3]
    flags = offered & (_PARALLEL_DIROPS | _ASYNC_READ)
    return _INIT.pack(_MAJOR, _MINOR, 131072, flags, 64, 48, 4096, 1, 0, 0, 0)


def name(body: bytes) -> str:
    """The name that LOOKUP asks for."""
    return os.fsdecode(body.rstrip(b"\0"))


def _attributes(status: os.stat_result, node: int) -> bytes:
    times = [status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns]
    return _ATTRIBUTES.pack(
        node,
        status.st_size,
        status.st_blocks,
        *(time // 1_000_000_000 for time in times),
        *(time % 1_000_000_000 for time in times),
        status.st_mode,
        status.st_nlink,
        status.st_uid,
        status.st_gid,
        0,
        4096,
        0,
    )


def attributes(status: os.stat_result, node: int, seconds: int) -> bytes:
    """Attributes that the kernel may trust for `seconds`."""
    return _ATTRIBUTES_HEAD.pack(seconds, 0, 0) + _attributes(status, node)


def entry(status: os.stat_result, node: int, seconds: int) -> bytes:
    """The file behind a name; the kernel may trust the name and the attributes for `seconds`."""
    return _ENTRY.pack(node, 0, seconds, seconds, 0, 0) + _attributes(status, node)


def no_entry(seconds: int) -> bytes:
    """That a name does not exist, which the kernel may trust for `seconds`."""
    return _ENTRY.pack(0, 0, seconds, 0, 0, 0) + bytes(_ATTRIBUTES.size)


def opened(handle: int) -> bytes:
    return _OPENED.pack(handle, 0, 0)


def handle(body: bytes) -> int:
    """The one that READ, READDIR, RELEASE and RELEASEDIR name."""
    (number,) = struct.unpack_from("<Q", body)
    return int(number)


def part(body: bytes) -> tuple[int, int]:
    """(offset, size) that READ and READDIR ask for."""
    _, offset, size = _READ.unpack_from(body)
    return int(offset), int(size)


def statistics(found: os.statvfs_result) -> bytes:
    return _STATFS.pack(
        found.f_blocks,
        found.f_bfree,
        found.f_bavail,
        found.f_files,
        found.f_ffree,
        found.f_bsize,
        found.f_namemax,
        found.f_frsize,
        0,
    )


def listing(entries: Iterable[tuple[str, int, int]], offset: int, size: int) -> bytes:
    """As many of the entries (name, inode, mode) from a place on as go into `size` bytes; b"" at the end."""
    made = b""
    for place, (entry_name, inode, mode) in enumerate(entries):
        if place < offset:
            continue
        raw = os.fsencode(entry_name)
        record = _DIRENT.pack(inode, place + 1, len(raw), stat.S_IFMT(mode) >> 12) + raw
        record += bytes(-len(record) % 8)
        if len(made) + len(record) > size:
            break
        made += record
    return made
