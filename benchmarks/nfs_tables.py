"""The tables of the report about stores on network file systems, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measures import network, nfs
from benchmarks.nfs_guest import COPIED
from benchmarks.nfs_uploads import UPLOADS, VISIBLE
from benchmarks.peers import CACHED_DIR, QUIRE_STORE_ALONE
from benchmarks.results import BASE, Results
from benchmarks.tables import table, title
from benchmarks.targets import number

_SERVERS = {QUIRE_STORE_ALONE.name: QUIRE_STORE_ALONE.title}
_HEAD = ("of which", "requests/s", "median, ms")


def over_nfs(results: Results) -> str:
    """Round trips per request: quire's, then those of the others; below them what is missing and why."""
    rows = [
        (
            f"{question}{f': {title(server)}' if server != BASE else ''}",
            *_row(results, question, nfs.TRIPS, nfs.WHERE, server),
        )
        for question, server in _questions(results, nfs.TRIPS, nfs.WHERE)
    ]
    if not rows:
        reason = results.reason("nfs", "*", "*")
        return f"Not measured: {reason}.\n" if reason else ""
    return table(("", nfs.TRIPS, *_HEAD), rows) + "".join(f"\n{line}\n" for line in _told(results))


def over_network(results: Results) -> str:
    """The same with a network of one millisecond in place of NFS."""
    rows = [
        (
            question,
            _SERVERS.get(server) or title(server),
            *_row(results, question, network.QUESTIONS, network.WHERE, server),
        )
        for question, server in _questions(results, network.QUESTIONS, network.WHERE)
    ]
    if not rows:
        reason = results.reason("network", "*", "*")
        return f"Not measured: {reason}.\n" if reason else ""
    return table(("", "", network.QUESTIONS, *_HEAD), rows)


def _questions(results: Results, measure: str, where: str) -> list[tuple[str, str]]:
    """(question, server) of all figures of a measure, quire's first."""
    found = [
        (each.measure.removeprefix(f"{measure}: "), each.server)
        for each in results.figures
        if each.corpus == where and each.measure.startswith(f"{measure}: ")
    ]
    return sorted(dict.fromkeys(found), key=lambda each: each[1] != BASE)


def _row(results: Results, question: str, counted: str, where: str, server: str) -> tuple[str, ...]:
    """The cells after the question: the count, its kinds, the rate and the median."""
    trips = results.figure(f"{counted}: {question}", where, server)
    assert trips is not None
    shown = [results.value(f"{measured}: {question}", where, server) for measured in (nfs.RATE, nfs.MEDIAN)]
    return number(trips.value), trips.note, *("" if value is None else number(value) for value in shown)


def _told(results: Results) -> Iterator[str]:
    """Sentences on what is no count."""
    memory = [each for each in results.figures if each.measure.startswith(f"{nfs.MEMORY}: ")]
    if memory:
        yield f"All processes of {BASE} took {number(memory[-1].value)} MiB after these loads."
    stale = results.value(f"{nfs.STALE}: {VISIBLE}", nfs.WHERE)
    if stale is not None:
        median = results.value(f"{nfs.MEDIAN}: {VISIBLE}", nfs.WHERE)
        yield (
            f"Of {UPLOADS} uploads through one client, {number(stale)} were missing in the first answer through the "
            f"other; that answer was there {number(median or 0)} ms after the upload was acknowledged (median)."
        )
    copied = results.value(f"{nfs.STALE}: {COPIED}", nfs.WHERE, CACHED_DIR.name)
    if copied is not None:
        seen = "did not see" if copied else "saw"
        yield f"{title(CACHED_DIR.name)}, {seen} a file that the other client had copied in a second before."
    for each in results.missing:
        if each.corpus == nfs.WHERE:
            question = each.measure.rpartition(": ")[2]
            yield f"Not measured: {question}, {title(each.server)} ({' '.join(each.reason.split())[:200]})."
