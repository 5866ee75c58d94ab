"""The caches of a worker stay within one bound, and the counted bytes are those that Python allocates.

Memory is measured by tracemalloc, which counts every byte that Python allocates: no clock, no C library.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quire.catalog.drop_ins import DropIns
from quire.catalog.hosted import Hosted
from quire.config.settings import Settings
from quire.domain.project import File, Project, encode_project
from quire.dropin.folder import Folder
from quire.http.app.application import create_application
from quire.http.app.worker import Worker
from quire.http.fast.fast_path import ASGIHeaders, FastPath
from quire.process.budget import Budget, Memory
from quire.render.negotiation import MediaType
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, wheel_name


class Value:
    """A value that knows its size."""

    def __init__(self, size: int) -> None:
        self.bytes_in_memory = size


# -- the bound --------------------------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_whichever_memory_it_is_in() -> None:
    """Two memories share one number of bytes, and one order of use."""
    budget = Budget(110_000)
    pages: Memory[Value] = Memory(budget)
    facts: Memory[Value] = Memory(budget)
    pages.put("a", Value(30_000))
    facts.put("a", Value(30_000))
    pages.put("b", Value(30_000))
    assert pages.get("a") is not None  # used: facts' is the oldest now
    facts.put("b", Value(30_000))
    assert (facts.get("a"), len(facts), len(pages)) == (None, 1, 2)
    facts.put("c", Value(60_000))
    assert (pages.get("b"), pages.get("a"), facts.get("b")) == (None, None, facts.get("b"))
    assert facts.get("b") is not None
    assert budget.bytes == facts.bytes + pages.bytes <= budget.limit
    assert pages.bytes == 0


def test_what_grows_is_charged_when_it_says_so() -> None:
    """A value that has grown drops others; one that is not remembered any more stays forgotten."""
    budget = Budget(100_000)
    memory: Memory[Value] = Memory(budget)
    for key in "ab":
        memory.put(key, Value(40_000))
    grown = memory.get("a")
    assert grown is not None
    grown.bytes_in_memory = 90_000
    memory.account("a", Value(1))  # an older value, or a newer: not what is remembered
    assert memory.get("a") is grown
    memory.account("a", grown)
    assert memory.get("b") is None
    memory.account("b", Value(1))
    assert (memory.get("b"), len(memory)) == (None, 1)
    memory.drop("a")
    memory.drop("a")
    assert (memory.bytes, budget.bytes, len(memory)) == (0, 0, 0)


def test_the_last_value_is_kept_whatever_its_size() -> None:
    """A project larger than the whole budget is served from memory, too, until another is asked for."""
    budget = Budget(100_000)
    memory: Memory[Value] = Memory(budget)
    memory.put("small", Value(10))
    memory.put("huge", Value(1_000_000))
    assert memory.get("huge") is not None
    assert len(memory) == 1
    memory.put("small", Value(10))
    assert memory.get("huge") is None
    assert budget.bytes < 1000


def test_reading_goes_on_while_another_thread_makes_room() -> None:
    """Neither trips over what the other one moves or drops."""
    budget = Budget(20_000)
    memory: Memory[Value] = Memory(budget)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    failures: list[Exception] = []
    is_over = threading.Event()

    def read() -> None:
        try:
            while not is_over.is_set():
                for number in range(40):
                    memory.get(str(number))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told below
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(50_000):
            memory.put(str(number % 40), Value(1000))
    finally:
        is_over.set()
        reader.join()
        sys.setswitchinterval(interval)
    assert failures == []
    assert budget.bytes == memory.bytes <= budget.limit


def test_keys_are_charged() -> None:
    """Many small values are no way around the bound."""
    budget = Budget(100_000)
    memory: Memory[Value] = Memory(budget)
    for number in range(1000):
        memory.put(f"{number:0200}", Value(0))
    assert 100 < len(memory) < 200
    assert 0 < budget.bytes <= budget.limit


# -- the measure ------------------------------------------------------------------------------------------------------


def _digest(text: str, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, text.encode()).hexdigest()


def _document(name: str, files: int) -> bytes:
    """A project's record with these many files, as publishing makes it."""
    entries = {}
    for number in range(files):
        filename = wheel_name(name, f"1.{number}")
        entries[filename] = File(
            filename=filename,
            version=f"1.{number}",
            size=1000 + number,
            hashes={
                "sha256": _digest(filename),
                "blake2b_256": _digest(f"{filename}-b"),
                "md5": _digest(filename, "md5"),
            },
            uploaded="2026-01-02T03:04:05.678901Z",
            requires_python=">=3.8",
            metadata_sha256=_digest(f"{filename}-m"),
            uploader="somebody",
            blob=f"{name}/{_digest(filename)}-00000000",
        )
    return encode_project(Project(name=name, files=entries))


