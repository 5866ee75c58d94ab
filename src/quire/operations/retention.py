"""Retention: deleting the releases that the rules of an index let go (`quire.domain.retention`).

Only `quire gc` does it, so a rule that was just set removes nothing until the next run, and can be tried first. The
releases of a project go in one step, into the trash as by any deletion. They are decided again by the record that the
step replaces: a release that was uploaded, or a project that was changed meanwhile, is looked at once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from quire.domain.changes import Selection
from quire.domain.errors import ChangedMeanwhile, DamagedRecord, NotFound
from quire.domain.project import File, Project
from quire.domain.promotions import without_pending
from quire.domain.retention import Release, Rule, expired, parse_rule, rules_for
from quire.index.index import Index
from quire.operations import changing
from quire.process.progress import Progress

_ATTEMPTS: Final = 3
COMMAND: Final = "quire gc (retention)"
"""In the audit log, in place of the command that was run."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LetGo:
    """The releases of a project that the rules of its index let go."""

    index: str
    project: str
    releases: tuple[Release, ...]

    @property
    def files(self) -> tuple[File, ...]:
        return tuple(file for release in self.releases for file in release.files)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


def preview(
    index: Index, keep: Iterable[str], names: Iterable[str] | None = None, now: datetime | None = None
) -> Iterator[LetGo]:
    """The releases that would be deleted, by project. `keep`: the rules of the index. `names`: of its projects; None
    for all.

    A project whose record is damaged is left to `quire check`. Raises StoreError.
    """
    rules, now = [parse_rule(each) for each in keep], now or datetime.now(UTC)
    for name in (index.names() if names is None else names) if rules else ():
        counting = rules_for(rules, name)
        if counting and (found := _expired(index, name, counting, now)) is not None:
            yield found


def apply(
    index: Index, keep: Iterable[str], *, progress: Progress | None = None, now: datetime | None = None
) -> Iterator[LetGo]:
    """Delete what the rules let go; each project when it is done. Raises StoreError."""
    progress, now = progress or Progress(), now or datetime.now(UTC)
    rules = [parse_rule(each) for each in keep]
    names = index.names() if rules else ()
    progress.step(f"{index.name}, retention", len(names))
    for name in names:
        counting = rules_for(rules, name)
        if counting and (deleted := _delete(index, name, counting, now)) is not None:
            yield deleted
        progress.advance(1)


def _delete(index: Index, name: str, rules: tuple[Rule, ...], now: datetime) -> LetGo | None:
    origin = replace(index.origin, command=COMMAND)
    for _ in range(_ATTEMPTS):
        found = _expired(index, name, rules, now)
        if found is None:
            return None
        meant = frozenset(file.filename for file in found.files)

        def unchanged(record: Project | None, meant: frozenset[str] = meant) -> None:
            project = None if record is None else without_pending(record)
            let_go = () if project is None else expired(project, rules, now)
            if meant != {file.filename for release in let_go for file in release.files}:
                raise ChangedMeanwhile(changing.CHANGED_MEANWHILE)

        try:
            change = changing.delete(
                index, name, Selection(filenames=meant), (), to_trash=True, origin=origin, guard=unchanged
            )
        except (ChangedMeanwhile, NotFound):
            continue
        if not change.is_in_trash:
            index.remove_blobs(change.removed)
        return found
    log.warning("retention left a project that changes", index=index.name, project=name)
    return None


def _expired(index: Index, name: str, rules: tuple[Rule, ...], now: datetime) -> LetGo | None:
    try:
        project = index.project(name)
    except DamagedRecord as error:
        log.warning("retention left a project", index=index.name, project=name, error=str(error))
        return None
    found = expired(project, rules, now) if project is not None else []
    return LetGo(index.name, name, tuple(found)) if found else None
