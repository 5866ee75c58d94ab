"""Reading the attestations of an upload: a bounded look at hostile JSON, before any cryptography.

Sources: PEP 740 and its living text, "Index hosted attestations" (attestation objects), and in-toto's Statement v1.
"""

from __future__ import annotations

import binascii
from typing import Any, Final, Literal, NamedTuple

import msgspec

from quire.domain.errors import InvalidRequest
from quire.domain.strict_json import decode_strictly
from quire.domain.structs import decode_as

PREDICATES: Final = ("https://docs.pypi.org/attestations/publish/v1", "https://slsa.dev/provenance/v1")
"""The types of predicates that are taken, those of the public index: at most one attestation of each."""
_STATEMENT: Final = "https://in-toto.io/Statement/v1"
_MOST_SHOWN: Final = 100


class SentAttestation(NamedTuple):
    """One attestation as it arrived: of the right shape, not verified."""

    certificate: bytes
    """DER."""
    entry: dict[str, Any]
    """The transparency log entry."""
    statement: bytes
    signature: bytes
    predicate: str
    """One of PREDICATES."""


class _Material(msgspec.Struct):
    certificate: str
    transparency_entries: list[dict[str, Any]]


class _Envelope(msgspec.Struct):
    statement: str
    signature: str


class _Attestation(msgspec.Struct):
    version: Literal[1]
    verification_material: _Material
    envelope: _Envelope


def read_attestations(sent: bytes, filename: str, sha256: str) -> list[SentAttestation]:
    """The attestations of a file's upload, each of which states this filename and digest.

    Raises InvalidRequest with a sentence for anything else.
    """
    try:
        documents = decode_as(sent, list[_Attestation])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            "The attestations are not a JSON list of attestation objects of version 1 (PEP 740): "
            f"{str(error)[:_MOST_SHOWN]}."
        ) from error
    if not documents:
        raise InvalidRequest("The list of attestations is empty; leave it out.")
    if len(documents) > len(PREDICATES):
        raise InvalidRequest(
            f"The upload has {len(documents)} attestations; a file may have one of each of {len(PREDICATES)} types."
        )
    attestations: list[SentAttestation] = []
    for document in documents:
        attestation = _read(document, filename, sha256)
        if attestation.predicate in {each.predicate for each in attestations}:
            raise InvalidRequest(
                f"The upload has two attestations of the type {attestation.predicate}; a file may have one of each."
            )
        attestations.append(attestation)
    return attestations


def _read(document: _Attestation, filename: str, sha256: str) -> SentAttestation:
    entries = document.verification_material.transparency_entries
    if len(entries) != 1:
        # A further one would be kept and served without having been verified.
        raise InvalidRequest(
            f"An attestation has {len(entries)} transparency log entries; this index takes attestations with one."
        )
    statement = _decoded(document.envelope.statement, "statement")
    return SentAttestation(
        certificate=_decoded(document.verification_material.certificate, "certificate"),
        entry=entries[0],
        statement=statement,
        signature=_decoded(document.envelope.signature, "signature"),
        predicate=_check_statement(statement, filename, sha256),
    )


def _decoded(text: str, what: str) -> bytes:
    try:
        return binascii.a2b_base64(text.replace("\n", "").encode(), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidRequest(f"The {what} of an attestation is not base64.") from error


def _check_statement(statement: bytes, filename: str, sha256: str) -> str:
    """The type of the statement's predicate. Raises InvalidRequest unless the statement is of this file alone."""
    try:
        document: Any = decode_strictly(statement)
    except ValueError as error:
        raise InvalidRequest(
            f"The statement of an attestation is not a JSON object with unique keys: {str(error)[:_MOST_SHOWN]}."
        ) from error
    if not isinstance(document, dict) or document.get("_type") != _STATEMENT:
        raise InvalidRequest(f"The statement of an attestation is no in-toto statement of the type {_STATEMENT}.")
    predicate = document.get("predicateType")
    if predicate not in PREDICATES:
        raise InvalidRequest(
            f"An attestation has a predicate of the type {str(predicate)[:_MOST_SHOWN]!r}; "
            f"this index takes {' and '.join(PREDICATES)}."
        )
    subjects = document.get("subject")
    if not isinstance(subjects, list) or len(subjects) != 1 or not isinstance(subjects[0], dict):
        raise InvalidRequest(
            "The statement of an attestation must have exactly one subject; attest each file by itself."
        )
    digests = subjects[0].get("digest")
    attested = digests.get("sha256") if isinstance(digests, dict) else None
    if subjects[0].get("name") != filename:
        raise InvalidRequest(
            f"An attestation is of {str(subjects[0].get('name'))[:_MOST_SHOWN]!r}, not of {filename}; "
            "upload each file with its own attestations."
        )
    if attested != sha256:
        raise InvalidRequest(
            f"An attestation is of a {filename} with the sha256 {str(attested)[:64]!r}, but the file has {sha256}; "
            "attest the file that is uploaded."
        )
    return str(predicate)
