"""Documents about servers, made of the counts that the workers of a container share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from quire.administration.server_documents import DoctorFinding, DoctorVerdict, UpstreamStatus, WorkerEntry
from quire.doctor.kept import KeptVerdict
from quire.domain.times import stamp
from quire.observe.metrics import catalog
from quire.observe.metrics.catalog import Metric
from quire.observe.metrics.files import ProcessCounts, Value

MOST_WORKERS = 1000
"""Of one document."""


class Offered(NamedTuple):
    """The facts about an upstream beside its counts."""

    url: str | None
    indexes: Sequence[str]
    kept_pages: int = 0
    kept_files: int | None = None
    kept_bytes: int | None = None


def worker_entries(processes: Iterable[ProcessCounts]) -> list[WorkerEntry]:
    """The workers, the oldest first."""
    found = [_worker_entry(each) for each in processes]
    return sorted(found, key=lambda each: (each.started, each.pid))[:MOST_WORKERS]


def requests_of(values: Iterable[Value]) -> int:
    """How many requests these counts have."""
    return int(sum(numbers[0] for metric, _, numbers in values if metric is catalog.REQUESTS))


def _worker_entry(process: ProcessCounts) -> WorkerEntry:
    numbers = {metric.name: each[0] for metric, labels, each in process.values if not labels}
    return WorkerEntry(
        pid=process.pid,
        started=_time(numbers.get(catalog.STARTED.name, 0.0)) or "",
        heard=_time(process.heard) or "",
        requests=requests_of(process.values),
        in_flight=int(numbers.get(catalog.IN_FLIGHT.name, 0)),
        memory=int(numbers.get(catalog.MEMORY.name, 0)),
        cpu_seconds=round(numbers.get(catalog.CPU.name, 0.0), 1),
        loop_lag=numbers.get(catalog.LOOP_LAG.name, 0.0),
        ready=bool(numbers.get(catalog.READY.name, 1)),
    )


def verdict_entry(found: KeptVerdict) -> DoctorVerdict:
    """A verdict that the store keeps."""
    return DoctorVerdict(
        at=found.at,
        container=found.container,
        version=found.version,
        verdict=found.verdict,
        quick=found.quick,
        rounds=found.rounds,
        peer=found.peer,
        findings=[
            DoctorFinding(code=each.code, weight=each.weight, sentence=each.sentence, advice=each.advice)
            for each in found.findings
        ],
    )


def upstream_statuses(values: Iterable[Value], offered: Mapping[str, Offered], *, now: float) -> list[UpstreamStatus]:
    """The upstreams by name. `offered`: those that indexes have, or of which something is kept; `now`: seconds
    since the epoch."""
    counts: dict[str, dict[tuple[str, tuple[str, ...]], float]] = {name: {} for name in offered}
    for metric, labels, numbers in values:
        if metric.labels[:1] == ("upstream",):
            counts.setdefault(labels[0], {})[metric.name, labels[1:]] = numbers[0]
    nothing = Offered(None, ())
    return [_upstream_status(name, each, offered.get(name, nothing), now) for name, each in sorted(counts.items())]


def _upstream_status(
    name: str, counts: Mapping[tuple[str, tuple[str, ...]], float], offered: Offered, now: float
) -> UpstreamStatus:
    def of(metric: Metric, *labels: str) -> float:
        return counts.get((metric.name, labels), 0.0)

    answered, failed = of(catalog.UPSTREAM_ANSWERED), of(catalog.UPSTREAM_FAILED)
    fails = failed > answered
    # a worker that failed, and asks no more, does not know that another one got an answer since
    since = max(of(catalog.UPSTREAM_FAILING), answered) if fails else 0.0
    paused = of(catalog.UPSTREAM_PAUSED)
    pages = {each: int(of(catalog.MIRROR_PAGE_LOOKS, each)) for each in catalog.MIRROR_PAGES}
    files = {each: int(of(catalog.MIRROR_FILE_LOOKS, "file", each)) for each in catalog.MIRROR_FILES}
    return UpstreamStatus(
        name=name,
        url=offered.url,
        indexes=list(offered.indexes),
        state="fails" if fails else "answers" if answered else "unasked",
        since=_time(since),
        last_answer=_time(answered),
        last_failure=_time(failed),
        paused_until=_time(paused) if fails and paused > now else None,
        pages=pages,
        page_hits=_part(pages["kept"] + pages["stale"], sum(pages.values()) - pages["missing"]),
        files=files,
        file_hits=_part(files["kept"], sum(files.values())),
        received=int(of(catalog.UPSTREAM_RECEIVED)),
        sent=int(of(catalog.MIRROR_SENT)),
        kept_pages=offered.kept_pages,
        kept_files=offered.kept_files,
        kept_bytes=offered.kept_bytes,
    )


def _part(some: int, every: int) -> float | None:
    return round(some / every, 4) if every else None


def _time(seconds: float) -> str | None:
    return stamp(datetime.fromtimestamp(seconds, UTC)) if seconds else None
