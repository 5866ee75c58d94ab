"""The rules between the settings of users that a proxy or an identity provider identifies."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from quire.domain.errors import ConfigurationError

LOAD_BALANCER_HEADER: Final = "x-amzn-oidc-data"
"""The signed header of an AWS Application Load Balancer."""


def check_sign_on(fields: Mapping[str, Any]) -> None:
    """Refuse settings by which any client could name itself. `fields`: of Settings. Raises ConfigurationError."""
    user, groups = fields.get("user_header"), fields.get("groups_header")
    if groups is not None and user is None:
        raise ConfigurationError(
            "--groups-header names the groups of a user; name the user's header with --user-header."
        )
    if user is not None and user == groups:
        raise ConfigurationError("--user-header and --groups-header name the same header; name two.")
    if user is not None:
        _check_proxies("--user-header", fields.get("trusted_proxies", ()))
    if LOAD_BALANCER_HEADER in {user, groups}:
        raise ConfigurationError(f"The header {LOAD_BALANCER_HEADER} is signed; name the load balancer with --alb-arn.")
    if fields.get("alb_arn"):
        if user is not None:
            raise ConfigurationError("--alb-arn and --user-header both name the user; give one of them.")
        _check_proxies("--alb-arn", fields.get("trusted_proxies", ()))
        _check_installed("--alb-arn")
    elif fields.get("alb_keys_url"):
        raise ConfigurationError("--alb-keys-url has the keys of load balancers; name them with --alb-arn.")

    _check_login_page(fields)


def _check_login_page(fields: Mapping[str, Any]) -> None:
    issuer = fields.get("oidc_issuer")
    if (issuer is None) != (fields.get("oidc_client_id") is None):
        raise ConfigurationError("A login page needs both --oidc-issuer and --oidc-client-id; give both.")
    if issuer is not None:
        _check_installed("--oidc-issuer")
    for name in ("oidc_client_secret_file", "oidc_allowed_groups"):
        if issuer is None and fields.get(name):
            raise ConfigurationError(f"--{name.replace('_', '-')} is for a login page; give --oidc-issuer as well.")


def _check_proxies(flag: str, trusted: tuple[str, ...]) -> None:
    if not trusted:
        raise ConfigurationError(
            f"{flag} believes a header of trusted proxies, and there are none; name them with --trusted-proxies."
        )
    everything = next((each for each in trusted if each == "*" or _is_everything(each)), None)
    if everything is not None:
        raise ConfigurationError(
            f"With --trusted-proxies {everything} any client could name a user by {flag}; name the addresses of the "
            "proxies."
        )


def _check_installed(flag: str) -> None:
    from importlib.util import find_spec  # noqa: PLC0415 - for these settings alone

    if find_spec("jwt") is None or find_spec("cryptography") is None:
        raise ConfigurationError(
            f"{flag} verifies signatures, which needs the extra [oidc]: pip install 'quire-index[oidc]'."
        )


def _is_everything(network: str) -> bool:
    return network != "unix" and ipaddress.ip_network(network).prefixlen == 0
