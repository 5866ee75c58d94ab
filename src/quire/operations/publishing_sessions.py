"""Publishing sessions (PEP 694): their records, and what is done with them on the store. For requests.

`quire.domain.publishing_sessions` says how the two documents of a session go together.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog

from quire.access import publishing_sessions as definitions
from quire.access.document import AccessDocument
from quire.access.records import AccessRecords
from quire.domain import publishing_sessions as sessions
from quire.domain.errors import (
    Conflict,
    DamagedRecord,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    QuireError,
    SessionConflict,
    StoreError,
)
from quire.domain.indexes import IndexDefinition
from quire.domain.project import Project
from quire.domain.publishing_sessions import OpenSession, PublishingSession, Status
from quire.domain.times import moment, stamp
from quire.index.audit.entries import Origin
from quire.index.audit.reading import LogReader
from quire.index.index import PUBLICATION_SECONDS, Index
from quire.index.promoting import Promoter
from quire.operations import defining, promoting
from quire.operations.promoting import Permission, Target
from quire.store.contracts import Record, Store

LIFETIME: Final = timedelta(days=7)
"""Of a session that is not extended."""
LONGEST: Final = timedelta(days=30)
"""From its creation: no extension goes beyond."""
KEPT: Final = timedelta(days=7)
"""For so long after its end the status of a session is told."""
FOLDER: Final = "access/publishing"
"""Of the records of sessions, by their tokens."""
_ATTEMPTS: Final = 40
_LONGEST_PAUSE: Final = 0.25
_RESOLVED_AFTER: Final = timedelta(seconds=PUBLICATION_SECONDS + 60)
"""After so long no promoter goes on with a publication that the target's journal does not have yet. Where clocks
differ, or it stood still, it finds that its attempt was taken over."""
_ROOM: Final = timedelta(hours=1)
"""A session that is being published does not expire for so long."""
_MOST_SUMMED: Final = 100
"""Sessions whose records are read when an upload begins where there is a quota."""
_EXPIRED: Final = "The session expired; its files are deleted."
_TAKEN_OVER: Final = "The publication took too long, and nothing was published; ask for the session's status."
_INTERRUPTED: Final = "The publication was interrupted, and nothing was published; publish again."

Transition = Callable[[PublishingSession], PublishingSession]

log = structlog.stdlib.get_logger(__name__)


def new_token() -> str:
    """The token of a new session, which cannot be guessed."""
    return f"{sessions.TOKEN_PREFIX}{secrets.token_hex(sessions.TOKEN_BYTES)}"


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of a store. For any thread; all of it blocks and raises StoreError."""

    store: Store
    access: AccessRecords
    default: str
    """The index at the server's root."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The clock that says what has expired."""

    def read(self, token: str) -> PublishingSession | None:
        """The session of a token; None without one."""
        return sessions.decode_session(self._record(token).data) if sessions.is_token(token) else None

    def change(self, token: str, transition: Transition) -> PublishingSession:
        """Change the record of a session; what it is then. Raises NotFound, and what `transition` raises."""
        for attempt in range(_ATTEMPTS):
            record = self._record(token)
            before = sessions.decode_session(record.data)
            if before is None:
                raise NotFound("There is no such publishing session.")
            after = transition(before)
            if after is before:
                self.store.records.confirm(record)
                return before
            try:
                self.store.records.write(record.key, sessions.encode_session(after), record)
            except (Conflict, OutcomeUnknown):
                time.sleep(random.uniform(0, min(0.001 * 2**attempt, _LONGEST_PAUSE)))  # noqa: S311 - spreads writers
            else:
                return after
        raise StoreError("The publishing session has too many writers at once; repeat later.")

    def announced(self, target: str, project: str | None, besides: str) -> int:
        """Bytes that the open sessions of a project, or of the whole index (None), have announced: of at most a hundred
        of them, and not of the session `besides`. One that cannot be read is not published as it is, and counts as
        nothing."""
        there = definitions.open_sessions(self.access.read().state.document, self.now())
        tokens = [
            name
            for name, each in there.items()
            if name != besides and each.in_front_of == target and each.session is not None
            if project in {None, each.session.project}
        ]
        found = (self._read_if_whole(token) for token in tokens[:_MOST_SUMMED])
        return sum(each.bytes_announced for each in found if each is not None and each.status not in sessions.ENDED)

    def check_stage(self, token: str, origin: Origin) -> None:
        """Raises SessionConflict where the stage of a session is gone, or has expired, as the store has it now. Files
        that came later than that are deleted: nothing else would find them, as an expiry changes no record."""
        try:
            definitions.check_open(self.access.read().state.document, token, self.now())
        except SessionConflict:
            self.remove_stage(token, origin)
            raise

    def create(self, target: str, opened: OpenSession, origin: Origin) -> tuple[str, PublishingSession]:
        """Open a session; its token, and its record. Raises what `with_session` raises."""
        now = self.now()
        token, expires = new_token(), now + LIFETIME
        session = PublishingSession(
            index=target,
            project=opened.project,
            version=opened.version,
            created=stamp(now),
            expires=stamp(expires),
        )

        def with_stage(document: AccessDocument) -> AccessDocument:
            return definitions.with_session(document, token, target, opened, self.default, now=now, expires=expires)

        with_stage(self.access.read().state.document)  # most refusals: no record is written of them
        # The record first: a definition without one would hold the release until it expires.
        record = self._record(token)
        self.store.records.write(record.key, sessions.encode_session(session), record)
        try:
            self.access.change(
                with_stage,
                "publishing-session-create",
                {"index": target, "projects": [opened.project], "version": opened.version},
                origin,
            )
        except QuireError as error:
            if not isinstance(error, StoreError):
                self._forget(token)
            raise
        log.info("session created", index=target, project=opened.project, version=opened.version, user=origin.user)
        return token, session

    def extend(self, token: str, session: PublishingSession, seconds: int, origin: Origin) -> IndexDefinition:
        """Let a session end so many seconds later, as far as it may; the definition of its stage. Raises NotFound."""
        latest = moment(session.created) + LONGEST
        definition = self.access.read().state.document.indexes.get(token)
        ends = None if definition is None else definition.ends_at
        if ends is None:
            raise NotFound("The session has ended.")
        return self._keep_until(token, session, min(ends + timedelta(seconds=seconds), latest), origin)

    def cancel(self, token: str, definition: IndexDefinition | None, origin: Origin) -> PublishingSession:
        """Cancel a session, and delete its files. Raises SessionConflict while it is being published, and after."""
        at = stamp(self.now())
        expires = at if definition is None or definition.expires is None else definition.expires
        session = self.change(token, lambda found: sessions.canceled(found, at, expires))
        self.remove_stage(token, origin)
        log.info("session canceled", index=session.index, project=session.project, user=origin.user)
        return session

    def settled(
        self,
        token: str,
        session: PublishingSession,
        definition: IndexDefinition | None,
        target: Index,
        origin: Origin,
    ) -> PublishingSession:
        """The session as it is, after what is not done yet: that it expired, how a publication ended whose worker
        died, or that the stage goes with its session."""
        now = self.now()
        at = stamp(now)
        if session.status is Status.PROCESSING:
            attempt = str(session.attempt)
            if is_published(session, target.project(session.project)):
                session = self.change(token, lambda found: sessions.published(found, attempt, at, at))
                self._clear(token, session, origin)
            elif session.since is not None and moment(session.since) + _RESOLVED_AFTER < now:
                session = self._resolved(token, session, target, origin)
        elif session.status in sessions.ENDED:
            if definition is not None:
                self.remove_stage(token, origin)
        elif definition is None or definition.has_ended(now):
            definition = self.access.read().state.document.indexes.get(token)  # it may have been extended since
            if definition is not None and not definition.has_ended(now):
                return session
            expires = at if definition is None else str(definition.expires)
            with contextlib.suppress(SessionConflict):
                session = self.change(token, lambda found: sessions.canceled(found, at, expires, _EXPIRED))
        return session

    def publish(self, token: str, definition: IndexDefinition, target: Target, origin: Origin) -> PublishingSession:
        """Publish all files of a session in one step; the session, which is `processing` while another request
        publishes it, and `published` when that was faster.

        Raises SessionConflict for one that cannot be published now, and what a promotion raises.
        """
        now = self.now()
        attempt, at = secrets.token_hex(8), stamp(now)
        is_promoted = False

        def on_promotion() -> None:
            nonlocal is_promoted
            is_promoted = True

        try:
            session = self.change(token, lambda found: sessions.begun(found, attempt, at))
            if session.attempt != attempt:
                return session
            if definition.has_ended(now + _ROOM):  # or its files would be deleted meanwhile
                self._keep_until(token, session, now + _ROOM, origin)
            self._promote(token, session, self._guarded(token, session, target), origin, on_promotion)
        except QuireError as error:
            if not (is_promoted and isinstance(error, StoreError)):
                with contextlib.suppress(StoreError):  # then `settled` does it later
                    self.change(token, lambda found: sessions.given_back(found, attempt))
                raise
            if not is_published(session, target.index.project(session.project)):
                raise  # it may be published yet: `settled` says later
        expires = str(definition.expires)
        done = stamp(self.now())
        session = self.change(token, lambda found: sessions.published(found, attempt, done, expires))
        log.info("session published", index=session.index, project=session.project, user=origin.user)
        self._clear(token, session, origin)
        return session

    def _resolved(self, token: str, session: PublishingSession, target: Index, origin: Origin) -> PublishingSession:
        """The session after a publication that ought to have ended: given back when nothing can be published by it any
        more. One whose promotion is open is left as it is: `recover` aborts that when it is old enough."""
        promoter, fence = Promoter(target, self.now), secrets.token_hex(8)
        promoter.recover()
        if promoter.is_open(token):
            return session
        session = self.change(token, lambda found: sessions.taken_over(found, str(session.attempt), fence))
        # Only from here on no promotion of the session begins that could be committed (`_guarded`).
        if session.attempt != fence or promoter.is_open(token):
            return session
        if is_published(session, target.project(session.project)) or _was_published(token, session, target):
            at = stamp(self.now())
            session = self.change(token, lambda found: sessions.published(found, fence, at, at))
            self._clear(token, session, origin)
            return session
        return self.change(token, lambda found: sessions.given_back(found, fence, _INTERRUPTED))

    def _guarded(self, token: str, session: PublishingSession, target: Target) -> Target:
        """The target of this attempt alone: once the journal has its promotion, the record is looked at again, and
        nothing is published when others have taken it over, as one that took too long."""
        permission = target.permissions.get(session.project, Permission())

        def guard(stored: Project | None) -> None:
            found = self.read(token)
            if found is None or found.attempt != session.attempt:
                raise SessionConflict(_TAKEN_OVER)
            if permission.guard is not None:
                permission.guard(stored)

        own = {session.project: replace(permission, guard=guard)}
        return replace(target, permissions={**target.permissions, **own})

    def _clear(self, token: str, session: PublishingSession, origin: Origin) -> None:
        """Delete the stage of a session that was published. One that others resolve meanwhile is left to them."""
        if session.status is Status.PUBLISHED:
            self.remove_stage(token, origin)
            self._end_reservation(session, origin)

    def remove_stage(self, token: str, origin: Origin) -> None:
        """Delete the stage of a session that has ended, with its files. Repeated, it goes on."""
        stage = Index(self.store, token, origin)
        try:
            self._delete_stage(stage, origin)
        except (InvalidRequest, StoreError) as error:  # `quire gc` does it, when the stage has expired
            log.warning("stage of a session not deleted", project=stage.name, error=str(error))

    def _delete_stage(self, stage: Index, origin: Origin) -> None:
        try:
            defining.delete_index(self.access, stage, with_files=True, default=self.default, origin=origin)
        except NotFound:  # only files can be left
            defining.delete_for_good(stage, origin)

    def forget_ended(self, origin: Origin, *, thorough: bool = False) -> int:
        """Erase sessions that ended long ago, and delete the stages that were left of any that ended; how many. One
        that cannot be read is left as it is.

        `thorough`: also erase the deleted records of sessions that were forgotten without it, which takes a walk
        through the store.
        """
        now = self.now()
        forgotten = self._written() if thorough else set()
        tokens = self.store.records.names(FOLDER).names
        open_stages = self.access.read().state.document.indexes if tokens or forgotten else {}
        deleted = 0
        for token in tokens:
            try:
                session = self.read(token)
            except DamagedRecord as error:
                _warn_of(token, error)
                forgotten.discard(token)
                continue
            if session is None:
                continue
            forgotten.discard(token)
            if token in open_stages:
                if session.status in sessions.ENDED:
                    self.remove_stage(token, origin)
            elif moment(session.ended or session.since or session.expires) + KEPT < now:
                self.remove_stage(token, origin)  # files that arrived while it ended, of a worker that died then
                deleted += self._forget(token)
                forgotten.add(token)
        for token in forgotten - open_stages.keys():
            self._erase(token)
        return deleted

    def _written(self) -> set[str]:
        """The tokens of all sessions of which the store has a trace. A session is among those that are listed later,
        or it has been forgotten: its record is the first that is written, and the last that is deleted."""
        records = self.store.records
        indexes = (prefix.partition("/")[0] for prefix in records.prefixes())
        return {each for each in (*indexes, *records.written(FOLDER)) if sessions.is_token(each)}

    def _erase(self, token: str) -> None:
        """Erase the deleted records of a session that was forgotten, and of its stage: a token never returns, so that
        nothing reads or writes them any more."""
        self.store.records.erase(token)
        self.store.records.erase(f"{FOLDER}/{token}")

    def _end_reservation(self, session: PublishingSession, origin: Origin) -> None:
        """Let no other session reserve the name of a project that has a release now. An upload goes by the project's
        record, so it is no harm where this is not done; it spares that upload the question."""
        if not session.live:
            return
        with contextlib.suppress(StoreError):
            self.access.change(
                lambda document: definitions.without_reservation(document, session.index, session.project),
                "publishing-session-publish",
                {"index": session.index, "projects": [session.project]},
                origin,
            )

    def _keep_until(self, token: str, session: PublishingSession, expires: datetime, origin: Origin) -> IndexDefinition:
        now = self.now()
        _, after = self.access.change(
            lambda document: definitions.with_expiry(document, token, self.default, now=now, expires=expires),
            "publishing-session-extend",
            {"index": session.index, "projects": [session.project]},
            origin,
        )
        return after.indexes[token]

    def _promote(
        self,
        token: str,
        session: PublishingSession,
        target: Target,
        origin: Origin,
        on_promotion: Callable[[], None],
    ) -> None:
        stage = Index(self.store, token, origin)
        project = stage.project(session.project)
        wanted = {name: str(file.sha256) for name, (_, file) in session.live.items()}
        there = {} if project is None else project.files
        if lost := [name for name, sha256 in wanted.items() if name not in there or there[name].sha256 != sha256]:
            raise SessionConflict(f"{lost[0]} is not as it was uploaded any more; delete it and upload it again.")
        if more := sorted(there.keys() - wanted.keys()):  # of a worker that died before the record had them
            raise SessionConflict(
                f"{more[0]} is in the preview, and no file of the session, as its upload was interrupted; upload it "
                "again, and delete it then if it shall not be published."
            )
        if project is not None and wanted:
            files = {name: there[name] for name in wanted}
            only = msgspec.structs.replace(project, files=files)
            promoting.promote(stage, {session.project: only}, target, origin=origin, on_promotion=on_promotion)
        elif not wanted:
            self._register(session.project, target, origin)

    @staticmethod
    def _register(name: str, target: Target, origin: Origin) -> None:
        """Give a new name without files to its sender, where projects have owners."""
        permission = target.permissions.get(name, Permission())
        owners = (permission.owner,) if permission.owner is not None else ()

        def transition(stored: Project | None) -> Project:
            if permission.guard is not None:
                permission.guard(stored)
            return Project(name=name, owners=owners) if stored is None else stored

        target.index.commits.make(target.index.key(name), transition, "owner-add", origin)

    def _read_if_whole(self, token: str) -> PublishingSession | None:
        try:
            return self.read(token)
        except DamagedRecord as error:
            _warn_of(token, error)
            return None

    def _record(self, token: str) -> Record:
        return self.store.records.read(f"{FOLDER}/{token}")

    def _forget(self, token: str) -> bool:
        record = self._record(token)
        with contextlib.suppress(Conflict, OutcomeUnknown):
            if record.data is not None:
                self.store.records.write(record.key, None, record)
                return True
        return False


def _warn_of(token: str, error: DamagedRecord) -> None:
    log.warning("session not read", record=f"{FOLDER}/{token}", error=str(error))


def is_published(session: PublishingSession, project: Project | None) -> bool:
    """Whether a project has all files of a session, with the same content."""
    files = {} if project is None else project.files
    wanted = session.live
    return bool(wanted) and all(
        name in files and files[name].sha256 == file.sha256 for name, (_, file) in wanted.items()
    )


def _was_published(token: str, session: PublishingSession, target: Index) -> bool:
    """Whether the log of a project says that the files of a session were published, however much of them was deleted or
    replaced since: they do not come back by a repetition. Raises StoreError."""
    log_of_target = LogReader(target.store.records, target.name, target.prefix)
    return any(logged.entry.get("promoted_from") == token for logged in log_of_target.project(session.project))
