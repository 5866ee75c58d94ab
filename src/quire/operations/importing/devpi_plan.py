"""The indexes and rights here that those of an export of devpi become: pure functions.

A stage becomes an index, its bases the indexes behind it, a mirror an index with one upstream that takes no uploads.
`volatile` becomes `overwrite`; a whitelist of projects for the mirrors behind becomes `merged`. Whatever has no
counterpart is named.

The indexes are made before their files are there, and of some projects there are no files at all. So each index claims
the names of its projects: none of them is ever asked for at an upstream, as devpi has it. A claim hides the projects of
this name of the indexes behind, so one without files is left to the index behind that has it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from quire.domain.errors import ConfigurationError, InvalidName, InvalidRequest
from quire.domain.names import normalize_name
from quire.domain.upstreams import checked_url
from quire.operations.declaring.reading import GRANTS, INDEXES
from quire.operations.importing.devpi_export import MIRROR, RELEASE, Export, ExportedFile

ADMIN: Final = "root"
"""The user of devpi that may do everything."""
_STAGE: Final = "stage"
_KINDS: Final = {"doczip": "documentation", "toxresult": "a test result"}
_WORDS: Final = {":ANONYMOUS:": "anonymous", ":AUTHENTICATED:": "authenticated"}


@dataclass(frozen=True, slots=True)
class Left:
    """A thing of the export that is not taken over."""

    what: str
    why: str


def names_of(export: Export, given: Mapping[str, str]) -> dict[str, str]:
    """The name here of each index there. `given`: those that the command line names. Raises ConfigurationError."""
    if unknown := sorted(given.keys() - export.indexes.keys()):
        raise ConfigurationError(
            f"The export has no index {unknown[0]!r}; it has {', '.join(sorted(export.indexes)) or 'none'}."
        )
    names = {there: given.get(there) or re.sub(r"[^a-z0-9_-]+", "-", there.lower()) for there in sorted(export.indexes)}
    taken = dict[str, str]()
    for there, here in names.items():
        if here in taken:
            raise ConfigurationError(
                f"{taken[here]} and {there} would both become the index {here}; name one of them by --as {there}=NAME."
            )
        taken[here] = there
    return names


def index_tables(export: Export, names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The settings of each index here, as a file of `quire apply` declares them."""
    tables = {}
    for there, index in export.indexes.items():
        config, table = index.config, dict[str, Any]()
        if config.kind == MIRROR:
            table["uploads"] = False
            if _is_usable(config.mirror_url):
                table["upstreams"] = [{"url": config.mirror_url}]
        else:
            table["behind"] = [names[base] for base in _bases(export, there)]
            table["overwrite"] = config.volatile
            behind = [export.indexes[each] for each in chain(export, there)]
            merged = {normalize_name(name) for name in config.mirror_whitelist if _is_name(name)}
            if merged and any(each.config.kind == MIRROR for each in behind):
                table["merged"] = sorted(merged)
            theirs = {name for each in behind if each.config.kind != MIRROR for name in _names(each.projects)}
            table["claims"] = sorted((_names(index.projects) - theirs - merged) | (_projects(export, there) - merged))
        tables[names[there]] = table
    return tables


