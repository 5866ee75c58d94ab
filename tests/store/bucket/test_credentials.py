"""Each way by which users of a cloud give a program credentials leads to signed requests.

The clouds are doubles (`tests.store.bucket.clouds`); the real ones were not tried.

Replaced here: the folder in which botocore looks for logins.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.credentials
import botocore.tokens
import httpx
import pytest

from quire.domain.errors import ConfigurationError, StoreError
from quire.store.bucket.client import open_bucket
from tests.asking import OPEN, publish_wheel, serve
from tests.bucket.gcs_double import gcs_double
from tests.distributions import wheel_name
from tests.serving import environment, run_quire
from tests.store.bucket.clouds import EXPIRES, Cloud, cloud

ROLE = "arn:aws:iam::123456789012:role/quire"


@pytest.fixture
def clouds() -> Iterator[Cloud]:
    with cloud() as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any credentials, in an environment without variables of a cloud."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "GCE_", "IDENTITY_", "MSI_", "CLOUDSDK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    # botocore looks up the home once for all, when it is imported; a test before this one may have done that
    for provider in (botocore.credentials.SSOProvider, botocore.tokens.SSOTokenProvider):
        monkeypatch.setattr(provider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path / ".aws" / "sso" / "cache"))
    return tmp_path


def signed(clouds: Cloud, url: str, variables: Mapping[str, str], patch: pytest.MonkeyPatch) -> str:
    """The credentials of a request to the bucket, which has no such object. Libraries read the process's variables."""
    for name, value in variables.items():
        patch.setenv(name, value)
    assert open_bucket(url, {**os.environ}).get("format.json") is None
    return clouds.signed[-1]


# -- AWS --------------------------------------------------------------------------------------------------------------

CONFIG = """
[profile keys]
aws_access_key_id = from-keys
aws_secret_access_key = very-secret
[profile role]
role_arn = {role}
source_profile = keys
[profile web]
role_arn = {role}
web_identity_token_file = {home}/token
[profile container]
role_arn = {role}
credential_source = EcsContainer
[profile sso]
sso_session = acme
sso_account_id = 123456789012
sso_role_name = Publisher
[sso-session acme]
sso_start_url = https://acme.awsapps.com/start
sso_region = eu-west-1
sso_registration_scopes = sso:account:access
[profile process]
credential_process = {python} {home}/process.py
"""


def aws(clouds: Cloud, home: Path, **variables: str) -> dict[str, str]:
    (home / "config").write_text(CONFIG.format(role=ROLE, home=home, python=sys.executable))
    (home / "token").write_text("a-token-of-the-cluster")
    keys = {"Version": 1, "AccessKeyId": "from-role", "SecretAccessKey": "very-secret", "SessionToken": "session"}
    (home / "process.py").write_text(f"print({json.dumps(json.dumps(keys))})")
    cached = {"accessToken": "of-a-login", "expiresAt": EXPIRES, "region": "eu-west-1"}
    folder = home / ".aws" / "sso" / "cache"
    folder.mkdir(parents=True)
    (folder / f"{hashlib.sha1(b'acme', usedforsecurity=False).hexdigest()}.json").write_text(json.dumps(cached))
    return {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_S3": clouds.url,
        "AWS_ENDPOINT_URL_STS": f"{clouds.url}/sts",
        "AWS_ENDPOINT_URL_SSO": clouds.url,
        **variables,
    }


