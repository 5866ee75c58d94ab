"""Requests and answers of the Upload API 2.0 (PEP 694, draft): negotiation, bodies, the documents of sessions."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.catalog.served import ServedIndex
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.publishing_sessions import PublishingSession, SessionFile
from quire.domain.structs import decode_as
from quire.http.api.messages import body_of
from quire.http.app.policies import NO_SNIFFING
from quire.http.app.problems import HttpError
from quire.http.app.routes import UPLOAD_API
from quire.http.app.worker import Worker, worker_of

VERSION: Final = "2.0"
MECHANISM: Final = "http-post-bytes"
MEDIA_TYPE: Final = "application/vnd.pypi.upload.v2+json"
_ACCEPTED: Final = {MEDIA_TYPE, "application/json", "application/problem+json", "application/*", "*/*"}
_MOST_SAID: Final = 200
_SECONDS: Final = "1"
"""After which a client asks again for a status."""
_OFF: Final = (
    "This server has no Upload API 2.0: it follows a draft (PEP 694), and is served with --experimental. Upload to the "
    "address of the index instead."
)
_ALONE: Final = (
    "This server has no Upload API 2.0: sessions are kept with the store's grants and definitions, which it does not "
    "read (--rights settings). Upload to the address of the index instead."
)


class Meta(msgspec.Struct, frozen=True, rename="kebab"):
    """The part of every body that says its version; what an index adds to it is not read."""

    api_version: str


class Message(msgspec.Struct, frozen=True, rename="kebab"):
    """A body without more than its version."""

    meta: Meta


class NewSession(Message, frozen=True):
    """The body that creates a session."""

    name: str
    version: str


class NewFile(Message, frozen=True, rename="kebab"):
    """The body that begins the upload of a file."""

    filename: str
    size: int
    hashes: dict[str, str]
    mechanism: str


class Extension(Message, frozen=True, rename="kebab"):
    """The body that asks for a later end."""

    extend_for: int


M = TypeVar("M", bound=Message)


def check_served(request: Request) -> None:
    """Raises NotFound where the server does not serve this API, and HttpError 406 for a client that wants another
    representation."""
    settings = worker_of(request).settings
    if not settings.experimental:
        raise NotFound(_OFF)
    if settings.rights == "settings":
        raise NotFound(_ALONE)
    wanted = [piece.partition(";")[0].strip().lower() for piece in request.headers.get("accept", "*/*").split(",")]
    if _ACCEPTED.isdisjoint(wanted):
        raise HttpError(406, f"Answers here are {MEDIA_TYPE}; accept that.")


async def received(request: Request, kind: type[M]) -> M:
    """The body of a request, which is read before anything is decided on a session: it may take long. Raises what
    `check_served` raises, HttpError 401, 403, 408 and 415, InvalidRequest, TooLarge, StoreError."""
    check_served(request)
    if media_type_of(request) != MEDIA_TYPE:
        raise HttpError(415, f"The body must be {MEDIA_TYPE}, and its Content-Type say so.")
    try:
        body = decode_as(await body_of(request), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is not what PEP 694 says: {str(error)[:_MOST_SAID].rstrip('.')}.") from None
    if body.meta.api_version != VERSION:
        raise InvalidRequest(f"The api-version {body.meta.api_version[:20]!r} is not known here; it is {VERSION}.")
    return body


def media_type_of(request: Request) -> str:
    """Of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class Links:
    """The addresses of one session, as its client knows them."""

    def __init__(self, request: Request, index: ServedIndex, token: str) -> None:
        worker: Worker = worker_of(request)
        base = worker.settings.public_url or worker.proxies.base_url(request, worker.settings.server_base_url)
        of_index = "" if index.name == worker.default.name else f"{index.name}/"
        self.session = f"{base}{of_index}{UPLOAD_API[1:]}{token}"
        self.stage = f"{base}{token}/simple/"
        self.takes_attestations = worker.attestations is not None

    def file(self, identity: str) -> str:
        return f"{self.session}/files/{identity}"


def session_document(links: Links, token: str, session: PublishingSession, expires: str) -> dict[str, Any]:
    """The document of a session."""
    files = {name: _file_entry(links, *found) for name, found in session.live.items()}
    address = links.session
    return {
        "meta": {"api-version": VERSION},
        "links": {
            "session": address,
            "upload": f"{address}/files",
            "publish": f"{address}/publish",
            "extend": f"{address}/extend",
            "stage": links.stage,
        },
        "mechanisms": [MECHANISM],
        "session-token": token,
        "expires-at": expires,
        "status": session.status,
        "files": files,
        "notices": list(session.notices),
    }


def file_document(links: Links, identity: str, file: SessionFile, expires: str) -> dict[str, Any]:
    """The document of the upload of a file, which expires with its session."""
    address = links.file(identity)
    return {
        "meta": {"api-version": VERSION},
        "links": {
            "file-upload-session": address,
            "complete": f"{address}/complete",
            "extend": f"{address}/extend",
        },
        "status": file.status,
        "expires-at": expires,
        "mechanism": {
            "identifier": MECHANISM,
            "file_url": address,
            **({"attestations_url": f"{address}/attestations"} if links.takes_attestations else {}),
        },
        **({"notices": list(file.notices)} if file.notices else {}),
    }


def answered(
    document: dict[str, Any], status: int = 200, *, location: str | None = None, retry: bool = False
) -> Response:
    """A document as the answer. `retry`: whether it says when to ask again."""
    headers = {"Cache-Control": "no-store", **NO_SNIFFING}
    headers |= {} if location is None else {"Location": location}
    headers |= {"Retry-After": _SECONDS} if retry else {}
    return Response(msgspec.json.encode(document), status, headers, MEDIA_TYPE)


def deleted() -> Response:
    """The answer where nothing is left to say."""
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store", **NO_SNIFFING})


def _file_entry(links: Links, identity: str, file: SessionFile) -> dict[str, Any]:
    notices = {"notices": list(file.notices)} if file.notices else {}
    return {"status": file.status, "link": links.file(identity), **notices}
