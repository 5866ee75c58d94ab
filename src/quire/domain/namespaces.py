"""Namespaces (PEP 752): a prefix of names that was granted to owners. Pure.

A grant of `acme` is of the project `acme` and of all whose names begin with `acme-`. The namespace with the longest
name decides on a project. Grants do not overlap in ownership: the owners of a namespace own those below it as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from quire.domain.errors import InvalidName, InvalidRequest
from quire.domain.names import normalize_name

MOST: Final = 1000
"""Namespaces of one index."""
MOST_OWNERS: Final = 100
MOST_EXEMPT: Final = 2000
MOST_HYPHENS: Final = 4
"""In the name of a namespace: PEP 752 asks for a limit of its depth."""
_MOST_TEXT: Final = 200


class Namespace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A grant. Immutable: a change makes a new one."""

    name: str
    """Normalized."""
    owners: tuple[str, ...]
    """The subjects that may upload below it, as `quire.access.grants.parse_owner` gives them; never none."""
    exempt: tuple[str, ...] = ()
    """Projects that were there before the grant, as `INDEX/PROJECT`: all that may upload to them still may."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""

    def covers(self, project: str) -> bool:
        """Whether a normalized name is the namespace's, or below it."""
        return project == self.name or project.startswith(f"{self.name}-")

    @property
    def patterns(self) -> tuple[str, str]:
        """Of the names that it covers (`quire.domain.reserved`)."""
        return self.name, f"{self.name}-*"


Grants = tuple[Namespace, ...]


def parse_namespace(text: str) -> str:
    """The normalized name of a namespace. Raises InvalidRequest."""
    try:
        name = normalize_name(text.strip())
    except InvalidName:
        hint = " a namespace is a prefix without '-*'." if "*" in text else " use letters, digits, '-', '_' and '.'."
        raise InvalidRequest(f"{text[:_MOST_TEXT]!r} is no name of a namespace;{hint}") from None
    if name.count("-") > MOST_HYPHENS:
        raise InvalidRequest(f"The name of a namespace has at most {MOST_HYPHENS} hyphens; grant a shorter one.")
    return name


def deciding(grants: Iterable[Namespace], project: str) -> Namespace | None:
    """The namespace that decides on a project: that with the longest name. None for a project below none."""
    parts = project.split("-", MOST_HYPHENS + 1)
    beginnings = {"-".join(parts[:end]) for end in range(1, len(parts) + 1)}
    found = (each for each in grants if each.name in beginnings)  # uploads ask this on the event loop
    return max(found, key=lambda each: len(each.name), default=None)


def with_grant(grants: Grants, name: str, owners: Sequence[str], existing: Collection[str] | None) -> Grants:
    """With a namespace, or with more owners of it.

    `owners`: as the document has them. `existing`: the projects (`INDEX/PROJECT`) below it that others may go on with,
    of those that no namespace covers yet; None where the grant counts for all. Raises InvalidRequest.
    """
    if not owners:
        raise InvalidRequest("A namespace has owners; name one, such as user:alice or group:ops.")
    known = next((each for each in grants if each.name == name), None)
    together = tuple(dict.fromkeys((*(known.owners if known is not None else ()), *owners)))
    if known is None:
        new = Namespace(name=name, owners=together)
        exempt = {each for other in grants for each in other.exempt}
        exempt |= {each for each in existing or () if deciding(grants, _project(each)) is None}
        kept = () if existing is None else tuple(sorted(each for each in exempt if new.covers(_project(each))))
    else:
        kept = () if existing is None else known.exempt
    if len(kept) > MOST_EXEMPT:
        raise InvalidRequest(
            f"There are {len(kept)} projects below {name} already, more than the {MOST_EXEMPT} that others can go on "
            "with; let the grant count for them, too (--with-existing)."
        )
    others = (each for each in grants if each is not known)
    return checked_grants(
        (*others, Namespace(name=name, owners=together, exempt=kept, unknown=known.unknown if known else {}))
    )


