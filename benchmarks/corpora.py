"""Projects and files to serve, made on the spot and kept in `.cache/bench`.

A corpus lies there in up to four forms, each made when it is first asked for:

    store   quire's own, records and blobs
    flat    one directory of all files, as pypiserver serves it
    tree    a directory for each project, as simple-repository-server serves it
    pages   quire's answers as static files, for nginx (see `prerender`)

Theory of operation. The files are real wheels, a kilobyte each. There are 10,000 different ones in a pool; a corpus
with more files than that has several names for the bytes of one (hard links), which is nothing that a page or an index
looks at, and makes a million files in minutes. Records are written through quire's own document format, straight into
the store's directories and without fsync: what publishes them in earnest is measured by itself.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from tests.distributions import make_wheel, metadata_text

from benchmarks.environments import CACHE
from benchmarks.progress import lasting
from quire.domain.project import File, Project, encode_project
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.store.posix.store import HOME, PosixStore

POOL_PROJECTS = 1_000
POOL_FILES = 10
BIG_BYTES = 20_000_000
ROTATION = 200
"""How many projects a rotating load asks for."""
HUGE_PROJECT = "huge-project"
_REVISION = "00000001.json"


@dataclass(frozen=True)
class Corpus:
    """Some projects with as many files each. Numbers go from 0."""

    name: str
    projects: int
    files_each: int
    cache: Path = CACHE
    huge_files: int = 0
    """So many files has one further project, `HUGE_PROJECT`, in the store; 0: there is none."""

    @property
    def files(self) -> int:
        return self.projects * self.files_each + self.huge_files

    @property
    def home(self) -> Path:
        return self.cache / self.name

    def project(self, number: int) -> str:
        return f"package-{number:06d}"

    def filename(self, number: int, file: int) -> str:
        return f"package_{number:06d}-1.{file}-py3-none-any.whl"

    @cached_property
    def asked(self) -> tuple[int, ...]:
        """The projects that a rotating load asks for: `ROTATION` of them, spread over all."""
        return tuple(sorted({index * self.projects // ROTATION for index in range(ROTATION)}))

    @property
    def one(self) -> int:
        """The project that a load on one page asks for."""
        return self.projects // 2

    @property
    def store(self) -> Path:
        return self._form("store", partial(_make_store, self))

    @property
    def flat(self) -> Path:
        return self._form("flat", partial(_make_links, self, nested=False))

    @property
    def tree(self) -> Path:
        return self._form("tree", partial(_make_links, self, nested=True))

    def _form(self, form: str, make: Callable[[Path], None]) -> Path:
        """The directory with this form of the corpus, made if it is not there."""
        folder = self.home / form
        if not folder.exists():
            building = folder.with_suffix(".new")
            shutil.rmtree(building, ignore_errors=True)
            with lasting(f"making corpus {self.name} ({self.files:,} files) as {form}"):
                building.mkdir(parents=True)
                make(building)
                os.sync()  # so that no measurement shares the disk with this
                building.rename(folder)
        return folder


SMALL = Corpus("S", 100, 3)
MEDIUM = Corpus("M", 1_000, 10)
LARGE = Corpus("L", 10_000, 10)
HUGE = Corpus("XL", 100_000, 10)
BIG = Corpus("20MB", 1, 1)
"""One project with one file of 20 MB."""
BESIDE_HUGE = Corpus("huge", 100, 10, huge_files=20_000)
"""Small projects beside one of 20,000 files; there is only a store of it."""
MIRRORED = Corpus("mirrored", 10, 10, huge_files=4_000)
"""Hosted here, and mirrored from a copy: pages of 10 files and one of 4,000, as many as boto3 has; a store alone."""
CORPORA = {corpus.name: corpus for corpus in (SMALL, MEDIUM, LARGE, HUGE)}


@dataclass(frozen=True)
class _Content:
    """One file of the pool."""

    path: str
    size: int
    sha256: str
    md5: str
    blake2b_256: str
    metadata_sha256: str


def wheel(name: str, version: str, size: int = 0) -> bytes:
    """A wheel; `size`: of a payload in it that does not compress."""
    payload = {f"{name.replace('-', '_')}.bin": random.Random(f"{name}{version}").randbytes(size)} if size else None
    return make_wheel(name, version, files=payload)


# -- the pool ---------------------------------------------------------------------------------------------------------


def _pool(corpus: Corpus) -> list[_Content]:
    """The different files of a corpus, the ten of one project after another."""
    projects = min(corpus.projects, POOL_PROJECTS)
    folder = corpus.cache / f"pool-{projects}"
    index = folder / "index.json"
    if not index.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        contents = [_pooled(folder, corpus, number, file) for number in range(projects) for file in range(POOL_FILES)]
        index.write_text(json.dumps([vars(content) for content in contents]))
    return [_Content(**entry) for entry in json.loads(index.read_text())]


def _pooled(folder: Path, corpus: Corpus, number: int, file: int) -> _Content:
    name, version = corpus.project(number), f"1.{file}"
    metadata = metadata_text(name, version)
    content = make_wheel(name, version, metadata=metadata)
    path = folder / corpus.filename(number, file)
    path.write_bytes(content)
    path.with_name(f"{path.name}.metadata").write_text(metadata)
    return _Content(
        path=str(path),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        blake2b_256=hashlib.blake2b(content, digest_size=32).hexdigest(),
        metadata_sha256=hashlib.sha256(metadata.encode()).hexdigest(),
    )


def _content(pool: Sequence[_Content], number: int, file: int) -> _Content:
    return pool[number % POOL_PROJECTS * POOL_FILES + file]


# -- the forms --------------------------------------------------------------------------------------------------------


def _in_two_processes(job: Callable[[range], None], count: int) -> None:
    """The job for all numbers below `count`, shared by two processes when it is worth while."""
    if count < 5_000:
        job(range(count))
        return
    context = multiprocessing.get_context("fork")
    halves = [context.Process(target=job, args=(range(start, count, 2),)) for start in (0, 1)]
    for half in halves:
        half.start()
    for half in halves:
        half.join()
        if half.exitcode != 0:
            raise RuntimeError("making a corpus failed")


def _make_links(corpus: Corpus, folder: Path, *, nested: bool) -> None:
    pool = _pool(corpus)

    def job(numbers: range) -> None:
        for number in numbers:
            target = f"{folder}/{corpus.project(number)}" if nested else str(folder)
            if nested:
                os.mkdir(target)
            for file in range(corpus.files_each):
                os.link(_content(pool, number, file).path, f"{target}/{corpus.filename(number, file)}")

    if corpus.name == BIG.name:
        target = folder / corpus.project(0) if nested else folder
        target.mkdir(exist_ok=True)
        (target / corpus.filename(0, 0)).write_bytes(wheel(corpus.project(0), "1.0", BIG_BYTES))
    else:
        _in_two_processes(job, corpus.projects)


def _make_store(corpus: Corpus, folder: Path) -> None:
    store = PosixStore.open(folder)
    if corpus.name == BIG.name:
        staging = store.blobs.stage(upload_key(corpus.filename(0, 0)))
        staging.write(wheel(corpus.project(0), "1.0", BIG_BYTES))
        Index(store).publish([examine(staging.finish(), corpus.filename(0, 0))])
        return
    pool = _pool(corpus)
    records, blobs = folder / HOME / "records" / "main" / "projects", folder / HOME / "blobs"
    records.mkdir(parents=True)
    _in_two_processes(partial(_write_projects, corpus, pool, str(records), str(blobs)), corpus.projects)
    if corpus.huge_files:
        _write_project(HUGE_PROJECT, _huge_files(corpus, pool), str(records), str(blobs))
    _check(corpus, Index(PosixStore.open(folder)))


def _write_projects(corpus: Corpus, pool: Sequence[_Content], records: str, blobs: str, numbers: range) -> None:
    for number in numbers:
        files = (
            (corpus.filename(number, file), f"1.{file}", _content(pool, number, file))
            for file in range(corpus.files_each)
        )
        _write_project(corpus.project(number), files, records, blobs)


def _huge_files(corpus: Corpus, pool: Sequence[_Content]) -> Iterator[tuple[str, str, _Content]]:
    stem = HUGE_PROJECT.replace("-", "_")
    for number in range(corpus.huge_files):
        yield f"{stem}-1.{number}-py3-none-any.whl", f"1.{number}", pool[number % len(pool)]


def _write_project(name: str, described: Iterable[tuple[str, str, _Content]], records: str, blobs: str) -> None:
    """A project's record and blobs, of the filename, version and content of each file."""
    os.mkdir(f"{blobs}/{name}")
    files = {}
    for number, (filename, version, content) in enumerate(described):
        publication = f"{name}/{content.sha256}-{number:08x}"
        os.mkdir(f"{blobs}/{publication}")
        os.link(content.path, f"{blobs}/{publication}/{filename}")
        os.link(f"{content.path}.metadata", f"{blobs}/{publication}/{filename}.metadata")
        files[filename] = _entry(content, filename, version, publication)
    os.mkdir(f"{records}/{name}")
    with open(f"{records}/{name}/{_REVISION}", "wb") as record:
        record.write(encode_project(Project(name=name, files=files)))


def _entry(content: _Content, filename: str, version: str, publication: str) -> File:
    return File(
        filename=filename,
        version=version,
        size=content.size,
        hashes={"sha256": content.sha256, "blake2b_256": content.blake2b_256, "md5": content.md5},
        uploaded="2026-01-02T03:04:05.678901Z",
        requires_python=">=3.8",
        metadata_sha256=content.metadata_sha256,
        uploader="bench",
        blob=publication,
    )


def _check(corpus: Corpus, index: Index) -> None:
    """quire reads the corpus as it was written by hand. Raises RuntimeError, e.g. when the store's layout has
    changed."""
    project = index.project(corpus.project(corpus.one))
    readable = project is not None and len(project.files) == corpus.files_each
    if not readable or len(index.names()) != corpus.projects + bool(corpus.huge_files):
        raise RuntimeError(f"the corpus {corpus.name} is not what quire reads; its layout must have changed")
