"""One User-mode Linux kernel with init.sh in it: a process to start, to ask and to kill, and wires between two.

Theory of operation. The kernel has one timer, set for one moment at a time; at its SIGALRM the kernel runs what
is due and sets the timer again. Now and then, on a busy host, it loses one: no timer is set, sleeping programs sleep
for ever, and the kernel spins in its idle loop, since it does not wait for a timer that is not set. Any SIGALRM has it
look at the clock and go on. So when none of its programs has run for some seconds it is sent one; to a kernel that is
only idle that is a timer that was early.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.rootfs import RigError
from tests.serving import is_in_mask

PROJECT = Path(__file__).parent.parent.parent
BOOT_TIMEOUT = 120.0
"""Seconds; a boot takes 5 to 10 of them on an idle machine."""
_STANDSTILL = 4.0
"""Seconds."""
REAL: Final = "real"
"""The folder of a root file system in which its kernel sees the root of the real machine."""
# The kernel is a program of its own release: it runs in its root file system, by the C library there, which may be
# newer than this machine's.
_ENTER: Final = f"""
mount --rbind / "$0/{REAL}"; mount --rbind /proc "$0/proc"; mount --rbind /dev "$0/dev"
exec chroot "$0" /usr/bin/linux.uml "$@"
"""


class Kernel:
    """A kernel that is booting or has booted."""

    def __init__(
        self, rootfs: Path, folder: Path, *, memory: str, wires: Sequence[socket.socket] = (), **settings: str
    ) -> None:
        """`folder`: its /run/exchange, with its disk if it has one. `settings`: see init.sh."""
        self.folder = folder
        self.lost = False
        """Whether it stopped answering; nothing can be asked any more."""
        self.name = ""
        control, guest_end = socket.socketpair()
        descriptors = [guest_end.fileno(), *(wire.fileno() for wire in wires)]
        with guest_end, self._console.open("ab") as console:
            self._process = subprocess.Popen(
                _command(rootfs, folder, memory, descriptors, settings),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                env=os.environ | {"TMPDIR": "/dev/shm"},  # where User-mode Linux keeps its memory
                start_new_session=True,
            )
        self._control = control
        self._answers = control.makefile("r")
        self._is_over = threading.Event()
        self._alarms = threading.Thread(target=self._send_alarms, daemon=True)
        self._alarms.start()

    @property
    def _console(self) -> Path:
        return self.folder / "console"

    def console(self) -> str:
        """The end of what the kernel and init.sh said."""
        return self._console.read_text(errors="replace")[-3000:]

    def wait_until_ready(self) -> None:
        word, _, self.name = self._answer(BOOT_TIMEOUT).partition(" ")
        if word != "ready":
            raise RigError(f"The machine does not boot: {self.console()}")

    def ask(self, line: str, seconds: float) -> str:
        """Its answer to a line; init.sh lists them. Raises RigError when none comes in time."""
        with contextlib.suppress(OSError):  # then there will be no answer either
            self._control.sendall(f"{line}\n".encode())
        return self._answer(seconds)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(b"off\n")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        self.kill()

    def kill(self) -> None:
        """Cut its power: what it has not yet written to its disk is gone."""
        self.lost = True
        self._is_over.set()
        self._alarms.join()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._answers.close()
        self._control.close()

    def _send_alarms(self) -> None:
        process = os.pidfd_open(self._process.pid)
        before: dict[int, str] = {}
        try:
            while not self._is_over.wait(_STANDSTILL):
                with contextlib.suppress(OSError):  # it ended, or one of its programs did
                    times = _times_of_children(self._process.pid)
                    # without a handler it would end the kernel
                    if times == before and is_in_mask(self._process.pid, "SigCgt", signal.SIGALRM):
                        signal.pidfd_send_signal(process, signal.SIGALRM)
                    before = times
        finally:
            os.close(process)

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


def _times_of_children(process: int) -> dict[int, str]:
    """The processor time of each, as the kernel writes it: the programs in the machine are that. Raises OSError."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return {int(child): " ".join(_status_of(child)[11:13]) for child in children}


def _status_of(process: str) -> list[str]:
    """See proc_pid_stat(5), from the third field on, behind a name that may hold anything."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _command(
    rootfs: Path, folder: Path, memory: str, descriptors: Sequence[int], settings: dict[str, str]
) -> list[str]:
    serial, *wires = descriptors
    seen = f"/{REAL}{folder.resolve()}"  # a link there would be followed in the root file system
    settings = settings | {
        "exchange": seen,
        "host": f"/{REAL}",
        "python": sys.executable,
        "path": f"{PROJECT}:{PROJECT / 'src'}",
    }
    return [
        *("unshare", "--mount", "--propagation", "private", "sh", "-ec", _ENTER, str(rootfs)),
        "rootfstype=hostfs",
        "rootflags=/",
        "rw",
        f"mem={memory}",
        *([f"ubda={seen}/disk"] if (folder / "disk").exists() else []),
        f"uml_dir={seen}",
        "init=/init.sh",
        "con0=null,fd:1",
        "con=null",
        f"ssl0=fd:{serial}",
        "ssl=null",
        "quiet",
        "panic=1",
        # with addresses of its own, or the other side would look for the old ones after a boot
        *(
            f"vec{number}:transport=fd,fd={wire},mac=52:54:00:00:0{number}:{settings['role'].encode().hex()[:2]}"
            for number, wire in enumerate(wires)
        ),
        *(f"quire_{name}={value}" for name, value in settings.items()),
    ]


def wire() -> tuple[socket.socket, socket.socket]:
    """The ends of a wire between two kernels. Frames are datagrams: like a wire it drops frames without a receiver.

    The ends outlive the kernels that hold them, so one kernel may be replaced while the other runs.
    """
    ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for end in ends:
        end.bind(("127.0.0.1", 0))
    one, other = ends
    one.connect(other.getsockname())
    other.connect(one.getsockname())
    return one, other
