"""Users in the signed header of an AWS Application Load Balancer: every part of it is verified."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

from quire.identity.load_balancers import keys_address
from tests.asking import Site, serve
from tests.serving import DEADLINE, run_quire, until

HEADER = "x-amzn-oidc-data"
OURS = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/quire/0123456789abcdef"
THEIRS = "arn:aws:elasticloadbalancing:eu-central-1:210987654321:loadbalancer/app/quire/0123456789abcdef"
FLAGS = ("-v", "-a", "list,download,update", "--trusted-proxies", "127.0.0.1", "--disable-fallback")


@dataclass
class Keys:
    """An address with the public keys of load balancers, as AWS has one in each region."""

    url: str = ""
    found: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def new(self, identity: str) -> ec.EllipticCurvePrivateKey:
        """A new key, of which the public half is published."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.found[f"/{identity}"] = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return key


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    keys = Keys()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.asked[self.path] += 1
            body = keys.found.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        keys.url = f"http://127.0.0.1:{server.server_port}"
        yield keys
        server.shutdown()


@pytest.fixture(scope="module")
def site(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index behind a load balancer at 127.0.0.1, where the group tools may read."""
    folder = tmp_path_factory.mktemp("balanced")
    with serve(folder, *FLAGS, "--alb-arn", OURS, "--alb-keys-url", keys.url) as site:
        for words in (("access", "init", "--admin", "root", "-a", "list"), ("grant", "group:tools", "read")):
            done = run_quire(*words, "-d", site.root, cwd=site.root)
            assert done.returncode == 0, done.stderr
        listed = json.loads(run_quire("grants", "--json", "-d", site.root, cwd=site.root).stdout)
        for grant in listed["grants"]:
            if grant["subject"] == "authenticated":
                run_quire("revoke", grant["id"], "-d", site.root, cwd=site.root)
        yield site


def part(document: object) -> str:
    """In base64url with its padding, as load balancers send it."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(data).decode()


def token(key: ec.EllipticCurvePrivateKey, header: Mapping[str, Any] = {}, claims: Mapping[str, Any] = {}) -> str:
    """A header as a load balancer makes it, with other values for some of it; None leaves one out."""
    soon = int(time.time()) + 120
    named = {"typ": "JWT", "alg": "ES256", "kid": "key-0001", "signer": OURS, "iss": "https://idp", "exp": soon}
    user = {
        "sub": "1",
        "email": "ann@acme.example",
        "email_verified": "true",
        "groups": ["tools", "staff"],
        "exp": soon,
    }
    parts = [
        part({name: value for name, value in {**document, **changes}.items() if value is not None})
        for document, changes in ((named, header), (user, claims))
    ]
    signed = ".".join(parts)
    return f"{signed}.{part(ECAlgorithm(SHA256).sign(signed.encode(), key))}"


def ask(site: Site, text: str) -> httpx.Response:
    return site.client.get("/simple/", headers={HEADER: text})


@pytest.mark.parametrize("padded", ["", "x", "xx"])
def test_the_load_balancer_names_the_user(site: Site, keys: Keys, padded: str) -> None:
    """By a token with the padding that it has, of any length; its groups have their grants; one reading of the key is
    enough."""
    key = keys.new(f"key-{len(padded)}000")
    for _ in range(3):
        found = ask(site, token(key, {"kid": f"key-{len(padded)}000"}, {"name": padded}))
        assert found.status_code == 200, found.text
    assert keys.asked[f"/key-{len(padded)}000"] == 1
    other = ask(site, token(key, {"kid": f"key-{len(padded)}000"}, {"groups": None}))
    assert other.status_code == 403
    assert other.text.startswith("The user ann@acme.example may not list here")
    assert site.client.get("/simple/").status_code == 401


def test_a_key_is_rotated(site: Site, keys: Keys) -> None:
    """A token of a new key counts as soon as the key is published, and one of the old key as long as it is valid."""
    old, new = keys.new("key-old-1"), keys.new("key-new-1")
    assert ask(site, token(old, {"kid": "key-old-1"})).status_code == 200
    del keys.found["/key-old-1"]
    assert ask(site, token(new, {"kid": "key-new-1"})).status_code == 200
    assert ask(site, token(old, {"kid": "key-old-1"})).status_code == 200


def test_no_other_peer_names_a_user(site: Site, keys: Keys) -> None:
    """A token that leaked counts from the load balancer's address alone."""
    key = keys.new("key-peer-1")
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(transport=transport, base_url=site.client.base_url, timeout=DEADLINE) as client:
        assert client.get("/simple/", headers={HEADER: token(key, {"kid": "key-peer-1"})}).status_code == 401
    assert not keys.asked["/key-peer-1"]


def test_two_lines_are_refused(site: Site, keys: Keys) -> None:
    """Of which one may be the client's."""
    text = token(keys.new("key-twice"), {"kid": "key-twice"})
    assert site.client.get("/simple/", headers=[(HEADER, text), (HEADER, text)]).status_code == 400


HOSTILE: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], int, str]] = {
    "another load balancer": ({"signer": THEIRS}, {}, 401, "signed by another load balancer"),
    "no signer": ({"signer": None}, {}, 401, "signed by another load balancer"),
    "a list of signers": ({"signer": [OURS]}, {}, 401, "signed by another load balancer"),
    "expired": ({"exp": 1_600_000_000}, {}, 401, "expired"),
    "expired claims": ({}, {"exp": 1_600_000_000}, 401, "expired"),
    "no expiry": ({"exp": None}, {"exp": None}, 401, "does not say when it expires"),
    "an expiry that is no time": ({"exp": "never"}, {}, 401, "does not say when it expires"),
    "alg none": ({"alg": "none"}, {}, 401, "'none' is not taken"),
    "alg HS256": ({"alg": "HS256"}, {}, 401, "'HS256' is not taken"),
    "an extension": ({"crit": ["b64"], "b64": False}, {}, 401, "is not taken"),
    "a path in kid": ({"kid": "../other/key-0001"}, {}, 401, "does not name the key"),
    "an address in kid": ({"kid": "@127.0.0.1/key-0001"}, {}, 401, "does not name the key"),
    "a query in kid": ({"kid": "key-0001?x=1"}, {}, 401, "does not name the key"),
    "no kid": ({"kid": None}, {}, 401, "does not name the key"),
    "a number in kid": ({"kid": 12345678}, {}, 401, "does not name the key"),
    "a kid that does not exist": ({"kid": "key-missing"}, {}, 503, "answered with status 404"),
    "no user": ({}, {"email": None}, 400, "sends no claim 'email'"),
    "an address that is not verified": ({}, {"email_verified": "false"}, 400, "has not verified"),
    "a user that is a token": ({}, {"email": "token:0123456789"}, 400, "another kind"),
    "groups that are none": ({}, {"groups": {"tools": True}}, 400, "is no list of groups"),
    "a group that is none": ({}, {"groups": ["tools", "x" * 201]}, 400, "too long"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_header_that_does_not_count(site: Site, keys: Keys, name: str) -> None:
    """Each with a sentence that says why; the key is asked for at its own address alone."""
    header, claims, status, sentence = HOSTILE[name]
    key = keys.new("key-0001") if "/key-0001" not in keys.found else KEY[0]
    KEY[:] = [key]
    before = set(keys.asked)
    answer = ask(site, token(key, header, claims))
    assert (answer.status_code, sentence in answer.text) == (status, True), answer.text
    assert set(keys.asked) - before <= {"/key-0001", "/key-missing"}


KEY: list[ec.EllipticCurvePrivateKey] = []


def test_a_forged_signature(site: Site, keys: Keys) -> None:
    """By another key, for other claims, with the public key as a secret, cut, or none at all."""
    key = keys.new("key-forged")
    good = token(key, {"kid": "key-forged"})
    header, claims, signature = good.split(".")
    forged = {
        token(ec.generate_private_key(ec.SECP256R1()), {"kid": "key-forged"}): "Its signature is wrong.",
        f"{header}.{part({'email': 'root', 'exp': 9_999_999_999})}.{signature}": "Its signature is wrong.",
        f"{header.rstrip('=')}x.{claims}.{signature}": "no JSON object",
        f"{header}.{claims}.{signature[:20]}": "Its signature is wrong.",
        f"{header}.{claims}.": "Its signature is wrong.",
        f"{header}.{claims}.%%%": "Its signature is wrong.",
        f"{header}.{claims}": "three parts",
        f"{good}.{signature}": "three parts",
        good + "A" * 20_000: "16 KiB at most",
        "": "three parts",
        "..": "no JSON object",
        f"{part(b'[' * 5000)}.{claims}.{signature}": "no JSON object",
        f"{part(b'{}')}.{claims}.{signature}": "is not taken",
    }
    secret = keys.found["/key-forged"]
    hmac = jwt.encode(
        {"email": "root"}, base64.b64encode(secret).decode(), "HS256", {"signer": OURS, "kid": "key-forged"}
    )
    for text, sentence in {**forged, hmac: "'HS256' is not taken"}.items():
        answer = ask(site, text)
        assert answer.status_code == 401, text
        assert answer.text.startswith(f"The load balancer's {HEADER} does not count. ")
        assert sentence in answer.text
    assert ask(site, good).status_code == 200


def test_a_key_that_is_not_there_is_not_asked_for_again_at_once(site: Site, keys: Keys) -> None:
    """So that tokens with invented ids cost AWS and the server little; keys of other kinds are none."""
    key = ec.generate_private_key(ec.SECP256R1())
    for _ in range(5):
        assert ask(site, token(key, {"kid": "key-invented"})).status_code == 503
    assert keys.asked["/key-invented"] == 1
    keys.found["/key-other"] = (
        ec.generate_private_key(ec.SECP384R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    keys.found["/key-nonsense"] = b"<html>"
    for name in ("key-other", "key-nonsense"):
        answer = ask(site, token(key, {"kid": name}))
        assert (answer.status_code, "is no public key" in answer.text) == (503, True)


@pytest.mark.parametrize(
    ("arn", "address"),
    [
        (OURS, "https://public-keys.auth.elb.eu-central-1.amazonaws.com"),
        (
            OURS.replace("aws:", "aws-us-gov:").replace("eu-central-1", "us-gov-west-1"),
            "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1",
        ),
    ],
)
def test_where_aws_has_the_keys(arn: str, address: str) -> None:
    """As its documentation has it, for its regions and for those of the government."""
    assert keys_address(arn) == address


def test_other_names_of_claims(keys: Keys, tmp_path: Path) -> None:
    """The operator says which claims are the user and its groups; without grants a user may do what needs a login."""
    key = keys.new("key-claims")
    names = ("--oidc-user-claim", "preferred_username", "--oidc-groups-claim", "cognito:groups")
    flags = ("-v", "-a", "list,download,update", "--trusted-proxies", "127.0.0.1")
    with serve(
        tmp_path, *flags, "--alb-arn", f"{THEIRS},{OURS}", "--alb-keys-url", keys.url, *names, "--log-format", "json"
    ) as site:
        answer = ask(
            site, token(key, {"kid": "key-claims"}, {"preferred_username": "Ännchen", "cognito:groups": "one"})
        )
        assert answer.status_code == 200

        def users() -> set[str | None]:
            return {json.loads(line).get("user") for line in site.served.output().splitlines()}

        until(lambda: "Ännchen" in users())
