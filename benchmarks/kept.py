"""Results as a document: what was measured, and what follows from it (ratios, targets), for programs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.results import BASE, Results
from benchmarks.targets import TARGETS


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """quire beside one server in one question."""

    measure: str
    corpus: str
    server: str
    quire: float
    """The mean rate of quire's shots, or its figure."""
    other: float
    ratio: float
    """quire's over the other's: of rates, between neighbouring shots."""
    unit: str
    """Of `quire` and `other`; "/s" for rates, where more is better."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One target."""

    what: str
    goal: str
    measured: str
    reached: bool | None
    """None when it was not measured."""


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """The ratios and targets that follow from results."""

    ratios: list[Ratio]
    targets: list[Judged]


def derived(results: Results) -> Derived:
    judged = [(target, *target.judge(results)) for target in TARGETS]
    return Derived(
        ratios=[*_of_rates(results), *_of_figures(results)],
        targets=[
            Judged(what=target.what, goal=target.goal, measured=measured, reached=reached)
            for target, measured, reached in judged
        ],
    )


def save(results: Results, path: Path) -> None:
    """Write them; `Results.load` reads what was measured."""
    document = msgspec.to_builtins(results) | msgspec.to_builtins(derived(results))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def _of_rates(results: Results) -> list[Ratio]:
    found = []
    for measure, corpus, server in dict.fromkeys((shot.measure, shot.corpus, shot.server) for shot in results.shots):
        ratio = results.ratio(measure, corpus, server) if server != BASE else None
        quire, other = results.rate(measure, corpus, BASE), results.rate(measure, corpus, server)
        if ratio and quire is not None and other is not None:
            found.append(
                Ratio(
                    measure=measure, corpus=corpus, server=server, quire=quire, other=other, ratio=1 / ratio, unit="/s"
                )
            )
    return found


def _of_figures(results: Results) -> list[Ratio]:
    found = []
    for figure in results.figures:
        quire = results.value(figure.measure, figure.corpus)
        if figure.server != BASE and quire is not None and figure.value:
            found.append(
                Ratio(
                    measure=figure.measure,
                    corpus=figure.corpus,
                    server=figure.server,
                    quire=quire,
                    other=figure.value,
                    ratio=quire / figure.value,
                    unit=figure.unit,
                )
            )
    return found
