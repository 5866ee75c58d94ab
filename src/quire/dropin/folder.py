"""Drop-in folders: distributions that people copy into a directory by hand, served in place, read-only.

Each answer is true at the time of its request, for any number of processes and machines, without a watcher and without
a scan per request. Three parts work together, each with its theory of operation: `tree` lists the files, `facts`
examines their content, `digests` caches the facts. This module joins them to projects.

Everything here is synchronous and thread-safe. Methods that end in `unchanged` take microseconds on a local file
system, never block, and may run on an event loop there; all others belong in a thread.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from quire.domain.errors import ConfigurationError, InvalidName, StoreError
from quire.domain.names import guess_filename, printable
from quire.dropin.digests import ProjectFacts, Rules, rotated_range
from quire.dropin.drop_in import DropIn, OpenDropIn, make_drop_in
from quire.dropin.facts import Facts, Measure, measure, offered_metadata
from quire.dropin.files import MAX_SIGNATURE_BYTES, FileStat, Fingerprint, open_regular
from quire.dropin.listing import Candidate, Listing
from quire.dropin.reports import Reports
from quire.dropin.tree import Tree
from quire.process.budget import Budget, Memory
from quire.store.contracts import Records

_REMEMBERED_BYTES = 32 * 1024 * 1024  # where no budget is given
_MAX_STATS = 25  # at all files of a project until nothing changes between two, or at one file until it can be opened


class FolderProject:
    """The drop-in files of one project at one moment: one per filename, sorted by it.

    No files means: no such project, or none of its files is complete yet. `validation` belongs to the folder.
    """

    __slots__ = ("files", "name", "validation")

    def __init__(self, name: str, files: tuple[DropIn, ...], validation: object) -> None:
        self.name = name
        self.files = files
        self.validation = validation


@dataclass(frozen=True, slots=True)
class _Validation:
    """The candidates and stats from which `files` were concluded."""

    candidates: tuple[Candidate, ...]
    file_stats: tuple[FileStat | None, ...]
    due: float
    """From when on (`clock`) the files must be examined again with the same fingerprints."""


class _Document:
    """Core metadata that is remembered."""

    __slots__ = ("bytes_in_memory", "content")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.bytes_in_memory = 100 + len(content)


class Folder:
    """The drop-in files under one or several roots. Of files with the same name, the first root's is listed."""

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        digests: Records | None = None,
        index: str = "main",
        exclude: Sequence[Path] = (),
        algorithms: Sequence[str] = (),
        network: bool | None = None,
        budget: Budget | None = None,
        facts_are_stored: bool = True,
        racy_window: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        examine: Measure = measure,
    ) -> None:
        """Nothing is read yet.

        `digests`: where the workers share what they computed, under `<index>/dropins/<project>`; None: in memory only.
        `exclude`: directories that are not listed; a store at `<root>/quire` never is.
        `algorithms`: hashlib names to compute besides sha256, md5 and blake2b_256.
        `network`: whether the roots are on a network file system; None asks the system.
        `budget`: remembered projects and documents are charged to it; None: to one of its own.
        `facts_are_stored`: False where `digests` cannot or must not be written; facts are then remembered even beyond
        the budget.
        `racy_window`: seconds after which two changes no longer share a timestamp; None finds out.
        `clock`, `wall`: monotonic seconds; seconds since the epoch. `examine`: finds the facts of an open file.

        Raises ConfigurationError for an algorithm that hashlib does not have.
        """
        for algorithm in algorithms:
            _check_algorithm(algorithm)
        self._clock = clock
        self._reports = Reports()
        self._tree = Tree(
            roots, exclude=exclude, network=network, racy_window=racy_window, clock=clock, reports=self._reports
        )
        self._records = digests
        self._index = index
        self._rules = Rules(tuple(algorithms), examine, lambda: self._tree.racy_window, clock, wall, self._reports)
        budget = budget or Budget(_REMEMBERED_BYTES)
        # Where they are not stored there is nothing to get facts back from but the files.
        self._facts_are_stored = facts_are_stored
        can_be_had_again = digests is not None and facts_are_stored
        self.facts: Memory[ProjectFacts] = Memory(budget if can_be_had_again else Budget(sys.maxsize))
        self.documents: Memory[_Document] = Memory(budget)
        self._lock = threading.Lock()  # over `facts` and the pairs
        self._pairs: tuple[Listing | None, tuple[tuple[str, str], ...]] = (None, ())

    @property
    def roots(self) -> tuple[str, ...]:
        """The real paths of the roots."""
        return self._tree.roots

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many reports of files and directories that cannot be served were made here, by the reason."""
        return self._reports.counts

    @property
    def validates_inline(self) -> bool:
        """Whether `unchanged` and `names_unchanged` take microseconds, so that they may run on an event loop."""
        return self._tree.is_local

    # -- names --------------------------------------------------------------------------------------------------------

    def names(self, known: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The normalized names of all projects with a file, sorted: the very object `known` when they are unchanged.

        Judged by filenames alone, so a project may be among them all of whose files are still incomplete.
        Raises StoreError when a root cannot be read.
        """
        names = self._tree.refresh().names
        return known if known is not None and known == names else names

    def names_unchanged(self, known: tuple[str, ...]) -> bool:
        """Whether `names` would certainly return `known`. False when that takes longer to find out."""
        listing = self._tree.current()
        return listing is not None and (listing.names is known or listing.names == known)

    def all_files(self) -> tuple[tuple[str, str], ...]:
        """(relative path, project) of every file, copies included, sorted; judged by filenames alone.

        Raises StoreError when a root cannot be read.
        """
        listing = self._tree.refresh()
        with self._lock:
            if self._pairs[0] is not listing:
                pairs = sorted((path, candidate.parsed.project) for path, candidate in listing.by_path.items())
                self._pairs = (listing, tuple(pairs))
            return self._pairs[1]

    def count(self) -> int:
        """How many files `all_files` would name. Raises StoreError when a root cannot be read."""
        return len(self._tree.refresh().by_path)

    def unreadable(self) -> tuple[str, ...]:
        """The directories below the roots that cannot be read. Raises StoreError when a root cannot be."""
        return self._tree.refresh().unreadable

    def moved(self) -> tuple[str, ...]:
        """The relative paths of files that an import has renamed and has yet to remove, or never will if it was killed.

        Raises StoreError when a root cannot be read.
        """
        return self._tree.moved()

    def unprintable(self) -> tuple[str, ...]:
        """The relative paths of distributions that are not served for a character of their path, sorted.

        Raises StoreError when a root cannot be read.
        """
        return self._tree.unprintable()

    def changed(self, relative_path: str) -> float | None:
        """When the file with this path last changed (seconds since the epoch); None when there is none."""
        listing = self._tree.refresh()
        candidate = listing.by_path.get(relative_path)
        file_stat = self._tree.stat(candidate, listing) if candidate is not None else None
        return None if file_stat is None else file_stat.fingerprint.ctime_ns / 1e9

    def claims(self, name: str) -> bool:
        """Whether a project (normalized name) belongs here although none of its files may be served, or none is left.

        That is: a file is here whose name contains it, complete or not; or the shared digests have a file of it that
        was served from here before. Raises StoreError when this is not known: a directory that may hold its files
        cannot be read.
        """
        listing = self._tree.refresh()
        if name in listing.projects or name in listing.traces:
            return True
        if listing.unreadable:
            raise StoreError(
                f"The directory {printable(listing.unreadable[0])} cannot be read, so it is not known whether {name} "
                "is a project of this index; its operator has to make it readable, or move it away."
            )
        try:
            key = f"{self._index}/dropins/{name}"
            return self._records is not None and self._records.read(key).was_written
        except InvalidName:  # too long for a record; then there never was one
            return False

    # -- projects -----------------------------------------------------------------------------------------------------

    def project(self, name: str, known: FolderProject | None = None) -> FolderProject:
        """The drop-in files of a project (normalized name): the very object `known` when they are unchanged.

        The first time it reads all files that no worker has read before. A file that is not complete, not readable, or
        changes while it is read is not listed, and examined again when its fingerprint changes.
        Raises StoreError when a root cannot be read, or the files never were found to be the same for long enough to
        have been so together: an answer that mixes two states of them would be of no instant.
        """
        project = None
        for _ in range(_MAX_STATS):
            listing = self._tree.refresh()
            if known is not None and self.unchanged(name, known, listing):
                return known
            before, project = project, self._judged(name, listing)
            if self._is_of_one_instant(name, project, before):
                break
        else:
            raise StoreError(f"The files of {name} change faster than they can be read; ask again when they rest.")
        assert project is not None
        if known is not None and known.name == name and known.files == project.files:
            known.validation = project.validation
            return known
        return project

    def _judged(self, name: str, listing: Listing) -> FolderProject:
        """The files, each as it was at its stat."""
        candidates = listing.projects.get(name, ())
        file_stats = tuple(self._tree.stat(candidate, listing) for candidate in candidates)
        if not candidates:
            self.facts.drop(name)
            return FolderProject(name, (), _Validation((), (), math.inf))
        facts = self._project_facts(name)
        with facts.lock:
            files, file_stats, due = self._judge(facts, candidates, file_stats)
        self.facts.account(name, facts)
        return FolderProject(name, files, _Validation(candidates, file_stats, due))

    def _is_of_one_instant(self, name: str, project: FolderProject, before: FolderProject | None) -> bool:
        """Whether all files are still what they were found to be: then they were so together, before this question.

        Where a fingerprint may hide a change, only the content can tell: then the files must have been found to be the
        same twice in a row. `before`: how they were found the last time.
        """
        validation = project.validation
        assert isinstance(validation, _Validation)
        if not validation.candidates:
            return True  # one listing had none
        is_only_one = len(validation.candidates) == len(project.files) == 1  # so it was, with no other one beside it
        if validation.due != math.inf and not is_only_one:
            return before is not None and _is_same_finding(project, before)
        listing = self._tree.refresh()
        candidates = listing.projects.get(name, ())
        return candidates == validation.candidates and (
            is_only_one or self._tree.is_same(candidates, validation.file_stats, listing)
        )

    def current(self) -> Listing | None:
        """All files by name, if that can be had at once and is certainly true now; for `unchanged`."""
        return self._tree.current()

    def unchanged(self, name: str, known: FolderProject | None, listing: Listing | None = None) -> bool:
        """Whether `project` would certainly return `known`. False when that takes longer to find out.

        `listing`: the result of `current` in this tick, for a caller that asks about several projects.
        """
        listing = listing or self._tree.current()
        if known is None or listing is None:
            return False
        validation = known.validation
        if known.name != name or not isinstance(validation, _Validation):
            return False
        candidates = listing.projects.get(name, ())
        if validation.candidates is not candidates and validation.candidates != candidates:
            return False
        if not candidates:
            return True
        if self._clock() >= validation.due:
            return False
        return self._tree.is_same(candidates, validation.file_stats, listing)

    def _judge(
        self, facts: ProjectFacts, candidates: tuple[Candidate, ...], file_stats: tuple[FileStat | None, ...]
    ) -> tuple[tuple[DropIn, ...], tuple[FileStat | None, ...], float]:
        """The complete files, of each filename the preferred copy that is one; what was found to be there; and when to
        judge again.

        Reads what must be read, and no copy that is not needed.
        """
        facts.begin(candidates)
        judged = list(file_stats)
        places = groupby(range(len(candidates)), key=lambda place: candidates[place].parsed.filename)
        copies = [list(group) for _, group in places]
        found: dict[str, DropIn] = {}
        due = math.inf
        for turn in rotated_range(len(copies)):
            for place in copies[turn]:
                candidate, file_stat = candidates[place], file_stats[place]
                if file_stat is None:
                    continue
                known = facts.of(candidate, file_stat)
                if known is not None and known.complete:  # of the file that took its place, if another one did
                    file_stat = judged[place] = FileStat(file_stat.path, known.fingerprint)
                due = min(due, facts.due(candidate, file_stat))
                is_changing = known is None or not (known.complete or known.past_racy_window)
                if is_changing and not facts.is_stale(candidate):
                    judged[place] = None  # a copy that grows: not there yet, whatever its size is at each look
                if facts.should_save:
                    facts.save(candidates, len(self.roots))
                if known is not None and known.complete:
                    found[candidate.parsed.filename] = make_drop_in(candidate, file_stat, known)
                    break
        facts.save(candidates, len(self.roots))
        return tuple(found[filename] for filename in sorted(found)), tuple(judged), due

    def _project_facts(self, name: str) -> ProjectFacts:
        with self._lock:
            facts = self.facts.get(name)
            if facts is None:
                key = f"{self._index}/dropins/{name}"
                facts = ProjectFacts(self._records, key, self._rules, is_writing=self._facts_are_stored)
                self.facts.put(name, facts)
            return facts

    # -- single files -------------------------------------------------------------------------------------------------

    def find(self, relative_path: str) -> DropIn | None:
        """The file that `open` would open."""
        opened = self.open(relative_path)
        if opened is None:
            return None
        opened.file.close()
        return opened.drop_in

    def open(self, relative_path: str) -> OpenDropIn | None:
        """The complete file with this relative path (unquoted), also if its project lists another copy; else None.

        The file is opened first and then judged, so the facts are those of the open file, even when another file was
        renamed over it meanwhile. The path is only compared with paths that were found in the folders; it never reaches
        the file system. Raises StoreError when a root cannot be read, or the file is replaced before each opening.
        """
        stale: OSError | None = None
        for _ in range(_MAX_STATS):
            stale = None
            listing = self._tree.refresh()
            candidate = listing.by_path.get(relative_path)
            if candidate is None:
                return None
            facts = self._project_facts(candidate.parsed.project)
            try:
                file_stat, fd = self._tree.open(candidate, listing)
                file = open(fd, "rb")  # noqa: SIM115 - closed below, or by the caller
                known = self._facts_of(facts, listing, candidate, file_stat, file)
            except FileNotFoundError:
                continue  # removed since the listing, or about to be renamed back
            except OSError as error:
                if error.errno == errno.ESTALE:
                    stale = error
                    continue  # another client of the file server has removed it, or replaced it
                facts.left_out(candidate, error)
                return None
            if known is not None and known.complete:
                return OpenDropIn(make_drop_in(candidate, file_stat, known), file)
            file.close()
            if known is not None:
                return None
        if stale is not None:
            raise StoreError(f"{relative_path} is replaced faster than it can be opened; ask again.") from stale
        return None

    @staticmethod
    def is_same(opened: OpenDropIn) -> bool:
        """Whether an open file is still as it was when it was opened."""
        return Fingerprint.of(os.fstat(opened.file.fileno())) == opened.drop_in.fingerprint

    def _facts_of(
        self, facts: ProjectFacts, listing: Listing, candidate: Candidate, file_stat: FileStat, file: BinaryIO
    ) -> Facts | None:
        """The facts of an open file; None when it changes meanwhile. Raises OSError, with the file closed."""
        candidates = listing.projects[candidate.parsed.project]
        try:
            with facts.lock:
                facts.begin(candidates)
                known = facts.of(candidate, file_stat, file)
                facts.save(candidates, len(self.roots))
        except BaseException:
            file.close()
            raise
        self.facts.account(candidate.parsed.project, facts)
        return known

    def signature(self, drop_in: DropIn) -> bytes | None:
        """The detached signature that lies beside a file now; None when there is none, or what is there is none.

        Raises StoreError when a root cannot be read.
        """
        candidate = self._tree.refresh().by_path.get(drop_in.relative_path)
        if candidate is None or not candidate.is_signed:
            return None
        try:
            with open(open_regular(f"{candidate.path}.asc"), "rb") as file:
                is_plain = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
                content = file.read(MAX_SIGNATURE_BYTES + 1) if is_plain else b""
        except OSError:
            return None
        return content if 0 < len(content) <= MAX_SIGNATURE_BYTES else None

    def metadata_document(self, drop_in: DropIn, file: BinaryIO | None = None) -> bytes | None:
        """The core metadata in the file, exactly the bytes whose digest is listed; None when there is none (now).

        `file`: the file itself, opened; None: what lies there now.
        """
        digest = drop_in.file.metadata_sha256
        if digest is None:
            return None
        known = self.documents.get(digest)
        if known is not None:
            return known.content
        try:
            if file is not None:
                document = _read_metadata(file, drop_in)
            else:
                with open(open_regular(drop_in.path), "rb") as opened:
                    document = _read_metadata(opened, drop_in)
        except OSError:
            return None
        if document is None or hashlib.sha256(document).hexdigest() != digest:
            return None
        self.documents.put(digest, _Document(document))
        return document


def _is_same_finding(one: FolderProject, other: FolderProject) -> bool:
    now, before = one.validation, other.validation
    assert isinstance(now, _Validation)
    assert isinstance(before, _Validation)
    return (one.files, now.candidates, now.file_stats) == (other.files, before.candidates, before.file_stats)


def _read_metadata(file: BinaryIO, drop_in: DropIn) -> bytes | None:
    parsed = guess_filename(drop_in.file.filename)
    if parsed is None:
        return None
    file.seek(0)
    return offered_metadata(file, parsed)[0]


def _check_algorithm(name: str) -> None:
    try:
        hashlib.new(name, usedforsecurity=False).hexdigest()
    except (ValueError, TypeError):  # TypeError: shake_* have no digest size of their own
        raise ConfigurationError(f"{name!r} is not a hash algorithm of this Python; use sha256, for example.") from None