@pytest.mark.parametrize(
    ("variables", "path", "part"),
    [
        ({"AWS_METADATA_ENDPOINT": "{url}"}, "/latest/meta-data/iam/security-credentials/role", "metadata-token"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container"}, "/container", ""),
        (
            {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/container", "HTTP_PROXY": "{url}", "NO_PROXY": ""},
            "/container",
            "169.254.170.2",
        ),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{home}/token",
            },
            "/container",
            "a-token-of-the-cluster",
        ),
        ({"AWS_PROFILE": "role"}, "/sts/", "Action=AssumeRole&"),
        ({"AWS_PROFILE": "web"}, "/sts/", "WebIdentityToken=a-token-of-the-cluster"),
        (
            {"AWS_PROFILE": "container", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container"},
            "/sts/",
            "Action=AssumeRole&",
        ),
        ({"AWS_PROFILE": "sso"}, "/federation/credentials", "of-a-login"),
        ({"AWS_PROFILE": "process"}, "", ""),
    ],
    ids=[
        "ec2",
        "container",
        "ecs",
        "pod identity",
        "role",
        "role of a web identity",
        "role of a container",
        "sso",
        "process",
    ],
)
def test_aws(
    variables: dict[str, str], path: str, part: str, clouds: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are signed with the keys of the role, and have the token of its session."""
    filled = {name: value.format(url=clouds.url, home=home) for name, value in variables.items()}
    known = aws(clouds, home, AWS_CONFIG_FILE=str(home / "config"), **filled)
    if "AWS_PROFILE" not in known:
        known["AWS_CONFIG_FILE"] = "/nowhere"
    asked: list[str] = []
    clouds.proves = lambda whole: asked.append(whole) or True  # type: ignore[func-returns-value]
    credentials = signed(clouds, "s3://acme/python", known, monkeypatch)
    assert "Credential=from-role/" in credentials
    assert " session " in credentials
    assert not path or clouds.seen[-1].partition(" ")[2].rstrip("/") == path.rstrip("/")
    assert not asked or part in asked[-1], asked


@pytest.mark.parametrize("kind", ["aws", "azure", "azure secret"])
def test_exchanges_over_tls(kind: str, certificates: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Web identity (IRSA), and a client of Entra ID with a token (AKS) or a secret. obstore sends these to no server
    without TLS; the authority of the tests counts here, too."""
    (home / "token").write_text("a-token-of-the-cluster")
    trusted = {"SSL_CERT_FILE": str(certificates / "ca.pem")}
    with cloud(certificates) as clouds:
        asked: list[str] = []
        clouds.proves = lambda whole: asked.append(whole) or True  # type: ignore[func-returns-value]
        if kind == "aws":
            role = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"), "AWS_ROLE_ARN": ROLE}
            found = signed(clouds, "s3://acme/python", {**aws(clouds, home), **role, **trusted}, monkeypatch)
            assert "Credential=from-role/" in found
        else:
            client = {"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_AUTHORITY_HOST": clouds.url}
            client |= {"AZURE_STORAGE_ACCOUNT": "acme", "AZURE_STORAGE_ENDPOINT": clouds.url}
            if kind == "azure":
                client["AZURE_FEDERATED_TOKEN_FILE"] = str(home / "token")
            else:
                client["AZURE_CLIENT_SECRET"] = "a-token-of-the-cluster"
            assert "Bearer from-cloud" in signed(clouds, "az://acme/python", {**client, **trusted}, monkeypatch)
        assert "a-token-of-the-cluster" in asked[-1]


# -- Google Cloud -----------------------------------------------------------------------------------------------------

SCOPES = "https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_write"


def external_account(clouds: Cloud, home: Path, source: dict[str, Any], **fields: str) -> dict[str, Any]:
    """The file that `gcloud iam workload-identity-pools create-cred-config` writes."""
    (home / "token").write_text("a-token-of-the-job")
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/github",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{clouds.url}/google/sts",
        "credential_source": source,
        **fields,
    }


def google(clouds: Cloud, home: Path, content: object) -> dict[str, str]:
    """The variables that lead to a file of credentials."""
    (home / "google.json").write_text(json.dumps(content))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(home / "google.json"), "GOOGLE_BASE_URL": clouds.url}


