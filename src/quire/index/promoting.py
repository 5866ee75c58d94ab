"""Publishing several projects of an index in one atomic step; see `quire.domain.promotions` for why it is one."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from quire.domain import changes, promotions
from quire.domain.errors import ChangedMeanwhile, OutcomeUnknown, QuireError, StoreError
from quire.domain.names import normalize_name
from quire.domain.project import File, Project
from quire.domain.promotions import Promotion, Promotions, State
from quire.domain.quotas import UNLIMITED, Quotas
from quire.index import commits
from quire.index.audit.entries import Origin, as_logged, timestamp
from quire.index.commits import Change, Transition
from quire.index.index import PUBLICATION_SECONDS, Guard, Index
from quire.index.usage import Room

ABANDONED_SECONDS: Final = PUBLICATION_SECONDS
"""An open promotion that was begun longer ago is aborted by others: its promoter has given up by then."""
REMEMBERED_SECONDS: Final = 6 * PUBLICATION_SECONDS
"""How long the journal has an aborted one, so that a record which a slow promoter still writes is understood."""

log = structlog.stdlib.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """The files that a promotion adds to one project."""

    name: str
    """The project's name as its files spell it."""
    files: Sequence[File]
    """Their blobs are stored, and no other record names them."""
    existing: Mapping[str, File] = dataclasses.field(default_factory=dict)
    """By filename, files that other sources of the index have of it."""
    guard: Guard | None = None
    owner: str | None = None
    """The subject that owns the project if it is new."""

    @property
    def key(self) -> str:
        """The normalized name."""
        return normalize_name(self.name)


