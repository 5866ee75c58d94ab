"""Pages of the web interface: a template with what all pages have in common.

Theory of operation. A page is a function of its `Site` and of the values for its template. A site is all that one page
shows beside its own subject: names, addresses, the user. Sites are compared and hashed by value, so a page that is
remembered has its site in its key, and no reader gets a page that was made for another one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

import quire
from quire.access.authorization import ALLOWED, AccessRules, NeedsLogin, Right
from quire.access.decisions import AccessState
from quire.access.grants import ANY
from quire.access.principals import Principal
from quire.domain.errors import StoreError
from quire.domain.foreign_text import visible
from quire.http.app import policies
from quire.http.app.request_log import context_of
from quire.http.app.routes import mount_of
from quire.http.app.worker import THE_DEFAULT, Worker, worker_of
from quire.http.simple.pages import PageHeaders, page_response
from quire.http.ui import static_files
from quire.http.ui.filters import Exact, exact, in_words, to_the_minute, to_the_second
from quire.render.simple import Page, make_page

if TYPE_CHECKING:
    import jinja2

HTML: Final = "text/html; charset=utf-8"
HEADERS: Final = PageHeaders(
    {"Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Encoding, Cookie, Authorization"}, policies.WEB
)
"""Of every page, beside its validator and its type."""


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of a page that do not depend on its subject."""

    title: str
    """The name of the whole site, as the operator wants it."""
    root: str
    """The path of the server's root as its client has it, ended by a slash."""
    index: str | None
    """The index that the path names; None for the one at the root."""
    url: str
    """The whole address of the index, ended by a slash, for lines that people paste."""
    user: str | None
    """The user that has logged in; None for a reader without a login."""
    is_admin: bool
    """Whether the pages for operators are for this user."""
    login: str | None
    """The address of the page for the login, which leads back to this page; None where there is none."""
    assets: tuple[tuple[str, str], ...]
    """The addresses of static files below the root, by their names."""
    version: str = quire.__version__

    @property
    def base(self) -> str:
        """The path of the index as its client has it, ended by a slash."""
        return self.root if self.index is None else f"{self.root}{quote(self.index)}/"

    @property
    def home(self) -> str:
        """The path of the page about the index: the home page, or the one of a named index."""
        return self.root if self.index is None else f"{self.root}index/{quote(self.index)}/"

    def asset(self, name: str) -> str | None:
        """The path of a static file; None where there is no such one."""
        path = dict(self.assets).get(name)
        return None if path is None else f"{self.root}{path}"

    def project(self, name: str, version: str | None = None) -> str:
        """The path of the page of a project, or of one of its releases."""
        return f"{self.base}project/{quote(name)}/" + ("" if version is None else f"{quote(version, safe='!+')}/")


class Reader(NamedTuple):
    """The reader of a page, and the rights at its request."""

    principal: Principal
    state: AccessState
    rules: AccessRules


class Offered(NamedTuple):
    """The pages of a project for its owners that are offered to a reader."""

    history: bool
    manage: bool


async def site_of(request: Request, *, keeps_query: bool = True) -> Site:
    """The site of a request. `keeps_query`: whether a login leads back to this query, too; not for a page that is kept
    and ignores its query: each would make another page of it."""
    return (await site_and_reader(request, keeps_query=keeps_query))[0]


async def site_and_reader(request: Request, *, keeps_query: bool = True) -> tuple[Site, Reader | None]:
    """The same, with the reader that the site is for; None where the store does not say which rights there are."""
    worker = worker_of(request)
    settings = worker.settings
    index = request.path_params.get("index")
    index = None if index in {None, THE_DEFAULT} else index
    url = worker.proxies.base_url(request, settings.server_base_url)
    reader = await _reader(request, worker)
    user, is_admin, login = _shown(request, worker, reader, keeps_query=keeps_query)
    site = Site(
        title=settings.web_title,
        root=root_of(request, worker),
        index=index,
        url=url if index is None else f"{url}{quote(index)}/",
        user=user,
        is_admin=is_admin,
        login=login,
        assets=static_files.paths(settings.web_logo, settings.web_color),
    )
    return site, reader


