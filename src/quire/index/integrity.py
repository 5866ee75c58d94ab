"""Whether the stored bytes of a file are still those that were published."""

from __future__ import annotations

import hashlib

from quire.domain.errors import BlobMissing, InvalidName, StoreError
from quire.domain.project import File
from quire.index.commits import blob_keys
from quire.store.contracts import Blobs


def is_whole(blobs: Blobs, file: File) -> bool:
    """Whether a file and everything that is offered beside it can be served. All but a signature, which has no digest,
    is read.

    Raises StoreError when the store cannot answer.
    """
    keys = blob_keys(file)
    digests = {".metadata": file.metadata_sha256, ".attestations": file.provenance_sha256}
    return (
        bool(keys)
        and has_digest(blobs, keys[0], file.sha256, file.size)
        and all(has_digest(blobs, key, digests.get(key.removeprefix(keys[0]))) for key in keys[1:])
    )


def has_digest(blobs: Blobs, key: str, sha256: str | None, size: int | None = None) -> bool:
    """Whether a blob is there, of this size and digest; None: of any. Its size is compared before it is read.

    Raises StoreError when the store cannot answer; bytes that the disk does not give back are not there.
    """
    try:
        opened = blobs.open(key)
    except (BlobMissing, InvalidName):
        return False
    with opened:
        if size is not None and opened.size != size:
            return False
        if sha256 is None:
            return True
        hasher = hashlib.sha256()
        try:
            for piece in opened.pieces():
                hasher.update(piece)
        except StoreError:
            return False
    return hasher.hexdigest() == sha256