def _worker(folder: Path, limit: int, *, hosted: dict[str, int]) -> Worker:
    """A worker with this limit, whose store has these projects with so many files each."""
    settings = Settings(directories=(str(folder),), authenticate=(), cache_size=limit)
    PosixStore.open(settings.root)
    for name, files in hosted.items():  # as the store lays it out; thousands of fsyncs prove nothing here
        record = folder / "quire" / "records" / "main" / "projects" / name
        record.mkdir(parents=True)
        (record / "00000001.json").write_bytes(_document(name, files))
    worker = create_application(settings).state.worker
    assert isinstance(worker, Worker)
    return worker


def _folder(worker: Worker) -> Folder:
    (folder,) = (source.folder for source in worker.default.own_sources if isinstance(source, DropIns))
    return folder


async def _ask(worker: Worker, fast_path: FastPath, name: str) -> None:
    """The memory that requests for every form of a project's page, and for one of its files, leave in use."""
    view = await worker.default.projects.get(name)
    for media_type in MediaType:
        page = view.page(media_type, "sha256")
        for encoding in ("identity", "gzip", "zstd"):
            page.encoded(encoding)
    worker.default.projects.memory.account(name, view)
    for accept in (b"text/html", b"application/vnd.pypi.simple.v1+json"):
        fast_path.find_response(f"/simple/{name}/", ASGIHeaders([(b"host", b"x"), (b"accept", accept)]))
    for listed in list(view.files.values())[:1]:
        fast_path.find_response(
            f"/packages/{name}/{listed.file.sha256}/{listed.file.filename}", ASGIHeaders([(b"host", b"x")])
        )
    await asyncio.sleep(0)  # the turn ends


@contextmanager
def _tracing() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _is_honest(allocated: int, charged: int) -> bool:
    """Never much less than what is allocated, or the bound is none; nor much more, or memory lies idle."""
    return 0.95 * allocated <= charged <= 1.6 * allocated


@pytest.mark.parametrize(("projects", "files"), [(600, 0), (600, 1), (300, 10), (12, 300)])
def test_projects_are_charged_what_they_take(tmp_path: Path, projects: int, files: int) -> None:
    """The decoded record, every page in every form, prepared answers, and keys: all of it, also of absent projects."""
    names = [f"project-{number:06}" for number in range(projects)]
    hosted = {"warm": 10} | (dict.fromkeys(names, files) if files else {})
    worker = _worker(tmp_path, 2**40, hosted=hosted)
    fast_path = FastPath(worker, worker.default)

    async def scenario() -> None:
        for _ in range(3):
            await _ask(worker, fast_path, "warm")
        with _tracing():
            allocated, charged = _allocated(), worker.budget.bytes
            for name in names:
                await _ask(worker, fast_path, name)
            assert len(worker.default.projects.memory) == projects + 1
            allocated, charged = _allocated() - allocated, worker.budget.bytes - charged
            assert _is_honest(allocated, charged), (allocated / projects, charged / projects)

    asyncio.run(scenario())
    worker.close()


