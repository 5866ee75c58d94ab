"""Fast-path responses for files: see `quire.http.fast.fast_path`. Only complete files that are in
the store, hosted or mirrored; the listing decides, as in the application."""

from __future__ import annotations

from quire.catalog.served import ServedIndex
from quire.catalog.sources import Opener
from quire.catalog.views import ProjectView
from quire.domain.names import guess_filename
from quire.http.app.conditions import matches
from quire.http.app.routes import METADATA, endpoint_of
from quire.http.app.worker import Worker
from quire.http.fast.responses import CachedResponse, Headers, as_lines
from quire.http.simple.files import file_headers, split_companion

SMALL_FILE = 128 * 1024
"""Bytes. A file up to this size that is in the system's memory is read at once: handing it to a thread costs more."""
FILES = endpoint_of("file")
_COMPANIONS = {"", ".metadata"}
_MOST_PLACES = 5000


class _PreparedFile:
    """A file that was offered when its project's view was made; the view is validated each time."""

    __slots__ = ("etag", "given", "headers", "label", "lines", "open", "unchanged")

    def __init__(self, opener: Opener, headers: dict[str, str], label: str) -> None:
        self.open = opener.open
        self.given = opener.given
        self.label = label
        self.etag = headers["ETag"]
        self.headers = [(name.lower(), value) for name, value in headers.items()]
        self.lines = as_lines(self.headers)
        shared = [pair for pair in self.headers if pair[0] != "content-type"]
        self.unchanged = CachedResponse(304, shared, b"", label, lines=as_lines(shared))


class FastPathFiles:
    """Answers to downloads from what one worker has ready."""

    def __init__(self, worker: Worker, index: ServedIndex, base: str) -> None:
        """`base`: the path below which the index is served."""
        settings = worker.settings
        self._worker = worker
        self._index = index
        self.prefix = f"{base}{FILES.base}"
        self._projects: dict[str, str] = {}
        """The projects of places that were asked for, in an index with upstreams."""
        self._is_off = bool(settings.accel_redirect)

    def find_response(self, path: str, headers: Headers, *, takes_files: bool, public: bool) -> CachedResponse | None:
        """The answer to a plain GET that is allowed; None when the general application has to find it.

        `takes_files`: whether an answer may be an open file (`CachedResponse.blob`), which the caller then closes.
        `public`: whether the file needs no login now.
        """
        if self._is_off or "range" in headers:
            return None
        rest = path[len(self.prefix) :]
        view = self._index.projects.get_inline(self._project(rest))
        if view is None:
            return None
        prepared = view.prepared.get((rest, public)) or self._prepare(view, rest, public=public)
        if not isinstance(prepared, _PreparedFile):
            return None
        if "if-none-match" in headers and matches(headers.get("if-none-match"), prepared.etag):
            return prepared.unchanged
        return self._whole(prepared, takes_files=takes_files)

    def _project(self, rest: str) -> str:
        """The project of a place: as the place of a hosted file begins, or by the name of a mirrored one."""
        if not self._index.is_mirroring:
            return rest.partition("/")[0]
        name = self._projects.get(rest)
        if name is None:
            parts = rest.split("/")
            name = parts[0]
            if len(parts) != 3 or len(parts[1]) != 64:
                guessed = guess_filename(split_companion(parts[-1])[0])
                name = name if guessed is None else guessed.project
            if len(self._projects) >= _MOST_PLACES:
                self._projects.clear()
            self._projects[rest] = name
        return name

    def _whole(self, prepared: _PreparedFile, *, takes_files: bool) -> CachedResponse | None:
        blob = prepared.open()
        if takes_files and blob.descriptor is not None and blob.size > SMALL_FILE:
            if prepared.given is not None:
                prepared.given(blob.size)
            return CachedResponse(200, prepared.headers, b"", prepared.label, lines=prepared.lines, blob=blob)
        try:
            content = blob.read_inline() if blob.size <= SMALL_FILE else None
        finally:
            blob.close()
        if content is None:
            return None
        if prepared.given is not None:
            prepared.given(blob.size)
        return CachedResponse(200, prepared.headers, content, prepared.label, lines=prepared.lines)

    def _prepare(self, view: ProjectView, rest: str, *, public: bool) -> _PreparedFile | None:
        filename, companion = split_companion(rest.rpartition("/")[2])
        listed = view.offers_inline(
            filename, reads=self._index.projects.is_inline
        )  # not one that a policy warns of: the application logs its download
        if listed is None or companion not in _COMPANIONS or rest != f"{listed.place}{companion}":
            return None
        opener = listed.opener(companion)
        if opener is None:
            return None
        headers = file_headers(
            self._worker, opener.digest, filename, companion, permanent=listed.is_permanent, public=public
        )
        label = METADATA if companion else FILES.label
        prepared = view.prepared[rest, public] = _PreparedFile(opener, headers, label)
        self._index.projects.memory.account(view.name, view)
        return prepared
