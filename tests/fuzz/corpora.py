"""Makes the corpus of each target again: `python -m tests.fuzz.corpora`. Small, and of inputs that are valid or

nearly so. Inputs by which fuzzing found a fault are kept as well, under names that begin with `was-`; those files are
not touched.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import xmlrpc.client

from quire.access import sessions
from quire.access.document import EMPTY, Sessions
from quire.attestations.statements import PREDICATES
from quire.domain.project import File, Project, encode_project
from tests.asking import _BOUNDARY, multipart, twine_form
from tests.distributions import make_sdist, make_wheel, metadata_text
from tests.fuzz.identities import ARN, KEY_SET, NAME, SHA256
from tests.fuzz.targets import CORPUS

_WHEEL = make_wheel("sample", "1.0")
_SDIST = make_sdist("sample", "1.0")
_METADATA = metadata_text("sample", "1.0").encode()
_DIGEST = "0" * 64
_DOCUMENT = encode_project(
    Project(
        name="Sample",
        files={
            "sample-1.0.tar.gz": File(
                filename="sample-1.0.tar.gz", version="1.0", size=1, hashes={"sha256": _DIGEST}, yanked="why", blob="x"
            )
        },
    )
)


def seeds() -> dict[str, dict[str, bytes]]:
    """The content of every corpus: target, name, bytes."""
    parts = twine_form("sample-1.0-py3-none-any.whl", b"PK", name="sample", version="1.0")
    uploads = multipart(parts)
    bare = gzip.decompress(_SDIST)
    zipped = make_wheel("sample", "1.0", files={"sample-1.0/PKG-INFO": _METADATA})
    return {
        "form": {
            "upload": b"\x07" + _BOUNDARY.encode() + b"\n" + uploads,
            "short": b'\x01b\n--b\r\nContent-Disposition: form-data; name=":action"\r\n\r\nx\r\n--b--\r\n',
            "file": b'\x02b\n--b\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n\r\nx\r\n--b--\r\n',
            "fields": b"\x03\n:action=remove_pkg&name=sample&version=1.0%2b1",
        },
        "names": {
            str(number): name.encode()
            for number, name in enumerate(
                (
                    *("sample-1.0-py3-none-any.whl", "sample-1.0-1-cp311-abi3-manylinux_2_17_x86_64.whl"),
                    *("sample-1.0.tar.gz", "Sample.Name-1!1.0rc1.post2.dev3+local.1.zip", "sample-1.0-py3.11.egg"),
                    *("sample-1.0.win-amd64-py3.11.exe", "sample-1.0-1.noarch.rpm", "python3-sample_1.0-1_all.deb"),
                    *("sample.tar.gz", "1.0\n1.0.0", "../sample-1.0.tar.gz"),
                )
            )
        },
        "negotiation": {
            "pip": b"application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.1, text/html;q=0.01",
            "any": b"*/*;q=0.5, text/*;level=1;q=0\napplication/vnd.pypi.simple.latest+json",
            "encoding": b"gzip;q=1.0, zstd;q=0.5, identity;q=0, *;q=0",
        },
        "ranges": {"first": b"bytes=0-99", "open": b"bytes=5-", "last": b"bytes=-7", "two": b"bytes=0-1, 3-4"},
        "basic": {
            "ascii": b"Basic " + base64.b64encode(b"user:password"),
            "utf-8": b"basic " + base64.b64encode("ü:p:ä".encode()),
        },
        "framing": {"good": b"5", "both": b"5\nchunked\nhost:80", "address": b"5\nchunked\n[::1]:80"},
        "xmlrpc": {
            "search": xmlrpc.client.dumps(({"name": ["a"], "summary": ["b"]}, "or"), "search").encode(),
            "types": xmlrpc.client.dumps(([1, 1.5, True, xmlrpc.client.Binary(b"x")],), "other").encode(),
            "entity": b'<!DOCTYPE a [<!ENTITY b "c">]><methodCall><methodName>&b;</methodName></methodCall>',
        },
        "archives": {
            "wheel": b"\0" + _WHEEL,
            "sdist": b"\x01" + _SDIST,
            "zip": b"\x02" + zipped,
            "egg": b"\x03" + make_wheel("sample", "1.0", files={"EGG-INFO/PKG-INFO": _METADATA}),
            "bz2": b"\x04" + bz2.compress(bare),
            "xz": b"\x05" + lzma.compress(bare, preset=0),
        },
        "metadata": {
            "plain": _METADATA,
            "body": _METADATA + b"\n\nA description.\n",
            "full": _METADATA
            + b"Requires-Dist: a>=1 ; extra == 'b'\nDynamic: License\nProject-URL: a, b\nKeywords: a,b\n",
        },
        "records": {"project": _DOCUMENT, "tombstone": b'{"format": 1, "name": "x", "files": {}, "more": [1]}'},
        "store": {
            "revisions": b"f00000001.json\n" + _DOCUMENT + b"\0\0f00000002.json\n" + _DOCUMENT,
            "rubbish": b"f.nfs01\nx\0\0d00000003.json\n\0\0f00000002.json~\n\0\0f00000001.json\n" + _DOCUMENT,
            "link": b"l00000001.json\n/etc/hostname",
        },
        **_identities(),
    }


def _identities() -> dict[str, dict[str, bytes]]:
    claims = {
        "iss": "https://issuer.example",
        "aud": "packages.acme.example",
        "iat": 1,
        "exp": 9_999_999_999,
        "jti": "x",
    }
    user = {"sub": "1", "email": "ann@acme.example", "email_verified": True, "groups": ["tools"], "exp": 9_999_999_999}
    subject = [{"name": NAME, "digest": {"sha256": SHA256}}]
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": PREDICATES[0]}
    sent = {
        "version": 1,
        "verification_material": {"certificate": "eA==", "transparency_entries": [{}]},
        "envelope": {"statement": base64.b64encode(json.dumps(statement).encode()).decode(), "signature": "eA=="},
    }
    signed = sessions.seal(sessions.with_key(EMPTY).sessions or Sessions(key=""), sessions.SESSION, {"e": 1})
    return {
        "tokens": {
            "rsa": _jwt({"alg": "RS256", "kid": "one", "typ": "JWT"}, claims, 256),
            "parts": json.dumps({"alg": "RS256", "kid": "one"}).encode() + b"\n" + json.dumps(claims).encode() + b"\nx",
            "curve": _jwt({"alg": "ES256", "kid": "curve"}, claims, 64),
            "none": _jwt({"alg": "none", "kid": "one"}, claims, 1),
            "critical": _jwt({"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": False}, claims, 256),
            "unknown": _jwt({"alg": "RS256", "kid": "../x"}, {"iss": "https://issuer.example"}, 1),
        },
        "keys": {
            "set": json.dumps(KEY_SET).encode(),
            "others": b'{"keys": [{"kty": "oct", "k": "AA", "kid": "a"}, {"kty": "RSA", "n": "AQ", "e": "AQ"}]}',
        },
        "users": {
            "name": b"ann@acme.example",
            "groups": b"tools, ops",
            "claims": json.dumps(user).encode(),
            "load-balancer": _jwt(
                {"alg": "ES256", "kid": "0123456789ab", "signer": ARN, "exp": 9_999_999_999}, user, 64
            ),
        },
        "attestations": {"one": json.dumps([sent]).encode(), "two": json.dumps([sent, sent]).encode(), "none": b"[]"},
        "cookies": {"foreign": signed.encode(), "empty": b".", "body": b"e30."},
    }


def _jwt(header: object, claims: object, signature: int) -> bytes:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), b"x" * signature)
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def main() -> None:
    """Write the files."""
    for target, files in seeds().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
