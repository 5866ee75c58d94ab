"""Documents of promotions, the same for servers and commands."""

from __future__ import annotations

from collections.abc import Iterable

from quire.administration.promotion_documents import PromotedProject, Promotion
from quire.operations.promoting import Promoted


def promotion_of(index: str, to: str, promoted: Iterable[Promoted], *, dry_run: bool) -> Promotion:
    """The effect of a promotion."""
    projects = [
        PromotedProject(project=each.project, files=list(each.files), present=list(each.present), problem=each.problem)
        for each in promoted
    ]
    return Promotion(index=index, to=to, dry_run=dry_run, projects=projects)
