"""Scores of CVSS 4.0 vectors, as FIRST's specification has them (https://www.first.org/cvss/v4.0/specification-document).

Theory of operation (section 8). The score is no equation over metrics. A vector belongs to one of 270 sets, its
MacroVector, by six ratings of its metrics (EQ1 to EQ6), and experts have ordered and rated these sets: `_SCORES` has
the score of the most severe vector of each. A less severe vector of a set lies on the way to the sets below it. For
each rating that can be one level lower, its distance from the most severe vector of its set (in steps of metrics),
divided by the depth of the set, is the share of the difference to that lower set which is taken off; the mean of these
differences is.

EQ3 and EQ6 are rated together, since their metrics depend on each other. All is counted in tenths, as exact fractions:
a score is rounded once, and no error of floating point moves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

_BASE: Final[Mapping[str, str]] = {
    "AV": "NALP",
    "AC": "LH",
    "AT": "NP",
    "PR": "NLH",
    "UI": "NPA",
    **dict.fromkeys(("VC", "VI", "VA", "SC", "SI", "SA"), "HLN"),
}
"""The values of each metric that a vector has to have, from the most severe one on."""
_REQUIREMENTS: Final = ("CR", "IR", "AR")
_MODIFIED: Final[Mapping[str, str]] = {
    **{f"M{name}": values for name, values in _BASE.items()},
    **dict.fromkeys(("MSI", "MSA"), "SHLN"),
}
_OPTIONAL: Final[Mapping[str, str]] = {
    "E": "APUX",
    **dict.fromkeys(_REQUIREMENTS, "HMLX"),
    **{name: f"{values}X" for name, values in _MODIFIED.items()},
    "S": "NPX",
    "AU": "NYX",
    "R": "AUIX",
    "V": "DCX",
    "RE": "LMHX",
}
"""Those that it can have. The last five are supplemental, and change no score. U, the urgency, has words for values."""
_URGENCY: Final = frozenset({"Clear", "Green", "Amber", "Red", "X"})
_UNKNOWN: Final = {"E": "A", **dict.fromkeys(_REQUIREMENTS, "H")}
"""Taken where one is not there: the worst case (section 4)."""
_LEVELS: Final[Mapping[str, str]] = {
    **_BASE,
    **dict.fromkeys(("SI", "SA"), "SHLN"),
    **dict.fromkeys(_REQUIREMENTS, "HML"),
}
"""The values of each metric in steps of severity."""

_MOST_SEVERE: Final[Mapping[tuple[int, int], tuple[str, ...]]] = {
    (1, 0): ("AV:N/PR:N/UI:N",),
    (1, 1): ("AV:A/PR:N/UI:N", "AV:N/PR:L/UI:N", "AV:N/PR:N/UI:P"),
    (1, 2): ("AV:P/PR:N/UI:N", "AV:A/PR:L/UI:P"),
    (2, 0): ("AC:L/AT:N",),
    (2, 1): ("AC:H/AT:N", "AC:L/AT:P"),
    (4, 0): ("SC:H/SI:S/SA:S",),
    (4, 1): ("SC:H/SI:H/SA:H",),
    (4, 2): ("SC:L/SI:L/SA:L",),
}
"""By rating and level, the vectors of which no other one of the level is more severe (section 8.2, table 24 and on)."""
_MOST_SEVERE_JOINT: Final[Mapping[tuple[int, int], tuple[str, ...]]] = {
    (0, 0): ("VC:H/VI:H/VA:H/CR:H/IR:H/AR:H",),
    (0, 1): ("VC:H/VI:H/VA:L/CR:M/IR:M/AR:H", "VC:H/VI:H/VA:H/CR:M/IR:M/AR:M"),
    (1, 0): ("VC:L/VI:H/VA:H/CR:H/IR:H/AR:H", "VC:H/VI:L/VA:H/CR:H/IR:H/AR:H"),
    (1, 1): (
        *("VC:L/VI:H/VA:L/CR:H/IR:M/AR:H", "VC:L/VI:H/VA:H/CR:H/IR:M/AR:M", "VC:H/VI:L/VA:H/CR:M/IR:H/AR:M"),
        *("VC:H/VI:L/VA:L/CR:M/IR:H/AR:H", "VC:L/VI:L/VA:H/CR:H/IR:H/AR:M"),
    ),
    (2, 1): ("VC:L/VI:L/VA:L/CR:H/IR:H/AR:H",),
}
_DEPTHS: Final = {1: (1, 4, 5), 2: (1, 2), 4: (6, 5, 4)}
"""Steps from the most severe vectors of a level to the level below."""
_JOINT_DEPTHS: Final = {(0, 0): 7, (0, 1): 6, (1, 0): 8, (1, 1): 8, (2, 1): 10}
_JOINT: Final = tuple(_JOINT_DEPTHS)

_LOOKUP: Final = """
    100 98 95 100 93 91 93 89 81   99 95 92 96 87 81 90 80 68   98 95 90 93 89 81 88 78 69
    95 92 84 92 81 65 80 70 48     92 82 72 79 69 50 69 55 27   99 95 92 95 90 84 92 82 72
    97 92 85 91 83 71 81 71 53     95 92 85 92 80 70 84 71 50   93 85 73 82 72 59 70 52 30
    86 75 52 71 52 29 63 29 17     98 94 91 94 86 77 87 74 63   95 87 81 89 74 64 75 63 49
    94 88 76 86 74 59 72 57 52     89 77 67 76 58 50 57 52 25   83 70 54 65 58 26 53 21 13
    95 88 76 90 75 61 77 68 52     90 76 70 77 62 53 66 59 30   89 76 62 74 57 47 61 57 24
    78 67 58 59 57 23 52 29 16     71 59 30 58 26 15 23 13 6    93 86 75 86 74 56 70 52 40
    87 72 58 74 61 34 54 40 22     85 74 62 72 55 46 53 34 19   75 55 51 57 41 19 36 19 8
    64 51 20 47 21 11 24 9 4       88 73 60 73 59 41 54 45 20   75 53 50 55 40 20 43 22 11
    75 58 40 61 48 20 46 17 8      55 45 21 51 18 9 18 7 2      53 24 14 24 12 5 10 3 1
