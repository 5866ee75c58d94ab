"""The clients that got a file: its addresses in the store, also of one that was deleted, and the requests for them.

The store does not know of downloads: the log of the servers does, where it is kept, and that of a web server in front.
The address of a published file carries the SHA-256 of its bytes, so its requests are found for certain, whatever became
of it. A mirrored file has the address of the upstream, which carries another digest: it is found by its filename, which
names the same bytes as long as the upstream keeps to that. A drop-in is found by its path.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Final

from quire.domain.errors import DamagedRecord, InvalidRequest
from quire.domain.promotions import JOURNAL
from quire.domain.reserved import MIRROR
from quire.domain.trash import is_trash
from quire.index.commits import deleted_files, stored_project
from quire.index.index import Index
from quire.observe.request_lines import RequestLine
from quire.store.contracts import Store

SHORTEST: Final = 8
"""Digits of a digest that is not given whole."""
_READERS: Final = 16
_DIGEST: Final = re.compile(rf"[0-9a-f]{{{SHORTEST},64}}")
_PLACE: Final = re.compile(r"(?:^|/)packages/(.+)")
_SHA256: Final = re.compile(r"(?:^|/)([0-9a-f]{64})/")
_COMPANIONS: Final = (".metadata", ".asc", ".provenance", ".attestations")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file with the digest is, or was."""

    sha256: str
    project: str
    filename: str
    state: str
    """`published`, `in the trash`, `deleted`, `mirrored` or `dropped in`."""
    index: str
    """The index, or the name of the upstream in keys; empty for a drop-in."""
    place: str | None
    """Below `/packages/`; None for a mirrored file, whose place only the upstream knows."""


def parse_digest(text: str) -> str:
    """A SHA-256, or the beginning of one. Raises InvalidRequest."""
    digest = text.strip().lower().removeprefix("sha256:").removeprefix("sha256=")
    if not _DIGEST.fullmatch(digest):
        raise InvalidRequest(
            f"{text[:80]!r} is no SHA-256: give its 64 digits, or {SHORTEST} or more from its beginning."
        )
    return digest


def addresses_of(
    store: Store, indexes: Collection[Index], digest: str, drop_ins: Iterable[Address], project: str | None
) -> list[Address]:
    """Where files whose digest begins so are or were. `drop_ins`: those that are served with the store; `project`: the
    only one to look at. Reads every record. Raises StoreError, and InvalidRequest for a beginning that several have.
    """
    asked = [
        (index, name)
        for index in indexes
        for name in ([project] if project is not None else store.records.written(index.prefix))
        if name != JOURNAL
    ]
    with ThreadPoolExecutor(_READERS) as pool:
        read = pool.map(lambda each: list(_in_record(each[0], each[1], digest)), asked)
        found = [*chain.from_iterable(read), *_mirrored(store, digest, project)]
    found += [each for each in drop_ins if each.sha256.startswith(digest)]
    digests = sorted({each.sha256 for each in found})
    if len(digests) > 1:
        raise InvalidRequest(f"Several files have a digest that begins so: {', '.join(digests[:5])}.")
    return sorted(set(found), key=lambda each: (each.project, each.filename, each.index, each.state))


def _in_record(index: Index, name: str, digest: str) -> Iterator[Address]:
    record = index.store.records.read(index.key(name))
    try:
        project = stored_project(record)
        deleted = deleted_files(record)
    except DamagedRecord:
        return
    in_trash = is_trash(index.name)
    for file in project.files.values() if project is not None else ():
        if file.sha256.startswith(digest):
            place = f"{name}/{file.sha256}/{file.filename}"
            yield Address(
                file.sha256, name, file.filename, "in the trash" if in_trash else "published", index.name, place
            )
    for filename, sha256 in {} if in_trash else deleted.items():
        if sha256.startswith(digest):
            yield Address(sha256, name, filename, "deleted", index.name, f"{name}/{sha256}/{filename}")


def _mirrored(store: Store, digest: str, project: str | None) -> Iterator[Address]:
    for blob in store.blobs.list(MIRROR):
        parts = blob.key.split("/")
        if len(parts) != 5 or not parts[3].startswith(digest) or parts[4].endswith(_COMPANIONS):
            continue
        _, upstream, name, sha256, filename = parts
        if project in {None, name}:
            yield Address(sha256, name, filename, "mirrored", upstream, None)


class Requests:
    """The requests for a file."""

    def __init__(self, digest: str, addresses: Collection[Address]) -> None:
        """`digest`: whole, or a beginning for which there is no address: then every file with it is meant."""
        self._digest = next((each.sha256 for each in addresses), digest)
        self._names = {each.filename for each in addresses}
        self._mirrored = {each.filename for each in addresses if each.state == "mirrored"}
        self._places = {each.place for each in addresses if each.state == "dropped in"}

    def has(self, line: RequestLine) -> bool:
        """Whether a line is of a request for the file itself, and not for a document beside it."""
        found = _PLACE.search(line.path)
        if line.method != "GET" or found is None:
            return False
        place = found[1]
        filename = place.rpartition("/")[2]
        digests = _SHA256.findall(place)
        if digests:
            is_file = filename in self._names if self._names else not filename.endswith(_COMPANIONS)
            return is_file and any(each.startswith(self._digest) for each in digests)
        return place in self._places or filename in self._mirrored