def offered(site: Site, reader: Reader | None, index: str, project: str, owners: Collection[str]) -> Offered:
    """The pages of a project that a reader may open. One without a login is offered those that need one only where no
    page leads to it: there the browser asks for a password. `owners`: of the project, by its record."""

    def is_offered(right: Right) -> bool:
        if reader is None:
            return False
        decision = reader.rules.authorize(reader.principal, right, index, project, reader.state, owners=owners)
        return decision is ALLOWED or (isinstance(decision, NeedsLogin) and site.login is None)

    return Offered(history=is_offered(Right.INSPECT), manage=is_offered(Right.MANAGE))


def root_of(request: Request, worker: Worker) -> str:
    """The path of the server's root as its client has it, ended by a slash."""
    outside = worker.proxies.outside(request).prefix
    return f"{outside}{quote(mount_of(request.scope))}{worker.settings.server_base_url}/"


def index_path(request: Request, index: str | None) -> str:
    """The path of an index as its client has it, ended by a slash. `index`: None for the one of the request."""
    worker = worker_of(request)
    name = index or request.path_params.get("index", THE_DEFAULT)
    root = root_of(request, worker)
    return root if name == THE_DEFAULT or index == worker.default.name else f"{root}{quote(name)}/"


async def _reader(request: Request, worker: Worker) -> Reader | None:
    context, access = context_of(request.scope), worker.access
    try:
        principal, state = context.principal, context.decided_by or await access.known_state()
    except StoreError:
        return None  # the home page, and pages of errors, are there all the same
    return Reader(await access.viewer(request, state) if principal.is_anonymous else principal, state, access.rules)


def _shown(
    request: Request, worker: Worker, reader: Reader | None, *, keeps_query: bool
) -> tuple[str | None, bool, str | None]:
    """The name of the user that reads a page, whether it administers everything, and where a reader without a login
    logs in."""
    if reader is None:
        return None, False, None
    (principal, state, rules), access = reader, worker.access
    if principal.is_anonymous:
        sessions = access.sessions if access.offers_login(state) else None
        return None, False, None if sessions is None else sessions.login_address(request, keeps_query=keeps_query)
    is_admin = rules.authorize(principal, Right.ADMIN, ANY, None, state) is ALLOWED
    return principal.name, is_admin, None


def render(template: str, site: Site, **values: object) -> Page:
    """The page of a template. Blocks: some milliseconds, longer for long values."""
    text = environment().get_template(template).render(site=site, **values)
    return make_page(HTML, text.encode())


async def web_response(request: Request, page: Page, status: int = 200) -> Response:
    """A page for people, with its validator; 304 when the browser has it already. Raises HttpError 412."""
    return await page_response(request, page, worker_of(request).for_large_page, status, HEADERS)


async def page_response_of(request: Request, template: str, /, status: int = 200, **values: object) -> Response:
    """The page of a template, made for this request alone. Raises HttpError 412."""
    page = await worker_of(request).for_large_page(render, template, await site_of(request), **values)
    return await web_response(request, page, status)


def _seen(value: object) -> object:
    """A value as a page has it: no text of any user is invisible, or turns the direction of the page."""
    if not isinstance(value, str) or isinstance(value, Exact):
        return value
    return type(value)(visible(value))  # escaped text stays so: numbers of characters need no escaping


@cache
def environment() -> jinja2.Environment:
    """The templates. Texts are marked for translation, and are in English."""
    import jinja2  # noqa: PLC0415 - large, and for people's pages only: installers ask for none of them

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("quire.http.ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.filters |= {"minute": to_the_minute, "second": to_the_second, "in_words": in_words, "exact": exact}
    made.install_null_translations(newstyle=True)  # type: ignore[attr-defined] # of the extension
    return made
