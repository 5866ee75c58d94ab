"""The cases of the oracle, and the parts that wheels and sdists are made of."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.distributions import make_sdist, metadata_text
from tests.oracle.zip_parts import Entry, zip_of

MODULE = b"VERSION = '1.0'\n"
INFO = "foo-1.0.dist-info"
WHEEL_FILE = b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
METADATA = metadata_text("foo", "1.0").encode()
WHEEL_NAME = "foo-1.0-py3-none-any.whl"
SDIST_NAME = "foo-1.0.tar.gz"


DESCRIPTIVE = "fields for people: PyPI keeps its catalogue in order by them, no installer reads them"
OLD_NAMES = "every installer finds it; old build tools do not normalize names, and PyPI takes them no longer"
LINKS = "pip and older uv install it; uv 0.13 refuses any target that goes down and up again"
ZIPS = "the sdist of old build tools (`--formats=zip`); every installer takes it"


@dataclass(frozen=True)
class Case:
    """An archive and what becomes of it: installed by pip, by uv, accepted by PyPI's rules, accepted by quire."""

    name: str
    data: bytes
    filename: str = WHEEL_NAME
    pip: bool = True
    uv: bool = True
    pypi: bool = True
    accepted: bool | None = None
    """quire's decision. None: as the rule says, all three."""
    why: str = ""
    """Why quire's decision is another one than the rule's; or why pip and uv differ."""
    version: str = "1.0"
    expected: Mapping[str, bytes] = field(default_factory=lambda: {"foo.py": MODULE})
    """Files that an installation must have, by path in the target; else it failed, whatever the installer says."""

    @property
    def rule(self) -> bool:
        return self.pip and self.uv and self.pypi

    @property
    def decision(self) -> bool:
        return self.rule if self.accepted is None else self.accepted


def record_of(contents: Mapping[str, bytes], info: str = INFO) -> bytes:
    lines = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in contents.items()
    ]
    return ("".join(lines) + f"{info}/RECORD,,\n").encode()


def contents(
    files: Mapping[str, bytes | None] | None = None,
    *,
    metadata: bytes = METADATA,
    wheel: bytes = WHEEL_FILE,
    info: str = INFO,
    record: bytes | None = None,
) -> dict[str, bytes]:
    """The files of a wheel, RECORD last. `files` adds to them, or with None removes one."""
    found: dict[str, bytes] = {"foo.py": MODULE, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    removed = [path for path, data in (files or {}).items() if data is None]
    found |= {path: data for path, data in (files or {}).items() if data is not None}
    for path in removed:
        found.pop(path, None)
    if f"{info}/RECORD" not in removed:
        found[f"{info}/RECORD"] = record_of(found, info) if record is None else record
    return found


def entries(files: Mapping[str, bytes]) -> list[Entry]:
    return [Entry(path, data) for path, data in files.items()]


def wheel(files: Mapping[str, bytes | None] | None = None, **parts: Any) -> bytes:
    """A wheel with the parts of `contents`."""
    return zip_of(entries(contents(files, **parts)))


def wheel_with(*more: Entry, first: Sequence[Entry] = (), **archive: Any) -> bytes:
    """The plain wheel with further entries before RECORD, which lists them."""
    recorded = {entry.name: entry.data for entry in more if isinstance(entry.name, str)}
    plain = contents(recorded)
    base = [Entry(path, data) for path, data in plain.items() if path not in recorded]
    return zip_of([*first, *base[:-1], *more, base[-1]], **archive)


def changed(path: str, **changes: Any) -> bytes:
    """The plain wheel with one entry changed in some of its fields."""
    found = []
    for entry in entries(contents()):
        values = {**entry.__dict__, **changes} if entry.name == path else entry.__dict__
        found.append(Entry(**values))
    return zip_of(found)


# -- sdists -----------------------------------------------------------------------------------------------------------


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode = len(data), kind, target, mode
    return info, data


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.SYMTYPE, target=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.LNKTYPE, target=target)


def sdist_files(root: str = "foo-1.0", metadata: bytes = METADATA) -> dict[str, bytes]:
    """The files of an sdist that builds with the standard library alone."""
    with tarfile.open(fileobj=io.BytesIO(make_sdist("foo", "1.0"))) as archive:
        found = {}
        for each in archive.getmembers():
            file = archive.extractfile(each)
            assert file is not None
            found[each.name.replace("foo-1.0", root, 1)] = file.read()
    found[f"{root}/PKG-INFO"] = metadata
    return found


def tar_of(members: Sequence[tuple[tarfile.TarInfo, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def sdist(
    *more: tuple[tarfile.TarInfo, bytes],
    first: Sequence[tuple[tarfile.TarInfo, bytes]] = (),
    files: Mapping[str, bytes] | None = None,
    format: int = tarfile.PAX_FORMAT,  # noqa: A002 - tarfile's own word
) -> bytes:
    base = [member(path, data) for path, data in (sdist_files() if files is None else files).items()]
    return gzip.compress(tar_of([*first, *base, *more], format), mtime=0)
