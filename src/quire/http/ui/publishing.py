"""Where a project's files come from and go to: its trusted publishers, its name, and its promotion out of a stage.

Parts of the page for owners. Each asks the JSON API, and is left out for readers to which that does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from starlette.requests import Request

from quire.access.grants import ANY
from quire.domain.errors import InvalidRequest
from quire.domain.names import normalize_name
from quire.domain.reserved import Reserved
from quire.http.app.worker import index_of
from quire.http.ui.asking import ask, ask_if_allowed
from quire.http.ui.changes import Action, Change, Done, needed
from quire.http.ui.forms import Form, first
from quire.publishing.platforms import PLATFORMS, Platform
from quire.publishing.words import SETTINGS, parse_claim

_MOST_PAGES: Final = 10
"""Of 500 publishers."""
_MOST_NAMED: Final = 20
"""Files in a sentence."""
PLAN: Final = "plan-promotion"


class Publishers(NamedTuple):
    """The trusted publishers of a project, and the form for a further one."""

    audience: str | None
    entries: Sequence[dict[str, Any]]
    word: str
    """Of the platform that the form is for."""
    platform: Platform
    is_chosen: bool
    """Whether the reader has chosen it, or has sent the form in vain."""


class Name(NamedTuple):
    """Whether the index keeps the name of a project for itself."""

    is_kept: bool
    """By itself."""
    by: str | None
    """The pattern by which it is kept beside that."""


class Promotion(NamedTuple):
    """The promotion of a project out of a stage."""

    stage: str
    target: str
    is_planned: bool
    """Whether the page has just said what it would do."""


async def publishers(request: Request, name: str, done: Done | None) -> Publishers | None:
    """Those that may upload to this project of the index; None for readers that may not see them."""
    index, query, entries = index_of(request).name, {"limit": "500"}, list[dict[str, Any]]()
    for _ in range(_MOST_PAGES):
        page = await ask_if_allowed(request, "/publishers", query)
        if page is None:
            return None
        entries += [each for each in page["publishers"] if each["index"] in {ANY, index} and _covers(each, name)]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    chosen = request.query_params.get("platform")
    if done is not None:
        chosen = done.given["platform"][0] if done.is_error and "platform" in done.given else None
    word = chosen if chosen is not None and chosen in PLATFORMS else next(iter(PLATFORMS))
    return Publishers(page["audience"], entries, word, PLATFORMS[word], is_chosen=chosen is not None)


async def claim(request: Request, name: str) -> Name | None:
    """None for readers that may not see which names the index keeps."""
    claims = (await _index(request)).get("claims")
    if claims is None:
        return None
    by = next((each for each in claims if each != name and name in Reserved((each,))), None)
    return Name(name in claims, by)


async def promotion(request: Request, done: Done | None) -> Promotion | None:
    """None for an index that is no stage."""
    entry = await _index(request)
    if not entry.get("in_front_of") or entry.get("session"):
        return None
    is_planned = done is not None and done.action == PLAN and not done.is_error
    return Promotion(entry["name"], entry["in_front_of"], is_planned)


async def _index(request: Request) -> dict[str, Any]:
    name = index_of(request).name
    found = (await ask(request, "GET", "/indexes"))["indexes"]
    return next((each for each in found if each["name"] == name), {})


def _covers(publisher: dict[str, Any], name: str) -> bool:
    return ANY in publisher["projects"] or name in Reserved(publisher["projects"])


# -- changes ----------------------------------------------------------------------------------------------------------


async def _add_publisher(request: Request, form: Form) -> str:
    word = needed(form, "platform")
    platform = PLATFORMS.get(word)
    if platform is None:
        raise InvalidRequest(f"{word[:50]!r} is no platform; use {', '.join(PLATFORMS)}.")
    missing = next((each for each in platform.needed if first(form, each) is None), None)
    if missing is not None:
        raise InvalidRequest(f"A publisher of {platform.title} needs the {missing.replace('_', ' ')}.")
    name = _name(request)
    body: dict[str, Any] = {
        "platform": word,
        "settings": {each: value for each in platform.words if (value := first(form, each)) is not None},
        "claims": dict(map(parse_claim, (first(form, "claims") or "").split())),
        "issuer": first(form, "issuer"),
        "index": index_of(request).name,
        "projects": [name],
    }
    added = await ask(request, "POST", "/publishers", {key: value for key, value in body.items() if value is not None})
    verb = "Added" if added["changed"] else "There was already"
    return (
        f"{verb} the publisher {added['publisher']['name']}: from its next run on, its jobs upload {name} with tokens "
        f"for the audience {added['audience']}."
    )


async def _remove_publisher(request: Request, form: Form) -> str:
    identity = needed(form, "id")
    await ask(request, "POST", "/publishers/remove", {"ids": [identity]})
    return f"The publisher {identity} is removed: the next request with a token of its jobs is refused."


async def _claim(request: Request, _: Form) -> str:
    name, index = _name(request), index_of(request).name
    done = await ask(request, "POST", "/indexes/{defined}", {"claim": [name]}, defined=index)
    return f"The index {index} keeps the name {name} for itself {'now' if done['changed'] else 'already'}."


async def _release(request: Request, _: Form) -> str:
    name, index = _name(request), index_of(request).name
    await ask(request, "POST", "/indexes/{defined}", {"release": [name]}, defined=index)
    return f"The index {index} keeps the name {name} no more. What it has, or ever had, of it stays its own."


async def _plan(request: Request, _: Form) -> str:
    found = await _promoted(request, dry_run=True)
    (project,) = found["projects"]
    if project["problem"] is not None:
        raise InvalidRequest(f"It cannot be promoted: {project['problem']}")
    present = f" {_named(project['present'])} {'is' if len(project['present']) == 1 else 'are'} there already."
    return f"Would publish {_named(project['files'])} into {found['to']}.{present if project['present'] else ''}"


async def _promote(request: Request, _: Form) -> Change:
    found = await _promoted(request, dry_run=False)
    (project,) = found["projects"]
    return Change(f"Published {_named(project['files'])} into {found['to']}.", found["to"])


async def _promoted(request: Request, *, dry_run: bool) -> Any:
    body = {"dry_run": dry_run, "projects": [_name(request)]}
    return await ask(request, "POST", "/indexes/{index}/promote", body)


def _named(filenames: Sequence[str]) -> str:
    more = len(filenames) - _MOST_NAMED
    return (", ".join(filenames[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")) or "no file"


ACTIONS: Final[dict[str, Action]] = {
    "add-publisher": _add_publisher,
    "remove-publisher": _remove_publisher,
    "claim": _claim,
    "release": _release,
    PLAN: _plan,
    "promote": _promote,
}
"""By the field `do` of a form."""


def _name(request: Request) -> str:
    return normalize_name(request.path_params["name"])


def fields_of(platform: Platform) -> list[tuple[str, str, bool]]:
    """The settings of a publisher, each with its explanation, and whether it is needed."""
    return [(word, SETTINGS[word], word in platform.needed) for word in platform.words]
