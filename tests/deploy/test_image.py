"""quire's image in containers: users, settings, volumes, and stops."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import quire
from tests import htpasswd
from tests.deploy.image_clients import LOGIN, clients
from tests.deploy.image_podman import Podman, volume

pytestmark = pytest.mark.deploy

OPEN = ("-a", ".", "-P", ".")
COMMAND = (
    *("run", "-p", "8080", "--server", "gunicorn", "--backend", "simple-dir"),
    *("--authenticate", "download,list,update", "-P", "/data/.htpasswd"),
)
"""The usual arguments for pypiserver's image."""
GUNICORN_CONF = """\
import os

preload_app = True
worker_class = "gevent"
workers = int(os.environ.get("GUNICORN_WORKERS", "1"))
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """An empty folder for a volume."""
    folder = tmp_path / "packages"
    folder.mkdir()
    return folder


def _owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in folder.rglob("*")}


def _processes(container_exec: str) -> int:
    """How many processes of quire there are, by what /proc tells."""
    lines = [line for line in container_exec.splitlines() if "dumb-init" not in line]
    return sum("quire_image" in line for line in lines)


_COMMAND_LINES = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null; echo; done"


def test_what_the_image_says_of_itself(
    podman: Podman, image: str, record_property: Callable[[str, object], None]
) -> None:
    """User, home, volume, port, health check and labels; and the size, in the test's output."""
    (found,) = json.loads(podman("inspect", "--type", "image", image))
    settings = found["Config"]
    assert settings["User"] == "9898:9898"
    assert settings["WorkingDir"] == "/data"
    assert "HOME=/data" in settings["Env"]
    assert settings["Volumes"] == {"/data/packages": {}}
    assert settings["ExposedPorts"] == {"8080/tcp": {}}
    labels = settings["Labels"]
    assert labels["org.opencontainers.image.version"] == quire.__version__
    assert labels["org.opencontainers.image.title"] == "quire"
    assert found["HealthCheck" if "HealthCheck" in found else "Healthcheck"]["Test"][0] == "CMD"
    (base,) = json.loads(podman("inspect", "--type", "image", labels["org.opencontainers.image.base.name"]))
    megabytes, ours = found["Size"] / 1e6, (found["Size"] - base["Size"]) / 1e6
    record_property("deploy", f"image: {megabytes:.0f} MB, of which {ours:.0f} MB on top of its base")
    assert ours < 185  # some thirty packages of it verify attestations, eight ask other indexes, six render READMEs


def test_the_bill_of_materials_lists_what_is_installed(podman: Podman, image: str) -> None:
    """It is CycloneDX; it describes quire, and every distribution of the image with its version, and no other."""
    code, text = podman.run("--entrypoint", "cat", image, "/opt/quire/share/sbom/quire.cdx.json")
    assert code == 0
    bill = json.loads(text)
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == quire.DISTRIBUTION
    listed = {(each["name"].lower(), each["version"]) for each in bill["components"]}
    ask = "import importlib.metadata as m; print(*(f'{d.name.lower()}=={d.version}' for d in m.distributions()))"
    code, text = podman.run("--entrypoint", "python", image, "-P", "-c", ask)
    assert code == 0
    installed = {(name, version) for name, _, version in (each.partition("==") for each in text.split())}
    assert {"gunicorn", "uvicorn", "dumb-init"} <= dict(installed).keys()
    assert "pip" not in dict(installed)
    assert listed | {(quire.DISTRIBUTION, quire.__version__)} == installed


