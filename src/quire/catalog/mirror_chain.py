"""Several upstreams as one source: a name belongs to the first that has, or ever had, such a project.

So a file of one never joins a project of another, and an upstream is asked for no name that an earlier one has. While
one cannot be asked, its names are not sought in the next one, which may have other projects of these names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from quire.catalog.mirrored import MirroredFile, MirroredProject, MirroredProjects, UpstreamSource
from quire.catalog.views import ProjectPart, ProjectView
from quire.domain.namespaces import Namespaces
from quire.domain.project import Status
from quire.domain.reserved import Reserved

_PROJECT_BYTES: Final = 300


class Link:
    """One upstream of a chain."""

    def __init__(self, mirror: MirroredProjects, only: Sequence[str], withheld: Collection[str] = ()) -> None:
        """`only`: patterns of the names that it is asked for; empty for all names. `withheld`: names that it is not
        asked for in any case."""
        self.mirror = mirror
        self._only = Reserved(only) if only else None
        self._withheld = withheld

    @property
    def takes_all(self) -> bool:
        """Whether it is asked for every name."""
        return self._only is None and not self._withheld

    def takes(self, name: str) -> bool:
        """Whether it is asked for a name."""
        return (self._only is None or name in self._only) and name not in self._withheld


ChainedPart = tuple[MirroredProjects, MirroredProject]


class ChainedProject:
    """The project as the upstreams have it that were asked: the last of them, if any, owns the name."""

    was_written = False
    display_name = None
    owners = None

    def __init__(self, parts: Sequence[ChainedPart]) -> None:
        self.parts = tuple(parts)
        self._owner = parts[-1][1] if parts else None

    @property
    def exists(self) -> bool:
        return self._owner is not None and self._owner.exists

    @property
    def status(self) -> Status | None:
        return self._owner.status if self._owner is not None else None

    @property
    def status_reason(self) -> str | None:
        return self._owner.status_reason if self._owner is not None else None

    @property
    def owner(self) -> MirroredProject | None:
        """The project of the upstream that owns the name, if any does; else what the last one said."""
        return self._owner

    @property
    def bytes_in_memory(self) -> int:
        return _PROJECT_BYTES + sum(part.bytes_in_memory for _, part in self.parts)

    def unread_view(
        self, name: str, parts: Sequence[ProjectPart], integrity: str | None, namespaces: Namespaces | None
    ) -> ProjectView | None:
        """See `MirroredProject.unread_view`."""
        return self._owner.unread_view(name, parts, integrity, namespaces) if self._owner is not None else None

    def files(self) -> Sequence[MirroredFile]:
        return tuple(self._owner.files()) if self._owner is not None else ()


class MirrorChain(UpstreamSource):
    """A `quire.catalog.sources.Source`."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = tuple(links)
        self.validates_inline = all(link.mirror.validates_inline for link in links)

    @property
    def mirrors(self) -> tuple[MirroredProjects, ...]:
        """Those of its upstreams, in their order."""
        return tuple(link.mirror for link in self._links)

    async def project(self, name: str, known: ChainedProject | None) -> ChainedProject:
        before = dict(known.parts) if known is not None else {}
        parts = list[ChainedPart]()
        for link in self._links:
            if link.takes(name):
                part = await link.mirror.project(name, before.get(link.mirror))
                parts.append((link.mirror, part))
                if part.was_found:
                    break
        if known is not None and len(parts) == len(known.parts) and all(map(_is_same, parts, known.parts)):
            return known
        return ChainedProject(parts)

    def project_inline(self, name: str, known: ChainedProject, tick: object) -> ChainedProject | None:
        for mirror, part in known.parts:
            if mirror.project_inline(name, part, tick) is not part:
                return None
        return known

    def first_inline(self, name: str, tick: object) -> ChainedProject | None:
        """The project as the first upstream has it of which anything is kept."""
        parts = list[ChainedPart]()
        for link in self._links:
            if link.takes(name):
                part = link.mirror.first_inline(name, tick)
                if part is None:
                    return None
                parts.append((link.mirror, part))
                if part.was_found:
                    break
        return ChainedProject(parts)


def _is_same(part: ChainedPart, other: ChainedPart) -> bool:
    return part[0] is other[0] and part[1] is other[1]
