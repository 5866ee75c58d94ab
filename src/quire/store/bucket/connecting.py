"""How to reach a bucket and with which credentials, as the users of each cloud know it from the cloud's own tools.

obstore knows most of it: keys in the environment, roles of instances, containers and web identities, service accounts,
managed identities. Here is the rest: profiles of the AWS command line (through botocore, the extra `aws`), files of
Google Cloud that obstore cannot read (`google_files`), names of variables that obstore does not read, certificates, and
the style of addresses. Nothing is asked of a cloud here.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from quire.domain.errors import ConfigurationError
from quire.store.bucket import addresses
from quire.store.bucket.google_files import google_provider

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSCredential, S3Credential

    _Provider = Callable[[], S3Credential] | Callable[[], GCSCredential]

_CONNECT_SECONDS: Final = 3
_CREDENTIAL_LIFE: Final = timedelta(minutes=10)
"""botocore renews credentials so long before they end, so those of now are good for as long."""
_S3_KEYS: Final = {
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}
_ROLES: Final = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_AZURE_LOGINS: Final = (
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING"),
    *("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN", "AZURE_STORAGE_USE_EMULATOR"),
    *("AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_USE_AZURE_CLI"),
    *("AZURE_MSI_ENDPOINT", "AZURE_IDENTITY_ENDPOINT", "IDENTITY_ENDPOINT", "AZURE_OBJECT_ID", "AZURE_MSI_RESOURCE_ID"),
    *("AZURE_CREDENTIAL_TYPE", "AZURE_SKIP_SIGNATURE"),
)
"""Variables each of which says how to log in."""


class Connection(NamedTuple):
    """The arguments of `obstore.store.from_url` besides the URL."""

    config: dict[str, Any]
    client_options: ClientConfig
    credential_provider: _Provider | None


def connection_to(url: str, environ: Mapping[str, str]) -> Connection:
    """How to reach a bucket. Raises ConfigurationError."""
    _check_endpoints(environ)
    address = addresses.address_of(url)
    options: ClientConfig = {"connect_timeout": f"{_CONNECT_SECONDS}s"}
    authorities = _authorities(address.scheme, environ)
    if authorities is not None:
        options["root_certificate"] = authorities
    config: dict[str, Any] = {}
    provider: _Provider | None = None
    if address.scheme == "s3":
        config, provider = _s3(address, environ)
    elif address.scheme == "az":
        config = _azure(environ)
    else:
        provider = google_provider(environ, _home(environ))
    endpoints = (config.get("endpoint", ""), *(environ.get(name, "") for name in addresses.ENDPOINTS))
    if any(each.startswith("http://") for each in endpoints):
        options["allow_http"] = True
    return Connection(config, options, provider)


# -- S3 ---------------------------------------------------------------------------------------------------------------


def _s3(
    address: addresses.Address, environ: Mapping[str, str]
) -> tuple[dict[str, Any], Callable[[], S3Credential] | None]:
    is_virtual = addresses.is_virtual_hosted(address.bucket, environ)
    # Objects are removed one by one: a refusal is then an answer of its own, and every server knows the request.
    config: dict[str, Any] = {"virtual_hosted_style_request": is_virtual, "disable_bulk_delete": True}
    config |= {name: environ[variable] for name, variable in _S3_KEYS.items() if environ.get(variable)}
    region = addresses.s3_region(environ)
    if region is not None:
        config["region"] = region
    endpoint = addresses.s3_endpoint(environ)
    if endpoint is not None:
        config["endpoint"] = _with_bucket(endpoint, address.bucket) if is_virtual else endpoint.rstrip("/")
    if not _uses_botocore(environ):
        return config, None
    session = _session(environ)
    if session is None:
        return config, None
    if region is not None:
        session.set_config_variable("region", region)  # for the servers of roles; botocore does not read AWS_REGION
    elif region := session.get_config_variable("region"):
        config["region"] = region
    return config, _ProfileCredentials(session)


def _uses_botocore(environ: Mapping[str, str]) -> bool:
    """Whether the files of the AWS command line say which credentials to use, or a container in a way that obstore does
    not know: an address without a file of a token beside it."""
    if environ.get("AWS_ACCESS_KEY_ID"):
        return False
    has_token_file = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if environ.get("AWS_PROFILE") or (environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") and not has_token_file):
        return True
    files = (
        environ.get("AWS_SHARED_CREDENTIALS_FILE") or f"{_home(environ)}/.aws/credentials",
        environ.get("AWS_CONFIG_FILE") or f"{_home(environ)}/.aws/config",
    )
    return not any(environ.get(name) for name in _ROLES) and any(os.path.isfile(each) for each in files)


def _session(environ: Mapping[str, str]) -> Any:
    """botocore's; None where it is missing, and no profile was chosen. Raises ConfigurationError."""
    profile = environ.get("AWS_PROFILE") or None
    try:
        import botocore.exceptions  # noqa: PLC0415 - a third of a second, for those alone that have profiles
        import botocore.session  # noqa: PLC0415 - as above
    except ImportError as error:
        if profile is None:
            return None
        raise ConfigurationError(
            f"AWS_PROFILE={profile} needs botocore; install quire-index[aws], or give the credentials themselves."
        ) from error
    logging.getLogger("botocore").setLevel(logging.CRITICAL)  # its warnings, with tracebacks, repeat raised errors
    session = botocore.session.Session(profile=profile)
    try:
        session.get_scoped_config()
    except botocore.exceptions.BotoCoreError as error:
        raise ConfigurationError(f"The profile of AWS_PROFILE cannot be used: {error}.") from error
    return session


