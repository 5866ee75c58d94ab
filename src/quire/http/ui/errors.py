"""Errors for people: the same status and sentence as for programs, on a page that says how to go on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import Right
from quire.access.decisions import AccessState
from quire.domain.errors import NotFound, StoreError
from quire.http.app import policies
from quire.http.app.problems import is_for_person
from quire.http.app.request_log import context_of
from quire.http.app.worker import Worker, index_of, worker_of
from quire.http.ui.layout import render, site_of

_MOST_NEAR: Final = 5
_LEAST_ALIKE: Final = 0.45
_MOST_COMPARED: Final = 5_000
_HEADINGS: Final = {
    400: "This request cannot be understood",
    401: "Please log in",
    403: "This is not allowed",
    404: "Not here",
    405: "This address does not take that",
    410: "Not here any more",
    412: "Changed meanwhile",
    413: "Too large",
    429: "Too many attempts",
    502: "The index behind this one does not answer",
    503: "The index cannot answer now",
    507: "The store is full",
}
_ADVICE: Final = {
    401: "Use a user name and its password, or a token as the password of the user __token__.",
    403: "If you think that you should be allowed to do this, ask an administrator of this index.",
    410: "What was here has ended. The pages of the index lead to what there is now.",
    412: "Load the page before this one again, and repeat what you did.",
    429: "Wait as long as the sentence says; then try once more.",
    502: "This passes by itself when the other index is back. What is kept of it here can still be installed.",
    503: "This passes by itself in most cases. Load the page again in some seconds.",
    507: "An administrator has to make room before anything can be published.",
}
_NEEDS_LOGIN: Final = re.compile(r"To (.+) needs a login; give a user name and a password\.")
_TO: Final = {
    Right.LIST: "see the projects",
    Right.DOWNLOAD: "download files",
    Right.UPDATE: "publish or change releases",
    Right.ADMIN: "administer this server",
}
"""In place of the words that programs get."""
_NO_USERS: Final = (
    "This server has no users and no tokens, so no login can work. To add a user, make a password file, start the "
    "server with it, and let the user administer it (docs/how-to/access.md):"
)
_NO_ADMINISTRATOR: Final = (
    "No user is an administrator yet. This command on the store makes one; then grants say which user may do what "
    "(docs/how-to/access.md):"
)
_OTHER_ADVICE: Final = "Go back to the page before this one, or to the home page."


class NoSuchProject(NotFound):
    """A project that is not there, with names that are like the one asked for."""

    def __init__(self, sentence: str, near: tuple[str, ...], deleted: str | None = None) -> None:
        super().__init__(sentence)
        self.near = near
        self.deleted = deleted
        """The name of the project, where the reader may restore it from the trash."""


async def missing_project(request: Request, name: str) -> NoSuchProject:
    """The error of a project that is not there. `name`: normalized. Raises StoreError."""
    near: tuple[str, ...] = ()
    deleted = None
    if is_for_person(request) and request.method == "GET":
        from quire.http.ui.manage import has_trash  # noqa: PLC0415 - for this page only

        deleted = name if await has_trash(request, name) else None
        names = (await index_of(request).names()).names
        near = await worker_of(request).for_large_page(near_names, name, names)
    return NoSuchProject(f"The project {name} does not exist.", near, deleted)


def near_names(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that are most like a name, the most similar one first. Of very many names, those with the same first
    letter are looked at."""
    known = list(names)
    if len(known) > _MOST_COMPARED:
        known = [each for each in known if each[:1] == name[:1]][:_MOST_COMPARED]
    wanted = _pairs(name)
    alike = ((2 * len(wanted & pairs) / (len(wanted) + len(pairs)), each) for each in known if (pairs := _pairs(each)))
    best = sorted((found for found in alike if found[0] >= _LEAST_ALIKE), key=lambda found: (-found[0], found[1]))
    return tuple(each for _, each in best[:_MOST_NEAR])


def _pairs(name: str) -> set[str]:
    """Pairs of neighbouring letters, with the ends (Dice's coefficient compares them)."""
    padded = f"^{name}$"
    return {padded[at : at + 2] for at in range(len(padded) - 1)}


class _Help(NamedTuple):
    """The way on from a refusal that no login ends."""

    advice: str
    commands: tuple[str, ...]
    heading: str | None = None


def _help(request: Request, status: int, worker: Worker, state: AccessState) -> _Help | None:
    """None where a login, or an administrator, can help. Pure but for what it reads of the request."""
    settings, path = worker.settings, str(request.scope["path"])
    actions = ",".join(settings.authenticate) or "."
    has_logins = settings.has_logins or worker.access.sign_on is not None or bool(state.document.tokens)
    if not has_logins and (status == 401 or (status == 404 and path.endswith(("/-/login", "/-/account/")))):
        commands = (
            "quire passwd -P users.htpasswd alice",
            "quire run -P users.htpasswd -a update PACKAGES",
            "quire access init --admin alice -a update -d PACKAGES",
        )
        return _Help(_NO_USERS, commands, "This server has no users")
    if status == 403 and "/-/admin/" in path and not state.decides and worker.access.sessions is not None:
        name = context_of(request.scope).principal.name or "NAME"
        return _Help(_NO_ADMINISTRATOR, (f"quire access init --admin {shlex.quote(name)} -a {actions} -d PACKAGES",))
    return None


async def _found_help(request: Request, status: int) -> _Help | None:
    if status not in {401, 403, 404}:
        return None
    worker = worker_of(request)
    try:
        return _help(request, status, worker, context_of(request.scope).decided_by or await worker.access.known_state())
    except StoreError:
        return None


def _for_people(sentence: str) -> str:
    found = _NEEDS_LOGIN.fullmatch(sentence)
    if found is None:
        return sentence
    words = {str(right): words for right, words in _TO.items()}.get(found[1], found[1])
    return f"You need a login to {words}."


async def error_page(request: Request, plain: Response, error: Exception | None = None) -> Response:
    """The page in place of a plain answer with an error."""
    status = int(plain.status_code)
    help_ = await _found_help(request, status)
    page = render(
        "error.html",
        await site_of(request),
        status=status,
        heading=(help_ and help_.heading) or _HEADINGS.get(status, HTTPStatus(status).phrase),
        sentence=_for_people(bytes(plain.body).decode().strip()),
        advice=help_.advice if help_ is not None else _ADVICE.get(status, _OTHER_ADVICE),
        commands=() if help_ is None else help_.commands,
        near=getattr(error, "near", ()),
        project=getattr(error, "project", None),
        deleted=getattr(error, "deleted", None),
    )
    response = Response(page.body, plain.status_code, media_type=page.content_type)
    response.headers.update({name: value for name, value in plain.headers.items() if not name.startswith("content-")})
    response.headers.update({**policies.WEB, "Vary": "Accept, Cookie, Authorization"})
    if status == 401 and help_ is not None:
        response.headers["WWW-Authenticate"] = "Bearer"  # else browsers ask for a password that there cannot be
    return response