class Promoter:
    """Publishes into one index. Safe to use from several threads and any number of processes."""

    def __init__(self, index: Index, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`now`: the clock that says which promotions are old."""
        self._index = index
        self._journal = index.commits.journal
        self._now = now

    def check(self, part: Part, *, overwrite: bool = False, quotas: Quotas = UNLIMITED) -> tuple[str, ...]:
        """The files of a part that would be new now. Raises what `promote` would raise because of it."""
        with Room(self._index.usage, part.key, quotas) as room:
            before = self._index.stored(part.key)
            after = room.check(before, self._published(before, part, overwrite=overwrite))
        listed = before.files if before is not None else {}
        return tuple(name for name, file in after.files.items() if listed.get(name) != file)

    def promote(
        self,
        source: str,
        parts: Sequence[Part],
        *,
        overwrite: bool = False,
        quotas: Quotas = UNLIMITED,
        origin: Origin | None = None,
        until: float | None = None,
    ) -> None:
        """Publish all parts in one step, or none of them. `source`: the index that the files come from.

        `until`: the time (of `commits.now`) after which nothing is written any more.
        Raises what a publication raises; ChangedMeanwhile when another worker has aborted it, as one that took too
        long; OutcomeUnknown, and another StoreError where it is not known whether all or nothing was published. The
        bytes of files that are not listed then are left to `collect_garbage`.
        """
        self.recover()
        until = min(until or commits.now() + PUBLICATION_SECONDS, commits.now() + PUBLICATION_SECONDS)
        origin = origin or self._index.origin
        identity = secrets.token_hex(8)
        known = {name: value for name, value in dataclasses.asdict(origin).items() if value is not None}
        entry = Promotion(
            state=State.OPEN,
            source=source,
            projects=tuple(part.key for part in parts),
            begun=timestamp(),
            origin=known,
        )
        self._journal.change(lambda found: found if identity in found else {**found, identity: entry})
        with contextlib.ExitStack() as reserving:
            # What all parts add is reserved until the promotion has ended: together they must fit into the quota.
            rooms = {part.key: reserving.enter_context(Room(self._index.usage, part.key, quotas)) for part in parts}
            made: list[Change] = []
            try:
                for part in parts:
                    transition = self._preparation(identity, part, rooms[part.key], overwrite=overwrite)
                    make, key = self._index.commits.make, self._index.key(part.key)
                    made.append(make(key, transition, "publish", origin, until=until, promotion=identity))
            except BaseException as error:
                # What fails here is left to other workers, which abort it later. After a write whose outcome is not
                # known one may still arrive: the entry stays, so that what it prepares is found and removed.
                with contextlib.suppress(QuireError):
                    self._abort(identity)
                    if isinstance(error, QuireError) and not isinstance(error, StoreError):
                        self._end(identity, entry)
                    else:
                        self._settle(identity, entry)
                raise
            try:
                self._commit(identity)
            except ChangedMeanwhile:
                with contextlib.suppress(QuireError):
                    self._settle(identity, entry)  # what was prepared after it was aborted
                raise
            try:
                self._end(identity, entry)
                for change in made:
                    after = self._index.project(change.name)
                    rooms[change.name].settle(dataclasses.replace(change, after=after))
            except StoreError as error:  # it is committed all the same, and readers see that
                log.warning("promotion not folded yet", promotion=identity, error=str(error))

    def recover(self) -> int:
        """Finish the promotions of workers that died, and fold those that are committed; how many were found.

        Raises StoreError.
        """
        found = self._journal.promotions()
        for identity, promotion in found.items():
            age = self._age(promotion)
            if promotion.state is State.OPEN:
                if age < ABANDONED_SECONDS:
                    continue
                with contextlib.suppress(ChangedMeanwhile):  # it was committed at the last moment
                    self._abort(identity)
                log.warning("promotion aborted", promotion=identity, index=self._index.name)
            if promotion.state is State.COMMITTED or age >= REMEMBERED_SECONDS:
                self._end(identity, promotion)
            else:
                self._settle(identity, promotion)
        return len(found)

    def is_open(self, source: str) -> bool:
        """Whether a promotion of files from this index may still be committed. Raises StoreError."""
        found = self._journal.promotions().values()
        return any(each.source == source and each.state is State.OPEN for each in found)

    # -- steps --------------------------------------------------------------------------------------------------------

    def _preparation(self, identity: str, part: Part, room: Room, *, overwrite: bool) -> Transition:
        def transition(project: Project | None) -> Project:
            after = room.check(project, self._published(project, part, overwrite=overwrite))
            return promotions.prepared(project, after, identity)

        return transition

    @staticmethod
    def _published(project: Project | None, part: Part, *, overwrite: bool) -> Project:
        if part.guard is not None:
            part.guard(project)
        bare = None if project is None else promotions.without_pending(project)
        return changes.publish(
            bare, part.name, part.files, overwrite=overwrite, existing=part.existing, owner=part.owner
        )

    def _commit(self, identity: str) -> None:
        """THE COMMIT POINT of a promotion."""
        was_tried = False

        def transition(found: Promotions) -> Promotions:
            nonlocal was_tried
            promotion = found.get(identity)
            if promotion is None and was_tried:  # it may have been written, and folded by another worker since
                raise OutcomeUnknown("It is not known whether the promotion was made; look, and repeat it if not.")
            if promotion is None or promotion.state is State.ABORTED:
                raise ChangedMeanwhile("The promotion took too long, nothing was published; repeat it.")
            was_tried = True
            return found if promotion.state is State.COMMITTED else _with_state(found, identity, State.COMMITTED)

        self._journal.change(transition)

    def _abort(self, identity: str) -> None:
        def transition(found: Promotions) -> Promotions:
            if identity not in found or found[identity].state is State.ABORTED:
                return found
            if found[identity].state is State.COMMITTED:
                raise ChangedMeanwhile("The promotion is committed.")
            return _with_state(found, identity, State.ABORTED)

        self._journal.change(transition)

    def _settle(self, identity: str, promotion: Promotion) -> None:
        for name in promotion.projects:
            self._index.commits.settle(self._index.key(name), identity)

    def _end(self, identity: str, promotion: Promotion) -> None:
        """Fold every project of a finished promotion, and only then remove its entry: readers of pending files need
        it."""
        self._settle(identity, promotion)
        self._journal.change(
            lambda found: (
                {name: each for name, each in found.items() if name != identity} if identity in found else found
            )
        )

    def _age(self, promotion: Promotion) -> float:
        """The greatest of both limits that it has reached, in seconds; 0.0 for a young one."""
        for seconds in (REMEMBERED_SECONDS, ABANDONED_SECONDS):
            if promotion.begun <= as_logged(self._now() - timedelta(seconds=seconds)):
                return seconds
        return 0.0


def _with_state(found: Promotions, identity: str, state: State) -> Promotions:
    entry = found[identity]
    changed = Promotion(
        state=state, source=entry.source, projects=entry.projects, begun=entry.begun, origin=entry.origin
    )
    return {**found, identity: changed}
