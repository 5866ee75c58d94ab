"""The systemd unit: systemd's own judgement of it, and quire at work under its restrictions."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from quire.cli import make_parser
from quire.config.resolving import resolve
from quire.config.settings import OPTIONS, Settings
from quire.domain.times import stamp
from quire.servers import ENDING_SECONDS, GRACE_SECONDS
from tests.asking import content_type, multipart, password_file, publish_wheel, serve, twine_form
from tests.bucket.ceph import s3_server
from tests.deploy import systemd_rig as rig
from tests.deploy.proxy_rig import program
from tests.deploy.systemd_seccomp import allowed
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, Served, free_port

pytestmark = pytest.mark.deploy

SYSTEMD = rig.UNIT.parent
BACKUP = SYSTEMD / "quire-backup.service"
EXPOSURE = 12
"""Tenths of systemd's score, from 0 (locked up) to 100; a unit without hardening has 96."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory for systemd-analyze with the files where docs/how-to/systemd.md puts them."""
    places = [
        ("quire.service", "etc/systemd/system"),
        ("quire-backup.service", "etc/systemd/system"),
        ("quire-backup.timer", "etc/systemd/system"),
        ("quire.env", "etc/quire"),
        ("volume.conf", "etc/systemd/system/quire.service.d"),
        ("volume.conf", "etc/systemd/system/quire-backup.service.d"),
        ("sysusers.conf", "usr/lib/sysusers.d"),
    ]
    for name, folder in places:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        target = "quire.conf" if name == "sysusers.conf" else name
        (tmp_path / folder / target).write_text((SYSTEMD / name).read_text())
    # the units that ours goes after, as the machine has them
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    quire = tmp_path / "opt/quire/bin/quire"
    quire.parent.mkdir(parents=True)
    quire.write_text("#!/bin/sh\n")
    quire.chmod(0o755)
    return tmp_path


