"""System calls that Python lacks: the type of a file system (statfs(2)), cached attributes (statx(2)), and early
writeback (sync_file_range(2)).
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

# statfs(2) f_type numbers of file systems that live on this machine and answer from this kernel alone.
# Everything else, known or not, gets the careful treatment of a network file system.
_LOCAL_TYPES = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x794C7630: "overlay",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x00C0FFEE: "hostfs",
}
_LAYERS = {"overlay", "hostfs"}
"""Local types that show another file system's attributes, and may remember them."""
_NETWORK_TYPES = {0x6969: "nfs", 0xFF534D42: "cifs", 0xFE534D42: "smb2", 0x65735546: "fuse", 0x01021997: "9p"}

_TESTED = {*_LOCAL_TYPES.values(), "nfs", "unknown"}

_AT_EMPTY_PATH = 0x1000
_AT_STATX_DONT_SYNC = 0x4000
_STATX_TYPE = 0x0001
_STATX_MTIME = 0x0040
_STATX_CTIME = 0x0080
_SYNC_FILE_RANGE_WRITE = 2
_NOT_DONE = {errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EOPNOTSUPP, errno.EPERM}

_LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None
_sync_file_range = getattr(_libc, "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class _StatxTimestamp(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_uint32), ("reserved", ctypes.c_int32))


class _Statx(ctypes.Structure):
    """struct statx of statx(2), as far as it is read here; the tail is room for the kernel."""

    _fields_ = (
        ("mask", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("attributes", ctypes.c_uint64),
        ("links", ctypes.c_uint32),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("mode", ctypes.c_uint16),
        ("padding", ctypes.c_uint16),
        ("inode", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("blocks", ctypes.c_uint64),
        ("attributes_mask", ctypes.c_uint64),
        ("atime", _StatxTimestamp),
        ("btime", _StatxTimestamp),
        ("ctime", _StatxTimestamp),
        ("mtime", _StatxTimestamp),
        ("tail", ctypes.c_uint8 * 128),
    )


def filesystem_type(path: str) -> tuple[str, bool]:
    """The name of the file system that holds `path`, and whether it is local to this machine.

    Where the type cannot be asked for (not Linux), the answer is ("unknown", True): quire's promise over network
    file systems is made for Linux clients only.
    """
    if _libc is None:
        return "unknown", True
    buffer = ctypes.create_string_buffer(256)  # struct statfs is 120 bytes on 64-bit Linux
    if _libc.statfs(os.fsencode(path), buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    magic = int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) & 0xFFFFFFFF
    if magic in _LOCAL_TYPES:
        return _LOCAL_TYPES[magic], True
    return _NETWORK_TYPES.get(magic, f"type {magic:#x}"), False


def is_network(path: str) -> bool:
    """Whether `path` is on a network file system. True also where that is not known: more care does no harm."""
    try:
        return not filesystem_type(path)[1]
    except (OSError, ValueError):  # ValueError: a path with NUL
        return True


def is_tested(kind: str) -> bool:
    """Whether the promise was tested on file systems of this type (as `filesystem_type` names it).

    Others, those of FUSE above all (sshfs, bindfs), may remember what another machine has changed since.
    """
    return kind in _TESTED


def own_device(path: str) -> int | None:
    """The device number of the file system of `path`, if it is one that this kernel alone keeps; else None."""
    try:
        kind, is_local = filesystem_type(path)
        return os.stat(path).st_dev if is_local and kind in _LOCAL_TYPES.values() and kind not in _LAYERS else None
    except OSError:
        return None


def cached_times(fd: int) -> tuple[int, int] | None:
    """(mtime_ns, ctime_ns) of an open file as this kernel holds them, if it holds them to be valid; else None.

    Asks for the type only, and forbids to ask the server (AT_STATX_DONT_SYNC): an NFS client then fills in what it
    has and marks in the mask what it may stand by. Times missing from the mask were invalidated after they came.
    """
    if _libc is None or not hasattr(_libc, "statx"):
        status = os.fstat(fd)
        return status.st_mtime_ns, status.st_ctime_ns
    result = _Statx()
    if _libc.statx(fd, b"", _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC, _STATX_TYPE, ctypes.byref(result)) != 0:
        return None
    if result.mask & (_STATX_MTIME | _STATX_CTIME) != _STATX_MTIME | _STATX_CTIME:
        return None
    return (
        result.mtime.seconds * 1_000_000_000 + result.mtime.nanoseconds,
        result.ctime.seconds * 1_000_000_000 + result.ctime.nanoseconds,
    )


def begin_writing(fd: int) -> None:
    """Let the file system begin to write what is in memory of a file, without waiting for it.

    That promises nothing, and is left out where it cannot be done: an fsync has to follow. It finds less to do then,
    and another one before it may have done a part of its work.
    Raises OSError for an error of writing, which the later fsync may not report again.
    """
    if _sync_file_range is not None and _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE) != 0:
        number = ctypes.get_errno()
        if number not in _NOT_DONE:
            raise OSError(number, os.strerror(number))
