"""The record of a store in which all of its grants, groups and tokens are, and the definitions of its indexes.

The document is for people too: indented JSON, a format number, RFC 3339 times. Fields that this version does not know
are kept and written back. A version that adds a field which takes rights away has to raise the format number: a worker
that does not understand a document serves no request by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from quire.access.ci_identities import CiIdentity
from quire.access.grants import ANY, Permission, Scope, Subject, SubjectKind, parse_subject
from quire.domain.advisory_sources import AdvisorySource
from quire.domain.errors import DamagedRecord, InvalidRequest
from quire.domain.indexes import IndexDefinition, PastTrash
from quire.domain.namespaces import Namespace
from quire.domain.policy import NO_POLICY, loaded_policy, stored_policy
from quire.domain.publishing_sessions import OpenSession
from quire.domain.structs import convert_to
from quire.domain.times import moment
from quire.domain.upstreams import UpstreamDefinition
from quire.domain.webhooks import Webhook
from quire.publishing.publishers import Publisher

KEY: Final = "access/rules/store"
"""The record's key, in every store."""
FORMAT: Final = 5
"""The highest format number that this version writes; a document with a higher one is not understood, and never
overwritten."""
_WITHOUT_HIDING: Final = 4
"""The format number of a document without an index that hides deleted files at past moments: an earlier version would
show them."""
_WITHOUT_SESSIONS: Final = 3
"""The format number of a document without publishing sessions: an earlier version would not keep the names that they
reserve."""
_WITHOUT_POLICIES: Final = 2
"""The format number of a document without policies and namespaces: an earlier version would serve what policies hold
back, and take uploads below namespaces of others."""
_WITHOUT_LIMITS: Final = 1
"""The format number of a document without definitions of indexes and rates, which earlier versions understand."""
_KEY_BYTES: Final = 32
"""Of the key of sessions: a shorter one could be guessed."""


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A right that was given."""

    subject: str
    """See `quire.access.grants.parse_subject`."""
    permissions: tuple[str, ...]
    index: str = ANY
    projects: tuple[str, ...] = (ANY,)
    created: str | None = None
    """RFC 3339, UTC."""
    by: str | None = None
    """The user that gave it."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""