def grant_tables(export: Export, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rights that devpi gives, as such a file declares them: all senders read, and root may do everything."""
    grants: list[dict[str, Any]] = [{"subject": f"user:{ADMIN}", "rights": ["admin"]}]
    for there, here in names.items():
        config = export.indexes[there].config
        grants.append({"subject": "anonymous", "rights": ["read"], "index": here})
        rights = ["upload", "manage"] if config.volatile else ["upload"]
        if config.kind != MIRROR:
            grants += [{"subject": _subject(each), "rights": rights, "index": here} for each in config.acl_upload]
    return grants


def declared_tables(export: Export, names: Mapping[str, str], *, with_grants: bool) -> dict[str, Any]:
    """All of it."""
    rights = {GRANTS: grant_tables(export, names)} if with_grants else {}
    return {INDEXES: index_tables(export, names)} | rights


def left_out(export: Export) -> Iterator[Left]:
    """Everything of the export that has no counterpart here."""
    for there in sorted(export.indexes):
        is_mirror = export.indexes[there].config.kind == MIRROR
        yield from _left_of_mirror(export, there) if is_mirror else _left_of_stage(export, there)
    for user in sorted(export.users):
        why = "its hash is of Argon2, which password files have none of; 'quire passwd' or 'quire token create'"
        yield Left(f"the password of {user}", why)


def _left_of_mirror(export: Export, there: str) -> Iterator[Left]:
    index = export.indexes[there]
    if not _is_usable(index.config.mirror_url):
        why = "its URL has a login, or is none; 'quire index set --upstream' and --upstream-netrc take its place"
        yield Left(f"the mirrored index of {there}", why)
    if index.files:
        yield Left(f"{len(index.files)} mirrored files of {there}", "they are fetched when they are asked for")


def _left_of_stage(export: Export, there: str) -> Iterator[Left]:
    config = export.indexes[there].config
    if config.kind != _STAGE:
        yield Left(f"the type {config.kind[:40]!a} of {there}", "it is an index as others are, without further rules")
    for base in config.bases:
        if base not in export.indexes:
            yield Left(f"the base {base} of {there}", "the export has no such index")
    for each in config.mirror_whitelist:
        if not _is_name(each):
            why = "quire merges projects by their names, so that no upstream adds to others: 'quire merge NAME'"
            yield Left(f"the mirror whitelist {each[:40]!a} of {there}", why)
    for file in export.indexes[there].files:
        if file.kind != RELEASE:
            kind = _KINDS.get(file.kind, f"a file of the type {file.kind[:40]!a}")
            yield Left(file.relpath, f"{kind}; an index has distributions alone")
        elif not _is_name(file.project):
            yield Left(file.relpath, f"{file.project[:40]!a} is no name of a project")
    for project, base in _hidden(export, there):
        why = f"devpi lists them together; quire lists those of {there} alone, as the first that has the project"
        yield Left(f"the files of {project} of {base} in {there}", why)


def chain(export: Export, there: str) -> tuple[str, ...]:
    """The indexes behind one, nearest first, each once."""
    found: dict[str, None] = {there: None}
    left = [there]
    while left:
        bases = [each for each in _bases(export, left.pop()) if each not in found]
        found |= dict.fromkeys(bases)
        left += reversed(bases)
    return tuple(found)[1:]


def _bases(export: Export, there: str) -> tuple[str, ...]:
    """Those that the export has; an index of devpi can name itself and ones that are gone."""
    bases = dict.fromkeys(export.indexes[there].config.bases)
    return tuple(each for each in bases if each in export.indexes and each != there)


def _hidden(export: Export, there: str) -> Iterator[tuple[str, str]]:
    """The projects of bases that an index has files of, too, and the base."""
    own = _projects(export, there)
    for base in chain(export, there):
        if export.indexes[base].config.kind != MIRROR:
            yield from ((project, base) for project in sorted(own & _projects(export, base)))


def _projects(export: Export, there: str) -> set[str]:
    return {*by_project(export, there)}


def by_project(export: Export, there: str) -> dict[str, list[ExportedFile]]:
    """The releases of an index, by normalized name; without those of names that no project can have."""
    found = defaultdict[str, list[ExportedFile]](list)
    for file in export.indexes[there].files:
        if file.kind == RELEASE and _is_name(file.project):
            found[normalize_name(file.project)].append(file)
    return found


def _names(projects: Iterable[str]) -> set[str]:
    return {normalize_name(each) for each in projects if _is_name(each)}


def _is_name(text: str) -> bool:
    try:
        return bool(normalize_name(text))
    except InvalidName:
        return False


def _is_usable(url: str) -> bool:
    try:
        return bool(checked_url(url))
    except InvalidRequest:
        return False


def _subject(word: str) -> str:
    """A word of acl_upload: a user, `:GROUP`, or one of two special ones."""
    if word in _WORDS:
        return _WORDS[word]
    return f"group:{word[1:]}" if word.startswith(":") else f"user:{word}"
