"""Projects at which the search itself fails: they are left out, and take no search away.

Replaced here: the function that finds the facts of a project, which fails at some, since it should fail at none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from quire.catalog.sources import ListedFile
from quire.domain.project import Status
from quire.search import places
from quire.search.facts import Facts
from quire.store.memory import MemoryStore
from tests.search.rig import Rig, rig

facts_of = places.facts_of


def odd_facts(
    name: str, display: str | None, status: Status | None, listed: Sequence[ListedFile]
) -> tuple[Facts, bool]:
    """Some cannot be read; the facts of others cannot be written."""
    if name.startswith("unread"):
        raise RuntimeError("odd")
    found, is_whole = facts_of(name, display, status, listed)
    if name.startswith("unwritten"):
        found = msgspec.structs.replace(found, requires_python="\ud800")
    return found, is_whole


def test_odd_projects_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass reads the others to the end, a new project is found at once, and nothing is read again at each search."""
    monkeypatch.setattr(places, "facts_of", odd_facts)

    async def scenario(made: Rig) -> None:
        for name in ("one", "unread", "unwritten", "two"):
            made.publish(name)
        assert await made.names() == ["one", "two", "unwritten"]
        (progress,) = made.keeper.catalog.progress(["hosted/main"]).values()
        assert (progress.total, progress.done, bool(progress.checked)) == (4, 4, True)
        for name in ("three", "unread-too", "unwritten-too"):
            made.publish(name)
        assert await made.names() == ["one", "three", "two", "unwritten"]
        reads = list[str]()
        monkeypatch.setattr(places.Place, "read", lambda _, name, known=None: reads.append(name))
        assert "one" in await made.names()
        assert reads == []

    with rig(tmp_path, MemoryStore()) as made, capture_logs() as lines:
        asyncio.run(scenario(made))
    assert {line["project"] for line in lines} == {"unread", "unread-too", "unwritten", "unwritten-too"}