class _ProfileCredentials:
    """Fulfils obstore's contract of a credential provider, with what a profile leads to: keys, SSO, roles, a process.

    obstore calls it from threads of its own, at the first request and whenever the credentials are about to end.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self) -> S3Credential:
        credentials = self._session.get_credentials()
        if credentials is None:
            raise LookupError("the files of the AWS command line lead to no credentials")
        now = credentials.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + _CREDENTIAL_LIFE,
        }


def _with_bucket(endpoint: str, bucket: str) -> str:
    """The URL of a server with the bucket before its name."""
    scheme, _, rest = endpoint.rstrip("/").partition("://")
    return f"{scheme}://{rest}" if rest.startswith(f"{bucket}.") else f"{scheme}://{bucket}.{rest}"


# -- Azure ------------------------------------------------------------------------------------------------------------


def _azure(environ: Mapping[str, str]) -> dict[str, Any]:
    """The options that the Azure command line's variables have and obstore's do not."""
    connection = dict(
        part.split("=", 1) for part in environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";") if "=" in part
    )
    found = {
        "account_name": environ.get("AZURE_STORAGE_ACCOUNT") or connection.get("AccountName"),
        "account_key": environ.get("AZURE_STORAGE_KEY") or connection.get("AccountKey"),
        "sas_key": connection.get("SharedAccessSignature"),
        "endpoint": connection.get("BlobEndpoint"),
    }
    config: dict[str, Any] = {name: value for name, value in found.items() if value}
    if not any(environ.get(name) for name in _AZURE_LOGINS):
        folder = environ.get("AZURE_CONFIG_DIR") or f"{_home(environ)}/.azure"
        if os.path.isfile(f"{folder}/azureProfile.json"):
            config["use_azure_cli"] = True  # a user has run `az login`
    return config


# -- certificates -----------------------------------------------------------------------------------------------------


def _authorities(scheme: str, environ: Mapping[str, str]) -> bytes | None:
    """The certificates of further authorities to trust. Raises ConfigurationError."""
    found = addresses.certificates(environ, is_s3=scheme == "s3")
    if found is None:
        return None
    name, path = found
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The file of certificates {path} ({name}) cannot be read: {error.strerror}; name a file in PEM format."
        ) from error
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise ConfigurationError(f"The file {path} ({name}) has no certificate; name a file in PEM format.")
    return content


# -- variables --------------------------------------------------------------------------------------------------------


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _check_endpoints(environ: Mapping[str, str]) -> None:
    """Refuse credentials in the URL of a server, which errors show, and what is no URL. Raises ConfigurationError."""
    for name in addresses.ENDPOINTS:
        endpoint = environ.get(name, "")
        if "@" in endpoint:
            raise ConfigurationError(f"{name} has a user or a password in it; give credentials by their own variables.")
        if endpoint and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", endpoint, re.IGNORECASE):
            raise ConfigurationError(f"{name} is no URL; give one as in https://host:port.")
