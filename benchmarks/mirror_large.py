"""A cold file of 2 GB through mirrors: its first byte, its rate, the memory that it takes, and ten clients at once.

Theory of operation. The file is made up and served by nginx; each mirror knows its page, but not the file. A client is
a thread with a socket that drops what it reads: it is as fast as a direct client can be, and so no client of a network.
The figures at the rate of a network (1 Gbit/s) are those of an nginx that gives no more than that to each connection.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from benchmarks.environments import CACHE
from benchmarks.mirror_peers import Mirror, Mirroring, mirroring
from benchmarks.mirror_tables import Table, made
from benchmarks.processes import Running, Unavailable
from benchmarks.progress import lasting
from benchmarks.recorded import JSON, Playing, keep_page, playing

SIZE = int(os.environ.get("BENCH_LARGE_MB", "2000")) * 1_000_000
GIGABIT = 125_000_000
"""Bytes per second."""
CLIENTS = 10
_NAME = "large-1.0-py3-none-any.whl"
_BLOCK = 1_000_000
_SAMPLE_SECONDS = 0.05
_COLUMNS = (
    "first byte later by, ms",
    "rate",
    "first byte at 1 Gbit/s later by, ms",
    "rate at 1 Gbit/s",
    "CPU s a GB",
    "memory, MB",
    "ten clients: fetches",
    "ten clients: s",
    "ten clients: memory, MB",
)


@dataclass(frozen=True)
class Received:
    """A download as its client saw it."""

    first: float
    """Seconds until the first byte of the body."""
    seconds: float
    """Until the last one."""


def large_file(kinds: Sequence[Mirroring], work: Path, rounds: int, seconds: float) -> Table:
    """Rates are beside a direct client, whose rate is 1; memory is what the processes take more than before."""
    table = made(f"cold file of {SIZE / 1e9:g} GB, direct = 1", _COLUMNS)
    folder = _made_up()
    with (
        playing(work / "nginx", folder=folder, logs=True) as fast,
        playing(work / "slow", folder=folder, rate=GIGABIT) as slow,
    ):
        for number in range(rounds):
            direct, slower = download(fast.url), download(slow.url)
            for kind in kinds:
                place = work / f"{number}-{re.sub('[^a-z0-9]', '', kind.name)}"
                with table.row(kind.name):
                    _alone(table, kind, fast, place, direct, ("first byte later by, ms", "rate"))
                    names = ("first byte at 1 Gbit/s later by, ms", "rate at 1 Gbit/s")
                    _alone(table, kind, slow, place, slower, names)
                    _at_once(table, kind, fast, place)
                shutil.rmtree(place, ignore_errors=True)
    return table


def _alone(
    table: Table, kind: Mirroring, upstream: Playing, place: Path, direct: Received, names: tuple[str, str]
) -> None:
    with _cold(kind, upstream, place) as mirror, memory(mirror.running) as grown:
        before = mirror.running.cpu_seconds
        found = download(mirror.url)
        table.add(kind.name, "CPU s a GB", (mirror.running.cpu_seconds - before) / SIZE * 1e9)
    first, rate = names
    table.add(kind.name, first, (found.first - direct.first) * 1000)
    table.add(kind.name, rate, direct.seconds / found.seconds)
    table.add(kind.name, "memory, MB", max(grown) / 1e6)


def _at_once(table: Table, kind: Mirroring, upstream: Playing, place: Path) -> None:
    with _cold(kind, upstream, place) as mirror:
        before, began = upstream.asked(_NAME), time.perf_counter()
        with memory(mirror.running) as grown, ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(download, [mirror.url] * CLIENTS))
        table.add(kind.name, "ten clients: s", time.perf_counter() - began)
        time.sleep(1)  # a request is logged when it is over
        table.add(kind.name, "ten clients: fetches", upstream.asked(_NAME) - before)
        table.add(kind.name, "ten clients: memory, MB", max(grown) / 1e6)


@contextmanager
def _cold(kind: Mirroring, upstream: Playing, place: Path) -> Iterator[Mirror]:
    """The mirror, which knows the page and has served a small file, but has not the large one."""
    shutil.rmtree(place, ignore_errors=True)
    with mirroring(kind, upstream.url, place) as mirror:
        for _ in range(8):  # of whichever worker
            _url(mirror.url, "large")
            small = _url(mirror.url, "small")
        httpx.get(small, follow_redirects=True, timeout=60)
        yield mirror


def download(simple: str) -> Received:
    """The large file, by the URL that the page of its project says. Raises Unavailable."""
    url = _url(simple, "large")
    for _ in range(3):
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 80), 60) as connection:
            began = time.perf_counter()
            lines = ("GET", f" {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n")
            connection.sendall("".join(lines).encode())
            head = b""
            while b"\r\n\r\n" not in head and (data := connection.recv(1)):  # so that no byte of the body is taken
                head += data
            status = int(head.split(b" ", 2)[1])
            if status in {301, 302, 307, 308}:
                found = re.search(rb"(?i)\r\nlocation: *([^\r]+)", head)
                url = urljoin(url, found[1].decode()) if found is not None else url
                continue
            if status != 200:
                raise Unavailable(f"it answered {status} for the file")
            return _received(connection, began)
    raise Unavailable("it redirects without an end")


def _received(connection: socket.socket, began: float) -> Received:
    buffer, first, count = bytearray(_BLOCK), 0.0, 0
    while size := connection.recv_into(buffer):
        if not count:
            first = time.perf_counter() - began
        count += size
    if not SIZE <= count <= SIZE * 1.01:  # some send it in chunks
        raise Unavailable(f"it sent {count} bytes of {SIZE}")
    return Received(first, time.perf_counter() - began)


def _url(simple: str, project: str) -> str:
    page = httpx.get(f"{simple}{project}/", headers={"Accept": JSON}, follow_redirects=True, timeout=60)
    if page.headers.get("content-type", "").startswith(JSON):
        found = str(page.json()["files"][0]["url"])
    else:
        match = re.search(r'href="([^"#]+)', page.text)
        found = match[1] if match else ""
    return urljoin(str(page.url), found)


@contextmanager
def memory(running: Running) -> Iterator[list[float]]:
    """Samples of the bytes that its processes have more in their memory than at the beginning (proc(5), VmRSS)."""
    over, samples, before = threading.Event(), [0.0], _resident(running)

    def sample() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            samples.append(_resident(running) - before)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _resident(running: Running) -> float:
    whole = 0
    for pid in running.pids:
        with suppress(OSError):
            whole += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return whole


def _made_up() -> Path:
    """The folder with the two projects, made if there is none."""
    folder = CACHE / f"large-{SIZE}"
    if not (folder / "complete").exists():
        with lasting(f"making up a file of {SIZE / 1e9:g} GB"):
            for project, name, size in (("large", _NAME, SIZE), ("small", "small-1.0-py3-none-any.whl", _BLOCK)):
                _make(folder, project, name, size)
            (folder / "complete").touch()
    return folder


def _make(folder: Path, project: str, name: str, size: int) -> None:
    place = folder / "packages" / project / name
    place.parent.mkdir(parents=True, exist_ok=True)
    digest, block = hashlib.sha256(), os.urandom(_BLOCK)
    with place.open("wb") as file:
        for _ in range(size // _BLOCK):
            file.write(block)
            digest.update(block)
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n".encode()
    Path(f"{place}.metadata").write_bytes(metadata)
    entry = {
        "filename": name,
        "url": f"/packages/{project}/{name}",
        "hashes": {"sha256": digest.hexdigest()},
        "size": size,
        "core-metadata": {"sha256": hashlib.sha256(metadata).hexdigest()},
        "upload-time": "2026-01-01T00:00:00.000000Z",
    }
    page = {"meta": {"api-version": "1.4"}, "name": project, "versions": ["1.0"], "files": [entry]}
    keep_page(folder / "simple" / project, json.loads(json.dumps(page)))
