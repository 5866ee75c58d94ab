"""Advisories: public statements that versions of a project are malicious or vulnerable, as policies see them.

The words are those of OSV (Open Source Vulnerability format, https://ossf.github.io/osv-schema/).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec


class Severity(StrEnum):
    """The qualitative ratings of CVSS (3.1 and 4.0), from the lowest to the highest."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place in the order; a higher one is more severe."""
        return _ORDER.index(self)


_ORDER = tuple(Severity)


class Advisory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One advisory, as far as it concerns one project."""

    id: str
    """Such as `GHSA-9wx4-h78v-vm56`, `PYSEC-2018-28` or `MAL-2024-1234`."""
    severity: Severity | None = None
    """None where it names none."""
    is_malicious: bool = False
    """Whether it says that the package was made to do harm."""
    summary: str = ""
    """One line, for people."""
    fixed: tuple[str, ...] = ()
    """The versions that end it, as the advisory spells them; empty where there is none."""
    published: str | None = None
    """In RFC 3339, UTC; None where it does not say."""
    withdrawn: str | None = None
    """When it was taken back, in RFC 3339, UTC; None for one that stands. A withdrawn one has no effect."""


class Advisories(Protocol):
    """The advisories on all projects at one moment. Immutable: newer data is another object. Any thread may ask."""

    def __bool__(self) -> bool:
        """Whether there are any; without any, no version is looked up."""
        ...

    def of(self, project: str, version: str) -> Sequence[Advisory]:
        """Those that name this version as affected. `project`: the normalized name. Takes microseconds."""
        ...

    def fixed_by(self, project: str, version: str) -> Sequence[Advisory]:
        """Those of the project that name this version as one that ends them. Takes microseconds."""
        ...
