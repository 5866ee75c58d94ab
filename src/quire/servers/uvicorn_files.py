"""Files on uvicorn's connections, handed to the kernel: the ASGI extension `http.response.zerocopysend`.

Theory of operation. A file that is sent in pieces is copied twice and passes through a thread, the event loop and
uvicorn's parser for each of them. sendfile(2) has the kernel take it from its own memory. The bytes go past the
transport, so three parties have to agree:

- h11 counts the body. It gets a placeholder that has a length and no bytes (`send_with_data_passthrough`), and so
  knows when the response is whole, and whether the connection can be used again.
- The transport may still have bytes of its own, the head at least. They have to leave first: its write buffer is
  awaited empty. No other code writes until the response is complete.
- The event loop does not let others wait for a transport's descriptor. It waits for a duplicate, which is the same
  socket; so the socket stays open as long as the duplicate does, which is why that is closed as soon as the transport
  has lost the connection.

sendfile(2) does not wait for a client, since the socket is non-blocking; for the disk, or the network before it, it
waits as long as that takes. So there are two ways to call it:

- The event loop calls it for bytes that are in the system's memory, a bounded piece at a time, whenever the socket has
  room. Before each piece some bytes of it are read in a way that never waits (RWF_NOWAIT). Local file systems can
  promise that; NFS and FUSE cannot, and say so, so a volume that hangs never holds up the event loop.
- A thread calls it for all others, for a bounded piece. It returns when the socket takes no more, and a client that has
  just taken much takes no more for some milliseconds either. A thread that is still at it when its request was
  cancelled has descriptors of its own: their numbers cannot become those of others meanwhile.

To hand a piece to a thread and back costs more than to send it, so files that are downloaded often never need one.

To a client on the same machine, as a proxy before quire may be, the event loop also bounds the bytes in the socket
beyond the client's window (TCP_NOTSENT_LOWAT). Without a bound up to megabytes wait there, and the kernel
sends them while it processes the client's acknowledgements, in the client's system calls. To other machines nothing is
bounded: there the bound would wake the event loop more often, and gain nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import h11

from quire.http.fast.responses import SENT
from quire.http.simple.files import IN_THREAD
from quire.process.in_thread import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

    from quire.http.fast.responses import Download

PIECE_BYTES: Final = 4 * 1024 * 1024
"""Limit of bytes that a thread sends before other downloads."""
_FAST_BYTES: Final = 64 * 1024
"""A client that takes so many bytes at once will take more in a moment."""
_PATIENCE_MS: Final = 5
"""How long a thread waits for that."""
LOOP_BYTES: Final = 256 * 1024
"""Limit of bytes that the event loop sends before other work."""
_PROBE_STRIDE: Final = 128 * 1024
"""From one byte that is asked for to the next; the system reads files ahead in steps of this size or more."""
_PROBE_SECONDS: Final = 1.0
"""How long bytes that were found in memory count as there: a client may make the next piece wait for minutes."""
_UNSENT_BYTES: Final = 16 * 1024
"""How much may wait in a socket until its client's window opens, where the event loop sends on one machine."""
_COPIED_BYTES: Final = 256 * 1024
_CANNOT: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""The errors of sendfile(2) for files of some file systems, which have to be copied."""


def can_send_files(transport: asyncio.Transport) -> bool:
    """Whether a connection's bytes may go past its transport. Those of TLS may not, which the transport encrypts."""
    return (
        hasattr(os, "sendfile")
        and transport.get_extra_info("sslcontext") is None
        and transport.get_extra_info("socket") is not None
    )


