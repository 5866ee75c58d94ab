"""The effect of a change of a policy on releases that were asked for, without making it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from quire.administration.describing_policies import decision_entry
from quire.administration.policy_documents import Trial, TriedFile
from quire.catalog.filtering import Filter
from quire.catalog.views import ProjectView
from quire.domain.errors import InvalidRequest
from quire.domain.names import normalize_name, same_version
from quire.domain.policy import parse_release
from quire.domain.rulings import NO_RULING, Decision

MOST_PROJECTS = 200
"""Of one trial: an upstream may be asked for each."""


async def tried(
    index: str,
    releases: Sequence[str],
    project: Callable[[str], Awaitable[ProjectView]],
    before: Filter | None,
    after: Filter | None,
    *,
    is_change: bool,
) -> Trial:
    """The files of these releases about which the policies decide differently; with `is_change` false, those that are
    held back. `project`: gives the view of a project. Raises InvalidRequest, and as `project`."""
    wanted: dict[str, set[str | None]] = {}
    for each in dict.fromkeys(releases):
        name, version = parse_release(each) if "==" in each else (normalize_name(each), None)
        wanted.setdefault(name, set()).add(version)
    if len(wanted) > MOST_PROJECTS:
        raise InvalidRequest(f"A trial is of up to {MOST_PROJECTS} projects; try them in parts.")
    files, unknown, checked = list[TriedFile](), list[str](), 0
    for name, versions in wanted.items():
        view, found = await project(name), set[str | None]()
        for source, listed in view.sourced():
            file = listed.file
            asked = {each for each in versions if each is None or same_version(each, file.version)}
            if not asked:
                continue
            found |= asked
            checked += 1
            was, then = (
                (NO_RULING if each is None else each.ruling(name, source, listed)).decision for each in (before, after)
            )
            if _blocks(was) != _blocks(then) if is_change else _blocks(then):
                files.append(_tried(name, file.filename, file.version, was, then))
        unknown += [name if each is None else f"{name}=={each}" for each in versions - found]
    return Trial(index=index, files=files, checked=checked, unknown=sorted(unknown))


def _blocks(decision: Decision | None) -> bool:
    return decision is not None and decision.blocks


def _tried(project: str, filename: str, version: str, was: Decision | None, then: Decision | None) -> TriedFile:
    return TriedFile(
        project=project,
        filename=filename,
        version=version,
        before=None if was is None else decision_entry(was),
        after=None if then is None else decision_entry(then),
    )
