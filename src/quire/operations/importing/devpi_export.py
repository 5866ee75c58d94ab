"""An export of devpi (`devpi-export`): a folder with `dataindex.json` and the files that it lists.

Read as devpi-server 6 writes it (dump version 2), and as its earlier versions did (1). Fields that mean nothing here
are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from quire.domain.errors import ConfigurationError, reason_of
from quire.domain.structs import convert_to

LIST: Final = "dataindex.json"
MAX_LIST_BYTES: Final = 1024**3
RELEASE: Final = "releasefile"
MIRROR: Final = "mirror"
_VERSIONS: Final = {"1", "2"}


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a file."""

    last_modified: str | None = None
    hashes: dict[str, str] = {}
    hash_spec: str | None = None
    md5: str | None = None


class ExportedFile(msgspec.Struct, frozen=True, kw_only=True):
    relpath: str
    """Below the folder."""
    kind: str = msgspec.field(name="type")
    project: str = msgspec.field(name="projectname")
    said: _Said = msgspec.field(name="entrymapping", default=_Said())
    log: list[Any] = []

    @property
    def filename(self) -> str:
        return self.relpath.rpartition("/")[2]

    @property
    def hashes(self) -> dict[str, str]:
        """Hex digests in lower case, by the name of the algorithm."""
        found = dict(self.said.hashes)
        algorithm, _, digest = (self.said.hash_spec or "").partition("=")
        if digest:
            found.setdefault(algorithm, digest)
        if self.said.md5:
            found.setdefault("md5", self.said.md5)
        return {name.lower(): digest.lower() for name, digest in found.items()}

    @property
    def last_modified(self) -> str | None:
        """As a header spells it."""
        return self.said.last_modified

    @property
    def uploaded(self) -> str | None:
        """RFC 3339, UTC, of its first upload; None where the log has none."""
        times = (
            _time(each.get("when")) for each in self.log if isinstance(each, dict) and each.get("what") == "upload"
        )
        return min((each for each in times if each is not None), default=None)


class IndexConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an index there."""

    kind: str = msgspec.field(name="type", default="stage")
    bases: tuple[str, ...] = ()
    volatile: bool = True
    acl_upload: tuple[str, ...] = ()
    mirror_url: str = ""
    mirror_whitelist: tuple[str, ...] = ()


class ExportedIndex(msgspec.Struct, frozen=True, kw_only=True):
    config: IndexConfig = msgspec.field(name="indexconfig")
    projects: dict[str, msgspec.Raw] = {}
    """By name; also those without files."""
    files: list[ExportedFile] = []


class Export(msgspec.Struct, frozen=True, kw_only=True):
    users: dict[str, Any]
    indexes: dict[str, ExportedIndex]
    """By USER/INDEX."""
    version: str | int = msgspec.field(name="dumpversion")
    server: str = msgspec.field(name="devpi_server", default="")


_decode: Final = msgspec.json.Decoder(Export).decode


def read_export(folder: Path) -> Export:
    """The export in a folder. Raises ConfigurationError."""
    path = folder / LIST
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise ConfigurationError(f"{path} has more than {MAX_LIST_BYTES} bytes.")
        return parse_export(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({reason_of(error)}); name the folder that 'devpi-export' made."
        ) from error


def parse_export(data: bytes, path: str) -> Export:
    """The meaning of a dataindex.json. Raises ConfigurationError."""
    try:
        export = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not the list of an export of devpi ({error}).") from error
    if str(export.version) not in _VERSIONS:
        raise ConfigurationError(
            f"{path} has the dump version {str(export.version)[:20]!a}; this quire understands 1 and 2."
        )
    return export


def inside(folder: str, relpath: str) -> str | None:
    """The path of a file of the export; None for one that leads out of the folder. `folder`: without links."""
    path = os.path.realpath(os.path.join(folder, relpath)) if "\0" not in relpath else ""
    return path if path.startswith(f"{folder.rstrip('/')}/") else None


def _time(when: object) -> str | None:
    """RFC 3339 of year, month, day, hour, minute and second."""
    try:
        year, month, day, *rest = convert_to(when, Sequence[int])
        hour, minute, second = rest
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).isoformat().replace("+00:00", "Z")
    except (msgspec.ValidationError, ValueError, OverflowError):
        return None
