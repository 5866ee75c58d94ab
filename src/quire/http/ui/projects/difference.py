"""The difference between two releases of a project: metadata, dependencies, files. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice
from typing import Any, Final

from quire.archives.metadata import CoreMetadata
from quire.domain.foreign_text import one_line, visible
from quire.domain.names import guess_filename
from quire.http.ui.projects.described import MOST_ENTRIES, Dependency, dependencies
from quire.http.ui.projects.releases import FileRow

_TEXTS: Final = {
    "summary": "Summary",
    "requires_python": "Requires Python",
    "license_expression": "License",
    "license": "License text",
    "author": "Author",
    "author_email": "Author's address",
    "maintainer": "Maintainer",
    "maintainer_email": "Maintainer's address",
    "home_page": "Homepage",
    "download_url": "Download",
    "metadata_version": "Version of the metadata",
    "description_content_type": "Language of the README",
}
_LISTS: Final = {
    "classifiers": "Classifiers",
    "keywords": "Keywords",
    "provides_extra": "Extras",
    "license_files": "License files",
    "platforms": "Platforms",
    "requires_external": "Needs of the system",
    "dynamic": "Dynamic fields",
    "import_names": "Names to import",
}
_MOST_CHARS: Final = 1000
_MOST_README: Final = 800_000
"""Characters of a README that are compared."""
_MOST_LINES: Final = 1000
"""Of a README, from the first line that differs: at worst the comparison takes the cube of it, of so many a third of a
second."""
_CONTEXT: Final = 2
"""Lines around those that differ."""
_MOST_SHOWN: Final = 400
"""Lines of the difference between READMEs."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two releases."""

    version: str
    metadata: CoreMetadata | None
    """None where none is known."""
    files: Sequence[FileRow]


@dataclass(frozen=True, slots=True)
class TextChange:
    """A field with another value. Empty for none."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ListChange:
    """A field that is a list, with other entries."""

    label: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DependencyChange:
    """A dependency that came, went, or has other versions."""

    name: str
    """As it is written."""
    extra: str | None
    before: str | None
    """Its versions and condition; None where the older release does not need it."""
    after: str | None


@dataclass(frozen=True, slots=True)
class FileChange:
    """The files of both releases for the same purpose."""

    purpose: str
    before: FileRow | None
    after: FileRow | None


@dataclass(frozen=True, slots=True)
class ReadmeLine:
    """A line of the difference between two READMEs."""

    sign: str
    """`+`, `-`, `@` for a place, or a space."""
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs."""

    old: str
    new: str
    texts: tuple[TextChange, ...]
    lists: tuple[ListChange, ...]
    dependencies: tuple[DependencyChange, ...]
    files: tuple[FileChange, ...]
    """All, also those that are in both."""
    readme: tuple[ReadmeLine, ...]
    is_readme_cut: bool
    undescribed: tuple[str, ...]
    """The releases of which no metadata is known: of these, only files are compared."""


def difference(old: Side, new: Side) -> Difference:
    """The difference. Blocks for as long as it takes to compare two READMEs."""
    undescribed = tuple(side.version for side in (old, new) if side.metadata is None)
    before, after = ({} if undescribed else _fields(side) for side in (old, new))
    readme, is_cut = _readme(before.get("description") or "", after.get("description") or "")
    return Difference(
        old=old.version,
        new=new.version,
        texts=tuple(_texts(before, after)),
        lists=tuple(_lists(before, after)),
        dependencies=tuple(_dependencies(before, after)),
        files=tuple(_files(old.files, new.files)),
        readme=tuple(readme),
        is_readme_cut=is_cut,
        undescribed=undescribed,
    )


def _fields(side: Side) -> Mapping[str, Any]:
    assert side.metadata is not None
    return side.metadata.fields


def _texts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[TextChange]:
    found = []
    for field, label in _TEXTS.items():
        old, new = (visible((fields.get(field) or "")[:_MOST_CHARS]) for fields in (before, after))
        if old != new:
            found.append(TextChange(label, old, new))
    return found


