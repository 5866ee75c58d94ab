"""Copying one file of an index, with its companions, from one store to another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import msgspec

from quire.domain.errors import BlobMissing, InvalidName, QuireError, StoreError
from quire.domain.project import File
from quire.index.upload import fresh_blob_key
from quire.store.contracts import Blobs, Staged
from quire.store.open_blob import OpenBlob

_MOST_COMPANION_BYTES = 64 * 1024 * 1024
"""Of a metadata document, a signature or a provenance object; uploads allow less."""


class Unreadable(QuireError):
    """The source does not have the file as its record says; the message is a sentence."""


def copy_file(
    source: Blobs,
    target: Blobs,
    project: str,
    file: File,
    advance: Callable[[int], None],
    *,
    provenance: bytes | None = None,
) -> File:
    """Store a file of the source under a new key of the target, durably; its entry there. `project`: normalized.

    `advance`: called with the size of each piece that was copied; its errors pass. `provenance`: the provenance object
    to store with it; None for its own.
    Raises Unreadable, and StoreError when the target fails.
    """
    key = f"{file.blob}/{file.filename}"
    if provenance is not None:
        file = msgspec.structs.replace(file, provenance_sha256=hashlib.sha256(provenance).hexdigest())
    staged = _staged(source, target, project, file, advance)
    try:
        if staged.digests.sha256 != file.sha256:
            raise Unreadable("Its bytes do not have the digest that was published; run 'quire check' on the source.")
        documents = _companions(source, file, key, provenance)
        folder, _, _ = staged.key.rpartition("/")
        target.publish(staged, {f"{staged.key}{suffix}": content for suffix, content in documents.items()})
    finally:
        staged.discard()
    # attestations that an earlier version kept without verifying them stay behind
    return msgspec.structs.replace(file, blob=folder, attested=file.provenance_sha256 is not None)


def _staged(source: Blobs, target: Blobs, project: str, file: File, advance: Callable[[int], None]) -> Staged:
    """The bytes of the file, staged; within one store by a link where it can make one, since it writes into no file."""
    key, new_key = f"{file.blob}/{file.filename}", fresh_blob_key(project, file.filename)
    with _opened(source, key) as opened:
        if opened.size != file.size:
            raise Unreadable(f"It has {opened.size} bytes, not {file.size}; run 'quire check' on the source.")
        if opened.path is not None and source is target:
            adopted = target.adopt(opened.path, new_key, advance)
            if adopted is not None:
                return adopted
        staging = target.stage(new_key)
        try:
            for piece in _pieces(opened):
                staging.write(piece)
                advance(len(piece))
            return staging.finish(durable=False)
        except BaseException:
            staging.discard()
            raise


def _companions(source: Blobs, file: File, key: str, provenance: bytes | None) -> dict[str, bytes]:
    """The companions of the file, by suffix; `provenance`: as of `copy_file`. Raises Unreadable when one that the
    record lists is not there."""
    documents: dict[str, bytes] = {}
    if file.metadata_sha256 is not None:
        documents[".metadata"] = _document(source, f"{key}.metadata", "metadata")
        if hashlib.sha256(documents[".metadata"]).hexdigest() != file.metadata_sha256:
            raise Unreadable("Its metadata does not have the published digest; run 'quire check' on the source.")
    if file.signed:
        documents[".asc"] = _document(source, f"{key}.asc", "signature")
    if file.provenance_sha256 is not None:
        documents[".attestations"] = provenance or _document(source, f"{key}.attestations", "provenance")
        if hashlib.sha256(documents[".attestations"]).hexdigest() != file.provenance_sha256:
            raise Unreadable("Its provenance does not have the stored digest; run 'quire check' on the source.")
    return documents


def _document(source: Blobs, key: str, what: str) -> bytes:
    with _opened(source, key) as opened:
        if opened.size > _MOST_COMPANION_BYTES:
            raise Unreadable(f"Its {what} is too large; run 'quire check' on the source.")
        return b"".join(_pieces(opened))


def _opened(source: Blobs, key: str) -> OpenBlob:
    try:
        return source.open(key)
    except (BlobMissing, InvalidName) as error:
        raise Unreadable("Its bytes are missing in the source; run 'quire check' there.") from error
    except StoreError as error:
        raise Unreadable(str(error)) from error


def _pieces(opened: OpenBlob) -> Iterator[bytes]:
    try:
        yield from opened.pieces()
    except StoreError as error:
        raise Unreadable(str(error)) from error
