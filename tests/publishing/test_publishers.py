"""Trusted publishers: the documented claims of each platform match, and whatever is not quite they is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quire.domain.errors import InvalidRequest
from quire.publishing.platforms import PLATFORMS
from quire.publishing.publishers import Publisher, facts, make_publisher, mismatch, remember
from tests.publishing.claims import CIRCLECI, CLAIMS, FORGEJO, GITHUB, GITLAB, GOOGLE, OTHER, SETTINGS, SHA

ISSUERS = {"forgejo": "https://code.acme.example", "oidc": OTHER["iss"]}


def publisher(
    platform: str = "github",
    settings: dict[str, str] | None = None,
    claims: dict[str, str] | None = None,
    issuer: str | None = None,
) -> Publisher:
    asked = {"sub": OTHER["sub"]} if platform == "oidc" and claims is None else claims or {}
    return make_publisher(
        platform,
        SETTINGS[platform] if settings is None else settings,
        asked,
        issuer=issuer or ISSUERS.get(platform),
        index="main",
        projects=("acme-tools",),
        created="2026-11-28T12:00:00Z",
        by="alice",
    )


@pytest.mark.parametrize("platform", PLATFORMS)
def test_documented_claims_match(platform: str) -> None:
    """As each platform's documentation shows them."""
    assert mismatch(publisher(platform), CLAIMS[platform]) is None


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("other", PLATFORMS)
def test_claims_of_one_platform_are_of_no_other(platform: str, other: str) -> None:
    """Also under the issuer of the other."""
    if platform != other:
        wanted = publisher(platform)
        assert mismatch(wanted, CLAIMS[other]) == "another issuer"
        if {platform, other} != {"github", "forgejo"}:
            assert mismatch(wanted, {**CLAIMS[other], "iss": wanted.issuer})


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("github", {"repository": "acme/tools2"}, "repository is"),
    ("github", {"repository": "evil/tools"}, "repository is"),
    ("github", {"repository": ""}, "repository is"),
    ("github", {"repository": None}, "repository is"),
    ("github", {"repository": ["acme/tools"]}, "repository is"),
    ("github", {"repository_id": None}, "has no repository_id"),
    ("github", {"event_name": "pull_request_target"}, "pull_request_target"),
    ("github", {"event_name": ["pull_request_target"]}, "has no event_name"),
    ("github", {"event_name": None}, "has no event_name"),
    ("github", {"environment": None}, "environment is"),
    ("github", {"environment": "staging"}, "environment is"),
    ("github", {"workflow_ref": "acme/tools/.github/workflows/test.yml@refs/tags/v1.2.0"}, "workflow_ref is"),
    ("github", {"workflow_ref": "acme/tools/.github/workflows/Release.yml@refs/tags/v1.2.0"}, "workflow_ref is"),
    ("github", {"workflow_ref": None, "job_workflow_ref": None}, "workflow_ref is"),
    ("github", {"workflow_ref": ""}, "workflow_ref is"),
    ("github", {"job_workflow_ref": "evil/x/.github/workflows/release.yml@refs/tags/v1.2.0"}, "job_workflow_ref is"),
    ("github", {"job_workflow_ref": "acme/tools/.github/workflows/release.yml@refs/heads/old"}, "job_workflow_ref is"),
    (
        "github",
        {"workflow_ref": "acme/tools/.github/workflows/x.yml@.github/workflows/release.yml@refs/tags/v1.2.0"},
        "workflow_ref is",
    ),
    ("github", {"ref": "", "sha": ""}, "workflow_ref is"),
    ("gitlab", {"project_path": "acme/tools"}, "project_path is"),
    ("gitlab", {"project_id": None}, "has no project_id"),
    ("gitlab", {"ci_config_ref_uri": "gitlab.com/acme/platform/tools//x.yml@refs/tags/v1.2.0"}, "ci_config_ref_uri is"),
    ("gitlab", {"ci_config_ref_uri": "gitlab.com/evil/x//.gitlab-ci.yml@refs/tags/v1.2.0"}, "ci_config_ref_uri is"),
    ("gitlab", {"ci_config_ref_uri": None}, "ci_config_ref_uri is"),
    ("gitlab", {"environment": "PyPI"}, "environment is"),
    ("forgejo", {"workflow_ref": "acme/tools/workflows/release.yml@refs/tags/v1.2.0"}, "workflow_ref is"),
    ("forgejo", {"workflow_ref": None}, "workflow_ref is"),
    ("forgejo", {"event_name": "pull_request_target"}, "pull_request_target"),
    ("buildkite", {"organization_slug": "evil"}, "organization_slug is"),
    ("buildkite", {"pipeline_slug": "tools-fork"}, "pipeline_slug is"),
    ("circleci", {"oidc.circleci.com/org-id": "other"}, "org-id is"),
    ("circleci", {"oidc.circleci.com/project-id": "other"}, "project-id is"),
    ("circleci", {"oidc.circleci.com/vcs-origin": "github.com/stranger/tools"}, "vcs-origin is"),
    ("circleci", {"oidc.circleci.com/vcs-origin": None}, "vcs-origin is"),
    ("circleci", {"oidc.circleci.com/pipeline-definition-id": None}, "pipeline-definition-id is"),
    ("circleci", {"oidc.circleci.com/context-ids": []}, "context-ids does not have"),
    ("circleci", {"oidc.circleci.com/context-ids": "58bef0c1-399d-49ca-a5ba-2f4317e4224d"}, "context-ids does not"),
    ("circleci", {"oidc.circleci.com/ssh-rerun": True}, "ssh-rerun is not false"),
    ("circleci", {"oidc.circleci.com/ssh-rerun": None}, "ssh-rerun is not false"),
    ("circleci", {"oidc.circleci.com/ssh-rerun": 0}, "ssh-rerun is not false"),
    ("google", {"email": "Release@acme-build.iam.gserviceaccount.com"}, "email is"),
    ("google", {"email_verified": "true"}, "email_verified is not true"),
    ("google", {"email_verified": 1}, "email_verified is not true"),
    ("oidc", {"sub": "https://jenkins.acme.example/job/other/"}, "sub is"),
    ("oidc", {"iss": "https://jenkins.acme.example/oidc/"}, "another issuer"),
]


