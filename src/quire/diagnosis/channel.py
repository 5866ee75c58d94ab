"""Messages between two sides through the directory that both see.

Theory of operation
-------------------
The directory is the thing under test, so a message may arrive late. That is safe: a late message only means that the
question it triggers is asked late, and a late question finds fewer wrong answers, never more. It could hide something
only if messages were delayed as long as answers are wrong. So messages go through a folder of their own, each under a
name of its own, looked up with everything that makes a client ask its server (a fresh open of the folder, the name in
it, else a listing); their delay is measured and told; and while a side waits it keeps asking what it will be asked, so
that its memory and its client's are as warm, and as independent of the messages, as those of a server under load.

Where the server's change attribute is as coarse as its clock, a client may not notice a name until the folder changes
again. So whoever waits touches, now and then, the folders in which it left word and the one in which it looks for a
reply (`nudge`). A folder that is asked about is never touched.

The two part like this, whether the play came to its end or broke off: each leaves its report as its last word, looks
for the other one's, and says that it has it (`part`). So what one side found is in both reports, and the side that owns
the folder does not remove it too early (`see_off`).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import Any

from quire.errors import StoreError
from quire.store.directory import Directories
from quire.store.posix_files import unique_name, write_all

PATIENCE = 60.0
"""Seconds of silence after which the other side counts as gone."""
_MAX_BYTES = 4 * 1024 * 1024
_PAUSE = 0.0005
_LOOK_FOR_END = 0.25
_REMIND = 0.1
_ENDED = "ended"
_SEEN = "seen"


class PeerGone(StoreError):
    """The other side ended, or does not answer any more."""


class Channel:
    """One side's end. Both count their messages alike, as they play the same script."""

    def __init__(self, folder: str, side: int, directories: Directories) -> None:
        """`folder` is the same for both; `side` 0 or 1."""
        self._folder = folder
        self._mine, self._theirs = ("a", "b") if side == 0 else ("b", "a")
        self._directories = directories
        self._turn = 0
        self._ended = False
        self.stopped: Callable[[], bool] = lambda: False
        """Asked while waiting; True ends the waiting with PeerGone."""

    @staticmethod
    def make(folder: str) -> None:
        """The folders of both sides."""
        os.mkdir(folder)
        for side in ("a", "b"):
            os.mkdir(f"{folder}/{side}")

    def post(self, content: object = None) -> None:
        """Send the message of this turn."""
        put(f"{self._folder}/{self._mine}", f"{self._turn:08d}", content)
        self._turn += 1

    def wait(self, meanwhile: Callable[[], object] | None = None, patience: float = PATIENCE) -> Any:
        """The other side's message of this turn; `meanwhile` is called between looking for it. Raises PeerGone."""
        content = self._await(f"{self._turn:08d}", patience, meanwhile, self._has_ended)
        self._turn += 1
        return content

    def _has_ended(self) -> bool:
        return self.stopped() or self._get(_ENDED) is not None

    def _get(self, name: str) -> dict[str, Any] | None:
        return get(f"{self._folder}/{self._theirs}", name, self._directories)

    def _await(
        self, name: str, patience: float, meanwhile: Callable[[], object] | None, is_over: Callable[[], bool]
    ) -> Any:
        """What the other side left under that name. `is_over`: whether it will not come any more. Raises PeerGone."""
        now = time.monotonic()
        until, look, remind = now + patience, now + _LOOK_FOR_END, now + _REMIND
        while True:
            found = self._get(name)
            now = time.monotonic()
            if found is None and now >= look:
                look = now + _LOOK_FOR_END
                if is_over():
                    found = self._get(name)  # it may have come just before the end, after the look above
                    if found is None:
                        raise PeerGone("The other side ended before it was done; run both again.")
            if found is not None:
                return found["content"]
            if now >= until:
                raise PeerGone(
                    f"Nothing was seen of the other side for {patience:.0f} seconds: it ended, or what it writes is "
                    f"not seen here; run both again."
                )
            if now >= remind:
                remind = now + _REMIND
                for side in (self._mine, self._theirs):
                    nudge(f"{self._folder}/{side}")
                nudge(self._folder.rpartition("/")[0])  # where the host's answer to the guest lies
            if meanwhile is not None:
                meanwhile()
            time.sleep(_PAUSE)

    def exchange(self, content: object, patience: float = PATIENCE) -> Any:
        """Send mine and wait for theirs, of the same turn."""
        self.post(content)
        self._turn -= 1
        return self.wait(patience=patience)

    def end(self, report: object = None) -> None:
        """Tell the other side, who may be waiting, that nothing follows but this. Once; raises OSError."""
        if not self._ended:
            put(f"{self._folder}/{self._mine}", _ENDED, report)
            self._ended = True

    def part(self, report: object, patience: float) -> Any:
        """End, and the other side's report; None when it ended without one. Raises PeerGone, OSError."""
        self.end(report)
        theirs = self._await(_ENDED, patience, None, self.stopped)
        with contextlib.suppress(OSError):  # the other one only waits a little longer
            put(f"{self._folder}/{self._mine}", _SEEN, None)
        return theirs

    def see_off(self, patience: float) -> None:
        """Wait until the other side has this side's report, but not for ever: it may be gone."""
        with contextlib.suppress(PeerGone):
            self._await(_SEEN, patience, None, self.stopped)


def nudge(folder: str) -> None:
    """Let clients notice what came into a folder. Failure only makes a message late."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def put(folder: str, name: str, content: object) -> None:
    """A message that appears complete."""
    staging = f"{folder}/.{unique_name()}"
    fd = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        write_all(fd, json.dumps({"content": content}).encode())
    finally:
        os.close(fd)
    os.rename(staging, f"{folder}/{name}")


def get(folder: str, name: str, directories: Directories) -> dict[str, Any] | None:
    """A message, when it can be seen. Raises PeerGone when the folder is gone: its owner removes it at the end."""
    opened = directories.open(folder)
    if opened is None:
        raise PeerGone("The other side ended and tidied up; run both again.")
    try:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=opened[0])
        except FileNotFoundError:
            if name not in os.listdir(opened[0]):
                return None
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=opened[0])
        with open(fd, "rb", buffering=0) as file:
            found = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return None  # not for certain yet
    finally:
        os.close(opened[0])
    return found if isinstance(found, dict) and "content" in found else None
