"""A machine with one kernel NFS server and two NFSv4.1 clients, as a process: build it, boot it, run programs in it.

User-mode Linux is a Linux kernel that is an ordinary program; Debian packages it. It boots in seconds, needs neither a
virtual machine nor kernel modules of the host, and its NFS client is the same code that runs in production: the
attributes, dentries and pages it remembers are what the store has to get right. Its root is a small Debian made with
mmdebstrap in `.cache/nfs/rootfs`; programs see the files of the real machine, read-only, and so run with the same
Python and the same packages as these tests (see init.sh).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

FileSystem = Literal["ext4", "ext4-seconds", "xfs", "tmpfs"]
"""What the server exports; ext4-seconds has timestamps of whole seconds."""

PROJECT = Path(__file__).parent.parent.parent
CACHE = PROJECT / ".cache" / "nfs"
BOOT_TIMEOUT = 120.0
"""Seconds; a boot takes 5 to 10 of them on an idle machine."""
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
_DISK = 1024**3  # bytes; a sparse file


class RigError(Exception):
    """The machine cannot be built, booted or used; the sentence says why."""


class ProgramError(Exception):
    """A program in the machine failed; holds what it wrote to its standard error."""


def prepare() -> Path:
    """The root file system, made now if it is not there, with today's init.sh. Raises RigError."""
    _check_host()
    rootfs = CACHE / "rootfs"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not rootfs.is_dir():
            _install_tools()
            building = CACHE / "rootfs.new"
            shutil.rmtree(building, ignore_errors=True)
            print(f"Making a root file system of Debian packages in {rootfs} (about a minute) ...", flush=True)
            _build(building)
            building.rename(rootfs)
        # in place of the one there, not into it: a machine that runs may still be reading that
        shutil.copy(Path(__file__).with_name("init.sh"), rootfs / "init.sh.new")
        (rootfs / "init.sh.new").rename(rootfs / "init.sh")
    return rootfs


def _check_host() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise RigError("The NFS rig runs on Linux on x86-64 only: User-mode Linux exists for nothing else.")
    if os.geteuid() != 0:
        raise RigError("The NFS rig needs root, to make its root file system and to boot from it; run it as root.")


def _install_tools() -> None:
    if shutil.which("mmdebstrap") is None:
        if shutil.which("apt-get") is None:
            raise RigError("The NFS rig needs the program mmdebstrap, and there is no apt-get to install it with.")
        environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        _call("apt-get", "update", "--quiet", env=environ)
        _call("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "mmdebstrap", env=environ)


def _build(rootfs: Path) -> None:
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    _call("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}", release, rootfs)
    (rootfs / "host").mkdir()
    (rootfs / "usr" / "lib" / "modules").symlink_to("uml/modules")


def _call(*command: object, env: dict[str, str] | None = None) -> None:
    arguments = [str(word) for word in command]
    done = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, env=env
    )
    if done.returncode != 0:
        raise RigError(f"{shlex.join(arguments)} failed with {done.returncode}: {done.stderr[-2000:]}")


class Machine:
    """A booted machine. Both clients are mounted with EFS's options until `mount` says otherwise."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, exchange: Path) -> None:
        self.kernel = ""
        self.lost = False
        """Whether it stopped answering; nothing can be run any more."""
        self._process = process
        self._control = control
        self._answers = control.makefile("r")
        self._exchange = exchange
        self._programs = 0
        self._options: str | None = None

    def mount(self, options: str = "") -> None:
        """Mount both clients anew with these options besides EFS's, unless they are mounted so."""
        if self._options != options:
            self._options = None
            if self._ask(f"mount {options or '-'}", 60) != "0":
                raise RigError(f"The clients cannot be mounted with the options {options!r}: {self.console()}")
            self._options = options

    def run(self, program: str, *, timeout: int = 150, **arguments: Any) -> dict[str, Any]:
        """Run `tests.nfs.guest.<program>` and return what it reports. Raises ProgramError when it fails or hangs."""
        self._programs += 1
        files = self._exchange / str(self._programs)
        files.with_suffix(".json").write_text(json.dumps({"program": program, "arguments": arguments}))
        status = self._ask(f"run {self._programs} {timeout}", timeout + 30)
        if status != "0":
            errors = files.with_suffix(".err").read_text(errors="replace")
            raise ProgramError(f"{program} ended with {status}:\n{errors[-5000:]}")
        report: dict[str, Any] = json.loads(files.with_suffix(".out").read_text())
        return report

    def console(self) -> str:
        """The end of what the kernel and init.sh said."""
        return (self._exchange / "console").read_text(errors="replace")[-3000:]

    def wait_until_ready(self) -> None:
        word, _, self.kernel = self._answer(BOOT_TIMEOUT).partition(" ")
        if word != "ready":
            raise RigError(f"The machine does not boot: {self.console()}")

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(b"off\n")
        self._answers.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._control.close()

    def _ask(self, line: str, seconds: float) -> str:
        with contextlib.suppress(OSError):  # then there will be no answer either
            self._control.sendall(f"{line}\n".encode())
        return self._answer(seconds)

    def _answer(self, seconds: float) -> str:
        self._control.settimeout(seconds)
        try:
            line = self._answers.readline()
        except OSError:  # TimeoutError among them
            line = ""
        if not line:
            self.lost = True
            raise RigError(f"The machine does not answer any more: {self.console()}")
        return line.strip()


@contextmanager
def booted(file_system: FileSystem, delay: str = "") -> Iterator[Machine]:
    """A machine whose server exports this file system, empty. `delay`: of the wire, each way, e.g. "500us"."""
    rootfs = prepare()
    with tempfile.TemporaryDirectory(prefix="machine-", dir=CACHE) as folder:
        exchange = Path(folder)
        with (exchange / "disk").open("wb") as disk:
            disk.truncate(_DISK)
        control, guest_end = socket.socketpair()
        with guest_end, (exchange / "console").open("wb") as console:
            process = subprocess.Popen(
                _boot_command(rootfs, exchange, file_system, delay, guest_end.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=[guest_end.fileno()],
                env=os.environ | {"TMPDIR": "/dev/shm"},  # where User-mode Linux keeps its memory
                start_new_session=True,
            )
        machine = Machine(process, control, exchange)
        try:
            machine.wait_until_ready()
            machine.mount()
            yield machine
        finally:
            machine.stop()


def _boot_command(rootfs: Path, exchange: Path, file_system: FileSystem, delay: str, serial: int) -> list[str]:
    return [
        f"{rootfs}/usr/bin/linux.uml",
        "rootfstype=hostfs",
        f"rootflags={rootfs}",
        "rw",
        f"mem={_MEMORY}",
        f"ubda={exchange}/disk",
        f"uml_dir={exchange}",
        "init=/init.sh",
        "con0=null,fd:1",
        "con=null",
        f"ssl0=fd:{serial}",
        "ssl=null",
        "quiet",
        "panic=1",
        f"quire_fs={file_system}",
        f"quire_delay={delay}",
        f"quire_exchange={exchange}",
        f"quire_python={sys.executable}",
        f"quire_path={PROJECT}:{PROJECT / 'src'}",
    ]


if __name__ == "__main__":
    try:
        prepare()
    except RigError as error:
        sys.exit(str(error))
