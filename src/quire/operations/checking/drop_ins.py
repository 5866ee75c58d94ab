"""The check of the drop-in files: how many there are, and whether each can be served."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

from quire.domain.names import printable
from quire.domain.namespaces import Grants, deciding
from quire.dropin.files import public_name
from quire.dropin.folder import Folder
from quire.operations.checking.findings import Checked, Finding, Severity

_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DropInCheck:
    """One run over the drop-in files, whose findings go to `checked`."""

    folder: Folder
    checked: Checked
    grace: float
    """Seconds in which a copy is expected to be complete."""
    quick: bool
    """Whether digests that are known are believed."""
    namespaces: Grants = ()
    """Of the index that the folder is of."""
    wall: Callable[[], float] = time.time

    def run(self) -> None:
        """Raises StoreError when a root cannot be read."""
        files = self.folder.all_files()
        self.checked.drop_in_files = len(files)
        self.checked.drop_in_projects = len(self.folder.names())
        for path in self.folder.unreadable():
            sentence = "The directory cannot be read; no file in it is served."
            self._found("unreadable-directory", printable(path), sentence)
        for path in self.folder.unprintable():
            sentence = (
                "The file is not served, since a name in its path has characters that cannot be printed; rename that. "
                "Its project keeps its name here meanwhile."
            )
            self._found("unprintable-drop-in", printable(path), sentence)
        for path in self.folder.moved():
            name = public_name(path.rpartition("/")[2])
            sentence = (
                f"An import with --move that was interrupted has left it, and it is not served: rename it to {name}, "
                "and import again. Leave it alone while an import runs."
            )
            self._found("moved-drop-in", printable(path), sentence, Severity.LEFTOVER)
        for path, project in files:
            self._check(path)
            namespace = deciding(self.namespaces, project)
            if namespace is not None:
                sentence = (
                    f"Its name is in the namespace {namespace.name}, and no right was checked when it was copied here: "
                    "its project is not shown as its owners'. 'quire import' takes it into the store."
                )
                self._found("drop-in-in-namespace", path, sentence, Severity.FOREIGN)

    def _check(self, path: str) -> None:
        opened = self.folder.open(path)
        if opened is None:
            changed = self.folder.changed(path)
            if changed is not None:  # else it was removed since the list
                is_young = self.wall() - changed < self.grace
                sentence = "The file is damaged, still being copied, or cannot be read; it is not served."
                self._found("incomplete-drop-in", path, sentence, Severity.LEFTOVER if is_young else Severity.DAMAGE)
            return
        expected = opened.drop_in.file.sha256
        try:
            with opened.file as file:
                is_damaged = not self.quick and self._digest(file) != expected and self.folder.is_same(opened)
        except OSError as error:
            sentence = f"The file cannot be read ({error.strerror or error}); check its permissions and the disk."
            self._found("unreadable-drop-in", path, sentence)
            return
        if is_damaged:
            sentence = f"Nothing changed it, and its bytes no longer have the sha256 {expected}; check the disk."
            self._found("damaged-drop-in", path, sentence)

    def _digest(self, file: BinaryIO) -> str:
        hasher = hashlib.sha256()
        file.seek(0)
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
            self.checked.bytes += len(chunk)
        return hasher.hexdigest()

    def _found(self, code: str, where: str, sentence: str, severity: Severity = Severity.DAMAGE) -> None:
        self.checked.findings.append(Finding(severity, code, where, sentence))
