"""The JSON documents of the API under `/-/api/v1/`: bodies of requests and of answers.

The server encodes and decodes them, `quire --url` does the same at the other end, `--json` prints them, and the OpenAPI
document is generated from them. Fields are added and never change their meaning: both ends ignore answers' fields
that they do not know. A request with an unknown field is refused, as a field that is ignored could have limited it.

Times are RFC 3339 in UTC. Versions are as the filename spells them unless a field says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

MAX_REQUEST_BYTES: Final = 256 * 1024
"""Of a request's body."""
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 500
"""Entries of one page of a list."""

Short = Annotated[str, msgspec.Meta(max_length=300)]
Address = Annotated[str, msgspec.Meta(max_length=2000)]
Words = Annotated[list[Short], msgspec.Meta(max_length=1000)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Identity = Annotated[str, msgspec.Meta(pattern="^[0-9a-z]{10}$")]
Bytes = Annotated[int, msgspec.Meta(ge=1, lt=2**62)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=100 * 366 * 86400)]
Rate = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
State = Literal["valid", "expired", "revoked"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A body of an answer."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body of a request."""


# -- projects ---------------------------------------------------------------------------------------------------------


class UpstreamEntry(Answer, frozen=True, kw_only=True):
    """An index that is mirrored behind another one."""

    url: str
    """Of its project list, ended by a slash."""
    hosts: list[str]
    """Hosts of its files that may have addresses which are not public."""
    max_age: int
    """Seconds for which a page of it is served without asking."""
    max_stale: int
    """Seconds for which a page of it is served while it cannot be asked."""
    only: list[str]
    """Patterns of the names that it is asked for; empty for all names."""


class IndexEntry(Answer, frozen=True, kw_only=True):
    """An index of the server."""

    name: str
    is_default: bool
    """Whether it is the one at the server's root."""
    read_only: bool
    uploads: bool
    """Whether it takes uploads."""
    overwrite: bool
    """Whether an upload may replace a published file."""
    new_projects: str
    """`shared`, or `owned`: the rights on a project that an upload created."""
    quota: int | None
    """Bytes that all of its files may have together; None for no limit."""
    project_quota: int | None
    """Bytes that the files of one project may have together; None for no limit."""
    behind: list[str] = []
    """The indexes whose projects it offers as well, in the order in which they have a name."""
    claims: list[str] | None = None
    """Patterns of names that belong to it also without files: no other index is asked for them. None for readers that
    are no administrators: they tell which names a company means to use."""
    upstreams: list[UpstreamEntry] | None = None
    """In the order in which they are asked for a name; None for readers that are no administrators: they tell where
    the servers of a company are."""
    in_front_of: str | None = None
    """The index that it is a stage of; None for no stage."""
    expires: str | None = None
    """When a stage ends: RFC 3339."""
    session: str | None = None
    """The release (`NAME VERSION`) of the publishing session that it is the stage of; None for every other index."""
    merged: list[str] = []
    """Projects whose files are listed together with those of an upstream."""
    keep: list[str] = []
    """Rules of retention, such as `dev:10`."""
    past_trash: str = "shown"
    """`shown`, or `hidden`: at past moments, deleted files that are in the trash, from readers that may not manage the
    project."""
    namespaces: list[NamespaceEntry] | None = None
    """By name; None for readers that are no administrators: they tell the names of users."""
    used: int | None = None
    """Bytes that all of its files have together, where it has a quota; None where that is not counted (yet)."""
    downloads: bool = True
    """Whether the reader may download its files, too."""


class NamespaceEntry(Answer, frozen=True, kw_only=True):
    """A prefix of names that was granted to owners."""

    name: str
    """Normalized: `acme` is for the project `acme` and all whose names begin with `acme-`."""
    owners: list[str]
    """As `user:alice` or `group:ops`."""
    exempt: list[str] = []
    """Projects, as `INDEX/PROJECT`, that were there before the grant and go on as they were."""


class IndexList(Answer, frozen=True, kw_only=True):
    """All indexes of the server."""

    indexes: list[IndexEntry]


class UpstreamBody(Body, frozen=True, kw_only=True):
    """An upstream to add, or to change; settings that are left out stay. Fields as in `UpstreamEntry`."""

    url: Address
    hosts: Words | msgspec.UnsetType = msgspec.UNSET
    max_age: int | msgspec.UnsetType = msgspec.UNSET
    max_stale: int | msgspec.UnsetType = msgspec.UNSET
    only: Words | msgspec.UnsetType = msgspec.UNSET
    first: bool = False
    """Put it before all others; else a new one is the last."""


class NamespaceBody(Body, frozen=True, kw_only=True):
    """A namespace to grant; or more owners of it."""

    name: Short
    owners: Words
    with_existing: bool = False
    """Whether the grant counts for the projects below it that are there already, too."""


class RevokeNamespaceBody(Body, frozen=True, kw_only=True):
    """A namespace to revoke."""

    name: Short
    owners: Words = []
    """Those to take it from; none for the whole namespace."""


class IndexBody(Body, frozen=True, kw_only=True):
    """Settings of an index; those that are left out stay. Fields as in `IndexEntry`."""

    uploads: bool | msgspec.UnsetType = msgspec.UNSET
    overwrite: bool | msgspec.UnsetType = msgspec.UNSET
    new_projects: Literal["shared", "owned"] | msgspec.UnsetType = msgspec.UNSET
    quota: Bytes | msgspec.UnsetType | None = msgspec.UNSET
    project_quota: Bytes | msgspec.UnsetType | None = msgspec.UNSET
    behind: Words | msgspec.UnsetType = msgspec.UNSET
    claim: Words | msgspec.UnsetType = msgspec.UNSET
    """Names and patterns to claim, beside those that it has."""
    release: Words | msgspec.UnsetType = msgspec.UNSET
    """Claims to give up."""
    upstream: UpstreamBody | msgspec.UnsetType = msgspec.UNSET
    remove_upstream: Address | msgspec.UnsetType = msgspec.UNSET
    """The URL of an upstream."""
    merge: Words | msgspec.UnsetType = msgspec.UNSET
    """Projects whose files are listed together with those of an upstream from now on."""
    unmerge: Words | msgspec.UnsetType = msgspec.UNSET
    """Projects for which this ends."""
    keep: Words | msgspec.UnsetType = msgspec.UNSET
    """Rules of retention, such as `dev:10` and `acme-nightly/any:20`, in place of those that it has."""
    past_trash: Literal["shown", "hidden"] | msgspec.UnsetType = msgspec.UNSET
    grant_namespace: NamespaceBody | msgspec.UnsetType = msgspec.UNSET
    revoke_namespace: RevokeNamespaceBody | msgspec.UnsetType = msgspec.UNSET


class NewIndexBody(IndexBody, frozen=True, kw_only=True):
    """An index to make; settings that are left out have their defaults."""

    name: Short
    in_front_of: Short | None = None
    expires: Short | None = None


class DeleteIndexBody(Body, frozen=True, kw_only=True):
    """How to delete an index."""

    with_files: bool = False
    """Put its files in the trash; else an index with files is not deleted."""


class DeletedIndex(Answer, frozen=True, kw_only=True):
    """An index that was deleted."""

    index: str
    deleted_files: int
    """How many of its files went to the trash."""


class IndexChange(Answer, frozen=True, kw_only=True):
    """An index whose settings were changed, or were like that before."""

    index: IndexEntry
    changed: bool


class ProjectEntry(Answer, frozen=True, kw_only=True):
    """A project in the list of all."""

    name: str
    """Normalized."""
    stored: bool
    """Whether it has a record in the store."""
    drop_in: bool
    """Whether it has files that lie in a served directory."""
    mirrored: bool = False
    """Whether it offers files of an upstream."""
    latest: str | None
    versions: list[str]
    files: int
    size: int
    """Bytes of all files."""
    error: str | None = None
    """Why its record cannot be read; None for one that can."""


class ProjectPage(Answer, frozen=True, kw_only=True):
    """A page of the list of projects, by name."""

    index: str
    projects: list[ProjectEntry]
    next: str | None = None
    """The cursor of the next page; None for the last one."""


class FileEntry(Answer, frozen=True, kw_only=True):
    """A file, with its recorded facts."""

    filename: str
    version: str
    size: int
    hashes: dict[str, str]
    uploaded: str | None = None
    uploader: str | None = None
    requires_python: str | None = None
    yanked: bool | str = False
    """False, True, or the reason."""
    metadata_sha256: str | None = None
    signed: bool = False
    attested: bool = False
    drop_in: bool = False
    """Whether it lies in a served directory."""
    mirrored: bool = False
    """Whether it is of an upstream. A file that is neither was published here."""
    place: str | None = None
    """Of a file in a served directory: its path below `/packages/`."""
    path: str | None = None
    """Of a file in a served directory: its path there. Only on the store itself, never over HTTP."""
    warning: str | None = None
    """Of a file that a policy warns of: the sentence."""


class DecisionEntry(Answer, frozen=True, kw_only=True):
    """A rule of a policy that concerns a file."""

    rule: str
    """`blocked`, `denied`, `not-allowed`, `malicious`, `vulnerable` or `min-age`."""
    effect: str
    """`block`: the file is not offered; or `warn`."""
    index: str
    """The index that has the policy."""
    sentence: str
    since: str | None
    """When the rule was made; None where that is not known."""
    until: str | None
    """When the file is offered without a change of the policy; None for never."""
    lift: str
    """The command by which an administrator lifts it."""
    right: str
    """The right on the index that this needs."""


class HeldFile(Answer, frozen=True, kw_only=True):
    """A file that a policy holds back."""

    filename: str
    version: str
    decision: DecisionEntry


class ProjectDetails(Answer, frozen=True, kw_only=True):
    """A project with all of its files."""

    index: str
    project: str
    """The normalized name."""
    name: str | None
    """As its publisher spells it; None when that is not known."""
    exists: bool
    """False when nothing is left but the names of deleted files."""
    status: str
    status_reason: str | None
    versions: list[str]
    """Oldest first, each once, normalized where PEP 440 knows them."""
    files: list[FileEntry]
    deleted: dict[str, str]
    """sha256 by filename of files that were published and are not listed any more."""


class FileList(Answer, frozen=True, kw_only=True):
    """The files of a project."""

    project: str
    files: list[FileEntry]
    held_back: list[HeldFile] = []
    """Those that a policy holds back: they are not offered."""


class ReleaseEntry(Answer, frozen=True, kw_only=True):
    """A release in the list of a project's."""

    version: str
    """Normalized."""
    files: int
    size: int
    yanked: bool
    """Whether all of its files are."""
    uploaded: str | None
    """The time of its first file."""


class ReleaseList(Answer, frozen=True, kw_only=True):
    """The releases of a project, oldest first."""

    project: str
    releases: list[ReleaseEntry]


class Release(Answer, frozen=True, kw_only=True):
    """A release with its files and core metadata."""

    project: str
    version: str | None
    """Normalized; None for a project whose files have no version."""
    files: list[FileEntry]
    metadata: dict[str, Any] | None
    """The core metadata, as packaging.metadata.RawMetadata names its fields; None when no file offers it."""
    metadata_name: str | None = None
    requires_python: str | None = None


class Selected(Body, frozen=True, kw_only=True):
    """Some files of a project: those of a version, or one by its filename."""

    version: Short | None = None
    filename: Short | None = None


class YankBody(Selected, frozen=True, kw_only=True):
    """Which files to yank, and why."""

    reason: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class DeleteBody(Selected, frozen=True, kw_only=True):
    """Which files to delete."""

    all: bool = False
    """The whole project."""
    dry_run: bool = False
    """Delete nothing; answer what would be deleted."""
    no_trash: bool = False
    """Remove the bytes at once, for good; downloads under way may break off."""


class YankedFile(Answer, frozen=True, kw_only=True):
    """A file that was meant, as it is now."""

    filename: str
    version: str
    yanked: bool | str


class Yanked(Answer, frozen=True, kw_only=True):
    """The effect of a yank, or of taking it back."""

    project: str
    selection: str
    """In words."""
    changed: bool
    files: list[YankedFile]


class Deleted(Answer, frozen=True, kw_only=True):
    """The effect of a deletion."""

    project: str
    selection: str
    changed: bool
    """False when these files were deleted before, and for a dry run."""
    deleted: list[str]
    """Filenames."""
    bytes: int
    freed: bool
    """False when the files are in the trash, and when the space is given back by a later `quire gc`."""
    in_trash: bool = False
    """Whether the files can be restored."""
    trash_days: float | None = None
    """For so long."""
    dry_run: bool = False


class StatusBody(Body, frozen=True, kw_only=True):
    """The status to set (PEP 792)."""

    status: Literal["active", "archived", "deprecated", "quarantined"]
    reason: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class ProjectStatus(Answer, frozen=True, kw_only=True):
    """The status of a project."""

    project: str
    status: str
    reason: str | None
    changed: bool


class OwnerBody(Body, frozen=True, kw_only=True):
    """The owner to add or to remove."""

    subject: Short
    """Such as `user:alice`."""
    force: bool = False
    """Of a removal: whether the project may be left without owners."""


class Owners(Answer, frozen=True, kw_only=True):
    """The owners of a project."""

    project: str
    owners: list[str]
    changed: bool = False
    count: bool
    """Whether the index has owned projects; else owners have no effect."""


class LogPage(Answer, frozen=True, kw_only=True):
    """Entries of the log: first the changes of grants, groups and tokens, then project by project; those of one project
    by revision."""

    entries: list[dict[str, Any]]
    """As docs/reference/logs.md has them, each with its `project`; null for a change of grants, groups or tokens."""
    next: str | None = None


# -- access -----------------------------------------------------------------------------------------------------------


class Sender(Answer, frozen=True, kw_only=True):
    """The sender of a request, as its credentials prove it."""

    user: str | None
    token: str | None
    """The id of the token, where it came by one."""
    groups: list[str]
    rights: list[str]
    """Those that it has on some project of the index."""
    index: str
    """The index at the server's root."""
    quire: str
    """The version of the server; empty for a sender without a login."""


class TokenEntry(Answer, frozen=True, kw_only=True):
    """A token, without its secret."""

    id: str
    rights: list[str]
    index: str
    projects: list[str]
    user: str | None
    note: str | None
    created: str | None
    by: str | None
    expires: str | None
    revoked: str | None
    last_used: str | None
    """The day, in UTC; None for a token that was not used yet, or only just now."""
    rate: int | None = None
    """Requests a minute, of each worker; 0 for any number, None for what the server's settings say."""
    state: State


class TokenList(Answer, frozen=True, kw_only=True):
    """Tokens; those that ended long ago are gone."""

    tokens: list[TokenEntry]
    next: str | None = None


class TokenBody(Body, frozen=True, kw_only=True):
    """The token to make.

    A client that sends `id` and `digest` has made the token's text itself: the secret never leaves it, and the same
    request may be repeated. Else the server makes one, and its answer is the only place where the text is.
    """

    rights: Words
    index: Short = "*"
    projects: Words = []
    user: Short | None = None
    note: Short | None = None
    expires_in: Seconds | None = None
    """Seconds; None for a token that does not expire."""
    rate: Rate | None = None
    """As in `TokenEntry`."""
    id: Identity | None = None
    digest: Digest | None = None
    """The SHA-256 of the whole text of the token, in hexadecimal."""


class RotateBody(Body, frozen=True, kw_only=True):
    """The new secret of a token; `digest` as in `TokenBody`."""

    grace: Seconds = 86400
    """Seconds for which the old secret still counts."""
    digest: Digest | None = None


class NewToken(Answer, frozen=True, kw_only=True):
    """A token that was made or got a new secret."""

    token: TokenEntry
    changed: bool
    text: str | None
    """The token itself, shown once; None when the client has made it."""


class IdsBody(Body, frozen=True, kw_only=True):
    """Tokens or grants, by their ids: all of them or none."""

    ids: Words


class Ended(Answer, frozen=True, kw_only=True):
    """Tokens or grants that do not count any more."""

    ids: list[str]
    changed: bool
    grants: list[GrantEntry] = []
    """The grants that were taken back."""


class GrantBody(Body, frozen=True, kw_only=True):
    """The right to give."""

    subject: Short
    rights: Words
    index: Short = "*"
    projects: Words = []


class GrantEntry(Answer, frozen=True, kw_only=True):
    """A grant."""

    id: str
    subject: str
    rights: list[str]
    index: str
    projects: list[str]
    created: str | None
    by: str | None


class GrantList(Answer, frozen=True, kw_only=True):
    """All grants and groups."""

    decide: bool
    """Whether grants decide, and not the settings of the servers."""
    grants: list[GrantEntry]
    groups: dict[str, list[str]]


class Granted(Answer, frozen=True, kw_only=True):
    """A grant that was made, or was there already."""

    grant: GrantEntry
    changed: bool


class Explanation(Answer, frozen=True, kw_only=True):
    """The rights that grants give to a subject on a project."""

    subject: str
    index: str
    project: str | None
    rights: dict[str, bool]
    decide: bool
    by: dict[str, list[str]] = {}
    """Of each right that is given: the ids of the grants that give it, and `owner SUBJECT` for an owner's; none for a
    right that a token has by itself."""


class GroupBody(Body, frozen=True, kw_only=True):
    """The users of a group, all of them; none removes it."""

    users: Words


class Group(Answer, frozen=True, kw_only=True):
    """A group."""

    group: str
    users: list[str]
    changed: bool = False


class GroupList(Answer, frozen=True, kw_only=True):
    """All groups."""

    groups: list[Group]


# -- webhooks ---------------------------------------------------------------------------------------------------------


class WebhookEntry(Answer, frozen=True, kw_only=True):
    """A webhook, without its secret."""

    id: str
    url: str
    events: list[str]
    """`*` for all."""
    index: str
    projects: list[str]
    created: str
    by: str | None
    state: Literal["active", "disabled"]
    disabled: str | None
    """Why nothing is delivered."""
    rotates_until: str | None
    """Until then events are signed by the former secret, too."""


class WebhookList(Answer, frozen=True, kw_only=True):
    """All webhooks."""

    webhooks: list[WebhookEntry]


Secret = Annotated[str, msgspec.Meta(max_length=200)]


class WebhookBody(Body, frozen=True, kw_only=True):
    """The webhook to add. A client that sends `id` and `secret` may repeat the request; else the server makes them."""

    url: Annotated[str, msgspec.Meta(max_length=2000)]
    events: Words = []
    """None: all."""
    index: Short = "*"
    projects: Words = []
    id: Identity | None = None
    secret: Secret | None = None
    """`whsec_` and 24 to 64 bytes in base64."""


class WebhookSecretBody(Body, frozen=True, kw_only=True):
    """The new secret of a webhook, as in `WebhookBody`."""

    grace: Seconds = 86400
    """Seconds for which events are signed by the old secret, too."""
    secret: Secret | None = None


class NewWebhook(Answer, frozen=True, kw_only=True):
    """A webhook that was added, changed, or got a new secret."""

    webhook: WebhookEntry
    changed: bool
    secret: str | None = None
    """Shown once; None when the client has made it, or there is no new one."""


class NoFields(Body, frozen=True, kw_only=True):
    """An empty object."""


class WebhookAnswer(Answer, frozen=True, kw_only=True):
    """The answer of a receiver."""

    event: str
    """The id of the event that was sent."""
    status: int | None
    text: str
    """The beginning of its body."""
    error: str | None
    """Why it counts as a failure; None for a success."""
    milliseconds: int


class DeliveryEntry(Answer, frozen=True, kw_only=True):
    """An attempt to deliver an event."""

    event: str
    type: str
    index: str
    project: str
    version: str | None
    revision: int
    at: str
    """When the attempt was."""
    attempt: int
    result: Literal["delivered", "failed", "given-up"]
    status: int | None
    error: str | None
    milliseconds: int
    next: str | None
    """When the event is tried again."""


class WebhookDeliveries(Answer, frozen=True, kw_only=True):
    """The latest deliveries to a webhook; workers write them some seconds later."""

    webhook: WebhookEntry
    recent: list[DeliveryEntry]
    """The oldest first."""
    waiting: list[DeliveryEntry]
    """The last attempts at the events that are tried again, one per project."""
    given_up: list[DeliveryEntry]


class RedeliverBody(Body, frozen=True, kw_only=True):
    """The events to send once more, by their ids."""

    events: Annotated[list[Short], msgspec.Meta(min_length=1, max_length=20)]


class Redelivered(Answer, frozen=True, kw_only=True):
    """The results of further attempts."""

    deliveries: list[DeliveryEntry]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error (RFC 9457)."""

    status: int
    detail: str
    title: str = ""
    type: str = "about:blank"


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (
    *(
        IndexList,
        IndexBody,
        IndexChange,
        NewIndexBody,
        DeleteIndexBody,
        DeletedIndex,
        ProjectPage,
        ProjectDetails,
        FileList,
        ReleaseList,
        Release,
        YankBody,
        Selected,
        DeleteBody,
        Yanked,
        Deleted,
    ),
    *(
        StatusBody,
        ProjectStatus,
        OwnerBody,
        Owners,
        LogPage,
        Sender,
        TokenEntry,
        TokenList,
        TokenBody,
        RotateBody,
        NewToken,
        IdsBody,
    ),
    *(WebhookEntry, WebhookList, WebhookBody, WebhookSecretBody, NewWebhook, NoFields, WebhookAnswer),
    *(WebhookDeliveries, RedeliverBody, Redelivered),
    *(Ended, GrantBody, GrantList, Granted, Explanation, GroupBody, Group, GroupList),
)
"""Those that the OpenAPI document names."""
