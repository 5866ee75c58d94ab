"""Downloads: distributions and their companions, whole or in part (RFC 9110, 13 to 15)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import NamedTuple

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from quire.catalog.served import ServedIndex
from quire.catalog.sources import Content, ListedFile
from quire.catalog.views import ProjectView
from quire.domain.errors import BlobMissing, HeldBack, NotFound, QuireError, StoreError
from quire.domain.names import guess_filename, is_normalized
from quire.domain.rulings import Decision
from quire.http.app.conditions import is_unchanged
from quire.http.app.policies import NO_SNIFFING
from quire.http.app.request_log import context_of
from quire.http.app.worker import Worker, index_of, worker_of
from quire.http.simple.pages import not_here
from quire.store.open_blob import OpenBlob

log = structlog.get_logger(__name__)

CHUNK = 256 * 1024
ZEROCOPY = "http.response.zerocopysend"
"""ASGI's own extension: {"type": ZEROCOPY, "file": file, "offset": int, "count": int} sends them of an open file."""
IN_THREAD = "quire.in_thread"
"""Beside that: an async function that runs a blocking one with its arguments, where downloads wait for disks."""
_PERMANENT = re.compile(r"(?P<project>[a-z0-9-]+)/[0-9a-f]{64}/[^/]+")
"""The place of a file whose address carries its digest."""
_SINGLE_RANGE = re.compile(r"bytes=\s*(?:(\d+)-(\d*)|-(\d+))\s*", re.IGNORECASE)
_COMPANIONS = (".metadata", ".asc")
_YEAR = 31_536_000


class Target(NamedTuple):
    """The file, or the companion of a file, that a download path names."""

    listed: ListedFile
    companion: str
    """"" for the distribution itself, else one of the suffixes of its companions."""
    is_at_its_place: bool = True
    """Whether this is the address that the file's page gives."""
    warning: Decision | None = None
    """That of a policy, where one warns of it."""


async def download(request: Request) -> Response:
    """GET /packages/<path>: a file, or a companion of one (`.metadata`, `.asc`)."""
    index = index_of(request)
    path = request.path_params["path"]
    try:
        target = await _find(request, index, path)
    except HeldBack as error:
        log_held_back(request, index, error)
        raise
    log_warning(request, index, target.warning)
    try:
        content = await index.open(target.listed, target.companion)
    except BlobMissing:  # deleted since the listing was read, or lost: the present listing shows which
        target = await _find(request, index, path)
        content = await index.open(target.listed, target.companion)
    return file_response(request, target, content)


def file_response(request: Request, target: Target, content: Content) -> Response:
    """The response with the bytes of what a path names."""
    worker = worker_of(request)
    filename = target.listed.file.filename
    # The digest in the address says nothing of a signature: the file can be deleted, and uploaded with another one.
    permanent = target.listed.is_permanent and target.is_at_its_place and target.companion != ".asc"
    public = context_of(request.scope).needed_no_login
    headers = file_headers(worker, content.digest, filename, target.companion, permanent=permanent, public=public)
    modified = content.modified
    # people set it; a date in the future must not be sent (RFC 9110, 8.8.2.1)
    if modified is not None and not 0 <= modified <= time.time():
        modified = None
    if modified is not None:
        headers["Last-Modified"] = formatdate(modified, usegmt=True)
    may_redirect = worker.settings.downloads == "redirect" and not target.companion
    return FileResponse(content.body, headers=headers, worker=worker, modified=modified, may_redirect=may_redirect)


def file_headers(
    worker: Worker, digest: str, filename: str, companion: str, *, permanent: bool, public: bool
) -> dict[str, str]:
    """The headers of a file, or of a companion of it. `permanent`: whether its URL can never mean other bytes;
    `public`: whether it needs no login.
    """
    return {
        "ETag": f'"{digest}"',
        "Cache-Control": _cache_control(worker, permanent=permanent, public=public),
        "Accept-Ranges": "bytes",
        "Content-Type": content_type(filename, companion),
        **NO_SNIFFING,
    }


async def _find(request: Request, index: ServedIndex, path: str) -> Target:
    """Raises NotFound, HeldBack. The path is only ever compared with what is listed; it never reaches a file system."""
    filename, companion = split_companion(path.rpartition("/")[2])
    place = path.removesuffix(companion) if companion else path
    permanent = _PERMANENT.fullmatch(place)
    if permanent is not None and is_normalized(permanent["project"]):
        listed, warning = await offered_file(index, permanent["project"], filename, place)
        if listed is not None and listed.place == place:
            return Target(listed, companion, warning=warning)
    found = await index.find(place)
    if found is not None:
        try:
            is_offered = (await index.look_up(found.project)).status.offers_files
        except BaseException:
            found.close()
            raise
        if is_offered:
            context_of(request.scope).project = found.project  # which the name of a file in a folder may not tell
            return Target(found, companion)
        found.close()
    # An old address of a file that was imported since: pypiserver's URLs end in the filename, which names the project.
    parsed = guess_filename(filename)
    if parsed is not None and is_normalized(parsed.project):
        listed, warning = await offered_file(index, parsed.project, filename, None if permanent is None else place)
        if listed is not None and listed.place == place:
            return Target(listed, companion, warning=warning)
        if listed is not None and listed.is_permanent and permanent is None:
            return Target(listed, companion, is_at_its_place=False, warning=warning)
    what = f"The file {filename[:200]}"
    if worker_of(request).settings.upstream_offline and parsed is not None and is_normalized(parsed.project):
        view = await index.look_up(parsed.project)
        if not view.exists:
            raise not_here(request, what)
    raise NotFound(f"{what} does not exist.")


