"""A plot with logarithmic axes as an SVG document that follows the reader's light or dark theme.

The labels stand beside the lines' ends, so no reader has to match colours with a legend; they are moved apart where
they would lie on each other. Colours come from classes, so that one `prefers-color-scheme` rule changes them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 880, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 236, 52, 58
_LINE = 19  # pixels that a label takes
_STYLE = """
text { font: 14px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 16px } .tick { font-size: 13px; fill: #59636e }
.grid { stroke: #d1d9e0; stroke-width: 1 } .line { fill: none; stroke-width: 2 } .strong { stroke-width: 4 }
.name { font-size: 14px } .strong-name { font-weight: 700; font-size: 15px }
%s
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .tick { fill: #9198a1 } .grid { stroke: #3d444d }
%s
}
"""
_LIGHT = ("#0969da", "#1a7f37", "#9a6700", "#8250df", "#cf222e", "#bc4c00", "#0f766e", "#59636e")
_DARK = ("#58a6ff", "#3fb950", "#d29922", "#bc8cff", "#ff7b72", "#f0883e", "#2dd4bf", "#9198a1")


@dataclass(frozen=True)
class Series:
    """One line. Points whose value is not positive cannot be drawn and are left out."""

    name: str
    points: Sequence[tuple[float, float]]
    strong: bool = False
    dashed: bool = False


def chart(title: str, x_title: str, series: Sequence[Series], description: str) -> str:
    """The document. `description` is for screen readers. Raises ValueError when there is nothing to draw."""
    drawn = [
        Series(each.name, [(x, y) for x, y in each.points if x > 0 and y > 0], each.strong, each.dashed)
        for each in series
    ]
    drawn = [each for each in drawn if each.points]
    if not drawn:
        raise ValueError(f"there is nothing to draw in the chart {title!r}")
    xs = sorted({x for each in drawn for x, _ in each.points})
    low = math.floor(math.log10(min(y for each in drawn for _, y in each.points)))
    high = max(low + 1, math.ceil(math.log10(max(y for each in drawn for _, y in each.points))))
    x_of, y_of = _Scale(xs[0], xs[-1], _LEFT, WIDTH - _RIGHT), _Scale(10**low, 10**high, HEIGHT - _BOTTOM, _TOP)
    rules = [
        "".join(
            f".c{index} {{ stroke: {colour} }} .n{index} {{ fill: {colour} }}\n" for index, colour in enumerate(each)
        )
        for each in (_LIGHT, _DARK)
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"',
        ' role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title><desc id="description">{escape(description)}</desc>',
        f"<style>{_STYLE % tuple(rules)}</style>",
        f'<text class="title" x="{_LEFT}" y="26">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        y = y_of(10**power)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" text-anchor="end" x="{_LEFT - 8}" y="{y + 5:.1f}">{_tick(10.0**power)}</text>'
        )
    parts += [
        f'<text class="tick" text-anchor="middle" x="{x_of(x):.1f}" y="{HEIGHT - _BOTTOM + 24}">{_tick(x)}</text>'
        for x in xs
    ]
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="tick" text-anchor="middle" x="{middle:.0f}" y="{HEIGHT - 10}">{escape(x_title)}</text>')
    colours = {each.name: index % len(_LIGHT) for index, each in enumerate(drawn)}
    for each in sorted(drawn, key=lambda one: one.strong):  # the strong one above the others
        parts += _line(each, colours[each.name], x_of, y_of)
    ends = [y_of(each.points[-1][1]) for each in drawn]
    for each, y in zip(drawn, apart(ends, _LINE, _TOP, HEIGHT - _BOTTOM), strict=True):
        css = "strong-name" if each.strong else "name"
        parts.append(
            f'<text class="{css} n{colours[each.name]}" x="{WIDTH - _RIGHT + 12}" y="{y + 5:.1f}">'
            f"{escape(each.name)}</text>"
        )
    return "\n".join([*parts, "</svg>\n"])


def apart(places: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """The places, each moved as little as is needed for all to be at least `distance` apart, within the limits if they
    have room there."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for before, index in pairwise(order):
        moved[index] = max(moved[index], moved[before] + distance)
    beyond = max(0.0, moved[order[-1]] - high) if order else 0.0
    limit = math.inf
    for index in reversed(order):  # those at the end push the others back
        moved[index] = min(moved[index], limit, high if beyond else math.inf)
        limit = moved[index] - distance
    if order and moved[order[0]] < low:
        shift = low - moved[order[0]]
        moved = [place + shift for place in moved]
    return moved


class _Scale:
    """From values to pixels, by the logarithm."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low = math.log10(low)
        self._factor = (end - start) / ((math.log10(high) - self._low) or 1)
        self._start = start

    def __call__(self, value: float) -> float:
        return self._start + (math.log10(value) - self._low) * self._factor


def _line(series: Series, colour: int, x_of: _Scale, y_of: _Scale) -> list[str]:
    css = f"line c{colour}{' strong' if series.strong else ''}"
    dash = ' stroke-dasharray="6 5"' if series.dashed else ""
    points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in series.points)
    radius = 5 if series.strong else 3.5
    dots = [f'<circle class="n{colour}" cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="{radius}"/>' for x, y in series.points]
    x, y = x_of(series.points[-1][0]), y_of(series.points[-1][1])
    edge = WIDTH - _RIGHT
    leader = f'<line class="grid" stroke-dasharray="2 5" x1="{x + 8:.1f}" x2="{edge}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return [f'<polyline class="{css}" points="{points}"{dash}/>', *dots, *([leader] if x < edge - 10 else [])]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