def without_grant(grants: Grants, name: str, owners: Collection[str] = ()) -> Grants:
    """Without these owners of a namespace; without the namespace where none are named. Raises InvalidRequest."""
    known = next((each for each in grants if each.name == name), None)
    if known is None:
        raise InvalidRequest(f"There is no namespace {name!r} in this index; 'quire namespace list' lists them.")
    for each in owners:
        if each not in known.owners:
            raise InvalidRequest(f"{each[:_MOST_TEXT]} does not own the namespace {name}.")
    left = tuple(each for each in known.owners if each not in owners) if owners else ()
    if owners and not left:
        raise InvalidRequest(f"This would take the last owner of {name} away; 'quire namespace revoke {name}' ends it.")
    others = tuple(each for each in grants if each is not known)
    return checked_grants((*others, msgspec.structs.replace(known, owners=left))) if left else others


def check_merged(grants: Iterable[Namespace], merged: Iterable[str]) -> None:
    """Raises InvalidRequest for a project that is merged with an upstream, and below a namespace."""
    grants = tuple(grants)
    for project in merged:
        found = deciding(grants, project)
        if found is not None:
            raise InvalidRequest(
                f"{project} is below the namespace {found.name}, whose names no upstream is asked for; it cannot be "
                f"merged with one ('quire unmerge {project}')."
            )


def checked_grants(grants: Grants) -> Grants:
    """The namespaces of an index, sorted. Raises InvalidRequest for such as cannot be together."""
    for name in (each.name for each in grants if not each.owners):
        raise InvalidRequest(f"The namespace {name} has no owners; name one, such as user:alice or group:ops.")
    if len({each.name for each in grants}) < len(grants):
        raise InvalidRequest("A namespace is named twice.")
    if len(grants) > MOST:
        raise InvalidRequest(f"An index has at most {MOST} namespaces; grant a shorter prefix.")
    for each in grants:
        if len(each.owners) > MOST_OWNERS:
            raise InvalidRequest(f"A namespace has at most {MOST_OWNERS} owners; grant it to a group.")
        for above in grants:
            missing = [owner for owner in above.owners if owner not in each.owners]
            if above is not each and above.covers(each.name) and missing:
                raise InvalidRequest(
                    f"The namespace {each.name} is below {above.name}, so the owners of {above.name} own it, too: "
                    f"grant {each.name} to {missing[0]} first, or in the same step."
                )
    return tuple(sorted(grants, key=lambda each: each.name))


def _project(exempt: str) -> str:
    return exempt.rpartition("/")[2]


# -- the namespaces of a chain of indexes -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counting:
    """A namespace, and the subjects that count as its owners."""

    grant: Namespace
    subjects: frozenset[str]
    """The owners, and the users that are in a group among them."""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The namespaces of an index and of those behind it, as pages have them."""

    indexes: tuple[str, ...]
    """The names of the index and of those behind it."""
    grants: tuple[tuple[Counting, ...], ...]
    """By index."""

    def of(self, project: str, owners: Collection[str] | None) -> list[tuple[str, bool]] | None:
        """The namespaces of a project, the shortest first, each with whether an owner of it has the project; None in
        an index without any.

        `owners`: of the project by its record, empty where projects have none; None for one with files that were
        never uploaded, such as those in a served folder. The namespace that decides is that of the nearest index.
        """
        if not any(self.grants):
            return None
        found: dict[str, Counting] = {}
        for each in self.grants:
            for counting in each:
                if counting.grant.covers(project):
                    found.setdefault(counting.grant.name, counting)
            if found:
                break
        if not found:
            return []
        last = found[max(found, key=len)]
        is_exempt = any(f"{index}/{project}" in last.grant.exempt for index in self.indexes)
        is_owned = owners is not None and not is_exempt and (not owners or not last.subjects.isdisjoint(owners))
        return [(name, is_owned) for name in sorted(found)]


def counting(grants: Iterable[Namespace], groups: Mapping[str, Iterable[str]]) -> tuple[Counting, ...]:
    """With the members of the groups (by name) that own them."""
    found = []
    for grant in grants:
        named = [owner.removeprefix("group:") for owner in grant.owners if owner.startswith("group:")]
        members = (f"user:{user}" for group in named for user in groups.get(group, ()))
        found.append(Counting(grant, frozenset((*grant.owners, *members))))
    return tuple(found)
