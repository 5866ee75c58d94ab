"""Ratings of CVSS vectors: the base scores of versions 2.0, 3.0 and 3.1 by the equations of FIRST's specifications, and
the score of version 4.0 (`cvss4.py`).

Sources: https://www.first.org/cvss/v2/guide (3.2.1), https://www.first.org/cvss/v3.1/specification-document (5, 7.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from quire.domain import cvss4
from quire.domain.advisories import Severity

_MOST_CHARACTERS: Final = 400
_V2: Final = {
    "AV": {"L": 0.395, "A": 0.646, "N": 1.0},
    "AC": {"H": 0.35, "M": 0.61, "L": 0.71},
    "Au": {"M": 0.45, "S": 0.56, "N": 0.704},
    "C": {"N": 0.0, "P": 0.275, "C": 0.660},
    "I": {"N": 0.0, "P": 0.275, "C": 0.660},
    "A": {"N": 0.0, "P": 0.275, "C": 0.660},
}
_V3: Final = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62},
    "S": {"U": 0.0, "C": 1.0},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES_OF_CHANGED_SCOPE: Final = {"N": 0.85, "L": 0.68, "H": 0.5}


def base_score(vector: str) -> float | None:
    """The base score of a vector, from 0.0 to 10.0; None for a text that is no whole vector.

    Of version 4.0 it is the score by all metrics of the vector: that version has one score, and what an advisory says
    of exploits (E) is a part of it.
    """
    if len(vector) > _MOST_CHARACTERS:
        return None
    if vector.startswith("CVSS:3.1/"):
        return _v3(vector[9:], _rounded_up)
    if vector.startswith("CVSS:4.0/"):
        return cvss4.score(vector[9:])
    if vector.startswith("CVSS:3.0/"):
        return _v3(vector[9:], lambda score: math.ceil(score * 10) / 10)
    return None if vector.startswith("CVSS:") else _v2(vector.strip("()"))


def rating_of(vector: str) -> Severity | None:
    """The qualitative rating of a vector's base score; None where there is no score.

    Version 2.0 has no rating of its own for 9.0 and more; the scale of version 3.1 (section 5), which is that of 4.0
    (section 6), is taken for all.
    """
    score = base_score(vector)
    if score is None:
        return None
    if score == 0:
        return Severity.NONE
    bounds = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM))
    return next((rating for least, rating in bounds if score >= least), Severity.LOW)


def _metrics(text: str) -> dict[str, str]:
    """The parts of a vector; {} where one is there twice."""
    pairs = [part.partition(":")[::2] for part in text.split("/") if part]
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


def _v2(text: str) -> float | None:
    metrics = _metrics(text)
    try:
        value = {name: values[metrics[name]] for name, values in _V2.items()}
    except KeyError:
        return None
    impact = 10.41 * (1 - (1 - value["C"]) * (1 - value["I"]) * (1 - value["A"]))
    exploitability = 20 * value["AV"] * value["AC"] * value["Au"]
    weight = 1.176 if impact else 0.0
    return round((0.6 * impact + 0.4 * exploitability - 1.5) * weight, 1)


def _v3(text: str, rounded: Callable[[float], float]) -> float | None:
    metrics = _metrics(text)
    try:
        value = {name: values[metrics[name]] for name, values in _V3.items()}
    except KeyError:
        return None
    is_changed = metrics["S"] == "C"
    privileges = _PRIVILEGES_OF_CHANGED_SCOPE[metrics["PR"]] if is_changed else value["PR"]
    base = 1 - (1 - value["C"]) * (1 - value["I"]) * (1 - value["A"])
    impact = 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15 if is_changed else 6.42 * base
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * value["AV"] * value["AC"] * privileges * value["UI"]
    score = min((1.08 if is_changed else 1.0) * (impact + exploitability), 10.0)
    return rounded(score)


def _rounded_up(score: float) -> float:
    """`Roundup` of version 3.1, appendix A: to one decimal, without errors of floating point."""
    hundred_thousandths = round(score * 100_000)
    if hundred_thousandths % 10_000 == 0:
        return hundred_thousandths / 100_000
    return (hundred_thousandths // 10_000 + 1) / 10
