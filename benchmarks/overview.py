"""The first screen of the report: each kind of service beside the most that is possible, and beside other indexes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.corpora import BIG
from benchmarks.measures import bucket, files, mirror, pages, uploads
from benchmarks.peers import CACHED_DIR, DEVPI, PERYX, PROXPI, SIMPLE_DIR
from benchmarks.peers.mirror import MIRROR
from benchmarks.results import BASE, Results
from benchmarks.tables import table
from benchmarks.targets import TARGETS, number

_PEERS = {
    "pypiserver": (SIMPLE_DIR.name, CACHED_DIR.name),
    "simple-repository-server": (MIRROR.name,),
    "devpi-server": (DEVPI.name,),
    "proxpi": (PROXPI.name,),
    "peryx": (PERYX.name,),
}
"""By column; of two the one that quire is less ahead of."""
_LIMITS = {
    "nginx": "nginx",
    uploads.LOOP: "system calls",
    mirror.DIRECT: "no mirror",
    mirror.HOSTED: "own files",
    bucket.DISK: "a disk",
}


@dataclass(frozen=True)
class _Row:
    """One question."""

    what: str
    measure: str
    corpora: Sequence[str]
    """The first one with figures counts."""
    limit: str
    """The label of the most that is possible."""


def _rows() -> list[_Row]:
    hosted, empty = ("M", "S", "L", "XL"), (uploads.EMPTY,)
    mirrored, kept = (mirror.WHERE,), (bucket.WHERE,)
    most = max(bucket.CONNECTIONS)
    return [
        _Row("Project page", pages.PAGE, hosted, "nginx"),
        _Row("Project list", pages.LIST, hosted, "nginx"),
        _Row("304 for a page", pages.UNCHANGED, hosted, "nginx"),
        _Row("Small file", files.SMALL, hosted, "nginx"),
        _Row("File of 20 MB", files.LARGE, (BIG.name,), "nginx"),
        _Row("Upload, 1 client", uploads.ONE, empty, uploads.LOOP),
        _Row("Upload, 8 clients", uploads.EIGHT, empty, uploads.LOOP),
        _Row("Mirror: `uv pip compile`, cold", mirror.COLD, mirrored, mirror.DIRECT),
        _Row("Mirror: its first repeat", mirror.REPEAT, mirrored, mirror.DIRECT),
        _Row("Mirror: it after a restart", mirror.RESTART, mirrored, mirror.DIRECT),
        _Row("Mirror: hot page of 10 files", mirror.FEW, mirrored, mirror.HOSTED),
        _Row("Mirror: hot page of 4,000 files", mirror.MANY, mirrored, mirror.HOSTED),
        _Row("Mirror: hot small file", mirror.FILE, mirrored, mirror.HOSTED),
        _Row(f"Bucket: page, {most} connections", bucket.page(most), kept, bucket.DISK),
        _Row("Bucket: small file", bucket.FILE, kept, bucket.DISK),
        _Row("Bucket: upload, 1 client", bucket.ONE, kept, bucket.DISK),
    ]


def overview(results: Results) -> str:
    """The table of what was measured; "" when nothing of it was."""
    rows = [(row.what, _cells(results, row)) for row in _rows()]
    measured = [(what, *cells) for what, cells in rows if cells]
    if not measured:
        return ""
    shown = table(("", "quire", "beside the limit", *_PEERS), measured)
    missing = "; ".join(what for what, cells in rows if not cells)
    return f"{shown}\nNot measured in this run: {missing}.\n" if missing else shown


def reached(results: Results) -> str:
    """One sentence: how many targets are reached."""
    verdicts = [verdict for _, verdict in (target.judge(results) for target in TARGETS)]
    unknown = verdicts.count(None)
    told = f"{verdicts.count(True)} of {len(verdicts) - unknown} targets are reached"
    return f"{told}; {unknown} were not measured in this run." if unknown else f"{told}."


def _cells(results: Results, row: _Row) -> tuple[str, ...] | None:
    """The figures of one row; None when quire was not asked."""
    corpus = next((name for name in row.corpora if results.of(row.measure, name, BASE)), "")
    rate = results.rate(row.measure, corpus, BASE)
    if not rate:
        return None
    limit = _factor(results, row.measure, corpus, row.limit)
    own = f"{number(1 / rate)} s" if row.measure in mirror.RESOLUTIONS else f"{number(rate)}/s"
    beside = f"{number(limit)}x {_LIMITS[row.limit]}" if limit else ""
    return own, beside, *(_peer(results, row.measure, corpus, names) for names in _PEERS.values())


def _peer(results: Results, measure: str, corpus: str, names: Sequence[str]) -> str:
    found = [factor for factor in (_factor(results, measure, corpus, name) for name in names) if factor]
    return f"{number(min(found))}x" if found else ""


def _factor(results: Results, measure: str, corpus: str, server: str) -> float | None:
    ratio = results.ratio(measure, corpus, server)
    return 1 / ratio if ratio else None
