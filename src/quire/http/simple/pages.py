"""The simple API's pages over HTTP (PEP 503, 691): negotiation, redirects, validators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from quire.catalog.served import ServedIndex
from quire.catalog.views import COMPRESSED_INLINE, RENDERED_INLINE
from quire.domain.errors import InvalidName, NotFound
from quire.domain.names import is_normalized, normalize_name
from quire.http.app import policies
from quire.http.app.conditions import is_unchanged
from quire.http.app.problems import HttpError
from quire.http.app.worker import index_of, worker_of
from quire.render.negotiation import Encoding, MediaType, negotiate, negotiate_encoding
from quire.render.simple import Page


class PageHeaders(NamedTuple):
    """The headers of a page: those that a 304 repeats (RFC 9110, 15.4.5), and those of its content."""

    validators: dict[str, str]
    content: dict[str, str]


NO_HEADERS: Final = PageHeaders({}, {})


async def projects_page(request: Request) -> Response:
    """GET /simple/: the list of projects."""
    worker, index = worker_of(request), index_of(request)
    media_type = negotiated(request)
    view = await index.names()
    if len(view.names) > RENDERED_INLINE:
        page = await worker.in_reader(view.page, media_type)
    else:
        page = view.page(media_type)
    response = await page_response(request, page)
    index.project_names.memory.account("", view)
    return response


async def project_page(request: Request) -> Response:
    """GET /simple/<name>/: the files of a project.

    The page of a local name without files is empty, and no 404: a client with several indexes that asks them in order
    (uv) goes on to the next one after a 404, and would take a stranger's project there for this one. pip asks all of
    its indexes anyway. With one index the two mean the same to both.
    """
    worker, index = worker_of(request), index_of(request)
    asked = request.path_params["name"]
    if not is_normalized(asked):
        return moved(request, f"../{normalized(asked)}/")
    media_type = negotiated(request)
    view = await index.look_up(asked)
    is_barred = index.policies is not None and index.policies.bars(asked)
    if not is_barred and not await index.is_local(view):
        return _fallback_redirect(request, index, asked)
    algorithm = index.policy.hash_algorithm
    if view.is_unread:
        encoding = negotiate_encoding(request.headers.get("accept-encoding"))
        view, page = await index.read(view, lambda known: (known, known.page_in(media_type, algorithm, encoding)))
    elif len(view.files) > RENDERED_INLINE:
        page = await worker.in_reader(view.page, media_type, algorithm)
    else:
        page = view.page(media_type, algorithm)
    response = await page_response(request, page)
    index.projects.memory.account(asked, view)
    return response


async def add_slash(request: Request) -> Response:
    """GET of a page without its final slash."""
    last = request.path_params.get("name") or request.url.path.rstrip("/").rpartition("/")[2]
    if "name" in request.path_params:
        last = normalized(last)
    return moved(request, f"{last}/")


def moved(request: Request, location: str) -> Response:
    """301 to another spelling of the same address; the query goes along."""
    return RedirectResponse(f"{location}{query_of(request)}", 301)


def see_other(request: Request, location: str) -> Response:
    """303; 302 for a client of HTTP/1.0, which has no 303 (RFC 9110, 15.4.4). Never to be remembered.

    The query goes along, as it says what the client wants there.
    """
    old = request.scope.get("http_version") == "1.0"
    return RedirectResponse(
        f"{location}{query_of(request)}", 302 if old else 303, headers={"Cache-Control": "no-cache"}
    )


def query_of(request: Request) -> str:
    """The query of a request with its question mark; "" when there is none."""
    return f"?{request.url.query}" if request.url.query else ""


async def page_response(
    request: Request,
    page: Page,
    compress: Callable[..., Awaitable[tuple[bytes, str]]] | None = None,
    status: int = 200,
    more: PageHeaders = NO_HEADERS,
) -> Response:
    """A page with its validator, encoded as accepted; 304 when the client has it already (RFC 9110, 13 and 15.4.5).

    `compress`: runs `Page.encoded` in another thread than those of readers. `status`: where it is no 304. `more`:
    headers beside those of every page, or in their place. Raises HttpError 412.
    """
    encoding = negotiate_encoding(request.headers.get("accept-encoding"))
    if page.length > COMPRESSED_INLINE and not page.has(encoding):
        body, etag = await (compress or worker_of(request).in_reader)(page.encoded, encoding)
    else:
        body, etag = page.encoded(encoding)
    headers = page_headers(page, etag, encoding, more)
    if is_unchanged(request.headers, etag):
        return Response(status_code=304, headers=headers.validators)
    return Response(body, status, headers=headers.validators | headers.content)


def page_headers(page: Page, etag: str, accepted: Encoding, more: PageHeaders = NO_HEADERS) -> PageHeaders:
    """The headers of a page for a client that prefers this coding. `more`: see `page_response`."""
    encoding = page.encoding_for(accepted)
    validators = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept, Accept-Encoding"}
    is_shown = page.content_type.startswith("text/html")
    content = {"Content-Type": page.content_type, **(policies.LIST if is_shown else policies.NO_SNIFFING)}
    if encoding != "identity":
        content["Content-Encoding"] = encoding
    return PageHeaders(validators | more.validators, content | more.content)


def negotiated(request: Request) -> MediaType:
    """The media type of a page. Raises HttpError 406."""
    media_type = negotiate(request.headers.get("accept"), request.query_params.get("format"))
    if media_type is None:
        offered = ", ".join(str(each) for each in MediaType)
        raise HttpError(406, f"None of the accepted media types can be served; accept one of {offered}.")
    return media_type


def normalized(name: str) -> str:
    """The normalized name. Raises NotFound for what is none."""
    try:
        return normalize_name(name)
    except InvalidName as error:
        raise NotFound(str(error)) from error


def not_here(request: Request, what: str) -> NotFound:
    """The error for what no index has that this server reads."""
    if worker_of(request).settings.upstream_offline:
        return NotFound(f"{what} is not here, and this server asks no other index (--upstream-offline).")
    return NotFound(f"{what} does not exist.")


def _fallback_redirect(request: Request, index: ServedIndex, name: str) -> Response:
    """The fallback, as pypiserver names it: send the client to the public index for a project that is not here."""
    fallback = index.policy.fallback_url
    if fallback is None:
        raise not_here(request, f"The project {name}")
    if index.policies is not None:
        index.policies.check_elsewhere(name, fallback)
    return see_other(request, f"{fallback.rstrip('/')}/{name}/")
