"""A small Sigstore instance for tests: certificate authority, certificate log and transparency log, with real keys.

It signs attestations as a CI job would have them signed, and breaks any part of one for the tests of refusals.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from quire.access.changing import make_token, with_token
from quire.access.ci_identities import CiIdentity
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity, new_token
from quire.index.audit.entries import Origin
from quire.store.contracts import Store

PUBLISH, SLSA = "https://docs.pypi.org/attestations/publish/v1", "https://slsa.dev/provenance/v1"
GITHUB = "https://token.actions.githubusercontent.com"
JOB = CiIdentity(
    id="p1",
    kind="GitHub",
    issuer=GITHUB,
    claims={
        "repository": "acme/tools",
        "repository_id": "1234",
        "workflow_ref": "acme/tools/.github/workflows/release.yml@refs/heads/main",
        "environment": "pypi",
    },
)
CLAIMS: dict[int, str] = {
    8: GITHUB,
    12: "https://github.com/acme/tools",
    13: "0" * 40,
    14: "refs/tags/v1",
    15: "1234",
    18: "https://github.com/acme/tools/.github/workflows/release.yml@refs/tags/v1",
    20: "push",
}
"""Of a certificate for a job of the same workflow, by the last numbers of Fulcio's object identifiers."""

_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_SIGN = ec.ECDSA(hashes.SHA256())
_TYPE = "application/vnd.in-toto+json"


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def minted(store: Store, job: CiIdentity | None = JOB) -> str:
    """A token that may upload for fifteen minutes: one that was minted for a job, or one that a person made (None)."""
    now, text = datetime.now(UTC), new_token(new_identity())
    lifetime = timedelta(minutes=15)
    token = make_token(text.digest, ["upload"], "*", [], user=None, note=None, lifetime=lifetime, now=now, by=None)
    token = msgspec.structs.replace(token, publisher=job)
    AccessRecords(store).change(lambda each: with_token(each, text.identity, token, now), "mint", {}, Origin())
    return text.text