@pytest.mark.parametrize(("platform", "changed", "reason"), REFUSED)
def test_claims_that_differ_are_refused(platform: str, changed: dict[str, Any], reason: str) -> None:
    """Each by the rule of its platform; None stands for a claim that is not there."""
    claims = {name: value for name, value in {**CLAIMS[platform], **changed}.items() if value is not None}
    found = mismatch(publisher(platform), claims)
    assert found is not None
    assert reason in found


def test_names_without_case() -> None:
    """Repositories and environments of GitHub, and projects of GitLab, are the same in any case."""
    shouted = publisher(settings={"repository": "Acme/Tools", "workflow": "release.yml", "environment": "PyPI"})
    assert mismatch(shouted, GITHUB) is None
    renamed = {
        "repository": "ACME/tools",
        "workflow_ref": "ACME/tools/.github/workflows/release.yml@refs/tags/v1.2.0",
        "job_workflow_ref": "ACME/tools/.github/workflows/release.yml@refs/tags/v1.2.0",
    }
    assert mismatch(publisher(), {**GITHUB, **renamed}) is None
    upper = {"repository": "Acme/Platform/TOOLS", "workflow": ".gitlab-ci.yml"}
    assert mismatch(publisher("gitlab", upper), GITLAB) is None
    assert (
        mismatch(publisher("circleci", {**SETTINGS["circleci"], "repository": "github.com/Acme/Tools"}), CIRCLECI)
        is None
    )


def test_a_workflow_with_signs_in_its_name() -> None:
    """The reference is not found by cutting: `@` may be in names of files and of branches."""
    odd = publisher(settings={"repository": "acme/tools", "workflow": "a@b.yml"})
    ref = {"ref": "refs/heads/x@y.yml"}
    file = "acme/tools/.github/workflows/a@b.yml@refs/heads/x@y.yml"
    assert mismatch(odd, {**GITHUB, **ref, "workflow_ref": file, "job_workflow_ref": file}) is None


def test_a_job_of_a_commit_has_no_reference() -> None:
    """A deployment of a commit names the commit in place of a branch."""
    file = f"acme/tools/.github/workflows/release.yml@{SHA}"
    claims = {**GITHUB, "ref": "", "workflow_ref": file, "job_workflow_ref": file}
    assert mismatch(publisher(), claims) is None