def _analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [program("systemd-analyze"), "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


def test_systemd_understands_the_unit(root: Path) -> None:
    """`systemd-analyze verify` has nothing to say, neither of an unknown setting nor of a value; with a slip it has."""
    command = ("verify", "--man=no", f"--root={root}", "quire.service")
    done = _analyze(*command)
    about_ours = [line for line in done.stderr.splitlines() if "quire" in line]
    assert about_ours == [], done.stderr
    unit = root / "etc/systemd/system/quire.service"
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=very\nProtectSistem=strict"))
    slips = _analyze(*command).stderr
    assert re.search(r"quire.service:\d+: Failed to parse", slips), slips
    assert "Unknown key 'ProtectSistem'" in slips


def test_systemd_understands_the_backup(root: Path) -> None:
    """The timer and its service have no slip, and the command is one that quire takes."""
    done = _analyze("verify", "--man=no", f"--root={root}", "quire-backup.timer", "quire-backup.service")
    assert [line for line in done.stderr.splitlines() if "quire" in line] == [], done.stderr
    service = rig.read_unit(BACKUP)["Service"]
    (command,) = service["ExecStart"]
    place = make_parser()[0].parse_args(shlex.split(command)[1:]).target
    assert service["ReadWritePaths"] == [place]
    server = rig.read_unit()["Service"]
    for name in ("User", "Group", "EnvironmentFile", "StateDirectory", "StateDirectoryMode"):
        assert service[name] == server[name], name


def test_exposure() -> None:
    """systemd rates the unit as locked up as a server on the network can be."""
    command = ("security", "--offline=yes", f"--threshold={EXPOSURE}")
    done = _analyze(*command, rig.UNIT)
    assert done.returncode == 0, done.stdout
    found = re.search(r"Overall exposure level for quire.service: ([0-9.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) * 10 <= EXPOSURE


def test_the_user_is_made(root: Path) -> None:
    """systemd-sysusers makes the user and the group that the unit names, with the number of the images."""
    subprocess.run([program("systemd-sysusers"), f"--root={root}"], check=True, capture_output=True)
    user = next(line for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("quire:"))
    name, _, uid, gid, _, home, shell = user.split(":")
    service = rig.read_unit()["Service"]
    assert [name] == service["User"] == service["Group"]
    assert (uid, gid, home) == ("9898", "9898", "/var/lib/quire")
    assert shell.endswith("nologin")


def test_settings_of_the_example_are_settings() -> None:
    """Every variable of quire.env, those behind a # too, is one that quire reads, and they go together."""
    text = (SYSTEMD / "quire.env").read_text()
    commented = dict(re.findall(r"^#(QUIRE_[A-Z_]+)=(.*)$", text, re.M))
    environ = rig.read_environment(SYSTEMD / "quire.env")
    settings = resolve({}, environ | commented)
    assert settings.directories == ("/var/lib/quire/packages",)
    assert settings.accel_redirect == ("/_files/",)
    assert settings.host == "127.0.0.1"
    known = {f"QUIRE_{option.name.upper()}" for option in OPTIONS}
    assert set(environ | commented) <= known


def test_a_stop_has_the_time_that_it_may_take() -> None:
    """systemd kills what has not ended in time: that is later than the longest draining that the example knows and the
    grace of the requests after it together."""
    commented = dict(re.findall(r"^#(QUIRE_[A-Z_]+)=(.*)$", (SYSTEMD / "quire.env").read_text(), re.M))
    drain = resolve({}, {"QUIRE_DRAIN_SECONDS": commented["QUIRE_DRAIN_SECONDS"]}).drain_seconds
    service = rig.read_unit()["Service"]
    (patience,) = service["TimeoutStopSec"]
    assert int(patience) > drain + GRACE_SECONDS + ENDING_SECONDS
    assert drain > 0
    assert service["KillMode"] == ["mixed"]  # the main process alone is told to stop


# -- at work ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def sandbox(folder: Path) -> rig.Sandbox:
    """quire's surroundings under the unit; state and settings are those of the examples, but for the port."""
    state, etc = folder / "state", folder / "etc"
    (state / "packages").mkdir(parents=True)  # StateDirectory=
    etc.mkdir()
    password_file(folder, alice="s3cret").rename(etc / "htpasswd")
    environ = rig.read_environment(SYSTEMD / "quire.env") | {"QUIRE_PORT": str(free_port())}
    return rig.of_unit(rig.read_unit()["Service"], environ, state, etc, folder)


@pytest.fixture(scope="module")
def service(sandbox: rig.Sandbox, folder: Path) -> Iterator[Served]:
    """ExecStart, running."""
    (command,) = rig.read_unit()["Service"]["ExecStart"]
    with rig.started(sandbox, shlex.split(command), int(sandbox.environ["QUIRE_PORT"]), folder) as served:
        yield served


def test_quire_works_under_all_restrictions(service: Served, folder: Path) -> None:
    """Upload with a login, listing, download, and the command line beside it; nothing goes wrong in the log."""
    wheel = make_wheel("demo", "1.0")
    base = f"http://127.0.0.1:{service.port}"
    with httpx.Client(base_url=base, timeout=DEADLINE, trust_env=False) as client:
        body = multipart(twine_form(wheel_name("demo", "1.0"), wheel, name="demo", version="1.0"))
        headers = {"content-type": content_type()}
        assert client.post("/", content=body, headers=headers).status_code == 401
        assert client.post("/", content=body, headers=headers, auth=("alice", "s3cret")).status_code == 200
        page = client.get("/simple/demo/", headers={"accept": "application/vnd.pypi.simple.v1+json"})
        (file,) = page.json()["files"]
        assert client.get(str(page.url.join(file["url"]))).content == wheel
    assert list((folder / "state" / "packages" / "quire" / "blobs").rglob("*.whl"))
    said = service.output()
    assert "Traceback" not in said
    assert "not permitted" not in said
    assert "read-only" not in said


def test_a_bucket_works_under_all_restrictions(tmp_path: Path) -> None:
    """With the variables that the how-to sets: an upload is in the bucket, and nothing of it in the state directory."""
    state, etc = tmp_path / "state", tmp_path / "etc"
    (state / "packages").mkdir(parents=True)
    etc.mkdir()
    password_file(tmp_path, alice="s3cret").rename(etc / "htpasswd")
    (command,) = rig.read_unit()["Service"]["ExecStart"]
    with s3_server() as server:
        environ = rig.read_environment(SYSTEMD / "quire.env") | server.environment
        environ |= {"QUIRE_PORT": str(free_port()), "QUIRE_DIRECTORIES": f"{server.make_bucket()}/python"}
        sandbox = rig.of_unit(rig.read_unit()["Service"], environ, state, etc, tmp_path)
        with (
            rig.started(sandbox, shlex.split(command), int(environ["QUIRE_PORT"]), tmp_path) as served,
            httpx.Client(base_url=f"http://127.0.0.1:{served.port}", timeout=DEADLINE, trust_env=False) as client,
        ):
            wheel = make_wheel("demo", "1.0")
            body = multipart(twine_form(wheel_name("demo", "1.0"), wheel, name="demo", version="1.0"))
            headers = {"content-type": content_type()}
            assert client.post("/", content=body, headers=headers, auth=("alice", "s3cret")).status_code == 200
            assert wheel_name("demo", "1.0") in client.get("/simple/demo/").text
        done = subprocess.run(
            sandbox.shell_line("/opt/quire/bin/quire", "ls", "-d", environ["QUIRE_DIRECTORIES"]),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert done.stdout.split()[:2] == ["demo", "1.0"], done.stderr
    said = served.output()
    assert "Traceback" not in said
    assert "not permitted" not in said
    assert [each.name for each in state.rglob("*")] == ["packages"]


def test_other_commands_work_too(sandbox: rig.Sandbox, service: Served) -> None:
    """`quire check` under the same restrictions."""
    done = subprocess.run(
        sandbox.shell_line("/opt/quire/bin/quire", "check", "-d", "/var/lib/quire/packages"),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_jobs_work_too(sandbox: rig.Sandbox, service: Served) -> None:
    """A check that is begun on a page of the web interface: its process may not lower its priority there."""
    now = stamp(datetime.now(UTC))
    job = {"id": "j1", "kind": "check", "dry_run": False, "quick": False, "by": None, "container": "c"}
    settings = Settings(directories=("/var/lib/quire/packages",))
    task = {"settings": settings.dump(), "job": job | {"started": now, "heard": now}}
    with subprocess.Popen(
        sandbox.shell_line("/opt/quire/bin/python", "-m", "quire.commands.job"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(task).encode() + b"\n")
        process.stdin.flush()  # and it stays open: its end would be that of the server
        said = process.stdout.read().decode()
        assert process.wait(DEADLINE) == 0, said


@pytest.mark.parametrize("is_writable", [True, False], ids=["the unit", "a store that is read-only for it"])
def test_the_servers_learn_of_a_backup(tmp_path: Path, is_writable: bool) -> None:
    """ExecStart under the restrictions of its unit writes the time of the backup into the store; without the state
    directory it could not, and says so."""
    state, etc, place = (tmp_path / name for name in ("state", "etc", "backups"))
    for folder in (state, etc, place):
        folder.mkdir()
    with serve(state, "-a", ".", "-P", ".") as site:  # in its folder packages
        publish_wheel(site, "demo", "1.0")
    unit = rig.read_unit(BACKUP)["Service"]
    command = shlex.split(unit["ExecStart"][0])
    if not is_writable:
        del unit["StateDirectory"]
    environ = rig.read_environment(SYSTEMD / "quire.env")
    sandbox = rig.of_unit(unit, environ, state, etc, tmp_path, {command[2]: place})
    done = subprocess.run(
        sandbox.shell_line(*command, "--json"),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["files"], found["missing"], found["noted"]) == (2, [], is_writable), done.stderr
    assert ("The servers are not told" in done.stderr) is not is_writable


_ESCAPES = """
import ctypes, errno, mmap, os, socket
libc = ctypes.CDLL(None, use_errno=True)

def refused(name, do):
    try:
        result = do()
    except OSError as error:
        print(name, errno.errorcode[error.errno])
    else:
        code = errno.errorcode[ctypes.get_errno()] if result == -1 else "ALLOWED"
        print(name, code)

refused("write-usr", lambda: open("/usr/x", "w"))
refused("write-etc", lambda: open("/etc/quire/x", "w"))
refused("write-root", lambda: open("/x", "w"))
refused("write-program", lambda: open("/opt/quire/bin/x", "w"))
refused("write-state", lambda: open("/var/lib/quire/x", "w").close())
refused("write-tmp", lambda: open("/tmp/x", "w").close())
refused("write-execute", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC))
refused("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
refused("unshare", lambda: libc.unshare(0x10000000))
refused("chroot", lambda: os.chroot("/tmp"))
refused("setuid", lambda: os.setuid(0))
refused("suid", lambda: os.chmod("/var/lib/quire/x", 0o4755))
refused("ptrace", lambda: libc.ptrace(16, 1, 0, 0))
refused("raw", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
refused("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
refused("inet", lambda: socket.socket().close())
refused("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, 5))
refused("personality", lambda: libc.personality(0x0040000))
print("capabilities", *[line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd"))])
print("no-new-privileges", *[line.split()[1] for line in open("/proc/self/status") if line.startswith("NoNewPrivs")])
print("user", os.getuid(), os.getgid())
"""


def test_the_sandbox_holds(sandbox: rig.Sandbox) -> None:
    """Under the restrictions in which quire works, forbidden calls fail, and allowed ones do not."""
    done = subprocess.run(
        sandbox.shell_line("/opt/quire/bin/python", "-c", _ESCAPES),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert {found.pop(name) for name in ("write-usr", "write-etc", "write-root", "write-program")} == {"EROFS"}
    assert {found.pop(name) for name in ("write-state", "write-tmp", "inet")} == {"ALLOWED"}
    assert {found.pop(name) for name in ("raw", "netlink")} == {"EAFNOSUPPORT"}
    assert found.pop("capabilities") == "0000000000000000 0000000000000000"
    assert found.pop("no-new-privileges") == "1"
    assert found.pop("user") == "9898 9898"
    assert set(found.values()) == {"EPERM"}, found


def test_the_list_of_system_calls() -> None:
    """The unit's list has what a server needs, and neither mounting nor tracing nor changing users."""
    calls = allowed(rig.read_unit()["Service"]["SystemCallFilter"])
    assert {"openat", "linkat", "fsync", "sendfile", "epoll_wait", "statx"} <= calls
    assert not {"mount", "ptrace", "setuid", "reboot", "chroot", "init_module", "setpriority"} & calls
