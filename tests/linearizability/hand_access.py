"""Changes of grants, groups, tokens and indexes by a hand: on the store, over the JSON API, or by `quire --url`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from io import StringIO
from typing import Any, Final

import httpx
import msgspec

from quire import cli
from quire.access.grants import ANY
from quire.access.tokens import new_identity, new_token
from quire.administration.access_documents import GrantBody, RotateBody, TokenBody
from quire.administration.contract import Administration
from quire.administration.credentials import TOKEN_VARIABLE
from quire.administration.documents import IndexBody
from quire.administration.remote import Remote
from quire.commands.common import Opened
from quire.commands.local import Local
from quire.config.settings import Settings
from quire.domain.errors import InvalidRequest, NotFound, QuireError, UpstreamError
from quire.index.index import Index

_GRACE: Final = timedelta(days=1)
_LOST: Final = ("cannot be reached", " broke: ", "does not answer in time")
"""Of sentences that `quire --url` prints when no answer came, as when a worker was killed."""
_NOTHING_TO_DO: Final = {"rotate": "has ended", "take": "There is no grant"}
"""Of sentences that say that there was nothing to change, by order."""
Order = Mapping[str, Any]
Answer = dict[str, object]


class AccessHand:
    """Carries out orders about the rights of a user, of the user's group, and about tokens."""

    def __init__(self, index: Index) -> None:
        settings = Settings(directories=(index.store.place,))
        self._local = Local(Opened(settings, index, settings.index))
        self._remotes: dict[str, Remote] = {}

    def change(self, order: Order) -> Answer:
        """`done`, with the id and the text of a token that was made; `lost` where no answer of the server came.

        `via`: `store`, `api` or `command`; the last two have the `url` of a server, and an administrator's `token`.
        Raises QuireError.
        """
        if order["via"] == "command":
            return _by_command(order)
        if order["via"] == "store":
            return _by_administration(self._local, order)
        url = order["url"]
        if url not in self._remotes:
            self._remotes[url] = Remote(url, None, {TOKEN_VARIABLE: order["token"]})
        try:
            return _by_administration(self._remotes[url], order)
        except UpstreamError as error:
            if isinstance(error.__cause__, httpx.TransportError):
                return {"lost": str(error)}
            raise


def _by_administration(administration: Administration, order: Order) -> Answer:
    do = order["do"]
    if do == "group":
        return {"done": administration.set_group(_group(order), _members(order)).changed}
    if do == "index":
        return {"done": administration.set_index("main", IndexBody(project_quota=order["quota"])).changed}
    if do == "token":
        text = new_token(new_identity())
        holder = order["user"] if order["of user"] else None
        administration.create_token(
            TokenBody(rights=order["rights"], user=holder, id=text.identity, digest=text.digest)
        )
        return {"done": True, "id": text.identity, "text": text.text}
    if do == "revoke":
        administration.revoke_tokens([order["id"]])
        return {"done": True}
    if do == "rotate":
        text = new_token(order["id"])
        grace = _GRACE.total_seconds() if order["grace"] else 0
        try:
            administration.rotate_token(order["id"], RotateBody(grace=grace, digest=text.digest))
        except InvalidRequest:
            return {"done": False}
        return {"done": True, "text": text.text}
    if do == "grant":
        return {"done": administration.grant(GrantBody(subject=_subject(order), rights=[order["right"]])).changed}
    given = _given(msgspec.to_builtins(administration.grants()), order)
    try:
        if given:
            administration.revoke_grants(given)
    except NotFound:
        return {"done": False}
    return {"done": bool(given)}


def _by_command(order: Order) -> Answer:
    """By commands of `quire --url`, in this process."""
    do = order["do"]
    try:
        if do == "group":
            # the command does not say whether it changed something
            if _printed(order, "grants")["groups"].get(_group(order), []) == _members(order):
                return {"done": False}
            _run(order, "group", _group(order), *(_members(order) or ["--remove"]))
            return {"done": True}
        if do == "index":
            quota = order["quota"]
            words = ("--project-quota", "none" if quota is None else quota)
            return {"done": _printed(order, "index", "set", "main", *words)["changed"]}
        if do == "token":
            rights = [word for right in order["rights"] for word in ("--right", right)]
            holder = ("--user", order["user"]) if order["of user"] else ()
            made = _printed(order, "token", "create", *rights, *holder)
            return {"done": True, "id": made["id"], "text": made["token"]}
        if do == "revoke":
            _run(order, "token", "revoke", order["id"])
            return {"done": True}
        if do == "rotate":
            made = _printed(order, "token", "rotate", order["id"], "--grace", "1d" if order["grace"] else "0")
            return {"done": True, "text": made["token"]}
        if do == "grant":
            return {"done": _printed(order, "grant", _subject(order), order["right"])["changed"]}
        given = _given(_printed(order, "grants"), order)
        if given:
            _run(order, "revoke", *given)
        return {"done": bool(given)}
    except _Refused as refused:
        said = str(refused)
        if any(words in said for words in _LOST):
            return {"lost": said}
        if do in _NOTHING_TO_DO and _NOTHING_TO_DO[do] in said:
            return {"done": False}
        raise


class _Refused(QuireError):
    """A command ended with another exit code than 0; has what it said."""


def _printed(order: Order, *words: object) -> Any:
    return json.loads(_run(order, *words, "--json"))


def _run(order: Order, *words: object) -> str:
    os.environ[TOKEN_VARIABLE] = order["token"]
    said, complained = StringIO(), StringIO()
    with redirect_stdout(said), redirect_stderr(complained):
        code = cli.main([*map(str, words), "--url", order["url"]])
    if code != 0:
        raise _Refused(complained.getvalue())
    return said.getvalue()


def _given(grants: Mapping[str, Any], order: Order) -> list[str]:
    """The ids of the grants that give just this."""
    wanted = (_subject(order), [order["right"]], ANY)
    return [each["id"] for each in grants["grants"] if (each["subject"], each["rights"], each["index"]) == wanted]


def _subject(order: Order) -> str:
    return f"user:{order['user']}" if order["to"] == "user" else f"group:{_group(order)}"


def _group(order: Order) -> str:
    return f"team-of-{order['user']}"


def _members(order: Order) -> list[str]:
    return [order["user"]] if order["member"] else []
