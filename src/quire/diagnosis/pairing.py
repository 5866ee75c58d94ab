"""How two machines find each other with nothing in common but the directory.

Both run the same command. Each makes its scratch folder and puts an invitation in it, and looks for those of others.
Of two that see each other, the one with the smaller identifier is the host, the other one its guest: it leaves its name
at the host's, and the host answers it with the plan. An invitation that nobody answers, left by somebody who died, is
passed over. No clock, no lock and no exclusive creation is relied on: they are what is to be tested.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quire.diagnosis.channel import Channel, PeerGone, get, nudge, put
from quire.diagnosis.scratch import others
from quire.errors import StoreError
from quire.store.directory import Directories

PROTOCOL = 2
"""Machines with different versions of this play do not meet."""
_INVITATION = "invitation"
_MAIL = "mail"
_POLL = 0.1
_ANSWER_PATIENCE = 8.0
_PASS_OVER = 20.0


@dataclass(frozen=True, slots=True)
class Party:
    """Who takes part."""

    identifier: str
    name: str
    """The machine's host name."""
    boot: str
    """Tells one running kernel from another; empty where that cannot be told."""
    device: int
    """The file system's number in that kernel: another mount of the same volume has another one."""
    protocol: int = PROTOCOL

    def shares_memory_with(self, other: Party) -> bool:
        """Whether both see the volume through one and the same mount, so that neither can be behind the other."""
        return self.boot != "" and (self.boot, self.device) == (other.boot, other.device)


@dataclass(frozen=True, slots=True)
class Plan:
    """What both sides play; the host's counts."""

    rounds: int
    quick: bool


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two sides that found each other."""

    side: int
    """0 for the host, 1 for the guest."""
    other: Party
    plan: Plan
    folder: str
    """The host's scratch folder, where they play."""
    channel: Channel


def describe(root: str, identifier: str) -> Party:
    """This machine and process. Raises OSError."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Party(identifier, platform.node(), boot, os.stat(root).st_dev)


def meet(
    root: str, folder: str, me: Party, plan: Plan, directories: Directories, *, wait: float, waiting: Callable[[], None]
) -> Meeting | None:
    """Find somebody who waits, or wait for somebody; None when nobody came within `wait` seconds.

    `folder`: this side's scratch folder. `waiting` is called when nobody was found at once, for a word to the user.
    Raises StoreError when the other machine runs a version that plays something else.
    """
    Channel.make(f"{folder}/{_MAIL}")
    os.mkdir(f"{folder}/guests")
    put(folder, _INVITATION, asdict(me))
    passed_over: dict[str, float] = {folder: float("inf")}
    until = time.monotonic() + wait
    told = False
    while True:
        guest = _guest(folder, directories)
        if guest is not None:
            put(folder, "answer", {"to": guest.identifier, "plan": asdict(plan)})
            return Meeting(0, guest, plan, folder, Channel(f"{folder}/{_MAIL}", 0, directories))
        for place in others(root, directories):
            if time.monotonic() < passed_over.get(place, 0) or (host := _invitation(place, directories)) is None:
                continue
            if host.identifier < me.identifier:
                agreed = _visit(place, me, directories)
                passed_over[place] = time.monotonic() + _PASS_OVER  # it may only have been busy with somebody else
                if agreed is not None:
                    return Meeting(1, host, agreed, place, Channel(f"{place}/{_MAIL}", 1, directories))
        if time.monotonic() >= until:
            return None
        if not told:
            told = True
            waiting()
        time.sleep(_POLL)
        nudge(folder)


def _visit(place: str, me: Party, directories: Directories) -> Plan | None:
    """Ask a host to play; None when it does not answer: it is no more, or plays with somebody else."""
    try:
        put(f"{place}/guests", me.identifier, asdict(me))
        until = time.monotonic() + _ANSWER_PATIENCE
        while time.monotonic() < until:
            answer = get(place, "answer", directories)
            if answer is not None:
                content = answer["content"]
                return Plan(**content["plan"]) if content["to"] == me.identifier else None
            time.sleep(_POLL)
            nudge(f"{place}/guests")
    except (OSError, PeerGone):
        return None
    return None


def _invitation(place: str, directories: Directories) -> Party | None:
    try:
        found = get(place, _INVITATION, directories)
    except PeerGone:
        return None
    return None if found is None else _party(found["content"])


def _guest(folder: str, directories: Directories) -> Party | None:
    opened = directories.open(f"{folder}/guests")
    if opened is None:
        return None
    try:
        names = [name for name in os.listdir(opened[0]) if not name.startswith(".")]
    finally:
        os.close(opened[0])
    for name in names:
        found = get(f"{folder}/guests", name, directories)
        if found is not None:
            return _party(found["content"])
    return None


def _party(content: Any) -> Party:
    if not isinstance(content, dict) or content.get("protocol") != PROTOCOL:
        raise StoreError("The other machine runs another version of quire; use the same one on both.")
    return Party(**content)
