"""A person who copies files into a served directory, in all the ways in which people and programs do it.

The judge holds quire to the text of docs/consistency.md. A rename puts the whole file there in one step. A file that
is copied to its final name is absent from the moment that the old content is truncated until the last byte is there,
which here are two changes: a deletion and a publication. Files are made of one size and with one mtime wherever that
can be.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.linearizability.model import Delete, ProjectWrite, Publish
from tests.linearizability.plan import Plan, all_filenames
from tests.linearizability.recording import Recording, now
from tests.linearizability.writers import Writer, distribution

_MTIME = 1_700_000_000
_PIECES = 3


class Dropper(Writer):
    """Puts files of one project into the directory and takes them out; no other client changes that project."""

    def __init__(self, plan: Plan, project: str, number: int, recording: Recording) -> None:
        super().__init__(plan, f"dropper of {project}", number, recording)
        self._project = project
        self._present: set[str] = set()
        self._root = ""

    def step(self) -> None:
        choose = self.choose
        filename = choose.choice(all_filenames(self._project))
        root = choose.choice(self.plan.stores)
        if root != self._root:
            # On another machine: without a look at the directory, a copy may go to a file that the first one removed.
            os.listdir(root)
            self._root = root
        path = Path(root) / filename
        way = choose.choice(("rename", "rename", "copy", "copy", "remove", "remove and copy"))
        if way.startswith("remove") and filename in self._present:
            self._did(Delete(frozenset({filename})), path.unlink)
            self._present.discard(filename)
        if way == "remove":
            return
        self.changes += 1
        content = distribution(self._project, filename, f"{self.changes:06}")
        write = Publish(((filename, hashlib.sha256(content).hexdigest()),))
        if way == "rename":
            staging = path.with_name(f".{filename}.{self.changes}")
            staging.write_bytes(content)
            os.utime(staging, (_MTIME, _MTIME))
            self._did(write, lambda: staging.rename(path))
        else:
            self._copy(path, filename, content, write)
        self._present.add(filename)

    def _copy(self, path: Path, filename: str, content: bytes, write: ProjectWrite) -> None:
        """As cp -p does it: open, truncate, write in pieces, close, set the mtime."""
        size = len(content) // _PIECES
        invoked = now()
        with path.open("wb", buffering=0) as file:
            if filename in self._present:
                self.took_effect(self._project, Delete(frozenset({filename})), invoked)
            for start in range(0, (_PIECES - 1) * size, size):
                file.write(content[start : start + size])
                if self.choose.random() < 0.5:
                    time.sleep(self.choose.random() * 0.01)
            invoked = now()
            file.write(content[(_PIECES - 1) * size :])
        os.utime(path, (_MTIME, _MTIME))
        self.took_effect(self._project, write, invoked)

    def _did(self, write: ProjectWrite, do: Callable[[], object]) -> None:
        invoked = now()
        do()
        self.took_effect(self._project, write, invoked)

    def took_effect(self, project: str, write: ProjectWrite, invoked: int) -> None:
        super().took_effect(project, write, invoked)
        self.recording.counts["dropped in"] += 1
