"""The list of the files in the drop-in folders, put together of what is remembered of each directory."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quire.domain.names import ParsedFilename
from quire.store.posix.directory import Seen

_GONE = {0, errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""Failures after which there is nothing (any more) that should have been read; 0 is none."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that, by its name, is a distribution. Nothing is known about its content."""

    root: int
    """Which of the roots, counted from 0."""
    relative: str
    """Its path below the root, separated by `/`."""
    path: str
    """Its absolute path."""
    is_link: bool
    is_signed: bool
    """Whether `<file>.asc` lies beside it."""
    parsed: ParsedFilename

    @property
    def key(self) -> str:
        """Names the file among those of all roots."""
        return f"{self.root}/{self.relative}"


@dataclass(frozen=True, slots=True)
class Listing:
    """All candidates at one moment. A later one shares every part with it that is still the same."""

    projects: dict[str, tuple[Candidate, ...]]
    """By normalized name; ordered by filename, and copies of one filename by which is preferred: the earlier root, then
    the shorter path, then the alphabet."""
    names: tuple[str, ...]
    """The keys of `projects`, sorted."""
    by_path: dict[str, Candidate]
    """By relative path. Where two roots have the same one, the later root's is hidden altogether."""
    folders: frozenset[str]
    """The absolute paths of all listed directories."""
    traces: frozenset[str]
    """The projects that files which are no candidates belong to, by their names: partial copies, signatures."""
    unreadable: tuple[str, ...]
    """The absolute paths of directories that may hold files, and cannot be read."""


NOTHING = Listing({}, (), {}, frozenset(), frozenset(), ())


class Directory:
    """The remembered state of one directory."""

    __slots__ = ("children", "entries", "failure", "is_listed", "others", "path", "relative", "root", "seen", "traces")

    def __init__(self, root: int, relative: str, path: str) -> None:
        self.root = root
        self.relative = relative
        self.path = path
        self.seen: Seen | None = None
        self.entries: dict[str, Candidate | None] = {}  # None: not a distribution; remembered so as not to guess again
        self.others: frozenset[str] = frozenset()
        """The names of files that are no candidates."""
        self.traces: frozenset[str] = frozenset()
        """The projects that these belong to."""
        self.children: tuple[str, ...] = ()
        self.failure = 0  # the errno with which it could not be read; 0: it could
        self.is_listed = False  # whether its files are served: read, printable, and not a store

    @property
    def is_printable(self) -> bool:
        """Whether its files can be served: no name in its relative path has a character that cannot be printed."""
        return self.relative.isprintable()

    def place(self, name: str) -> str:
        """The relative path of a name in it."""
        return f"{self.relative}/{name}" if self.relative else name


def _candidates(directories: Sequence[Directory]) -> Iterator[Candidate]:
    for directory in directories:
        yield from filter(None, directory.entries.values())


def merge(directories: Sequence[Directory], before: Listing) -> Listing:
    """The listing of all directories, made of the parts of the one before wherever they are equal."""
    by_path: dict[str, Candidate] = {}
    for candidate in sorted(_candidates(directories), key=lambda candidate: candidate.root):
        by_path.setdefault(candidate.relative, candidate)
    collected: dict[str, list[Candidate]] = {}
    for candidate in by_path.values():
        collected.setdefault(candidate.parsed.project, []).append(candidate)
    projects = {}
    for name, candidates in collected.items():
        candidates.sort(key=_preference)
        ordered, old = tuple(candidates), before.projects.get(name)
        projects[name] = old if old == ordered else ordered
    names = tuple(sorted(projects))
    return Listing(
        projects,
        before.names if before.names == names else names,
        by_path,
        folders=frozenset(directory.path for directory in directories if directory.is_listed),
        traces=frozenset().union(*(directory.traces for directory in directories)),
        unreadable=tuple(directory.path for directory in directories if directory.failure not in _GONE),
    )


def _preference(candidate: Candidate) -> tuple[str, int, int, str]:
    return (candidate.parsed.filename, candidate.root, len(candidate.relative), candidate.relative)
