"""Trusted publishers as signers of attestations: their certificates, and their publisher objects (PEP 740).

The certificate is made by Fulcio from a token of the CI job that signs; quire's own token was minted from another token
of a job of the same publisher. Both have the claims of the same issuer, so they are compared: issuer, repository and
workflow, by ids where both have them, since another repository can get the name of one that was renamed. Branch and
commit are those of the job that signed, which need not be the job that uploads.

Sources: Fulcio's docs/oid-info.md (extensions of certificates), and its configuration of each CI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from quire.access.ci_identities import CiIdentity
from quire.domain.errors import InvalidRequest
from quire.publishing.addresses import GITHUB, github_server

_GITLAB: Final = "https://gitlab.com"
_CIRCLECI: Final = "https://oidc.circleci.com"

# The last numbers of Fulcio's object identifiers, below 1.3.6.1.4.1.57264.1.
ISSUER: Final = 8
SIGNER_URI: Final = 9
REPOSITORY_URI: Final = 12
REPOSITORY_DIGEST: Final = 13
REPOSITORY_REF: Final = 14
REPOSITORY_ID: Final = 15
CONFIG_URI: Final = 18
TRIGGER: Final = 20


@dataclass(frozen=True, slots=True)
class Certificate:
    """The claims of a signing certificate."""

    claims: Mapping[int, str]
    """By the numbers above."""
    emails: tuple[str, ...] = ()
    """Its alternative names that are addresses of mail."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A publisher as the signer of attestations."""

    publisher: dict[str, Any]
    """PEP 740's publisher object."""
    mismatch: Callable[[Certificate], str | None]
    """Why a certificate is not of this publisher, in words that follow "its certificate"; None where it is."""


def signer_of(identity: CiIdentity) -> Signer:
    """Raises InvalidRequest where attestations of such a publisher cannot be verified."""
    make = _SIGNERS.get(identity.kind)
    if make is None:
        raise InvalidRequest(
            f"This index cannot verify attestations of {identity.kind[:50]} publishers; upload without attestations."
        )
    return make(identity)


def _github(identity: CiIdentity) -> Signer:
    claims = identity.claims
    server = github_server(identity.issuer)
    repository, path = claims.get("repository", ""), claims.get("workflow_ref", "").partition("@")[0]
    workflow = path.removeprefix(f"{repository}/.github/workflows/")
    if server is None or not repository or not workflow or workflow == path:
        raise _incomplete(identity)

    def mismatch(certificate: Certificate) -> str | None:
        if certificate.claims.get(TRIGGER) == "pull_request_target":
            return "is for a job that a pull request started (pull_request_target)"
        return _differing(
            certificate,
            issuer=identity.issuer,
            repository=f"{server}/{repository}",
            repository_id=claims.get("repository_id"),
            config=f"{server}/{path}",
        )

    publisher = {"repository": repository, "workflow": workflow, "environment": claims.get("environment")}
    return _signer(identity, publisher, mismatch, is_usual=identity.issuer == GITHUB)


def _gitlab(identity: CiIdentity) -> Signer:
    claims, server = identity.claims, identity.issuer.rstrip("/")
    repository = claims.get("project_path", "")
    config = f"https://{claims.get('ci_config_ref_uri', '').partition('@')[0]}"
    workflow = config.removeprefix(f"{server}/{repository}//")
    if not repository or not workflow or workflow == config:
        raise _incomplete(identity)

    def mismatch(certificate: Certificate) -> str | None:
        return _differing(
            certificate,
            issuer=identity.issuer,
            repository=f"{server}/{repository}",
            repository_id=claims.get("project_id"),
            config=config,
        )

    publisher = {"repository": repository, "workflow_filepath": workflow, "environment": claims.get("environment")}
    return _signer(identity, publisher, mismatch, is_usual=server == _GITLAB)


def _google(identity: CiIdentity) -> Signer:
    email = identity.claims.get("email", "")
    if not email:
        raise _incomplete(identity)

    def mismatch(certificate: Certificate) -> str | None:
        if certificate.emails != (email,):
            return f"is for {' and '.join(certificate.emails)[:200] or 'no account'}, not of {email}"
        return _differing_issuer(certificate, identity.issuer)

    return _signer(identity, {"email": email}, mismatch, is_usual=identity.issuer == "https://accounts.google.com")


def _circleci(identity: CiIdentity) -> Signer:
    project = identity.claims.get("oidc.circleci.com/project-id", "")
    pipeline = identity.claims.get("oidc.circleci.com/pipeline-definition-id", "")
    if not project or not pipeline:
        raise _incomplete(identity)
    expected = f"https://circleci.com/api/v2/projects/{project}/pipeline-definitions/{pipeline}"

    def mismatch(certificate: Certificate) -> str | None:
        found = certificate.claims.get(SIGNER_URI)
        if found != expected:
            return f"is for the pipeline {_shown(found)}, not of {expected}"
        # The issuer of a token has the organization behind it; a certificate may have it without.
        issuers = {_CIRCLECI, identity.issuer} if f"{identity.issuer}/".startswith(f"{_CIRCLECI}/") else set()
        return None if certificate.claims.get(ISSUER) in issuers else _differing_issuer(certificate, identity.issuer)

    publisher = {"project_id": project, "pipeline_definition_id": pipeline}
    return _signer(identity, publisher, mismatch, is_usual=f"{identity.issuer}/".startswith(f"{_CIRCLECI}/"))


_SIGNERS: Final = {"GitHub": _github, "GitLab": _gitlab, "Google": _google, "CircleCI": _circleci}


def _signer(
    identity: CiIdentity,
    publisher: Mapping[str, str | None],
    mismatch: Callable[[Certificate], str | None],
    *,
    is_usual: bool,
) -> Signer:
    """`is_usual`: whether readers of the publisher object know the issuer by its kind; else the object names it."""
    issuer = {} if is_usual else {"issuer": identity.issuer}
    return Signer({"kind": identity.kind, **publisher, "claims": None, **issuer}, mismatch)


def _differing(
    certificate: Certificate, *, issuer: str, repository: str, repository_id: str | None, config: str
) -> str | None:
    """`config`: the URL of the workflow's file, without a branch or commit."""
    claims = certificate.claims
    if (reason := _differing_issuer(certificate, issuer)) is not None:
        return reason
    found = claims.get(REPOSITORY_URI)
    if found != repository:
        return f"is for the repository {_shown(found)}, not of {repository}"
    if repository_id is not None and claims.get(REPOSITORY_ID, repository_id) != repository_id:
        return f"is for another repository of the same name (id {_shown(claims[REPOSITORY_ID])}, not {repository_id})"
    versions = [claims[number] for number in (REPOSITORY_DIGEST, REPOSITORY_REF) if number in claims]
    found = claims.get(CONFIG_URI)
    if found not in {f"{config}@{version}" for version in versions}:
        return f"is for the workflow {_shown(found)}, not of {config}"
    return None


def _differing_issuer(certificate: Certificate, issuer: str) -> str | None:
    found = certificate.claims.get(ISSUER)
    return None if found == issuer else f"is of the issuer {_shown(found)}, not of {issuer}"


def _shown(text: str | None) -> str:
    return "(none)" if text is None else text[:200]


def _incomplete(identity: CiIdentity) -> InvalidRequest:
    return InvalidRequest(
        f"The token of this {identity.kind} publisher lacks the claims that attestations are compared with; "
        "upload without attestations."
    )
