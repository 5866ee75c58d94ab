"""Credentials for a server, found as pip and uv find them. Nothing here prints or logs one.

In this order: user and password in the URL; QUIRE_TOKEN; netrc; the command `keyring`; a prompt on a terminal. The
first three are sent with the first request, since they are at hand; the others are asked only when the server wants a
login, since a keyring or a person may take long.
"""

from __future__ import annotations

import getpass
import netrc
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from quire.access.tokens import USERNAME, parse_token
from quire.domain.errors import ConfigurationError

TOKEN_VARIABLE: Final = "QUIRE_TOKEN"  # noqa: S105 - the name of a variable
KEYRING_SECONDS: Final = 60.0
"""For a keyring that asks a person to unlock it."""
_MOST: Final = 4096


@dataclass(frozen=True, slots=True)
class Login:
    """The value of an Authorization header, and where it is from; its repr does not show it."""

    header: str = field(repr=False)
    source: str
    """For people."""


class Credentials:
    """Those for one server."""

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        """`url`: as it was given, perhaps with user and password. Raises ConfigurationError."""
        parts = urlsplit(url)
        self._environ = environ
        self._host = parts.hostname or ""
        self._place = parts.netloc.rpartition("@")[2]
        self._service = f"{parts.scheme}://{self._place}{parts.path}"
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password is not None else None

    def at_hand(self) -> Login | None:
        """Those that cost nothing to find. Raises ConfigurationError for a token that is none, a netrc that is none."""
        if self._user is not None and self._password is not None:
            return _basic(self._user, self._password, "the URL")
        sent = self._environ.get(TOKEN_VARIABLE, "").strip()
        if sent:
            token = parse_token(sent)
            if token is None:
                raise ConfigurationError(
                    f"{TOKEN_VARIABLE} is no token of quire, or was cut; copy it whole, from 'quire_' on."
                )
            return Login(f"Bearer {token.text}", TOKEN_VARIABLE)
        return self._of_netrc()

    def asked_for(self) -> Iterator[Login]:
        """Further ones, each after the one before was refused: of a keyring, then of the person at the terminal."""
        stored = self._of_keyring()
        if stored is not None:
            yield stored
        if sys.stdin.isatty() and sys.stderr.isatty():
            yield self._prompted()

    def _of_netrc(self) -> Login | None:
        named = self._environ.get("NETRC")
        home = self._environ.get("HOME") or os.path.expanduser("~")
        for path in [named] if named else [os.path.join(home, ".netrc"), os.path.join(home, "_netrc")]:
            try:
                found = netrc.netrc(path).authenticators(self._host)
            except FileNotFoundError:
                continue
            except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not of that form"
                raise ConfigurationError(f"The netrc file {path} cannot be read: {reason}.") from None
            if found is not None and self._user in {None, found[0]}:
                return _basic(found[0], found[2] or "", path)
        return None

    def _of_keyring(self) -> Login | None:
        program = shutil.which("keyring", path=self._environ.get("PATH"))
        if program is None:
            return None
        for service in (self._service, self._place):
            if self._user is not None:
                lines = self._keyring(program, "get", service, self._user)
                if lines:
                    return _basic(self._user, lines[0], "the keyring")
            else:
                lines = self._keyring(program, "--mode", "creds", "get", service)
                if len(lines) >= 2:
                    return _basic(lines[0], lines[1], "the keyring")
                lines = self._keyring(program, "get", service, USERNAME)
                if lines:
                    return _basic(USERNAME, lines[0], "the keyring")
        return None

    def _keyring(self, *command: str) -> list[str]:
        """The lines that it prints; none when it has nothing, or fails. Secrets are in its output alone."""
        try:
            done = subprocess.run(  # noqa: S603 - the user's own program, found in PATH; the words are a host and a user
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=KEYRING_SECONDS,
                check=False,
                env={**self._environ},
            )
        except (OSError, subprocess.TimeoutExpired, ValueError):
            return []
        return done.stdout[:_MOST].decode("utf-8", "replace").splitlines() if done.returncode == 0 else []

    def _prompted(self) -> Login:
        user = self._user
        if user is None:
            print(f"User for {self._place} [{USERNAME}]: ", end="", file=sys.stderr, flush=True)
            user = sys.stdin.readline().strip() or USERNAME
        return _basic(user, getpass.getpass(f"Password or token of {user}: ", stream=sys.stderr), "the terminal")


def _basic(user: str, password: str, source: str) -> Login:
    return Login(f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}", source)
