"""The check of a list of projects: whether it can be read, and agrees with the records in both directions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from quire.domain.errors import InvalidName, StoreError
from quire.operations.checking.findings import Finding, Severity
from quire.store.contracts import Names, Records

_TRIES: Final = 5
"""Reads of a record that others change at the same time."""
_UNREADABLE: Final = (
    "Restore an earlier state of it from the bucket's versions, or remove it while no server changes the store; then "
    "'quire check --repair' makes the list by the records."
)


class ListRepairs(Protocol):
    """Repairs of a list of names, in a store that can have one that is wrong."""

    def settle(self, folder: str, names: Iterable[str]) -> None:
        """Make the list agree with the records of these names. Raises StoreError."""
        ...

    def rebuild(self, folder: str, written: Callable[[], Iterable[str]]) -> int:
        """Write its lost parts again, by the records of all names that ever were; how many. Raises StoreError."""
        ...


def check_readable(records: Records, folder: str, repairs: ListRepairs | None) -> Iterator[Finding]:
    """The finding where a list cannot be read, and after the repair still cannot."""
    try:
        records.names(folder)
        return
    except StoreError as error:
        sentence = str(error)
    repair = None
    if repairs is not None:
        try:
            rebuilt = repairs.rebuild(folder, lambda: records.written(folder))
            records.names(folder)
            repair = f"{rebuilt} lost parts of it were written again, by the records." if rebuilt != 1 else _ONE_PART
        except StoreError:  # its root cannot be understood
            sentence += f" {_UNREADABLE}"
    yield Finding(Severity.DAMAGE, "unreadable-names", folder, sentence, repair=repair)


_ONE_PART: Final = "A lost part of it was written again, by the records."


def check_agreement(
    records: Records, folder: str, found: Mapping[str, bool | None], repairs: ListRepairs | None
) -> Iterator[Finding]:
    """The names that are listed without a record, or have one and are not listed; they are settled by the repairs.

    `found`: whether each written record was present, a moment ago; None: it cannot be read. Raises StoreError.
    """
    try:
        names = records.names(folder)
    except StoreError:
        return  # a finding of its own
    listed = set(names.names)
    doubtful = sorted(name for name in listed | found.keys() if found.get(name, False) not in {None, name in listed})
    wrong: dict[str, bool] = {}
    for name in doubtful:
        try:
            is_present = _presence_if_wrong(records, folder, name, names)
        except InvalidName as error:
            yield Finding(Severity.DAMAGE, "listed-without-record", f"{folder}/{name}", str(error))
            continue
        if is_present is not None:
            wrong[name] = is_present
    if repairs is not None and wrong:
        repairs.settle(folder, wrong)
    for name, is_present in wrong.items():
        yield _disagreement(f"{folder}/{name}", is_present=is_present, is_repaired=repairs is not None)


def _disagreement(key: str, *, is_present: bool, is_repaired: bool) -> Finding:
    if is_present:
        code, sentence = "unlisted-project", "The project can be read, and the list of projects lacks its name."
        repair = "It is listed."
    else:
        code, sentence = "listed-without-record", "The list of projects has this name, and there is no such project."
        repair = "It is not listed any more."
    if not is_repaired:
        return Finding(Severity.DAMAGE, code, key, f"{sentence} 'quire check --repair' makes the list right.")
    return Finding(Severity.DAMAGE, code, key, sentence, repair=repair)


def _presence_if_wrong(records: Records, folder: str, name: str, known: Names) -> bool | None:
    """Whether the project is present, where the list says otherwise; None where they agree at one moment, or where
    writers change the project all the time, and settle it by themselves."""
    for _ in range(_TRIES):
        before = records.read(f"{folder}/{name}")
        known = records.names(folder, known)
        at = bisect_left(known.names, name)
        is_listed = known.names[at : at + 1] == (name,)
        if records.read(f"{folder}/{name}", before) is before:  # so it was this when the list was read
            is_present = before.data is not None
            return is_present if is_present != is_listed else None
    return None
