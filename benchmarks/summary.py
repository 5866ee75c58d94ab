"""Tables over many measures: each figure of each server as ratios, quire in other servers, a huge project."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.corpora import BIG, CORPORA
from benchmarks.measures import authenticated, files, huge, pages, servers, uploads
from benchmarks.peers import BARE_ASGI, PEERS, QUIRE, VARIANTS
from benchmarks.results import BASE, Results
from benchmarks.suite import SUFFIX
from benchmarks.tables import capital, table, title
from benchmarks.targets import number

_PLAIN = (
    *(pages.PAGE, pages.ONE, pages.LIST, pages.JSON, pages.LIST_JSON, pages.GZIP, pages.UNCHANGED),
    *(files.SMALL, files.LARGE, files.PART, uploads.ONE, uploads.EIGHT),
)
_LOGGED_IN = (
    *(*authenticated.LISTINGS, authenticated.SMALL, authenticated.LARGE, authenticated.PART),
    *(authenticated.UPLOAD, authenticated.UPLOADS),
)
_SERVERS = servers.MEASURES
_WORK = (huge.UPLOADS, huge.UPLOAD, huge.NEW_PAGE, huge.PAGE, huge.STALE)
_PREFERRED = ("M", "S", "L", "XL", BIG.name, uploads.EMPTY)


def ratios(results: Results) -> str:
    """How many times as fast quire is as each peer, a row for each question; on M if it was measured there."""
    peers = [name for name in (*PEERS, uploads.LOOP) if name != BASE]
    return _ratios(results, _PLAIN, peers)


def ratios_logged_in(results: Results) -> str:
    """The same with a login: quire beside itself without one, and beside the peers that have one."""
    peers = [f"{name}{SUFFIX}" for name in PEERS if name != BASE]
    return _ratios(results, _LOGGED_IN, peers, over=f"{BASE}{SUFFIX}")


def _ratios(results: Results, measures: Sequence[str], peers: Sequence[str], over: str = BASE) -> str:
    columns = [peer for peer in peers if any(_corpus(results, measure, peer) for measure in measures)]
    if over != BASE and any(results.of(measure, corpus, over) for measure in measures for corpus in _PREFERRED):
        columns = [BASE, *columns]
    rows = []
    for measure in measures:
        found = [_factor(results, measure, peer, over) for peer in columns]
        if any(found):
            corpus = next(filter(None, (_corpus(results, measure, peer) for peer in (*columns, over))), "")
            told = [f"{number(factor)}x" if factor else "" for factor in found]
            rows.append((f"{capital(measure)}{f' ({corpus})' if corpus in CORPORA else ''}", *told))
    return table(("", *map(_short, columns)), rows) if rows else ""


def _corpus(results: Results, measure: str, peer: str) -> str | None:
    """Where the peer was measured: on M if it was."""
    return next((corpus for corpus in _PREFERRED if results.of(measure, corpus, peer)), None)


def _factor(results: Results, measure: str, peer: str, over: str) -> float | None:
    """`over` beside the peer. Each stands beside quire's own shots, so theirs are compared through these."""
    corpus = _corpus(results, measure, peer)
    if corpus is None:
        return None
    theirs = 1.0 if peer == BASE else results.ratio(measure, corpus, peer)
    ours = 1.0 if over == BASE else results.ratio(measure, corpus, over)
    return ours / theirs if ours and theirs else None


def _short(label: str) -> str:
    name, _, login = label.partition(SUFFIX[0])
    if label == BASE:
        return "quire without"
    shown = (PEERS[name].short or PEERS[name].title) if name in PEERS else title(name)
    return f"{shown}{', bcrypt' if login else ''}"


def other_servers(results: Results) -> str:
    """A row for each server that quire can run in, a column for each question; in brackets beside what it chooses."""
    measured = {measure: [shot.corpus for shot in results.shots if shot.measure == measure] for measure in _SERVERS}
    columns = [measure for measure in _SERVERS if measured[measure]]
    if not columns:
        return ""
    rows = []
    for name in (QUIRE.name, *VARIANTS, BARE_ASGI.name):
        cells = []
        for measure in columns:
            corpus = measured[measure][0]
            rate, ratio = results.rate(measure, corpus, name), results.ratio(measure, corpus, name)
            reason = results.reason(measure, corpus, name)
            told = number(rate) if rate is not None else reason or "-"
            cells.append(f"{told} ({number(ratio)}x)" if ratio and name != BASE else told)
        shown = "quire, uvicorn, uvloop, two workers" if name == BASE else title(name)
        rows.append((shown, *cells))
    head = [capital(measure.partition(": ")[2]) for measure in columns]
    return table(("", *head), rows)


def beside_huge(results: Results) -> str:
    """Latencies of the small page, and what went on meanwhile."""
    rows = []
    for measure, connections in ((huge.FRESH, "fresh connections"), (huge.KEPT, "kept connections")):
        for label, state in ((BASE, "nothing else goes on"), (huge.CHANGED, "the huge project is under work")):
            shots = [shot for shot in results.shots if (shot.measure, shot.server) == (measure, label)]
            if shots:
                median, late = (sum(values) / len(shots) for values in ([s.p50 for s in shots], [s.p99 for s in shots]))
                longest, errors = max(shot.max for shot in shots), sum(shot.errors for shot in shots)
                cells = (number(median), number(late), number(longest), number(sum(s.requests for s in shots)))
                rows.append((f"{connections}, {state}", *cells, str(errors)))
    if not rows:
        return ""
    text = table(("", "median, ms", "p99, ms", "longest, ms", "requests", "errors"), rows)
    where = next(shot.corpus for shot in results.shots if shot.measure in {huge.FRESH, huge.KEPT})
    said = [
        f"{number(figure.value)} {figure.unit}"
        for figure in (results.figure(each, where) for each in _WORK)
        if figure is not None
    ]
    if len(said) == len(_WORK):
        text += f"\nMeanwhile there were {said[0].replace(' /s', '')} uploads a second into it, of {said[1]} each, and "
        text += f"its page took {said[2]} when first asked for after one, {said[3]} in the middle of all; {said[4]} "
        text += "lacked the file just published.\n"
    return text
