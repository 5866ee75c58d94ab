"""A password file out of environment variables, for platforms that hand secrets over in no other way.

Of the four variables, QUIRE_HTPASSWD is a whole htpasswd file; QUIRE_USER with QUIRE_PASSWORD, or with
QUIRE_PASSWORD_FILE (a file that holds the password), is one user. An empty variable is one that is not set, as
compose files spell it. No error message holds any of a value but the user's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import bcrypt

from quire.domain.errors import ConfigurationError

VARIABLES = ("QUIRE_HTPASSWD", "QUIRE_USER", "QUIRE_PASSWORD", "QUIRE_PASSWORD_FILE")

LONGEST_PASSWORD = 72
"""Bytes; bcrypt ignores the rest."""

_COST = 8
"""Of bcrypt. The hash never leaves a container whose environment holds the password itself: a higher cost would
protect nothing, and each worker pays it at a user's first request."""

_LARGEST_FILE = 4096


def given(environ: Mapping[str, str]) -> bool:
    """Whether any of the variables is set."""
    return any(environ.get(name) for name in VARIABLES)


def htpasswd(environ: Mapping[str, str]) -> str:
    """The text of the password file that the variables stand for. Raises ConfigurationError when they are wrong."""
    content = environ.get("QUIRE_HTPASSWD")
    if content:
        if environ.get("QUIRE_USER") or environ.get("QUIRE_PASSWORD") or environ.get("QUIRE_PASSWORD_FILE"):
            raise ConfigurationError(
                "QUIRE_HTPASSWD is set beside QUIRE_USER or QUIRE_PASSWORD; set only the one or the other."
            )
        return _whole_file(content)
    user, password = environ.get("QUIRE_USER"), _password(environ)
    if not user or not password:
        there, missing = ("A password", "QUIRE_USER") if password else ("QUIRE_USER", "a password")
        raise ConfigurationError(
            f"{there} is set without {missing}; a login needs QUIRE_USER, and QUIRE_PASSWORD or QUIRE_PASSWORD_FILE."
        )
    if ":" in user or not user.isprintable() or user.startswith("#"):
        raise ConfigurationError(
            f"QUIRE_USER: {user!r} is no user name; it has no ':', no line break, and does not begin with '#'."
        )
    secret = password.encode()
    if len(secret) > LONGEST_PASSWORD or b"\0" in secret:
        raise ConfigurationError(
            f"The password of QUIRE_USER is longer than {LONGEST_PASSWORD} bytes or holds a NUL, which bcrypt cannot "
            "hash; choose a shorter one, or hand over a whole password file in QUIRE_HTPASSWD."
        )
    return f"{user}:{bcrypt.hashpw(secret, bcrypt.gensalt(_COST)).decode()}\n"


def _whole_file(content: str) -> str:
    lines = [line.strip() for line in content.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines or not all(":" in line for line in lines):
        raise ConfigurationError(
            "QUIRE_HTPASSWD is not the content of an htpasswd file; it has one line for each user, user:hash."
        )
    return content.rstrip() + "\n"


def _password(environ: Mapping[str, str]) -> str | None:
    password, file = environ.get("QUIRE_PASSWORD"), environ.get("QUIRE_PASSWORD_FILE")
    if password and file:
        raise ConfigurationError("QUIRE_PASSWORD and QUIRE_PASSWORD_FILE are both set; set only one of them.")
    if not file:
        return password or None
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"QUIRE_PASSWORD_FILE: the file {file} cannot be read ({error.strerror}).") from error
    try:
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        password = ""
    if not password or len(content) > _LARGEST_FILE:
        raise ConfigurationError(f"QUIRE_PASSWORD_FILE: the file {file} does not hold a password, as text on one line.")
    return password
