"""The rules for the names under a prefix, and for any sequence of operations on records."""

from __future__ import annotations

import random

from quire.domain.errors import Conflict
from quire.store.contracts import Names, Record
from quire.testing.helpers import create, document, require
from quire.testing.sandbox import Rule, Sandbox


def names_follow_the_records(sandbox: Sandbox) -> None:
    """A name appears with its first write and vanishes with its deletion, for all workers at once; and so again."""
    one, other, fresh = (sandbox.worker() for _ in range(3))
    steady, coming = sandbox.record("steady"), sandbox.record("coming")
    known = other.records.names(sandbox.folder)
    create(one, steady, document(0))
    for number in range(4):
        for data, expected in ((document(number), ("coming", "steady")), (None, ("steady",))):
            before = known
            create(one, coming, data) if data else one.records.write(coming, None, one.records.read(coming))
            what = "written" if data else "deleted"
            require(not other.records.names_unchanged(known), f"names_unchanged misses a record just {what}.")
            known = other.records.names(sandbox.folder, known)
            require(known.prefix == sandbox.folder, "Names.prefix must be the prefix that was asked for.")
            require(known.names == expected, f"a worker that knew the names before missed a record just {what}.")
            require(known.tag != before.tag, f"the tag of the names must change when a record is {what}.")
            require(fresh.records.names(sandbox.folder).names == expected, f"names miss a record just {what}.")
            require(one.records.names(sandbox.folder).names == expected, f"the writer misses what it has {what}.")


def unchanged_names_are_the_same_object(sandbox: Sandbox) -> None:
    """`names(prefix, known)` returns `known` itself while no name came or went, also when documents change."""
    one, other = sandbox.worker(), sandbox.worker()
    empty = other.records.names(sandbox.folder)
    require(other.records.names(sandbox.folder, empty) is empty, "an unchanged lack of names must be the same object.")
    key = sandbox.record()
    record = create(one, key, document(1))
    require(not other.records.names_unchanged(empty), "names_unchanged misses the first name.")
    known = other.records.names(sandbox.folder, empty)
    for number in range(2, 6):
        require(other.records.names(sandbox.folder, known) is known, "unchanged names must be the very same object.")
        record = one.records.write(key, document(number), record)
    found = other.records.names(sandbox.folder, known)
    require(found is known, "names must be the very same object when only a document under one of them changed.")


def names_are_those_of_one_folder(sandbox: Sandbox) -> None:
    """Only records in the folder itself have their names in it: none of a folder below, beside, or named alike."""
    one, other = sandbox.worker(), sandbox.worker()
    for key in ("here/a", "here-too/b", "here2/c", "deep/er/d", "deep/er/e", "deep/er2/f"):
        create(one, sandbox.record(key), document(1))
    for folder, expected in (
        ("here", ("a",)),
        ("here-too", ("b",)),
        ("here2", ("c",)),
        ("deep/er", ("d", "e")),
        ("deep/er2", ("f",)),
        ("her", ()),
        ("deep/e", ()),
        ("nowhere/at/all", ()),
    ):
        found = other.records.names(f"{sandbox.folder}/{folder}").names
        require(found == expected, f"names in {folder!r} are {found}, not {expected}.")


def many_names_are_complete(sandbox: Sandbox) -> None:
    """However many names there are, all are there, sorted, while every second one is deleted again."""
    one, other = sandbox.worker(), sandbox.worker()
    names = [f"{chr(97 + number * 7 % 26)}{number}" for number in range(60)]
    known = other.records.names(sandbox.folder)
    for name in names:
        create(one, sandbox.record(name), document(1))
    known = other.records.names(sandbox.folder, known)
    require(known.names == tuple(sorted(names)), "names are missing, too many, or not sorted.")
    for name in names[::2]:
        one.records.write(sandbox.record(name), None, one.records.read(sandbox.record(name)))
    known = other.records.names(sandbox.folder, known)
    require(known.names == tuple(sorted(names[1::2])), "names of deleted records stay, or others went with them.")


def any_sequence_agrees_with_a_model(sandbox: Sandbox) -> None:
    """Three workers that remember earlier results answer, step by step, as one dictionary would."""
    choose = random.Random(20200202)  # noqa: S311 - the same sequence every time
    workers = [sandbox.worker() for _ in range(3)]
    model: dict[str, tuple[int, bytes | None]] = dict.fromkeys("abc", (0, None))
    memory: dict[tuple[int, str], tuple[int, Record]] = {}
    listings: dict[int, Names] = {}
    for step in range(300):
        index, name = choose.randrange(3), choose.choice("abc")
        records, key = workers[index].records, sandbox.record(name)
        revision, data = model[name]
        remembered = memory.get((index, name))
        action = choose.choice(("read", "names", "write", "write", "delete"))
        if action == "names":
            listings[index] = records.names(sandbox.folder, listings.get(index))
            expected = tuple(sorted(name for name, (_, data) in model.items() if data is not None))
            require(listings[index].names == expected, f"step {step}: names are {listings[index].names}.")
        elif action == "read" or remembered is None:
            found = records.read(key, remembered[1] if remembered else None)
            require(found.data == data, f"step {step}: read {found.data!r}, but {data!r} was written last.")
            if remembered is not None:
                same = found is remembered[1]
                require(same == (remembered[0] == revision), f"step {step}: same object: {same}.")
            memory[index, name] = revision, found
        else:
            # A store may make a new state when an absent record is deleted, or not, so that is not done here.
            new = None if action == "delete" and remembered[1].data is not None else document(step)
            try:
                written = records.write(key, new, remembered[1])
            except Conflict:
                require(remembered[0] != revision, f"step {step}: Conflict without another writer.")
                del memory[index, name]
            else:
                require(remembered[0] == revision, f"step {step}: a write with a stale record was accepted.")
                model[name] = step + 1, new
                memory[index, name] = step + 1, written


RULES: tuple[Rule, ...] = (
    names_follow_the_records,
    unchanged_names_are_the_same_object,
    names_are_those_of_one_folder,
    many_names_are_complete,
    any_sequence_agrees_with_a_model,
)
