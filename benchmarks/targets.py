"""The targets of quire, and whether it reached them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.corpora import BIG
from benchmarks.measures import (
    authenticated,
    bucket,
    burst,
    files,
    growth,
    logging,
    memory,
    mirror,
    network,
    nfs,
    pages,
    servers,
    starting,
    uploads,
)
from benchmarks.nfs_guest import NO_DROP_IN
from benchmarks.peers import GUNICORN, GUNICORN_LOGGING, LOGGING, NGINX_LOGGING, QUIRE_STORE_ALONE, SERVE
from benchmarks.results import BASE, Results
from benchmarks.suite import SUFFIX

Verdict = tuple[str, bool | None]
"""The figure, and whether it reaches the target; None when it was not measured."""
NOT_MEASURED: Verdict = ("not measured", None)
_AUTHENTICATED = f"{BASE}{SUFFIX}"
_FLAT_MIB = 32
"""How much memory may grow by and be called flat."""


@dataclass(frozen=True)
class Target:
    what: str
    goal: str
    judge: Callable[[Results], Verdict]


def _beside(measure: str, corpus: str, peer: str, least: float) -> Callable[[Results], Verdict]:
    """quire's rate over a peer's."""

    def judge(results: Results) -> Verdict:
        ratio = results.ratio(measure, corpus, peer)
        if not ratio:
            return NOT_MEASURED
        return f"{number(1 / ratio)}", 1 / ratio >= least

    return judge


def _times_of(measure: str, where: str, peer: str, most: float) -> Callable[[Results], Verdict]:
    """quire's time over a peer's."""

    def judge(results: Results) -> Verdict:
        ratio = results.ratio(measure, where, peer)
        return NOT_MEASURED if ratio is None else (number(ratio), ratio <= most)

    return judge


def _at_most(measure: str, corpus: str, server: str, most: float) -> Callable[[Results], Verdict]:
    def judge(results: Results) -> Verdict:
        figure = results.figure(measure, corpus, server)
        if figure is None:
            return NOT_MEASURED
        return f"{number(figure.value)} {figure.unit}".strip(), figure.value <= most

    return judge


def _logging_in(measure: str, corpus: str = "M") -> Callable[[Results], Verdict]:
    """quire with a login over quire without."""

    def judge(results: Results) -> Verdict:
        ratio = results.ratio(measure, corpus, _AUTHENTICATED)
        return NOT_MEASURED if ratio is None else (number(ratio), ratio >= 0.85)

    return judge


def _as_served(measure: str) -> Callable[[Results], Verdict]:
    """`quire serve` over nginx, both with an access log."""

    def judge(results: Results) -> Verdict:
        served, nginx = (results.ratio(measure, "M", peer.name) for peer in (SERVE, NGINX_LOGGING))
        return NOT_MEASURED if not served or not nginx else (number(served / nginx), served / nginx >= 0.5)

    return judge


def _with_a_log(measure: str) -> Callable[[Results], Verdict]:
    """The slowest of quire's commands that log, over the same server without a log."""

    def judge(results: Results) -> Verdict:
        by_name = {name: results.ratio(measure, "M", name) for name in (*LOGGING, GUNICORN.name)}
        without = by_name.pop(GUNICORN.name)
        logs = by_name[GUNICORN_LOGGING.name]
        if logs is not None and without is not None:
            by_name[GUNICORN_LOGGING.name] = logs / without
        ratios = [ratio for ratio in by_name.values() if ratio is not None]
        return (number(min(ratios)), min(ratios) >= 0.8) if ratios else NOT_MEASURED

    return judge


def _growing(measure: str) -> Callable[[Results], Verdict]:
    """The largest store's rate over the base's; both have pages with as many files."""

    def judge(results: Results) -> Verdict:
        shots = [shot for shot in results.shots if shot.measure == measure and shot.server == f"{BASE}@XL"]
        ratio = results.ratio(measure, shots[0].corpus, f"{BASE}@XL") if shots else None
        if ratio is None:
            return NOT_MEASURED
        return f"XL: {number(ratio)} of {shots[0].corpus}", ratio >= 0.9

    return judge


def _list_by_bytes(results: Results) -> Verdict:
    """Bytes per second of the project list must not fall while the list grows."""
    small, large = results.of(pages.LIST, "M", BASE), results.of(pages.LIST, "XL", BASE)
    if not small or not large:
        return NOT_MEASURED
    speeds = [sum(shot.bytes_per_second for shot in shots) / len(shots) for shots in (small, large)]
    return f"{speeds[1] / 2**20:,.0f} MiB/s, M {speeds[0] / 2**20:,.0f}", speeds[1] >= 0.9 * speeds[0]