def log_held_back(request: Request, index: ServedIndex, error: HeldBack) -> None:
    """A line on a download that a policy has refused."""
    path, identity = request.path_params["path"], context_of(request.scope).request_id
    log.info("file held back", index=index.name, path=path[:300], reason=str(error), request=identity)


def log_warning(request: Request, index: ServedIndex, warning: Decision | None) -> None:
    """A line on a download of which a policy warns, if one does."""
    if warning is not None:
        path, identity = request.path_params["path"], context_of(request.scope).request_id
        reason = warning.sentence
        log.warning("file with a warning served", index=index.name, path=path[:300], reason=reason, request=identity)


async def offered_file(
    index: ServedIndex, project: str, filename: str, place: str | None
) -> tuple[ListedFile | None, Decision | None]:
    """The file of a project that may be downloaded, and the decision of a policy about it. Raises as `_offered`."""
    view = await index.look_up(project)
    if view.is_unread:
        return await index.offered(view, filename), None
    return _offered(view, filename, place), view.held.decisions.get(filename)


def _offered(view: ProjectView, filename: str, place: str | None) -> ListedFile | None:
    """The file of a view that may be downloaded. Raises HeldBack for one that is held back and has this place; None
    for any place."""
    every = view.every.get(filename)
    if every is None or (place is not None and every.place != place):
        return view.offered.get(filename)
    return view.offers(filename)


def split_companion(filename: str) -> tuple[str, str]:
    """A filename without the suffix of a companion, and that suffix, "" if it has none."""
    for suffix in _COMPANIONS:
        if filename.endswith(suffix):
            return filename.removesuffix(suffix), suffix
    return filename, ""


def _cache_control(worker: Worker, *, permanent: bool, public: bool) -> str:
    """Immutable where the URL carries the digest; private where a login is needed, so that no shared cache leaks it."""
    scope = "public" if public else "private"
    if permanent:
        return f"{scope}, max-age={_YEAR}, immutable"
    if worker.settings.cache_control is not None:
        return f"{scope}, max-age={worker.settings.cache_control}"
    return "no-cache"


def content_type(filename: str, companion: str = "") -> str:
    """Never text/html or anything a browser would run: published files are data."""
    if companion == ".metadata":
        return "text/plain; charset=utf-8"
    if companion == ".asc":
        return "application/pgp-signature"
    if filename.endswith((".whl", ".zip", ".egg")):
        return "application/zip"
    if filename.endswith((".tar.gz", ".tgz")):
        return "application/gzip"
    return "application/octet-stream"


