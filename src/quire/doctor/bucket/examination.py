"""The examination of a bucket, in its order: rights, visibility, conditions, transfers, settings, speed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from quire.doctor.bucket.checks import Check, Result
from quire.doctor.bucket.conditions import check_creation, check_replacement
from quire.doctor.bucket.rights import check_rights
from quire.doctor.bucket.settings import check_settings
from quire.doctor.bucket.site import PARENT, Site, create, nonce, site
from quire.doctor.bucket.transfers import check_transfers
from quire.doctor.bucket.visibility import check_visibility
from quire.doctor.findings import Verdict, verdict
from quire.domain.errors import ConfigurationError, StoreError
from quire.process.progress import Progress
from quire.store.bucket.addresses import address_of
from quire.store.bucket.objects import BlobBucket, Forbidden

if TYPE_CHECKING:
    from quire.store.bucket.aws import S3Control

_RACES_OF: Final = 10
"""Rounds to one race of creations."""
_APPENDS_OF: Final = 4
"""Rounds to one append of the race of replacements."""
_TIMED: Final = 100
_SKEWED: Final = 60.0
"""Seconds between two clocks that are worth a sentence."""
_DOLLARS: Final = {"put": 5e-6, "list": 5e-6, "get": 4e-7, "head": 4e-7, "delete": 0.0}
"""The price of a request on AWS S3 in US dollars, us-east-1."""


@dataclass(frozen=True, slots=True)
class Request:
    """The parameters of an examination."""

    url: str
    connect: Callable[[], BlobBucket]
    """Opens the store's objects once more, with TCP connections of their own."""
    control: S3Control | None
    """None: the settings of the bucket cannot be asked for."""
    rounds: int
    quick: bool = False


@dataclass(slots=True)
class Report:
    """The result."""

    url: str
    rounds: int
    quick: bool
    has_store: bool = False
    server: str = ""
    """The name that the server gives itself; empty when it gives none."""
    checks: list[Check] = field(default_factory=list)
    measures: dict[str, float | None] = field(default_factory=dict)
    """Milliseconds: conditional reads of an unchanged object and writes, median and 99th percentile; `clock_skew_s`."""
    requests: dict[str, int] = field(default_factory=dict)
    """By kind."""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        return verdict(each.finding for each in self.checks if each.finding is not None)

    @property
    def dollars(self) -> float:
        """The cost of the requests on AWS S3."""
        return sum(count * _DOLLARS.get(kind, 0.0) for kind, count in self.requests.items())


def examine(request: Request, progress: Progress | None = None) -> Report:
    """Examine a bucket. Raises ConfigurationError when there is none, or it cannot be reached."""
    report = Report(request.url, request.rounds, request.quick)
    began = time.monotonic()
    with site(request.connect) as place:
        try:
            report.has_store = place.connections[0].get("format.json") is not None
        except Forbidden:
            pass  # the rights are examined first
        except StoreError as error:
            raise ConfigurationError(str(error)) from error
        if request.control is not None:
            with contextlib.suppress(StoreError):  # a name is nothing that the promise depends on
                report.server = request.control.server()
        _Examination(request, report, place, progress or Progress()).run()
    for connection in place.connections:
        for kind, count in connection.counts.requests.items():
            report.requests[kind] = report.requests.get(kind, 0) + count
    report.seconds = time.monotonic() - began
    return report


class _Examination:
    """All checks, in their order."""

    def __init__(self, request: Request, report: Report, place: Site, progress: Progress) -> None:
        self._request = request
        self._checks = report.checks
        self._report = report
        self._site = place
        self._progress = progress

    def run(self) -> None:
        """Fill the report."""
        address = address_of(self._request.url)
        place, rounds, control = self._site, self._request.rounds, self._request.control
        races, appends = max(3, rounds // _RACES_OF), max(6, rounds // _APPENDS_OF)
        reach = self._progress.reach
        self._try("trying the rights", 1, lambda: check_rights(place, address.scheme, control))
        if self._is_well():
            self._try("asking right after changes", rounds, lambda: check_visibility(place, rounds, reach))
            if self._is_well():
                self._try("racing for new objects", races, lambda: check_creation(place, races, reach))
                self._try("racing for one object", appends, lambda: check_replacement(place, appends, reach))
            else:
                self._checks.append(_UNTRIED)
            self._try("sending parts", 1, lambda: check_transfers(place, control))
            self._try("measuring", 1, self._measure)
        server = self._report.server
        self._try("asking for the settings", 1, lambda: check_settings(control, address.prefix, PARENT, server))

    def _is_well(self) -> bool:
        return self._report.verdict is Verdict.KEEPS

    def _try(self, title: str, total: int, checks: Callable[[], Iterator[Check]]) -> None:
        """Run a few checks; one that the bucket cannot answer leaves the promise open."""
        self._progress.step(title, total)
        try:
            for check in checks():
                self._checks.append(check)
        except StoreError as error:
            sentence = f"Something could not be tried ({title}): {error}"
            self._checks.append(Check("incomplete", Result.UNKNOWN, sentence, "Repair that, and run this again."))
        self._progress.reach(total)

    def _measure(self) -> Iterator[Check]:
        connection, key = self._site.connections[0], self._site.key("measured")
        before = time.time()
        version = create(connection, key, nonce())
        after = time.time()
        stored = connection.head(key)
        if stored is not None:
            # Its time may be in whole seconds, and began before the answer did.
            skew = stored.modified - (before + after) / 2
            self._report.measures["clock_skew_s"] = round(skew, 3)
            yield _judge_clock(skew)
        reads = _times(lambda: connection.get(key, version), _TIMED // 4 if self._request.quick else _TIMED)
        writes = _times(lambda: connection.overwrite(key, nonce()), _TIMED // 4)
        self._report.measures |= {**_spread("read", reads), **_spread("write", writes)}


_UNTRIED: Final = Check(
    "conditions", Result.UNKNOWN, "The conditions of writes were not tried: what is read here cannot be believed."
)


def _judge_clock(skew: float) -> Check:
    if abs(skew) <= _SKEWED:
        return Check("clock", Result.OK, "The clocks of the bucket and of this machine agree.")
    return Check(
        "clock",
        Result.WARNING,
        f"The bucket's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's. The promise "
        "does not depend on it; a bucket refuses requests that are 15 minutes off.",
        "Let this machine use NTP.",
    )


def _times(do: Callable[[], object], repetitions: int) -> list[float]:
    """Milliseconds of each repetition."""
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        do()
        times.append((time.perf_counter() - began) * 1000)
    return times


def _spread(what: str, times: list[float]) -> dict[str, float]:
    slow = sorted(times)[math.ceil(0.99 * len(times)) - 1]
    return {f"{what}_ms": round(median(times), 2), f"{what}_p99_ms": round(slow, 2)}


def document(report: Report) -> dict[str, Any]:
    """The report for scripts. Its keys are an interface: they are added to, and never change their meaning."""
    return {
        "bucket": report.url,
        "verdict": str(report.verdict),
        "findings": [asdict(each.finding) for each in report.checks if each.finding is not None],
        "checks": [asdict(each) for each in report.checks],
        "server": report.server,
        "store": {"present": report.has_store},
        "rounds": report.rounds,
        "quick": report.quick,
        "requests": report.requests,
        "dollars": round(report.dollars, 4),
        "seconds": round(report.seconds, 1),
        "measures": report.measures,
    }
