"""A directory, seen once more through a file system that takes its time: a network's delays without a network.

Run as root: `python -m benchmarks.slow_files DIRECTORY MOUNT_POINT MILLISECONDS NAMES`. It prints "ready", answers each
line on its input by a line with what it was asked so far (JSON), and unmounts when its input ends.

Theory of operation
-------------------
The kernel asks this process (FUSE), which asks the real directory and holds the answer back for the latency, as a
server answers that is so far away; any number of questions are on their way together. Read-only.

The kernel remembers what an NFS client does: directories, their attributes and names that do not exist for NAMES
seconds (acdirmin), so that a path costs no question for each of its folders; files and their attributes never. To open
a directory an NFS client asks one question, GETATTR, whatever it remembers (close-to-open); here that is the message
that opens it. Opening a file, and closing, cost nothing and are not counted. With NAMES 0 nothing is remembered: each
folder of a path costs a LOOKUP, and each look at attributes a GETATTR.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import heapq
import json
import os
import select
import signal
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable

from benchmarks import fuse
from benchmarks.fuse import Op, Request

_FREE = frozenset({Op.INIT, Op.OPEN, Op.RELEASE, Op.RELEASEDIR, Op.FLUSH, Op.STATFS, Op.DESTROY})
_ASKED_AS: dict[int, int] = {Op.OPENDIR: Op.GETATTR}
"""The question of an NFS client in place of another one."""
_MS_READ_ONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_MNT_DETACH = 2


def mount(device: int, mount_point: str) -> None:
    """Mount what the descriptor of /dev/fuse serves. Raises OSError."""
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _MS_READ_ONLY | _MS_NOSUID | _MS_NODEV
    if libc.mount(b"slow_files", os.fsencode(mount_point), b"fuse", flags, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), mount_point)


def unmount(mount_point: str) -> None:
    """Take it away, also while it is in use; nothing happens when nothing is mounted."""
    ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(mount_point), _MNT_DETACH)


class Files:
    """Answers requests from a directory. Its nodes are the real inodes' numbers."""

    def __init__(self, root: str, names: int) -> None:
        """`names`: seconds for which the kernel may trust a directory, and that a name does not exist."""
        self._paths = {fuse.ROOT: root}
        self._names = names
        self._listings: dict[int, list[tuple[str, int, int]]] = {}
        self._next_listing = 0
        self.asked: Counter[str] = Counter()
        """Questions so far, by kind."""
        self._answers: dict[int, Callable[[Request, str], bytes]] = {
            Op.INIT: lambda request, _: fuse.initialized(request.body),
            Op.LOOKUP: self._lookup,
            Op.GETATTR: self._getattr,
            Op.READLINK: lambda _, path: os.fsencode(os.readlink(path)),
            Op.OPEN: lambda _, path: fuse.opened(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)),
            Op.READ: self._read,
            Op.FLUSH: lambda _, __: b"",
            Op.RELEASE: self._release,
            Op.OPENDIR: self._opendir,
            Op.READDIR: self._readdir,
            Op.RELEASEDIR: self._releasedir,
            Op.STATFS: lambda _, path: fuse.statistics(os.statvfs(path)),
            Op.DESTROY: lambda _, __: b"",
        }

    def answer(self, request: Request) -> tuple[bytes, bool] | None:
        """The answer and whether it is to take its time; None when there is none."""
        if request.op in fuse.UNANSWERED:
            return None
        question = request.op not in _FREE
        try:
            body = self._body(request)
        except OSError as error:
            number = error.errno or errno.EIO
            if number == errno.ENOENT and request.op != Op.LOOKUP:
                number = errno.ESTALE  # the kernel then looks for the name once more
            message = fuse.answer(request.unique, error=number)
        else:
            message = fuse.answer(request.unique, body)
        if question:
            asked = _ASKED_AS.get(request.op, request.op)
            self.asked[Op(asked).name if asked in Op.__members__.values() else f"OP_{asked}"] += 1
        return message, question

    def _body(self, request: Request) -> bytes:
        answer = self._answers.get(request.op)
        if answer is None:
            raise OSError(errno.ENOSYS, "not in here")
        return answer(request, self._paths[request.node] if request.node else "")

    def _opendir(self, request: Request, path: str) -> bytes:
        os.lstat(path)
        self._next_listing += 1
        return fuse.opened(self._next_listing)

    def _releasedir(self, request: Request, path: str) -> bytes:
        self._listings.pop(fuse.handle(request.body), None)
        return b""

    def _read(self, request: Request, path: str) -> bytes:
        offset, size = fuse.part(request.body)
        return os.pread(fuse.handle(request.body), size, offset)

    def _release(self, request: Request, path: str) -> bytes:
        os.close(fuse.handle(request.body))
        return b""

    def _lookup(self, request: Request, directory: str) -> bytes:
        path = f"{directory}/{fuse.name(request.body)}"
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            if not self._names:
                raise
            return fuse.no_entry(self._names)
        self._paths[status.st_ino] = path
        return fuse.entry(status, status.st_ino, self._trust(status))

    def _getattr(self, request: Request, path: str) -> bytes:
        status = os.lstat(path)
        return fuse.attributes(status, request.node, self._trust(status))

    def _trust(self, status: os.stat_result) -> int:
        return self._names if stat.S_ISDIR(status.st_mode) else 0

    def _readdir(self, request: Request, path: str) -> bytes:
        number, (offset, size) = fuse.handle(request.body), fuse.part(request.body)
        if offset == 0 or number not in self._listings:
            with os.scandir(path) as entries:
                self._listings[number] = [
                    (entry.name, entry.inode(), stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else stat.S_IFREG)
                    for entry in entries
                ]
        return fuse.listing(self._listings[number], offset, size)


def serve(device: int, files: Files, latency: float) -> None:
    """Answer the kernel, and lines on the standard input, until that ends or the file system is unmounted."""
    late: list[tuple[float, int, bytes]] = []  # when to send which answer; a heap
    number = 0
    while True:
        pause = max(0.0, late[0][0] - time.monotonic()) if late else None
        readable, _, _ = select.select([device, 0], [], [], pause)
        while late and late[0][0] <= time.monotonic():
            _send(device, heapq.heappop(late)[2])
        if 0 in readable:
            if not os.read(0, 4096):
                return
            print(json.dumps(files.asked), flush=True)
        if device in readable:
            try:
                message = os.read(device, fuse.READ_BUFFER)
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in {errno.ENODEV, errno.ENOTCONN}:
                    return
                if error.errno in {errno.ENOENT, errno.EINTR}:  # the reader has given up
                    continue
                raise
            arrived = time.monotonic()
            answered = files.answer(fuse.request(message))
            if answered is None:
                continue
            made, takes_time = answered
            if takes_time and latency:
                number += 1
                heapq.heappush(late, (arrived + latency, number, made))
            else:
                _send(device, made)


def _send(device: int, message: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):  # the reader has given up
        os.write(device, message)


def main(root: str, mount_point: str, milliseconds: str, names: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    device = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    mount(device, mount_point)
    try:
        print("ready", flush=True)
        serve(device, Files(root, int(names)), float(milliseconds) / 1000)
    finally:
        unmount(mount_point)


if __name__ == "__main__":
    main(*sys.argv[1:])
