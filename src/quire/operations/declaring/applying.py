"""A declared configuration: indexes, grants and groups in a TOML file, compared with the store and applied to it.

`reading.py` has the file, `writing.py` makes one. Settings that are not declared are left alone, or with `prune` set
back. All of it is one transition of the access document: it is applied whole, in one swap, or not at all. Definitions
refer to each other, so those that lack another one are tried again after the others; the order in the file does not
matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog

from quire.access import changing, defining
from quire.access.document import AccessDocument
from quire.access.records import AccessRecords
from quire.domain.errors import ConfigurationError, InvalidRequest, NotFound
from quire.domain.indexes import DEFAULT, IndexDefinition
from quire.domain.namespaces import Namespace, check_merged, checked_grants
from quire.domain.policy import with_rules
from quire.domain.times import stamp
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations.declaring.policies import usual_policy
from quire.operations.declaring.reading import GRANTS, GROUPS, INDEXES, TYPES, UNDECLARED, Declared, read_file
from quire.operations.declaring.rights import grant_table, with_rights
from quire.operations.declaring.tables import SHOWN, toml_value
from quire.operations.declaring.writing import POLICY, file_settings
from quire.operations.defining import (
    clear_sessions,
    end_deletion,
    existing_below,
    first_project,
    projects_with_files,
    put_back_with_files,
)

_LOGGED: Final = 100
_OF_STAGES: Final = ("in_front_of", "expires")
"""Settings that an index has from its beginning."""
_MOST_NAMED: Final = 20

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not in the store as it is declared."""

    index: str | None
    """None for a grant or a group."""
    setting: str | None
    """As the file spells it, `grants`, or the name of a group as in `groups.ops`; None for the index itself."""
    stored: Any
    """As the file would have it; None for an index, a grant or a group that is not there."""
    declared: Any
    """None for what `prune` removes."""

    def __str__(self) -> str:
        if self.setting is None:
            return f"{self.index}: {'to be made' if self.stored is None else 'to be deleted'}"
        if self.setting == GRANTS:
            what = toml_value(self.declared or self.stored)
            return f"{GRANTS}: {what} {'to be taken back' if self.declared is None else 'to be given'}"
        where = "" if self.index is None else f"{self.index}: "
        return f"{where}{self.setting} = {_shown(self.declared)}, in the store {_shown(self.stored)}"


def _shown(value: Any) -> str:
    return "none" if value is None else toml_value(value)


Existing = Callable[[AccessDocument, str, Namespace], Iterable[str]]
"""The projects below a namespace of an index that is new; see `quire.domain.namespaces.with_grant`."""


def applied(
    document: AccessDocument,
    declared: Declared,
    default: str,
    *,
    prune: bool = False,
    existing: Existing = lambda document, index, namespace: (),
    at: str | None = None,
    by: str | None = None,
) -> AccessDocument:
    """The document with what is declared; the very document when there is no difference. Raises InvalidRequest.

    `default`: the index at the server's root. `prune`: settings that are not declared get their defaults, and indexes
    that are not are removed (`surplus`); grants and groups that are not go too. Each kind only where something is said
    of it. `at`, `by`: of new grants and rules; None for now, and for no user.
    """
    at = at or stamp(datetime.now(UTC))
    named = {**({default: {}} if prune and declared.indexes is not None else {}), **(declared.indexes or {})}
    wanted = {
        name: _wanted(document, name, fields, prune=prune, existing=existing, at=at, by=by)
        for name, fields in named.items()
    }
    _check_circle({**document.indexes, **wanted}, wanted)
    after = document
    for name, definition in wanted.items():  # the order of indexes can be turned round: each is alone meanwhile
        if name in after.indexes and after.indexes[name].behind != definition.behind:
            after = defining.with_settings(after, name, {"behind": ()}, default)
    after = _each(
        after, wanted, lambda now, name: _with(now, name, wanted[name], default), lambda name: wanted[name].behind
    )
    if prune:
        gone = surplus(document, declared, default)
        after = _each(after, gone, lambda now, name: defining.without_index(now, name, default))
    if after.indexes == document.indexes:
        after = document
    return with_rights(after, declared.grants, declared.groups, prune=prune, at=at, by=by)


