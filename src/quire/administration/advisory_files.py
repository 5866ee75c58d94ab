"""OSV documents of this machine in the form in which a server takes them in: one file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from quire.administration.client import SentFile
from quire.advisories.reading import is_archive, read_documents
from quire.archives.packing import write_zip
from quire.domain.errors import InvalidRequest, reason_of
from quire.process.progress import Progress


@contextmanager
def advisories_file(path: str, progress: Progress) -> Iterator[SentFile]:
    """The file of this name; of a folder an archive of its documents. Raises InvalidRequest."""
    try:
        if os.path.isdir(path):
            with tempfile.TemporaryFile() as packed:
                write_zip(packed, _documents(path, progress))
                yield SentFile(packed, "application/zip")
            return
        with open(path, "rb") as file:
            yield SentFile(file, "application/zip" if is_archive(file) else "application/json")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {reason_of(error)}.") from None


def _documents(path: str, progress: Progress) -> Iterator[tuple[str, bytes]]:
    for each in read_documents(path, progress):
        if each.problem:
            raise InvalidRequest(f"{each.name} in {path} cannot be sent: {each.problem}.")
        yield each.name, each.data
