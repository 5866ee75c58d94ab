"""The plan of `quire update`: the choice of a release and of its files. Pure.

Which release
    The highest one that is higher than everything present. Yanked files count as absent (PEP 592), and so do eggs and
    names that this index would not take. Pre-releases (PEP 440: alphas, betas, candidates, development releases) are
    taken as pip takes them: only when asked for, or when there is no final release at all; and besides, when a
    pre-release is present and no final release is higher, since a user of a project's candidates follows them
    until the release.

Which files
    One for each present file of the highest present version, of its kind: for a wheel the wheel with the same tags,
    else for the same interpreter, ABI and platform family (manylinux2014 and manylinux_2_28 are one family), else an
    abi3 wheel that this interpreter takes, else a pure one, else the sdist; for an sdist and everything older the
    sdist, else a pure wheel. So a folder with Linux and macOS wheels gets both. The Python versions that
    the project declares are ignored: this machine's Python says nothing about those the files are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from quire.domain.errors import InvalidName
from quire.domain.names import Kind, ParsedFilename, is_prerelease, parse_filename, same_version, version_sort_key
from quire.upstream.pages import UpstreamFile


@dataclass(frozen=True, slots=True)
class Present:
    """One file that is served here."""

    parsed: ParsedFilename
    directory: str | None
    """The directory that it lies in; None for a hosted file."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One file to get, and where it belongs."""

    file: UpstreamFile
    directory: str | None
    """None: into the store."""


@dataclass(frozen=True, slots=True)
class Update:
    """A project's step to a higher version."""

    project: str
    """Normalized name."""
    present: str
    """The highest present version, as its filename spells it; empty when that has none."""
    version: str
    directory: str | None
    """The directory of the first present file of that version; None when all are hosted."""
    fetches: tuple[Fetch, ...]
    """Empty when the release has no file that corresponds to a present one."""


def plan(
    project: str,
    present: Sequence[Present],
    offered: Iterable[UpstreamFile],
    *,
    unstable: bool = False,
    directory: str | None = None,
) -> Update | None:
    """The update of a project; None when the newest release is present already.

    `present`: at least one file; `directory`: where everything goes instead of beside the present files.
    """
    highest = max((each.parsed.version for each in present), key=version_sort_key)
    files = usable(offered)
    version = newest([file.parsed.version for file in files], highest, unstable=unstable)
    if version is None:
        return None
    release = [file for file in files if same_version(file.parsed.version, version)]
    fetches: dict[tuple[str, str | None], Fetch] = {}
    updated = sorted(
        (each for each in present if same_version(each.parsed.version, highest)),
        key=lambda each: (each.directory is None, each.directory or "", each.parsed.filename),
    )
    for each in updated:
        file = counterpart(each.parsed, release)
        if file is not None:
            target = each.directory if directory is None else directory
            fetches.setdefault((file.parsed.filename, target), Fetch(file, target))
    return Update(project, highest, version, updated[0].directory, tuple(fetches.values()))


def usable(offered: Iterable[UpstreamFile]) -> list[UpstreamFile]:
    """The files that count: wheels and sdists that are not yanked."""
    return [file for file in offered if not file.yanked and file.parsed.kind in {Kind.WHEEL, Kind.SDIST}]


def newest(versions: Sequence[str], present: str, *, unstable: bool = False) -> str | None:
    """The version to update to; None when there is none. See "Which release" above."""
    higher = [version for version in versions if version_sort_key(version) > version_sort_key(present)]
    final = [version for version in higher if not is_prerelease(version)]
    if unstable or (not final and (is_prerelease(present) or all(map(is_prerelease, versions)))):
        allowed = higher
    else:
        allowed = final
    return max(allowed, key=version_sort_key, default=None)


def counterpart(present: ParsedFilename, release: Sequence[UpstreamFile]) -> UpstreamFile | None:
    """The file of a release that takes the place of a present one; None when there is none. See "Which files"."""
    sdists = sorted(
        (file for file in release if file.parsed.kind is Kind.SDIST),
        key=lambda file: (not file.parsed.filename.endswith(".tar.gz"), file.parsed.filename),
    )
    wheels = [file for file in release if file.parsed.kind is Kind.WHEEL]
    tags = _tags(present.filename) if present.kind is Kind.WHEEL else frozenset()
    ranked = [(_likeness(tags, file), file) for file in sorted(wheels, key=lambda file: file.parsed.filename)]
    best = max(ranked, key=lambda pair: pair[0], default=None)
    wheel = best[1] if best is not None and best[0][0] > 0 else None
    sdist = sdists[0] if sdists else None
    return (wheel or sdist) if present.kind is Kind.WHEEL else (sdist or wheel)


def _tags(filename: str) -> frozenset[Tag]:
    """A wheel's tags; none when its name is not a valid one, as may be in a directory."""
    try:
        parse_filename(filename)  # has the limit on how many tags a name may stand for
        return parse_wheel_filename(filename)[3]
    except (InvalidName, ValueError):
        return frozenset()


def _likeness(present: frozenset[Tag], file: UpstreamFile) -> tuple[int, int, tuple[int, str]]:
    """How well a wheel takes the place of one with these tags: the first number is 0 when it does not at all."""
    _, _, build, tags = parse_wheel_filename(file.parsed.filename)
    common = len({tag.platform for tag in tags} & {tag.platform for tag in present})
    rank = max((_fits(mine, tag) for mine in present for tag in tags), default=0)
    if tags == present:
        rank = 4
    elif rank == 0 and any(_is_pure(tag) for tag in tags):
        rank = 1
    return rank, common, (build[0], build[1]) if build else (-1, "")


def _fits(mine: Tag, tag: Tag) -> int:
    if not _families(mine.platform) & _families(tag.platform):
        return 0
    if (mine.interpreter, mine.abi) == (tag.interpreter, tag.abi):
        return 3
    return 2 if tag.abi == "abi3" and 0 <= _minor(tag.interpreter) <= _minor(mine.interpreter) else 0


def _is_pure(tag: Tag) -> bool:
    return tag.platform == "any" and tag.abi == "none" and not tag.interpreter.startswith("py2")


_PLATFORM = re.compile(r"(manylinux|musllinux|macosx|linux)(?:\d+|_\d+_\d+)?_(.+)")


@lru_cache(maxsize=1000)
def _families(platform: str) -> frozenset[str]:
    """The platform without the release of its system; several for a macOS binary that holds several machines' code."""
    match = _PLATFORM.fullmatch(platform)
    if match is None:
        return frozenset({platform})
    system, machine = match[1].replace("manylinux", "linux"), match[2]
    machines = {machine, "x86_64", "arm64"} if (system, machine) == ("macosx", "universal2") else {machine}
    return frozenset(f"{system}_{each}" for each in machines)


def _minor(interpreter: str) -> int:
    """11 for cp311; for other interpreters a number that makes no abi3 wheel fit."""
    match = re.fullmatch(r"cp3(\d{1,4})", interpreter)
    return int(match[1]) if match else -1
