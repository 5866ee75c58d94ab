"""Groups of sources: a project's name belongs to the first group that has, or ever had, something of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from quire.catalog.hosted import Hosted
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.domain.changes import Selection
from quire.domain.project import Status
from quire.domain.reserved import Reserved
from quire.index.index import Index
from quire.observe.metrics.tally import BarrierTally
from quire.process.budget import Budget
from quire.process.threads import Threads
from quire.store.memory import MemoryStore
from tests.catalog.test_sources import Far, _drop_ins
from tests.clocks import Clock
from tests.distributions import make_wheel, wheel_name
from tests.index.test_index import staged_wheel


class Place:
    """An index with a drop-in folder, before another index of the same store, before a server elsewhere."""

    def __init__(self, folder: Path, reserved: tuple[str, ...] = ()) -> None:
        self.folder = folder
        store = MemoryStore()
        self.front, self.back, self.far = Index(store), Index(store, "back"), Far()
        self.threads = Threads()
        self.clock = Clock()
        self.served = ServedIndex(
            self.front,
            [_drop_ins(folder, self.clock)],
            IndexPolicy(reserved=Reserved(reserved)),
            behind=[[Hosted(self.back)], [self.far]],
            budget=Budget(2**20),
            threads=self.threads,
            tallies={"project": BarrierTally(), "projects": BarrierTally()},
        )

    def publish(self, index: Index, version: str, name: str = "alpha") -> None:
        index.publish([staged_wheel(index.store, name, version)])

    async def versions(self, name: str = "alpha") -> list[str]:
        """Of the files that are listed, in a later tick than all that was done before."""
        await asyncio.sleep(0)
        self.clock.now += 10
        view = await self.served.project(name)
        return [each.file.version for each in view.files.values()]


def run(place: Place, scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    try:
        asyncio.run(main())
    finally:
        place.threads.close()


def test_the_first_group_that_has_something_owns_the_name(tmp_path: Path) -> None:
    """A change in an earlier group takes the name from a later one at once, and for good."""
    place = Place(tmp_path)

    async def scenario() -> None:
        for _ in range(3):  # until the folder was last changed long ago
            assert await place.versions() == ["1.0"]
        asked = place.far.asked
        assert await place.versions() == ["1.0"]
        assert place.far.asked == asked
        place.publish(place.back, "3.0")
        assert await place.versions() == ["3.0"]
        place.publish(place.front, "4.0")
        assert await place.versions() == ["4.0"]
        place.front.delete("alpha", Selection())
        assert await place.versions() == []
        assert place.far.asked == asked

    run(place, scenario)


def test_drop_ins_belong_to_the_index_itself(tmp_path: Path) -> None:
    """Beside hosted files; also a file that is being copied, one that is damaged, and one that was removed again."""
    place = Place(tmp_path)

    async def scenario() -> None:
        assert await place.versions() == ["1.0"]
        asked = place.far.asked
        copy = tmp_path / f".{wheel_name('alpha', '5.0')}.Xy12Zz"
        copy.write_bytes(b"half")
        assert await place.versions() == []
        copy.rename(tmp_path / wheel_name("alpha", "5.0"))
        assert await place.versions() == []
        (tmp_path / wheel_name("alpha", "5.0")).write_bytes(make_wheel("alpha", "5.0"))
        assert await place.versions() == ["5.0"]
        place.publish(place.front, "4.0")
        assert await place.versions() == ["4.0", "5.0"]
        assert place.far.asked == asked

    run(place, scenario)


def test_no_reserved_name_is_asked_elsewhere(tmp_path: Path) -> None:
    """Another index of the store may have it all the same."""
    place = Place(tmp_path, ("al*",))

    async def scenario() -> None:
        assert await place.versions() == []
        place.publish(place.back, "3.0")
        assert await place.versions() == ["3.0"]
        assert place.far.asked == 0

    run(place, scenario)


@pytest.mark.parametrize("status", [Status.QUARANTINED, Status.ARCHIVED])
def test_a_project_with_a_status_keeps_its_name(tmp_path: Path, status: Status) -> None:
    """A quarantined project offers no files, and none of another index in their place."""
    place = Place(tmp_path)

    async def scenario() -> None:
        place.publish(place.front, "4.0")
        place.front.set_status("alpha", status, None)
        assert await place.versions() == ["4.0"]
        assert place.far.asked == 0

    run(place, scenario)


def test_the_list_of_projects_has_those_of_all_groups(tmp_path: Path) -> None:
    """Each once."""
    place = Place(tmp_path)

    async def scenario() -> None:
        place.publish(place.front, "4.0")
        place.publish(place.back, "4.0", "gamma")
        await place.versions()
        assert (await place.served.names()).names == ("alpha", "beta", "gamma")

    run(place, scenario)
