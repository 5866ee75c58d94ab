"""Which files of a project a lock wants, by the page of the project. Pure functions of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final, Protocol

from quire.domain.names import same_version
from quire.locks.locked import LockedFile, LockedRelease
from quire.locks.selecting import Selection
from quire.operations.mirroring.report import Missing, Report

_NOT_LISTED: Final = "The index lists no such file."


class Listed(Protocol):
    """A file on a page."""

    @property
    def filename(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def hashes(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is listed, and has the digests of the lock as far as its page announces any of these kinds."""

    filename: str
    version: str
    """As the lock spells it; empty where it names none."""
    unproved: tuple[str, ...] = ()
    """Digests of the lock of kinds that the page does not announce: the bytes must show them."""


def releases_by_project(releases: Iterable[LockedRelease]) -> dict[str, list[LockedRelease]]:
    """The releases of all locks, those of one project together."""
    found: dict[str, list[LockedRelease]] = {}
    for release in releases:
        known = found.setdefault(release.project, [])
        if release not in known:
            known.append(release)
    return found


def wanted_of(
    releases: Iterable[LockedRelease], listed: Mapping[str, Listed], selection: Selection, report: Report
) -> list[Wanted]:
    """The files of a project's releases that are wanted, each once. `listed`: the files of the project by filename. A
    file that is not listed, or has another digest, is reported."""
    found = dict[str, Wanted]()
    for release in releases:
        for each in _wanted_of(release, listed, selection, report):
            known = found.get(each.filename, each)
            proofs = tuple(dict.fromkeys((*known.unproved, *each.unproved)))
            found[each.filename] = Wanted(each.filename, release.version or known.version, proofs)
    return [*found.values()]


def _wanted_of(
    release: LockedRelease, listed: Mapping[str, Listed], selection: Selection, report: Report
) -> Iterator[Wanted]:
    named, missing = _named(release, listed)
    chosen = set(selection.choose([each.filename for each in named]))
    what = f"{release.project} {release.version}".rstrip()
    if named and not chosen:
        report.left_out[what] = None
    if chosen and not any(name.endswith(".whl") for name in chosen):
        report.built[what] = None
    report.missing += missing
    for each in named:
        if each.filename not in chosen:
            continue
        file = listed.get(each.filename)
        why = _NOT_LISTED if file is None else _difference(each, file)
        if file is None or why is not None:
            report.missing.append(Missing(release.project, release.version, each.filename, why or ""))
        else:
            yield Wanted(each.filename, release.version, _unproved(each.digests, file))


def _named(release: LockedRelease, listed: Mapping[str, Listed]) -> tuple[Sequence[LockedFile], list[Missing]]:
    """The files of a release by name; and the digests of the lock that no file has."""
    if release.files:
        return release.files, []
    files = [each for each in listed.values() if same_version(each.version, release.version)]
    if not release.digests:
        none = Missing(release.project, release.version, "", "The index lists no file of this release.")
        return [LockedFile(each.filename) for each in files], [] if files else [none]
    by_digest = {f"{kind}:{digest}": each for each in files for kind, digest in each.hashes.items()}
    named = {by_digest[digest].filename: digest for digest in release.digests if digest in by_digest}
    why = "The index lists no file of this release with this digest."
    missing = [
        Missing(release.project, release.version, digest, why) for digest in release.digests if digest not in by_digest
    ]
    return [LockedFile(filename, (digest,)) for filename, digest in named.items()], missing


def _difference(locked: LockedFile, file: Listed) -> str | None:
    """A sentence about a digest that the page announces differently; None where none is."""
    for kind, _, digest in (each.partition(":") for each in locked.digests):
        said = file.hashes.get(kind)
        if said is not None and not compare_digest(said, digest):
            return f"The lock has the {kind} digest {digest}, but the index announces {said}."
    return None


def _unproved(digests: Iterable[str], file: Listed) -> tuple[str, ...]:
    return tuple(each for each in digests if each.partition(":")[0] not in file.hashes)
