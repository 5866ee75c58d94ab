"""Running a function in a forked child, seeing each of its system calls, and meddling with one of them.

Theory of operation
-------------------
The child is forked from a process that has everything imported, so a run costs a fork, not a start of Python: a
hundred runs a second, where `strace -e inject` makes three. It asks to be traced (ptrace(2), PTRACE_TRACEME), stops
itself where the interesting part begins, and from there on stops at the entry and at the exit of every system call.
At an entry the call's number can be made invalid, so that the kernel does nothing, and at the exit its result be
replaced: a call that fails before it did anything. Replacing the result alone makes a call that was done but whose
answer was lost, as on a network. SIGKILL at an entry is a death right before the call. Lowering the third argument of
a write makes a short write.

Only calls that concern the folder under test are failed, told by their paths and by the descriptors opened on them;
deaths happen at any call. Numbers of calls are counted from the start and are the same in each run: the child is one
thread, collects no garbage and was warmed up.

For x86-64 Linux, whose registers it knows.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

_TRACEME, _GETREGS, _SETREGS, _SYSCALL, _SETOPTIONS = 0, 12, 13, 24, 0x4200
_OPTIONS = 0x1 | 0x100000  # TRACESYSGOOD: tell stops of calls from signals; EXITKILL: no child outlives us
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_AT_FDCWD = 2**64 - 100
_F_DUPFD, _F_DUPFD_CLOEXEC = 0, 1030

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class _Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in [
            "r15",
            "r14",
            "r13",
            "r12",
            "rbp",
            "rbx",
            "r11",
            "r10",
            "r9",
            "r8",
            "rax",
            "rcx",
            "rdx",
            "rsi",
            "rdi",
            "orig_rax",
            "rip",
            "cs",
            "eflags",
            "rsp",
            "ss",
            "fs_base",
            "gs_base",
            "ds",
            "es",
            "fs",
            "gs",
        ]
    )


@dataclass(frozen=True)
class _Shape:
    """A system call: where its descriptor or its paths are. A path may be relative to a descriptor before it."""

    name: str
    fd: int | None = None
    paths: tuple[tuple[int | None, int], ...] = ()
    """(index of the directory's descriptor or None, index of the path)."""
    changes: bool = False
    """Whether it may change what is on the disk."""


_SHAPES = {
    0: _Shape("read", fd=0),
    1: _Shape("write", fd=0, changes=True),
    2: _Shape("open", paths=((None, 0),), changes=True),
    3: _Shape("close", fd=0),
    4: _Shape("stat", paths=((None, 0),)),
    5: _Shape("fstat", fd=0),
    6: _Shape("lstat", paths=((None, 0),)),
    8: _Shape("lseek", fd=0),
    16: _Shape("ioctl", fd=0),
    17: _Shape("pread64", fd=0),
    18: _Shape("pwrite64", fd=0, changes=True),
    20: _Shape("writev", fd=0, changes=True),
    21: _Shape("access", paths=((None, 0),)),
    72: _Shape("fcntl", fd=0),
    74: _Shape("fsync", fd=0, changes=True),
    75: _Shape("fdatasync", fd=0, changes=True),
    76: _Shape("truncate", paths=((None, 0),), changes=True),
    77: _Shape("ftruncate", fd=0, changes=True),
    82: _Shape("rename", paths=((None, 0), (None, 1)), changes=True),
    83: _Shape("mkdir", paths=((None, 0),), changes=True),
    84: _Shape("rmdir", paths=((None, 0),), changes=True),
    85: _Shape("creat", paths=((None, 0),), changes=True),
    86: _Shape("link", paths=((None, 0), (None, 1)), changes=True),
    87: _Shape("unlink", paths=((None, 0),), changes=True),
    88: _Shape("symlink", paths=((None, 1),), changes=True),
    89: _Shape("readlink", paths=((None, 0),)),
    137: _Shape("statfs", paths=((None, 0),)),
    138: _Shape("fstatfs", fd=0),
    217: _Shape("getdents64", fd=0),
    257: _Shape("openat", paths=((0, 1),), changes=True),
    258: _Shape("mkdirat", paths=((0, 1),), changes=True),
    262: _Shape("newfstatat", paths=((0, 1),)),
    263: _Shape("unlinkat", paths=((0, 1),), changes=True),
    264: _Shape("renameat", paths=((0, 1), (2, 3)), changes=True),
    265: _Shape("linkat", paths=((0, 1), (2, 3)), changes=True),
    266: _Shape("symlinkat", paths=((1, 2),), changes=True),
    267: _Shape("readlinkat", paths=((0, 1),)),
    280: _Shape("utimensat", paths=((0, 1),)),  # a file's age is nothing that a crash may not lose
    285: _Shape("fallocate", fd=0, changes=True),
    316: _Shape("renameat2", paths=((0, 1), (2, 3)), changes=True),
    326: _Shape("copy_file_range", fd=2, changes=True),
    332: _Shape("statx", paths=((0, 1),)),
    439: _Shape("faccessat2", paths=((0, 1),)),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One system call of the child."""

    number: int
    """Counted from the start, all calls."""
    store_number: int | None
    """Counted from the start, those that concern the folder; None for any other."""
    name: str
    paths: tuple[str, ...]
    """Absolute; of a call on a descriptor the path that it was opened by."""
    changes: bool
    arguments: tuple[int, ...]
    result: int = 0
    """Negative: an errno."""
    data: bytes = b""
    """The bytes that a write was given."""

    def __str__(self) -> str:
        return f"{self.number}: {self.name}({', '.join(self.paths)}) = {self.result}"


class How(StrEnum):
    """The treatment of a call."""

    KILL = "kill"
    """The process dies right before it."""
    FAIL = "fail"
    """It does nothing and fails."""
    LATE = "late"
    """It is done, and fails."""
    SHORT = "short"
    """A write that writes half of what it was given."""


@dataclass(frozen=True, slots=True)
class Meddling:
    """One fault."""

    how: How
    at: int
    """The number of the call: of all calls for KILL, of the folder's for others."""
    errno: int = 0
    lasting: Callable[[Call], bool] | None = None
    """Also every later call that this is true of; None for one call only."""

    def __str__(self) -> str:
        words = [str(self.how), f"at {self.at}"]
        if self.errno:
            words.append(errno.errorcode[self.errno])
        if self.lasting is not None:
            words.append(f"and lasting ({self.lasting.__name__})")
        return " ".join(words)

    def concerns(self, call: Call) -> bool:
        number = call.number if self.how is How.KILL else call.store_number
        if number is None:
            return False
        if self.lasting is not None:
            return number >= self.at and self.lasting(call)
        return number == self.at


@dataclass(slots=True)
class Run:
    """The end of the child."""

    said: bytes
    """The reports it made before it ended."""
    died: bool
    """Whether it was killed."""
    met: int = 0
    """How many calls were meddled with."""
    calls: list[Call] = field(default_factory=list)
    reported: list[int] = field(default_factory=list)
    """The numbers of the calls that reported something: a waiting process knows it from then on."""


def unavailable() -> str | None:
    """Why this cannot be done here; None when it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "system calls are traced on x86-64 Linux only"
    try:
        run = traced(lambda _: None, root="/nowhere")
    except OSError as error:
        return f"this process may not trace its children: {error}"
    return None if not run.died else "a traced child died"


def traced(
    action: Callable[[Callable[[bytes], None]], None],
    *,
    root: str,
    before: Callable[[], None] | None = None,
    meddling: Meddling | None = None,
    at_call: Callable[[Call], bool] | None = None,
) -> Run:
    """Fork, and run `action(report)` there. `before` runs there untraced; its effects are seen by `action`.

    `root`: the absolute path of the folder whose calls are meddled with. `at_call`: called at the entry of every call;
    True kills the child there. Raises OSError when children cannot be traced.
    """
    reading, writing = os.pipe()
    gc.collect()
    gc.freeze()
    pid = os.fork()
    if pid == 0:
        _child(action, before, reading, writing)
    os.close(writing)
    tracer = _Tracer(pid, root, writing, meddling, at_call)
    try:
        tracer.follow()
    finally:
        if not tracer.ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        with open(reading, "rb") as pipe:
            tracer.run.said = pipe.read()
    return tracer.run


def _child(
    action: Callable[[Callable[[bytes], None]], None], before: Callable[[], None] | None, reading: int, writing: int
) -> None:
    status = 1
    try:
        os.close(reading)
        gc.disable()
        if before is not None:
            before()
        if _libc.ptrace(_TRACEME, 0, None, None) != 0:
            os._exit(77)
        os.kill(os.getpid(), signal.SIGSTOP)
        action(lambda message: void(os.write(writing, message)))
        status = 0
    except BaseException as error:  # noqa: BLE001 - the child of a fork must end here, whatever happened
        os.write(writing, f"CRASH {type(error).__name__}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(status)


def void(_: object) -> None:
    """Nothing; for an unused value."""


class _Tracer:
    def __init__(
        self,
        pid: int,
        root: str,
        report: int,
        meddling: Meddling | None,
        at_call: Callable[[Call], bool] | None,
    ) -> None:
        self.pid = pid
        self.run = Run(b"", died=False)
        self.ended = False
        self._root = root
        self._report = report
        self._meddling = meddling
        self._at_call = at_call
        self._opened: dict[int, str] = {}
        self._registers = _Registers()
        self._store_calls = 0
        self._memory: int | None = None

    def follow(self) -> None:
        status = self._wait()
        if status is None or not os.WIFSTOPPED(status):
            raise OSError(errno.EPERM, "ptrace is refused")
        self._ptrace(_SETOPTIONS, _OPTIONS)
        self._memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY)
        try:
            for call, is_last in self._calls():
                self.run.calls.append(call)
                if is_last:
                    return
        finally:
            os.close(self._memory)

    def _calls(self) -> Iterator[tuple[Call, bool]]:
        """Every call, when it has ended, and whether the child died in it."""
        while self._next_stop():
            self._ptrace(_GETREGS, ctypes.addressof(self._registers))
            call = self._entered()
            meddle = self._meddling is not None and self._meddling.concerns(call)
            if (meddle and self._how is How.KILL) or (self._at_call is not None and self._at_call(call)):
                os.kill(self.pid, signal.SIGKILL)
                self.run.met += 1
                while self._wait() is not None:
                    pass
                yield call, True
                return
            if meddle and self._how is How.FAIL:
                self._registers.orig_rax = 2**64 - 1
                self._ptrace(_SETREGS, ctypes.addressof(self._registers))
            elif meddle and self._how is How.SHORT:
                self._registers.rdx = max(1, self._registers.rdx // 2)
                self._ptrace(_SETREGS, ctypes.addressof(self._registers))
            if not self._next_stop():
                yield call, True
                return
            self._ptrace(_GETREGS, ctypes.addressof(self._registers))
            result = ctypes.c_int64(self._registers.rax).value
            if meddle:
                self.run.met += 1
                if self._how is How.FAIL or (self._how is How.LATE and result >= 0):
                    assert self._meddling is not None
                    self._registers.rax = 2**64 - self._meddling.errno
                    self._ptrace(_SETREGS, ctypes.addressof(self._registers))
            call = self._left(call, result, done=not (meddle and self._how is How.FAIL))
            yield call, False

    @property
    def _how(self) -> How | None:
        return self._meddling.how if self._meddling is not None else None

    def _entered(self) -> Call:
        registers = self._registers
        arguments = (registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9)
        shape = _SHAPES.get(registers.orig_rax)
        number = len(self.run.calls)
        if shape is None:
            return Call(number, None, f"call {registers.orig_rax}", (), False, arguments)
        paths = self._paths(shape, arguments)
        is_store = any(path == self._root or path.startswith(f"{self._root}/") for path in paths)
        data = b""
        if shape.name == "write":
            if arguments[0] == self._report:
                self.run.reported.append(number)
            elif is_store:
                data = self._peek(arguments[1], arguments[2])
        store_number = self._store_calls if is_store else None
        self._store_calls += is_store
        return Call(number, store_number, shape.name, paths, shape.changes, arguments, 0, data)

    def _left(self, call: Call, result: int, *, done: bool) -> Call:
        """The call as it really ended; what it told the child may be a lie of ours."""
        if done and result >= 0:
            if call.name in {"open", "openat", "creat"}:
                self._opened[result] = call.paths[0]
            elif call.name == "close":
                self._opened.pop(ctypes.c_int32(call.arguments[0] & 0xFFFFFFFF).value, None)
            elif call.name == "fcntl" and call.arguments[1] in {_F_DUPFD, _F_DUPFD_CLOEXEC} and call.paths:
                self._opened[result] = call.paths[0]
        result = result if done else -errno.ECANCELED
        return Call(
            call.number, call.store_number, call.name, call.paths, call.changes, call.arguments, result, call.data
        )

    def _paths(self, shape: _Shape, arguments: tuple[int, ...]) -> tuple[str, ...]:
        if shape.fd is not None:
            path = self._opened.get(arguments[shape.fd] & 0xFFFFFFFF)
            return () if path is None else (path,)
        found = []
        for directory, index in shape.paths:
            path = self._string(arguments[index])
            if not path.startswith("/"):
                base = None if directory is None else self._opened.get(arguments[directory] & 0xFFFFFFFF)
                if base is None:
                    continue
                path = f"{base}/{path}" if path else base
            found.append(path)
        return tuple(found)

    def _peek(self, address: int, size: int) -> bytes:
        assert self._memory is not None
        return os.pread(self._memory, size, address)

    def _string(self, address: int) -> str:
        if address == 0:
            return ""
        # not beyond the page's end: the next one may not be there
        data = self._peek(address, 4096 - address % 4096)
        if b"\0" not in data:
            data += self._peek(address + len(data), 4096)
        return os.fsdecode(data.partition(b"\0")[0])

    def _next_stop(self) -> bool:
        """Go on to the next entry or exit of a call; False when the child has ended."""
        passed = 0
        while True:
            self._ptrace(_SYSCALL, passed)
            status = self._wait()
            if status is None:
                return False
            number = os.WSTOPSIG(status)
            if number == _SYSCALL_STOP:
                return True
            passed = number

    def _wait(self) -> int | None:
        """The status of a stop; None when the child has ended."""
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSTOPPED(status):
            return status
        self.ended = True
        self.run.died = os.WIFSIGNALED(status)
        return None

    def _ptrace(self, request: int, data: int) -> None:
        if _libc.ptrace(request, self.pid, None, data) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"ptrace: {os.strerror(number)}")
