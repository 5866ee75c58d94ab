"""The contract of commands: an index with its grants and tokens, on a store or behind a server's JSON API.

Names of projects are normalized. Both sides raise the same errors: NotFound, InvalidRequest, ReadOnlyFile, and
StoreError; over the API UpstreamError as well, for an answer that did not come or is none of quire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from quire.administration.access_documents import (
    Ended,
    Explanation,
    GrantBody,
    Granted,
    GrantList,
    Group,
    NewToken,
    RotateBody,
    TokenBody,
    TokenEntry,
)
from quire.administration.advisory_documents import (
    AdvisoriesRemoved,
    AdvisoriesUpdated,
    AdvisorySources,
    ProjectAdvisories,
)
from quire.administration.declared_documents import Applied, Configuration, ConfigurationBody
from quire.administration.documents import (
    Deleted,
    DeletedIndex,
    IndexBody,
    IndexChange,
    IndexEntry,
    NewIndexBody,
    Owners,
    ProjectDetails,
    ProjectPage,
    ProjectStatus,
    Release,
    Yanked,
)
from quire.administration.policy_documents import PolicyBody, PolicyChange, PolicyEntry, PolicyExplanation, Trial
from quire.administration.promotion_documents import Promotion, PromotionBody
from quire.administration.publisher_documents import (
    Audience,
    GrantsChecked,
    NewPublisher,
    PublisherBody,
    PublisherPage,
    SessionsEnded,
)
from quire.administration.retention_documents import RetentionPage
from quire.administration.trash_documents import Emptied, Restored, TrashPage
from quire.administration.webhook_documents import (
    NewWebhook,
    Redelivered,
    WebhookAnswer,
    WebhookBody,
    WebhookDeliveries,
    WebhookEntry,
    WebhookSecretBody,
)
from quire.domain.changes import Selection
from quire.domain.project import Status
from quire.index.audit.reading import LogFilter, Logged
from quire.operations.trash import TrashFilter
from quire.process.progress import Progress


class Administration(Protocol):
    """One index, and the grants and tokens of its store."""

    def indexes(self, *, used_of: str | None = None) -> list[IndexEntry]:
        """All indexes. `used_of`: the one whose bytes are wanted; those of others may be left out."""
        ...

    @property
    def of_readable(self) -> str:
        """For the end of a sentence on an index that `indexes` has not: it may be one that needs a login."""
        ...

    def create_index(self, body: NewIndexBody) -> IndexChange: ...

    def delete_index(self, name: str, *, with_files: bool) -> DeletedIndex: ...

    def set_index(self, name: str, body: IndexBody) -> IndexChange: ...

    def promote(self, stage: str, body: PromotionBody, progress: Progress) -> Promotion:
        """Publish the files of a stage into the index that it is in front of, in one step, or only tell what would be
        published. `progress`: of the copies, on a store."""
        ...

    def policy(self) -> PolicyEntry: ...

    def set_policy(self, body: PolicyBody) -> PolicyChange: ...

    def try_policy(self, releases: Sequence[str], change: PolicyBody | None) -> Trial:
        """The effect of a change on releases, such as `six==1.17.0`; None for the policy as it is. As there."""
        ...

    def explain_policy(self, project: str, version: str | None) -> PolicyExplanation:
        """The decisions about the files of a project, or of one release. A store knows what it keeps of upstreams, and
        asks none."""
        ...

    def configuration(self) -> Configuration:
        """The state of the store as a configuration file declares it."""
        ...

    def apply(self, body: ConfigurationBody) -> Applied: ...

    def advisory_sources(self) -> AdvisorySources: ...

    def advisories(self, project: str, version: str | None) -> ProjectAdvisories:
        """Those of a project (normalized name), or by which a version of it is affected. Raises NotFound where there
        are none of any project."""
        ...

    def update_advisories(self, path: str, source: str, *, shrinks: bool, progress: Progress) -> AdvisoriesUpdated:
        """Take in OSV documents of this machine: an archive, a folder, or one. See `quire.operations.advisories`."""
        ...

    def remove_advisories(self, source: str) -> AdvisoriesRemoved: ...

    def retention(self, keep: Sequence[str] | None) -> RetentionPage:
        """The releases that rules of retention let go. `keep`: the rules; None for those of the index."""
        ...

    def projects(self) -> ProjectPage:
        """All projects."""
        ...

    def project(self, name: str) -> ProjectDetails:
        """A project with its files; also one of which nothing but the names of deleted files is left."""
        ...

    def release(self, name: str, version: str | None) -> Release:
        """A release; the newest where `version` is None."""
        ...

    def yank(self, name: str, selection: Selection, reason: str | None) -> Yanked: ...

    def unyank(self, name: str, selection: Selection) -> Yanked: ...

    def delete(self, name: str, selection: Selection, *, dry_run: bool, no_trash: bool = False) -> Deleted:
        """Delete files, or only tell which would be deleted. `no_trash`: remove their bytes at once, for good."""
        ...

    def status(self, name: str) -> ProjectStatus: ...

    def set_status(self, name: str, status: Status, reason: str | None) -> ProjectStatus: ...

    def owners(self, name: str) -> Owners:
        """Also of a project whose files are all deleted."""
        ...

    def add_owner(self, name: str, subject: str) -> Owners: ...

    def remove_owner(self, name: str, subject: str, *, force: bool) -> Owners:
        """`force`: also the last one."""
        ...

    def trash(self, name: str | None, filter_: TrashFilter) -> TrashPage:
        """The files in the trash of a project, or of all, by project and filename."""
        ...

    def restore(self, name: str, filter_: TrashFilter, *, dry_run: bool) -> Restored: ...

    def empty_trash(self, name: str, filter_: TrashFilter, *, dry_run: bool) -> Emptied: ...

    def log(self, name: str | None, filter_: LogFilter) -> list[Logged]:
        """The changes of a project, or of all, deleted ones as well, by time."""
        ...

    def follow(self, name: str | None, filter_: LogFilter) -> Callable[[], list[Logged]]:
        """A function that gives the changes that its calls so far did not give."""
        ...

    def grants(self) -> GrantList: ...

    def explain(self, subject: str, index: str | None, project: str | None) -> Explanation:
        """`index`: None for this one."""
        ...

    def grant(self, body: GrantBody) -> Granted: ...

    def revoke_grants(self, ids: Sequence[str]) -> Ended: ...

    def check_grants(self, password_file: str | None) -> GrantsChecked:
        """The grants that give nothing. `password_file`: None for the one of the settings; a server has its own, and
        takes no other."""
        ...

    def set_group(self, group: str, users: Sequence[str]) -> Group: ...

    def tokens(self) -> list[TokenEntry]:
        """All tokens, those that ended as well."""
        ...

    def create_token(self, body: TokenBody) -> NewToken:
        """`body`: with `id` and `digest`."""
        ...

    def revoke_tokens(self, ids: Sequence[str]) -> Ended: ...

    def rotate_token(self, identity: str, body: RotateBody) -> NewToken:
        """`body`: with `digest`."""
        ...

    def publishers(self) -> PublisherPage:
        """All publishers, and the audience."""
        ...

    def add_publisher(self, body: PublisherBody) -> NewPublisher: ...

    def remove_publishers(self, ids: Sequence[str]) -> Ended: ...

    def set_audience(self, audience: str) -> Audience: ...

    def end_sessions(self, users: Sequence[str]) -> SessionsEnded:
        """`users`: empty for every session."""
        ...

    def webhooks(self) -> list[WebhookEntry]: ...

    def webhook(self, identity: str) -> WebhookEntry: ...

    def add_webhook(self, body: WebhookBody) -> NewWebhook:
        """`body`: with `id` and `secret`."""
        ...

    def remove_webhooks(self, ids: Sequence[str]) -> Ended: ...

    def rotate_webhook(self, identity: str, body: WebhookSecretBody) -> NewWebhook:
        """`body`: with `secret`."""
        ...

    def resume_webhook(self, identity: str) -> NewWebhook:
        """Deliver again, and what waits at once."""
        ...

    def test_webhook(self, identity: str) -> WebhookAnswer:
        """Send a ping."""
        ...

    def webhook_deliveries(self, identity: str) -> WebhookDeliveries: ...

    def redeliver(self, identity: str, events: Sequence[str]) -> Redelivered:
        """Send events once more, at most twenty, by their ids."""
        ...
