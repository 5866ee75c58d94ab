"""From errors to responses: one table, one sentence, in the form that the client asked for.

The sentence is the body, as RFC 9457 problem details in the JSON API and where they are accepted (uv shows them), else
as plain text; and the HTTP/1.1 reason phrase where the server can set one (twine shows nothing else).
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.domain import errors
from quire.http.app.policies import NO_SNIFFING
from quire.http.app.reasons import Status
from quire.http.app.routes import API, UPLOAD_API

STATUS: tuple[tuple[type[errors.QuireError], int], ...] = (
    # The first class that fits counts, so a subclass stands before its base.
    (errors.InvalidRequest, 400),
    (errors.TooLarge, 413),
    (errors.FilenameUsed, 400),  # as PyPI; clients that skip existing files must not skip this one
    (errors.FileExists, 409),
    (errors.NamespaceReserved, 409),  # PEP 752
    (errors.NameReserved, 403),
    (errors.SessionConflict, 409),
    (errors.ProjectClosed, 403),
    (errors.HeldBack, 403),
    (errors.QuotaExceeded, 400),  # as PyPI; uv calls a 403 a lack of permission
    (errors.NotFound, 404),
    (errors.ReadOnlyFile, 409),
    (errors.ChangedMeanwhile, 412),
    (errors.BlobMissing, 404),
    (errors.StoreFull, 507),
    (errors.StoreError, 503),
    (errors.UpstreamBusy, 503),
    (errors.UpstreamError, 502),
)
RETRY_AFTER_SECONDS = 5


class HttpError(errors.QuireError):
    """An error that only exists in HTTP: a status, a sentence, and perhaps headers."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers or {}


def status_of(error: errors.QuireError, request: Request) -> int:
    """The status code of an error."""
    if isinstance(error, HttpError):
        return error.status
    if isinstance(error, errors.FileExists) and "twine" in request.headers.get("user-agent", "").lower():
        return 400  # twine's --skip-existing, of an index that is not PyPI itself, understands 400 and "already exists"
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def problem_response(request: Request, error: errors.QuireError, sentence: str | None = None) -> Response:
    """The response to a request that failed with `error`. `sentence`: what its client may read of it, if not all."""
    status = status_of(error, request)
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    if status == 503:
        headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    headers |= {"Cache-Control": "no-store", **NO_SNIFFING}
    sentence = " ".join((str(error) if sentence is None else sentence).split())
    status = Status(status, sentence)
    response: Response
    path = str(request.scope["path"])
    if API in path or UPLOAD_API in path or _accepts_problem(request):
        document: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": int(status),
            "detail": sentence,
        }
        if UPLOAD_API in path:  # the members that PEP 694 adds
            document["meta"] = {"api-version": "2.0"}
            document["errors"] = [{"source": path.rpartition(UPLOAD_API)[2] or "session", "message": sentence}]
        response = Response(
            msgspec.json.encode(document), status_code=status, headers=headers, media_type="application/problem+json"
        )
    else:
        response = Response(f"{sentence}\n", status_code=status, headers=headers, media_type="text/plain")
    return response


def is_for_person(request: Request) -> bool:
    """Whether the answer to a failed request is shown to a person: browsers ask for XHTML beside HTML, and no program
    that installs or publishes does. (HTML alone is what pip asked for before 22.2.)"""
    accept, path = request.headers.get("accept", ""), str(request.scope["path"])
    return (
        "application/xhtml+xml" in accept
        and "text/html" in accept
        and API not in path
        and UPLOAD_API not in path
        and not _accepts_problem(request)
    )


def _accepts_problem(request: Request) -> bool:
    return any(
        piece.partition(";")[0].strip().lower() in {"application/problem+json", "application/json"}
        for piece in request.headers.get("accept", "").split(",")
    )
