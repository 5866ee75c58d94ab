"""The two forms of an exported mirror: a folder, and one file that is a tar archive.

    manifest.jsonl      the list (`quire.operations.mirroring.manifest`); in an archive it comes first
    pages/<sha256>      pages, compressed with zstd
    files/<sha256>      files, and metadata beside them

Reading trusts neither. In a folder only names that the list gives are opened, below it, and no link is followed. In an
archive only plain members with these names are taken, in any order after the list, each of them once; no header of an
extension is read, and names and sizes never reach the file system. All bytes are bounded by the list, and their digests
are the reader's part.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from quire.archives.plain_tar import BLOCK, END, head_of, read_head
from quire.domain.errors import ConfigurationError, InvalidRequest, StoreError, reason_of
from quire.operations.mirroring import manifest

PAGES: Final = "pages"
FILES: Final = "files"
PIECE: Final = 1024 * 1024
_END_EARLY: Final = "The export ends early: it is not whole. Copy it again, and repeat: files that are here stay here."

Pieces = Iterable[bytes]


class Writer(Protocol):
    """Takes in an export."""

    @property
    def list_comes_first(self) -> bool:
        """Whether the list is needed before all else."""
        ...

    def has(self, folder: str, sha256: str, size: int) -> bool:
        """Whether these bytes are there already, of an export that ended half-way or an older one."""
        ...

    def add(self, folder: str, sha256: str, size: int, pieces: Pieces) -> None:
        """Raises StoreError."""
        ...

    def add_list(self, data: bytes) -> None:
        """Raises StoreError."""
        ...


class Reader(Protocol):
    """Gives an export."""

    def read_list(self) -> bytes:
        """Raises InvalidRequest."""
        ...

    def read(self, folder: str, sizes: Mapping[str, int]) -> Iterator[tuple[str, Pieces]]:
        """All things with these digests and sizes; each one's bytes are read before the next. Call it once for pages,
        then once for files. Raises InvalidRequest for what is missing, longer or shorter."""
        ...

    def finish(self, sizes: Mapping[str, int]) -> None:
        """Read on to the end, without the bytes of what is not needed. `sizes`: of all files of the list, by digest.
        Raises InvalidRequest for an export in which one is missing, or that ends early."""
        ...


# -- a folder ---------------------------------------------------------------------------------------------------------


class FolderWriter:
    """Each thing is complete under its name, or not there; the list comes last."""

    list_comes_first = False

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError for a folder with other things in it."""
        self._path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            others = {each.name for each in path.iterdir()} - {manifest.NAME, PAGES, FILES}
            if others:
                raise ConfigurationError(f"{path} has other files in it, such as {min(others)}; name an empty folder.")
            for folder in (PAGES, FILES):
                (path / folder).mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written ({reason_of(error)}).") from error

    def has(self, folder: str, sha256: str, size: int) -> bool:
        path = self._path / folder / sha256
        try:
            with path.open("rb") as file:
                return (
                    os.fstat(file.fileno()).st_size == size
                    and hashlib.file_digest(file, "sha256").hexdigest() == sha256
                )
        except OSError:
            return False

    def add(self, folder: str, sha256: str, size: int, pieces: Pieces) -> None:
        self._write(self._path / folder / sha256, pieces)

    def add_list(self, data: bytes) -> None:
        for folder in (PAGES, FILES):
            _sync(self._path / folder)
            for left in (self._path / folder).glob(".*"):  # of exports that were killed
                left.unlink(missing_ok=True)
        self._write(self._path / manifest.NAME, (data,))
        _sync(self._path)

    def _write(self, path: Path, pieces: Pieces) -> None:
        with _replacing(path) as file:
            for piece in pieces:
                file.write(piece)


