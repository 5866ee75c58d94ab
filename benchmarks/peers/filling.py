"""Servers that keep what they serve in a database of their own: they are filled by uploads, once for each corpus."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.corpora import BIG, BIG_BYTES, Corpus
from benchmarks.peers.server import Launch
from benchmarks.processes import Unavailable
from benchmarks.progress import lasting
from benchmarks.uploading import Release, Uploader

FILL_SECONDS = 240.0
"""A corpus whose upload would take longer is left out."""
_TRIAL_SECONDS = 5.0
_CLIENTS = 4
_refused: dict[Path, str] = {}
"""By the folder: why there is none, so that nothing tries again in this run."""


def filled(launch: Launch, name: str, make: Callable[[Path, Corpus | None], object]) -> Path:
    """The folder of a server with the corpus of this launch, made if there is none. Raises Unavailable."""
    if launch.corpus is None:
        folder = launch.root / name
        make(folder, None)
        return folder
    folder = launch.corpus.home / name
    if not folder.exists():
        if reason := _refused.get(folder):
            raise Unavailable(reason)
        building = folder.with_suffix(".new")
        shutil.rmtree(building, ignore_errors=True)
        building.parent.mkdir(parents=True, exist_ok=True)
        try:
            make(building, launch.corpus)
        except Unavailable as error:
            _refused[folder] = str(error)
            raise
        building.rename(folder)
    return folder


def fill(name: str, port: int, path: str, login: Mapping[str, str], corpus: Corpus) -> None:
    """Upload the corpus to the server `name` on this port. Raises Unavailable when that would take too long."""
    began = time.monotonic()
    files = ((number, file) for number in range(corpus.projects) for file in range(corpus.files_each))
    lock = threading.Lock()
    sent = 0

    def client(_: int) -> None:
        nonlocal sent
        uploader = Uploader(port, path, login)
        for number, file in _locked(files, lock):
            uploader.send(Release(corpus.project(number), f"1.{file}", BIG_BYTES if corpus.name == BIG.name else 0))
            with lock:
                sent += 1
                took = time.monotonic() - began
                estimate = took / sent * corpus.files
            if took > _TRIAL_SECONDS and estimate > FILL_SECONDS:
                raise Unavailable(
                    f"uploading {corpus.files:,} files to it, at {sent / took:.0f} a second, would take "
                    f"{estimate / 60:.0f} minutes"
                )
        uploader.close()

    with lasting(f"uploading corpus {corpus.name} to {name}"), ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(client, range(_CLIENTS)))


def _locked(items: Iterator[tuple[int, int]], lock: threading.Lock) -> Iterator[tuple[int, int]]:
    while True:
        with lock:
            item = next(items, None)
        if item is None:
            return
        yield item
