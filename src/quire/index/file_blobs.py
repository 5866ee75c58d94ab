"""The bytes of a project's files: what uploads store, what lies beside them, whether it is still there."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

from quire.domain.errors import BlobMissing, NotFound, QuireError, StoreError
from quire.domain.project import File, Project
from quire.index.audit.entries import timestamp
from quire.index.commits import blob_keys
from quire.index.integrity import is_whole
from quire.index.upload import Upload
from quire.store.contracts import Blobs

_FEW_FILES = 100
"""Of so many it is asked one by one whether they are stored."""


def entry_of(upload: Upload) -> File:
    """The entry of an upload in its project's record."""
    digests = upload.staged.digests
    return File(
        filename=upload.parsed.filename,
        version=upload.parsed.version,
        size=upload.staged.size,
        hashes={
            "sha256": digests.sha256,
            "blake2b_256": digests.blake2b_256,
            "md5": digests.md5,
            **digests.other,
        },
        uploaded=upload.uploaded or timestamp(),
        requires_python=upload.requires_python,
        yanked=upload.yanked,
        metadata_sha256=None if upload.metadata is None else hashlib.sha256(upload.metadata).hexdigest(),
        signed=upload.signature is not None,
        attested=upload.provenance is not None,
        provenance_sha256=None if upload.provenance is None else hashlib.sha256(upload.provenance).hexdigest(),
        uploader=upload.uploader,
        job=None if upload.job is None else dict(upload.job),
        blob=_blob_of(upload),
    )


def _blob_of(upload: Upload) -> str:
    """The folder of the key that the upload was staged for."""
    blob, _, filename = upload.staged.key.rpartition("/")
    if filename != upload.parsed.filename or not blob.startswith(f"{upload.parsed.project}/"):
        raise ValueError(f"{upload.parsed.filename} was staged as {upload.staged.key}")
    return blob


def store_blobs(blobs: Blobs, upload: Upload, file: File) -> None:
    """Publish what an upload brought, under the keys of its entry."""
    companions = {".metadata": upload.metadata, ".asc": upload.signature, ".attestations": upload.provenance}
    key = f"{file.blob}/{file.filename}"
    documents = {f"{key}{suffix}": document for suffix, document in companions.items() if document is not None}
    blobs.publish(upload.staged, documents)


def remove_blobs(blobs: Blobs, files: Iterable[File]) -> None:
    """Remove what files of `Change.removed` had stored. Failure is left to collect_garbage."""
    for file in files:
        for key in blob_keys(file):
            try:
                blobs.remove(key)
            except StoreError:
                return


def lost_blobs(blobs: Blobs, project: Project | None, files: Sequence[File]) -> frozenset[str | None]:
    """The blobs of files that are listed, published once more, and not whole.

    They are read for this: their publisher asks for them to be there, and has just sent as many bytes.
    """
    listed = project.files if project is not None else {}
    again = [(listed[file.filename], file.sha256) for file in files if file.filename in listed]
    return frozenset(
        present.blob for present, sha256 in again if present.sha256 == sha256 and not is_whole(blobs, present)
    )


def with_companions(blobs: Blobs, upload: Upload, project: Project) -> Upload:
    """The upload with what is left beside the listed file of its name, where it brings none of its own."""
    present = project.files.get(upload.parsed.filename)
    if present is None or present.sha256 != upload.staged.digests.sha256:
        return upload
    key = f"{present.blob}/{present.filename}"
    return dataclasses.replace(
        upload,
        signature=upload.signature or (_read(blobs, f"{key}.asc") if present.signed else None),
        provenance=upload.provenance or _provenance(blobs, present),
    )


def _provenance(blobs: Blobs, file: File) -> bytes | None:
    """The stored provenance object; None when there is none, or not the one that was verified."""
    if file.provenance_sha256 is None:
        return None
    document = _read(blobs, f"{file.blob}/{file.filename}.attestations")
    is_same = document is not None and hashlib.sha256(document).hexdigest() == file.provenance_sha256
    return document if is_same else None


def check_present(blobs: Blobs, name: str, files: Sequence[File]) -> None:
    """Raises NotFound when the bytes of one of the project's files are not in the store any more."""
    listed = {blob.key for blob in blobs.list(name)} if len(files) > _FEW_FILES else None
    for file in files:
        key = f"{file.blob}/{file.filename}"
        if not (_is_stored(blobs, key) if listed is None else key in listed):
            raise NotFound(
                f"The bytes of {file.filename} are not in the store any more, so nothing was restored; "
                "restore other files without it."
            )


def _is_stored(blobs: Blobs, key: str) -> bool:
    try:
        blobs.open(key).close()
    except BlobMissing:
        return False
    return True


def _read(blobs: Blobs, key: str) -> bytes | None:
    """A small document; None when it cannot be read."""
    try:
        with blobs.open(key) as opened:
            return opened.read()
    except QuireError:
        return None
