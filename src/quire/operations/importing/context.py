"""The context that all projects of one import share: the source, the index, the progress, and the way to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from quire.domain.errors import QuireError, StoreError
from quire.domain.names import encodable
from quire.dropin.facts import Facts, decode_facts
from quire.dropin.files import FileStat
from quire.dropin.folder import Folder
from quire.dropin.listing import NOTHING, Candidate, Listing
from quire.dropin.tree import Tree
from quire.index.index import Index
from quire.index.upload import new_blob_key
from quire.operations.importing import source as files
from quire.operations.importing.outcome import Outcome, Result
from quire.process.progress import Progress
from quire.store.contracts import Staged


class Stopped(BaseException):
    """Raised in the worker threads when the import is given up. No error: no handler on the way must catch it."""


def _unread(relative: str, sentence: str) -> Result:
    path = encodable(relative)
    return Result(path, "", path.rpartition("/")[2], 0, Outcome.REFUSED, sentence, failed=True)


class ImportContext:
    """Shared by the threads that import the projects. Use once."""

    def __init__(
        self,
        index: Index,
        source: Path,
        *,
        drop_ins: Folder | None,
        exclude: Sequence[Path],
        facts_apply: bool,
        move: bool,
        link: bool,
        progress: Progress | None,
    ) -> None:
        """See `Importer`."""
        self.index = index
        self.moves = move
        self._tree = Tree([source], exclude=exclude)
        self._listing = NOTHING
        self._drop_ins = drop_ins
        self._drop_in_names: dict[str, set[str]] = {}
        self._facts_apply = facts_apply
        self._link = link
        self._progress = progress or Progress()
        self._stop = threading.Event()
        self._link_targets: frozenset[str] = frozenset()
        # sources that symbolic links lead to, removed last
        self._late: dict[str, tuple[Candidate, FileStat, bool]] = {}

    def begin(self) -> Listing:
        """The files of the source. Raises StoreError when it cannot be read."""
        self._listing = listing = self._tree.refresh()
        candidates = tuple(listing.by_path.values())
        file_stats = [self._tree.stat(candidate, listing) for candidate in candidates]
        self._progress.step(
            self._tree.roots[0], sum(file_stat.fingerprint.size for file_stat in file_stats if file_stat is not None)
        )
        pairs = zip(candidates, file_stats, strict=True)
        self._link_targets = frozenset(
            file_stat.path for candidate, file_stat in pairs if candidate.is_link and file_stat is not None
        )
        for path, project in self._drop_ins.all_files() if self._drop_ins is not None else ():
            self._drop_in_names.setdefault(project, set()).add(path.rpartition("/")[2])
        return listing

    def unread(self) -> list[Result]:
        """A failed result for each folder of the source that was not read, so that an import with a gap is no success.

        Raises StoreError.
        """
        root = self._tree.roots[0]
        unread = [
            (path, "This folder cannot be read, and its files were not imported; make it readable, and repeat.")
            for path in self._listing.unreadable
        ]
        for folder in self._listing.folders:
            try:
                with os.scandir(folder) as found:
                    names = [each.name for each in found if each.is_dir(follow_symlinks=False)]
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(
                    f"The directory {folder} cannot be read ({error.strerror}); repeat the import."
                ) from error
            unread += [
                (f"{folder}/{name}", "This folder was not read for the characters of its name; rename it, and repeat.")
                for name in names
                if not name.isprintable()
                and not name.startswith(".")
                and f"{folder}/{name}" not in self._listing.unreadable
            ]
        return [_unread(os.path.relpath(path, root), sentence) for path, sentence in sorted(unread)]

    def stop(self) -> None:
        """Have every thread raise at its next `advance`."""
        self._stop.set()

    def remove_late_sources(self) -> dict[str, str | None]:
        """Remove the files that symbolic links of the source led to; by relative path, the reason why one stays."""
        late = self._late.items()
        return {
            path: files.remove(candidate, file_stat, linked=linked) for path, (candidate, file_stat, linked) in late
        }

    def result(
        self,
        candidate: Candidate,
        file_stat: FileStat | None,
        outcome: Outcome,
        note: str | None = None,
        *,
        removed: bool = False,
    ) -> Result:
        """The result for a file."""
        return Result(
            path=candidate.relative,
            project=candidate.parsed.project,
            filename=candidate.parsed.filename,
            size=file_stat.fingerprint.size if file_stat is not None else 0,
            outcome=outcome,
            note=note,
            removed=removed,
            failed=outcome in {Outcome.CONFLICT, Outcome.REFUSED} or (self.moves and not removed),
        )

    def advance(self, amount: int) -> None:
        """So many bytes were read. Raises when the import was given up meanwhile."""
        if self._stop.is_set():
            raise Stopped
        self._progress.advance(amount)

    def stat(self, candidate: Candidate) -> FileStat | None:
        """The file as it is now; None when it is not to be taken."""
        return self._tree.stat(candidate, self._listing)

    def facts(self, project: str) -> dict[str, Facts]:
        """The facts that servers have already found out about the source's files, by candidate key."""
        if not self._facts_apply:
            return {}
        try:
            return decode_facts(self.index.store.records.read(f"{self.index.name}/dropins/{project}").data) or {}
        except QuireError:
            return {}  # they only save time

    def drop_in_digest(self, project: str, filename: str) -> str | None:
        """sha256 of the drop-in file of this name that is served beside the store; None when there is none."""
        if self._drop_ins is None or filename not in self._drop_in_names.get(project, ()):
            return None
        found = {each.file.filename: each.file.sha256 for each in self._drop_ins.project(project).files}
        return found.get(filename)

    def stage(self, candidate: Candidate, file_stat: FileStat) -> tuple[Staged, bool, FileStat]:
        """The bytes of a source file in the staging, whether they are the file itself, and the file as it is now.

        Raises Refused.
        """
        blobs, key = self.index.store.blobs, new_blob_key(candidate.parsed)
        if self._link:
            adopted = blobs.adopt(file_stat.path, key, self.advance)
            if adopted is not None:
                try:
                    return adopted, True, files.stat_again(file_stat)
                except files.Refused:
                    adopted.discard()
                    raise
            file_stat = files.stat_again(file_stat)
        staging = blobs.stage(key)
        try:
            files.read_unchanged(file_stat, staging.write, self.advance)
            return staging.finish(), False, file_stat
        except BaseException:
            staging.discard()
            raise

    def remove_source(self, candidate: Candidate, file_stat: FileStat, *, linked: bool) -> str | None:
        """Remove a source file that is safe in the store; the reason when it stays. `linked`: as for `files.remove`.

        A file that symbolic links of the source lead to goes last, so that they can be read until then.
        """
        if file_stat.path in self._link_targets and not candidate.is_link:
            self._late[candidate.relative] = (candidate, file_stat, linked)
            return None
        return files.remove(candidate, file_stat, linked=linked)
