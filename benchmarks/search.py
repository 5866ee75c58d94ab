"""The search over HTTP in a store of many made-up projects: each kind of query, alone, with one client.

    python -m benchmarks.search [--projects 100000] [--rounds 30] [--url URL]

A store of records and metadata (no bytes of files) is made in `.cache/bench`, served by one worker, and searched until
the catalog has read all of it: meanwhile a page of the simple API is asked, in turn with a server at rest. Then each
kind of query is asked `--rounds` times with other words, over the API, which checks the same results as the page.
Printed are the median, and the slowest in a hundred.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
from tests.serving import environment, free_port

from benchmarks.environments import CACHE
from quire.domain.project import File, Project, encode_project
from quire.store.posix.store import HOME, PosixStore

WORDS: Final = [
    "data",
    "client",
    "server",
    "table",
    "stream",
    "async",
    "cloud",
    "batch",
    "model",
    "graph",
    "parse",
    "retry",
    "queue",
    "cache",
    "token",
    "vector",
    "image",
    "audio",
    "fast",
    "simple",
    "tools",
    "core",
    "utils",
    "api",
    "sdk",
    "kit",
    "web",
    "http",
    "json",
    "yaml",
]
"""Few, so that each is in many projects."""
_SEED: Final = 20261130


def name_of(number: int) -> str:
    """Of a project: two common words, and a number in letters."""
    chosen = random.Random(_SEED + number)
    return f"{chosen.choice(WORDS)}-{chosen.choice(WORDS)}-{number:06d}"


def summary_of(number: int) -> str:
    """Eight words, some of them rare."""
    chosen = random.Random(_SEED - number)
    return " ".join([*chosen.choices(WORDS, k=7), f"rare{chosen.randrange(20_000)}"])


def needs_of(number: int) -> list[str]:
    """Two requirements: one of few that all need, one of any."""
    chosen = random.Random(number)
    return [name_of(chosen.randrange(20)), name_of(chosen.randrange(max(number, 1)))]


def kinds(projects: int) -> dict[str, Callable[[random.Random], dict[str, str]]]:
    """The parameters of a query of each kind, with other words each time."""

    def a_name(chosen: random.Random) -> str:
        return name_of(chosen.randrange(projects))

    def mistyped(chosen: random.Random) -> str:
        name, place = a_name(chosen), chosen.randrange(2, 8)
        return f"{name[:place]}x{name[place + 1 :]}"

    return {
        "exact name": lambda chosen: {"q": a_name(chosen)},
        "begin of a name": lambda chosen: {"q": a_name(chosen)[:-2]},
        "1 letter": lambda chosen: {"q": chosen.choice(WORDS)[:1]},
        "2 letters": lambda chosen: {"q": chosen.choice(WORDS)[:2]},
        "3 letters": lambda chosen: {"q": chosen.choice(WORDS)[:3]},
        "a common word": lambda chosen: {"q": chosen.choice(WORDS)},
        "two common words": lambda chosen: {"q": " ".join(chosen.sample(WORDS, 2))},
        "four common words": lambda chosen: {"q": " ".join(chosen.sample(WORDS, 4))},
        "a rare word": lambda chosen: {"q": f"rare{chosen.randrange(20_000)}"},
        "a mistyped name": lambda chosen: {"q": mistyped(chosen)},
        "no words: the newest": lambda _: {},
        "a common word, a filter that nothing passes": lambda chosen: {
            "q": chosen.choice(WORDS),
            "since": "2099-01-01",
        },
        "a common word, a filter that one in 84 passes": lambda chosen: {
            "q": chosen.choice(WORDS),
            "since": "2026-12-28",
        },
        "no words, a filter that nothing passes": lambda _: {"uploader": "nobody"},
        "a common word, for a Python": lambda chosen: {"q": chosen.choice(WORDS), "python": "3.12"},
        "page 10 of a common word": lambda chosen: {"q": chosen.choice(WORDS), "page": "10"},
    }


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--url", help="of a server of such a store that has read it: ask it, and start none")
    arguments = parser.parse_args()
    if arguments.url:
        with httpx.Client(base_url=arguments.url, timeout=120) as client:
            _measure(client, arguments.projects, arguments.rounds)
        return 0
    store = _store(arguments.projects)
    with _served(store) as client:
        with _served(store) as idle:
            _read_all(client, idle, arguments.projects)
        _measure(client, arguments.projects, arguments.rounds)
    return 0


def _store(projects: int) -> Path:
    folder = CACHE / f"search-{projects}"
    if not folder.exists():
        building = folder.with_suffix(".new")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        PosixStore.open(building)
        records, blobs = building / HOME / "records" / "main" / "projects", building / HOME / "blobs"
        records.mkdir(parents=True)
        for number in range(projects):
            _write(number, records, blobs)
        os.sync()
        building.rename(folder)
    return folder


def _write(number: int, records: Path, blobs: Path) -> None:
    """A project of one release, as quire writes it, but without the bytes of its file."""
    name = name_of(number)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", f"Summary: {summary_of(number)}"]
    document = "\n".join([*lines, *(f"Requires-Dist: {each}" for each in needs_of(number)), ""]).encode()
    filename, digest = f"{name.replace('-', '_')}-1.0-py3-none-any.whl", hashlib.sha256(name.encode()).hexdigest()
    blob = f"{name}/{digest}-{number:08x}"
    (blobs / blob).mkdir(parents=True)
    (blobs / blob / f"{filename}.metadata").write_bytes(document)
    file = File(
        filename=filename,
        version="1.0",
        size=1000,
        hashes={"sha256": digest},
        uploaded=f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T03:04:05.678901Z",
        requires_python=">=3.8",
        metadata_sha256=hashlib.sha256(document).hexdigest(),
        uploader="bench",
        blob=blob,
    )
    (records / name).mkdir()
    (records / name / "00000001.json").write_bytes(encode_project(Project(name=name, files={filename: file})))


@contextmanager
def _served(store: Path) -> Iterator[httpx.Client]:
    port = free_port()
    command = [sys.executable, "-m", "quire", "run", "-p", str(port), "-i", "127.0.0.1", "--workers", "1"]
    command += ["-a", ".", "-P", ".", "--disable-fallback", str(store)]
    process = subprocess.Popen(command, env=environment())
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            for _ in range(200):
                try:
                    client.get("/health")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait()


def _read_all(client: httpx.Client, idle: httpx.Client, projects: int) -> None:
    """Search until the catalog has read all projects; the simple API meanwhile, in turn with a server at rest."""
    page = f"/simple/{name_of(projects // 2)}/"
    busy, rest, begun = list[float](), list[float](), time.perf_counter()
    while client.get("/-/api/v1/search", params={"q": "x"}).json()["catalog"]["read"] < projects:
        for site, found in ((client, busy), (idle, rest)) * 2:
            found.extend(_times(site, page))
        time.sleep(1)  # else the requests take the time of the reading
    print(f"read {projects} projects in {time.perf_counter() - begun:.0f} s")
    print(f"a page of the simple API meanwhile: {_shown(busy)}; of a server at rest, in turn: {_shown(rest)}")
    print(f"mean {statistics.mean(busy) / statistics.mean(rest):.2f} times that at rest", flush=True)


def _times(client: httpx.Client, path: str) -> list[float]:
    found = []
    for _ in range(100):
        begun = time.perf_counter()
        client.get(path)
        found.append(time.perf_counter() - begun)
    return found


def _measure(client: httpx.Client, projects: int, rounds: int) -> None:
    chosen = random.Random(_SEED)
    for kind, query in kinds(projects).items():
        print(f"{kind}: {_shown([_asked(client, '/-/api/v1/search', query(chosen)) for _ in range(rounds)])}")
    needed = [f"/-/api/v1/indexes/-/projects/{name_of(number)}/dependents?limit=20" for number in range(20)]
    print(f"dependents of a project that thousands need: {_shown([_asked(client, each, {}) for each in needed])}")


def _asked(client: httpx.Client, path: str, query: dict[str, str]) -> float:
    begun = time.perf_counter()
    client.get(path, params=query).raise_for_status()
    return time.perf_counter() - begun


def _shown(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    slowest = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"p50 {statistics.median(ordered) * 1000:.1f} ms, p99 {slowest * 1000:.1f} ms ({len(ordered)} requests)"


if __name__ == "__main__":
    sys.exit(main())
