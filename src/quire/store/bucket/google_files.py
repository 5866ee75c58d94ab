"""Credentials of Google Cloud that obstore cannot read: workload identity federation, and impersonation.

obstore reads the file of a service account and that of a user. The other kinds, which `gcloud iam
workload-identity-pools create-cred-config` and `gcloud auth application-default login` write, say how to exchange
another cloud's or an OpenID provider's token for one of Google's. google-auth, Google's own library (the extra `gcs`),
knows all of them; it is imported for such files alone.

Sources: https://google.aip.dev/auth/4110 (where the file is), .../4117 (external accounts).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from quire.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from obstore.store import GCSCredential

_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)
_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_STRONGER: Final = (
    *("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY"),
    *("GOOGLE_BEARER_TOKEN", "GOOGLE_SKIP_SIGNATURE"),
)
"""Variables that obstore reads before the file."""
_EXTERNAL: Final = "external_account"
_EXTERNAL_USER: Final = "external_account_authorized_user"
_IMPERSONATED: Final = "impersonated_service_account"
_KINDS: Final = (_EXTERNAL, _EXTERNAL_USER, _IMPERSONATED)
_LONGEST_FILE: Final = 64 * 1024


def google_provider(environ: Mapping[str, str], home: str) -> Callable[[], GCSCredential] | None:
    """A credential provider for obstore, where the file of the credentials is of a kind that it cannot read; else None.

    Asks nothing of a cloud yet. Raises ConfigurationError for a file that cannot be used.
    """
    if any(environ.get(name) for name in _STRONGER):
        return None
    path = environ.get(_VARIABLE) or _well_known(environ, home)
    found = _content(path)
    if found is None or found.get("type") not in _KINDS:
        return None
    try:
        import google.auth.exceptions  # noqa: PLC0415 - of the extra, and slow to import
        import google.auth.transport.requests  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigurationError(
            f"The credentials in {path} ({found['type']}) need google-auth; install quire-index[gcs], or name the file "
            f"of a service account in {_VARIABLE}."
        ) from error
    try:
        return _Provider(_credentials(found))
    except (google.auth.exceptions.GoogleAuthError, AttributeError, KeyError, TypeError, ValueError) as error:
        said = str(error.args[0] if error.args else error).partition("\n")[0].rstrip(".")[:200]
        raise ConfigurationError(f"The credentials in {path} ({found['type']}) cannot be used: {said}.") from error


class _Provider:
    """Fulfils obstore's contract of a credential provider.

    obstore calls it from threads of its own, at the first request and whenever the token is about to end.
    """

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def __call__(self) -> GCSCredential:
        from google.auth.transport.requests import Request  # noqa: PLC0415 - see the module

        self._credentials.refresh(Request())  # a connection of its own: forked workers share none
        ends = self._credentials.expiry
        return {"token": self._credentials.token, "expires_at": None if ends is None else ends.replace(tzinfo=UTC)}


def _well_known(environ: Mapping[str, str], home: str) -> str:
    """The file that `gcloud auth application-default login` writes."""
    folder = environ.get("CLOUDSDK_CONFIG") or f"{home}/.config/gcloud"
    return f"{folder}/application_default_credentials.json"


def _content(path: str) -> dict[str, Any] | None:
    """The object in a file; None for anything else, which obstore has an error for."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(_LONGEST_FILE))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _credentials(found: dict[str, Any]) -> Any:
    """google-auth's object for them. Raises GoogleAuthError, and errors of Python's own for fields that are missing."""
    from google.auth import (  # noqa: PLC0415 - see the module
        aws,
        external_account_authorized_user,
        identity_pool,
        impersonated_credentials,
        pluggable,
    )

    source = found.get("credential_source") or {}
    if found["type"] == _IMPERSONATED:
        make: Any = impersonated_credentials.Credentials.from_impersonated_service_account_info
    elif found["type"] == _EXTERNAL_USER:
        make = external_account_authorized_user.Credentials.from_info
    elif "environment_id" in source:
        make = aws.Credentials.from_info
    elif "executable" in source:
        make = pluggable.Credentials.from_info
    else:
        make = identity_pool.Credentials.from_info
    return make(found, scopes=_SCOPES)
