"""The headers of a delivery, as Standard Webhooks has them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

from quire.domain.webhooks import parse_secret


def signed_headers(message: str, timestamp: int, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """The headers of a message with this id, sent at a time (seconds since 1970), with a signature by each secret.

    Raises InvalidRequest for a secret that is none.
    """
    signed = b"%b.%d.%b" % (message.encode(), timestamp, body)
    signatures = (hmac.new(parse_secret(secret), signed, hashlib.sha256).digest() for secret in secrets)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in signatures),
    }