def _under_load(trips: str, rate: str, where: str, server: str) -> Callable[[Results], Verdict]:
    """At most a fifth of a round trip for each request; few at a load that never came are no success."""

    def judge(results: Results) -> Verdict:
        counted, reached = results.value(trips, where, server), results.value(rate, where, server)
        if counted is None or reached is None:
            return NOT_MEASURED
        return f"{number(counted)} at {reached:,.0f}/s", counted <= 0.2 and reached >= 1800

    return judge


def _on_nfs_under_load(flag: str) -> Callable[[Results], Verdict]:
    question = f"page, 2,000 a second{flag}"
    return _under_load(f"{nfs.TRIPS}: {question}", f"{nfs.RATE}: {question}", nfs.WHERE, BASE)


def _away_under_load(server: str) -> Callable[[Results], Verdict]:
    question = network.paced(2000)
    return _under_load(f"{network.QUESTIONS}: {question}", f"{nfs.RATE}: {question}", network.WHERE, server)


def _mirrored(measure: str, least: float) -> Callable[[Results], Verdict]:
    return _beside(measure, mirror.WHERE, mirror.HOSTED, least)


def _in_bucket(measure: str, most: float) -> Callable[[Results], Verdict]:
    return _at_most(measure, bucket.WHERE, BASE, most)


