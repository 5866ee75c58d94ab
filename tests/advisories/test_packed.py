"""The form in which advisories are kept: all that went in comes out, and nothing that is damaged is believed."""

from __future__ import annotations

import io
import json
import random
from contextlib import suppress
from typing import Any

import pytest

from quire.advisories.packed import Packed, Packer
from quire.domain.errors import DamagedRecord
from quire.domain.osv import take
from tests.advisories import taking


class Bytes:
    """Bytes by position, and how many of them were read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.read = 0

    def read_at(self, offset: int, size: int, /) -> bytes:
        found = self.data[offset : offset + size]
        self.read += len(found)
        return found


def document(identity: str, *names: str, versions: tuple[str, ...] = ("1.0",), **fields: Any) -> bytes:
    return json.dumps(taking.document(identity, *names, versions=list(versions), **fields)).encode()


def packed(*documents: bytes) -> bytes:
    out = io.BytesIO()
    packer = Packer(out.write)
    for each in documents:
        packer.add(take(each), each)
    packer.finish()
    return out.getvalue()


def test_lookups_and_documents() -> None:
    """By project and version, and by id."""
    first, second = document("B-1", "demo", "other"), document("A-1", "demo", versions=("1.0", "2.0"))
    blob = Bytes(packed(first, second, document("MAL-1", "bad")))
    found = Packed(blob)
    assert (len(found), found.malicious, found.projects) == (3, 1, 3)
    assert [each.id for each in found.of("demo", "1.0")] == ["A-1", "B-1"]
    assert [each.id for each in found.of("demo", "2.0")] == ["A-1"]
    assert found.of("demo", "3.0") == found.of("nothing", "1.0") == ()
    assert [each.id for each in found.entries("other")] == ["B-1"]
    assert found.documents(blob, ["A-1", "B-1", "C-1"]) == {"A-1": second, "B-1": first}
    assert found.has("A-1")
    assert not found.has("C-1")


def test_a_withdrawn_document_affects_nothing() -> None:
    """It can be read still."""
    data = document("MAL-1", "demo", withdrawn="2024-06-01T00:00:00Z")
    blob = Bytes(packed(data))
    assert Packed(blob).of("demo", "1.0") == ()
    assert Packed(blob).malicious == 0
    assert Packed(blob).documents(blob, ["MAL-1"]) == {"MAL-1": data}


def test_lookups_read_no_documents() -> None:
    """Of many documents a worker reads a part, and for one document a piece."""
    chance = random.Random(1)
    texts = [chance.randbytes(1500).hex() for _ in range(600)]
    blob = Bytes(packed(*(document(f"A-{at}", f"p-{at}", details=text) for at, text in enumerate(texts))))
    found = Packed(blob)
    assert blob.read < blob.size / 2
    blob.read = 0
    assert found.of("p-7", "1.0")[0].id == "A-7"
    assert blob.read == 0
    assert json.loads(found.documents(blob, ["A-7"])["A-7"])["id"] == "A-7"
    assert 0 < blob.read < blob.size / 2


def test_the_same_documents_are_the_same_bytes() -> None:
    """So an update that changes nothing is known by the digest; and one id is there once."""
    documents = [document(f"A-{number}", "demo") for number in range(5)]
    assert packed(*documents) == packed(*documents)
    assert len(Packed(Bytes(packed(documents[0], documents[0])))) == 1


def test_damage_is_an_error() -> None:
    """Cut off, changed, of another kind or a newer format: never a wrong answer."""
    data = packed(document("A-1", "demo"), document("A-2", "demo"))
    sound = Packed(Bytes(data)).of("demo", "1.0")
    for each in (b"", b"quireosv", data[:-1], data[1:], data.replace(b"format\x01", b"format\x02")):
        with pytest.raises(DamagedRecord, match="update them again"):
            Packed(Bytes(each))
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]
        with suppress(DamagedRecord):
            assert Packed(Bytes(changed)).of("demo", "1.0") == sound
