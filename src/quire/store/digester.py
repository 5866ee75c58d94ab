"""The digests of a stream of bytes, as all stores compute them."""

from __future__ import annotations

import hashlib

from quire.store.contracts import Digests


class Digester:
    """All digests of one stream of bytes."""

    def __init__(self, algorithms: tuple[str, ...] | None) -> None:
        """`algorithms`: see `contracts.Blobs.stage`."""
        self._other = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms or ()}
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blake2b_256 = hashlib.blake2b(digest_size=32)
        three = [self._sha256.update, self._md5.update, self._blake2b_256.update]
        self._updates = [] if algorithms is None else [*three, *(each.update for each in self._other.values())]

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take in the next bytes."""
        for update in self._updates:
            update(chunk)

    def digests(self) -> Digests:
        """Those of all bytes so far."""
        if not self._updates:
            return Digests("", "", "", {})
        return Digests(
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest(),
            blake2b_256=self._blake2b_256.hexdigest(),
            other={name: digest.hexdigest() for name, digest in self._other.items()},
        )
