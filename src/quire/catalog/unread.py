"""Views of large projects of other indexes, whose files are read from the store when they are needed, and not kept.

Theory of operation. The largest projects have 15,000 files, which take 30 MB of a worker's memory. Clients ask for the
page, whose bytes are kept beside the record (`quire.upstream.renderings`), and for one file or two. So this view has
neither: it has its parts, by which it is validated as any other, the pages and files that were asked for, and else
reads the page again. A page that was replaced since the validation cannot be read any more: the caller then asks for
the project again (`quire.catalog.served.ServedIndex.read`). Where a policy may hold files back there are no such
views: its decisions need all files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from quire.catalog.filtering import NOTHING_HELD
from quire.catalog.sources import ListedFile
from quire.catalog.views import Listed, Pages, ProjectPart, ProjectView
from quire.domain.namespaces import Namespaces
from quire.render.negotiation import Encoding, MediaType
from quire.render.packed import PackedPage
from quire.render.simple import Page
from quire.upstream.renderings import Rendering, form_of

_VIEW_BYTES: Final = 1500
_FILE_BYTES: Final = 2500
_MOST_FILES: Final = 500
"""Files of a project that are remembered."""


class UnreadPart(Protocol):
    """The one part of a view that has something of the project."""

    def find(self, filename: str, *, inline: bool = False) -> ListedFile | None: ...

    def page(self, integrity: str | None, namespaces: Sequence[tuple[str, bool]] | None) -> Page: ...

    def rendering(self, form: str, make: Callable[[], Rendering]) -> Rendering: ...

    def rendering_inline(self, form: str) -> Rendering | None: ...


class UnreadView(ProjectView):
    """A project whose files are not in memory. Methods that need them block, and raise BlobMissing when the page was
    replaced meanwhile, DamagedRecord, StoreError."""

    is_unread = True

    def __init__(
        self,
        name: str,
        parts: Sequence[ProjectPart],
        integrity: str | None,
        namespaces: Namespaces | None,
        part: UnreadPart,
    ) -> None:
        """`part`: the one of `parts` that has something of the project."""
        self._namespaces = namespaces
        self.name = name
        self.integrity = integrity
        self.parts = tuple(parts)
        self.pages = Pages()
        self.prepared = {}
        self.held = NOTHING_HELD
        self._part = part
        self._found: dict[str, ListedFile] = {}
        self._fixed_bytes = _VIEW_BYTES + 2 * len(name) + sum(part.bytes_in_memory for _, part in parts)

    @property
    def files(self) -> dict[str, ListedFile]:  # type: ignore[override]  # read only: nothing else writes it
        return self.complete().files

    @property
    def every(self) -> dict[str, ListedFile]:  # type: ignore[override]
        return self.complete().every

    @property
    def listed(self) -> Listed:  # type: ignore[override]
        return self.complete().listed

    def complete(self) -> ProjectView:
        return ProjectView(self.name, self.parts, self.integrity, namespaces=self._namespaces)

    @property
    def exists(self) -> bool:
        return True

    @property
    def bytes_in_memory(self) -> int:
        return super().bytes_in_memory + _FILE_BYTES * len(self._found)

    def offers(self, filename: str) -> ListedFile | None:
        return self._found.get(filename) or self._remember(filename, self._part.find(filename))

    def offers_inline(self, filename: str, *, reads: bool = False) -> ListedFile | None:
        found = self._found.get(filename)
        return self._remember(filename, self._part.find(filename, inline=True)) if found is None and reads else found

    def _remember(self, filename: str, found: ListedFile | None) -> ListedFile | None:
        if found is not None:
            if len(self._found) >= _MOST_FILES:
                self._found.clear()
            self._found[filename] = found
        return found

    def page_in(self, media_type: MediaType, hash_algorithm: str | None, encoding: Encoding) -> Page:
        page = self.rendered(media_type, hash_algorithm)
        if page is not None and page.has(encoding):
            return page
        coding: Encoding = "zstd" if encoding == "identity" else encoding
        form = self._form(media_type, hash_algorithm, coding)
        kept = self._part.rendering(form, lambda: self._render_in(media_type, hash_algorithm, coding))
        made = self._made(page, kept, coding)
        if encoding == "identity":
            assert made.body
        return self.pages.get((media_type, hash_algorithm), lambda: made)

    def page_inline(self, media_type: MediaType, hash_algorithm: str | None, encoding: Encoding) -> Page | None:
        page = self.rendered(media_type, hash_algorithm)
        if page is not None and page.has(encoding):
            return page
        if encoding == "identity":
            return None
        kept = self._part.rendering_inline(self._form(media_type, hash_algorithm, encoding))
        if kept is None:
            return None
        made = self._made(page, kept, encoding)
        return self.pages.get((media_type, hash_algorithm), lambda: made)

    def _form(self, media_type: MediaType, hash_algorithm: str | None, coding: Encoding) -> str:
        return form_of(str(media_type), hash_algorithm, self.integrity, repr(self.namespaces), coding)

    @staticmethod
    def _made(page: Page | None, kept: Rendering, coding: Encoding) -> Page:
        """The page, rendered before or not, with one content coding more."""
        if not isinstance(page, PackedPage):
            page = PackedPage(kept.content_type, kept.etag, kept.size)
        page.add(coding if page.encoding_for(coding) == coding else "identity", kept.body)
        return page

    def _render_in(self, media_type: MediaType, hash_algorithm: str | None, encoding: Encoding) -> Rendering:
        if media_type is MediaType.JSON_V1:
            page = self._part.page(self.integrity, self.namespaces)
        else:
            page = self.complete().page(media_type, hash_algorithm)
        body, _ = page.encoded(encoding)
        return Rendering(page.content_type, page.etag, len(page.body), body)
