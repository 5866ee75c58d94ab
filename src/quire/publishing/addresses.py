"""Where platforms show people their repositories and runs, by the verified claims of a job.

A claim becomes a part of an address only where it is no more than a name or a number.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from quire.publishing.platforms import Claims, text_of

GITHUB: Final = "https://token.actions.githubusercontent.com"
_WITH_RESIDENCY: Final = re.compile(r"https://token\.actions\.([a-z0-9-]+\.ghe\.com)")
_SERVER: Final = re.compile(r"(https://[^/]+)/_services/token")
_NAMES: Final = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+")
_NUMBER: Final = re.compile(r"[0-9]{1,30}")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")


def github_server(issuer: str) -> str | None:
    """Where the repositories of an issuer are: github.com, a host with data residency, a GitHub Enterprise Server."""
    if issuer == GITHUB or issuer.startswith(f"{GITHUB}/"):
        return "https://github.com"
    if found := _WITH_RESIDENCY.fullmatch(issuer):
        return f"https://{found[1]}"
    found = _SERVER.fullmatch(issuer)
    return found[1] if found else None


def run_address(title: str, issuer: str, claims: Claims) -> str | None:
    """The address of the page of a run; None where it is not known. `title`: of the platform (`Platform.title`)."""
    if title == "GitHub":
        return _below(github_server(issuer), claims, "repository", "actions/runs", "run_id")
    if title == "GitLab":
        return _below(issuer.rstrip("/"), claims, "project_path", "-/pipelines", "pipeline_id")
    if title == "Buildkite" and issuer == "https://agent.buildkite.com":
        slugs = f"{text_of(claims.get('organization_slug'))}/{text_of(claims.get('pipeline_slug'))}"
        return _below("https://buildkite.com", {**claims, "slugs": slugs}, "slugs", "builds", "build_number")
    return None


def _below(server: str | None, claims: Claims, names: str, word: str, number: str) -> str | None:
    path, run = text_of(claims.get(names)), text_of(claims.get(number))
    if server is None or not _is_https(server) or not _NAMES.fullmatch(path) or not _NUMBER.fullmatch(run):
        return None
    return None if {"", ".", ".."} & set(path.split("/")) else f"{server}/{path}/{word}/{run}"


def _is_https(server: str) -> bool:
    try:
        parts = urlsplit(server)
    except ValueError:
        return False
    return parts.scheme == "https" and _HOST.fullmatch(parts.netloc) is not None and not (parts.query or parts.fragment)
