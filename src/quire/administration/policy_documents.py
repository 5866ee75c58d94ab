"""The JSON documents of policies, for the API and `--json`. See `quire.administration.documents`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from quire.administration.documents import Answer, Body, DecisionEntry, Digest, Short, Words

Age = Annotated[int, msgspec.Meta(ge=0, le=3650 * 86400)]
Level = Literal["none", "low", "medium", "high", "critical"]
Reason = Annotated[str, msgspec.Meta(max_length=200)]


class DeniedEntry(Answer, frozen=True, kw_only=True):
    """Projects of which no file is served."""

    pattern: str
    reason: str | None = None
    since: str | None = None
    by: str | None = None


class BlockedEntry(Answer, frozen=True, kw_only=True):
    """Bytes that are not served, under whatever name."""

    sha256: str
    reason: str | None = None
    since: str | None = None
    by: str | None = None


class ExemptionEntry(Answer, frozen=True, kw_only=True):
    """A release that all rules let pass but that of blocked digests."""

    project: str
    version: str
    reason: str | None = None
    since: str | None = None
    until: str | None = None
    """When it ends; None for never."""
    by: str | None = None


class PolicyEntry(Answer, frozen=True, kw_only=True):
    """The policy of an index."""

    index: str
    allow: list[str]
    """Patterns of the only projects that are served of upstreams; empty for all."""
    deny: list[DeniedEntry]
    min_age: int
    """Seconds after its upload for which a file of an upstream is held back."""
    min_age_except: list[str]
    """Patterns of projects whose files are not."""
    min_age_except_fixes: bool
    """Whether releases that an advisory names as fixed are not."""
    blocked: list[BlockedEntry]
    exempt: list[ExemptionEntry]
    malicious: str
    """`block`, `warn` or `ignore`: the effect of advisories on malicious packages."""
    block_severity: str | None
    """Releases with an advisory at least so severe are held back; None for none."""
    warn_severity: str | None


class PolicyBody(Body, frozen=True, kw_only=True):
    """Changes of a policy; all else stays."""

    allow: Words | msgspec.UnsetType = msgspec.UNSET
    """Patterns to add."""
    not_allow: Words | msgspec.UnsetType = msgspec.UNSET
    """Patterns to take away."""
    deny: Words | msgspec.UnsetType = msgspec.UNSET
    not_deny: Words | msgspec.UnsetType = msgspec.UNSET
    min_age: Age | msgspec.UnsetType = msgspec.UNSET
    min_age_except: Words | msgspec.UnsetType = msgspec.UNSET
    not_min_age_except: Words | msgspec.UnsetType = msgspec.UNSET
    min_age_except_fixes: bool | msgspec.UnsetType = msgspec.UNSET
    block: Annotated[list[Digest], msgspec.Meta(max_length=1000)] | msgspec.UnsetType = msgspec.UNSET
    """Digests of bytes that are not to be served."""
    unblock: Words | msgspec.UnsetType = msgspec.UNSET
    """Such digests, or their beginnings, that are to be served again."""
    exempt: Words | msgspec.UnsetType = msgspec.UNSET
    """Releases such as `six==1.17.0`."""
    not_exempt: Words | msgspec.UnsetType = msgspec.UNSET
    until: Short | msgspec.UnsetType = msgspec.UNSET
    """When the exemptions of this change end: RFC 3339."""
    reason: Reason | msgspec.UnsetType = msgspec.UNSET
    """Of the denials, digests and exemptions of this change."""
    malicious: Literal["block", "warn", "ignore"] | msgspec.UnsetType = msgspec.UNSET
    block_severity: Level | msgspec.UnsetType | None = msgspec.UNSET
    warn_severity: Level | msgspec.UnsetType | None = msgspec.UNSET


class PolicyChange(Answer, frozen=True, kw_only=True):
    """The policy of an index after a change."""

    policy: PolicyEntry
    changed: bool


class ExplainedFile(Answer, frozen=True, kw_only=True):
    """A file, and the decision about it."""

    filename: str
    version: str
    sha256: str
    uploaded: str | None
    upstream: bool
    """Whether it is of an upstream."""
    offered: bool
    why: str
    """One sentence."""
    decision: DecisionEntry | None
    """None where no rule concerns it."""


class PolicyExplanation(Answer, frozen=True, kw_only=True):
    """The decisions about the files of a project, or of one release of it."""

    index: str
    project: str
    version: str | None
    files: list[ExplainedFile]


class TrialBody(Body, frozen=True, kw_only=True):
    """A change of a policy to try, without making it, on releases that were asked for."""

    releases: Words
    """Such as `six==1.17.0`; without a version all files of the project. Up to 1,000, of up to 200 projects."""
    change: PolicyBody | None = None
    """None for the policy as it is."""


class TriedFile(Answer, frozen=True, kw_only=True):
    """A file whose decision the change changes, or that is held back as it is where no change is tried."""

    project: str
    filename: str
    version: str
    before: DecisionEntry | None
    """None where no rule concerns it."""
    after: DecisionEntry | None


class Trial(Answer, frozen=True, kw_only=True):
    """The effect that a change would have."""

    index: str
    files: list[TriedFile]
    checked: int
    """How many files were looked at."""
    unknown: list[str]
    """The releases of which the index has no file."""


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (
    *(DeniedEntry, BlockedEntry, ExemptionEntry, PolicyEntry, PolicyBody, PolicyChange),
    *(ExplainedFile, PolicyExplanation, TrialBody, TriedFile, Trial),
)
"""Of the OpenAPI document."""
