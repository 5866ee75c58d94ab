"""Documents of indexes, the same for servers and commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from quire.access.decisions import AccessState
from quire.administration.documents import (
    IndexBody,
    IndexEntry,
    NamespaceEntry,
    NewIndexBody,
    UpstreamBody,
    UpstreamEntry,
)
from quire.domain.indexes import IndexDefinition, NewProjects, PastTrash
from quire.domain.upstreams import UpstreamDefinition


def index_entries(
    state: AccessState, default: str, *, read_only: bool, used: Mapping[str, int | None] | None = None
) -> list[IndexEntry]:
    """All indexes, by name. `default`: the one at the server's root. `used`: the bytes of those that were counted."""
    used = used or {}
    names = sorted({default, *state.document.indexes})
    return [
        index_entry(name, state.definition(name), default, read_only=read_only, used=used.get(name)) for name in names
    ]


def index_entry(
    name: str, definition: IndexDefinition, default: str, *, read_only: bool, used: int | None = None
) -> IndexEntry:
    """An index."""
    return IndexEntry(
        name=name,
        is_default=name == default,
        read_only=read_only,
        uploads=definition.uploads,
        overwrite=definition.overwrite,
        new_projects=str(definition.new_projects),
        quota=definition.quota,
        project_quota=definition.project_quota,
        behind=list(definition.behind),
        claims=list(definition.claims),
        upstreams=[upstream_entry(each) for each in definition.upstreams],
        in_front_of=definition.in_front_of,
        expires=definition.expires,
        session=None if definition.session is None else f"{definition.session.project} {definition.session.version}",
        merged=list(definition.merged),
        keep=list(definition.keep),
        past_trash=str(definition.past_trash),
        namespaces=[
            NamespaceEntry(name=each.name, owners=list(each.owners), exempt=list(each.exempt))
            for each in definition.namespaces
        ],
        used=used,
    )


def upstream_entry(upstream: UpstreamDefinition) -> UpstreamEntry:
    """An upstream of an index."""
    return UpstreamEntry(
        url=upstream.url,
        hosts=list(upstream.hosts),
        max_age=upstream.max_age,
        max_stale=upstream.max_stale,
        only=list(upstream.only),
    )


def settings_of(body: IndexBody) -> dict[str, Any]:
    """The changes of a definition that a request wants: see `quire.access.defining.changed`."""
    fields: dict[str, Any] = {
        "uploads": body.uploads,
        "overwrite": body.overwrite,
        "new_projects": NewProjects(body.new_projects) if body.new_projects is not msgspec.UNSET else msgspec.UNSET,
        "quota": body.quota,
        "project_quota": body.project_quota,
        "behind": tuple(body.behind) if body.behind is not msgspec.UNSET else msgspec.UNSET,
        "claim": tuple(body.claim) if body.claim is not msgspec.UNSET else msgspec.UNSET,
        "release": tuple(body.release) if body.release is not msgspec.UNSET else msgspec.UNSET,
        "upstream": _upstream(body.upstream) if body.upstream is not msgspec.UNSET else msgspec.UNSET,
        "remove_upstream": body.remove_upstream,
        "merge": body.merge,
        "unmerge": body.unmerge,
        "keep": body.keep,
        "past_trash": PastTrash(body.past_trash) if body.past_trash is not msgspec.UNSET else msgspec.UNSET,
        "grant_namespace": _builtins(body.grant_namespace),
        "revoke_namespace": _builtins(body.revoke_namespace),
    }
    if isinstance(body, NewIndexBody) and body.in_front_of is not None:
        fields |= {"in_front_of": body.in_front_of, "expires": body.expires}
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET}


def _builtins(body: object) -> Any:
    return body if body is msgspec.UNSET else msgspec.to_builtins(body)


def _upstream(body: UpstreamBody) -> dict[str, Any]:
    fields = {
        "url": body.url,
        "hosts": body.hosts if body.hosts is msgspec.UNSET else tuple(body.hosts),
        "max_age": body.max_age,
        "max_stale": body.max_stale,
        "only": body.only if body.only is msgspec.UNSET else tuple(body.only),
    }
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET} | (
        {"first": True} if body.first else {}
    )