def test_google_workload_identity_federation(clouds: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token of a file is exchanged for one of Google's; with impersonation, that one for a service account's."""
    asked: list[str] = []
    clouds.proves = lambda whole: asked.append(whole) or True  # type: ignore[func-returns-value]
    content = external_account(clouds, home, {"file": str(home / "token")})
    found = signed(clouds, "gs://acme/python", google(clouds, home, content), monkeypatch)
    assert "Bearer from-cloud " in found
    assert "subject_token=a-token-of-the-job" in asked[-1]
    content["service_account_impersonation_url"] = f"{clouds.url}/v1/serviceAccounts/a@b.example:generateAccessToken"
    found = signed(clouds, "gs://acme/python", google(clouds, home, content), monkeypatch)
    assert "Bearer impersonated " in found
    assert "Bearer from-cloud" in asked[-1]
    assert "devstorage.read_write" in asked[-1]


def test_google_federation_by_a_url_and_from_aws(clouds: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a job of GitHub Actions, whose token comes from an address, and on a machine of AWS."""
    asked: list[str] = []
    clouds.proves = lambda whole: asked.append(whole) or True  # type: ignore[func-returns-value]
    source = {
        "url": f"{clouds.url}/subject",
        "headers": {"Authorization": "Bearer of-the-job"},
        "format": {"type": "json", "subject_token_field_name": "value"},
    }
    content = external_account(clouds, home, source)
    assert "Bearer from-cloud " in signed(clouds, "gs://acme/python", google(clouds, home, content), monkeypatch)
    assert ("Bearer of-the-job" in asked[0], "subject_token=a-token-of-the-job" in asked[1]) == (True, True)
    source = {
        "environment_id": "aws1",
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    }
    content = external_account(clouds, home, source, subject_token_type="urn:ietf:params:aws:token-type:aws4_request")
    keys = {"AWS_ACCESS_KEY_ID": "from-aws", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_REGION": "eu-west-1"}
    found = signed(clouds, "gs://acme/python", {**google(clouds, home, content), **keys}, monkeypatch)
    assert "Bearer from-cloud " in found
    assert "Credential%253Dfrom-aws" in asked[-1]


def test_google_metadata_server(clouds: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Compute Engine, Cloud Run, and GKE with workload identity."""
    clouds.proves = lambda whole: "'metadata-flavor': 'Google'" in whole
    variables = {"GCE_METADATA_HOST": clouds.url.removeprefix("http://"), "GOOGLE_BASE_URL": clouds.url}
    assert "Bearer from-cloud " in signed(clouds, "gs://acme/python", variables, monkeypatch)


def test_google_federation_at_the_well_known_place(clouds: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `gcloud auth application-default login --login-config` puts it, when no variable names a file."""
    content = external_account(clouds, home, {"file": str(home / "token")})
    folder = home / ".config" / "gcloud"
    folder.mkdir(parents=True)
    google(clouds, home, content)
    shutil.move(home / "google.json", folder / "application_default_credentials.json")
    found = signed(clouds, "gs://acme/python", {"GOOGLE_BASE_URL": clouds.url}, monkeypatch)
    assert "Bearer from-cloud " in found
    clouds.seen.clear()
    known = {"GOOGLE_BEARER_TOKEN": "given", "GOOGLE_BASE_URL": clouds.url}
    assert "Bearer given " in signed(clouds, "gs://acme/python", known, monkeypatch)
    assert clouds.seen == []


def test_workers_use_google_federation(clouds: Cloud, home: Path) -> None:
    """Each forked worker exchanges a token of its own; commands do, too."""
    with gcs_double() as double:
        variables: dict[str, Any] = double.environment
        clouds.token = variables.pop("GOOGLE_BEARER_TOKEN")
        content = external_account(clouds, home, {"file": str(home / "token")})
        variables = {**google(clouds, home, content), **variables, "HOME": str(home)}
        url = f"{double.make_bucket()}/python"
        with serve(home, *OPEN, "--workers", 2, place=url, **variables) as site:
            publish_wheel(site, "acme", "1.0")
            for _ in range(6):  # whichever worker answers
                address = str(site.client.base_url.join("/simple/acme/"))
                assert wheel_name("acme", "1.0") in httpx.get(address).text
        done = run_quire("ls", "-d", url, cwd=home, environ=environment(**variables))
    assert done.stdout.startswith("acme"), done.stderr
    assert len(clouds.seen) >= 3


def test_a_refused_exchange_is_one_sentence(clouds: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names neither token."""
    clouds.proves = lambda _: False
    content = external_account(clouds, home, {"file": str(home / "token")})
    with pytest.raises(StoreError) as caught:
        signed(clouds, "gs://acme/python", google(clouds, home, content), monkeypatch)
    assert "with these credentials" in str(caught.value)
    assert "a-token-of-the-job" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"type": "external_account"}, "(external_account) cannot be used"),
        ({"type": "impersonated_service_account"}, "(impersonated_service_account) cannot be used"),
        ({"type": "external_account_authorized_user"}, "(external_account_authorized_user) cannot be used"),
    ],
    ids=["external account", "impersonation", "user"],
)
def test_a_damaged_google_file_is_one_sentence(
    content: dict[str, Any], sentence: str, clouds: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, without a traceback."""
    with pytest.raises(ConfigurationError) as caught:
        signed(clouds, "gs://acme/python", google(clouds, home, content), monkeypatch)
    assert sentence in str(caught.value)


def test_google_auth_is_named_where_it_is_missing(clouds: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a file that needs it; one of a service account does not."""
    monkeypatch.setitem(sys.modules, "google.auth.exceptions", None)
    content = external_account(clouds, home, {"file": str(home / "token")})
    with pytest.raises(ConfigurationError, match=r"install quire-index\[gcs\]"):
        signed(clouds, "gs://acme/python", google(clouds, home, content), monkeypatch)


# -- Azure ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "proof", "found"),
    [
        (
            {"IDENTITY_ENDPOINT": "{url}/identity", "IDENTITY_HEADER": "proof"},
            "'x-identity-header': 'proof'",
            "Bearer from-cloud",
        ),
        ({"HTTP_PROXY": "{url}", "NO_PROXY": ""}, "'metadata': 'true'", "Bearer from-cloud"),
        ({"AZURE_USE_AZURE_CLI": "true"}, "", "Bearer from-az"),
        ({"AZURE_STORAGE_SAS_TOKEN": "sv=2024&sig=signature"}, "", "sig=signature"),
        ({"AZURE_STORAGE_KEY": "a2V5"}, "", "SharedKey acme:"),
    ],
    ids=["app service", "virtual machine", "az login", "sas", "key"],
)
def test_azure(
    variables: dict[str, str], proof: str, found: str, clouds: Cloud, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests have the token of the identity, or the signature."""
    tool = home / "az"
    answer = {"accessToken": "from-az", "expiresOn": "2099-01-01 00:00:00.000000", "expires_on": 4070908800}
    tool.write_text(
        f"#!/bin/sh\necho '{json.dumps({**answer, 'subscription': 's', 'tenant': 't', 'tokenType': 'Bearer'})}'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    clouds.proves = lambda whole: proof in whole
    known = {name: value.format(url=clouds.url) for name, value in variables.items()}
    known |= {"AZURE_STORAGE_ACCOUNT": "acme", "AZURE_STORAGE_ENDPOINT": clouds.url}
    assert found in signed(clouds, "az://acme/python", known, monkeypatch)
