"""The checks of a distribution before it is published: name, digests, archive and metadata must agree."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quire.archives.metadata import CoreMetadata, check_agreement, is_static, parse_metadata, read_metadata
from quire.domain.errors import DigestMismatch, InvalidDistribution, InvalidName, StoreError
from quire.domain.names import Kind, ParsedFilename, normalize_name, parse_filename, same_version
from quire.store.contracts import Staged

_BLAKE2B_512_DIGITS: Final = 128
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A distribution that was examined and may be published."""

    parsed: ParsedFilename
    staged: Staged
    project_name: str
    """The project's name as this distribution spells it."""
    metadata: bytes | None
    """The core metadata document, to be offered beside the file (PEP 658); None when there is none to be relied on."""
    requires_python: str | None
    signature: bytes | None = None
    """A detached OpenPGP signature."""
    provenance: bytes | None = None
    """The provenance object (PEP 740), as JSON, of attestations that were verified."""
    uploader: str | None = None
    job: Mapping[str, str] | None = None
    """See `File`."""
    uploaded: str | None = None
    """RFC 3339 time to record; None for the time of publication."""
    yanked: bool | str = False
    """See `File`; only an import publishes a file that is yanked."""


def new_blob_key(parsed: ParsedFilename) -> str:
    """A key that nothing was ever stored under, for a distribution of this name: `<project>/<digits>/<filename>`.

    The digits are random, and look like a sha256 and eight more, which they were in earlier versions: those take other
    keys for something that no publication made.
    """
    return fresh_blob_key(parsed.project, parsed.filename)


def fresh_blob_key(project: str, filename: str) -> str:
    """As `new_blob_key`, for a project's normalized name and a filename that is known to belong to it."""
    return f"{project}/{secrets.token_hex(32)}-{secrets.token_hex(4)}/{filename}"


def upload_key(filename: str) -> str:
    """The same for an upload, also where `examine` is going to refuse its filename: it was staged by then."""
    try:
        return new_blob_key(parse_filename(filename))
    except InvalidName:
        return new_blob_key(ParsedFilename("refused", "refused", "", Kind.OTHER))


def examine(
    staged: Staged,
    filename: str,
    *,
    name: str | None = None,
    version: str | None = None,
    digests: Mapping[str, str] | None = None,
    signature: bytes | None = None,
    provenance: bytes | None = None,
    uploader: str | None = None,
    job: Mapping[str, str] | None = None,
    uploaded: str | None = None,
) -> Upload:
    """Check staged bytes against everything that is claimed of them.

    `name`, `version`: as the client states them; None when it stated none. `digests`: hex digests by the names
    of the fields of `Digests`.
    Raises InvalidName, DigestMismatch, InvalidDistribution; StoreError when the bytes cannot be read back.
    """
    parsed = parse_filename(filename)
    _check_digests(filename, staged, digests or {})
    if name is not None and normalize_name(name) != parsed.project:
        raise InvalidDistribution(
            f"The upload says that it is the project {name[:200]}, but the file is named {filename}."
        )
    if version is not None and not same_version(version, parsed.version):
        raise InvalidDistribution(
            f"The upload says that it is version {version[:200]}, but the file is named {filename}."
        )
    if staged.size == 0:
        raise InvalidDistribution(f"The file {filename} is empty.")
    core: CoreMetadata | None = None
    try:
        with staged.open() as file:
            document = read_metadata(file, parsed, strict=True)
    except OSError as error:
        raise _unreadable(error) from error
    if document is not None:
        core = parse_metadata(document)
        check_agreement(parsed, core)
    elif parsed.kind is Kind.SDIST:
        raise InvalidDistribution(
            f"The sdist {filename} has no PKG-INFO in its top folder; build it with a current tool."
        )
    # PEP 658: of a wheel; of an sdist if it holds for every wheel built from it; of nothing else.
    offered = core is not None and (parsed.kind is Kind.WHEEL or (parsed.kind is Kind.SDIST and is_static(core)))
    return Upload(
        parsed=parsed,
        staged=staged,
        project_name=core.name if core is not None else name or parsed.project,
        metadata=document if offered else None,
        requires_python=core.requires_python if core is not None else None,
        signature=signature,
        provenance=provenance,
        uploader=uploader,
        job=job,
        uploaded=uploaded,
    )


def _check_digests(filename: str, staged: Staged, claimed: Mapping[str, str]) -> None:
    for algorithm in ("sha256", "blake2b_256", "md5"):
        claim = claimed.get(algorithm, "").lower()
        if not claim:
            continue
        name, actual = algorithm, str(getattr(staged.digests, algorithm))
        if algorithm == "blake2b_256" and len(claim) == _BLAKE2B_512_DIGITS:
            name, actual = "blake2b_512", _blake2b_512(staged)
        if not hmac.compare_digest(claim.encode(), actual.encode()):
            raise DigestMismatch(
                f"The {name} digest of {filename} is {actual} here, but the client announced {claim[:128]}; "
                f"the file was damaged on its way, upload it again."
            )


def _blake2b_512(staged: Staged) -> str:
    """BLAKE2b as `setup.py upload` of Python 3.9 to 3.11 announces it under the name of the shorter digest: the file is
    read once more, for these clients alone. Raises StoreError.
    """
    try:
        with staged.open() as file:
            hasher = hashlib.blake2b()
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
            return hasher.hexdigest()
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> StoreError:
    """The store's disk is at fault, not the client's archive."""
    return StoreError(
        f"The upload cannot be read back from the store: {error.strerror or error}. "
        f"Repeat later, or ask the operator of the index."
    )
