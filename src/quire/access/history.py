"""The audit log of the access document: which project an entry is about, and what it says, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from quire.access.grants import ANY
from quire.domain.reserved import Reserved
from quire.index.audit.entries import Entry

ACCESS_ACTIONS: Final = (
    *("access-init", "grant", "revoke", "group"),
    *("token-create", "token-revoke", "token-rotate", "token-mint", "token-burn"),
    *("publisher-add", "publisher-remove", "audience", "session-key", "session-end"),
    *("index-create", "index-set", "index-delete", "policy-set"),
    *("publishing-session-create", "publishing-session-extend", "publishing-session-publish"),
    *("webhook-add", "webhook-remove", "webhook-rotate", "webhook-resume", "webhook-disable"),
    *("osv-update", "osv-remove", "apply"),
)
"""The kinds of changes that commands and requests make."""
_MOST_SHOWN: Final = 3
"""Differences of one `quire apply` in a line; the entry has more of them."""


def part_about(entry: Entry, index: str, project: str | None) -> Entry | None:
    """The part of an entry that is about an index, or about a project of it (normalized name); None for none.

    `index`: ANY for the log of the whole store. It alone has the changes that are about every index, or name none:
    readers of the log of one index may know nothing of the others. A right on every index is about a project that it
    names; one on all projects is about none of them.
    """
    if project is None and index == ANY:
        return entry
    parts = [each for each in _parts(entry) if _is_about(each, index, project)]
    if not parts:
        return None
    return entry | {"grants": parts} if _has_parts(entry) else entry


def _is_about(part: dict[str, Any], index: str, project: str | None) -> bool:
    found = part.get("index", ANY)
    return found == index if project is None else found in {ANY, index} and project in Reserved(_patterns(part))


def describe_change(entry: Entry) -> str:
    """The right that was given or taken, and its subject, or the settings of an index, in one line."""
    token = [f"token {entry['token']}"] if entry.get("token") else []
    tokens = [f"token {each}" for each in _texts(entry.get("tokens"))]
    holder = [f"for {entry['for']}"] if entry.get("for") else []
    users = ", ".join(_texts(entry.get("users"))) or "no user"
    group = [f"group {entry['group']}: {users}"] if "group" in entry else []
    rights = [_in_words(each) for each in _parts(entry) if each.get("rights")]
    return ", ".join(
        [
            *token,
            *tokens,
            *holder,
            *group,
            *_publishers(entry),
            *_webhooks(entry),
            *_advisories(entry),
            *rights,
            *_settings(entry),
        ]
    )


def _publishers(entry: Entry) -> list[str]:
    """The trusted publishers that were added or removed, or for which a token was minted."""
    found = [f"publisher {each}" for each in _texts(entry.get("publishers"))]
    if entry.get("publisher"):
        settings, projects = entry.get("settings"), " ".join(_texts(entry.get("projects")))
        job = " ".join(map(str, settings.values())) if isinstance(settings, dict) else ""
        found.append(
            f"publisher {entry['publisher']}: {entry.get('platform')} {job}, {projects} on {entry.get('index')}"
        )
    return found


def _settings(entry: Entry) -> Iterator[str]:
    """The settings of an index that were changed."""
    changed = entry.get("set")
    if entry.get("action") == "apply":
        found = _texts(changed)
        number = int(entry.get("differences", len(found)))
        shown = "; ".join(found[:_MOST_SHOWN]) + (f"; and {number - _MOST_SHOWN} more" if number > _MOST_SHOWN else "")
        of = f" of {', '.join(_texts(entry.get('indexes')))}" if entry.get("indexes") else ""
        yield f"{number} difference{'s' * (number != 1)}{of}: {shown}"
    elif isinstance(changed, dict) and changed:
        words = ", ".join(f"{field.replace('_', ' ')} {_value(value)}" for field, value in changed.items())
        yield f"index {entry.get('index')}: {words}"
    elif _defines(entry):
        yield f"index {entry.get('index')}"


def _defines(entry: Entry) -> bool:
    """Whether a change is of the definition of an index."""
    return str(entry.get("action")).startswith(("index-", "policy-"))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{field.replace('_', ' ')} {_value(each)}" for field, each in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)


def _webhooks(entry: Entry) -> list[str]:
    """The webhooks that were added, removed or changed."""
    found = [f"webhook {each}" for each in (entry.get("webhook"), *_texts(entry.get("webhooks"))) if each]
    if entry.get("receiver"):
        events, projects = ", ".join(_texts(entry.get("events"))), " ".join(_texts(entry.get("projects")))
        found.append(f"to {entry['receiver']}: {events} of {projects} on {entry.get('index')}")
    return found + [f"because: {entry['reason']}" for _ in found[:1] if entry.get("reason")]


def _advisories(entry: Entry) -> list[str]:
    """The source of advisories whose data was taken in or removed."""
    if not entry.get("source"):
        return []
    data = f": {entry['advisories']}, {entry.get('malicious')} malicious" if "advisories" in entry else ""
    return [f"advisories {entry['source']}{data}"]


def _parts(entry: Entry) -> Iterator[dict[str, Any]]:
    """The grants of an entry; the entry itself where it is of one, or of a token."""
    if _has_parts(entry):
        yield from (each for each in entry["grants"] if isinstance(each, dict))
    else:
        yield entry


def _has_parts(entry: Entry) -> bool:
    return isinstance(entry.get("grants"), list)


def _patterns(part: dict[str, Any]) -> tuple[str, ...]:
    return tuple(each for each in _texts(part.get("projects")) if each != ANY)


def _texts(found: object) -> list[str]:
    return [str(each) for each in found] if isinstance(found, list) else []


def _in_words(part: dict[str, Any]) -> str:
    subject = f"{part['subject']}: " if part.get("subject") else ""
    index = part.get("index", ANY)
    projects = f" {' '.join(_patterns(part))}" if _patterns(part) else ""
    return f"{subject}{', '.join(_texts(part['rights']))}{projects} on {'every index' if index == ANY else index}"
