"""The projects of another index, as a source: pages and files that are kept in the store, and asked for when needed.

A file's URL keeps the path that it has at the other index, where that names the file and can be a path here; so lock
files that were made there and here differ in the host alone. Files without a SHA-256 are left out: nothing is served
that cannot be verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import ClassVar, Final

import msgspec

from quire.catalog.mirrored_page import is_digest_place, json_page, own_place, place_of
from quire.catalog.sources import Content, Opener
from quire.catalog.unread import UnreadView
from quire.catalog.views import ProjectPart, ProjectView
from quire.domain.errors import InvalidName, NotFound
from quire.domain.namespaces import Namespaces
from quire.domain.project import UNKNOWN_DIGEST, UNKNOWN_SIZE, File, Status
from quire.render.simple import Page
from quire.store.contracts import Names
from quire.store.open_blob import OpenBlob
from quire.upstream.documents import METADATA
from quire.upstream.files import MirroredFiles
from quire.upstream.mirror import Mirror
from quire.upstream.page_store import Mirrored
from quire.upstream.pages import UpstreamFile
from quire.upstream.renderings import Rendering
from quire.upstream.server import OtherServer

ATTESTATIONS: Final = ".attestations"
"""The companion of a file that is its provenance object."""
_PROJECT_BYTES: Final = 700


class MirroredFile(msgspec.Struct, frozen=True, gc=False):
    """A file of another index. Like its File never part of a cycle that matters: its mirror lives as long as the
    server."""

    file: File
    offered: UpstreamFile
    project: str
    """Normalized name."""
    place: str
    mirror: MirroredFiles

    needs_awaiting: ClassVar[bool] = True
    further_bytes: ClassVar[int] = 900

    @property
    def label(self) -> str:
        return self.file.filename

    @property
    def origin(self) -> str:
        """The name of its mirror."""
        return self.mirror.upstream

    @property
    def is_permanent(self) -> bool:
        """Whether its URL carries a digest."""
        return self.place == own_place(self.project, self.file.sha256, self.file.filename) or is_digest_place(
            self.place
        )

    @property
    def removal_problem(self) -> str | None:
        return f"The file {self.file.filename} is of another index, which this one mirrors; it cannot be removed here."

    def opens_inline(self, companion: str) -> bool:
        return False

    def open(self, companion: str) -> Content:
        """Raises NotFound: its bytes are awaited (`fetch`)."""
        raise NotFound(f"The file {self.file.filename}{companion} is not here yet.")

    async def fetch(self, companion: str) -> Content:
        """Raises NotFound, UpstreamError, StoreError."""
        if not companion:
            return Content(await self.mirror.open(self.project, self.offered), self.file.sha256)
        if companion == ATTESTATIONS and self.offered.provenance is not None:
            return Content(await self.mirror.provenance(self.project, self.offered), UNKNOWN_DIGEST)
        digest = self.file.metadata_sha256
        if companion != METADATA or digest is None:
            raise NotFound(f"The file {self.file.filename}{companion} does not exist.")
        return Content(await self._metadata(digest), digest)

    async def _metadata(self, digest: str) -> OpenBlob | bytes:
        if isinstance(self.offered.metadata, str):
            return await self.mirror.metadata(self.project, self.offered)
        return await self.mirror.made_metadata(self.project, self.offered, digest)

    async def open_here(self) -> OpenBlob:
        """Raises BlobMissing, StoreError."""
        return await self.mirror.open_here(self.project, self.offered)

    async def keep(self, arrived: Callable[[int], object]) -> bool:
        """Raises NotFound, UpstreamError, StoreError."""
        fetched = await self.mirror.keep(self.project, self.offered, arrived)
        if self.file.metadata_sha256 is not None:
            document = await self._metadata(self.file.metadata_sha256)
            if isinstance(document, OpenBlob):
                document.close()
        return fetched

    def opener(self, companion: str) -> Opener | None:
        """Raises BlobMissing for a file that is not here (any more): `fetch` has it."""
        metadata = self.offered.metadata if companion == METADATA else None
        digest = self.file.sha256 if not companion else metadata
        if not isinstance(digest, str):
            return None  # also of metadata that is made here
        mirror, counted = self.mirror, partial(self.mirror.gave_kept, companion)
        return Opener(partial(mirror.open_kept, self.project, self.offered, companion), digest, counted)

    def metadata_document(self) -> bytes | None:
        return None

    def kept_document(self) -> bytes | None:
        """The core metadata, if it is here. Blocks. Raises StoreError."""
        digest = self.file.metadata_sha256
        return None if digest is None else self.mirror.kept_metadata(self.project, self.offered, digest)


class MirroredProject:
    """A project of another index at one moment, or its absence."""

    __slots__ = ("_files", "mirrored")

    was_written = False
    owners = None

    def __init__(self, mirrored: Mirrored, files: MirroredFiles) -> None:
        self.mirrored = mirrored
        self._files = files

    @property
    def exists(self) -> bool:
        return self.mirrored.exists

    @property
    def upstream(self) -> str:
        """The name of its mirror."""
        return self._files.upstream

    @property
    def was_found(self) -> bool:
        """Whether the other index has it, or had it: it has a record then."""
        return self.mirrored.page is not None

    @property
    def display_name(self) -> str | None:
        return None

    @property
    def status(self) -> Status | None:
        if self.mirrored.is_unread:
            return Status.ACTIVE
        content = self.mirrored.content
        return content.status if content is not None else None

    @property
    def status_reason(self) -> str | None:
        content = None if self.mirrored.is_unread else self.mirrored.content
        return content.status_reason if content is not None else None

    @property
    def bytes_in_memory(self) -> int:
        return _PROJECT_BYTES

    @property
    def is_unread(self) -> bool:
        """Whether `files` and `find` read a large page each time."""
        return self.mirrored.is_unread

    def unread_view(
        self, name: str, parts: Sequence[ProjectPart], integrity: str | None, namespaces: Namespaces | None
    ) -> ProjectView | None:
        """The view of a project of which no other part has anything, if its page is unread."""
        return UnreadView(name, parts, integrity, namespaces, self) if self.is_unread else None

    def find(self, filename: str, *, inline: bool = False) -> MirroredFile | None:
        """A file of an unread page. Blocks. Raises BlobMissing when it was replaced, DamagedRecord, StoreError.
        `inline`: see `Mirrored.find`."""
        offered = self.mirrored.find(filename, inline=inline)
        if offered is None or "sha256" not in offered.hashes:
            return None
        made = self.mirrored.page.made if self.mirrored.page is not None else {}
        file, project = _file(offered, made.get(offered.hashes["sha256"])), self.mirrored.name
        return MirroredFile(file, offered, project, place_of(project, offered), self._files)

    def page(self, integrity: str | None, namespaces: Sequence[tuple[str, bool]] | None) -> Page:
        """The page of an unread project in JSON. Blocks. Raises as `find`."""
        content = self.mirrored.content
        assert content is not None
        made = self.mirrored.page.made if self.mirrored.page is not None else {}
        return json_page(self.mirrored.name, content, made, integrity, namespaces)

    def rendering(self, form: str, make: Callable[[], Rendering]) -> Rendering:
        """The page of an unread project in a form, as it is kept, or as `make` gives it. Blocks. Raises as `find`."""
        return self.mirrored.rendering(form, make)

    def rendering_inline(self, form: str) -> Rendering | None:
        """The same as it is kept, if that is read without waiting; else None, too."""
        return self.mirrored.rendering_inline(form)

    def files(self) -> Iterator[MirroredFile]:
        """Blocks, of an unread page. Raises as `find`."""
        content, project = self.mirrored.content, self.mirrored.name
        made = self.mirrored.page.made if self.mirrored.page is not None else {}
        for offered in content.files if content is not None else ():
            if "sha256" in offered.hashes:
                file = _file(offered, made.get(offered.hashes["sha256"]))
                yield MirroredFile(file, offered, project, place_of(project, offered), self._files)


class NoNames:
    """The names of a mirror: it lists none, since the other index has too many, and most of them were never asked."""

    names: tuple[str, ...] = ()


_NO_NAMES: Final = NoNames()


class UpstreamSource:
    """The part of a `quire.catalog.sources.Source` that one upstream and several have alike: they list no names, and
    answer on the event loop."""

    needs_awaiting = True
    may_have_files = True

    async def names(self, known: NoNames | None) -> NoNames:
        return _NO_NAMES

    def names_unchanged(self, known: NoNames) -> bool:
        return True

    def claims(self, name: str) -> bool:
        return False

    def disclaims_inline(self, name: str) -> bool:
        return True

    def find(self, place: str) -> None:
        """None: its files are found by their project."""

    def count(self) -> int:
        """0: they are of other indexes."""
        return 0


class MirroredProjects(UpstreamSource):
    """A `quire.catalog.sources.Source`: the projects of another index."""

    def __init__(
        self, mirror: Mirror, files: MirroredFiles, servers: Sequence[OtherServer], *, validates_inline: bool
    ) -> None:
        """`servers`: those that both ask; they are closed with them."""
        self._mirror = mirror
        self._files = files
        self._servers = servers
        self.validates_inline = validates_inline

    async def project(self, name: str, known: MirroredProject | None) -> MirroredProject:
        try:
            found = await self._mirror.get(name, known.mirrored if known is not None else None)
        except InvalidName as error:
            raise NotFound(f"The project {name[:200]} does not exist.") from error
        return known if known is not None and found is known.mirrored else MirroredProject(found, self._files)

    def first_inline(self, name: str, tick: object) -> MirroredProject | None:
        """The project as any worker has kept it, where it is served without asking."""
        first = self._mirror.first_inline(name)
        return None if first is None else MirroredProject(first, self._files)

    def project_inline(self, name: str, known: MirroredProject, tick: object) -> MirroredProject | None:
        return None if self._mirror.inline(known.mirrored) is None else known

    @property
    def mirror(self) -> str:
        """The name of its mirror."""
        return self._files.upstream

    def kept_names(self, known: Names | None) -> Names:
        """The names of which anything is kept: the very `known` when they are unchanged. Blocks. Raises StoreError."""
        return self._mirror.kept_names(known)

    def kept(self, name: str) -> MirroredProject:
        """A project (normalized name) as it is kept, however old it is. Blocks. Raises StoreError."""
        return MirroredProject(self._mirror.kept(name), self._files)

    async def close(self) -> None:
        """End what is being asked and fetched."""
        await self._mirror.close()
        await self._files.close()
        for server in self._servers:
            await server.close()


def _file(offered: UpstreamFile, made: str | None) -> File:
    """`made`: the SHA-256 of its metadata that was made here."""
    return File(
        filename=offered.filename,
        version=offered.version,
        size=UNKNOWN_SIZE if offered.size is None else offered.size,
        hashes=offered.hashes,
        uploaded=offered.uploaded,
        requires_python=offered.requires_python,
        yanked=offered.yanked,
        metadata_sha256=offered.metadata if isinstance(offered.metadata, str) else made,
        provenance_sha256=None if offered.provenance is None else UNKNOWN_DIGEST,
    )
