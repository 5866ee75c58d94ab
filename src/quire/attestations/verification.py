"""The attestations of an upload, from the form field to the provenance object that is stored: verified, or refused."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec
import structlog

from quire.access.ci_identities import CiIdentity
from quire.domain.errors import ConfigurationError, InvalidRequest, StoreError

if TYPE_CHECKING:
    from quire.attestations.signatures import SignatureVerifier

_LIBRARIES = ("pypi_attestations", "sigstore")
_MOST_ROOT_BYTES = 4 * 1024 * 1024

log = structlog.get_logger(__name__)


class AttestationVerifier:
    """Verifies attestations offline. Safe to use from several threads; loads its library at the first use."""

    def __init__(self, trust_root: str | None = None) -> None:
        """`trust_root`: the file with the keys to trust; None for those of the public Sigstore instance."""
        self._trust_root = trust_root
        self._signatures: SignatureVerifier | None = None
        self._lock = threading.Lock()

    def load(self) -> SignatureVerifier:
        """The library with the trust root. Raises ConfigurationError when one of them is missing or cannot be used."""
        with self._lock:
            if self._signatures is None:
                roots = None if self._trust_root is None else _read(self._trust_root)
                try:
                    from quire.attestations.signatures import SignatureVerifier  # noqa: PLC0415 - takes seconds
                except ImportError as error:
                    raise ConfigurationError(
                        f"Verifying attestations needs the extra 'attestations', which is not installed ({error}); "
                        "install quire-index[attestations], or leave --attestations at 'auto' or 'ignore'."
                    ) from error
                self._signatures = SignatureVerifier(roots)
            return self._signatures

    def verify(self, sent: bytes, filename: str, sha256: str, identity: CiIdentity | None) -> bytes:
        """The provenance object of a file (PEP 740), as JSON, of the attestations that were sent with it.

        `identity`: of the trusted publisher that uploads; None where it is none. Blocks. Raises InvalidRequest with
        a sentence unless all of them are valid, and signed by that publisher.
        """
        if identity is None:
            raise InvalidRequest(
                "Attestations are verified against the trusted publisher that uploads, and this upload is by a user "
                "or a token that people made; upload by trusted publishing, or without attestations."
            )
        from quire.attestations.publishers import signer_of  # noqa: PLC0415 - most uploads have no attestations
        from quire.attestations.statements import read_attestations  # noqa: PLC0415

        attestations = read_attestations(sent, filename, sha256)
        signer = signer_of(identity)
        try:
            signatures = self.load()
        except ConfigurationError as error:
            raise StoreError(f"This server cannot verify attestations now: {error}") from error
        from quire.attestations.signatures import InvalidSignature, OtherSigner  # noqa: PLC0415 - loaded by now

        verified = []
        for attestation in attestations:
            try:
                verified.append(signatures.verify(attestation, signer.mismatch))
            except InvalidSignature as error:
                log.warning("attestation refused", file=filename, reason=str(error))
                raise InvalidRequest(
                    f"An attestation of {filename} is not valid ({error}); attest the file again, or upload it "
                    "without attestations."
                ) from error
            except OtherSigner as error:
                log.warning("attestation refused", file=filename, reason=f"its certificate {error}")
                raise InvalidRequest(
                    f"An attestation of {filename} is signed by another identity than the publisher that uploads: "
                    f"its certificate {error}."
                ) from error
        bundle = {"publisher": signer.publisher, "attestations": verified}
        return msgspec.json.encode({"version": 1, "attestation_bundles": [bundle]})


def make_verifier(mode: str, trust_root: str | None) -> AttestationVerifier | None:
    """The verifier of attestations for a server; None where they are not kept.

    `mode`: `verify`, `ignore`, or `auto`, which verifies where the extra is installed. With `verify`, and with a trust
    root, all is loaded at once, so that its errors are those of the start.
    Raises ConfigurationError.
    """
    if mode == "ignore" or (mode == "auto" and not is_installed()):
        return None
    verifier = AttestationVerifier(trust_root)
    if mode == "verify" or trust_root is not None:
        verifier.load()
    return verifier


def is_installed() -> bool:
    """Whether the extra `attestations` is. Imports nothing."""
    return all(find_spec(name) is not None for name in _LIBRARIES)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            roots = file.read(_MOST_ROOT_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"The trust root {path} cannot be read ({error.strerror}).") from error
    if len(roots) > _MOST_ROOT_BYTES:
        raise ConfigurationError(
            f"The trust root {path} is larger than {_MOST_ROOT_BYTES >> 20} MiB; it is no trust root."
        )
    return roots
