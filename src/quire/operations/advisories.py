"""Taking in advisories, and removing them: the one door, with the entry of the audit log and the log line.

Theory of operation. All documents are read, checked and packed into a temporary file first; then the blob is published
under the digest of its bytes; then one swap of the access document names it. So the data of a source is replaced in one
step for every worker, and a failure before that step changes nothing. A blob that no document names is removed by
`quire gc` when it is old enough: until then, workers that have begun with it can read whole documents in it. A blob of
the same bytes that is there already is renewed first, so that gc, which removes by age, lets it be until it is named.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO, Final

import structlog

from quire.access import advising
from quire.access.document import AccessDocument
from quire.access.records import AccessRecords
from quire.advisories.packed import Packer
from quire.advisories.reading import read_documents
from quire.domain.advisory_sources import AdvisorySource, parse_source
from quire.domain.errors import BlobMissing, Conflict, InvalidRequest
from quire.domain.osv import take
from quire.domain.times import stamp
from quire.index.audit.entries import Origin
from quire.process.progress import Progress
from quire.store.contracts import Store, StoredBlob

log = structlog.stdlib.get_logger(__name__)

_IN_MEMORY: Final = 32 * 1024 * 1024
_PIECE: Final = 1024 * 1024
MOST_PROBLEMS: Final = 1000
"""Documents of which the problem is told; further ones are counted."""
_LEAST_SHARE: Final = 0.5


@dataclass(slots=True)
class Read:
    """The count of the documents in a file or folder."""

    problems: list[tuple[str, str]] = field(default_factory=list)
    """Names of documents that were left out, and why; the first of them."""
    bad: int = 0
    """Documents that were left out because of a problem."""
    others: int = 0
    """Documents about no project of PyPI."""
    withdrawn: int = 0
    advisories: int = 0
    malicious: int = 0
    newest: str | None = None

    def leave_out(self, name: str, problem: str) -> None:
        self.bad += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append((name, problem))


@dataclass(frozen=True, slots=True)
class Updated:
    """The result of an update."""

    source: AdvisorySource
    read: Read
    changed: bool
    """Whether the data is other data than before."""


def update_advisories(
    store: Store,
    access: AccessRecords,
    path: str,
    name: str,
    *,
    origin: Origin,
    progress: Progress,
    shrinks: bool = False,
    called: str | None = None,
) -> Updated:
    """Take in the OSV documents at a place as all that a source has. `shrinks`: also when they are less than half of
    what it had. `called`: the name of the place, where it is a temporary one. Raises InvalidRequest, StoreError.
    """
    called = called or path
    parse_source(name)
    read, hasher = Read(), hashlib.sha256()
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:

        def write(data: bytes) -> None:
            spool.write(data)
            hasher.update(data)

        packer = Packer(write)
        for document in read_documents(path, progress, called):
            _add(packer, read, document.name, document.data, document.problem)
        read.advisories, read.malicious = len(packer), packer.malicious
        _check_read(read, called)
        packer.finish()
        source = AdvisorySource(
            digest=hasher.hexdigest(),
            size=spool.tell(),
            advisories=len(packer),
            malicious=packer.malicious,
            projects=packer.projects,
            updated=stamp(datetime.now(UTC)),
            by=origin.user,
            origin=called.rstrip("/").rpartition("/")[2][:200],
            newest=read.newest,
        )

        def change(document: AccessDocument) -> AccessDocument:
            known = document.advisories.get(name)
            if known is not None and source.advisories < _LEAST_SHARE * known.advisories and not shrinks:
                raise InvalidRequest(
                    f"{called} has {source.advisories} advisories, and the source {name} has {known.advisories}: is it "
                    "the whole file? To take it in all the same, add --yes."
                )
            return advising.with_source(document, name, source)

        change(access.read().state.document)  # a refusal stores nothing
        spool.seek(0)
        was_there = not _publish(store, source, spool)  # type: ignore[arg-type]  # it has what is needed of a file
        details = {
            "source": name,
            "advisories": source.advisories,
            "malicious": source.malicious,
            "sha256": source.digest,
            "origin": source.origin,
        }
        before, _ = access.change(change, "osv-update", details, origin)
        if was_there and not _is_stored(store, source):
            # In a bucket a removal that had found it old goes on though it was made young.
            spool.seek(0)
            _publish(store, source, spool)  # type: ignore[arg-type]  # as above
    replaced = before.advisories.get(name)
    if replaced is not None and replaced.digest != source.digest:
        store.blobs.renew(replaced.key)  # workers may still read documents of it
    log.info("advisories updated", source=name, user=origin.user)
    return Updated(source, read, replaced is None or replaced.digest != source.digest)


def remove_advisories(store: Store, access: AccessRecords, name: str, *, origin: Origin) -> AdvisorySource:
    """Remove a source: its data counts no more for requests that arrive later. Raises NotFound, StoreError."""
    known = access.read().state.document.advisories.get(name)
    if known is not None:
        store.blobs.renew(known.key)
    before, _ = access.change(
        lambda document: advising.without_source(document, name), "osv-remove", {"source": name}, origin
    )
    log.info("advisories removed", source=name, user=origin.user)
    return before.advisories[name]


def _add(packer: Packer, read: Read, name: str, data: bytes, problem: str) -> None:
    if problem:
        read.leave_out(name, problem)
        return
    try:
        taken = take(data)
    except ValueError as error:
        read.leave_out(name, str(error))
        return
    if not taken.entries:
        read.others += 1
    elif not packer.add(taken, data):
        read.leave_out(name, f"another document has the id {taken.id}")
    else:
        read.withdrawn += taken.is_withdrawn
        read.newest = max(read.newest or "", taken.modified)


def _check_read(read: Read, path: str) -> None:
    """Refuse what has no advisory at all."""
    if read.advisories:
        return
    if read.problems:
        name, problem = read.problems[0]
        raise InvalidRequest(f"{path} has no advisory that can be read; of {name}: {problem}. Nothing was changed.")
    reason = "none of its documents is about a project of PyPI" if read.others else "it has no .json document"
    raise InvalidRequest(f"{path} has no advisory: {reason}. Nothing was changed.")


def _publish(store: Store, source: AdvisorySource, file: BinaryIO) -> bool:
    """Store the blob; whether it was not there. One with these bytes that is there is kept for a while longer."""
    if _is_there(store, source):
        return False
    staging = store.blobs.stage(source.key)
    try:
        for piece in _pieces(file):
            staging.write(piece)
        staged = staging.finish()
    except BaseException:
        staging.discard()
        raise
    try:
        store.blobs.publish(staged)
    except BaseException as error:
        staged.discard()
        if isinstance(error, Conflict) and _is_there(store, source):
            return False  # another command stored the same bytes meanwhile
        raise
    return True


def _is_there(store: Store, source: AdvisorySource) -> bool:
    """Whether the blob is there, young again."""
    store.blobs.renew(source.key)
    return _is_stored(store, source)


def _is_stored(store: Store, source: AdvisorySource) -> bool:
    try:
        with store.blobs.open(source.key):
            return True
    except BlobMissing:
        return False


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def unnamed_advisories(access: AccessRecords, found: list[StoredBlob]) -> list[StoredBlob]:
    """Those of these blobs that the access document does not name. Raises StoreError."""
    if not found:
        return []
    named = {source.key for source in access.read().state.document.advisories.values()}
    return [blob for blob in found if blob.key not in named]
