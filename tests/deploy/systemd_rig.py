"""Commands in a sandbox like the one of a hardened service or container: bubblewrap, with what a unit or pod restricts.

systemd itself runs as PID 1 or not at all, so the restrictions are made by other means: a read-only root, a few places
that can be written, a user of its own without any capability, and the same filters of system calls.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deploy import systemd_seccomp
from tests.deploy.proxy_rig import DEPLOY, program
from tests.serving import Served, running

UNIT = DEPLOY / "systemd" / "quire.service"
UID = 9898
_VENV = Path(sys.prefix)
_HELD = ("MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictSUIDSGID", "RestrictRealtime", "LockPersonality")
_HIDDEN = {"proc", "dev", "tmp", "run", "sys", "opt", "etc", "var", "home", "data", "srv", "mnt"}
"""Places that the sandbox has of its own, or lacks."""

Unit = dict[str, list[str]]


def read_unit(path: Path = UNIT) -> dict[str, Unit]:
    """Sections of a unit file: every value of every setting, in order; an empty value resets (systemd.syntax(7))."""
    sections: dict[str, Unit] = {}
    for raw in path.read_text().splitlines():
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), defaultdict(list))
            continue
        name, _, value = line.partition("=")
        current[name].append(value)
    return sections


def read_environment(path: Path) -> dict[str, str]:
    """An EnvironmentFile, as far as ours go: no quotes, no continued lines."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


@dataclass(frozen=True)
class Sandbox:
    """The view and the rights of a command."""

    environ: Mapping[str, str]
    """All of it."""
    writable: Mapping[str, Path]
    """Places inside, and the real folders that they are."""
    readable: Mapping[str, Path]
    """Files and folders inside that can be read, likewise."""
    filters: Sequence[Path] = ()
    """Programs for seccomp."""
    working_directory: str = "/"

    def command(self, *inner: str, descriptors: Sequence[int] = ()) -> list[str]:
        """The command line that runs `inner` inside. `descriptors`: the opened filters, in order."""
        words = [program("bwrap"), "--die-with-parent", "--new-session", "--unshare-user", "--unshare-pid"]
        words += ["--unshare-ipc", "--unshare-uts", "--uid", str(UID), "--gid", str(UID), "--cap-drop", "ALL"]
        for entry in sorted(Path("/").iterdir()):
            if entry.is_symlink():
                words += ["--symlink", os.readlink(entry), str(entry)]
            elif entry.name not in _HIDDEN:
                words += ["--ro-bind", str(entry), str(entry)]
        for entry in sorted(Path("/etc").iterdir()):
            if entry.name in {"ssl", "passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime", "mime.types"}:
                words += ["--ro-bind", str(entry), str(entry)]
        words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", str(_VENV), "/opt/quire"]
        for inside, outside in self.readable.items():
            words += ["--ro-bind", str(outside), inside]
        for inside, outside in self.writable.items():
            words += ["--bind", str(outside), inside]
        words += ["--chdir", self.working_directory, "--remount-ro", "/", "--clearenv"]
        for name, value in self.environ.items():
            words += ["--setenv", name, value]
        for descriptor in descriptors:
            words += ["--add-seccomp-fd", str(descriptor)]
        return [*words, "--", *inner]

    def shell_line(self, *inner: str) -> list[str]:
        """The same as one command that opens the filters by itself, since no descriptors are passed to it."""
        descriptors = range(30, 30 + len(self.filters))
        opened = " ".join(
            f"{number}<{shlex.quote(str(file))}" for number, file in zip(descriptors, self.filters, strict=True)
        )
        # dash knows descriptors of one digit only
        return ["bash", "-c", f"exec {shlex.join(self.command(*inner, descriptors=descriptors))} {opened}"]


def of_unit(
    unit: Unit,
    environ: Mapping[str, str],
    state: Path,
    etc: Path,
    scratch: Path,
    further: Mapping[str, Path] | None = None,
) -> Sandbox:
    """The sandbox that the [Service] section describes. `state`: what /var/lib/quire is, which only a StateDirectory
    makes writable; `etc`: what /etc/quire is; `further`: what the places of ReadWritePaths are."""
    assert all(unit[name] == ["yes"] for name in (*_HELD, "NoNewPrivileges")), "the sandbox would be stricter"
    assert (unit["ProtectSystem"], unit["CapabilityBoundingSet"]) == (["strict"], [""])
    calls = systemd_seccomp.allowed(unit["SystemCallFilter"])
    families = unit["RestrictAddressFamilies"][0].split()
    home = {"/var/lib/quire": state}
    is_writable = "quire" in " ".join(unit["StateDirectory"]).split()
    places = " ".join(unit["ReadWritePaths"]).split()
    return Sandbox(
        environ={"PATH": os.defpath, "HOME": "/var/lib/quire", "LANG": "C.UTF-8", **environ},
        writable={**(home if is_writable else {}), **{place: (further or {})[place] for place in places}},
        readable={"/etc/quire": etc, **({} if is_writable else home)},
        filters=systemd_seccomp.programs(scratch, calls, families),
        working_directory=unit["WorkingDirectory"][0],
    )


@contextmanager
def started(sandbox: Sandbox, command: Sequence[str], port: int, folder: Path) -> Iterator[Served]:
    """The command inside, once its port answers; ended at the end."""
    with ExitStack() as stack:
        # bubblewrap's own environment does not reach the command
        line = sandbox.shell_line(*command)
        yield stack.enter_context(running(line, port, cwd=folder, environ={"PATH": os.defpath}))