def _check_circle(definitions: Mapping[str, IndexDefinition], declared: Iterable[str]) -> None:
    """Raises InvalidRequest that names the indexes of a circle, of which each is behind the one before."""
    for name in declared:
        before, left = dict[str, str](), [name]
        while left:
            front = left.pop()
            for each in definitions.get(front, DEFAULT).behind:
                if each == name:
                    path = [front]
                    while path[-1] != name:
                        path.append(before[path[-1]])
                    shown = ", ".join((*reversed(path[:_MOST_NAMED]), name))
                    raise InvalidRequest(f"{INDEXES}.{name}: indexes are behind each other in a circle ({shown}).")
                if each not in before:
                    before[each] = front
                    left.append(each)


def surplus(document: AccessDocument, declared: Declared, default: str) -> list[str]:
    """The indexes that are not declared, where some are: never stages, which come and go, nor the one at the server's
    root."""
    if declared.indexes is None:
        return []
    return [
        name
        for name, definition in document.indexes.items()
        if name not in declared.indexes and name != default and definition.in_front_of is None
    ]


def _each(
    document: AccessDocument,
    names: Iterable[str],
    change: Callable[[AccessDocument, str], AccessDocument],
    needs: Callable[[str], Iterable[str]] = lambda name: (),
) -> AccessDocument:
    """The document after a change for each name, in any order in which they are possible. `needs`: the names without
    which one is not. Raises InvalidRequest, for one that fails by itself if there is one."""
    left = list(names)
    while left:
        errors: dict[str, Exception] = {}
        for name in left:
            try:
                document = change(document, name)
            except (InvalidRequest, NotFound) as error:
                errors[name] = error
        if len(errors) == len(left):
            first = next((name for name in left if errors.keys().isdisjoint(needs(name))), left[0])
            raise InvalidRequest(f"{INDEXES}.{first[:SHOWN]}: {errors[first]}")
        left = list(errors)
    return document


def _wanted(
    document: AccessDocument,
    name: str,
    fields: Mapping[str, Any],
    *,
    prune: bool,
    existing: Existing,
    at: str,
    by: str | None,
) -> IndexDefinition:
    before = document.indexes.get(name, DEFAULT)
    usual = {each: getattr(DEFAULT, each) for each in TYPES if each not in {POLICY, *_OF_STAGES}}
    base = msgspec.structs.replace(before, **usual) if prune else before
    rules = {**(usual_policy() if prune else {}), **fields.get(POLICY, {})}
    fields = {**fields, POLICY: with_rules(before.policy, rules, at=at, by=by)}
    if "namespaces" in fields:
        known = {each.name: each for each in before.namespaces}

        def resolved(each: Namespace) -> Namespace:
            if each.exempt != UNDECLARED:
                return each
            found = known[each.name].exempt if each.name in known else tuple(sorted(existing(document, name, each)))
            return msgspec.structs.replace(each, exempt=found)

        fields = {**fields, "namespaces": checked_grants(tuple(map(resolved, fields["namespaces"])))}
    changes = dict(fields)
    for field, adding, removing in (("claims", "claim", "release"), ("merged", "merge", "unmerge")):
        if field in changes:
            wanted, had = changes.pop(field), getattr(base, field)
            changes |= {adding: wanted, removing: tuple(each for each in had if each not in wanted)}
    definition = defining.changed(base, changes)
    check_merged(definition.namespaces, definition.merged)
    return definition


def _with(document: AccessDocument, name: str, definition: IndexDefinition, default: str) -> AccessDocument:
    if name != default and name not in document.indexes:
        return defining.with_index(document, name, definition, default)
    before = document.indexes.get(name, DEFAULT)
    if definition.in_front_of != before.in_front_of:
        raise InvalidRequest("An index is made as a stage, or not; in-front-of does not change.")
    if definition.expires is not None and definition.ends_at is None:
        raise InvalidRequest("expires is a time in UTC such as 2026-11-23T12:00:00Z.")
    if definition.ends_at != before.ends_at:
        raise InvalidRequest(
            f"The end of a stage does not change, and this one's is {_shown(before.expires)}; promote it, or make "
            "another one."
        )
    changes = {each: getattr(definition, each) for each in TYPES if getattr(definition, each) != getattr(before, each)}
    changes.pop("expires", None)  # the same time in another spelling
    return defining.with_settings(document, name, changes, default)


