"""The command lines by which people install from an index and publish to it, as the home page shows them.

Each line works as it stands, for the index as it is configured and under the address by which it was reached. A program
that needs a login asks for it; one that asks although no login is needed is given one. Words in capitals are for the
reader to fill in.
"""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from quire.config.settings import Settings
from quire.render.snippets import SNIPPETS, Facts

_ANYBODY = "-u any -p any"
"""twine and uv insist on a login also where the index wants none."""
_TO_INSTALL: Final = (("poetry", "poetry"), ("pdm", "pdm"))
_TO_PUBLISH: Final = ((".pypirc", "twine"), ("GitHub Actions", "github"), ("GitLab CI", "gitlab"))
"""The titles of tabs with further lines, and the names of their snippets."""
_NO_LOGIN = "that needs a login, and this server has no password file and takes no tokens."


@dataclass(frozen=True, slots=True)
class Usage:
    """The command lines to install from an index and to publish to it."""

    install: tuple[tuple[str, str], ...]
    """(program, line); empty when no user can install."""
    install_note: str
    publish: tuple[tuple[str, str], ...]
    """The same; empty when no user can publish."""
    publish_note: str
    """A sentence for people; empty when there is nothing to say."""
    publish_needs_login: bool
    """Whether a login is needed for these lines."""


Tab = tuple[str, list[str]]
"""The title of a tab, and its lines."""


class Tabs(NamedTuple):
    """The lines by their program, uv first. Empty where there are none."""

    install: list[Tab]
    publish: list[Tab]


def tabs_of(shown: Usage, name: str, url: str, settings: Settings, *, is_only: bool) -> Tabs:
    """The lines and the configuration of each program, for the index `name` at `url`. `is_only`: whether no other index
    is used."""
    facts = Facts(
        name=name,
        url=url,
        has_uploads=bool(shown.publish),
        needs_login=bool({"list", "download"} & set(settings.authenticate)),
        is_only=is_only,
        publishes_with_login=shown.publish_needs_login or not shown.publish,
    )
    return Tabs(_tabs(shown.install, _TO_INSTALL, facts), _tabs(shown.publish, _TO_PUBLISH, facts))


def usage(url: str, settings: Settings, *, read_only: bool) -> Usage:
    """`url`: the index as its reader reaches it, ended by a slash; `read_only`: whether it refuses every change."""
    install, install_note = _install(url, settings)
    return Usage(install, install_note, *_publish(url, settings, read_only=read_only))


def _tabs(lines: tuple[tuple[str, str], ...], snippets: tuple[tuple[str, str], ...], facts: Facts) -> list[Tab]:
    """A line without a program is of the one before it."""
    if not lines:
        return []
    found: dict[str, list[str]] = {}
    program = ""
    for named, line in lines:
        program = named or program
        found.setdefault(program, []).append(line)
    tabs = sorted(found.items(), key=lambda tab: tab[0] != "uv")
    return [*tabs, *((title, [SNIPPETS[tool](facts).rstrip()]) for title, tool in snippets)]


def _install(url: str, settings: Settings) -> tuple[tuple[tuple[str, str], ...], str]:
    simple = shlex.quote(f"{url}simple/")
    trusted = _untrusted_host(url)
    pip = f"pip install --index-url {simple} {f'--trusted-host {shlex.quote(trusted)} ' if trusted else ''}NAME"
    uv = f"uv add --index {simple} NAME"
    if not {"list", "download"} & set(settings.authenticate):
        return (("pip", pip), ("uv", uv)), ""
    login = _login(settings)
    if login is None:
        return (), f"No user can install: {_NO_LOGIN}"
    if trusted:  # uv keeps no password for http on another machine
        words = ("USER", "PASSWORD") if settings.passwords is not None else ("__token__", "TOKEN")
        log_in = "export UV_INDEX_QUIRE_USERNAME={} UV_INDEX_QUIRE_PASSWORD={}".format(*words)
        uv = f"uv add --index quire={simple} NAME"
    else:
        log_in = f"uv auth login {shlex.quote(url)}"
    note = f"{login}; a program that is not given them asks."
    return (("pip", pip), ("uv", log_in), ("", uv)), note


def _publish(url: str, settings: Settings, *, read_only: bool) -> tuple[tuple[tuple[str, str], ...], str, bool]:
    if read_only:
        return (), "This index is read-only: it takes no uploads.", False
    is_open, login = "update" not in settings.authenticate, _login(settings)
    if not is_open and login is None:
        return (), f"No user can publish: {_NO_LOGIN}", False
    user = f" {_ANYBODY}" if is_open else ""
    lines = (
        ("uv", f"uv publish --publish-url {shlex.quote(url)}{user} dist/*"),
        ("twine", f"twine upload --repository-url {shlex.quote(url)}{user} dist/*"),
    )
    if is_open:
        return lines, "No login is needed; uv and twine want one all the same, so any will do.", False
    return lines, f"{login}; uv and twine ask for them.", True


def _login(settings: Settings) -> str | None:
    """The login that programs need, as the beginning of a sentence; None where there is none."""
    if settings.passwords is not None:
        return "You need a user name and a password of this index"
    if settings.rights == "store":  # a token stands for itself, or for a user of a proxy or of a login provider
        return "You need a token of this index, as the password of the user __token__"
    return None


def _untrusted_host(url: str) -> str:
    """The host for pip's --trusted-host, as pip ignores http indexes on other machines. Empty for
    all others."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a Host header that is no host
        return ""
    if parts.scheme != "http" or parts.hostname in {"localhost", None}:
        return ""
    try:
        return "" if ipaddress.ip_address(parts.hostname or "").is_loopback else parts.netloc
    except ValueError:  # a name
        return parts.netloc