def test_a_reusable_workflow_has_to_be_named() -> None:
    """The job is in a workflow of another repository: both are compared, with the reference where it was given."""
    shared = "acme/ci/.github/workflows/publish.yml"
    claims = {**GITHUB, "job_workflow_ref": f"{shared}@refs/heads/main"}
    assert mismatch(publisher(), claims)
    for wanted, matches in ((shared, True), (f"{shared}@refs/heads/main", True), (f"{shared}@refs/heads/other", False)):
        settings = {**SETTINGS["github"], "reusable_workflow": wanted}
        assert (mismatch(publisher(settings=settings), claims) is None) is matches
        assert mismatch(publisher(settings=settings), {**claims, "workflow_ref": claims["job_workflow_ref"]})
        assert mismatch(publisher(settings=settings), {**claims, "job_workflow_ref": f"{shared}x@refs/heads/main"})
        assert mismatch(publisher(settings=settings), GITHUB)
        alone = {name: value for name, value in claims.items() if name != "workflow_ref"}
        assert mismatch(publisher(settings=settings), alone)


@pytest.mark.parametrize(
    ("platform", "issuer", "claims"),
    [
        ("github", "https://github.acme.example/_services/token", {}),
        ("github", "https://token.actions.githubusercontent.com/acme-inc", {}),
        (
            "gitlab",
            "https://gitlab.acme.example",
            {"ci_config_ref_uri": "gitlab.acme.example/acme/platform/tools//.gitlab-ci.yml@refs/tags/v1.2.0"},
        ),
        (
            "gitlab",
            "https://acme.example/gitlab",
            {"ci_config_ref_uri": "acme.example/gitlab/acme/platform/tools//.gitlab-ci.yml@refs/tags/v1.2.0"},
        ),
        ("forgejo", "https://codeberg.org/api/actions", {}),
        ("forgejo", "https://gitea.acme.example/x", {}),
        ("circleci", f"https://oidc.circleci.com/org/{CIRCLECI['oidc.circleci.com/org-id']}", {}),
    ],
)
def test_issuers_of_ones_own(platform: str, issuer: str, claims: dict[str, str]) -> None:
    """GitHub Enterprise, any GitLab, any Forgejo: the issuer is the operator's, and no other is taken for it."""
    own = publisher(platform, issuer=issuer)
    assert own.issuer == issuer
    assert mismatch(own, {**CLAIMS[platform], **claims, "iss": issuer}) is None
    assert mismatch(own, {**CLAIMS[platform], **claims}) == "another issuer" or issuer == CLAIMS[platform]["iss"]


def test_the_address_of_a_forgejo_is_enough() -> None:
    """The issuer of its Actions is below it."""
    assert publisher("forgejo", issuer="https://code.acme.example/").issuer == FORGEJO["iss"]
    assert publisher("gitlab", issuer="https://gitlab.acme.example/").issuer == "https://gitlab.acme.example"


@pytest.mark.parametrize("platform", [name for name, kind in PLATFORMS.items() if kind.ids])
def test_another_repository_of_the_same_name_is_refused(platform: str) -> None:
    """The ids of the first use are remembered: a name that came into other hands matches no more."""
    first = remember(publisher(platform), CLAIMS[platform])
    assert mismatch(first, CLAIMS[platform]) is None
    assert remember(first, CLAIMS[platform]) is first
    for name in PLATFORMS[platform].ids:
        for value in ("999", None):
            found = mismatch(first, {**CLAIMS[platform], name: value})
            assert found is not None
            assert name in found


def test_ids_that_come_later_are_remembered_later() -> None:
    """An installation that gave none yet gives them after an upgrade."""
    early = {name: value for name, value in FORGEJO.items() if not name.startswith("repository_")}
    first = remember(publisher("forgejo"), early)
    assert first.remembered == {}
    assert remember(first, FORGEJO).remembered == {"repository_id": "456789", "repository_owner_id": "123456"}


def test_an_operator_can_ask_for_any_claim() -> None:
    """Such as an id from the beginning, a protected reference, or a value in a list."""
    claims = {"repository_id": "74", "ref_type": "tag"}
    assert mismatch(publisher(claims=claims), GITHUB) is None
    assert mismatch(publisher(claims={**claims, "repository_id": "75"}), GITHUB) == "repository_id is '74', not '75'"
    assert mismatch(publisher("oidc", claims={"build_number": "7"}), OTHER) is None
    listed = {"oidc.circleci.com/context-ids": CIRCLECI["oidc.circleci.com/context-ids"][0]}
    assert mismatch(publisher("circleci", claims=listed), CIRCLECI) is None


