"""`Administration` over the JSON API of a server: `quire --url`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from quire.administration.access_documents import (
    Ended,
    Explanation,
    GrantBody,
    Granted,
    GrantList,
    Group,
    GroupBody,
    IdsBody,
    NewToken,
    RotateBody,
    TokenBody,
    TokenEntry,
    TokenList,
)
from quire.administration.advisory_documents import (
    AdvisoriesRemoved,
    AdvisoriesUpdated,
    AdvisorySources,
    ProjectAdvisories,
)
from quire.administration.advisory_files import advisories_file
from quire.administration.client import Client
from quire.administration.declared_documents import Applied, Configuration, ConfigurationBody
from quire.administration.documents import (
    MAX_LIMIT,
    DeleteBody,
    Deleted,
    DeletedIndex,
    DeleteIndexBody,
    IndexBody,
    IndexChange,
    IndexEntry,
    IndexList,
    LogPage,
    NewIndexBody,
    OwnerBody,
    Owners,
    ProjectDetails,
    ProjectEntry,
    ProjectPage,
    ProjectStatus,
    Release,
    Selected,
    StatusBody,
    YankBody,
    Yanked,
)
from quire.administration.job_documents import JobBody, JobEntry, JobList
from quire.administration.policy_documents import (
    PolicyBody,
    PolicyChange,
    PolicyEntry,
    PolicyExplanation,
    Trial,
    TrialBody,
)
from quire.administration.promotion_documents import Promotion, PromotionBody
from quire.administration.publisher_documents import (
    Audience,
    AudienceBody,
    GrantsChecked,
    NewPublisher,
    PublisherBody,
    PublisherPage,
    SessionsBody,
    SessionsEnded,
)
from quire.administration.retention_documents import RetentionPage
from quire.administration.server_documents import LastVerdict, ServerStatus, SettingList, UpstreamStatusList
from quire.administration.trash_documents import Emptied, Restored, TrashBody, TrashPage
from quire.administration.webhook_documents import (
    NewWebhook,
    NoFields,
    RedeliverBody,
    Redelivered,
    WebhookAnswer,
    WebhookBody,
    WebhookDeliveries,
    WebhookEntry,
    WebhookList,
    WebhookSecretBody,
)
from quire.domain.changes import Selection
from quire.domain.errors import ConfigurationError, UpstreamError
from quire.domain.project import Status
from quire.domain.structs import convert_to
from quire.index.audit.reading import LogFilter, Logged, by_time
from quire.operations.trash import TrashFilter
from quire.process.progress import Progress

_ROOT: Final = "-"
_MOST_PAGES: Final = 100_000
_MOST_TRIED: Final = 200
"""Releases of one request."""

P = TypeVar("P", ProjectPage, LogPage, TokenList, TrashPage, PublisherPage, RetentionPage)


class Remote:
    """`quire.administration.contract.Administration` of an index on a server."""

    def __init__(self, url: str, index: str | None, environ: Mapping[str, str]) -> None:
        """`url`: see `Client`. `index`: None for the one at the server's root. Raises ConfigurationError."""
        self._client = Client(url, environ)
        self._index = index
        self._at = ("indexes", index or _ROOT)

    @property
    def url(self) -> str:
        """The base URL of the server, ended by a slash, without a login."""
        return f"{self._client.url}/"

    def indexes(self, *, used_of: str | None = None) -> list[IndexEntry]:
        """See `Administration`. Raises UpstreamError where the server shows none: it has one at its root."""
        found = self.readable_indexes()
        if not found:
            asked = "to this login" if self._client.has_login else "without a login"
            raise UpstreamError(f"The server {self.url} shows no index {asked}. {self._client.advice()}")
        return found

    def readable_indexes(self) -> list[IndexEntry]:
        """The indexes that this login, or none, may read; perhaps none."""
        return self._client.get(IndexList, "indexes").indexes

    @property
    def of_readable(self) -> str:
        if self._client.has_login:
            return ""
        return f", or it cannot be read without a login. {self._client.advice()}".rstrip(".")

    def create_index(self, body: NewIndexBody) -> IndexChange:
        return self._client.post(IndexChange, body, "indexes")

    def delete_index(self, name: str, *, with_files: bool) -> DeletedIndex:
        return self._client.post(DeletedIndex, DeleteIndexBody(with_files=with_files), "indexes", name, "delete")

    def promote(self, stage: str, body: PromotionBody, progress: Progress) -> Promotion:
        return self._client.post(Promotion, body, "indexes", stage, "promote")

    def set_index(self, name: str, body: IndexBody) -> IndexChange:
        return self._client.post(IndexChange, body, "indexes", name)

    def policy(self) -> PolicyEntry:
        return self._client.get(PolicyEntry, *self._at, "policy")

    def set_policy(self, body: PolicyBody) -> PolicyChange:
        return self._client.post(PolicyChange, body, *self._at, "policy")

    def try_policy(self, releases: Sequence[str], change: PolicyBody | None) -> Trial:
        parts = []
        for begin in range(0, max(1, len(releases)), _MOST_TRIED):
            body = TrialBody(releases=list(releases[begin : begin + _MOST_TRIED]), change=change)
            parts.append(self._client.post(Trial, body, *self._at, "policy", "try"))
        return Trial(
            index=parts[0].index,
            files=[file for each in parts for file in each.files],
            checked=sum(each.checked for each in parts),
            unknown=[release for each in parts for release in each.unknown],
        )

    def explain_policy(self, project: str, version: str | None) -> PolicyExplanation:
        return self._client.get(PolicyExplanation, *self._at, "policy", "explain", project=project, version=version)

    def configuration(self) -> Configuration:
        return self._client.get(Configuration, "configuration")

    def apply(self, body: ConfigurationBody) -> Applied:
        return self._client.post(Applied, body, "configuration")

    def advisory_sources(self) -> AdvisorySources:
        return self._client.get(AdvisorySources, "advisories")

    def advisories(self, project: str, version: str | None) -> ProjectAdvisories:
        return self._client.get(ProjectAdvisories, "advisories", "projects", project, version=version)

    def update_advisories(self, path: str, source: str, *, shrinks: bool, progress: Progress) -> AdvisoriesUpdated:
        with advisories_file(path, progress) as file:
            return self._client.post_file(
                AdvisoriesUpdated,
                file,
                *("advisories", source),
                origin=os.path.basename(path.rstrip("/"))[:200],
                shrinks="true" if shrinks else None,
            )

    def remove_advisories(self, source: str) -> AdvisoriesRemoved:
        return self._client.post(AdvisoriesRemoved, NoFields(), "advisories", source, "remove")

    def retention(self, keep: Sequence[str] | None) -> RetentionPage:
        query = None if keep is None else ",".join(keep)
        pages = list(self._pages(RetentionPage, *self._at, "retention", keep=query))
        return msgspec.structs.replace(pages[0], projects=[each for page in pages for each in page.projects], next=None)

    def projects(self) -> ProjectPage:
        found: list[ProjectEntry] = []
        name = self._index or ""
        for page in self._pages(ProjectPage, *self._at, "projects"):
            found += page.projects
            name = page.index
        return ProjectPage(index=name, projects=found)

    def project(self, name: str) -> ProjectDetails:
        return self._client.get(ProjectDetails, *self._of(name))

    def release(self, name: str, version: str | None) -> Release:
        return self._client.get(Release, *self._of(name), "releases", version or _ROOT)

    def yank(self, name: str, selection: Selection, reason: str | None) -> Yanked:
        body = YankBody(version=selection.version, filename=selection.filename, reason=reason)
        return self._client.post(Yanked, body, *self._of(name), "yank")

    def unyank(self, name: str, selection: Selection) -> Yanked:
        body = Selected(version=selection.version, filename=selection.filename)
        return self._client.post(Yanked, body, *self._of(name), "unyank")

    def delete(self, name: str, selection: Selection, *, dry_run: bool, no_trash: bool = False) -> Deleted:
        body = DeleteBody(
            version=selection.version,
            filename=selection.filename,
            all=selection == Selection(),
            dry_run=dry_run,
            no_trash=no_trash,
        )
        return self._client.post(Deleted, body, *self._of(name), "delete")

    def status(self, name: str) -> ProjectStatus:
        found = self.project(name)
        return ProjectStatus(project=name, status=found.status, reason=found.status_reason, changed=False)

    def set_status(self, name: str, status: Status, reason: str | None) -> ProjectStatus:
        body = convert_to({"status": str(status), "reason": reason}, StatusBody)
        return self._client.post(ProjectStatus, body, *self._of(name), "status")

    def owners(self, name: str) -> Owners:
        return self._client.get(Owners, *self._of(name), "owners")

    def add_owner(self, name: str, subject: str) -> Owners:
        return self._client.post(Owners, OwnerBody(subject=subject), *self._of(name), "owners", "add")

    def remove_owner(self, name: str, subject: str, *, force: bool) -> Owners:
        return self._client.post(Owners, OwnerBody(subject=subject, force=force), *self._of(name), "owners", "remove")

    def trash(self, name: str | None, filter_: TrashFilter) -> TrashPage:
        place = (*self._at, "trash") if name is None else (*self._of(name), "trash")
        body = _trash_body(filter_)
        query = {"version": body.version, "filename": body.filename, "by": body.by}
        query |= {"before": body.before, "since": body.since}
        pages = list(self._pages(TrashPage, *place, **query))
        return TrashPage(index=pages[0].index, files=[each for page in pages for each in page.files])

    def restore(self, name: str, filter_: TrashFilter, *, dry_run: bool) -> Restored:
        return self._client.post(Restored, _trash_body(filter_, dry_run=dry_run), *self._of(name), "trash", "restore")

    def empty_trash(self, name: str, filter_: TrashFilter, *, dry_run: bool) -> Emptied:
        return self._client.post(Emptied, _trash_body(filter_, dry_run=dry_run), *self._of(name), "trash", "empty")

    def log(self, name: str | None, filter_: LogFilter) -> list[Logged]:
        by_project: dict[str, list[Logged]] = {}
        place = (*self._at, "log") if name is None else (*self._of(name), "log")
        query = {"since": filter_.since, "user": filter_.user, "action": filter_.action}
        for page in self._pages(LogPage, *place, **query):
            for entry in page.entries:
                project = str(entry.get("project") or "")
                fields = {field: value for field, value in entry.items() if field != "project"}
                by_project.setdefault(project, []).append(Logged(project, fields))
        return list(by_time(by_project.values()))

    def follow(self, name: str | None, filter_: LogFilter) -> Callable[[], list[Logged]]:
        seen: set[str] = set()

        def new() -> list[Logged]:
            found = [each for each in self.log(name, filter_) if str(each.entry.get("id")) not in seen]
            seen.update(str(each.entry.get("id")) for each in found)
            return found

        return new

    def grants(self) -> GrantList:
        return self._client.get(GrantList, "grants")

    def explain(self, subject: str, index: str | None, project: str | None) -> Explanation:
        return self._client.get(
            Explanation, "grants", "explain", subject=subject, index=index or self._index, project=project
        )

    def grant(self, body: GrantBody) -> Granted:
        return self._client.post(Granted, body, "grants")

    def revoke_grants(self, ids: Sequence[str]) -> Ended:
        return self._client.post(Ended, IdsBody(ids=list(ids)), "grants", "revoke")

    def check_grants(self, password_file: str | None) -> GrantsChecked:
        if password_file is not None:
            raise ConfigurationError("A server has its own password file; leave -P out with --url.")
        return self._client.get(GrantsChecked, "grants", "check")

    def set_group(self, group: str, users: Sequence[str]) -> Group:
        return self._client.post(Group, GroupBody(users=list(users)), "groups", group)

    def tokens(self) -> list[TokenEntry]:
        return [token for page in self._pages(TokenList, "tokens") for token in page.tokens]

    def create_token(self, body: TokenBody) -> NewToken:
        return self._client.post(NewToken, body, "tokens")

    def revoke_tokens(self, ids: Sequence[str]) -> Ended:
        return self._client.post(Ended, IdsBody(ids=list(ids)), "tokens", "revoke")

    def rotate_token(self, identity: str, body: RotateBody) -> NewToken:
        return self._client.post(NewToken, body, "tokens", identity, "rotate")

    def publishers(self) -> PublisherPage:
        pages = list(self._pages(PublisherPage, "publishers"))
        publishers = [each for page in pages for each in page.publishers]
        return PublisherPage(audience=pages[-1].audience, publishers=publishers)

    def add_publisher(self, body: PublisherBody) -> NewPublisher:
        body = msgspec.structs.replace(body, index=body.index or self._index)
        return self._client.post(NewPublisher, body, "publishers")

    def remove_publishers(self, ids: Sequence[str]) -> Ended:
        return self._client.post(Ended, IdsBody(ids=list(ids)), "publishers", "remove")

    def set_audience(self, audience: str) -> Audience:
        return self._client.post(Audience, AudienceBody(audience=audience), "publishers", "audience")

    def end_sessions(self, users: Sequence[str]) -> SessionsEnded:
        return self._client.post(SessionsEnded, SessionsBody(users=list(users), all=not users), "sessions", "end")

    def server(self) -> ServerStatus:
        """The workers of the container that answers."""
        return self._client.get(ServerStatus, "server")

    def jobs(self) -> list[JobEntry]:
        """The last jobs of the store, the newest first."""
        return self._client.get(JobList, "jobs").jobs

    def job(self, identity: str) -> JobEntry:
        """One of them. Raises NotFound."""
        return self._client.get(JobEntry, "jobs", identity)

    def begin_job(self, body: JobBody) -> JobEntry:
        """Begin one. Raises ReadOnlyFile where one of its kind runs."""
        return self._client.post(JobEntry, body, "jobs")

    def doctor(self) -> LastVerdict:
        """The last verdict of `quire doctor` on the store."""
        return self._client.get(LastVerdict, "doctor")

    def settings(self) -> SettingList:
        """The settings in force."""
        return self._client.get(SettingList, "settings")

    def upstreams(self) -> UpstreamStatusList:
        """The upstreams, as these workers see them."""
        return self._client.get(UpstreamStatusList, "upstreams")

    def webhooks(self) -> list[WebhookEntry]:
        return self._client.get(WebhookList, "webhooks").webhooks

    def webhook(self, identity: str) -> WebhookEntry:
        return self._client.get(WebhookEntry, "webhooks", identity)

    def add_webhook(self, body: WebhookBody) -> NewWebhook:
        return self._client.post(NewWebhook, body, "webhooks")

    def remove_webhooks(self, ids: Sequence[str]) -> Ended:
        return self._client.post(Ended, IdsBody(ids=list(ids)), "webhooks", "remove")

    def rotate_webhook(self, identity: str, body: WebhookSecretBody) -> NewWebhook:
        return self._client.post(NewWebhook, body, "webhooks", identity, "rotate")

    def resume_webhook(self, identity: str) -> NewWebhook:
        return self._client.post(NewWebhook, NoFields(), "webhooks", identity, "resume")

    def test_webhook(self, identity: str) -> WebhookAnswer:
        return self._client.post(WebhookAnswer, NoFields(), "webhooks", identity, "test")

    def webhook_deliveries(self, identity: str) -> WebhookDeliveries:
        return self._client.get(WebhookDeliveries, "webhooks", identity, "deliveries")

    def redeliver(self, identity: str, events: Sequence[str]) -> Redelivered:
        return self._client.post(Redelivered, RedeliverBody(events=list(events)), "webhooks", identity, "redeliver")

    def _of(self, name: str) -> tuple[str, ...]:
        return (*self._at, "projects", name)

    def _pages(self, kind: type[P], *segments: str, **query: str | None) -> Iterator[P]:
        """Raises UpstreamError for pages without an end."""
        cursor, seen = None, set[str]()
        for _ in range(_MOST_PAGES):
            page = self._client.get(kind, *segments, **query, cursor=cursor, limit=str(MAX_LIMIT))
            yield page
            cursor = page.next
            if cursor is None:
                return
            if cursor in seen:
                break
            seen.add(cursor)
        raise UpstreamError(f"The list of the server {self._client.url} has no end; its pages repeat.")


def _trash_body(filter_: TrashFilter, *, dry_run: bool = False) -> TrashBody:
    return TrashBody(
        version=filter_.selection.version,
        filename=filter_.selection.filename,
        by=filter_.by,
        before=None if filter_.before is None else filter_.before.isoformat(),
        since=None if filter_.since is None else filter_.since.isoformat(),
        dry_run=dry_run,
    )
