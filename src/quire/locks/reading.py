"""Reads a lock file of any known kind."""

from __future__ import annotations

import tomllib
from typing import Final

from quire.domain.errors import InvalidRequest
from quire.locks.locked import Lock, said, table_of
from quire.locks.requirements import read_requirements
from quire.locks.tables import parse_json, read_pdm, read_pipfile, read_poetry, read_pylock, read_uv

MOST_BYTES: Final = 32 * 1024 * 1024
"""Of a lock file: thousands of releases with hundreds of files each."""


def read_lock(filename: str, data: bytes) -> Lock:
    """A lock file's meaning. Its kind is recognised by its content, requirements by the end of the name.

    Raises InvalidRequest: part of a sentence that goes on behind the file's name.
    """
    if len(data) > MOST_BYTES:
        raise InvalidRequest(f"it has more than {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest("it is no text in UTF-8") from None
    if filename.endswith((".txt", ".in")):
        return read_requirements(text)
    if text.lstrip().startswith("{"):
        return read_pipfile(table_of(parse_json(text), "the file"))
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"it is no lock file that is known: neither TOML nor JSON ({said(error)})") from None
    if "lock-version" in document:
        return read_pylock(document)
    metadata = document.get("metadata")
    if isinstance(metadata, dict) and "lock-version" in metadata:
        return read_poetry(document)
    if isinstance(metadata, dict) and "lock_version" in metadata:
        return read_pdm(document)
    if isinstance(document.get("version"), int) and "requires-python" in document:
        return read_uv(document)
    raise InvalidRequest(
        "it is no lock file that is known; take uv.lock, pylock.toml, poetry.lock, pdm.lock, Pipfile.lock or a "
        "requirements file whose name ends with .txt"
    )
