"""The JSON documents of promotions, for the API and `--json`. See `quire.administration.documents`."""

from __future__ import annotations

from typing import Final

import msgspec

from quire.administration.documents import Answer, Body, Words


class PromotionBody(Body, frozen=True, kw_only=True):
    """How to promote a stage."""

    dry_run: bool = False
    """Publish nothing; answer what would be published, and what stands against it."""
    projects: Words = msgspec.field(default_factory=list)
    """Only these projects of the stage; empty for all of them."""


class PromotedProject(Answer, frozen=True, kw_only=True):
    """One project of a promotion."""

    project: str
    files: list[str]
    """The filenames that are new in the other index."""
    present: list[str]
    """Those that it had already, with the same content."""
    problem: str | None
    """Why it cannot be promoted, in a sentence: only of a dry run."""


class Promotion(Answer, frozen=True, kw_only=True):
    """The effect of a promotion: all of it was published in one step."""

    index: str
    """The stage."""
    to: str
    """The index that it is in front of."""
    dry_run: bool
    projects: list[PromotedProject]


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (PromotionBody, PromotedProject, Promotion)
"""Of the OpenAPI document."""