class FileResponse(Response):
    """Sends an opened file, or some bytes: all of it, one range (206), or why not (304, 412, 416).

    A request for several ranges at once gets the whole (RFC 9110, 14.2 leaves that to the server). When the bytes end
    too early the response stays incomplete: the server then closes the connection, by which the client knows.
    """

    def __init__(
        self,
        body: OpenBlob | bytes,
        *,
        headers: Mapping[str, str],
        worker: Worker,
        modified: float | None = None,
        may_redirect: bool = False,
    ) -> None:
        """`modified`: seconds since the epoch, as in the Last-Modified header; None where there is none.
        `may_redirect`: whether a GET is sent to the store's own URL of the body, where it has one.
        """
        self._may_redirect = may_redirect
        self._content = body
        self._modified = modified
        self._worker = worker
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers({**headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content = self._content
        try:
            await self._answer(Request(scope, receive), content, send)
        finally:
            if isinstance(content, OpenBlob):
                content.close()

    async def _answer(self, request: Request, content: OpenBlob | bytes, send: Send) -> None:
        size = content.size if isinstance(content, OpenBlob) else len(content)
        if is_unchanged(request.headers, self.headers["etag"], self._modified):
            del self.headers["content-type"]
            del self.headers["content-length"]  # a 304 may only name the length of the 200 (RFC 9110, 8.6)
            await self._send_whole(send, 304, b"")
            return
        chosen = None
        if request.method == "GET" and request.headers.get("if-range", self.headers["etag"]) == self.headers["etag"]:
            chosen = single_range(request.headers.get("range", ""), size)
        start, stop = chosen or (0, size)
        if chosen is not None and start >= stop:
            sentence = f"The file has {size} bytes; none of them is in the range that was asked for.\n".encode()
            self.headers["content-range"] = f"bytes */{size}"
            self.headers["content-type"] = "text/plain; charset=utf-8"
            self.headers["content-length"] = str(len(sentence))
            self.headers["cache-control"] = "no-store"
            await self._send_whole(send, 416, sentence)
            return
        if (location := self._worker.accel_location(request, content)) is not None:
            self.headers["x-accel-redirect"] = location
            del self.headers["accept-ranges"]  # the proxy says it for itself, and sees to the range
            await self._send_whole(send, 200, b"")
            return
        if request.method == "GET" and self._may_redirect and isinstance(content, OpenBlob):
            url = await self._worker.in_reader(content.redirect_url)
            if url is not None:
                await self._redirect(send, url)
                return
        if chosen is not None:
            self.headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
            self.status_code = 206
        self.headers["content-length"] = str(stop - start)
        if isinstance(content, OpenBlob) and request.method != "HEAD":
            await self._prepare(content, start, stop)
        if request.method == "HEAD" or stop == start:
            await self._send_whole(send, self.status_code, b"")
        elif isinstance(content, bytes):
            await self._send_whole(send, self.status_code, content[start:stop])
        elif content.descriptor is not None and ZEROCOPY in (request.scope.get("extensions") or {}):
            await self._send_start(send, self.status_code)
            await self._send_descriptor(request, send, content, start, stop)
        else:
            await self._send_start(send, self.status_code)
            await self._send_chunks(request, send, content, start, stop)

    async def _prepare(self, content: OpenBlob, start: int, stop: int) -> None:
        await content.prepare(start, stop)
        if not content.is_verified:
            self.headers["cache-control"] = "no-store"  # a cache would keep wrong bytes under the digest of right ones

    async def _send_start(self, send: Send, status: int) -> None:
        await send({"type": "http.response.start", "status": status, "headers": self.raw_headers})

    async def _send_whole(self, send: Send, status: int, body: bytes) -> None:
        await self._send_start(send, status)
        await send({"type": "http.response.body", "body": body})

    async def _redirect(self, send: Send, url: str) -> None:
        """307: the client requests its range there. No cache may keep it: the URL is valid for minutes."""
        for name in ("etag", "accept-ranges", "content-type"):
            del self.headers[name]
        self.headers["location"] = url
        self.headers["cache-control"] = "no-store"
        await self._send_whole(send, 307, b"")

    async def _send_descriptor(self, request: Request, send: Send, content: OpenBlob, start: int, stop: int) -> None:
        message = {"type": ZEROCOPY, "file": _AsFile(content), "offset": start, "count": stop - start}
        try:
            await send(message | {IN_THREAD: self._worker.in_sender})
        except OSError as error:
            self._log_broken(request, content, str(error))

    async def _send_chunks(self, request: Request, send: Send, content: OpenBlob, start: int, stop: int) -> None:
        watch = _Disconnect(request) if stop - start > CHUNK else None
        try:
            while start < stop and not (watch is not None and watch.is_over):
                try:
                    await content.wait(start)
                    chunk = await self._worker.in_sender(content.read_at, start, min(CHUNK, stop - start))
                except StoreError as error:  # removed while it was being sent, perhaps on another machine
                    if not await self._recovers(content):
                        self._log_broken(request, content, str(error))
                        return
                    continue
                if not chunk:
                    self._log_broken(request, content, "the file became shorter")
                    return
                start += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": start < stop})
        finally:
            if watch is not None:
                watch.end()

    @staticmethod
    async def _recovers(content: OpenBlob) -> bool:
        with contextlib.suppress(QuireError):
            return await content.recover()
        return False

    def _log_broken(self, request: Request, content: OpenBlob, error: str) -> None:
        log_broken_off(content, error, context_of(request.scope).request_id)


class _Disconnect:
    """Notices that the client goes away: servers take what is sent to it after that, and discard it."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self.is_over = False
        """Whether the client is gone."""
        # an adapter of WSGI never says it, and answers each call in the thread that sends
        self._task = None if "wsgi_environ" in request.scope else asyncio.create_task(self._wait())

    def end(self) -> None:
        """Notice nothing any more."""
        if self._task is not None:
            self._task.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_over = True


class _AsFile:
    """A blob as the file object that ASGI's extension needs."""

    def __init__(self, blob: OpenBlob) -> None:
        self._blob = blob

    def fileno(self) -> int:
        """Raises OSError after the blob was closed."""
        if self._blob.descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._blob.descriptor


def log_broken_off(content: OpenBlob, error: str, request_id: str) -> None:
    """Log that a file could not be sent to its end."""
    log.warning("download broken off", path=content.path, error=error, request=request_id)


def single_range(header: str, size: int) -> tuple[int, int] | None:
    """[start, stop) of a Range header with one byte range; None to ignore it; start >= stop when unsatisfiable.

    RFC 9110, 14.1.2 and 14.2: an invalid or unknown range is ignored.
    """
    match = _SINGLE_RANGE.fullmatch(header)
    if match is None or any(len(number or "") > 18 for number in match.groups()):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return (max(0, size - int(suffix)), size) if int(suffix) else (size, size)
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1 if last else size)