class Previous(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that a token had before it was rotated."""

    digest: str
    until: str
    """RFC 3339, UTC; it counts until then."""


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token, without its secret."""

    digest: str
    """See `quire.access.tokens.TokenText.digest`."""
    permissions: tuple[str, ...]
    index: str = ANY
    projects: tuple[str, ...] = (ANY,)
    user: str | None = None
    """The user for whom it stands; None for one that stands for itself."""
    note: str | None = None
    """For people: what it is for."""
    created: str | None = None
    by: str | None = None
    expires: str | None = None
    """RFC 3339, UTC; None for never."""
    revoked: str | None = None
    """The time at which it was revoked; it stays listed for a while."""
    previous: Previous | None = None
    publisher: CiIdentity | None = None
    """The CI job for which it was minted; None for a token that people made."""
    publishers: tuple[str, ...] = ()
    """The ids of the trusted publishers whose rights it has, as long as they are there."""
    rate: int | None = None
    """Requests a minute; 0 for any number, None for the setting of the server. It takes rights away, so a document with
    one has format 2."""
    unknown: dict[str, Any] = {}

    @property
    def scope(self) -> Scope:
        return _scope(self)

    def counts(self, now: datetime) -> bool:
        """Whether it is neither revoked nor over."""
        return self.revoked is None and not self.has_expired(now)

    def has_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and moment(self.expires) <= now


class Sessions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The proof of the web interface's sessions: see `quire.access.sessions`."""

    key: str
    """256 random bits in hex, by which cookies are made."""
    ended: dict[str, int] = {}
    """How often the sessions of each user were ended."""
    unknown: dict[str, Any] = {}


class AccessDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Immutable: a change makes a new one."""

    grants: dict[str, Grant] = {}
    """By id."""
    groups: dict[str, tuple[str, ...]] = {}
    """The users in each."""
    tokens: dict[str, Token] = {}
    """By id."""
    sessions: Sessions | None = None
    """None until the first login to the web interface."""
    publishers: dict[str, Publisher] = {}
    """The trusted publishers, by id."""
    audience: str | None = None
    """For which tokens of CI jobs have to be made; None until there is a publisher."""
    used: dict[str, str] = {}
    """The tokens of CI jobs that were exchanged: their digests, with the times from which they count no more."""
    indexes: dict[str, IndexDefinition] = {}
    """The definitions of indexes, by name. They can take rights away, so a document with one has format 2."""
    deleting: tuple[str, ...] = ()
    """The names of indexes that were deleted and whose projects may not be, until their deletion has ended: no index is
    made under them. A version that does not know them keeps them."""
    webhooks: dict[str, Webhook] = {}
    """By id. They give and take no right, so a version that does not know them keeps them and delivers nothing."""
    advisories: dict[str, AdvisorySource] = {}
    """The sources of advisories, by name. By themselves they take no right: policies do, which look versions up."""
    unknown: dict[str, Any] = {}


EMPTY: Final = AccessDocument()

E = TypeVar(
    "E",
    Grant,
    Token,
    Publisher,
    Sessions,
    IndexDefinition,
    UpstreamDefinition,
    Namespace,
    Webhook,
    AdvisorySource,
    OpenSession,
)

_KINDS: Final = (
    *(Grant, Token, Publisher, Sessions, IndexDefinition, UpstreamDefinition, Namespace, Webhook),
    *(AdvisorySource, OpenSession),
)
_FIELDS_OF: Final[Mapping[type[Any], frozenset[str]]] = {
    kind: frozenset(kind.__struct_fields__) - {"unknown"} for kind in _KINDS
}
_FIELDS: Final = {
    *("format", "grants", "groups", "tokens", "sessions", "publishers", "audience", "used", "indexes", "log"),
    *("deleting", "webhooks", "advisories"),
}
_Damage = (msgspec.MsgspecError, KeyError, TypeError, AttributeError, ValueError)


def encode_access(document: AccessDocument, log: Iterable[Mapping[str, Any]] = ()) -> bytes:
    """The record's bytes. `log`: the entries of the latest changes."""
    stored: dict[str, Any] = {
        "format": _format_of(document),
        "grants": {identity: _stored(grant) for identity, grant in document.grants.items()},
        "groups": document.groups,
        "tokens": {identity: _stored(token) for identity, token in document.tokens.items()},
        **({} if document.sessions is None else {"sessions": _stored(document.sessions)}),
        **_of_publishing(document),
        **_of_indexes(document),
        **_of_webhooks(document),
        **_of_advisories(document),
        **document.unknown,
        "log": list(log),
    }
    return _indented(stored) + b"\n"


def token_bytes(token: Token) -> int:
    """Bytes that a token takes in the record, about."""
    return len(_indented(_stored(token)))


def decode_access(data: bytes | None) -> AccessDocument:
    """The document of a record; EMPTY when there is none.

    Raises DamagedRecord when it is not such a document, or one of a newer format.
    """
    if data is None:
        return EMPTY
    try:
        document = msgspec.json.decode(data)
        found = document["format"]
        if type(found) is not int:
            raise TypeError("format is not a number")
        if found > FORMAT:
            raise DamagedRecord(
                f"The record {KEY} has format {found}, written by a newer quire; this one knows up to {FORMAT}. "
                "Upgrade it."
            )
        return AccessDocument(
            grants={identity: _loaded(entry, Grant) for identity, entry in document.get("grants", {}).items()},
            groups=convert_to(document.get("groups", {}), dict[str, tuple[str, ...]]),
            tokens={identity: _loaded(entry, Token) for identity, entry in document.get("tokens", {}).items()},
            sessions=_loaded(document["sessions"], Sessions) if document.get("sessions") is not None else None,
            publishers={
                identity: _loaded(entry, Publisher) for identity, entry in document.get("publishers", {}).items()
            },
            audience=convert_to(document.get("audience"), str | None),
            used=convert_to(document.get("used", {}), dict[str, str]),
            indexes={name: _loaded(entry, IndexDefinition) for name, entry in document.get("indexes", {}).items()},
            deleting=convert_to(document.get("deleting", ()), tuple[str, ...]),
            webhooks={identity: _loaded(entry, Webhook) for identity, entry in document.get("webhooks", {}).items()},
            advisories={name: _loaded(entry, AdvisorySource) for name, entry in document.get("advisories", {}).items()},
            unknown={name: value for name, value in document.items() if name not in _FIELDS},
        )
    except _Damage as error:
        raise DamagedRecord(
            f"The record {KEY} is not a document of grants and tokens ({error}); restore it from a backup."
        ) from error


def subject_of(grant: Grant) -> Subject | None:
    """The subject of a grant; None for a kind that this version does not know, which gives nothing."""
    try:
        return parse_subject(grant.subject)
    except InvalidRequest:
        return None


def scope_of(grant: Grant) -> Scope:
    """The scope of a grant. Permissions that this version does not know give nothing, and neither do those that are for
    a whole index on some of its projects (a grant that was edited by hand)."""
    scope = _scope(grant)
    if scope.projects == (ANY,):
        return scope
    return replace(scope, permissions=scope.permissions - {Permission.READ, Permission.ADMIN})


def decides(document: AccessDocument) -> bool:
    """Whether the store's grants decide, and not the settings: from the first one that is given to people."""
    subjects = (subject_of(grant) for grant in document.grants.values())
    return any(subject is not None and subject.kind not in _OF_PROGRAMS for subject in subjects)


_OF_PROGRAMS: Final = {SubjectKind.TOKEN, SubjectKind.PUBLISHER}


def with_fields(document: AccessDocument, **fields: object) -> AccessDocument:
    """The document with other values of these fields."""
    changed: AccessDocument = msgspec.structs.replace(document, **fields)
    return changed


def scope_of_publisher(publisher: Publisher) -> Scope:
    """The rights that the jobs of a trusted publisher have."""
    return Scope(frozenset({Permission.UPLOAD}), publisher.index, publisher.projects)


def _scope(entry: Grant | Token) -> Scope:
    known = {each.value for each in Permission}
    return Scope(
        frozenset(Permission(each) for each in entry.permissions if each in known), entry.index, entry.projects
    )


def _of_publishing(document: AccessDocument) -> dict[str, Any]:
    """The fields that only a store with trusted publishers has."""
    stored: dict[str, Any] = {
        "publishers": {identity: _stored(publisher) for identity, publisher in document.publishers.items()},
        "audience": document.audience,
        "used": document.used,
    }
    return {name: value for name, value in stored.items() if value}


def _of_indexes(document: AccessDocument) -> dict[str, Any]:
    """The fields that only a store with definitions of indexes has, or with deletions that have not ended."""
    stored: dict[str, Any] = {
        "indexes": {name: _stored(definition) for name, definition in document.indexes.items()},
        "deleting": document.deleting,
    }
    return {name: value for name, value in stored.items() if value}


def _indented(stored: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(stored), indent=1)


def _format_of(document: AccessDocument) -> int:
    definitions = document.indexes.values()
    if any(definition.past_trash is not PastTrash.SHOWN for definition in definitions):
        return FORMAT
    if any(definition.session is not None for definition in definitions):
        return _WITHOUT_HIDING
    if any(definition.policy != NO_POLICY or definition.namespaces for definition in document.indexes.values()):
        return _WITHOUT_SESSIONS
    return _WITHOUT_POLICIES if document.indexes or _has_rates(document) else _WITHOUT_LIMITS


def _has_rates(document: AccessDocument) -> bool:
    return any(token.rate is not None for token in document.tokens.values())


def _of_webhooks(document: AccessDocument) -> dict[str, Any]:
    """The field that only a store with webhooks has."""
    if not document.webhooks:
        return {}
    return {"webhooks": {identity: _stored(webhook) for identity, webhook in document.webhooks.items()}}


def _of_advisories(document: AccessDocument) -> dict[str, Any]:
    """The field that only a store with advisories has."""
    if not document.advisories:
        return {}
    return {"advisories": {name: _stored(source) for name, source in document.advisories.items()}}


def _stored(
    entry: Grant
    | Token
    | Publisher
    | Sessions
    | IndexDefinition
    | UpstreamDefinition
    | Namespace
    | Webhook
    | AdvisorySource
    | OpenSession,
) -> dict[str, Any]:
    stored: dict[str, Any] = msgspec.to_builtins(entry)
    stored.pop("unknown", None)
    if isinstance(entry, IndexDefinition) and entry.upstreams:
        stored["upstreams"] = [_stored(upstream) for upstream in entry.upstreams]
    if isinstance(entry, IndexDefinition) and entry.policy != NO_POLICY:
        stored["policy"] = stored_policy(entry.policy)
    if isinstance(entry, IndexDefinition) and entry.namespaces:
        stored["namespaces"] = [_stored(namespace) for namespace in entry.namespaces]
    if isinstance(entry, IndexDefinition) and entry.session is not None:
        stored["session"] = _stored(entry.session)
    return stored | entry.unknown


def _loaded(entry: dict[str, Any], kind: type[E]) -> E:
    fields = _FIELDS_OF[kind]
    if kind is IndexDefinition and "upstreams" in entry:
        entry = {**entry, "upstreams": tuple(_loaded(each, UpstreamDefinition) for each in entry["upstreams"])}
    if kind is IndexDefinition and "policy" in entry:
        entry = {**entry, "policy": loaded_policy(entry["policy"])}
    if kind is IndexDefinition and "namespaces" in entry:
        entry = {**entry, "namespaces": tuple(_loaded(each, Namespace) for each in entry["namespaces"])}
    if kind is IndexDefinition and "session" in entry:
        entry = {**entry, "session": _loaded(entry["session"], OpenSession)}
    if entry.keys() <= fields:
        loaded = convert_to(entry, kind)
    else:
        unknown = {name: value for name, value in entry.items() if name not in fields}
        loaded = convert_to({name: entry[name] for name in entry.keys() & fields} | {"unknown": unknown}, kind)
    if isinstance(loaded, Sessions) and len(bytes.fromhex(loaded.key)) < _KEY_BYTES:
        raise ValueError("the key of sessions is too short")
    if isinstance(loaded, Webhook):
        loaded.begins()
        moment(loaded.resumed or loaded.created)
        loaded.secrets_at(datetime.now(UTC))
    if isinstance(loaded, Token):
        for text in (loaded.expires, loaded.previous.until if loaded.previous is not None else None):
            if text is not None:
                moment(text)
    return loaded
