"""The changes of definitions of indexes, as pure functions from document to document.

`default` is the index at the server's root in each of them: it exists without a definition.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from quire.access.document import AccessDocument, with_fields
from quire.access.grants import parse_owner
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.indexes import (
    DEFAULT,
    MOST_BEHIND,
    MOST_CLAIMS,
    MOST_MERGED,
    MOST_WILD,
    RESERVED,
    IndexDefinition,
    chain,
)
from quire.domain.names import normalize_name
from quire.domain.namespaces import check_merged, parse_namespace, with_grant, without_grant
from quire.domain.policy import with_changes
from quire.domain.reserved import STORE_WIDE, Reserved, is_simple, normalize_pattern
from quire.domain.retention import parse_rules
from quire.domain.trash import is_trash
from quire.domain.upstreams import with_upstream, without_upstream

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_MOST_TEXT: Final = 200


def with_index(document: AccessDocument, name: str, definition: IndexDefinition, default: str) -> AccessDocument:
    """With one more index; the very document when it has the same already.

    Raises InvalidRequest for a name that cannot be one, and where there is another index of this name.
    """
    if name != default and document.indexes.get(name) == definition:
        return document
    if name == default or name in document.indexes:
        raise InvalidRequest(f"There is an index {name!r} already; 'quire index set' changes its settings.")
    if name in RESERVED or name in STORE_WIDE:
        what = "the beginning of other addresses of the server" if name in RESERVED else "a part of every store"
        raise InvalidRequest(f"{name!r} is {what}, so no index has this name; choose another one.")
    if not _NAME.fullmatch(name) or is_trash(name):
        raise InvalidRequest(
            f"{name[:_MOST_TEXT]!r} is no name of an index; use up to 100 lower-case letters, digits, '-' and '_'."
        )
    if name in document.deleting:
        raise InvalidRequest(
            f"The deletion of an index {name!r} has not ended, and projects of it may be left; "
            f"'quire index delete {name} --yes' ends it."
        )
    if definition.in_front_of is not None:
        _check_stage(document, definition, default)
    elif definition.expires is not None:
        raise InvalidRequest("expires is for a stage: say which index it is in front of, too.")
    _check_behind(document, name, definition, default)
    _check_merged(document, name, DEFAULT, definition)
    return with_fields(document, indexes={**document.indexes, name: definition})


def _check_stage(document: AccessDocument, definition: IndexDefinition, default: str) -> None:
    """Raises NotFound, InvalidRequest."""
    target = find(document, str(definition.in_front_of), default)
    if target.in_front_of is not None:
        raise InvalidRequest(f"{definition.in_front_of} is a stage itself; name the index that it is in front of.")
    if definition.expires is not None and definition.ends_at is None:
        raise InvalidRequest("expires is a time in UTC such as 2026-11-23T12:00:00Z.")


def with_settings(document: AccessDocument, name: str, changes: Mapping[str, Any], default: str) -> AccessDocument:
    """With other values of some fields of an index's definition; the very document when it has them already.

    `changes`: see `changed`. Raises NotFound, InvalidRequest.
    """
    before = find(document, name, default)
    if before.session is not None:
        raise InvalidRequest(f"The index {name} is the stage of a publishing session; its settings do not change.")
    after = changed(before, changes)
    if after == before:
        return document
    _check_behind(document, name, after, default)
    _check_merged(document, name, before, after)
    others = {each: definition for each, definition in document.indexes.items() if each != name}
    return with_fields(document, indexes=others if name == default and after == DEFAULT else {**others, name: after})


def changed(definition: IndexDefinition, changes: Mapping[str, Any]) -> IndexDefinition:
    """A definition with changes: values of fields by name; `upstream`, the settings of one to add or to change (see
    `quire.domain.upstreams.with_upstream`); `remove_upstream`, a URL; `claim` and `release`, names and
    patterns to add to the claims and to take from them; `merge` and `unmerge`, names of projects: merging one ends the
    claim of its very name; `grant_namespace` (`name`, `owners`, and `existing` as
    `quire.domain.namespaces.with_grant` has it) and `revoke_namespace` (`name`, and perhaps `owners`). Raises
    InvalidRequest."""
    fields = dict(changes)
    named, ended = ({*map(normalize_name, fields.pop(each, ()))} for each in ("merge", "unmerge"))
    merged = ({*definition.merged} | named) - ended
    upstream, removed = fields.pop("upstream", None), fields.pop("remove_upstream", None)
    upstreams = definition.upstreams
    if removed is not None:
        upstreams = without_upstream(upstreams, removed)
    if upstream is not None:
        upstreams = with_upstream(upstreams, upstream)
    added, released = map(patterns, (fields.pop("claim", ()), fields.pop("release", ())))
    granted, revoked = fields.pop("grant_namespace", None), fields.pop("revoke_namespace", None)
    namespaces = definition.namespaces
    if revoked is not None:
        namespaces = without_grant(namespaces, parse_namespace(revoked["name"]), _owners(revoked))
    if granted is not None:
        name, existing = parse_namespace(granted["name"]), granted.get("existing", ())
        namespaces = with_grant(namespaces, name, _owners(granted), existing)
    check_merged(namespaces, merged)
    if "keep" in fields:
        fields["keep"] = parse_rules(fields["keep"])
    claims = tuple(
        dict.fromkeys(each for each in (*definition.claims, *added) if each not in released and each not in named)
    )
    if len(claims) > MOST_CLAIMS:
        raise InvalidRequest(f"An index has at most {MOST_CLAIMS} claims; claim a pattern, such as 'acme-*'.")
    if sum(not is_simple(each) for each in claims) > MOST_WILD:
        raise InvalidRequest(f"At most {MOST_WILD} claims have a '?', or a '*' that is not at their end.")
    if len(merged) > MOST_MERGED:
        raise InvalidRequest(f"An index merges at most {MOST_MERGED} projects with those of upstreams.")
    return msgspec.structs.replace(
        definition,
        **{
            "upstreams": upstreams,
            "claims": claims,
            "merged": tuple(sorted(merged)),
            "namespaces": namespaces,
            **fields,
        },
    )


def _owners(change: Mapping[str, Any]) -> list[str]:
    """The owners that a change of a namespace names. Raises InvalidRequest."""
    return [str(parse_owner(each)) for each in change.get("owners", ())]


def with_policy(
    document: AccessDocument, name: str, changes: Mapping[str, Any], default: str, *, at: str, by: str | None
) -> AccessDocument:
    """With another policy of an index; the very document when it has it already. `changes`, `at`, `by`: see
    `quire.domain.policy.with_changes`. Raises NotFound, InvalidRequest."""
    before = find(document, name, default)
    policy = with_changes(before.policy, changes, at=at, by=by)
    if policy is before.policy:
        return document
    after = msgspec.structs.replace(before, policy=policy)
    others = {each: definition for each, definition in document.indexes.items() if each != name}
    return with_fields(document, indexes=others if name == default and after == DEFAULT else {**others, name: after})


def patterns(names: Iterable[str]) -> tuple[str, ...]:
    """Names and patterns, normalized. Raises InvalidRequest."""
    try:
        return tuple(map(normalize_pattern, names))
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from None


def without_index(document: AccessDocument, name: str, default: str) -> AccessDocument:
    """Without the definition of an index, which is served no more, and without the stages of its publishing sessions,
    which are canceled with it. Raises NotFound, and InvalidRequest for the default one, for one that is behind another,
    and for one with a stage of its own."""
    find(document, name, default)
    if name == default:
        raise InvalidRequest(f"The index {name} is the one at the server's root, which cannot be deleted.")
    fronts = [each for each, definition in document.indexes.items() if name in definition.behind]
    if fronts:
        raise InvalidRequest(
            f"The index {name} is behind {', '.join(sorted(fronts))}, which would lose its projects; take it away "
            "there first, with 'quire index set --behind'."
        )
    in_front = {each: definition for each, definition in document.indexes.items() if definition.in_front_of == name}
    stages = [each for each, definition in in_front.items() if definition.session is None]
    if stages:
        raise InvalidRequest(f"The stage {stages[0]} is in front of the index {name}; delete it first.")
    kept = {each: definition for each, definition in document.indexes.items() if each not in {name, *in_front}}
    return with_fields(document, indexes=kept)


def is_deleting(document: AccessDocument, name: str) -> bool:
    """Whether an index was deleted and its deletion has not ended. One that is there counts as another one: an earlier
    version, which does not know deletions, may have made it."""
    return name in document.deleting and name not in document.indexes


def with_deletions(document: AccessDocument, names: Iterable[str]) -> AccessDocument:
    """With deletions of indexes that have not ended."""
    deleting = tuple(sorted({*document.deleting, *names}))
    return document if deleting == document.deleting else with_fields(document, deleting=deleting)


def without_deletions(document: AccessDocument, names: Collection[str]) -> AccessDocument:
    """With deletions of indexes that have ended, or were taken back."""
    deleting = tuple(each for each in document.deleting if each not in names)
    return document if deleting == document.deleting else with_fields(document, deleting=deleting)


def _check_merged(document: AccessDocument, name: str, before: IndexDefinition, definition: IndexDefinition) -> None:
    """Raises InvalidRequest where a project is merged with an upstream, and there is none, or it may not be asked."""
    claims = Reserved(definition.claims)
    if definition != before and (claimed := [each for each in definition.merged if each in claims]):
        raise InvalidRequest(
            f"The index {name} cannot both keep {claimed[0]} for itself and merge it with an upstream's: end one of "
            f"them first, with 'quire claim --remove' of the name or pattern or 'quire unmerge {claimed[0]}'."
        )
    definitions = {**document.indexes, name: definition}
    has_upstream = any(definitions.get(each, DEFAULT).upstreams for each in (name, *chain(definitions, name)))
    new = {*definition.merged} - {*before.merged}
    if new and not has_upstream:
        raise InvalidRequest(
            f"The index {name} has no upstream in its definition whose files {min(new)} could be merged with; "
            f"'quire index set {name} --upstream URL' names one."
        )


def _check_behind(document: AccessDocument, name: str, definition: IndexDefinition, default: str) -> None:
    """Raises InvalidRequest where the indexes behind an index cannot be there."""
    if len(set(definition.behind)) < len(definition.behind):
        raise InvalidRequest("An index is behind another one once; leave the repeated name out.")
    for each in definition.behind:
        if each != default and each not in document.indexes:
            raise InvalidRequest(f"There is no index {each[:_MOST_TEXT]!r} to be behind {name}; make it first.")
        if document.indexes.get(each, DEFAULT).in_front_of is not None:
            raise InvalidRequest(f"The index {each} is a stage, which ends; name the index that it is in front of.")
    definitions = {**document.indexes, name: definition}
    for each in definition.behind:
        if name in (each, *chain(definitions, each)):
            raise InvalidRequest(f"The index {each} cannot be behind {name}: it is the same, or in front of it.")
    for each in definitions:
        if len(chain(definitions, each)) > MOST_BEHIND:
            raise InvalidRequest(f"More than {MOST_BEHIND} indexes would be behind {each}; leave some out.")


def find(document: AccessDocument, name: str, default: str) -> IndexDefinition:
    """The definition of an index. Raises NotFound."""
    if name != default and name not in document.indexes:
        raise NotFound(f"There is no index {name[:_MOST_TEXT]!r}; 'quire index list' lists them.")
    return document.indexes.get(name, DEFAULT)