def _lists(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ListChange]:
    found = []
    for field, label in _LISTS.items():
        old, new = before.get(field) or (), after.get(field) or ()
        found.append(_list_change(label, old, new))
    urls = [
        [f"{label}: {url}" for label, url in (fields.get("project_urls") or {}).items()] for fields in (before, after)
    ]
    found.append(_list_change("Links", *urls))
    return [each for each in found if each.removed or each.added]


def _list_change(label: str, old: Sequence[str], new: Sequence[str]) -> ListChange:
    removed, added = dict.fromkeys(old), dict.fromkeys(new)
    return ListChange(
        label,
        tuple(one_line(each[:_MOST_CHARS]) for each in removed if each not in added)[:MOST_ENTRIES],
        tuple(one_line(each[:_MOST_CHARS]) for each in added if each not in removed)[:MOST_ENTRIES],
    )


def _dependencies(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[DependencyChange]:
    """A dependency is known by its name and extra: one that is written twice, with two conditions, is compared as a
    whole."""
    old, new = (_by_name(fields.get("requires_dist") or ()) for fields in (before, after))
    return [
        DependencyChange(
            name=(new.get(key) or old[key])[0].shown,
            extra=key[0] or None,
            before=_constraints(old[key]) if key in old else None,
            after=_constraints(new[key]) if key in new else None,
        )
        for key in sorted({*old, *new})
        if key not in old or key not in new or _constraints(old[key]) != _constraints(new[key])
    ]


def _by_name(requirements: Sequence[str]) -> dict[tuple[str, str], list[Dependency]]:
    found: dict[tuple[str, str], list[Dependency]] = {}
    for group in dependencies(requirements[:MOST_ENTRIES], lambda _: False):
        for each in group.entries:
            found.setdefault((group.extra or "", each.name or each.shown), []).append(each)
    return found


def _constraints(entries: Sequence[Dependency]) -> str:
    words = (
        f"{each.constraint or 'any version'}{f' if {each.condition}' if each.condition else ''}" for each in entries
    )
    return "; ".join(sorted(words))


def _files(old: Sequence[FileRow], new: Sequence[FileRow]) -> list[FileChange]:
    """In the order of the newer release; files of the older one alone stand last."""
    before, after = ({_role(file): file for file in files} for files in (old, new))
    return [FileChange(file.purpose.words or role, before.get(role), file) for role, file in after.items()] + [
        FileChange(file.purpose.words or role, file, None) for role, file in before.items() if role not in after
    ]


def _role(file: FileRow) -> str:
    """The name of a file without the version."""
    parsed = guess_filename(file.filename)
    return file.filename if parsed is None or not parsed.version else file.filename.replace(parsed.version, "", 1)


def _readme(old: str, new: str) -> tuple[list[ReadmeLine], bool]:
    """The difference, and whether there is more of it."""
    before, after = _differing(*(visible(text[:_MOST_README]).splitlines() for text in (old, new)))
    changes = unified_diff(before[:_MOST_LINES], after[:_MOST_LINES], lineterm="", n=_CONTEXT)
    lines = list(islice(changes, 2, _MOST_SHOWN + 3))
    found = [ReadmeLine(line[0], line[1:_MOST_CHARS] if line[0] != "@" else "") for line in lines[:_MOST_SHOWN]]
    return found, len(lines) > _MOST_SHOWN or max(len(before), len(after)) > _MOST_LINES


def _differing(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """The lines without those that are the same at the beginning and at the end, but for the context of the others."""
    begin = max(_same(before, after) - _CONTEXT, 0)
    before, after = before[begin:], after[begin:]
    end = max(_same(before[::-1], after[::-1]) - _CONTEXT, 0)
    return before[: len(before) - end], after[: len(after) - end]


def _same(before: Sequence[str], after: Sequence[str]) -> int:
    """How many lines are the same from the first one on."""
    return next(
        (at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new),
        min(len(before), len(after)),
    )