def differences(before: AccessDocument, after: AccessDocument, default: str) -> list[Difference]:
    """The settings, by index, the groups and the grants that are different in two documents."""
    found: list[Difference] = []
    for name in sorted({*before.indexes, *after.indexes}):
        old, new = before.indexes.get(name), after.indexes.get(name)
        if name != default and (old is None) is not (new is None):
            found.append(Difference(name, None, None if old is None else name, None if new is None else name))
        if new is None and name != default:
            continue
        stored, declared = file_settings(old or DEFAULT), file_settings(new or DEFAULT)
        found += [Difference(name, key, stored[key], declared[key]) for key in declared if stored[key] != declared[key]]
    for group in sorted({*before.groups, *after.groups}):
        had, has = before.groups.get(group), after.groups.get(group)
        if had != has:
            found.append(Difference(None, f"{GROUPS}.{group}", had and list(had), has and list(has)))
    held = {changing.meaning(each): each for each in before.grants.values()}
    given = {changing.meaning(each): each for each in after.grants.values()}
    found += [Difference(None, GRANTS, grant_table(each), None) for key, each in held.items() if key not in given]
    found += [Difference(None, GRANTS, None, grant_table(each)) for key, each in given.items() if key not in held]
    return found


def compared(document: AccessDocument, file: str, default: str) -> list[str]:
    """The differences of a document from a file, each in a line; also that the file cannot be applied to it. Blocks."""
    try:
        return [str(each) for each in differences(document, applied(document, read_file(file), default), default)]
    except (ConfigurationError, InvalidRequest) as error:
        return [str(error)]


def apply(
    access: AccessRecords,
    declared: Declared,
    *,
    default: str,
    prune: bool,
    dry_run: bool,
    origin: Origin,
    keeps_its_right: Callable[[AccessDocument], bool] = lambda document: True,
) -> list[Difference]:
    """Apply a declared configuration, in one step; the differences that there were. `dry_run`: apply nothing.
    `keeps_its_right`: whether the sender may still do this with such a document.

    Raises InvalidRequest, also for an index that `prune` would remove with files of its own, or that got one just
    then, and is put back; StoreError.
    """
    store, at = access.store, stamp(datetime.now(UTC))

    def existing(document: AccessDocument, index: str, namespace: Namespace) -> list[str]:
        return existing_below(store, document, index, namespace, default)

    def removed(document: AccessDocument, after: AccessDocument) -> list[str]:
        """Without the stages of publishing sessions, which are deleted with their files."""
        return [
            name
            for name, definition in document.indexes.items()
            if name not in after.indexes and name != default and definition.session is None
        ]

    def transition(document: AccessDocument) -> AccessDocument:
        for name in surplus(document, declared, default) if prune else ():
            if projects_with_files(store, name):
                raise InvalidRequest(
                    f"The index {name} is not declared, and has files: 'quire index delete {name}' first."
                )
        after = applied(document, declared, default, prune=prune, existing=existing, at=at, by=origin.user)
        gone = [name for name in removed(document, after) if first_project(store, name)]
        after = defining.with_deletions(after, gone)
        if not keeps_its_right(after):
            raise InvalidRequest(
                "This would take the right admin away from you, and a mistake in the file could not be mended by you: "
                "declare a grant of it, or have another administrator apply this."
            )
        return after

    before = access.read().state.document
    after = transition(before)
    found = differences(before, after, default)
    if dry_run or not found:
        return found
    changed = sorted({each.index for each in found if each.index is not None})
    details = {
        "indexes": changed,
        "differences": len(found),
        "set": [str(each)[:SHOWN] for each in found[:_LOGGED]],
    }
    before, after = access.change(transition, "apply", details, origin)
    if before is not after:
        log.info("configuration applied", indexes=changed, user=origin.user)
        clear_sessions(access, before, after, origin)
        put_back_with_files(access, before, after, default, origin)
        for name in removed(before, after):
            end_deletion(access, Index(store, name, origin), with_files=False, origin=origin)
        put_back_with_files(access, before, after, default, origin)  # an upload may have come meanwhile
    return differences(before, after, default)