_BURST = f"{BASE}{SUFFIX}"
_FEWEST, _MOST = min(bucket.CONNECTIONS), max(bucket.CONNECTIONS)
TARGETS = (
    Target(
        "quire serve: project page, M, beside nginx, both with an access log", "at least 0.5", _as_served(logging.PAGE)
    ),
    Target("project page, M, beside nginx", "at least 0.5", _beside(pages.PAGE, "M", "nginx", 0.5)),
    Target("beside pypiserver simple-dir", "at least 1,000", _beside(pages.PAGE, "M", "simple-dir", 1000)),
    Target("beside pypiserver cached-dir", "at least 30", _beside(pages.PAGE, "M", "cached-dir", 30)),
    Target("with an access log: project page, beside without", "at least 0.8", _with_a_log(logging.PAGE)),
    Target("with an access log: 304", "at least 0.8", _with_a_log(logging.UNCHANGED)),
    Target("with an access log: small file", "at least 0.8", _with_a_log(logging.SMALL)),
    Target("with a bcrypt login: project page, beside without", "at least 0.85", _logging_in(authenticated.PAGE)),
    Target("with a login: project list", "at least 0.85", _logging_in(authenticated.LIST)),
    Target("with a login: 304", "at least 0.85", _logging_in(authenticated.UNCHANGED)),
    Target("with a login: small file", "at least 0.85", _logging_in(authenticated.SMALL)),
    Target("with a login: file of 20 MB", "at least 0.85", _logging_in(authenticated.LARGE, BIG.name)),
    Target("with a login: upload", "at least 0.85", _logging_in(authenticated.UPLOAD, uploads.EMPTY)),
    Target(
        "beside an application of the same server that returns 4 KB",
        "at least 0.85",
        _beside(servers.PAGE, "M", "bare-asgi", 0.85),
    ),
    Target(
        "beside 4 KB returned where quire answers, before the parser",
        "at least 0.85",
        _beside(pages.PAGE, "M", "bare", 0.85),
    ),
    Target("growth to XL: project page", "at least 0.9", _growing(growth.PAGE)),
    Target("growth to XL: small file", "at least 0.9", _growing(growth.FILE)),
    Target("growth to XL: upload", "at least 0.9", _growing(uploads.GROWTH)),
    Target("growth to XL: project list", "proportional to its bytes", _list_by_bytes),
    Target("304, M, beside nginx", "at least 0.5", _beside(pages.UNCHANGED, "M", "nginx", 0.5)),
    Target("files of 20 MB, beside nginx", "at least 1", _beside(files.LARGE, BIG.name, "nginx", 1.0)),
    Target("memory while they are sent", "flat", _at_most(files.MEMORY, BIG.name, BASE, _FLAT_MIB)),
    Target(
        "uploads, 1 client, beside the loop", "at least 0.5", _beside(uploads.ONE, uploads.EMPTY, uploads.LOOP, 0.5)
    ),
    Target(
        "uploads, 8 clients, beside 8 loops", "at least 0.5", _beside(uploads.EIGHT, uploads.EMPTY, uploads.LOOP, 0.5)
    ),
    Target(
        "uploads, 1 client, the later target", "at least 0.6", _beside(uploads.ONE, uploads.EMPTY, uploads.LOOP, 0.6)
    ),
    Target(
        "uploads, 8 clients, the later target", "at least 0.4", _beside(uploads.EIGHT, uploads.EMPTY, uploads.LOOP, 0.4)
    ),
    Target("cold start, XL: first project page", "under 1 s", _at_most(starting.FIRST_PAGE, "XL", BASE, 1)),
    Target("cold start, XL: first project list", "under 3 s", _at_most(starting.FIRST_LIST, "XL", BASE, 3)),
    Target("memory of a worker, XL", "under 150 MiB", _at_most(memory.WORKER, "XL", BASE, 150)),
    Target("NFS, idle: round trips per page", "at most 1", _at_most(f"{nfs.TRIPS}: page, idle", nfs.WHERE, BASE, 1)),
    Target(
        f"the same with {NO_DROP_IN}",
        "at most 1",
        _at_most(f"{nfs.TRIPS}: page, idle, {NO_DROP_IN}", nfs.WHERE, BASE, 1),
    ),
    Target("NFS, idle: round trips per list", "at most 1", _at_most(f"{nfs.TRIPS}: list, idle", nfs.WHERE, BASE, 1)),
    Target(
        f"the same with {NO_DROP_IN}",
        "at most 1",
        _at_most(f"{nfs.TRIPS}: list, idle, {NO_DROP_IN}", nfs.WHERE, BASE, 1),
    ),
    Target("NFS in the slow machine, 2,000 requests/s on one page", "at most 0.2", _on_nfs_under_load("")),
    Target(f"the same with {NO_DROP_IN}", "at most 0.2", _on_nfs_under_load(f", {NO_DROP_IN}")),
    Target("FUSE with 1 ms, 2,000 requests/s on one page", "at most 0.2", _away_under_load(BASE)),
    Target(f"the same with {NO_DROP_IN}", "at most 0.2", _away_under_load(QUIRE_STORE_ALONE.name)),
    Target("burst of 510: errors", "none", _at_most(burst.ERRORS, burst.WHERE, _BURST, 0)),
    Target("burst of 510: p95", "under 1 s", _at_most(burst.P95, burst.WHERE, _BURST, 1)),
    Target("burst of 510: p99", "under 1.5 s", _at_most(burst.P99, burst.WHERE, _BURST, 1.5)),
    Target(
        "mirror: time of a cold `uv pip compile`, beside no mirror",
        "at most 1.3",
        _times_of(mirror.COLD, mirror.WHERE, mirror.DIRECT, 1.3),
    ),
    Target("mirror: its first repeat", "at most 1", _times_of(mirror.REPEAT, mirror.WHERE, mirror.DIRECT, 1)),
    Target("mirror: after a restart", "at most 1", _times_of(mirror.RESTART, mirror.WHERE, mirror.DIRECT, 1)),
    Target("mirror: page of 10 files, beside own files", "at least 0.9", _mirrored(mirror.FEW, 0.9)),
    Target("mirror: page of 4,000 files, beside own files", "at least 0.9", _mirrored(mirror.MANY, 0.9)),
    Target(
        "mirror: 304 for a page of 10 files, beside own files", "at least 0.9", _mirrored(mirror.FEW_UNCHANGED, 0.9)
    ),
    Target("mirror: 304 for a page of 4,000 files", "at least 0.9", _mirrored(mirror.MANY_UNCHANGED, 0.9)),
    Target(
        f"bucket: page, {_FEWEST} connections, beside a local directory",
        "at least 0.5",
        _beside(bucket.page(_FEWEST), bucket.WHERE, bucket.DISK, 0.5),
    ),
    Target(
        f"bucket: page, {_MOST} connections, beside a local directory",
        "at least 0.5",
        _beside(bucket.page(_MOST), bucket.WHERE, bucket.DISK, 0.5),
    ),
    Target(
        "bucket: GETs for each request and worker, 2,000 requests/s on one page",
        "at most 0.1",
        _in_bucket(bucket.GETS, 0.1),
    ),
    Target("bucket 10 ms away: page, median", "under 15 ms", _in_bucket(bucket.PAGE_AWAY, 15)),
    Target("bucket 10 ms away: upload, median", "under 120 ms", _in_bucket(bucket.UPLOAD_AWAY, 120)),
    Target("bucket 10 ms away: start to the first right page", "under 1 s", _in_bucket(bucket.START_AWAY, 1)),
    Target("bucket 10 ms away: list of 1,000,000 names, cold", "under 5 s", _in_bucket(bucket.NAMES_AWAY, 5)),
)


def number(value: float) -> str:
    """As many digits as say something."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.095 else f"{value:.2g}"
