"""The rules between the settings of users that a proxy or an identity provider identifies."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from quire.domain.errors import ConfigurationError


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


def _is_everything(network: str) -> bool:
    return network != "unix" and ipaddress.ip_network(network).prefixlen == 0
