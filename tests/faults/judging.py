"""Properties that a store must have, whatever happened to the process that was changing it.

The judge comes as other processes do: with a handle of its own, and, as a witness, with one that read the store before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from quire.domain.changes import Selection
from quire.domain.errors import NotFound, QuireError, StoreError
from quire.domain.project import File
from quire.index.commits import Change, blob_keys
from quire.index.index import Index
from quire.operations.checking import Check, Severity, collect_garbage
from quire.store.contracts import Names, Record
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore
from tests.faults.publisher import NEIGHBOUR, PROJECT, Scenario, publish, wheel

State = dict[str, dict[str, tuple[str, bool | str, str | None]]]
"""sha256, yanked and the metadata's sha256 of each file of each project that is there."""

_NOTHING_WRITTEN = {b"StoreFull", b"StoreReadOnly", b"Conflict"}
_STORE_TROUBLE = {*_NOTHING_WRITTEN, b"StoreError", b"OutcomeUnknown", b"UnknownLayout", b"BlobMissing"}
_LATER = "9.0"


class Violated(Exception):
    """A property that the store lacks."""


def expect(truth: object, sentence: str) -> None:
    """Raise Violated with the sentence, unless it is so."""
    if not truth:
        raise Violated(sentence)


@dataclass
class Witness:
    """A process that read the store before, and remembers."""

    index: Index
    record: Record
    names: Names

    @classmethod
    def of(cls, index: Index) -> Witness:
        records = index.store.records
        return cls(index, records.read(index.key(PROJECT)), records.names(index.prefix))

    def agrees(self, state: State) -> None:
        records = self.index.store.records
        project = Index.decode(records.read(self.index.key(PROJECT), self.record))
        expect(_files(project.files.values() if project else ()) == state.get(PROJECT, {}), "a memory is stale")
        names = records.names(self.index.prefix, self.names).names
        expect(set(names) == set(state), f"a remembered list of names is stale: {names}")


def _files(files: Iterable[File]) -> dict[str, tuple[str, bool | str, str | None]]:
    return {file.filename: (file.sha256, file.yanked, file.metadata_sha256) for file in files}


def state_of(index: Index) -> State:
    """The view of a client; raises Violated when the list of names and the records do not agree."""
    names = index.names()
    state: State = {}
    for name in sorted({*names, PROJECT, NEIGHBOUR}):
        project = index.project(name)
        expect((project is not None) == (name in names), f"list and record of {name} disagree")
        if project is not None:
            state[name] = _files(project.files.values())
    return state


def read_back(index: Index) -> None:
    """Every listed file, and what is kept beside it, has its bytes."""
    for name in index.names():
        project = index.project(name)
        assert project is not None
        for file in project.files.values():
            digests = {f"{file.blob}/{file.filename}": file.sha256}
            if file.metadata_sha256 is not None:
                digests[f"{file.blob}/{file.filename}.metadata"] = file.metadata_sha256
            expect(set(digests) == set(blob_keys(file)), f"{file.filename} has companions that were never published")
            for key, digest in digests.items():
                try:
                    opened = index.store.blobs.open(key)
                except StoreError as error:
                    raise Violated(f"{key} is listed, but: {error}") from error
                with opened as blob:
                    expect(hashlib.sha256(blob.read()).hexdigest() == digest, f"{key} has other bytes")


def check_says(index: Index, *, clean: bool = False, repair: bool = False) -> int:
    """Run what `quire check` runs: no damage, nothing foreign; with `clean`, nothing at all. How many findings."""
    assert isinstance(index.store, PosixStore)
    checked = Check(index.store, lambda: [index], PosixInspector(index.store), repair=repair, grace=0).run()
    harmless = set() if clean else {Severity.ORPHAN, Severity.LEFTOVER}
    bad = [f"{found.severity} {found.code} {found.where}" for found in checked.findings]
    bad = [text for text, found in zip(bad, checked.findings, strict=True) if found.severity not in harmless]
    expect(not bad, f"check says: {'; '.join(bad)}")
    return len(checked.findings)


class Judge:
    """Of one scenario."""

    def __init__(self, scenario: Scenario, before: State, after: State) -> None:
        self.scenario = scenario
        self.before = before
        self.after = after

    def judge(self, root: str, said: bytes, witness: Witness | None = None) -> None:
        """`said`: what the process reported. Raises Violated. Uses the store up: it goes on where the other stopped."""
        expect(not said.startswith(b"CRASH"), f"a traceback instead of a sentence: {said.decode()}")
        try:
            self._judge(root, said, witness)
        except QuireError as error:
            raise Violated(f"{type(error).__name__}: {error}") from error

    def _judge(self, root: str, said: bytes, witness: Witness | None) -> None:
        acknowledged = said.startswith(b"ACK")
        refused = said.split()[1] if said.startswith(b"REFUSED") else b""
        expect(refused in {b"", *_STORE_TROUBLE}, f"the store failed, and the client is blamed: {said.decode()}")
        index = self.scenario.open(root)
        state = state_of(index)
        expect(state in (self.before, self.after), f"neither before nor after: {state}")
        if acknowledged:
            expect(state == self.after, "acknowledged, and not there")
        if refused in _NOTHING_WRITTEN:
            expect(state == self.before, f"{refused.decode()} says that nothing was written, but it was")
        if witness is not None:
            witness.agrees(state)
        read_back(index)
        check_says(index)
        self._repeat(root, state)
        self._go_on(root)

    def _repeat(self, root: str, state: State) -> None:
        """The client, without an answer or after an error, repeats the change."""
        index = self.scenario.open(root)
        change: Change | None = None
        try:
            change = self.scenario.act(index)
        except NotFound:
            expect(self.scenario.name == "delete" and state == self.after, "repeating found nothing to do")
        if change is not None:
            index.remove_blobs(change.removed)
        expect(state_of(self.scenario.open(root)) == self.after, "repeating did not do it")

    def _go_on(self, root: str) -> None:
        """Others publish and yank as if nothing had been; then the garbage is collected, and nothing odd is left."""
        index = self.scenario.open(root)
        expected = {name: dict(files) for name, files in self.after.items()}
        for project in (PROJECT, "newcomer"):
            file = wheel(_LATER, project=project)
            publish(index, file)
            found = index.project(project)
            expect(found is not None and file[0] in found.files, "the next publication does not work")
            assert found is not None
            expected.setdefault(project, {}).update(_files([found.files[file[0]]]))
        fresh = self.scenario.open(root)
        expect(state_of(fresh) == expected, "the next publication changed something else")
        collect_garbage(fresh.store, lambda: [fresh], older_than=0)
        check_says(fresh, repair=True)
        check_says(fresh, clean=True)
        fresh.delete("newcomer", Selection())
        last = self.scenario.open(root)
        del expected["newcomer"]
        expect(state_of(last) == expected, "after all that, something is missing")
        read_back(last)
