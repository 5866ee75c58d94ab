"""The platforms whose jobs can be trusted publishers: their issuers, their words, and the rules of their claims.

Sources: GitHub, "OpenID Connect reference"; GitLab, "OpenID Connect (OIDC) Authentication Using ID Tokens"; Forgejo,
"Security OpenID Connect"; Buildkite, "buildkite-agent oidc"; CircleCI, "OpenID Connect tokens"; Google, "Get an ID
token"; and the rules of PyPI for the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

Claims = Mapping[str, Any]
Settings = Mapping[str, str]


def text_of(value: object) -> str:
    """A claim as text: numbers and booleans as JSON writes them; empty for none, and for what is neither."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else ""


def _no_fault(_: Settings) -> str | None:
    return None


def _as_it_is(issuer: str) -> str:
    return issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One platform."""

    title: str
    """By which PEP 740 knows it, where it does."""
    mismatch: Callable[[Settings, Claims], str | None]
    """Why claims are not of a publisher with these settings; None when they are."""
    issuer: str | None = None
    """None where every installation has its own."""
    needed: tuple[str, ...] = ()
    """The settings that a publisher must have."""
    optional: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    """The claims that are remembered at the first use, where a token has them."""
    facts: Mapping[str, str]
    """The claims that the log names, by its words for them."""
    fault: Callable[[Settings], str | None] = _no_fault
    """A sentence on settings that can never match; None for good ones."""
    complete_issuer: Callable[[str], str] = _as_it_is

    @property
    def words(self) -> tuple[str, ...]:
        return self.needed + self.optional


# -- rules that several have ------------------------------------------------------------------------------------------


def _differs(claims: Claims, name: str, wanted: str, *, ignores_case: bool = False) -> str | None:
    found = text_of(claims.get(name))
    same = found.lower() == wanted.lower() if ignores_case else found == wanted
    return None if found and same else f"{name} is {found[:200]!r}, not {wanted!r}"


def _lacks(claims: Claims, *names: str) -> str | None:
    missing = [name for name in names if not text_of(claims.get(name))]
    return f"the token has no {missing[0]}" if missing else None


def _is_file_at(claims: Claims, name: str, files: set[str], refs: tuple[str, ...]) -> str | None:
    """Whether a claim is one of these files, at one of the references that other claims have.

    The whole text is compared with every one that it may be. It is not taken apart: names of files and of branches may
    have the signs in them at which one would cut.
    """
    found = text_of(claims.get(name))
    ends = [f"@{text_of(claims.get(each))}" for each in refs if text_of(claims.get(each))]
    if any(found == f"{file}{end}" for file in files for end in ends):
        return None
    return f"{name} is {found[:300]!r}, not {' or '.join(sorted(files))} at the reference of the job"


# -- GitHub, Forgejo and Gitea ----------------------------------------------------------------------------------------


def _github(settings: Settings, claims: Claims) -> str | None:
    return _lacks(claims, "repository_id", "repository_owner_id") or _actions(settings, claims, (".github",))


def _forgejo(settings: Settings, claims: Claims) -> str | None:
    return _actions(settings, claims, (".forgejo", ".gitea", ".github"))


def _actions(settings: Settings, claims: Claims, folders: tuple[str, ...]) -> str | None:
    """The rules of Actions. Names of repositories and environments have no case; names of files have one.

    `workflow_ref` is the file that was started, and `job_workflow_ref` the one that the job is in: another one for a
    reusable workflow, perhaps of another repository. Both have to be right, where a token has both; Forgejo gives the
    first alone, and old installations of GitHub Enterprise the second.
    """
    repository = text_of(claims.get("repository"))
    found = _differs(claims, "repository", settings["repository"], ignores_case=True) or _lacks(claims, "event_name")
    if found is None and text_of(claims.get("event_name")) == "pull_request_target":
        found = "event_name is pull_request_target, which runs for strangers with the rights of the repository"
    if found is None and "environment" in settings:
        found = _differs(claims, "environment", settings["environment"], ignores_case=True)
    if found is not None:
        return found
    files = {f"{repository}/{folder}/workflows/{settings['workflow']}" for folder in folders}
    if "workflow_ref" in claims or "job_workflow_ref" not in claims or "reusable_workflow" in settings:
        found = _is_file_at(claims, "workflow_ref", files, ("ref", "sha"))
    if found is None and "job_workflow_ref" in claims:
        reusable, job = settings.get("reusable_workflow"), text_of(claims.get("job_workflow_ref"))
        if reusable is None:
            return _is_file_at(claims, "job_workflow_ref", files, ("ref", "sha"))
        if job != reusable and ("@" in reusable or not job.startswith(f"{reusable}@")):
            return f"job_workflow_ref is {job[:300]!r}, not {reusable!r}"
    return found


def _actions_fault(settings: Settings) -> str | None:
    owner, slash, name = settings["repository"].partition("/")
    if not owner or not slash or not name or "/" in name:
        return f"{settings['repository'][:100]!r} is no repository; write it as OWNER/NAME."
    if "/" in settings["workflow"] or not settings["workflow"].endswith((".yml", ".yaml")):
        return "A workflow is given by the name of its file alone, such as release.yml."
    return None


def _forgejo_issuer(url: str) -> str:
    """Where the operator gave the address of the installation alone, the issuer of its Actions."""
    return f"{url.rstrip('/')}/api/actions" if urlsplit(url).path in {"", "/"} else url


_ACTIONS_FACTS: Final = {
    "repository": "repository",
    "workflow": "workflow_ref",
    "run": "run_id",
    "commit": "sha",
    "ref": "ref",
    "environment": "environment",
    "actor": "actor",
}


# -- GitLab -----------------------------------------------------------------------------------------------------------


def _gitlab(settings: Settings, claims: Claims) -> str | None:
    """Paths of projects have no case; names of files and environments have one."""
    path = text_of(claims.get("project_path"))
    host = text_of(claims.get("iss")).partition("://")[2]
    found = (
        _differs(claims, "project_path", settings["repository"], ignores_case=True)
        or _lacks(claims, "project_id", "namespace_id", "ref_path", "sha")
        or _is_file_at(claims, "ci_config_ref_uri", {f"{host}/{path}//{settings['workflow']}"}, ("ref_path", "sha"))
    )
    if found is None and "environment" in settings:
        found = _differs(claims, "environment", settings["environment"])
    return found


def _gitlab_fault(settings: Settings) -> str | None:
    if "/" not in settings["repository"].strip("/"):
        return f"{settings['repository'][:100]!r} is no project; write it as GROUP/NAME, with all of its groups."
    if not settings["workflow"].endswith((".yml", ".yaml")) or settings["workflow"].startswith("/"):
        return "The workflow of GitLab is the path of its file in the project, such as .gitlab-ci.yml."
    return None


def _without_slash(url: str) -> str:
    return url.rstrip("/")


# -- the others -------------------------------------------------------------------------------------------------------


def _buildkite(settings: Settings, claims: Claims) -> str | None:
    return _differs(claims, "organization_slug", settings["organization"]) or _differs(
        claims, "pipeline_slug", settings["pipeline"]
    )


_CIRCLE: Final = "oidc.circleci.com/"


def _circleci(settings: Settings, claims: Claims) -> str | None:
    """A job of a fork is refused, and one in which a person can open a shell.

    A pipeline for a pull request of a fork has the organization, the project and the pipeline definition of the
    repository that it was made from: the origin alone tells it apart. A publisher without a repository matches nothing.
    """
    organization = settings["organization"]
    is_of_its_issuer = text_of(claims.get("iss")).endswith(f"/org/{organization}")
    found = None if is_of_its_issuer else _differs(claims, f"{_CIRCLE}org-id", organization)
    found = found or _differs(claims, f"{_CIRCLE}project-id", settings["ci_project"])
    found = found or _differs(claims, f"{_CIRCLE}vcs-origin", settings.get("repository", ""), ignores_case=True)
    if found is None and "pipeline" in settings:
        found = _differs(claims, f"{_CIRCLE}pipeline-definition-id", settings["pipeline"])
    contexts = claims.get(f"{_CIRCLE}context-ids")
    if found is None and "context" in settings and not (isinstance(contexts, list) and settings["context"] in contexts):
        found = f"{_CIRCLE}context-ids does not have {settings['context']!r}"
    if found is None and claims.get(f"{_CIRCLE}ssh-rerun") is not False:
        found = f"{_CIRCLE}ssh-rerun is not false: the job may be run by hand, over SSH"
    return found


def _circleci_fault(settings: Settings) -> str | None:
    host, *path = settings["repository"].split("/")
    if "." not in host or len(path) < 2 or not all(path):
        return f"{settings['repository'][:100]!r} is no repository of CircleCI; write it as github.com/OWNER/NAME."
    return None


def _google(settings: Settings, claims: Claims) -> str | None:
    found = _differs(claims, "email", settings["email"])
    if found is None and claims.get("email_verified") is not True:
        found = "email_verified is not true"
    if found is None and "subject" in settings:
        found = _differs(claims, "sub", settings["subject"])
    return found


def _other(_: Settings, __: Claims) -> str | None:
    return None  # its claims alone decide, and a publisher has at least one


PLATFORMS: Final[Mapping[str, Platform]] = {
    "github": Platform(
        title="GitHub",
        issuer="https://token.actions.githubusercontent.com",
        needed=("repository", "workflow"),
        optional=("environment", "reusable_workflow"),
        ids=("repository_id", "repository_owner_id"),
        facts=_ACTIONS_FACTS,
        mismatch=_github,
        fault=_actions_fault,
    ),
    "gitlab": Platform(
        title="GitLab",
        issuer="https://gitlab.com",
        needed=("repository", "workflow"),
        optional=("environment",),
        ids=("project_id", "namespace_id"),
        facts={
            "repository": "project_path",
            "workflow": "ci_config_ref_uri",
            "run": "pipeline_id",
            "commit": "sha",
            "ref": "ref_path",
            "environment": "environment",
            "actor": "user_login",
        },
        mismatch=_gitlab,
        fault=_gitlab_fault,
        complete_issuer=_without_slash,
    ),
    "forgejo": Platform(
        title="Forgejo",
        needed=("repository", "workflow"),
        ids=("repository_id", "repository_owner_id"),
        facts=_ACTIONS_FACTS,
        mismatch=_forgejo,
        fault=_actions_fault,
        complete_issuer=_forgejo_issuer,
    ),
    "buildkite": Platform(
        title="Buildkite",
        issuer="https://agent.buildkite.com",
        needed=("organization", "pipeline"),
        ids=("organization_id", "pipeline_id"),
        facts={
            "repository": "pipeline_slug",
            "workflow": "step_key",
            "run": "build_number",
            "commit": "build_commit",
            "ref": "build_branch",
        },
        mismatch=_buildkite,
    ),
    "circleci": Platform(
        title="CircleCI",
        issuer="https://oidc.circleci.com",
        needed=("organization", "ci_project", "repository"),
        optional=("pipeline", "context"),
        facts={
            "repository": f"{_CIRCLE}vcs-origin",
            "workflow": f"{_CIRCLE}workflow-id",
            "run": f"{_CIRCLE}pipeline-id",
            "ref": f"{_CIRCLE}vcs-ref",
        },
        mismatch=_circleci,
        fault=_circleci_fault,
    ),
    "google": Platform(
        title="Google",
        issuer="https://accounts.google.com",
        needed=("email",),
        optional=("subject",),
        ids=("sub",),
        facts={"actor": "email"},
        mismatch=_google,
    ),
    "oidc": Platform(title="OpenID Connect", facts={"actor": "sub"}, mismatch=_other),
}
"""By the word that commands use."""