def test_the_list_of_projects_is_charged_what_it_takes(tmp_path: Path) -> None:
    """Names and pages; and a count of files, which remembers every project."""
    worker = _worker(tmp_path, 2**40, hosted={f"project-{number:06}": 1 for number in range(3000)})

    async def scenario() -> None:
        await worker.default.projects.get("project-000000")
        worker.default.file_count.count()
        worker.default.counted.drop("")
        with _tracing():
            allocated = _allocated()
            view = await worker.default.names()
            for media_type in MediaType:
                for encoding in ("gzip", "zstd"):
                    view.page(media_type).encoded(encoding)
            worker.default.project_names.memory.account("", view)
            grown = _allocated() - allocated
            assert _is_honest(grown, worker.default.project_names.memory.bytes), grown
            assert worker.default.file_count.count() == worker.default.file_count.count() == 3000
            counted = _allocated() - allocated - grown
            assert _is_honest(counted, worker.default.counted.bytes), counted

    asyncio.run(scenario())
    worker.close()


def test_what_is_known_of_dropped_in_files_is_charged(tmp_path: Path) -> None:
    """Their digests and documents; what they share with a project's view may be charged twice, never not at all."""
    names = [f"project-{number:03}" for number in range(100)]
    for name in names:
        for number in range(5):
            (tmp_path / wheel_name(name, f"1.{number}")).write_bytes(make_wheel(name, f"1.{number}"))
    worker = _worker(tmp_path, 2**40, hosted={})
    # By a clock of a day later: what was just stored is not believed yet.
    records, budget = worker.default.store.records, worker.budget
    folder = Folder([tmp_path], digests=records, budget=budget, wall=lambda: time.time() + 86_400)
    for name in [*names, names[0]]:  # digests are now in the store, as if another worker had been asked
        folder.project(name)
    for name in names:
        folder.facts.drop(name)

    with _tracing():
        allocated, charged = _allocated(), worker.budget.bytes
        projects = [folder.project(name) for name in names]
        for project in projects:
            for dropin in project.files:
                assert folder.metadata_document(dropin) is not None
        del project, projects, dropin
        allocated, charged = _allocated() - allocated, worker.budget.bytes - charged
        assert _is_honest(allocated, charged), (allocated / 100, charged / 100)
    worker.close()


# -- both -------------------------------------------------------------------------------------------------------------


def test_a_worker_that_is_asked_for_everything_stays_within_the_bound(tmp_path: Path) -> None:
    """Projects by turns, names that are not there, the list, the count, and drop-in files."""
    limit = 1_000_000
    names = [f"project-{number:06}" for number in range(250)]
    for name in names[:20]:
        (tmp_path / wheel_name(name, "9.0")).write_bytes(make_wheel(name, "9.0"))
    worker = _worker(tmp_path, limit, hosted=dict.fromkeys(names, 6))
    fast_path = FastPath(worker, worker.default)

    async def scenario() -> None:
        await _ask(worker, fast_path, names[0])
        with _tracing():
            before = _allocated()
            most = 0
            for number, name in enumerate(names):
                await _ask(worker, fast_path, name)
                await worker.default.projects.get(f"absent-{name}")
                if number % 50 == 0:
                    view = await worker.default.names()
                    view.page(MediaType.JSON_V1)
                    worker.default.project_names.memory.account("", view)
                    del view
                    assert worker.default.file_count.count() == 1520
                    most = max(most, _allocated() - before)
                assert worker.budget.bytes <= limit
            assert most <= 1.1 * limit
            assert worker.budget.bytes > limit / 2
            assert worker.budget.bytes == sum(
                memory.bytes
                for memory in (
                    worker.default.projects.memory,
                    worker.default.project_names.memory,
                    _folder(worker).facts,
                    _folder(worker).documents,
                    worker.default.counted,
                )
            )

    asyncio.run(scenario())
    worker.close()


def test_a_dropped_count_is_made_again(tmp_path: Path) -> None:
    """The cache of a count may be dropped like any other; the number stays right."""
    worker = _worker(tmp_path, 2**40, hosted={"one": 3, "two": 2})
    count = Hosted(worker.default.hosted, Budget(1))
    assert count.count() == 5
    count.counted.drop("")
    assert count.count() == 5
    worker.close()
