"""The settings in force over the JSON API. Logins in URLs are left out; files with secrets are named, and not read."""

from __future__ import annotations

import re
import socket
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from quire.administration.server_documents import SettingEntry, SettingList
from quire.config.resolving import in_force
from quire.config.settings import Settings
from quire.http.api.messages import answered
from quire.http.app.worker import worker_of

_LOGIN: Final = re.compile(r"(https?://)\S*@|(\w+://)[^/?#\s]*@")
_VARIABLE: Final = "The environment variable "
_MASK: Final = "***"


async def settings(request: Request) -> Response:
    """GET settings."""
    return answered(SettingList(container=socket.gethostname(), settings=setting_entries(worker_of(request).settings)))


def setting_entries(settings: Settings) -> list[SettingEntry]:
    """Every setting by its name."""
    sources = dict(settings.sources)
    return [
        SettingEntry(
            name=name,
            value=_LOGIN.sub(rf"\1\2{_MASK}@", in_words(value)),
            source=_kind(sources.get(name)),
            where=_where(sources.get(name)),
        )
        for name, value in sorted(in_force(settings).items())
    ]


def in_words(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list | set | frozenset):
        return ", ".join(map(in_words, value))
    return str(value)


def _kind(source: str | None) -> Literal["flag", "environment", "file", "default"]:
    if source is None:
        return "default"
    if source.startswith(_VARIABLE):
        return "environment"
    return "file" if " in " in source else "flag"


def _where(source: str | None) -> str | None:
    return None if source is None else _LOGIN.sub(rf"\1\2{_MASK}@", source.removeprefix(_VARIABLE))
