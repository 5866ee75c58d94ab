"""The definition of an upstream: another index that is mirrored behind the projects of one of the store's own.

It is a part of the definition of an index, so all servers obey the same one. The login that it takes, and the way
through proxies, are those of each server (`quire.upstream.reach`): a definition has no secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from quire.domain.errors import InvalidRequest
from quire.domain.reserved import normalize_pattern

MAX_AGE: Final = 600
MAX_STALE: Final = 30 * 86_400
MOST: Final = 16
"""Upstreams of one index: each may be asked for a name."""
LONGEST_AGE: Final = 86_400
LONGEST_STALE: Final = 3650 * 86_400
_MOST_PATTERNS: Final = 200
_MOST_TEXT: Final = 200


class UpstreamDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Immutable: a change makes a new one."""

    url: str
    """Of its project list, ended by a slash, without a login."""
    hosts: tuple[str, ...] = ()
    """Hosts of its files that may have addresses which are not public."""
    max_age: int = MAX_AGE
    """Seconds for which a page of it is served without asking."""
    max_stale: int = MAX_STALE
    """Seconds for which a page of it is served while it cannot be asked."""
    only: tuple[str, ...] = ()
    """Patterns of the names that it is asked for (`quire.domain.reserved`); none for all names."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""


Upstreams = tuple[UpstreamDefinition, ...]


def with_upstream(upstreams: Upstreams, changes: Mapping[str, Any]) -> Upstreams:
    """With one more upstream, or with other settings of the one of this URL, which keeps its place.

    `changes`: fields by name, of which `url` is needed; `first`: whether it is asked before all others. Raises
    InvalidRequest.
    """
    fields = dict(changes)
    is_first = fields.pop("first", False)
    fields["url"] = url = checked_url(fields.get("url", ""))
    known = next((each for each in upstreams if each.url == url), None)
    changed = UpstreamDefinition(**fields) if known is None else msgspec.structs.replace(known, **fields)
    changed = _checked(changed)
    if is_first:
        return (changed, *(each for each in upstreams if each is not known))
    if known is not None:
        return tuple(changed if each is known else each for each in upstreams)
    if len(upstreams) >= MOST:
        raise InvalidRequest(f"An index has at most {MOST} upstreams; remove one first (--no-upstream).")
    return (*upstreams, changed)


def without_upstream(upstreams: Upstreams, url: str) -> Upstreams:
    """Without the upstream of a URL. Raises InvalidRequest where there is none."""
    url = checked_url(url)
    if all(each.url != url for each in upstreams):
        raise InvalidRequest(f"The index has no upstream {url[:_MOST_TEXT]}; 'quire index show' lists them.")
    return tuple(each for each in upstreams if each.url != url)


def checked_url(url: str) -> str:
    """The URL, ended by one slash. Raises InvalidRequest for one that no upstream can have."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or not url.isascii() or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise InvalidRequest("The URL of an upstream is a plain http or https URL, of the list of its projects.")
    if "@" in parts.netloc:
        raise InvalidRequest(
            "The URL of an upstream in a definition has no login, which the store would keep in clear; name the login "
            "in the file of --upstream-netrc on each server."
        )
    return url.rstrip("/") + "/"


def without_login(url: str) -> str:
    """The URL of an index without the login that may be in it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _checked(definition: UpstreamDefinition) -> UpstreamDefinition:
    """The definition, with normalized patterns. Raises InvalidRequest."""
    if not 0 <= definition.max_age <= LONGEST_AGE or not 0 <= definition.max_stale <= LONGEST_STALE:
        raise InvalidRequest(
            f"The ages of an upstream are seconds: max-age up to {LONGEST_AGE}, max-stale up to {LONGEST_STALE}."
        )
    if max(len(definition.only), len(definition.hosts)) > _MOST_PATTERNS:
        raise InvalidRequest(f"An upstream has at most {_MOST_PATTERNS} patterns and as many hosts.")
    for host in definition.hosts:
        if not re.fullmatch(r"[a-z0-9_:-]{1,63}(?:\.[a-z0-9_-]{1,63})*", host) or len(host) > _MOST_TEXT:
            raise InvalidRequest(f"{host[:_MOST_TEXT]!r} is no host name such as files.example.org, without a port.")
    try:
        only = tuple(dict.fromkeys(map(normalize_pattern, definition.only)))
    except ValueError as error:
        raise InvalidRequest(f"{str(error)[:_MOST_TEXT]}.") from None
    return msgspec.structs.replace(definition, only=only)
