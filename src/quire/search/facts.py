"""The facts of a project that are searched: what its files and the metadata of its newest release say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final
from unicodedata import normalize

import msgspec
from packaging.specifiers import SpecifierSet

from quire.archives.metadata import CoreMetadata
from quire.domain.project import File, Status
from quire.domain.requirements import read_requirement
from quire.render.pypi_json import describing_file, select_release

MOST_NEEDED: Final = 500
"""Requirements of a project that are kept."""
MOST_UPLOADERS: Final = 50
_MOST_SUMMARY: Final = 500
_MOST_KEYWORDS: Final = 500
_MOST_CLASSIFIERS: Final = 4000
_MOST_REQUIREMENT: Final = 300
MINORS: Final = 40
"""Of Python 3, about which a filter can ask; bit 0 of `Facts.pythons` is 3.0. Bit MINORS is Python 2.7."""
ALL_PYTHONS: Final = (1 << (MINORS + 1)) - 1
_PYTHONS: Final = (*(f"3.{minor}" for minor in range(MINORS)), "2.7")


class Needed(msgspec.Struct, frozen=True):
    """One requirement of a project."""

    name: str
    """Normalized."""
    versions: str
    """A specifier set, such as `<3,>=2.1`; "" for any version."""
    condition: str
    """An environment marker, such as `extra == "tests"`; "" for none."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one project, as one source or several have it."""

    display: str
    """The name as its publisher spells it."""
    status: str = str(Status.ACTIVE)
    version: str = ""
    """The release to show: the newest final one that is not yanked, if any is; "" for none."""
    released: str = ""
    """When the first file of that release was uploaded (RFC 3339); "" where that is not known."""
    updated: str = ""
    """When any file was uploaded last."""
    yanked: int = 0
    """0: no release is yanked; 1: some are; 2: all are."""
    uploaders: tuple[str, ...] = ()
    described: str = ""
    """The SHA-256 of the metadata that the rest is of."""
    summary: str = ""
    keywords: str = ""
    classifiers: tuple[str, ...] = ()
    requires_python: str = ""
    pythons: int = ALL_PYTHONS
    """The versions of Python that it runs on, one bit each."""
    needs: tuple[Needed, ...] = ()


def facts_of_files(name: str, display: str | None, status: Status | None, files: Sequence[File]) -> Facts:
    """The facts without those of metadata. `name`: normalized."""
    active = status or Status.ACTIVE
    facts = Facts(display=display or name, status=str(active))
    if not any(file.version for file in files):
        return facts
    version = select_release(files, None)
    described = describing_file(files, version)
    of_release = [file for file in files if file.version == version] or [file for file in files if file.version]
    times = sorted(file.uploaded for file in of_release if file.uploaded)
    yanked = [file.yanked is not False for file in files]
    requires = next((file.requires_python for file in of_release if file.requires_python), "") or ""
    return msgspec.structs.replace(
        facts,
        version=version,
        released=times[0] if times else "",
        updated=max((file.uploaded for file in files if file.uploaded), default=""),
        yanked=2 if all(yanked) else int(any(yanked)),
        uploaders=tuple(sorted({file.uploader for file in files if file.uploader}))[:MOST_UPLOADERS],
        described=(described.metadata_sha256 or "") if described is not None else "",
        requires_python=requires[:_MOST_SUMMARY],
        pythons=pythons_of(requires),
    )


def with_metadata(facts: Facts, metadata: CoreMetadata, described: str) -> Facts:
    """The facts with those of a metadata document, which has this SHA-256."""
    fields: Mapping[str, object] = {**metadata.fields}
    requires = facts.requires_python or metadata.requires_python or ""
    classifiers = tuple(_text(each, _MOST_REQUIREMENT) for each in _list(fields, "classifiers"))
    while sum(map(len, classifiers)) > _MOST_CLASSIFIERS:
        classifiers = classifiers[:-1]
    return msgspec.structs.replace(
        facts,
        described=described,
        summary=_text(metadata.summary or "", _MOST_SUMMARY),
        keywords=_text(" ".join(_list(fields, "keywords")), _MOST_KEYWORDS),
        classifiers=classifiers,
        requires_python=requires[:_MOST_SUMMARY],
        pythons=pythons_of(requires),
        needs=_needed(_list(fields, "requires_dist")[:MOST_NEEDED]),
    )


@lru_cache(maxsize=2000)
def pythons_of(requires_python: str) -> int:
    """The versions of Python that a specifier set allows, as bits; all for a set that is not understood.

    A minor version counts when its first or its last patch release is allowed.
    """
    if not requires_python.strip():
        return ALL_PYTHONS
    try:
        allowed = SpecifierSet(requires_python[:_MOST_SUMMARY])
        return sum(
            1 << place
            for place, version in enumerate(_PYTHONS)
            if allowed.contains(f"{version}.0") or allowed.contains(f"{version}.99")
        )
    except ValueError:
        return ALL_PYTHONS


def python_bit(version: str) -> int | None:
    """The place of a version such as `3.12` in `Facts.pythons`; None for one that no filter asks about."""
    if version == "2.7":
        return MINORS
    major, _, minor = version.partition(".")
    is_known = major == "3" and minor.isascii() and minor.isdigit() and len(minor) <= 2 and int(minor) < MINORS
    return int(minor) if is_known else None


def _needed(requirements: Sequence[str]) -> tuple[Needed, ...]:
    found = []
    for text in requirements:
        requirement = read_requirement(text[: 4 * _MOST_REQUIREMENT])
        if requirement is not None and requirement.project:
            versions = ",".join(requirement.versions)[:_MOST_REQUIREMENT]
            found.append(Needed(requirement.project, versions, requirement.condition[:_MOST_REQUIREMENT]))
    return tuple(found)


def _list(fields: Mapping[str, object], name: str) -> list[str]:
    values = fields.get(name)
    return [each for each in values if isinstance(each, str)] if isinstance(values, list) else []


def _text(text: str, most: int) -> str:
    """One line of text without control characters, in the form in which words are compared."""
    shown = "".join(each if each.isprintable() else " " for each in normalize("NFKC", text[: 2 * most]))
    return " ".join(shown.split())[:most]
