"""The words of trusted publishers, as commands and forms explain them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from quire.domain.errors import InvalidRequest

SETTINGS: Final[Mapping[str, str]] = {
    "repository": "OWNER/NAME; of GitLab with all of its groups; of CircleCI with the host, e.g. github.com/OWNER/NAME",
    "workflow": "its file, e.g. release.yml; of GitLab the path, e.g. .gitlab-ci.yml",
    "environment": "only jobs in this environment",
    "reusable_workflow": "the file of a reusable workflow that the job is in: OWNER/NAME/.github/workflows/FILE[@REF]",
    "organization": "the slug of Buildkite, the id of CircleCI",
    "pipeline": "the slug of Buildkite, the definition's id of CircleCI",
    "ci_project": "the id of a project of CircleCI",
    "context": "the id of a context of CircleCI that the job has",
    "email": "a service account of Google",
    "subject": "its id, where it is known",
}
"""The settings of all platforms."""


def parse_claim(text: str) -> tuple[str, str]:
    """The name and the value of a claim that tokens must have. Raises InvalidRequest."""
    name, sign, value = text.partition("=")
    if not sign:
        raise InvalidRequest(f"{text[:100]!r} is no claim; write it as NAME=VALUE.")
    return name, value