class FolderReader:
    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError for a folder without a list."""
        self._path = path
        if not (path / manifest.NAME).is_file():
            raise ConfigurationError(
                f"{path} has no {manifest.NAME}: it is no export of 'quire mirror export', or one that ended half-way."
            )

    def read_list(self) -> bytes:
        with self._open(manifest.NAME) as file:
            return file.read(manifest.MOST_BYTES)

    def read(self, folder: str, sizes: Mapping[str, int]) -> Iterator[tuple[str, Pieces]]:
        for sha256, size in sizes.items():
            with self._open(folder, sha256) as file:
                _check_size(folder, sha256, size, os.fstat(file.fileno()).st_size)
                yield sha256, _pieces(file, size)

    def finish(self, sizes: Mapping[str, int]) -> None:
        for sha256, size in sizes.items():
            with self._open(FILES, sha256) as file:
                _check_size(FILES, sha256, size, os.fstat(file.fileno()).st_size)

    @contextmanager
    def _open(self, *names: str) -> Iterator[BinaryIO]:
        """A plain file below the folder; no link on the way is followed. Raises InvalidRequest."""
        flags = os.O_RDONLY | os.O_CLOEXEC
        at = os.open(self._path, flags | os.O_DIRECTORY)
        try:
            for name in names:
                last = name is names[-1]
                below = os.open(name, flags | os.O_NOFOLLOW | (os.O_NONBLOCK if last else os.O_DIRECTORY), dir_fd=at)
                os.close(at)
                at = below
            if not stat.S_ISREG(os.fstat(at).st_mode):
                raise InvalidRequest(f"The export is damaged: {'/'.join(names)} is no plain file.")
        except OSError as error:
            os.close(at)
            raise InvalidRequest(
                f"The export is not whole: {'/'.join(names)} cannot be read ({reason_of(error)}). Copy it again, and "
                "repeat: files that are here stay here."
            ) from None
        except BaseException:
            os.close(at)
            raise
        with open(at, "rb") as file:
            yield file


# -- an archive -------------------------------------------------------------------------------------------------------


class ArchiveWriter:
    """The archive has its name when it is whole (`close`)."""

    list_comes_first = True

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def has(self, folder: str, sha256: str, size: int) -> bool:
        return False

    def add(self, folder: str, sha256: str, size: int, pieces: Pieces) -> None:
        self._add(f"{folder}/{sha256}", size, pieces)

    def add_list(self, data: bytes) -> None:
        self._add(manifest.NAME, len(data), (data,))

    def end(self) -> None:
        """Write the end of the archive."""
        self._file.write(END)

    def _add(self, name: str, size: int, pieces: Pieces) -> None:
        self._file.write(head_of(name, size))
        written = 0
        for piece in pieces:
            self._file.write(piece)
            written += len(piece)
        if written != size:
            raise StoreError("A file was removed from the mirror meanwhile; export once more.")
        self._file.write(bytes(-size % BLOCK))


@contextmanager
def writing_archive(path: Path) -> Iterator[ArchiveWriter]:
    """An archive, which has its name if the block ends without an error. Raises StoreError."""
    with _replacing(path) as file:
        writer = ArchiveWriter(file)
        yield writer
        writer.end()


class ArchiveReader:
    """Reads an archive from its beginning to its end, once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._seen: set[str] = set()
        """The digests of the files that were met."""

    def read_list(self) -> bytes:
        head = self._head()
        if head is None or head[0] != manifest.NAME:
            raise InvalidRequest("The file is no export of 'quire mirror export'.")
        if head[1] > manifest.MOST_BYTES:
            raise InvalidRequest("The list of the export is too long.")
        data = b"".join(_pieces(self._file, head[1]))
        self._skip(-head[1] % BLOCK)
        return data

    def read(self, folder: str, sizes: Mapping[str, int]) -> Iterator[tuple[str, Pieces]]:
        missing = dict(sizes)
        while missing:
            head = self._next()
            if head is None:
                raise InvalidRequest(_END_EARLY)
            place, sha256, size = head
            if place == FILES and folder == PAGES:
                raise InvalidRequest("The export is damaged: a page that its list names is not in it.")
            wanted = missing.pop(sha256, None) if place == folder else None
            if wanted is None:  # not needed any more, or of another folder
                self._skip(size)
            else:
                _check_size(place, sha256, wanted, size)
                yield sha256, _pieces(self._file, size)
            self._skip(-size % BLOCK)

    def finish(self, sizes: Mapping[str, int]) -> None:
        while (head := self._next()) is not None:
            place, sha256, size = head
            if place == FILES and sha256 in sizes:
                _check_size(place, sha256, sizes[sha256], size)
            self._skip(size + -size % BLOCK)
        if self._file.read(BLOCK) != bytes(BLOCK) or not sizes.keys() <= self._seen:  # the second block of the end
            raise InvalidRequest(_END_EARLY)

    def _next(self) -> tuple[str, str, int] | None:
        """Folder, digest and size of the next member; None at the end. Raises InvalidRequest for one that no export
        has, and where the archive was cut."""
        head = self._head()
        if head is None:
            return None
        place, _, sha256 = head[0].partition("/")
        if place not in {PAGES, FILES} or len(sha256) != 64:
            raise InvalidRequest(f"The export has a member {head[0][:100]!r} that no export has.")
        if place == FILES:
            self._seen.add(sha256)
        return place, sha256, head[1]

    def _head(self) -> tuple[str, int] | None:
        """Name and size of the next member; None at the end. Raises InvalidRequest for one that is no plain file."""
        block = self._file.read(BLOCK)
        if len(block) < BLOCK:
            raise InvalidRequest(_END_EARLY)
        return read_head(block)

    def _skip(self, size: int) -> None:
        for _ in _pieces(self._file, size):
            pass


# -- both -------------------------------------------------------------------------------------------------------------


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """So many bytes. Raises InvalidRequest when there are fewer."""
    while size > 0:
        piece = file.read(min(size, PIECE))
        if not piece:
            raise InvalidRequest(_END_EARLY)
        size -= len(piece)
        yield piece


def _check_size(folder: str, sha256: str, wanted: int, found: int) -> None:
    if found != wanted:
        raise InvalidRequest(f"The export is damaged: {folder}/{sha256} has not the {wanted} bytes that it should.")


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file, which takes the name in one step, durably, if the block ends without an error. Raises StoreError."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({reason_of(error)}).") from error


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
