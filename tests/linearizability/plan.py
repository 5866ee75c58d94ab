"""The plan of a run: everything that the processes of a run must know, and nothing that happens in it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.distributions import sdist_name, wheel_name

VERSIONS = ("1.0", "2.0", "3.0")


@dataclass(frozen=True, slots=True)
class Plan:
    """A run. The seed decides which operations each client asks for, in which order; the timing is the machine's."""

    seed: int
    seconds: float
    servers: tuple[tuple[str, int], ...]
    """(host, port)"""
    stores: tuple[str, ...] = ()
    """The directory as its users mount it; some changes are made straight on it, as the command line does. May be
    empty: then there are no such changes."""
    projects: tuple[str, ...] = ("alder", "birch", "cedar", "elder", "hazel", "maple")
    dropped: tuple[str, ...] = ()
    """Projects of drop-in files in the directory of the `stores`, each changed by a dropper of its own."""
    reader_processes: int = 2
    readers: int = 4
    """Threads in each of them; every one has a connection of its own."""
    uploaders: int = 4
    """Threads that publish and delete over HTTP."""
    hands: int = 2
    """Processes that work straight on the store; only with `stores`."""
    pause: float = 0.15
    """Seconds that a writer rests between two changes, on the average."""
    doubt: float | None = 10.0
    """Seconds after which a change of unknown outcome can take effect no more: a killed process does nothing, and a
    server that answered is done. None: it may at any time, for servers and networks outside of this test."""
    kill_hands: bool = True
    holders: tuple[str, ...] = ()
    """Users of the servers whose rights and tokens change; only with `stores`. Their rights are objects of their own,
    in histories of their own (`rights_of`)."""
    askers: int = 2
    """Threads for each of them that try what they may do."""
    token: str = ""
    """The token by which all the other clients read and upload; empty where the servers need none."""
    admin: str = ""
    """The token by which the rights of the holders are changed over HTTP; only with `holders`."""
    decisions: int = 0
    """End when so many decisions were asked for, if that is before the time is over; 0: go on until then."""
    plain: bool = False
    """Ask only what pypiserver has: HTML pages, and files without a digest in their URL."""

    @property
    def every_project(self) -> tuple[str, ...]:
        return (*self.projects, *self.dropped)

    @property
    def every_object(self) -> tuple[str, ...]:
        """The names of all histories."""
        return (*self.every_project, *map(rights_of, self.holders))

    @property
    def credentials(self) -> bytes:
        """The header line of all clients but those of the holders."""
        return f"Authorization: Bearer {self.token}\r\n".encode() if self.token else b""

    def with_rights_alone(self) -> Plan:
        """The same with no other clients than those of the holders."""
        return replace(self, reader_processes=0, uploaders=0, hands=0, dropped=())

    def random(self, who: str) -> random.Random:
        """The choices of one client."""
        return random.Random(f"{self.seed} {who}")


def rights_of(holder: str) -> str:
    """The name of the history of a user's rights."""
    return f"rights of {holder}"


def filenames(project: str, version: str) -> tuple[str, ...]:
    """The files that a release can have."""
    return (wheel_name(project, version), sdist_name(project, version))


def all_filenames(project: str) -> tuple[str, ...]:
    return tuple(filename for version in VERSIONS for filename in filenames(project, version))


def version_of(project: str, filename: str) -> str:
    return next(version for version in VERSIONS if filename in filenames(project, version))
