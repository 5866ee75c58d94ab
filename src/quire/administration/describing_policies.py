"""Documents of policies, the same for servers and commands."""

from __future__ import annotations

from typing import Any

import msgspec

from quire.administration.documents import DecisionEntry
from quire.administration.policy_documents import (
    BlockedEntry,
    DeniedEntry,
    ExemptionEntry,
    ExplainedFile,
    PolicyBody,
    PolicyEntry,
    PolicyExplanation,
)
from quire.catalog.filtering import Filter
from quire.catalog.views import ProjectView
from quire.domain.errors import NotFound
from quire.domain.names import same_version
from quire.domain.policy import Policy
from quire.domain.rulings import NO_RULING, Decision, Ruling


def policy_entry(index: str, policy: Policy) -> PolicyEntry:
    """The policy of an index."""
    return PolicyEntry(
        index=index,
        allow=list(policy.allow),
        deny=[
            DeniedEntry(pattern=each.pattern, reason=each.reason, since=each.since, by=each.by) for each in policy.deny
        ],
        min_age=policy.min_age,
        min_age_except=list(policy.min_age_except),
        min_age_except_fixes=policy.min_age_except_fixes,
        blocked=[
            BlockedEntry(sha256=each.sha256, reason=each.reason, since=each.since, by=each.by)
            for each in policy.blocked
        ],
        exempt=[
            ExemptionEntry(
                project=each.project,
                version=each.version,
                reason=each.reason,
                since=each.since,
                until=each.until,
                by=each.by,
            )
            for each in policy.exempt
        ],
        malicious=str(policy.malicious),
        block_severity=None if policy.block_severity is None else str(policy.block_severity),
        warn_severity=None if policy.warn_severity is None else str(policy.warn_severity),
    )


def changes_of(body: PolicyBody) -> dict[str, Any]:
    """The changes of a policy that a request wants: see `quire.domain.policy.with_changes`."""
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET}


def decision_entry(decision: Decision) -> DecisionEntry:
    """A decision."""
    return DecisionEntry(
        rule=str(decision.rule),
        effect=str(decision.effect),
        index=decision.index,
        sentence=f"{decision.sentence}.",
        since=decision.since,
        until=decision.until,
        lift=decision.lift,
        right=decision.right,
    )


def policy_explanation(
    index: str, view: ProjectView, policies: Filter | None, version: str | None
) -> PolicyExplanation:
    """The decisions about the files of a project; of one release where `version` names it. Raises NotFound."""
    found = []
    for source, listed in view.sourced():
        if version is None or same_version(listed.file.version, version):
            ruling = NO_RULING if policies is None else policies.ruling(view.name, source, listed)
            found.append(_explained(listed.file, ruling, view, is_upstream=source.needs_awaiting))
    if not found:
        release = view.name if version is None else f"{view.name} {version[:100]}"
        raise NotFound(f"The index {index} has no file of {release}, held back or not.")
    order = {filename: place for place, filename in enumerate(view.every)}
    return PolicyExplanation(
        index=index, project=view.name, version=version, files=sorted(found, key=lambda each: order[each.filename])
    )


def _explained(file: Any, ruling: Ruling, view: ProjectView, *, is_upstream: bool) -> ExplainedFile:
    decision = ruling.decision
    is_offered = (decision is None or not decision.blocks) and view.status.offers_files
    if decision is not None:
        why = f"{decision.sentence}."
    elif ruling.exemption is not None:
        exemption = ruling.exemption
        until = "" if exemption.until is None else f", until {exemption.until}"
        because = "" if exemption.reason is None else f": {exemption.reason}"
        why = f"It was exempted from the rules at {exemption.since}{until}{because}."
    else:
        why = "No rule concerns it."
    if not view.status.offers_files:
        why = f"The project is {view.status}, so no file of it is offered. {why}"
    return ExplainedFile(
        filename=file.filename,
        version=file.version,
        sha256=file.sha256,
        uploaded=file.uploaded,
        upstream=is_upstream,
        offered=is_offered,
        why=why,
        decision=None if decision is None else decision_entry(decision),
    )
