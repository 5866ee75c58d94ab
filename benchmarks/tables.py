"""The tables of the report, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measures import bucket, mirror, uploads
from benchmarks.peers import BARE_ASGI, LOGGING, NGINX_LOGGING, PEERS, VARIANTS
from benchmarks.results import BASE, Results
from benchmarks.suite import SUFFIX
from benchmarks.targets import TARGETS, number

_MEGABYTES = {uploads.LARGE: uploads.LARGE_MEGABYTES}
"""Measures whose rates are told in MB/s, and what one answer counts for."""
_NAMES = {
    uploads.LOOP: "the loop of system calls",
    mirror.DIRECT: "without quire",
    mirror.HOSTED: "quire, the same files as its own",
    bucket.DISK: "quire, a local directory",
}


def title(label: str) -> str:
    """A server's name for people, from its label in the results."""
    if label in _NAMES:
        return _NAMES[label]
    name, _, corpus = label.partition("@")
    name, _, login = name.partition(SUFFIX[0])
    known = PEERS | VARIANTS | LOGGING | {each.name: each for each in (BARE_ASGI, NGINX_LOGGING)}
    shown = known[name].title if name in known else name
    return f"{shown}{f', {corpus}' if corpus else ''}{', with bcrypt' if login else ''}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose numbers are on the right."""
    lines = [f"| {' | '.join(head)} |", f"|---{'|---:' * (len(head) - 1)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def targets(results: Results) -> str:
    rows = []
    for target in TARGETS:
        figure, reached = target.judge(results)
        rows.append((target.what, target.goal, figure, {True: "yes", False: "**no**", None: ""}[reached]))
    return table(("", "target", "measured", "reached"), rows)


def rates(results: Results, measure: str, corpora: Sequence[str]) -> str:
    """A table of rates: a row for each server, a column for each corpus; below it what is missing and why."""
    shown = [corpus for corpus in corpora if results.of(measure, corpus)]
    if not shown:
        return ""
    servers = list(dict.fromkeys(shot.server for corpus in shown for shot in results.of(measure, corpus)))
    servers += [
        each.server
        for each in results.missing
        if each.measure in {measure, "*"} and each.corpus in shown and each.server not in servers
    ]
    reasons: list[str] = []
    rows = [
        (title(server), *(_rate(results, measure, corpus, server, reasons) for corpus in shown))
        for server in dict.fromkeys(servers)
        if any(
            results.rate(measure, corpus, server) is not None or results.reason(measure, corpus, server)
            for corpus in shown
        )
    ]
    unit = ", MB/s" if measure in _MEGABYTES else ", seconds" if measure in mirror.RESOLUTIONS else ""
    return f"**{capital(measure)}{unit}**\n\n{table(('', *shown), rows)}{_footnotes(reasons)}"


def _rate(results: Results, measure: str, corpus: str, server: str, reasons: list[str]) -> str:
    rate = results.rate(measure, corpus, server)
    if rate is None:
        return _why(results.reason(measure, corpus, server), reasons)
    errors = sum(shot.errors for shot in results.of(measure, corpus, server))
    shown = 1 / rate if rate and measure in mirror.RESOLUTIONS else rate * _MEGABYTES.get(measure, 1)
    text = number(shown) + (f", {errors} errors" if errors else "")
    if server == BASE:
        spread = results.spread(measure, corpus)
        return f"{text}{f' ±{spread / 2:.0%}' if spread is not None else ''}"
    ratio = results.ratio(measure, corpus, server)
    return f"{text} ({number(1 / ratio)}x)" if ratio else text


def servers_of(results: Results, measure: str) -> list[str]:
    noted = [each.server for each in results.figures if each.measure == measure]
    noted += [each.server for each in results.missing if each.measure == measure]
    order = {name: index for index, name in enumerate(PEERS)}
    return sorted(dict.fromkeys(noted), key=lambda label: order.get(label.partition(SUFFIX)[0], len(order)))


def figures(results: Results, measures: Sequence[str], corpora: Sequence[str], servers: Sequence[str]) -> str:
    """A table of figures: a row for each server, a column for each corpus or, if there is one corpus, each measure."""
    shown = [corpus for corpus in corpora if any(results.figure(m, corpus, s) for m in measures for s in servers)]
    if not shown:
        return ""
    reasons: list[str] = []
    columns = [(measure, corpus) for measure in measures for corpus in shown]
    rows = [(title(each), *(_figure(results, *column, each, reasons) for column in columns)) for each in servers]
    if len(shown) > 1:
        return f"**{capital(measures[0])}**\n\n{table(('', *shown), rows)}{_footnotes(reasons)}"
    if len(measures) > 1 and len(servers) < len(measures):  # many columns of words are hard to read: turn it round
        turned = [(capital(measure), *(row[place + 1] for row in rows)) for place, measure in enumerate(measures)]
        return f"{table(('', *map(title, servers)), turned)}{_footnotes(reasons)}"
    return f"{table(('', *map(capital, measures)), rows)}{_footnotes(reasons)}"


def _figure(results: Results, measure: str, corpus: str, server: str, reasons: list[str]) -> str:
    figure = results.figure(measure, corpus, server)
    if figure is None:
        return _why(results.reason(measure, corpus, server), reasons)
    text = f"{number(figure.value)} {figure.unit}".strip()
    return f"{text}{_why(figure.note, reasons)}" if figure.note and "error" in measure and figure.value else text


def _why(reason: str | None, reasons: list[str]) -> str:
    if not reason:
        return "-"
    if reason not in reasons:
        reasons.append(reason)
    return f"[{reasons.index(reason) + 1}]"


def _footnotes(reasons: Sequence[str]) -> str:
    lines = "".join(f"[{index}] {' '.join(reason.split())}  \n" for index, reason in enumerate(reasons, 1))
    return f"\n{lines}" if lines else ""


def capital(text: str) -> str:
    """A measure's name as a heading."""
    text = text.removeprefix("burst: ")
    return text[:1].upper() + text[1:]
