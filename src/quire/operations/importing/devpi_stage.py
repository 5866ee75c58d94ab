"""The projects of one index of an export of devpi, as `IndexImporter` asks for those of another index."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

from quire.domain.errors import DigestMismatch, TooLarge, UpstreamError
from quire.domain.names import guess_filename
from quire.dropin.files import open_regular
from quire.operations.importing.devpi_export import Export, ExportedFile, inside
from quire.operations.importing.devpi_plan import by_project
from quire.operations.importing.source import Refused
from quire.process.in_thread import in_thread
from quire.upstream.client import WITH_OLD_DIGESTS, Sink
from quire.upstream.pages import UpstreamFile, UpstreamPage

S = TypeVar("S", bound=Sink)
_CHUNK: Final = 1024 * 1024


class DevpiStage:
    """Immutable."""

    reached = True

    def __init__(self, folder: Path, export: Export, there: str) -> None:
        """`there`: USER/INDEX."""
        self.url = there
        self._folder = os.path.realpath(folder)
        self._projects = by_project(export, there)
        self._files = {file.relpath: file for files in self._projects.values() for file in files}

    async def projects(self) -> tuple[str, ...]:
        """The names of the projects that have files."""
        return tuple(sorted(self._projects))

    async def page(self, name: str, left_out: list[str] | None = None) -> UpstreamPage | None:
        """The files of a project. `left_out`: gets the names of those that are not of the project."""
        found = dict[str, UpstreamFile]()
        for file in self._projects.get(name, ()):
            guessed = guess_filename(file.filename)
            if guessed is not None and guessed.project == name:
                found.setdefault(file.filename, _offered(file, guessed.version))
            elif left_out is not None:
                left_out.append(file.filename)
        return UpstreamPage(files=tuple(found.values()))

    async def document(self, url: str, limit: int, accept: str) -> bytes:
        """devpi has no documents beside files."""
        raise UpstreamError(f"The export has no {url}, which would be {accept} of at most {limit} bytes.")

    async def download(
        self,
        file: UpstreamFile,
        open_sink: Callable[[], S],
        *,
        limit: int,
        digests: Collection[str] = WITH_OLD_DIGESTS,
        begun: Callable[[Mapping[str, str]], object] = lambda _: None,
    ) -> S:
        """As of `Upstream`. Raises Refused, DigestMismatch, TooLarge, and the errors of the sink."""
        modified = self._files[file.url].last_modified
        begun({} if modified is None else {"Last-Modified": modified})
        return await in_thread(None, self._copy, file, open_sink, limit, digests)

    def _copy(self, file: UpstreamFile, open_sink: Callable[[], S], limit: int, digests: Collection[str]) -> S:
        path = inside(self._folder, file.url)
        if path is None:
            raise Refused("Its path leads out of the export.")
        algorithm = next(each for each in digests if each in file.hashes)  # the caller judges those without
        digest, size, sink = hashlib.new(algorithm, usedforsecurity=False), 0, open_sink()
        try:
            for chunk in _pieces(path):
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"It has more than {limit} bytes, the limit; see --max-upload-size.")
                digest.update(chunk)
                sink.write(chunk)
            if digest.hexdigest() != file.hashes[algorithm]:
                raise DigestMismatch(f"It has not the {algorithm} digest that the export says; nothing was kept.")
        except BaseException:
            sink.discard()
            raise
        return sink


def _pieces(path: str) -> Iterator[bytes]:
    """The bytes of a plain file. Raises Refused."""
    try:
        with open(open_regular(path), "rb", buffering=0) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise Refused("It is no plain file.")
            while chunk := opened.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise Refused(f"It cannot be read ({error.strerror or error}).") from error


def _offered(file: ExportedFile, version: str) -> UpstreamFile:
    return UpstreamFile(
        filename=file.filename, url=file.relpath, version=version, hashes=file.hashes, uploaded=file.uploaded
    )
