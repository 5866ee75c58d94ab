"""Real file systems that lose power: ext4 and xfs in an image, shut down at every call of a change.

The ioctl that file system developers test their journals with (EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN) lets a mounted
file system forget at once whatever is not on its disk: nothing is written back, the journal's open transaction is
dropped. Unmounted and mounted again it recovers as after a power cut. Needs root and loop devices.

It recovers nothing while any process has it mounted: the kernel then goes on with what it has in memory. Containers
that start meanwhile copy all mounts that they see, so all of this is done in a process with mounts of its own.

`python -m tests.faults.shutdowns ext4 SCENARIO` prints the counts.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import fcntl
import multiprocessing
import os
import shutil
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from quire.domain.errors import QuireError
from tests.faults.judging import Judge, Violated, state_of
from tests.faults.ptracing import Call
from tests.faults.publisher import SCENARIOS
from tests.faults.sweep import Stage, scratch

T = TypeVar("T")

_CLONE_NEWNS = 0x20000
_GOINGDOWN = 0x8004587D  # _IOR('X', 125, u32), the same number for both
_NO_LOG_FLUSH = 2
_SIZES = {"ext4": "24M", "ext4-writeback": "24M", "xfs": "320M"}  # what mkfs.xfs insists on; the image is sparse
_MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "ext4-writeback": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
}
FILESYSTEMS = tuple(_MAKE)


@dataclasses.dataclass
class Shutdowns:
    """The work done, and the findings."""

    filesystem: str
    scenario: str
    cuts: int = 0
    told: int = 0
    """Those after the acknowledgement."""
    after: int = 0
    """Those that left the change made."""
    violations: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.filesystem} {self.scenario}: {self.cuts} power cuts, {self.told} after the acknowledgement, "
            f"{self.after} left the change made, {len(self.violations)} violations, {self.seconds:.0f} s"
        )


def unavailable(filesystem: str) -> str | None:
    """Why this cannot be done here; None when it can."""
    if os.geteuid() != 0:
        return "only root mounts file systems"
    if shutil.which(_MAKE[filesystem][0]) is None:
        return f"{_MAKE[filesystem][0]} is not installed"
    folder = scratch()

    def attempt() -> None:
        with Image(folder, filesystem).mounted() as root:
            shut_down(root)

    try:
        in_own_mounts(attempt)
    except OSError as error:
        return f"no {filesystem} can be mounted and shut down here: {error}"
    finally:
        shutil.rmtree(folder)
    return None


def in_own_mounts(work: Callable[[], T]) -> T:
    """The result of the work, which is done in a process whose mounts no other one sees. Raises its OSError, and
    RuntimeError with the traceback of any other error."""
    forking = multiprocessing.get_context("fork")
    receiving, sending = forking.Pipe(duplex=False)
    child = forking.Process(target=_in_own_mounts, args=(work, sending), daemon=True)
    child.start()
    sending.close()
    try:
        result: T
        error: Exception | None
        result, error = receiving.recv()
    except EOFError:
        raise RuntimeError("the process with its own mounts died") from None
    finally:
        child.join()
    if error is not None:
        raise error
    return result


def _in_own_mounts(work: Callable[[], object], sending: Connection) -> None:
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")
        _quiet("mount", "--make-rslave", "/")
        sending.send((work(), None))
    except OSError as error:
        sending.send((None, OSError(str(error))))
    except Exception:  # noqa: BLE001 - another process raises it
        sending.send((None, RuntimeError(traceback.format_exc())))


class Image:
    """A file system in a file."""

    def __init__(self, folder: Path, filesystem: str) -> None:
        self._filesystem = filesystem
        self._template = folder / "template.img"
        self._image = folder / "image.img"
        self._mount = folder / "mount"
        self._mount.mkdir(exist_ok=True)
        _quiet("truncate", "-s", _SIZES[filesystem], self._template)
        _quiet(*_MAKE[filesystem], self._template)
        self.renew()

    def renew(self) -> None:
        """Begin again with the template."""
        # A file of its own: a loop device that is about to go would be used again for the same one.
        self._image.unlink(missing_ok=True)
        _quiet("cp", "--sparse=always", self._template, self._image)

    def keep(self) -> None:
        """Make what is there the template."""
        _quiet("cp", "--sparse=always", self._image, self._template)

    @contextlib.contextmanager
    def mounted(self) -> Iterator[str]:
        """The folder for the store in it."""
        kind, _, mode = self._filesystem.partition("-")
        options = f"loop,data={mode}" if mode else "loop"
        _quiet("mount", "-t", kind, "-o", options, self._image, self._mount)
        try:
            root = self._mount / "root"
            root.mkdir(exist_ok=True)
            yield str(root)
        finally:
            _quiet("umount", self._mount)


def cut_everywhere(
    stage: Stage, folder: Path, filesystem: str, *, shard: tuple[int, int] = (0, 1), sample: int = 1
) -> Shutdowns:
    """Cut the power right before each call of the change (or every `sample`th), and at its end."""
    return in_own_mounts(partial(_cut_everywhere, stage, folder, filesystem, shard, sample))


def _cut_everywhere(stage: Stage, folder: Path, filesystem: str, shard: tuple[int, int], sample: int) -> Shutdowns:
    result = Shutdowns(filesystem, stage.scenario.name)
    began = time.monotonic()
    image = Image(folder, filesystem)
    with image.mounted() as root:
        shutil.copytree(stage.template, root, dirs_exist_ok=True)
        calls = stage.run(root).calls
    image.renew()
    with image.mounted() as root:
        shutil.copytree(stage.template, root, dirs_exist_ok=True)
    image.keep()
    moments = [call.number for call in calls if call.changes or call.store_number is None]
    chosen = dict.fromkeys([*moments[shard[0] :: shard[1] * sample], moments[-1]])  # the last one: after the answer
    for number in chosen:
        image.renew()
        _cut(stage, image, number, result)
    result.seconds = time.monotonic() - began
    return result


def _cut(stage: Stage, image: Image, number: int, result: Shutdowns) -> None:
    with image.mounted() as root:

        def power_fails(call: Call) -> bool:
            if call.number != number:
                return False
            shut_down(root)
            return True

        run = stage.run(root, at_call=power_fails)
        where = str(run.calls[-1]).replace(root, "")
    result.cuts += 1
    result.told += run.said.startswith(b"ACK")
    with image.mounted() as root:
        try:
            result.after += _is_after(stage.judge, stage, root)
            stage.judge.judge(root, run.said)
        except (Violated, QuireError, OSError) as error:
            said = run.said.decode().strip()
            result.violations.append(f"before {where}, said {said!r}: {type(error).__name__}: {error}")


def _is_after(judge: Judge, stage: Stage, root: str) -> bool:
    return state_of(stage.scenario.open(root)) == judge.after


def shut_down(root: str) -> None:
    """Let the file system forget what is not on its disk."""
    fd = os.open(root, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _GOINGDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(fd)


def _quiet(*command: str | Path) -> None:
    """Raises OSError with its words."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr.strip()}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("filesystem", choices=FILESYSTEMS)
    parser.add_argument("scenario", choices=[*SCENARIOS, "all"])
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--sample", type=int, default=1)
    arguments = parser.parse_args()
    number, _, of = arguments.shard.partition("/")
    failed = False
    for name in SCENARIOS if arguments.scenario == "all" else [arguments.scenario]:
        folder = scratch()
        try:
            result = cut_everywhere(
                Stage(SCENARIOS[name], folder),
                folder,
                arguments.filesystem,
                shard=(int(number), int(of)),
                sample=arguments.sample,
            )
        finally:
            shutil.rmtree(folder)
        failed = failed or bool(result.violations)
        print(result, *(text[:700] for text in result.violations), sep="\n  ", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