@pytest.mark.parametrize(
    ("server", "options", "owner"),
    [
        ("uvicorn", (), 9898),
        ("uvicorn", ("--user", "12345:12345"), 12345),
        ("gunicorn", ("--user", "0:0"), 0),
        ("uvicorn", ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"), 9898),
        ("gunicorn", ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--user", "12345:12345"), 12345),
        ("uvicorn", ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"), 9898),
    ],
)
def test_it_runs_as_any_user_on_a_read_only_root(
    podman: Podman, image: str, tmp_path: Path, packages: Path, server: str, options: Sequence[str], owner: int
) -> None:
    """twine publishes and pip installs; all that is written belongs to that user, and all of it is on the volume."""
    mounts = volume(packages, "/data/packages", owner=owner)
    login = ("--env", f"QUIRE_USER={LOGIN[0]}", "--env", f"QUIRE_PASSWORD={LOGIN[1]}")
    with podman.container(*options, *mounts, *login, image, "run", "-a", "update,list", "--server", server) as served:
        served.wait_until_healthy()
        programs = clients(tmp_path)
        programs.twine(served.host, "anybody")
        programs.pip_install(served.host, "anybody")
        changed = podman("diff", served.name).splitlines()
        assert served.stop() == 0
    assert _owners(packages) == {owner}
    assert list(packages.glob("quire/blobs/anybody/*/*.whl"))
    written = [line.split()[1] for line in changed if line.startswith(("A", "C"))]
    # mount points that the runtime makes, and the private folder
    assert all(path.startswith(("/tmp", "/run", "/etc", "/data", "/var", "/dev", "/proc", "/sys")) for path in written)


def test_the_command_of_pypiservers_deployments_works_unchanged(
    podman: Podman, image: str, tmp_path: Path, packages: Path
) -> None:
    """Command, mounts, environment and health check of a pypiserver that quire replaces, and its clients."""
    passwords = htpasswd.write(tmp_path / "passwords", **{LOGIN[0]: htpasswd.bcrypt_hash(LOGIN[1])})
    settings = tmp_path / "gunicorn.conf.py"
    settings.write_text(GUNICORN_CONF)
    mounts = (
        *volume(packages, "/data/packages"),
        *volume(passwords, "/data/.htpasswd", options=["ro"]),
        *volume(settings, "/data/gunicorn.conf.py", options=["ro"]),
    )
    with podman.container(*mounts, "--env", "GUNICORN_WORKERS=3", image, *COMMAND) as served:
        assert served.wait_until_it_answers("/") in {200, 401}
        assert served.status("/simple/") == 401
        assert served.status("/simple/", LOGIN) == 200
        assert served.healthy()
        assert _processes(served.exec("sh", "-c", _COMMAND_LINES)) == 1 + 3
        programs = clients(tmp_path)
        programs.twine(served.host, "unchanged")
        programs.uv_publish(served.host, "unchanged", "1.1")
        programs.pip_install(served.host, "unchanged")
        programs.uv_install(served.host, "unchanged", "1.1")
        assert "worker_class 'gevent'" in served.logs()
        assert served.stop() == 0


@pytest.mark.parametrize("how", ["password", "file", "htpasswd"])
def test_a_login_can_be_handed_over_in_the_environment(
    podman: Podman, image: str, tmp_path: Path, packages: Path, how: str
) -> None:
    """The same command without a password file: the login works, in the log is nothing of it, on the volume neither."""
    user, password = LOGIN
    options: tuple[object, ...] = volume(packages, "/data/packages")
    if how == "htpasswd":
        options += ("--env", f"QUIRE_HTPASSWD=bob:{htpasswd.sha1_hash('x')}\n{user}:{htpasswd.bcrypt_hash(password)}")
    elif how == "file":
        secret = tmp_path / "secret"
        secret.write_text(password + "\n")
        options += (*volume(secret, "/run/secrets/password"), "--env", f"QUIRE_USER={user}")
        options += ("--env", "QUIRE_PASSWORD_FILE=/run/secrets/password")
    else:
        options += ("--env", f"QUIRE_USER={user}", "--env", f"QUIRE_PASSWORD={password}")
    with podman.container(*options, image, *COMMAND, "-vv") as served:
        served.wait_until_healthy()
        assert served.status("/simple/", LOGIN) == 200
        assert served.status("/simple/", (user, "wrong")) == 401
        (where,) = served.exec("sh", "-c", "ls -ld /tmp/quire-*/htpasswd").splitlines()
        assert where.startswith("-rw-------")
        # after a restart the file is made again in the same place
        podman("restart", "--time", 40, served.name)
        served.wait_until_healthy()
        assert served.status("/simple/", LOGIN) == 200
        logged = served.logs()
    assert password not in logged
    assert "$2b$" not in logged
    assert not [path for path in packages.rglob("*") if path.is_file() and password in path.read_text(errors="replace")]


def test_a_password_file_that_exists_is_stronger_than_the_environment(
    podman: Podman, image: str, tmp_path: Path, packages: Path
) -> None:
    """A mounted file is used, and a log line says so."""
    passwords = htpasswd.write(tmp_path / "passwords", carol=htpasswd.bcrypt_hash("carols"))
    options = (*volume(packages, "/data/packages"), *volume(passwords, "/data/.htpasswd"))
    login = ("--env", f"QUIRE_USER={LOGIN[0]}", "--env", f"QUIRE_PASSWORD={LOGIN[1]}")
    with podman.container(*options, *login, image, *COMMAND) as served:
        served.wait_until_healthy()
        assert served.status("/simple/", ("carol", "carols")) == 200
        assert served.status("/simple/", LOGIN) == 401
        assert "The login in the environment is not used: the password file /data/.htpasswd exists." in served.logs()


@pytest.mark.parametrize(
    ("variables", "arguments", "port"),
    [
        (("PORT=9001",), (), 9001),
        (("PORT=9001", "PYPISERVER_PORT=9002"), (), 9002),
        (("PYPISERVER_PORT=9002",), ("run", "-p", "9003", *OPEN, "--server-base-url", "/python"), 9003),
        ((), (*OPEN, "--health-endpoint", "/alive"), 8080),
    ],
)
def test_the_port_and_the_health_check_follow_the_settings(
    podman: Podman, image: str, packages: Path, variables: Sequence[str], arguments: Sequence[str], port: int
) -> None:
    """Without a command quire runs on /data/packages at the port of the environment; the health check knows where."""
    options = [word for variable in variables for word in ("--env", variable)]
    with podman.container(*options, *volume(packages, "/data/packages"), image, *arguments, port=port) as served:
        served.wait_until_healthy()
        assert served.wait_until_it_answers("/") in {200, 404}
    assert (packages / "quire" / "format").exists()


def test_the_health_check_fails_where_nothing_is_served(podman: Podman, image: str) -> None:
    """A container whose server is not there is not healthy, and the check says why."""
    with podman.container("--entrypoint", "sleep", image, "100") as idle:
        assert not idle.healthy()
        done = podman.try_("exec", idle.name, "python", "-P", "-m", "quire_image.health")
        assert done.returncode == 1
        assert "quire does not answer" in done.stdout


def test_workers_are_counted_by_what_the_container_may_use(podman: Podman, image: str, packages: Path) -> None:
    """GUNICORN_WORKERS says how many, for every server; without it a quota of one processor means one, which is then
    the only process."""
    options = volume(packages, "/data/packages")
    for variables, processes in ((("--env", "GUNICORN_WORKERS=3"), 1 + 3), (("--cpus", "1"), 1)):
        with podman.container(*options, *variables, image, *OPEN) as served:
            served.wait_until_healthy()
            assert _processes(served.exec("sh", "-c", _COMMAND_LINES)) == processes


def test_every_command_of_quire_can_be_run(podman: Podman, image: str, packages: Path) -> None:
    """The arguments are quire's; exit codes and errors come through."""
    options = volume(packages, "/data/packages")
    assert podman.run(*options, image, "--version") == (0, f"{quire.VERSION_LINE}\n")
    code, said = podman.run(*options, image, "ls")
    assert code == 0, said
    code, said = podman.run(*options, image, "run", "--nonsense")
    assert (code, said.count("\n")) == (2, 1)
    code, said = podman.run(*options, image, "run", "-a", ".")
    assert (code, said.count("\n")) == (2, 1)
    assert "To serve without any authentication" in said


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_a_signal_ends_it_at_once(podman: Podman, image: str, packages: Path, server: str, name: str) -> None:
    """PID 1 passes the signal on; an idle server ends with 0, long before an engine would kill it."""
    options = ("--stop-signal", name, *volume(packages, "/data/packages"))
    with podman.container(*options, image, "run", "--server", server, *OPEN) as served:
        served.wait_until_healthy()
        assert served.stop(25) == 0


_ORPHAN = """
import os, time
if os.fork() == 0:  # a child that leaves a grandchild behind
    if os.fork() == 0:
        time.sleep(0.3)
    os._exit(0)
os.wait()
"""
_ZOMBIES = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || true"


def _zombies_after_an_orphan(podman: Podman, *arguments: object) -> int:
    with podman.container(*arguments) as served:
        served.wait_until_it_answers()
        served.exec("python", "-P", "-c", _ORPHAN)
        served.exec("python", "-P", "-c", "import time; time.sleep(1)")  # the grandchild ends meanwhile
        deadline = time.monotonic() + 5
        while (found := int(served.exec("sh", "-c", _ZOMBIES))) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found


def test_orphans_are_reaped(podman: Podman, image: str, packages: Path) -> None:
    """A process whose parent ended leaves no zombie; the same without our PID 1 does, so the test sees them."""
    options = volume(packages, "/data/packages")
    assert _zombies_after_an_orphan(podman, *options, image, *OPEN) == 0
    bare = ("--entrypoint", json.dumps(["/opt/quire/bin/python", "-P", "-m", "quire_image"]))
    assert _zombies_after_an_orphan(podman, *options, *bare, image, "run", *OPEN) == 1


def _refused(podman: Podman, image: str, options: Sequence[str], arguments: Sequence[str]) -> str:
    """The one line with which a container refuses to start."""
    code, said = podman.run(*options, image, *arguments)
    assert code == 2, said
    assert said.startswith("quire: error: "), said
    assert said.count("\n") == 1, said
    return said


def test_a_volume_of_another_user_is_one_sentence(podman: Podman, image: str, packages: Path) -> None:
    """The refused access, the owner, and the remedy: for reading, writing, and for what a former user left."""
    mount = volume(packages, "/data/packages", owner=4711)
    packages.chmod(0o700)
    said = _refused(podman, image, mount, OPEN)
    assert "The directory /data/packages cannot be read by uid 9898 (gid 9898)" in said
    assert "it belongs to uid 4711 (gid 4711) and has the mode 0700" in said
    assert "chown -R 9898:9898" in said
    assert "--user 4711:4711" in said
    packages.chmod(0o755)
    said = _refused(podman, image, mount, OPEN)
    assert "The directory /data/packages cannot be written by uid 9898" in said
    assert "--read-only" in said
    os.chown(packages, 9898, 9898)
    (packages / "quire").mkdir()
    said = _refused(podman, image, mount, OPEN)
    assert "The directory /data/packages/quire cannot be written" in said
    assert "it belongs to uid 0 (gid 0)" in said
    assert "--user" not in said
    os.chown(packages / "quire", 9898, 9898)
    packages.chmod(0o500)
    assert "chmod -R u+rwX" in _refused(podman, image, mount, OPEN)


def test_a_volume_without_the_packages_folder(podman: Podman, image: str, tmp_path: Path) -> None:
    """With a volume at /data the folder is made, as in pypiserver's image; where it cannot be, a sentence says why."""
    data = tmp_path / "data"
    data.mkdir()
    # the image's own volume would be mounted at /data/packages; this is what a platform without such volumes does
    options = (*volume(data, "/data"), "--image-volume", "ignore")
    os.chown(data, 0, 0)
    said = _refused(podman, image, options, OPEN)
    assert "The directory /data/packages does not exist, and uid 9898 (gid 9898) cannot make it" in said
    data.chmod(0o700)
    said = _refused(podman, image, options, OPEN)
    assert "because /data may not be entered: it belongs to uid 0" in said
    os.chown(data, 9898, 9898)
    with podman.container(*options, image, *OPEN) as served:
        served.wait_until_healthy()
    assert (data / "packages" / "quire" / "format").exists()


def test_a_password_file_that_cannot_be_used(podman: Podman, image: str, tmp_path: Path, packages: Path) -> None:
    """Root's own file, and no file at all, each in one sentence."""
    passwords = htpasswd.write(tmp_path / "passwords", alice=htpasswd.bcrypt_hash("x"))
    passwords.chmod(0o600)
    mounts = (*volume(packages, "/data/packages"), *volume(passwords, "/data/.htpasswd", owner=0))
    said = _refused(podman, image, mounts, COMMAND)
    assert "The password file /data/.htpasswd cannot be read by uid 9898 (gid 9898): it belongs to uid 0" in said
    said = _refused(podman, image, mounts[:2], COMMAND)
    assert "The password file /data/.htpasswd does not exist" in said
    assert "QUIRE_USER" in said


def test_a_volume_that_is_mounted_read_only_is_served(podman: Podman, image: str, packages: Path) -> None:
    """That is a decision, not a mistake: the files are there, and uploads are refused."""
    (packages / "readme.txt").write_text("nothing to install")
    with podman.container(*volume(packages, "/data/packages", options=["ro"]), image, *OPEN) as served:
        served.wait_until_healthy()
        assert served.status("/simple/") == 200
        assert "is mounted read-only; serving it so, without uploads" in served.logs()


def test_nothing_is_imported_from_the_volume(podman: Podman, image: str, tmp_path: Path) -> None:
    """The working directory is a volume: a file on it that has the name of a module is not run."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "msgspec.py").write_text("raise SystemExit(99)")
    os.chown(data, 9898, 9898)
    options = (*volume(data, "/data"), "--image-volume", "ignore")
    with podman.container(*options, image, "run", "--server", "gunicorn", *OPEN) as served:
        served.wait_until_healthy()
        assert served.status("/simple/") == 200