"""
_SCORES: Final = tuple(map(int, _LOOKUP.split()))
"""The lookup of MacroVectors (section 8.3), in tenths: by EQ1, EQ2, EQ3 with EQ6 in the order of `_JOINT`, EQ4, EQ5."""


def score(text: str) -> float | None:
    """The score of a vector without its `CVSS:4.0/`, by all its metrics; None for a text that is no whole vector."""
    metrics = _metrics(text)
    if metrics is None:
        return None
    if all(metrics[name] == "N" for name in ("VC", "VI", "VA", "SC", "SI", "SA")):
        return 0.0
    levels = _levels(metrics)
    value = _rated(levels)
    assert value is not None
    taken_off = []
    for rating, below in _below(levels).items():
        distance = 0 if rating == 5 else _distance(metrics, _most_severe(rating, levels))
        taken_off.append(Fraction((value - below) * distance, _depth(rating, levels)))
    mean = sum(taken_off, Fraction()) / max(1, len(taken_off))
    return int(value - mean + Fraction(1, 2)) / 10


def _metrics(text: str) -> dict[str, str] | None:
    """The effective value of each metric that counts; None where one is missing, unknown or there twice."""
    pairs = [part.partition(":")[::2] for part in text.split("/")]
    found = dict(pairs)
    if len(found) != len(pairs) or not _BASE.keys() <= found.keys():
        return None
    for name, value in found.items():
        values = _BASE.get(name) or _OPTIONAL.get(name, "")
        if value not in (_URGENCY if name == "U" else {*values}):
            return None
    metrics = {name: found[name] for name in _BASE}
    metrics |= {name[1:]: found[name] for name in _MODIFIED if found.get(name, "X") != "X"}
    return metrics | {name: found[name] if found.get(name, "X") != "X" else worst for name, worst in _UNKNOWN.items()}


_Levels = tuple[int, int, tuple[int, int], int, int]
"""EQ1, EQ2, EQ3 with EQ6, EQ4, EQ5."""


def _levels(metrics: Mapping[str, str]) -> _Levels:
    """The MacroVector (section 8.1)."""
    easy = [metrics[name] == "N" for name in ("AV", "PR", "UI")]
    eq1 = 0 if all(easy) else 1 if any(easy) and metrics["AV"] != "P" else 2
    eq2 = 0 if metrics["AC"] == "L" and metrics["AT"] == "N" else 1
    high = [metrics[name] == "H" for name in ("VC", "VI", "VA")]
    eq3 = 0 if high[0] and high[1] else 1 if any(high) else 2
    if "S" in {metrics["SI"], metrics["SA"]}:
        eq4 = 0
    else:
        eq4 = 1 if "H" in {metrics["SC"], metrics["SI"], metrics["SA"]} else 2
    needed = [metrics[name] == "H" for name in _REQUIREMENTS]
    eq6 = 0 if any(each and is_high for each, is_high in zip(needed, high, strict=True)) else 1
    return eq1, eq2, (eq3, eq6), eq4, "APU".index(metrics["E"])


def _rated(levels: _Levels) -> int | None:
    """Tenths of the score of a MacroVector; None for one that there is not."""
    eq1, eq2, joint, eq4, eq5 = levels
    if max(eq1, eq4, eq5) > 2 or eq2 > 1 or joint not in _JOINT:
        return None
    return _SCORES[(((eq1 * 2 + eq2) * len(_JOINT) + _JOINT.index(joint)) * 3 + eq4) * 3 + eq5]


def _below(levels: _Levels) -> dict[int, int]:
    """By rating that can be one level lower, tenths of the score of the MacroVector there; 3 for EQ3 with EQ6."""
    eq1, eq2, (eq3, eq6), eq4, eq5 = levels
    lower: dict[int, list[_Levels]] = {
        1: [(eq1 + 1, eq2, (eq3, eq6), eq4, eq5)],
        2: [(eq1, eq2 + 1, (eq3, eq6), eq4, eq5)],
        3: [(eq1, eq2, each, eq4, eq5) for each in ((eq3 + 1, eq6), (eq3, eq6 + 1))],
        4: [(eq1, eq2, (eq3, eq6), eq4 + 1, eq5)],
        5: [(eq1, eq2, (eq3, eq6), eq4, eq5 + 1)],
    }
    scores = {rating: [_rated(each) for each in sets] for rating, sets in lower.items()}
    rated = {rating: [each for each in found if each is not None] for rating, found in scores.items()}
    return {rating: max(found) for rating, found in rated.items() if found}


def _most_severe(rating: int, levels: _Levels) -> tuple[str, ...]:
    if rating == 3:
        return _MOST_SEVERE_JOINT[levels[2]]
    return _MOST_SEVERE[rating, _level(rating, levels)]


def _depth(rating: int, levels: _Levels) -> int:
    if rating == 3:
        return _JOINT_DEPTHS[levels[2]]
    return 1 if rating == 5 else _DEPTHS[rating][_level(rating, levels)]


def _level(rating: int, levels: _Levels) -> int:
    return {1: levels[0], 2: levels[1], 4: levels[3]}[rating]


def _distance(metrics: Mapping[str, str], most_severe: tuple[str, ...]) -> int:
    """Steps from the first of these vectors that is at least as severe in every metric."""
    for vector in most_severe:
        steps = [
            _LEVELS[name].index(metrics[name]) - _LEVELS[name].index(value)
            for name, _, value in (each.partition(":") for each in vector.split("/"))
        ]
        if min(steps) >= 0:
            return sum(steps)
    raise AssertionError("each vector is below one of the most severe ones of its set")
