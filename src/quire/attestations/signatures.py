"""The cryptography of attestations, by sigstore's library. Needs the extra `attestations`, and takes seconds to import:
only `quire.attestations.verification` imports it, when it is needed.

Everything is verified offline, with the keys of a trust root (Sigstore's `trusted_root.json`): the chain of the
signing certificate at the time that the transparency log signed, its certificate timestamp, the inclusion proof with
its signed checkpoint, the log's promise, the signature, and that the log's entry is of this signature.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import structlog
from cryptography import x509
from pypi_attestations import Attestation, Envelope, VerificationMaterial
from sigstore._utils import read_embedded
from sigstore.errors import Error as SigstoreError
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.trustroot.v1 import TrustedRoot as TrustedRootDocument

from quire.attestations.publishers import Certificate
from quire.attestations.statements import SentAttestation
from quire.domain.errors import ConfigurationError

_FULCIO = "1.3.6.1.4.1.57264.1."
_PUBLIC_GOOD = "https://tuf-repo-cdn.sigstore.dev"

log = structlog.get_logger(__name__)


class InvalidSignature(Exception):
    """An attestation that is not signed as it must be; the message says why, in words for a parenthesis."""


class OtherSigner(Exception):
    """A certificate of another signer; the message follows "its certificate"."""


class SignatureVerifier:
    """Verifies signatures by the keys of one or several trust roots. Safe to use from several threads."""

    def __init__(self, roots: bytes | None) -> None:
        """`roots`: trust roots as JSON, one or one a line; None for that of the public Sigstore instance.

        Raises ConfigurationError.
        """
        documents = [read_embedded("trusted_root.json", _PUBLIC_GOOD)] if roots is None else _documents(roots)
        self._verifiers: list[Verifier] = []
        for document in documents:
            try:
                self._verifiers.append(Verifier(trusted_root=TrustedRoot(TrustedRootDocument.from_json(document))))
            except Exception as error:
                raise ConfigurationError(
                    f"The trust root for attestations cannot be used ({_reason(error)}); give the trusted_root.json "
                    "of a Sigstore instance that has a transparency log."
                ) from error

    def verify(self, sent: SentAttestation, mismatch: Callable[[Certificate], str | None]) -> dict[str, Any]:
        """The attestation object, with nothing in it but what was verified.

        `mismatch`: why a certificate is of another signer, or None. Raises InvalidSignature, OtherSigner.
        """
        try:
            attestation = Attestation(
                version=1,
                verification_material=VerificationMaterial(
                    certificate=b64encode(sent.certificate),
                    transparency_entries=[sent.entry],  # type: ignore[list-item]  # a new type of that dict
                ),
                envelope=Envelope(statement=b64encode(sent.statement), signature=b64encode(sent.signature)),
            )
            bundle = attestation.to_bundle()
        except Exception as error:  # a parser's error of any kind refuses the attestation
            raise InvalidSignature(_reason(error)) from error
        policy = _Policy(attestation, mismatch)
        refusals: list[Exception] = []
        for verifier in self._verifiers:
            try:
                kind, statement = verifier.verify_dsse(bundle, policy)
            except Exception as error:  # noqa: BLE001 - the library raises errors of many kinds for hostile input; each refuses
                refusals.append(error)
                continue
            if kind == "application/vnd.in-toto+json" and statement == sent.statement:
                return _document(bundle)
        raise next((each for each in refusals if isinstance(each, OtherSigner)), None) or InvalidSignature(
            _reason(refusals[0]) if refusals else "its statement is not what was signed"
        )


class _Policy:
    """sigstore's VerificationPolicy: called for a certificate whose chain was verified."""

    def __init__(self, attestation: Attestation, mismatch: Callable[[Certificate], str | None]) -> None:
        self._attestation = attestation
        self._mismatch = mismatch

    def verify(self, certificate: x509.Certificate) -> None:
        claims = {
            int(number.removeprefix(_FULCIO)): value for number, value in self._attestation.certificate_claims.items()
        }
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            emails = tuple(names.get_values_for_type(x509.RFC822Name))
        except x509.ExtensionNotFound:
            emails = ()
        reason = self._mismatch(Certificate(claims, emails))
        if reason is not None:
            raise OtherSigner(reason)


def _documents(roots: bytes) -> list[bytes]:
    """One JSON document, or several of a line each."""
    lines = [line for line in roots.splitlines() if line.strip()]
    if lines and all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        return lines
    return [roots]


def _document(bundle: Bundle) -> dict[str, Any]:
    document: dict[str, Any] = Attestation.from_bundle(bundle).model_dump(mode="json")
    return document


def _reason(error: Exception) -> str:
    """The library's words for what is wrong, in one short line."""
    words = " ".join(str(error).split()) if isinstance(error, SigstoreError | ValueError) else ""
    return (words or type(error).__name__)[:300].rstrip(".")