class Instance:
    """The keys of an instance, and what it signs with them."""

    def __init__(self) -> None:
        self.log = _key()
        """Of the transparency log."""
        self.certificate_log = _key()
        self._root, self._authority = _key(), _key()
        self._began = datetime.now(UTC) - timedelta(days=30)
        self._root_certificate = self._ca_certificate("root", self._root, "root", self._root)
        self._authority_certificate = self._ca_certificate("authority", self._authority, "root", self._root)

    def trust_root(self) -> bytes:
        """Its trusted_root.json, in one line."""
        valid = {"start": self._began.isoformat()}

        def log_of(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _text(_spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": valid,
                },
                "logId": {"keyId": _text(_key_id(key))},
            }

        chain = [self._authority_certificate, self._root_certificate]
        authority = {
            "subject": {"organization": "tests", "commonName": "authority"},
            "uri": "https://fulcio.example",
            "certChain": {
                "certificates": [{"rawBytes": _text(each.public_bytes(Encoding.DER))} for each in chain],
            },
            "validFor": valid,
        }
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log_of(self.log)],
                "certificateAuthorities": [authority],
                "ctlogs": [log_of(self.certificate_log)],
                "timestampAuthorities": [],
            }
        ).encode()

    def attestation(
        self,
        filename: str,
        sha256: str,
        *,
        predicate: str = PUBLISH,
        claims: Mapping[int, str] = CLAIMS,
        emails: Sequence[str] = (),
        subjects: Sequence[Any] | None = None,
        statement: bytes | None = None,
        logged_after: timedelta = timedelta(minutes=1),
        log: ec.EllipticCurvePrivateKey | None = None,
        certificate_log: ec.EllipticCurvePrivateKey | None = None,
    ) -> dict[str, Any]:
        """An attestation object. `logged_after`: from the begin of the certificate, which is valid for ten minutes;
        `log`, `certificate_log`: keys that sign in place of its own.
        """
        if subjects is None:
            subjects = [{"name": filename, "digest": {"sha256": sha256}}]
        if statement is None:
            statement = json.dumps(
                {
                    "_type": "https://in-toto.io/Statement/v1",
                    "subject": list(subjects),
                    "predicateType": predicate,
                    "predicate": None,
                }
            ).encode()
        key, begin = _key(), datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        certificate = self._leaf(key, begin, claims, emails, certificate_log or self.certificate_log)
        signature = key.sign(b"DSSEv1 %d %b %d %b" % (len(_TYPE), _TYPE.encode(), len(statement), statement), _SIGN)
        entry = _logged(log or self.log, certificate, statement, signature, begin + logged_after)
        return {
            "version": 1,
            "verification_material": {
                "certificate": _text(certificate.public_bytes(Encoding.DER)),
                "transparency_entries": [entry],
            },
            "envelope": {"statement": _text(statement), "signature": _text(signature)},
        }

    def _ca_certificate(
        self, name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder(_name(issuer), _name(name), key.public_key(), x509.random_serial_number())
            .not_valid_before(self._began)
            .not_valid_after(self._began + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )

    def _leaf(
        self,
        key: ec.EllipticCurvePrivateKey,
        begin: datetime,
        claims: Mapping[int, str],
        emails: Sequence[str],
        certificate_log: ec.EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        names: list[x509.GeneralName] = [x509.RFC822Name(each) for each in emails]
        builder = (
            x509.CertificateBuilder(_name("authority"), x509.Name([]), key.public_key(), x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(minutes=10))
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._authority.public_key()), critical=False
            )
            .add_extension(
                x509.SubjectAlternativeName(names or [x509.UniformResourceIdentifier(claims.get(18, "x:y"))]),
                critical=True,
            )
        )
        for number, value in claims.items():
            oid = x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, _der(0x0C, value.encode())), critical=False)
        before = builder.sign(self._authority, hashes.SHA256())  # without the timestamp, as the log signs it
        timestamp = _sct(certificate_log, _key_id(self._authority), before.tbs_certificate_bytes, begin)
        return builder.add_extension(x509.UnrecognizedExtension(_SCT_LIST, timestamp), critical=False).sign(
            self._authority, hashes.SHA256()
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _sct(log: ec.EllipticCurvePrivateKey, issuer_key_id: bytes, tbs: bytes, at: datetime) -> bytes:
    """The extension's value: a list of one signed certificate timestamp (RFC 6962, 3.2 and 3.3)."""
    milliseconds = (int(at.timestamp()) * 1000).to_bytes(8, "big")
    signed = b"\0\0" + milliseconds + b"\0\1" + issuer_key_id + len(tbs).to_bytes(3, "big") + tbs + b"\0\0"
    signature = log.sign(signed, _SIGN)
    sct = b"\0" + _key_id(log) + milliseconds + b"\0\0" + b"\4\3" + len(signature).to_bytes(2, "big") + signature
    one = len(sct).to_bytes(2, "big") + sct
    return _der(0x04, len(one).to_bytes(2, "big") + one)


def _logged(
    log: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, statement: bytes, signature: bytes, at: datetime
) -> dict[str, Any]:
    """The entry of a log that has one other entry, with the proof of its inclusion and the log's promise."""
    body = json.dumps(
        {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(statement).hexdigest()},
                "signatures": [
                    {"signature": _text(signature), "verifier": _text(certificate.public_bytes(Encoding.PEM))}
                ],
            },
        }
    ).encode()
    other, leaf = hashlib.sha256(b"\0other").digest(), hashlib.sha256(b"\0" + body).digest()
    root = hashlib.sha256(b"\1" + other + leaf).digest()
    note = f"log.example - 1\n2\n{_text(root)}\n"
    signed_note = _text(_key_id(log)[:4] + log.sign(note.encode(), _SIGN))
    promised = {
        "body": _text(body),
        "integratedTime": int(at.timestamp()),
        "logID": _key_id(log).hex(),
        "logIndex": 1,
    }
    promise = log.sign(json.dumps(promised, separators=(",", ":")).encode(), _SIGN)
    return {
        "logIndex": "1",
        "logId": {"keyId": _text(_key_id(log))},
        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": str(promised["integratedTime"]),
        "inclusionPromise": {"signedEntryTimestamp": _text(promise)},
        "inclusionProof": {
            "logIndex": "1",
            "rootHash": _text(root),
            "treeSize": "2",
            "hashes": [_text(other)],
            "checkpoint": {"envelope": f"{note}\n\u2014 log.example {signed_note}\n"},
        },
        "canonicalizedBody": _text(body),
    }
