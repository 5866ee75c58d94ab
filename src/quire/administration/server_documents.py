"""The JSON documents about servers, for the API and `--json`. See `quire.administration.documents`.

Workers are those of one container, which share their counts; other containers are not seen.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from quire.administration.documents import Answer


class WorkerEntry(Answer, frozen=True, kw_only=True):
    """A worker process."""

    pid: int
    started: str
    heard: str
    """When it last wrote its counts, as it does each second: one that is silent for longer is busy, or hangs."""
    requests: int
    """Answered since it started."""
    in_flight: int
    """Under way, beside those that the fast path answers at once."""
    memory: int
    """Bytes."""
    cpu_seconds: float
    loop_lag: float
    """Seconds that its event loop was late."""
    ready: bool
    """Whether its last check found the store usable."""


class ServerStatus(Answer, frozen=True, kw_only=True):
    """A server: the workers of the container that answers."""

    container: str
    """The name of its machine."""
    version: str
    server: str
    """`uvicorn`, `gunicorn` or `wsgiref`; `another program` where no command of quire started it."""
    store: str
    """The place of the store, without a login."""
    backend: str
    """`directory`, `s3`, `gs`, `az` or `memory`."""
    read_only: bool
    draining: bool
    workers: list[WorkerEntry]
    requests: int
    """Answered by all workers of the container since it started, also by those that have ended."""


class KeptCount(Answer, frozen=True, kw_only=True):
    """Files and bytes that are kept of upstreams, as the workers of all containers counted last."""

    at: str
    files: int
    bytes: int
    bound: int | None
    """The most bytes that servers keep."""


class UpstreamStatus(Answer, frozen=True, kw_only=True):
    """An upstream, as the workers of the container that answers see it."""

    name: str
    """In keys of the store, and in metrics."""
    url: str | None
    """None for one that no index has any more."""
    indexes: list[str]
    state: Literal["answers", "fails", "unasked"]
    """`fails` where the last request of any worker failed; `unasked` since these workers began."""
    since: str | None
    """The first failure after the last answer."""
    last_answer: str | None
    last_failure: str | None
    paused_until: str | None
    """Until when a worker asks it nothing, since it failed; None for now."""
    pages: dict[str, int]
    """Looks at its pages, by the result, as in `quire_mirror_pages_total`."""
    page_hits: float | None
    """The part of `kept` and `stale` in those that were found or failed; None without any."""
    files: dict[str, int]
    """Requests for its files, by the result, as in `quire_mirror_files_total`."""
    file_hits: float | None
    """The part of `kept`; None without any."""
    received: int
    """Bytes from it."""
    sent: int
    """Bytes of its files to clients."""
    kept_pages: int
    """Pages that the store has of it."""
    kept_files: int | None
    """Files that the store has, as counted last; None where they were not counted yet."""
    kept_bytes: int | None


class UpstreamStatusList(Answer, frozen=True, kw_only=True):
    """All upstreams: of which indexes have them, and of which something is kept."""

    container: str
    workers: int
    offline: bool
    """Whether this server asks none (`--upstream-offline`)."""
    kept: KeptCount | None
    upstreams: list[UpstreamStatus]


class DoctorFinding(Answer, frozen=True, kw_only=True):
    """A finding of `quire doctor`."""

    code: str
    weight: str
    """`breaks`, `unsure` or `advice`."""
    sentence: str
    advice: str


class DoctorVerdict(Answer, frozen=True, kw_only=True):
    """The verdict of a run of `quire doctor` on the store."""

    at: str
    container: str
    """Where it ran."""
    version: str
    verdict: str
    """`keeps`, `breaks` or `unknown`."""
    quick: bool
    rounds: int
    peer: str | None
    """The second machine; None for a test with one."""
    findings: list[DoctorFinding]


class LastVerdict(Answer, frozen=True, kw_only=True):
    """The last verdict that the store keeps."""

    verdict: DoctorVerdict | None
    """None where `quire doctor` was not run on it yet, by a user that may write to it."""


class SettingEntry(Answer, frozen=True, kw_only=True):
    """A setting, as it is in force."""

    name: str
    """In a configuration file; in capitals after `QUIRE_` the environment variable."""
    value: str
    """In words, without the logins of URLs; empty for none."""
    source: Literal["flag", "environment", "file", "default"]
    where: str | None
    """The flag, variable or file that has it; None for a default."""


class SettingList(Answer, frozen=True, kw_only=True):
    """The settings of the server that answers. All its workers have the same."""

    container: str
    settings: list[SettingEntry]


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (
    *(WorkerEntry, ServerStatus, KeptCount, UpstreamStatus, UpstreamStatusList),
    *(SettingEntry, SettingList, DoctorFinding, DoctorVerdict, LastVerdict),
)
"""Of the OpenAPI document."""
