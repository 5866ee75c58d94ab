"""The signed header of an AWS Application Load Balancer that has logged a user in.

Theory of operation. The load balancer sends the user's claims in `x-amzn-oidc-data`, a JSON Web Token that it signs
with ES256. Its public key is at an address of AWS in its region, by the key's id, and is the same for all load
balancers of the region; so only the ARN of the signer, which the signature covers, says that it is ours. Unlike RFC
7515 has it, the parts are padded with `=`, and the signature is over the padded text.

Source: Elastic Load Balancing, Application Load Balancers, "Authenticate users using an Application Load Balancer",
user claims encoding and signature verification.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from quire.identity.fetching import IdentityUnavailable, fetch
from quire.identity.tokens import LEEWAY, MAX_CHARACTERS, BadToken, decode_base64url, decode_part

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

HEADER: Final = "x-amzn-oidc-data"
ARN: Final = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov):elasticloadbalancing:([a-z0-9-]{1,40}):[0-9]{12}:"
    r"loadbalancer/app/[A-Za-z0-9-]{1,32}/[0-9a-f]{1,32}"
)
_KEY_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
_MAX_KEYS: Final = 64
"""Keys that are kept, and failures that are remembered."""
_FAILURE_SECONDS: Final = 30.0
"""For this long an address that gave no key is not asked again."""

Fetch = Callable[[str], Awaitable[tuple[int, bytes]]]


def keys_address(arn: str) -> str:
    """The address below which the keys of a load balancer's region are. `arn`: one that matches ARN."""
    match = ARN.fullmatch(arn)
    assert match is not None, arn
    partition, region = match.groups()
    if partition == "aws-us-gov":
        return f"https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}"
    domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    return f"https://public-keys.auth.elb.{region}.{domain}"


class LoadBalancerTokens:
    """Verifies the headers of some load balancers. One per process, used from one event loop."""

    def __init__(
        self,
        arns: Sequence[str],
        keys_url: str | None = None,
        fetch: Fetch = fetch,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`arns`: of the load balancers that count. `keys_url`: where their keys are; None for AWS's own address."""
        self._addresses = {arn: (keys_url or keys_address(arn)).rstrip("/") for arn in arns}
        self._fetch = fetch
        self._clock = clock
        self._keys: OrderedDict[str, EllipticCurvePublicKey] = OrderedDict()
        self._failures: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[EllipticCurvePublicKey]] = {}

    async def verify(self, text: str) -> Mapping[str, Any]:
        """The claims of a header's value, proven. Raises BadToken, IdentityUnavailable."""
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - of the extra `oidc`
        from jwt.algorithms import ECAlgorithm  # noqa: PLC0415

        parts = text.split(".")
        if len(text) > MAX_CHARACTERS or len(parts) != 3 or not text.isascii():
            raise BadToken("It is no signed JSON Web Token: three parts with dots between them, of 16 KiB at most.")
        header = decode_part(parts[0].rstrip("="), "header")
        if header.get("alg") != "ES256" or "crit" in header:
            raise BadToken(f"Its algorithm {str(header.get('alg'))[:20]!r} is not taken; a load balancer's is ES256.")
        address = self._addresses.get(str(header.get("signer")))
        if address is None:
            raise BadToken("It is signed by another load balancer; --alb-arn names those that count.")
        identity = header.get("kid")
        if not isinstance(identity, str) or not _KEY_ID.fullmatch(identity):
            raise BadToken("It does not name the key that signed it (kid).")
        key = await self._key(f"{address}/{identity}")
        try:
            signature = decode_base64url(parts[2].rstrip("="))
        except ValueError:
            signature = b""
        if not ECAlgorithm(SHA256).verify(f"{parts[0]}.{parts[1]}".encode(), key, signature):
            raise BadToken("Its signature is wrong.")
        claims = decode_part(parts[1].rstrip("="), "payload")
        ends = [document["exp"] for document in (header, claims) if "exp" in document]
        if not ends or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
            raise BadToken("It does not say when it expires (exp).")
        if min(ends) + LEEWAY <= self._clock():
            raise BadToken("It has expired; look at the clock of this server.")
        return claims

    async def _key(self, url: str) -> EllipticCurvePublicKey:
        key = self._keys.get(url)
        if key is not None:
            self._keys.move_to_end(url)
            return key
        until, problem = self._failures.get(url, (0.0, ""))
        if until > self._clock():
            raise IdentityUnavailable(problem)
        reading = self._reading.get(url)
        if reading is None:
            if len(self._reading) >= _MAX_KEYS:
                raise IdentityUnavailable("Too many keys of load balancers are being read; try again in some seconds.")
            reading = self._reading[url] = asyncio.create_task(self._read(url))
            reading.add_done_callback(lambda _: self._reading.pop(url, None))
        return await asyncio.shield(reading)

    async def _read(self, url: str) -> EllipticCurvePublicKey:
        try:
            status, body = await self._fetch(url)
            if status != 200:
                raise IdentityUnavailable(f"{url} answered with status {status}.")
            key = parse_key(body, url)
        except IdentityUnavailable as error:
            self._failures[url] = self._clock() + _FAILURE_SECONDS, str(error)
            if len(self._failures) > _MAX_KEYS:
                self._failures.popitem(last=False)
            raise
        self._keys[url] = key
        if len(self._keys) > _MAX_KEYS:
            self._keys.popitem(last=False)
        return key


def parse_key(data: bytes, url: str) -> EllipticCurvePublicKey:
    """The public key of a PEM file, on the curve P-256. Raises IdentityUnavailable."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - of the extra `oidc`
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise IdentityUnavailable(f"{url} is no public key on the curve P-256 in PEM.")
    return key
