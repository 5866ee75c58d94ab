"""The places whose projects are searched: each source of an index is one, and so is what is kept of each upstream.

A place answers from the store alone: no upstream is ever asked because of a search.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from quire.archives.metadata import parse_metadata
from quire.catalog.drop_ins import DropIns
from quire.catalog.hosted import Hosted, HostedProject
from quire.catalog.mirror_chain import ChainedProject, MirrorChain
from quire.catalog.mirrored import MirroredFile, MirroredProject, MirroredProjects
from quire.catalog.sources import AnySource, ListedFile, SourceProject, at_hand
from quire.catalog.views import ProjectView
from quire.domain.errors import BlobMissing, InvalidDistribution, NotFound, StoreError
from quire.domain.project import Status
from quire.search.facts import Facts, facts_of_files, with_metadata
from quire.search.query import ORIGINS

_MOST_LOOKED_AT: Final = 20
"""Files of a project of an upstream whose metadata is looked for."""


class Read(NamedTuple):
    """A project as a place has it."""

    tag: str
    """Of the state that the facts are of, with INCOMPLETE at its end where passes look for metadata; "" where the store
    did not give all that it has, and the project is to be read again whenever it is shown."""
    facts: Facts


DROP_INS: Final = "drop-ins"
"""The key of the place with the files of served folders."""
INCOMPLETE: Final = "?"
"""At the end of the tag of a project of an upstream of which no metadata is here. Another tag than that of the project,
so each pass looks again; a result is shown as it is, since looking takes a request for each of its files."""
UNCHANGED: Final = Read("", Facts(display=""))
"""In place of a project that has the tag that the caller knows."""


class Place:
    """One source, or what is kept of one upstream. Safe to use from several threads."""

    def __init__(self, key: str, origin: str, source: AnySource) -> None:
        """`key`: names it, on every machine alike; `origin`: one of `quire.search.query.ORIGINS`."""
        self.key = key
        self.origin = origin
        self.source = source
        self._known: Any = None

    def names(self) -> tuple[str, ...]:
        """The names of its projects now: the very same tuple when they are unchanged. Blocks. Raises StoreError."""
        source = self.source
        if isinstance(source, MirroredProjects):
            self._known = source.kept_names(self._known)
        else:
            self._known = at_hand(source.names(self._known))
        names: tuple[str, ...] = self._known.names
        return names

    def perhaps_changed(self, since: float) -> frozenset[str] | None:
        """The names of projects that may have changed since a moment; None for any. Blocks. Raises StoreError."""
        return self.source.perhaps_changed(since) if isinstance(self.source, Hosted) else None

    def read(self, name: str, known: str | None = None) -> Read | None:
        """A project now; None when there is none, UNCHANGED when it still has the tag `known`. Blocks.

        Raises StoreError.
        """
        source = self.source
        if known and isinstance(source, Hosted) and source.has_tag(name, known):
            return UNCHANGED
        part: SourceProject
        part = source.kept(name) if isinstance(source, MirroredProjects) else at_hand(source.project(name, None))
        if not part.exists:
            return None
        tag = tag_of(part)
        if known and tag == known:
            return UNCHANGED
        facts, is_whole = facts_of(name, part.display_name, part.status, list(part.files()))
        found = _read(self.origin, tag if is_whole else "", facts)
        return UNCHANGED if known and found.tag == known else found


def place_of_index(name: str) -> str:
    """The key of the place with the projects of an index."""
    return f"hosted/{name}"


def place_of_mirror(name: str) -> str:
    """The key of the place with what is kept of an upstream. `name`: of its mirror."""
    return f"mirror/{name}"


def places_of(sources: Iterable[AnySource]) -> list[Place]:
    """The places of these sources, in their order."""
    found = []
    for source in sources:
        if isinstance(source, Hosted):
            found.append(Place(place_of_index(source.index.name), "hosted", source))
        elif isinstance(source, DropIns) and source.may_have_files:
            found.append(Place(DROP_INS, "drop-in", source))
        elif isinstance(source, MirrorChain):
            found += [_mirror(each) for each in source.mirrors]
        elif isinstance(source, MirroredProjects):
            found.append(_mirror(source))
    return found


def tag_of(part: SourceProject) -> str:
    """Names the state of a part of a project; "" for one that has none, and has to be read each time."""
    if isinstance(part, HostedProject):
        return part.record.tag
    if isinstance(part, ChainedProject):
        return "" if part.owner is None else tag_of(part.owner)
    if isinstance(part, MirroredProject):
        page = part.mirrored.page
        return "" if page is None or page.content is None else f"{page.content}-{len(page.made)}"
    digest = hashlib.sha256()
    for each in part.files():
        digest.update(f"{each.place}\0{each.file.sha256}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def places_of_view(view: ProjectView) -> list[str]:
    """The keys of the places that have something of a project, in the order in which the index names them."""
    return [key for key, _, _ in _there(view)]


def is_of(tag: str | None, state: str) -> bool:
    """Whether facts with this tag (`Read.tag`) are shown for a project in this state (`tag_of`)."""
    return bool(tag and state) and tag in {state, f"{state}{INCOMPLETE}"}


def place_of_view(view: ProjectView) -> tuple[str, str] | None:
    """The key of the place and the tag, of a project of which exactly one place has something."""
    there = _there(view)
    return (there[0][0], tag_of(there[0][2])) if len(there) == 1 else None


def origins_of(view: ProjectView) -> tuple[str, ...]:
    """The origins of a project, in the order of ORIGINS."""
    there = {origin for _, origin, _ in _there(view)}
    return tuple(each for each in ORIGINS if each in there)


def read_view(view: ProjectView) -> Read:
    """A project as an index serves it; with a tag where exactly one place has something of it. Blocks.

    Raises StoreError.
    """
    facts, is_whole = facts_of(view.name, view.display_name, view.status, list(view.files.values()))
    there = _there(view)
    if len(there) != 1 or not is_whole:
        return Read("", facts)
    ((_, origin, part),) = there
    return _read(origin, tag_of(part), facts)


def facts_of(name: str, display: str | None, status: Status | None, listed: Sequence[ListedFile]) -> tuple[Facts, bool]:
    """The facts of a project with these files, and whether the store could read all that it was asked for. Blocks.

    Metadata that cannot be read is left out: nothing is `described` then. That of an upstream may be here the next
    time, without any change of the project. Raises StoreError.
    """
    facts = facts_of_files(name, display, status, [each.file for each in listed])
    is_whole = True
    for each in _described(facts, listed):
        document = None
        try:
            document = each.kept_document() if isinstance(each, MirroredFile) else each.metadata_document()
        except (BlobMissing, NotFound):
            continue
        except StoreError:
            is_whole = False
        if document is not None:
            with suppress(InvalidDistribution):
                metadata = parse_metadata(document, strict=False)
                return with_metadata(facts, metadata, each.file.metadata_sha256 or ""), is_whole
    return msgspec.structs.replace(facts, described=""), is_whole


def _described(facts: Facts, listed: Sequence[ListedFile]) -> list[ListedFile]:
    """The files whose metadata describes a project: of a hosted one that of its newest release; of an upstream's
    project any that is here, the newest first."""
    first = [each for each in listed if facts.described and each.file.metadata_sha256 == facts.described]
    mirrored = [each for each in listed if isinstance(each, MirroredFile) and each.file.metadata_sha256]
    mirrored.sort(key=lambda each: (each.file.version == facts.version, each.file.uploaded or ""), reverse=True)
    return [*first[:1], *mirrored[:_MOST_LOOKED_AT]]


def _read(origin: str, tag: str, facts: Facts) -> Read:
    return Read(f"{tag}{INCOMPLETE}" if tag and origin == "upstream" and not facts.described else tag, facts)


def _mirror(source: MirroredProjects) -> Place:
    return Place(place_of_mirror(source.mirror), "upstream", source)


def _there(view: ProjectView) -> list[tuple[str, str, SourceProject]]:
    """The key, the origin and the part of each place that has something of a project; the first one counts most."""
    found = list[tuple[str, str, SourceProject]]()
    for source, part in reversed(view.parts):
        if isinstance(part, ChainedProject):
            if part.exists and part.owner is not None:
                found.append((place_of_mirror(part.owner.upstream), "upstream", part.owner))
        elif part.exists:
            found += [(place.key, place.origin, part) for place in places_of([source])]
    return found
