"""A unit's restrictions of system calls as seccomp programs, for a sandbox that is not systemd's.

Theory of operation. systemd turns SystemCallFilter=, MemoryDenyWriteExecute=, RestrictAddressFamilies= and their like
into programs for the kernel's seccomp, with libseccomp. Here the same library is asked for the same, as systemd.exec(5)
describes each setting, and writes the programs into files, which bubblewrap loads before it starts the command. The
kernel runs all of them and obeys the strictest. Which calls a group such as @system-service has, systemd-analyze tells.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import socket
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_NOT_EQUAL, _MASKED_EQUAL = 1, 7  # enum scmp_compare
_PROT_WRITE, _PROT_EXEC, _SHM_EXEC = 2, 4, 0o100000
_NAMESPACES = 0x7E020080
"""CLONE_NEW*, all of them: NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_PERSONALITY_CURRENT = 0xFFFFFFFF


class _Argument(ctypes.Structure):
    """struct scmp_arg_cmp of seccomp_rule_add(3)."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class _Filter:
    """One program of libseccomp."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))
        assert self._context

    def rule(self, action: int, call: str, *arguments: tuple[int, int, int, int]) -> None:
        """`arguments`: (number, comparison, first datum, second datum). An unknown call is passed over."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number == -1:
            return
        compared = (_Argument * len(arguments))(*(_Argument(*each) for each in arguments))
        done = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(arguments)), compared
        )
        assert done in {0, -errno.EEXIST}, (call, done)

    def write(self, path: Path) -> Path:
        with path.open("wb") as file:
            assert self._library.seccomp_export_bpf(self._context, ctypes.c_int(file.fileno())) == 0
        self._library.seccomp_release(self._context)
        return path


@functools.cache
def calls(group: str) -> frozenset[str]:
    """The system calls of a group such as @system-service; a plain name is its own group."""
    if not group.startswith("@"):
        return frozenset([group])
    command = ["systemd-analyze", "--no-pager", "syscall-filter", group]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.strip() for line in listed[1:] if line.strip() and not line.strip().startswith("#")]
    return frozenset().union(*(calls(name) for name in names))


def allowed(settings: Sequence[str]) -> frozenset[str]:
    """The system calls that the SystemCallFilter= lines of a unit allow; the first line must be an allow-list."""
    assert settings
    assert not settings[0].startswith("~")
    found = calls("@default")  # systemd allows these with every list
    for setting in settings:
        groups = frozenset[str]().union(*(calls(name) for name in setting.removeprefix("~").split()))
        found = found - groups if setting.startswith("~") else found | groups
    return found


def programs(folder: Path, system_calls: Iterable[str], families: Iterable[str]) -> list[Path]:
    """The files with everything that the unit restricts. `families`: those of RestrictAddressFamilies=."""
    refuse = _ERRNO | errno.EPERM
    listed = _Filter(refuse)
    for name in sorted(system_calls):
        listed.rule(_ALLOW, name)

    restricted = _Filter(_ALLOW)
    # MemoryDenyWriteExecute=
    write_execute = _PROT_WRITE | _PROT_EXEC
    restricted.rule(refuse, "mmap", (2, _MASKED_EQUAL, write_execute, write_execute))
    for name in ("mprotect", "pkey_mprotect"):
        restricted.rule(refuse, name, (2, _MASKED_EQUAL, _PROT_EXEC, _PROT_EXEC))
    restricted.rule(refuse, "shmat", (2, _MASKED_EQUAL, _SHM_EXEC, _SHM_EXEC))
    # RestrictNamespaces=: the flags of clone3 are in memory, where no program sees them
    restricted.rule(_ERRNO | errno.ENOSYS, "clone3")
    for name in ("unshare", "setns"):
        restricted.rule(refuse, name)
    for bit in (1 << number for number in range(32) if _NAMESPACES & (1 << number)):
        restricted.rule(refuse, "clone", (0, _MASKED_EQUAL, bit, bit))
    # RestrictSUIDSGID=
    for mode in (0o4000, 0o2000):
        for name, argument in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdirat", 2), ("mkdir", 1)):
            restricted.rule(refuse, name, (argument, _MASKED_EQUAL, mode, mode))
    # LockPersonality=, RestrictRealtime=
    restricted.rule(refuse, "personality", (0, _NOT_EQUAL, _PERSONALITY_CURRENT, 0))
    restricted.rule(refuse, "sched_setscheduler", (1, _NOT_EQUAL, 0, 0))

    network = _Filter(_ALLOW)
    known = {int(getattr(socket, name)) for name in families}
    for family in set(range(64)) - known:
        network.rule(_ERRNO | errno.EAFNOSUPPORT, "socket", (0, _MASKED_EQUAL, 0xFFFFFFFF, family))
    filters = {"list": listed, "restricted": restricted, "network": network}
    return [each.write(folder / f"{name}.bpf") for name, each in filters.items()]
