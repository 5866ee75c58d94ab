"""The tables of the benchmarks of mirrors: filled while they are measured, kept as JSON, printed as Markdown."""

from __future__ import annotations

import contextlib
import http.client
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.environments import CACHE
from benchmarks.processes import Unavailable
from benchmarks.progress import say
from benchmarks.results import machine, now


class Row(msgspec.Struct):
    """The figures of one server."""

    taken: str
    """When."""
    values: dict[str, list[float]] = {}
    """By column; a figure is the median."""
    missing: str = ""
    """Why there are no figures, or not all; "" when there are."""


class Table(msgspec.Struct):
    """Figures by row and column."""

    title: str
    columns: list[str]
    machine: dict[str, str] = {}
    rows: dict[str, Row] = {}

    def add(self, row: str, column: str, value: float) -> None:
        """Take in one figure of a round."""
        self._row(row).values.setdefault(column, []).append(value)
        say(f"  {self.title}, {row}, {column}: {value:.4g}")

    @contextlib.contextmanager
    def row(self, name: str) -> Iterator[None]:
        """A server that cannot be had is named below the table, with the reason."""
        try:
            yield
        except (Unavailable, OSError, http.client.HTTPException, AssertionError) as error:
            self._row(name).missing = " ".join(str(error).split())[:300] or type(error).__name__
            say(f"  {self.title}, {name}: NOT MEASURED: {error!r}")

    def join(self, later: Table) -> Table:
        """The later one, with those rows of this one that it does not have."""
        return Table(later.title, later.columns, later.machine, {**self.rows, **later.rows})

    def __str__(self) -> str:
        lines = [f"| {self.title} | {' | '.join(self.columns)} |", f"|---|{'---|' * len(self.columns)}"]
        for name, row in self.rows.items():
            cells = (_shown(statistics.median(row.values[each])) if each in row.values else "" for each in self.columns)
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines += [f"\nNot measured: {name}, {row.missing}." for name, row in self.rows.items() if row.missing]
        return "\n".join(lines)

    def _row(self, name: str) -> Row:
        return self.rows.setdefault(name, Row(now()))


def made(title: str, columns: Sequence[str]) -> Table:
    """An empty table."""
    return Table(title, list(columns), machine(CACHE), {})


def keep(tables: Mapping[str, Table], path: Path) -> None:
    """Write tables by section; rows that were kept before and were not measured now stay."""
    before = kept(path)
    whole = before | {name: before[name].join(table) if name in before else table for name, table in tables.items()}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")


def kept(path: Path) -> dict[str, Table]:
    """The tables that `keep` wrote; none without the file."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Table]) if path.exists() else {}


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