class FileSender:
    """Sends files on one connection, one at a time."""

    def __init__(self, transport: asyncio.Transport, flow: FlowControl, loop: asyncio.AbstractEventLoop) -> None:
        """`flow`: the connection's flow control: whether the transport's buffer is full or empty."""
        self._transport = transport
        self._flow = flow
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._is_lost = False
        self._sent = 0
        """Of the file that is being sent, or was last."""

    async def send_download(self, download: Download) -> None:
        """See `quire.servers.fast_path_connection.Connection.send_file`: all that follows a head which was written."""
        self._sent, problem = 0, ""
        blob = download.blob
        try:
            if await self._empty_buffer(None) and blob.descriptor is not None:
                await self._send_bytes(None, blob.descriptor, 0, blob.size, download.in_thread)
        except OSError as error:
            problem = str(error)
        finally:
            download.finish(self._sent, problem)
        if self._sent < blob.size:
            self._transport.close()

    async def send(self, cycle: RequestResponseCycle, message: Message) -> None:
        """As uvicorn's own `send`, for a message `quire.http.simple.files.ZEROCOPY` whose response was begun.

        When the client goes away it returns. Raises OSError when the file cannot be read, or has fewer bytes than were
        announced: the response then stays incomplete, and the connection must be closed.
        """
        message[SENT] = 0
        if self._is_over(cycle):
            # of a request that was sent ahead uvicorn does not know it: it notifies the one that ran when the client
            # went
            cycle.disconnected = True
            return
        if cycle.scope["method"] != "HEAD":
            descriptor = message["file"].fileno()
            start = message.get("offset")
            if start is None:
                start = os.lseek(descriptor, 0, os.SEEK_CUR)
            count = message.get("count")
            if count is None:
                count = os.fstat(descriptor).st_size - start
            body: Any = _Placeholder(count)  # where h11's types want bytes, which its documentation does not
            self._sent = 0
            try:
                for part in cycle.conn.send_with_data_passthrough(h11.Data(data=body)) or ():
                    if part is not body:
                        self._transport.write(part)  # the frame of a chunk
                    elif await self._empty_buffer(cycle):
                        run = message.get(IN_THREAD, partial(in_thread, None))
                        await self._send_bytes(cycle, descriptor, start, count, run)
            finally:
                message[SENT] = self._sent
        await cycle.send({"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)})

    def connection_lost(self) -> None:
        """To be called when it was."""
        self._is_lost = True
        _wake(self._waiter)

    def _is_over(self, cycle: RequestResponseCycle | None) -> bool:
        return self._is_lost or self._transport.is_closing() or (cycle is not None and cycle.disconnected)

    async def _empty_buffer(self, cycle: RequestResponseCycle | None) -> bool:
        """Wait until all that was written before has been handed to the kernel; False when that cannot be any more."""
        if self._transport.get_write_buffer_size():
            while not self._is_over(cycle) and self._transport.get_write_buffer_size():
                self._transport.set_write_buffer_limits(high=0)  # notifies the flow now, and again when it is empty
                await self._flow.drain()
                await asyncio.sleep(0)  # let other tasks run
            if not self._is_over(cycle):
                self._transport.set_write_buffer_limits()
        return not self._is_over(cycle)

    async def _send_bytes(
        self, cycle: RequestResponseCycle | None, descriptor: int, start: int, count: int, in_thread: Any
    ) -> None:
        ends = Ends(self._transport.get_extra_info("socket").fileno(), descriptor)
        stop = start + count
        try:
            while start < stop and not self._is_over(cycle):
                start = await self._send_from_memory(ends, start, stop)
                if start == stop or self._is_over(cycle):
                    break
                wanted = min(PIECE_BYTES, stop - start)
                sent = await in_thread(ends.send, start, wanted)
                if sent == 0:
                    raise OSError("the file became shorter")
                start += max(sent, 0)
                self._sent += max(sent, 0)
                if sent < wanted and start < stop and not self._is_over(cycle):
                    await self._until_writable(ends.socket)
        except ConnectionError:
            self._transport.abort()
            await self._until_lost()
        finally:
            ends.close()

    async def _send_from_memory(self, ends: Ends, start: int, stop: int) -> int:
        """Send from the event loop, as long as the bytes are in memory and the connection lasts. Where that ended.

        Raises OSError as `Ends.send`."""
        transfer = _FromMemory(ends, start, stop)
        if not transfer.has_next():
            return start
        bounds_unsent = stop - start > LOOP_BYTES and ends.are_on_one_machine()
        if bounds_unsent:
            ends.bound_unsent(_UNSENT_BYTES)
        try:
            if not transfer.send_next():
                waiter = self._waiter = self._loop.create_future()
                self._loop.add_writer(ends.socket, transfer.go_on, waiter)
                try:
                    await waiter
                finally:
                    self._loop.remove_writer(ends.socket)
        finally:
            self._sent += transfer.position - start
            if bounds_unsent:
                ends.bound_unsent(0)
        return transfer.position

    async def _until_writable(self, descriptor: int) -> None:
        """Or until the connection is lost."""
        self._waiter = self._loop.create_future()
        self._loop.add_writer(descriptor, _wake, self._waiter)
        try:
            await self._waiter
        finally:
            self._loop.remove_writer(descriptor)

    async def _until_lost(self) -> None:
        while not self._is_lost:
            self._waiter = self._loop.create_future()
            await self._waiter


class _FromMemory:
    """Bytes of a file on their way, as far as they are in the system's memory. Belongs to the event loop."""

    def __init__(self, ends: Ends, start: int, stop: int) -> None:
        self._ends = ends
        self._stop = stop
        self._probed = start
        self._probed_at = 0.0
        self.position = start
        """Of the next byte to be sent."""

    def has_next(self) -> bool:
        """Whether there is a next piece, and it is in memory."""
        now = time.monotonic()
        if self.position == self._probed or now - self._probed_at > _PROBE_SECONDS:
            upto = min(self._stop, self.position + LOOP_BYTES)
            is_there = self._ends.is_in_memory(self.position, upto)
            self._probed, self._probed_at = upto if is_there else self.position, now
        return self.position < self._probed

    def send_next(self) -> bool:
        """Send as much of the next piece as the socket takes now; whether nothing follows that is in memory.

        Raises OSError as `Ends.send`, also when the file has fewer bytes."""
        if not self.has_next():
            return True
        try:
            sent = self._ends.send_once(self.position, self._probed - self.position)
        except BlockingIOError:
            return False
        if sent == 0:
            raise OSError("the file became shorter")
        self.position += sent
        return self.position == self._stop

    def go_on(self, waiter: asyncio.Future[None]) -> None:
        """Called whenever the socket has room. The waiter is resolved when no further piece is in memory."""
        if waiter.done():
            return
        try:
            if self.send_next():
                waiter.set_result(None)
        except OSError as error:
            waiter.set_exception(error)


class _Placeholder:
    """The length of a body whose bytes are sent outside of h11."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


class Ends:
    """The two ends of a transfer, as descriptors of their own. Open until `close`, and until no thread uses them."""

    def __init__(self, socket: int, file: int) -> None:
        """Raises OSError when there are too many open files."""
        self.socket = os.dup(socket)
        try:
            self._file = os.dup(file)
        except OSError:
            os.close(self.socket)
            raise
        self._lock = threading.Lock()
        self._is_used = False
        self._is_closed = False

    def send(self, start: int, count: int) -> int:
        """Send up to `count` bytes of the file from `start` on, from a thread. How many went: 0 when the file has none
        there, -1 when the socket takes none now. Raises OSError; ConnectionError when the client is gone."""
        with self._lock:
            if self._is_closed:
                return -1  # cancelled before the thread began: the result is not used
            self._is_used = True
        try:
            return self._transfer(start, count)
        finally:
            self._end_use()

    def is_in_memory(self, start: int, stop: int) -> bool:
        """Whether these bytes seem to be in the system's memory. False also where the system does not report it."""
        byte, file = [bytearray(1)], self._file
        try:
            for position in (*range(start, stop, _PROBE_STRIDE), stop - 1):
                if os.preadv(file, byte, position, os.RWF_NOWAIT) != 1:
                    return False
        except (OSError, AttributeError):  # not there, or a file system or a system that cannot promise not to wait
            return False
        return True

    def bound_unsent(self, size: int) -> None:
        """Bound the bytes that wait in the socket until the client's window opens. 0: as the system has it."""
        with self._handle() as handle, contextlib.suppress(OSError, AttributeError):  # no TCP, or an older system
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)

    def are_on_one_machine(self) -> bool:
        """Whether the client has the address that it talks to."""
        with self._handle() as handle, contextlib.suppress(OSError):  # the client is gone
            return bool(handle.getpeername()[:1] == handle.getsockname()[:1])
        return False

    def _is_connected(self) -> bool:
        with self._handle() as handle, contextlib.suppress(OSError):
            handle.getpeername()
            return True
        return False

    @contextlib.contextmanager
    def _handle(self) -> Iterator[socket.socket]:
        # of any family: only its descriptor is used, and given back
        handle = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, self.socket)
        try:
            yield handle
        finally:
            handle.detach()

    def send_once(self, start: int, count: int) -> int:
        """As `send`, on the event loop, for bytes that are in memory. Raises BlockingIOError when the socket takes
        none now."""
        try:
            return self._send_or_copy(start, count)
        except TimeoutError as error:  # of the connection (`quire.servers.limits`), or of a file system on a network
            if self._is_connected():
                raise
            raise ConnectionAbortedError("the client took nothing for too long") from error

    def _send_or_copy(self, start: int, count: int) -> int:
        try:
            return os.sendfile(self.socket, self._file, start, count)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        data = os.pread(self._file, min(count, _COPIED_BYTES), start)
        return os.write(self.socket, data) if data else 0

    def close(self) -> None:
        """Called once."""
        with self._lock:
            self._is_closed = True
            if not self._is_used:
                self._close_both()

    def _transfer(self, start: int, count: int) -> int:
        """As `send`. While a client takes much at a time it is waited for here: to hand over costs more."""
        sent = 0
        while True:
            try:
                piece = self.send_once(start + sent, count - sent)
            except BlockingIOError:
                return sent or -1
            sent += piece
            if piece < _FAST_BYTES or sent == count or not self._has_room():
                return sent

    def _has_room(self) -> bool:
        poll = select.poll()
        poll.register(self.socket, select.POLLOUT)
        return bool(poll.poll(_PATIENCE_MS))

    def _end_use(self) -> None:
        with self._lock:
            self._is_used = False
            if self._is_closed:
                self._close_both()

    def _close_both(self) -> None:
        os.close(self.socket)
        os.close(self._file)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
