"""The changes that are put to the test, each with the store it begins with.

By hand, under any other tracer: `strace -f -e inject=... python -m tests.faults.publisher second DIR`; it prints ACK
when the change was acknowledged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from quire.domain.changes import Selection
from quire.domain.errors import QuireError
from quire.index.commits import Change
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.operations.checking import collect_garbage
from quire.store.posix.store import PosixStore
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name

PROJECT = "alpha"
NEIGHBOUR = "neighbour"
"""A project that no change touches."""


@cache
def wheel(version: str, variant: str = "", project: str = PROJECT) -> tuple[str, bytes]:
    """Filename and content."""
    return wheel_name(project, version), make_wheel(project, version, files={"variant.txt": variant.encode()})


@cache
def sdist(version: str) -> tuple[str, bytes]:
    return sdist_name(PROJECT, version), make_sdist(PROJECT, version)


def staged(store: PosixStore, file: tuple[str, bytes]) -> Upload:
    """An upload before it is published: received in two pieces, and examined."""
    filename, content = file
    staging = store.blobs.stage(upload_key(filename))
    try:
        half = len(content) // 2
        staging.write(content[:half])
        staging.write(content[half:])
        return examine(staging.finish(), filename)
    except QuireError:
        staging.discard()
        raise


def publish(index: Index, *files: tuple[str, bytes], overwrite: bool = False) -> Change:
    assert isinstance(index.store, PosixStore)
    uploads: list[Upload] = []
    try:
        for file in files:
            uploads.append(staged(index.store, file))  # noqa: PERF401 - those before a failure are discarded
    except QuireError:
        for upload in uploads:
            upload.staged.discard()
        raise
    return index.publish(uploads, overwrite=overwrite)


@dataclass(frozen=True)
class Scenario:
    """A store, and a change of it."""

    name: str
    prepare: Callable[[Index], object]
    act: Callable[[Index], Change | None]
    """A change that is acknowledged when this returns; the change, if it leaves blobs to remove."""
    opens: bool = False
    """Whether there is no store at first, and opening it is part of the test."""
    prune_age: float = field(default=60.0)

    def open(self, root: str, *, network: bool = False) -> Index:
        return Index(PosixStore.open(root, network=network, prune_age=self.prune_age))

    def run(self, open_index: Callable[[], Index], report: Callable[[bytes], None]) -> None:
        """As a server does it: change, acknowledge, remove what the change left over."""
        try:
            index = open_index()
            change = self.act(index)
        except QuireError as error:
            report(f"REFUSED {type(error).__name__} {error}\n".encode())
            return
        report(b"ACK\n")
        if change is not None:
            index.remove_blobs(change.removed)


def _with_neighbour(index: Index) -> None:
    publish(index, wheel("1.0", project=NEIGHBOUR))


def _with_one(index: Index) -> None:
    _with_neighbour(index)
    publish(index, wheel("1.0"))


def _with_deleted(index: Index) -> None:
    _with_one(index)
    index.remove_blobs(index.delete(PROJECT, Selection()).removed)


def _with_many_revisions(index: Index) -> None:
    _with_one(index)
    for number in range(11):  # the next revision is the one too many
        index.yank(PROJECT, Selection(version="1.0"), f"reason {number}")


def _with_garbage(index: Index) -> None:
    """The remnants that killed publishers, deleters and creators may leave."""
    _with_deleted(index)
    publish(index, wheel("3.0"))
    assert isinstance(index.store, PosixStore)
    filename, content = wheel("2.0")
    index.store.blobs.stage(upload_key(filename)).write(b"half an upload")
    index.store.blobs.publish(staged(index.store, (filename, content)).staged)
    home = Path(index.store.root) / "quire"
    (home / "incoming" / "0123456789abcdef").mkdir()
    (home / "incoming" / "0123456789abcdef" / "00000001.json").write_text("{")
    (home / "records/main/projects" / f"{PROJECT}.0123456789abcdef.changing").touch()


def _delete(index: Index) -> Change:
    return index.delete(PROJECT, Selection())


def _yank(index: Index) -> Change:
    return index.yank(PROJECT, Selection(version="1.0"), "broken")


def _collect(index: Index) -> None:
    collect_garbage(index.store, lambda: [index], older_than=0)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("birth", lambda index: None, lambda index: publish(index, wheel("1.0")), opens=True),
        Scenario("first", _with_neighbour, lambda index: publish(index, wheel("1.0"))),
        Scenario("second", _with_one, lambda index: publish(index, wheel("2.0"))),
        Scenario("release", _with_one, lambda index: publish(index, wheel("2.0"), sdist("2.0"))),
        Scenario("overwrite", _with_one, lambda index: publish(index, wheel("1.0", "other"), overwrite=True)),
        Scenario("delete", _with_one, _delete),
        Scenario("recreate", _with_deleted, lambda index: publish(index, wheel("1.0"))),
        Scenario("yank", _with_one, _yank),
        Scenario("prune", _with_many_revisions, lambda index: publish(index, wheel("2.0")), prune_age=-1.0),
        Scenario("collect", _with_garbage, _collect),
    )
}


def main() -> int:
    """`SCENARIO DIR [--prepare]`."""
    scenario, root = SCENARIOS[sys.argv[1]], sys.argv[2]
    if "--prepare" in sys.argv:
        scenario.prepare(scenario.open(root))
        return 0
    scenario.run(lambda: scenario.open(root), lambda message: print(message.decode(), end="", flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