def test_the_log_names_repository_workflow_run_and_commit() -> None:
    """In the same words for each platform."""
    assert facts("GitHub", GITHUB) == {
        "platform": "GitHub",
        "repository": "acme/tools",
        "workflow": "acme/tools/.github/workflows/release.yml@refs/tags/v1.2.0",
        "run": "19844302",
        "commit": SHA,
        "ref": "refs/tags/v1.2.0",
        "environment": "pypi",
        "actor": "octocat",
    }
    assert facts("Google", GOOGLE) == {"platform": "Google", "actor": GOOGLE["email"]}
    assert facts("Buildkite", CLAIMS["buildkite"])["run"] == "5"


@pytest.mark.parametrize(
    ("platform", "settings", "claims", "issuer", "reason"),
    [
        ("gitbub", {}, {}, None, "is no platform"),
        ("github", {"repository": "acme/tools"}, {}, None, "needs --workflow"),
        ("github", {"workflow": "x.yml"}, {}, None, "needs --repository"),
        ("github", {"repository": "tools", "workflow": "x.yml"}, {}, None, "is no repository"),
        ("github", {"repository": "a/b/c", "workflow": "x.yml"}, {}, None, "is no repository"),
        ("github", {"repository": "a/b", "workflow": ".github/workflows/x.yml"}, {}, None, "name of its file alone"),
        ("github", {"repository": "a/b", "workflow": "x"}, {}, None, "name of its file alone"),
        ("github", {"repository": "a/b", "workflow": "x.yml", "email": "x"}, {}, None, "has no --email"),
        ("github", {"repository": "a/b ", "workflow": "x.yml"}, {}, None, "spaces"),
        ("github", {"repository": "a/b", "workflow": "x.yml"}, {"aud": "x"}, None, "is no claim"),
        ("github", {"repository": "a/b", "workflow": "x.yml"}, {"a b": "x"}, None, "is no claim"),
        ("github", {"repository": "a/b", "workflow": "x.yml"}, {}, "http://example.com", "is no URL of an issuer"),
        ("github", {"repository": "a/b", "workflow": "x.yml"}, {}, "https://u@example.com", "is no URL of an issuer"),
        ("gitlab", {"repository": "tools", "workflow": ".gitlab-ci.yml"}, {}, None, "is no project"),
        ("gitlab", {"repository": "a/b", "workflow": "/x.yml"}, {}, None, "path of its file"),
        ("forgejo", {"repository": "a/b", "workflow": "x.yml"}, {}, None, "needs --issuer"),
        ("circleci", {"organization": "a", "ci_project": "b"}, {}, None, "needs --repository"),
        *(
            (
                "circleci",
                {"organization": "a", "ci_project": "b", "repository": each},
                {},
                None,
                "is no repository of Circle",
            )
            for each in ("acme/tools", "https://github.com/acme/tools", "github.com/acme", "github.com/acme/")
        ),
        ("oidc", {}, {}, "https://example.com", "needs --claim"),
        ("oidc", {}, {"sub": "x"}, None, "needs --issuer"),
    ],
)
def test_publishers_that_could_never_match_are_refused(
    platform: str, settings: dict[str, str], claims: dict[str, str], issuer: str | None, reason: str
) -> None:
    """With a sentence that says what to write."""
    with pytest.raises(InvalidRequest, match=reason):
        make_publisher(platform, settings, claims, issuer=issuer, index="main", projects=("x",), created="", by=None)


def test_a_publisher_of_circleci_without_a_repository_matches_nothing() -> None:
    """It would be one of every fork as well."""
    whole = publisher("circleci")
    settings = {word: value for word, value in whole.settings.items() if word != "repository"}
    found = mismatch(msgspec.structs.replace(whole, settings=settings), CIRCLECI)
    assert found is not None
    assert "vcs-origin is" in found


def test_a_publisher_of_a_newer_version_matches_nothing() -> None:
    """A platform that this version does not know."""
    newer = Publisher(platform="newer", issuer=GITHUB["iss"], settings={}, index="main", projects=("x",))
    assert mismatch(newer, GITHUB) == "the platform 'newer' is not known to this version"
