"""The JSON documents of jobs, for the API and `--json`. See `quire.administration.documents`."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from quire.administration.documents import Answer, Body
from quire.domain.structs import convert_to
from quire.operations.jobs import Job


class JobBody(Body, frozen=True, kw_only=True):
    """A job to begin."""

    kind: Literal["check", "gc"]
    dry_run: bool = True
    """Of `gc`: whether it only says what it would remove. A check removes nothing."""
    quick: bool = False
    """Of `check`: whether it believes the sizes, and reads no file."""


class JobEntry(Answer, frozen=True, kw_only=True):
    """A run of an operation in a child process of a server."""

    id: str
    kind: str
    dry_run: bool
    quick: bool
    by: str | None
    container: str
    """Where it runs."""
    started: str
    heard: str
    """The last sign of its process; of one that gives none for a minute the state is `interrupted`."""
    ended: str | None
    state: Literal["running", "done", "failed", "interrupted"]
    step: str
    """The part of the work that is under way."""
    done: int
    total: int
    """Of this part, in bytes or pieces; 0 where it is not known."""
    counts: dict[str, int]
    """The result in numbers."""
    lines: list[str]
    """The first findings, removals, or the reason of a failure."""


class JobList(Answer, frozen=True, kw_only=True):
    """The last jobs of the store, the newest first."""

    jobs: list[JobEntry]


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (JobBody, JobEntry, JobList)
"""Of the OpenAPI document."""


def job_entry(job: Job) -> JobEntry:
    """The document of a job."""
    return convert_to(job, JobEntry, from_attributes=True)
