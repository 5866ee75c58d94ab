"""Declared grants and groups.

    [groups]
    ops = ["ann", "bob"]

    [[grants]]
    subject = "group:ops"
    rights = ["upload", "manage"]
    index = "main"
    projects = ["acme-*"]

A grant has no name in a file: it is there if the store has one that gives the same to the same. Those of tokens and
trusted publishers are not declared, and not pruned: they come and go with what they are given to.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from quire.access import changing
from quire.access.document import AccessDocument, Grant, subject_of, with_fields
from quire.access.grants import ANY, SubjectKind, check_name
from quire.access.tokens import new_identity
from quire.domain.errors import InvalidRequest
from quire.domain.structs import convert_to
from quire.operations.declaring.tables import SHOWN, fields_of

_OF_PROGRAMS: Final = {SubjectKind.TOKEN, SubjectKind.PUBLISHER}
_MOST: Final = 10_000
"""Grants, and groups, of one file."""


class _GrantTable(msgspec.Struct, kw_only=True):
    """A grant as a file has it."""

    subject: str
    rights: list[str]
    index: str = ANY
    projects: list[str] = []


def parse_grants(raw: Any) -> tuple[Grant, ...]:
    """Without times and users. Raises InvalidRequest."""
    found, now = [], datetime.now(UTC)
    try:
        tables = fields_of(raw, _GrantTable, "a grant")
    except (InvalidRequest, msgspec.ValidationError) as error:
        raise InvalidRequest(f"grants: {str(error).rstrip('.')}.") from None
    if len(tables) > _MOST:
        raise InvalidRequest(f"A configuration has at most {_MOST} grants.")
    for number, each in enumerate(tables, 1):
        try:
            if not {"subject", "rights"} <= each.keys():
                raise InvalidRequest("it has no subject, or no rights.")
            index, projects = each.get("index", ANY), each.get("projects", ())
            made = changing.make_grant(each["subject"], each["rights"], index, projects, now=now, by=None)
            if _is_of_program(made):
                raise InvalidRequest(f"{made.subject[:SHOWN]} is not for a file; 'quire grant' gives it rights.")
        except InvalidRequest as error:
            raise InvalidRequest(f"The {number}. of [[grants]]: {error}") from None
        found.append(msgspec.structs.replace(made, created=None))
    return tuple(found)


def parse_groups(raw: Any) -> dict[str, tuple[str, ...]]:
    """The users of each. Raises InvalidRequest."""
    try:
        groups = convert_to(raw, dict[str, list[str]])
        if len(groups) > _MOST:
            raise InvalidRequest(f"A configuration has at most {_MOST} groups.")
        for group, users in groups.items():
            check_name(SubjectKind.GROUP, group)
            for user in users:
                check_name(SubjectKind.USER, user)
    except (InvalidRequest, msgspec.ValidationError) as error:
        raise InvalidRequest(f"groups: {str(error).rstrip('.')}.") from None
    return {group: tuple(dict.fromkeys(users)) for group, users in groups.items()}


def with_rights(
    document: AccessDocument,
    grants: tuple[Grant, ...] | None,
    groups: Mapping[str, tuple[str, ...]] | None,
    *,
    prune: bool,
    at: str,
    by: str | None,
) -> AccessDocument:
    """With declared grants and groups, each None for undeclared; the very document when it has them already.

    `prune`: without those that are not declared, where some are. `at`, `by`: of new grants. Rights are
    given before others are taken, so that the last right admin can move. Raises InvalidRequest.
    """
    before = document
    for group, users in (groups or {}).items():
        document = changing.with_group(document, group, users) if users else document
    have = set(map(changing.meaning, document.grants.values()))
    wanted = {changing.meaning(each): each for each in grants or ()}
    new = [msgspec.structs.replace(each, created=at, by=by) for key, each in wanted.items() if key not in have]
    if new:
        document = with_fields(document, grants={**document.grants, **{new_identity(): each for each in new}})
    if prune and grants is not None:
        gone = {
            identity
            for identity, each in document.grants.items()
            if changing.meaning(each) not in wanted and not _is_of_program(each)
        }
        document = changing.without_grants(document, gone) if gone else document
    unwanted = [group for group, users in (groups or {}).items() if not users]
    if prune and groups is not None:
        unwanted += [group for group in document.groups if group not in groups]
    for group in unwanted:
        document = changing.with_group(document, group, ())
    if changing.begins_to_decide(before, document) and not changing.has_admin(document):
        raise InvalidRequest(
            "These are the first grants of the store, and from the first one on grants decide: give the right admin on "
            "every index to a user or a group as well."
        )
    return document


def grant_table(grant: Grant) -> dict[str, Any]:
    """A grant as a file has it."""
    table: dict[str, Any] = {"subject": grant.subject, "rights": list(grant.permissions)}
    if grant.index != ANY:
        table["index"] = grant.index
    if grant.projects != (ANY,):
        table["projects"] = list(grant.projects)
    return table


def exported_grants(document: AccessDocument) -> list[dict[str, Any]]:
    """Without those of tokens and trusted publishers."""
    found = {changing.meaning(each): each for each in document.grants.values() if not _is_of_program(each)}
    return [grant_table(each) for each in found.values()]


def _is_of_program(grant: Grant) -> bool:
    """Or of a kind that this version does not know."""
    subject = subject_of(grant)
    return subject is None or subject.kind in _OF_PROGRAMS
