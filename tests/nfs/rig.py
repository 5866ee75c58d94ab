"""A machine with one kernel NFS server and two NFSv4.1 clients, as a process: build it, boot it, run programs in it.

User-mode Linux is a Linux kernel that is an ordinary program; Debian packages it. It boots in seconds, needs neither a
virtual machine nor kernel modules of the host, and its NFS client is the same code that runs in production: the
attributes, dentries and pages it remembers are what the store has to get right. Its root is a small Debian made with
mmdebstrap in `.cache/nfs/rootfs`; programs see the files of the real machine, read-only, and so run with the same
Python and the same packages as these tests (see init.sh).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from tests.nfs.kernel import PROJECT, REAL, Kernel, wire
from tests.rootfs import RigError, root_file_system

FileSystem = Literal["ext4", "ext4-seconds", "xfs", "tmpfs"]
"""The file systems that the server exports; ext4-seconds has timestamps of whole seconds."""
CoarseFileSystem = Literal["xfs-coarse"]
"""One without a counter of changes: its change attribute is as coarse as the clock. For tests that name it."""

CACHE = PROJECT / ".cache" / "nfs"
RELEASE: Final = os.environ.get("TESTS_NFS_RELEASE", "")
"""Of Debian, whose kernel and NFS server run; without it those of this machine's release."""
_PACKAGES = (
    "busybox",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "mount",
    "nfs-kernel-server",
    "user-mode-linux",
    "util-linux",
    "xfsprogs",
)
_MEMORY = "1024M"
_SERVER_MEMORY = "512M"  # of a server alone
_DISK = 1024**3  # bytes; a sparse file


class ProgramError(Exception):
    """A program in the machine failed; holds what it wrote to its standard error."""


def prepare() -> Path:
    """The root file system, made now if it is not there, with today's init.sh. Raises RigError."""
    _check_host()
    release = RELEASE or platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    folder = CACHE / (f"rootfs-{RELEASE}" if RELEASE else "rootfs")
    rootfs = root_file_system(folder, release, _PACKAGES, complete=_complete)
    (rootfs / REAL).mkdir(exist_ok=True)
    # in place of the one there, not into it: a machine that runs may still be reading that
    with tempfile.NamedTemporaryFile(dir=rootfs, delete=False) as new:
        new.write(Path(__file__).with_name("init.sh").read_bytes())
    shutil.copymode(Path(__file__).with_name("init.sh"), new.name)
    Path(new.name).rename(rootfs / "init.sh")
    return rootfs


def _check_host() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise RigError("The NFS rig runs on Linux on x86-64 only: User-mode Linux exists for nothing else.")
    if os.geteuid() != 0:
        raise RigError("The NFS rig needs root, to make its root file system and to boot from it; run it as root.")


def _complete(rootfs: Path) -> None:
    (rootfs / "host").mkdir()
    (rootfs / "usr" / "lib" / "modules").symlink_to("uml/modules")


class Machine:
    """A booted machine. Both clients are mounted with EFS's options until `mount` says otherwise."""

    def __init__(self, clients: Kernel) -> None:
        self._clients = clients
        self._programs = 0
        self._options: str | None = None

    @property
    def kernel(self) -> str:
        """Its version."""
        return self._clients.name

    @property
    def lost(self) -> bool:
        """Whether it stopped answering; nothing can be run any more."""
        return self._clients.lost

    @property
    def exchange(self) -> Path:
        """The folder that programs see as /run/exchange."""
        return self._clients.folder

    def mount(self, options: str = "") -> None:
        """Mount both clients again with these options besides EFS's, unless they are mounted so."""
        if self._options != options:
            self._options = None
            if self._clients.ask(f"mount {options or '-'}", 60) != "0":
                raise RigError(f"The clients cannot be mounted with the options {options!r}: {self.console()}")
            self._options = options

    def run(self, program: str, *, timeout: int = 150, **arguments: Any) -> dict[str, Any]:
        """Run `tests.nfs.guest.<program>` and return what it reports. Raises ProgramError when it fails or hangs."""
        self._programs += 1
        files = self.exchange / str(self._programs)
        files.with_suffix(".json").write_text(json.dumps({"program": program, "arguments": arguments}))
        status = self._clients.ask(f"run {self._programs} {timeout}", timeout + 30)
        if status != "0":
            errors = files.with_suffix(".err").read_text(errors="replace")
            raise ProgramError(f"{program} ended with {status}:\n{errors[-5000:]}")
        report: dict[str, Any] = json.loads(files.with_suffix(".out").read_text())
        return report

    def console(self) -> str:
        """The end of what the kernel and init.sh said."""
        return self._clients.console()


class PairOfMachines(Machine):
    """Two kernels: one has both clients, the other is the server, whose power can be cut."""

    def __init__(self, clients: Kernel, server: Kernel, boot_again: Callable[[], Kernel]) -> None:
        super().__init__(clients)
        self.server = server
        self._boot_again = boot_again
        self._cuts = 0

    def cut_power(self) -> bool:
        """Kill the server's kernel in the midst of its work and boot another one on the same disk.

        Returns whether something that was never synchronised is gone, as it must be: otherwise that was no power cut.
        """
        self._cuts += 1
        if self.server.ask(f"unsynced {self._cuts}", 60) != "0":
            raise RigError(f"The server cannot write: {self.server.console()}")
        self.server.kill()
        self.server = self._boot_again()
        return self.server.ask(f"synced {self._cuts}", 60) != "0"


@contextmanager
def booted(file_system: FileSystem | CoarseFileSystem, delay: str = "") -> Iterator[Machine]:
    """A machine whose server exports this file system, empty. `delay`: of the wire, each way, e.g. "500us"."""
    rootfs = prepare()
    with _folder("machine") as folder:
        _make_disk(folder)
        kernel = Kernel(rootfs, folder, memory=_MEMORY, role="both", fs=file_system, delay=delay)
        try:
            kernel.wait_until_ready()
            machine = Machine(kernel)
            machine.mount()
            yield machine
        finally:
            kernel.stop()


@contextmanager
def booted_apart(file_system: FileSystem) -> Iterator[PairOfMachines]:
    """The same with the server in a kernel of its own."""
    rootfs = prepare()
    with ExitStack() as stack:
        wires = [stack.enter_context(_wire()) for _ in range(2)]
        folder = stack.enter_context(_folder("server"))
        _make_disk(folder)

        def boot_server(disk: str = "used") -> Kernel:
            ends = [end for end, _ in wires]
            kernel = Kernel(rootfs, folder, memory=_SERVER_MEMORY, wires=ends, role="server", fs=file_system, disk=disk)
            stack.callback(kernel.kill)
            kernel.wait_until_ready()
            return kernel

        server = boot_server("new")
        ends = [end for _, end in wires]
        clients = Kernel(rootfs, stack.enter_context(_folder("clients")), memory=_MEMORY, wires=ends, role="clients")
        stack.callback(clients.kill)
        clients.wait_until_ready()
        machines = PairOfMachines(clients, server, boot_server)
        machines.mount()
        yield machines


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=CACHE) as folder:
        yield Path(folder)


def _make_disk(folder: Path) -> None:
    with (folder / "disk").open("wb") as disk:
        disk.truncate(_DISK)


@contextmanager
def _wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = wire()
    with one, other:
        yield one, other


if __name__ == "__main__":
    try:
        prepare()
    except RigError as error:
        sys.exit(str(error))
