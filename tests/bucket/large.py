"""Files larger than a worker's memory through one worker, with ranges of them, and how much memory it took:

python -m tests.bucket.rig python -m tests.bucket.large [--mib 2048] [--at-once 3]

The rig keeps the files in memory, too: 5,300 MiB, more than one request can send to S3, take 8 GiB.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx

from quire.domain.names import parse_filename
from tests.asking import OPEN, Site, content_type, multipart, serve, twine_form
from tests.bucket.servers import served_buckets
from tests.distributions import make_wheel, wheel_name
from tests.memory import peak

MIB = 1024 * 1024
LIMIT = 150 * MIB
"""Bytes that a worker may take."""
_MARK = b"the content of the file"


_LARGEST_PUT = 5 * 1024**3
"""Bytes that S3 takes in one request, and copies in one."""


class Passed(NamedTuple):
    """How one file went up and came back."""

    upload_seconds: float
    download_seconds: float


class Measured(NamedTuple):
    """The memory and the time that a worker needed."""

    before: int
    """Bytes of memory at its peak."""
    after_uploads: int
    after_downloads: int
    passed: list[Passed]


def write_wheel(path: Path, size: int) -> None:
    """A wheel with so many bytes of data, a piece at a time."""
    name = parse_filename(path.name).project
    path.write_bytes(make_wheel(name, "1.0"))
    block = os.urandom(MIB)
    with zipfile.ZipFile(path, "a") as archive, archive.open(f"{name}/data.bin", "w", force_zip64=True) as member:
        for number in range(size // MIB):
            member.write(number.to_bytes(8, "big") + block[8:])


def _digest(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(256 * 1024):
            yield piece


def upload(site: Site, path: Path) -> float:
    """Publish a file as twine does, in seconds."""
    name = parse_filename(path.name).project
    digest = {"sha256_digest": _digest(_pieces(path)), "md5_digest": None, "blake2_256_digest": None}
    head, tail = multipart(twine_form(path.name, _MARK, name=name, version="1.0", replaced=digest)).split(_MARK)

    def body() -> Iterator[bytes]:
        yield head
        yield from _pieces(path)
        yield tail

    length = len(head) + path.stat().st_size + len(tail)
    headers = {"content-type": content_type(), "content-length": str(length)}
    begun = time.perf_counter()
    answer = httpx.post(site.base, content=body(), headers=headers, timeout=600)
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - begun


def download(site: Site, path: Path) -> float:
    """Get a file and compare its digest, in seconds."""
    address = site.file_url(parse_filename(path.name).project, path.name)
    begun = time.perf_counter()
    with httpx.stream("GET", address, timeout=600) as answer:
        found = _digest(answer.iter_bytes())
    seconds = time.perf_counter() - begun
    assert f"/{found}/" in address
    return seconds


def check_ranges(site: Site, path: Path) -> int:
    """Get parts of a file from here and there, and compare them with the file; how many."""
    address = site.file_url(parse_filename(path.name).project, path.name)
    size = path.stat().st_size
    starts = [start for start in (0, size // 2, 2**32 - MIB, _LARGEST_PUT - MIB, size - 2 * MIB) if 0 <= start < size]
    with path.open("rb") as file, httpx.Client(timeout=60) as client:
        assert client.head(address).headers["content-length"] == str(size)
        for start in starts:
            ends = min(start + 2 * MIB, size)
            answer = client.get(address, headers={"Range": f"bytes={start}-{ends - 1}"})
            file.seek(start)
            assert answer.status_code == 206, answer.text
            assert answer.headers["content-range"] == f"bytes {start}-{ends - 1}/{size}"
            assert answer.content == file.read(ends - start), f"other bytes from {start} on"
        answer = client.get(address, headers={"Range": f"bytes={size}-"})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")
    return len(starts)


def measure(folder: Path, url: str, size: int, at_once: int) -> Measured:
    """Send files of this size through one worker, so many at once, and get them back."""
    paths = [folder / wheel_name(f"large{number}", "1.0") for number in range(at_once)]
    for path in paths:
        write_wheel(path, size)

    def all_of(each: Callable[[Path], float]) -> list[float]:
        with ThreadPoolExecutor(at_once) as executor:
            return list(executor.map(each, paths))

    with serve(folder, *OPEN, "--max-upload-size", "8G", place=url) as site:
        before = peak(site.served.process.pid)
        uploads = all_of(partial(upload, site))
        after_uploads = peak(site.served.process.pid)
        downloads = all_of(partial(download, site))
        all_of(partial(check_ranges, site))
        passed = [Passed(*seconds) for seconds in zip(uploads, downloads, strict=True)]
        return Measured(before, after_uploads, peak(site.served.process.pid), passed)


def main() -> int:
    """Print what was measured; 1 when it is too much."""
    parser = argparse.ArgumentParser(prog="python -m tests.bucket.large", description=__doc__.partition("\n")[0])
    parser.add_argument("--mib", type=int, default=2048, help="size of each file (default: 2048)")
    parser.add_argument("--at-once", type=int, default=1, help="files at the same time (default: 1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"{served_buckets()['s3']}/{secrets.token_hex(6)}"
        found = measure(Path(folder), url, arguments.mib * MIB, arguments.at_once)
    for number, (up, down) in enumerate(found.passed):
        print(f"file {number}: up {up:.1f} s, down {down:.1f} s")
    before, after_uploads, in_all = (f"{each / MIB:.0f} MiB" for each in found[:3])
    print(f"memory: {before} before, {after_uploads} after uploads, {in_all} in all")
    return int(found.after_downloads > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
