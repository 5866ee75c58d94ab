"""Fast-path responses for people: kept pages of projects, for readers without a login, as long as they are true.

Theory of operation. The application leaves each such answer with the view of the project that it was made of
(`keep_answer`), with all else that it depends on: the path and the address by which its client knows the index, the
grants and definitions, of which follow the login that it offers, the pages that it leads to and the advisories, and the
list of names, for links. It is given again while all of these are the very same, after the same validations as in the
application. A request that may have a user (credentials, a cookie, a header of a proxy) is left to the application.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Final, NamedTuple

from starlette.requests import Request

from quire.access.decisions import AccessState
from quire.access.principals import ANONYMOUS, Principal
from quire.catalog.served import ServedIndex
from quire.catalog.views import NamesView, ProjectView
from quire.http.app.proxies import Outside
from quire.http.app.routes import PROJECT_PAGES, WEB, mount_of
from quire.http.app.worker import Worker, worker_of
from quire.http.fast.prepared import Prepared
from quire.http.fast.responses import CachedResponse, Headers
from quire.http.simple.pages import PageHeaders
from quire.render.negotiation import Encoding, negotiate_encoding
from quire.render.simple import Page

Connected = tuple[Callable[[], str], str]
"""The connection of a request: a function that returns the address of its other end, and its scheme."""
MAX_ANSWERS: Final = 16
"""Of one project, that are kept: of paths, hosts and content codings, which clients choose."""


class _Place(NamedTuple):
    """The address of a page, and the form that it is sent in."""

    path: str
    outside: Outside
    encoding: Encoding


class _Kept(NamedTuple):
    """An answer, of a page that its project keeps. Weak references: it keeps no old grants and no old list of names in
    memory."""

    page: Page
    prepared: Prepared
    state: weakref.ref[AccessState]
    names: weakref.ref[NamesView]


def keep_answer(
    request: Request, page: Page, more: PageHeaders, *, view: ProjectView, state: AccessState, names: NamesView
) -> None:
    """Keep the answer to a reader without a login for the requests that follow. `more`: see `Prepared`. `state`: by
    which it was decided."""
    if mount_of(request.scope):
        return  # the fast path knows of no mount
    encoding = negotiate_encoding(request.headers.get("accept-encoding"))
    place = _Place(request.scope["path"], worker_of(request).proxies.outside(request), encoding)
    known = view.prepared.pop(place, None)
    places = [each for each in view.prepared if isinstance(each, _Place)]
    if len(places) >= MAX_ANSWERS:
        del view.prepared[places[0]]
    if isinstance(known, _Kept) and known.page is page:
        prepared = known.prepared
    else:
        prepared = Prepared(page, encoding, WEB, more)
    view.prepared[place] = _Kept(page, prepared, weakref.ref(state), weakref.ref(names))


def drop_answers(view: ProjectView) -> None:
    """Drop the answers of pages that the project keeps no more: an answer shares its bytes with its page, with which
    they are counted."""
    for place, kept in tuple(view.prepared.items()):
        if isinstance(kept, _Kept) and not view.pages.has(kept.page):
            del view.prepared[place]


class FastPathPages:
    """Answers for people from what one worker has kept."""

    def __init__(self, worker: Worker, index: ServedIndex, base: str) -> None:
        """`base`: the path below which the index is served."""
        self._index = index
        self.prefix = f"{base}{PROJECT_PAGES}"
        self._outside = worker.proxies.outside_of
        self._names_readers = ("authorization", "cookie", *worker.settings.user_headers)

    def find_response(
        self, path: str, headers: Headers, connected: Connected, principal: Principal | None, state: AccessState
    ) -> CachedResponse | None:
        """The answer to a plain GET; None when the general application has to find it. `principal`: that may read."""
        if principal is not ANONYMOUS or any(name in headers for name in self._names_readers):
            return None
        name, projects = path[len(self.prefix) :].partition("/")[0], self._index.projects
        view = projects.memory.get(name)
        if view is None:
            return None
        client, scheme = connected
        outside = self._outside(scheme, headers.get("host") or "", client(), headers.get_all)
        kept = view.prepared.get(_Place(path, outside, negotiate_encoding(headers.get("accept-encoding"))))
        if not isinstance(kept, _Kept) or kept.state() is not state or projects.get_inline(name) is not view:
            return None
        names = self._index.project_names.get_inline("")
        return kept.prepared.answer(headers) if names is not None and kept.names() is names else None
