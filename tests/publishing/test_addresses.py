"""The addresses of runs: of verified claims alone, whatever is in them."""

from __future__ import annotations

from typing import Any

import pytest

from quire.publishing.addresses import GITHUB, run_address

GITHUB_JOB = {"repository": "acme/tools", "run_id": "19844302"}
GITLAB_JOB = {"project_path": "acme/data/tools", "pipeline_id": 77}


@pytest.mark.parametrize(
    ("title", "issuer", "claims", "expected"),
    [
        ("GitHub", GITHUB, GITHUB_JOB, "https://github.com/acme/tools/actions/runs/19844302"),
        ("GitHub", f"{GITHUB}/acme", GITHUB_JOB, "https://github.com/acme/tools/actions/runs/19844302"),
        (
            "GitHub",
            "https://git.acme.example/_services/token",
            GITHUB_JOB,
            "https://git.acme.example/acme/tools/actions/runs/19844302",
        ),
        ("GitLab", "https://gitlab.com", GITLAB_JOB, "https://gitlab.com/acme/data/tools/-/pipelines/77"),
        (
            "Buildkite",
            "https://agent.buildkite.com",
            {"organization_slug": "acme", "pipeline_slug": "tools", "build_number": 5},
            "https://buildkite.com/acme/tools/builds/5",
        ),
    ],
)
def test_addresses_of_runs(title: str, issuer: str, claims: dict[str, Any], expected: str) -> None:
    """Of each platform whose addresses are known."""
    assert run_address(title, issuer, claims) == expected


@pytest.mark.parametrize(
    ("title", "issuer", "claims"),
    [
        ("GitHub", "https://other.example", GITHUB_JOB),
        ("GitHub", "http://git.acme.example/_services/token", GITHUB_JOB),
        ("GitHub", "https://a@evil.example/_services/token", GITHUB_JOB),
        ("GitHub", GITHUB, {**GITHUB_JOB, "repository": "../.."}),
        ("GitHub", GITHUB, {**GITHUB_JOB, "repository": "acme/tools?x="}),
        ("GitHub", GITHUB, {**GITHUB_JOB, "repository": "acme//tools"}),
        ("GitHub", GITHUB, {**GITHUB_JOB, "repository": ["acme/tools"]}),
        ("GitHub", GITHUB, {**GITHUB_JOB, "run_id": "1/../../x"}),
        ("GitHub", GITHUB, {**GITHUB_JOB, "run_id": "1\n"}),
        ("GitHub", GITHUB, {"repository": "acme/tools"}),
        ("GitLab", "http://gitlab.acme.example", GITLAB_JOB),
        ("GitLab", "javascript:alert(1)", GITLAB_JOB),
        ("GitLab", "https://gitlab.com?x=", GITLAB_JOB),
        ("Google", "https://accounts.google.com", {"email": "a@b.example"}),
        ("OpenID Connect", "https://e.example", GITHUB_JOB),
    ],
)
def test_no_address(title: str, issuer: str, claims: dict[str, Any]) -> None:
    """Of other platforms, places that are no https, and claims that are no name or number."""
    assert run_address(title, issuer, claims) is None
