"""Which metadata is offered beside a file (PEP 658): what an installer may rely on, and nothing else."""

from __future__ import annotations

import pytest

from quire.archives.metadata import is_static, parse_metadata
from quire.index.upload import Upload, examine, upload_key
from quire.store.memory import MemoryStore
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name

DYNAMIC = "Dynamic: Requires-Dist\n"


def _text(metadata_version: str, extra: str = "") -> str:
    return metadata_text("sample", "1.0", metadata_version=metadata_version, extra=extra)


@pytest.mark.parametrize(
    ("metadata_version", "extra", "static"),
    [
        ("1.0", "", False),
        ("2.1", "", False),
        ("2.2", "", True),
        ("2.4", "", True),
        ("2.10", "", True),
        ("2.2", DYNAMIC, False),
        ("2.4", "Dynamic: License\nDynamic: Version\n", False),
        ("2.4", "Provides-Extra: dynamic\n", True),
    ],
)
def test_static_from_2_2_on_without_dynamic_fields(metadata_version: str, extra: str, static: bool) -> None:
    """PEP 643, and versions are compared as numbers."""
    assert is_static(parse_metadata(_text(metadata_version, extra).encode())) is static


@pytest.mark.parametrize("metadata_version", ["", "2", "x.y", "2.x", "²2.2", f"2.{'9' * 5000}"])
def test_a_version_that_is_none_is_not_static(metadata_version: str) -> None:
    """An odd drop-in file promises nothing."""
    document = _text(metadata_version).encode()
    assert not is_static(parse_metadata(document, strict=False))


def _examine(filename: str, content: bytes) -> Upload:
    staging = MemoryStore().blobs.stage(upload_key(filename))
    staging.write(content)
    return examine(staging.finish(), filename)


@pytest.mark.parametrize(
    ("metadata_version", "extra", "offered"), [("2.1", "", False), ("2.4", DYNAMIC, False), ("2.4", "", True)]
)
def test_an_uploaded_sdist(metadata_version: str, extra: str, offered: bool) -> None:
    """Its metadata is offered only when static; what Python it requires is recorded always."""
    text = _text(metadata_version, extra)
    upload = _examine(sdist_name("sample", "1.0"), make_sdist("sample", "1.0", metadata=text))
    assert upload.metadata == (text.encode() if offered else None)
    assert upload.requires_python == ">=3.8"


def test_an_uploaded_wheel() -> None:
    """A wheel's metadata is what will be installed, of whatever version."""
    text = _text("2.1", DYNAMIC)
    assert _examine(wheel_name("sample", "1.0"), make_wheel("sample", "1.0", metadata=text)).metadata == text.encode()
