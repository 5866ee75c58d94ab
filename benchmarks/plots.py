"""The plots of the report: what grows with the number of files, and what does not."""

from __future__ import annotations

from pathlib import Path

from benchmarks.chart import Series, chart
from benchmarks.corpora import CORPORA
from benchmarks.measures import memory, pages, starting
from benchmarks.peers import PEERS
from benchmarks.results import BASE, Results
from benchmarks.tables import title
from benchmarks.targets import number

FOLDER = "images"
"""The folder of the plots, beside the page."""


def plots(results: Results, folder: Path) -> list[str]:
    """Draw what there are figures for; the Markdown that shows each, "" for one that there is not."""
    wanted = (
        ("benchmark-pages", "Project pages: requests per second", _lines_of_rates(results, pages.PAGE)),
        ("benchmark-list", "The list of all projects: requests per second", _lines_of_rates(results, pages.LIST)),
        ("benchmark-start", "Start to first project page: seconds", _lines_of_figures(results, starting.FIRST_PAGE)),
        ("benchmark-memory", "Memory of all processes under load: MiB", _lines_of_figures(results, memory.LOADED)),
    )
    shown = []
    for name, heading, series in wanted:
        if not any(len(each.points) > 1 for each in series):
            shown.append("")
            continue
        description = "; ".join(
            f"{each.name}: {', '.join(f'{number(y)} with {x:,.0f} files' for x, y in each.points)}" for each in series
        )
        (folder / f"{name}.svg").write_text(chart(heading, "files in the index", series, description))
        shown.append(f"![{heading}, against the number of files in the index]({FOLDER}/{name}.svg)\n")
    return shown


def _series(name: str, points: list[tuple[float, float]]) -> Series:
    return Series(PEERS[name].short or title(name), points, strong=name == BASE, dashed=name in {"nginx", "bare"})


def _lines_of_rates(results: Results, measure: str) -> list[Series]:
    found = []
    for name in PEERS:
        rates = [(float(corpus.files), results.rate(measure, corpus.name, name)) for corpus in CORPORA.values()]
        found.append((name, [(files_, rate) for files_, rate in rates if rate]))
    return [_series(name, points) for name, points in found if points]


def _lines_of_figures(results: Results, measure: str) -> list[Series]:
    found = []
    for name in PEERS:
        values = [(float(corpus.files), results.value(measure, corpus.name, name)) for corpus in CORPORA.values()]
        found.append((name, [(files_, value) for files_, value in values if value]))
    return [_series(name, points) for name, points in found if points]
