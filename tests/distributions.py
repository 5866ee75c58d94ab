"""Real wheels and sdists, made in memory, byte for byte the same at every call with the same arguments."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping

_EPOCH = (2020, 2, 2, 0, 0, 0)


def metadata_text(
    name: str, version: str, *, requires_python: str | None = ">=3.8", metadata_version: str = "2.4", extra: str = ""
) -> str:
    """A METADATA / PKG-INFO document; `extra` is appended to its header fields as is."""
    lines = [
        f"Metadata-Version: {metadata_version}",
        f"Name: {name}",
        f"Version: {version}",
        f"Summary: {name} for tests",
    ]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    return "\n".join(lines) + "\n" + extra + f"\nThe description of {name}.\n"


def wheel_name(name: str, version: str) -> str:
    return f"{name.replace('-', '_').replace('.', '_')}-{version}-py3-none-any.whl"


def make_wheel(
    name: str,
    version: str,
    *,
    metadata: str | None = None,
    files: Mapping[str, bytes] | None = None,
    requires_python: str | None = ">=3.8",
) -> bytes:
    """A wheel that pip installs: one module named like the project, with VERSION in it, plus `files`."""
    distribution = name.replace("-", "_").replace(".", "_")
    info = f"{distribution}-{version}.dist-info"
    contents: dict[str, bytes] = {
        f"{distribution}.py": f"VERSION = {version!r}\n".encode(),
        **(files or {}),
        f"{info}/METADATA": (metadata or metadata_text(name, version, requires_python=requires_python)).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, data in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in contents.items():
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def sdist_name(name: str, version: str) -> str:
    return f"{name.replace('-', '_').replace('.', '_')}-{version}.tar.gz"


_IN_TREE_BACKEND = """
import base64, hashlib, zipfile

def _write(wheel_directory):
    filename = "{distribution}-{version}-py3-none-any.whl"
    info = "{distribution}-{version}.dist-info"
    contents = {{
        "{distribution}.py": b"VERSION = {version!r}\\n",
        info + "/METADATA": open("PKG-INFO", "rb").read(),
        info + "/WHEEL": b"Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    record = "".join(
        "%s,sha256=%s,%d\\n" % (p, base64.urlsafe_b64encode(hashlib.sha256(d).digest()).rstrip(b"=").decode(), len(d))
        for p, d in contents.items()
    ) + info + "/RECORD,,\\n"
    contents[info + "/RECORD"] = record.encode()
    with zipfile.ZipFile(wheel_directory + "/" + filename, "w") as archive:
        for path, data in contents.items():
            archive.writestr(path, data)
    return filename

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _write(wheel_directory)
"""


def make_sdist(
    name: str,
    version: str,
    *,
    metadata: str | None = None,
    members: list[tuple[tarfile.TarInfo, bytes]] | None = None,
    requires_python: str | None = ">=3.8",
) -> bytes:
    """An sdist that pip builds with nothing but the standard library (an in-tree backend), plus raw `members`."""
    distribution = name.replace("-", "_").replace(".", "_")
    root = f"{distribution}-{version}"
    contents = {
        f"{root}/pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        f"{root}/backend.py": _IN_TREE_BACKEND.format(distribution=distribution, version=version).encode(),
        f"{root}/PKG-INFO": (metadata or metadata_text(name, version, requires_python=requires_python)).encode(),
    }
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path, data in contents.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member, data in members or []:
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
