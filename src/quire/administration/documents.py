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
    job: dict[str, str] | None = None
    """The CI job of a trusted publisher that published it: `platform`, and as far as known `repository`, `workflow`,
    `run`, `commit`, `ref`, `environment`, `actor` and the `url` of the run."""
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


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error (RFC 9457)."""

    status: int
    detail: str
    title: str = ""
    type: str = "about:blank"


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (
    *(IndexList, IndexBody, IndexChange, NewIndexBody, DeleteIndexBody, DeletedIndex),
    *(ProjectPage, ProjectDetails, FileList, ReleaseList, Release),
    *(YankBody, Selected, DeleteBody, Yanked, Deleted),
    *(StatusBody, ProjectStatus, OwnerBody, Owners, LogPage),
)
"""Those that the OpenAPI document names."""
