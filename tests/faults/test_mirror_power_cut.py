"""The power fails at every moment of a mirror's work, whose new pages do not wait for the disk (docs/adr/0052).

Replaced here: the calls that make a later page durable, by none, which the judge must find.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from quire.domain.errors import BlobMissing, DamagedRecord, StoreError, UpstreamError
from quire.store.contracts import Staged
from quire.store.posix import records as posix_records
from quire.store.posix.blobs import PosixBlobs
from quire.store.posix.store import PosixStore
from quire.upstream.mirror import Mirror
from quire.upstream.renderings import Rendering, Renderings
from tests.faults import ptracing
from tests.faults.crash_model import Disk, Tree, materialize, signature_of
from tests.faults.sweep import scratch
from tests.upstream.test_mirror import AGES, Clock, Inline, Other, answer, page

SMALL, LARGE = 1, 400
"""Files of a page that stands in the record, and of one in a blob."""
RENDERING = Rendering("text/html", '"a"', 3, b"abc" * 1000)

pytestmark = pytest.mark.skipif(ptracing.unavailable() is not None, reason=str(ptracing.unavailable()))


@pytest.fixture
def folder() -> Iterator[Path]:
    made = scratch()
    yield made
    shutil.rmtree(made)


def rendered(root: str, number: int) -> Rendering:
    """The rendering of a page, which is kept, or made now."""
    renderings = Renderings(PosixStore.open(root).blobs, "mirror/public", writable=True)
    return renderings.get("foo", f"{number:064}", "form", lambda: RENDERING)


@dataclass
class Mirrored:
    """A mirror of which the other index has changed so many times since it was asked last."""

    files: int
    before: int = 0
    """The page that is kept for certain when the work begins; 0: none."""
    after: int = 1
    """The page that was given last when the work is acknowledged."""
    states: int = 0
    """That were judged."""
    absent: int = 0
    """States of them in which no page was left."""
    violations: list[str] = field(default_factory=list)

    def worker(self, root: str, clock: Clock, *pages: int) -> Mirror:
        """`pages`: the answers of the other index; it is out of reach without any."""
        other = Other()
        other.answers = [answer(each, self.files) for each in pages] or [UpstreamError("out of reach")]
        return Mirror(PosixStore.open(root), "public", other, AGES, executor=Inline, now=clock)

    def ask(self, root: str, clock: Clock, *pages: int) -> None:
        """Each of the pages, one after the other, when the one before is too old; then it is rendered."""

        async def work() -> None:
            worker, known = self.worker(root, clock, *pages), None
            for number in pages:
                known = await worker.get("foo", known)
                assert known.content is not None
                assert known.content.files == page(number, self.files).files
                clock.pass_(hours=2)
            rendered(root, pages[-1])

        asyncio.run(work())

    def cut(self, folder: Path, *, enough: int | None = None) -> None:
        """Record the work, cut it off after each of its calls, and judge what may be left."""
        template, clock = folder / "template", Clock()
        template.mkdir()
        PosixStore.open(template)
        pages = range(self.before + 1, self.after + 1)
        with tempfile.TemporaryDirectory(dir=folder) as root:  # imports what is imported late
            shutil.copytree(template, root, dirs_exist_ok=True)
            self.ask(root, Clock(), 1, 2)
        self.ask(str(template), clock, *range(1, self.before + 1) or [9])
        if not self.before:
            shutil.rmtree(template / "quire/records/mirror/public/foo")
            shutil.rmtree(template / "quire/blobs/mirror/public/foo")

        def act(report: Callable[[bytes], None]) -> None:
            self.ask(str(template), clock, *pages)
            report(b"ACK\n")

        disk, judged = Disk(str(template)), set()
        run = ptracing.traced(act, root=str(template))
        assert run.said == b"ACK\n"
        for call in run.calls:
            disk.apply(call)
            told = call.number >= run.reported[0]
            if not (disk.changed or call.number == run.reported[0]):
                continue
            for tree in disk.states(seed=call.number):
                signature = (signature_of(tree), told)
                if signature not in judged and len(self.violations) != enough:
                    judged.add(signature)
                    self.judge(folder, tree, clock, told=told, where=str(call))

    def judge(self, folder: Path, tree: Tree, clock: Clock, *, told: bool, where: str) -> None:
        """A page that replaced another is there when it was given; one that is new may be missing. No page is torn."""
        self.states += 1
        root = tempfile.mkdtemp(dir=folder)
        try:
            materialize(tree, root)
            allowed = {self.after} if told and self.after > 1 else {*range(self.before, self.after + 1)}
            kept = self.seen(self.worker(root, clock))
            self.absent += kept == 0
            if kept not in allowed:
                self.violations.append(f"{where}, {told=}: page {kept} is kept, not one of {allowed}")
            later = self.seen(self.worker(root, clock, 7))
            if later not in {7, kept or 7}:
                self.violations.append(f"{where}, {told=}: page {later} is given after {kept}")
            again = self.seen(self.worker(root, clock))
            if again != later:
                self.violations.append(f"{where}, {told=}: page {again} is kept after {later}")
            for _ in range(2):
                if rendered(root, self.after) != RENDERING:
                    self.violations.append(f"{where}, {told=}: a torn rendering")
        except (StoreError, AssertionError) as error:
            self.violations.append(f"{where}, {told=}: {error!r}")
        finally:
            shutil.rmtree(root)

    def seen(self, worker: Mirror) -> int:
        """The number of the page that a worker gives, which is whole; 0 for none."""

        async def read() -> int:
            # As the catalog reads: a page that cannot be read is asked for once more.
            for _ in range(2):
                with suppress(BlobMissing, DamagedRecord):
                    found = await worker.get("foo", None)
                    if found.content is None:
                        return 0
                    number = int(found.content.files[0].version.partition(".")[0])
                    assert found.content.files == page(number, self.files).files, "a torn page"
                    return number
            return 0

        with suppress(UpstreamError):
            return asyncio.run(read())
        return 0


@pytest.mark.parametrize("files", [SMALL, LARGE])
@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 2), (0, 2)], ids=["first", "second", "both"])
def test_a_power_cut_leaves_a_page_whole_or_absent(files: int, before: int, after: int, folder: Path) -> None:
    """An absent one is fetched again; one that replaced another is there since it was given; renderings are whole."""
    mirrored = Mirrored(files, before, after)
    mirrored.cut(folder)
    assert mirrored.violations == []
    assert mirrored.states > 5
    assert (mirrored.absent > 0) == (before == 0)


def _nothing(*_: object, **__: object) -> None:
    pass


_publish = PosixBlobs.publish


def _volatile(blobs: PosixBlobs, staged: Staged, *, durable: bool = True) -> None:
    _publish(blobs, staged, durable=False)


@pytest.mark.parametrize(
    ("files", "where", "what", "instead"),
    [(SMALL, posix_records, "sync_directory", _nothing), (LARGE, PosixBlobs, "publish", _volatile)],
    ids=["record", "blob"],
)
def test_a_later_page_that_is_not_durable_is_found(
    files: int, where: object, what: str, instead: object, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge convicts a mirror that lets a page go back, or lose its blob."""
    monkeypatch.setattr(where, what, instead)
    mirrored = Mirrored(files, 0, 2)
    mirrored.cut(folder, enough=1)
    assert mirrored.violations
