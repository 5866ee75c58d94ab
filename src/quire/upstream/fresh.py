"""Pages that were just stored, for the request that asked for them: it needs not read them from the store again."""

from __future__ import annotations

import threading
from typing import Final

from quire.upstream.pages import UpstreamPage

MOST_FILES: Final = 20_000
"""Of all these pages together: some 15 MB. One with more is not remembered."""


class FreshPages:
    """Pages by their content (`quire.upstream.mirrored.MirroredPage.content`), until each is read once. They may be
    used from several threads. A page that nothing reads stays until others need its place."""

    def __init__(self) -> None:
        self._pages: dict[str, UpstreamPage] = {}
        self._files = 0
        self._lock = threading.Lock()

    def put(self, content: str, page: UpstreamPage) -> None:
        """Remember a page."""
        with self._lock:
            self._drop(content)
            self._pages[content] = page
            self._files += len(page.files)
            while self._files > MOST_FILES:
                self._drop(next(iter(self._pages)))

    def take(self, content: str | None) -> UpstreamPage | None:
        """The page, once."""
        if content not in self._pages:
            return None
        with self._lock:
            return self._drop(content)

    def _drop(self, content: str) -> UpstreamPage | None:
        page = self._pages.pop(content, None)
        self._files -= 0 if page is None else len(page.files)
        return page
