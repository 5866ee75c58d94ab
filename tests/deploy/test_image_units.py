"""The decisions of the image's entry point, without a container."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import bcrypt
import pytest
import yaml

from quire.domain.errors import ConfigurationError
from quire.servers import ENDING_SECONDS, GRACE_SECONDS
from quire_image import __main__ as entry
from quire_image import credentials, health, private
from tests.serving import free_port, quire_command, running


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], ["run"]),
        (["-p", "9000"], ["run", "-p", "9000"]),
        (["run", "-p", "9000"], ["run", "-p", "9000"]),
        (["update", "-x"], ["update", "-x"]),
        (["--version"], ["--version"]),
        (["--help"], ["--help"]),
    ],
)
def test_a_container_without_a_command_runs_quire(arguments: list[str], command: list[str]) -> None:
    """Nothing, or nothing but flags, means `run`; every other command is quire's."""
    assert entry.complete(arguments) == command


def test_a_user_and_a_password_make_a_password_file() -> None:
    """The line has the user's name and a bcrypt hash of exactly that password."""
    text = credentials.htpasswd({"QUIRE_USER": "alice", "QUIRE_PASSWORD": "sesame öffne dich"})
    user, _, stored = text.removesuffix("\n").partition(":")
    assert user == "alice"
    assert bcrypt.checkpw("sesame öffne dich".encode(), stored.encode())
    assert not bcrypt.checkpw(b"sesame", stored.encode())


@pytest.mark.parametrize("content", [b"sesame", b"sesame\n", b"sesame\r\n"])
def test_a_password_can_come_from_a_file(tmp_path: Path, content: bytes) -> None:
    """One line end at the end is the editor's, not the password's; an empty variable is one that is not set."""
    (tmp_path / "secret").write_bytes(content)
    variables = {"QUIRE_USER": "alice", "QUIRE_PASSWORD": "", "QUIRE_PASSWORD_FILE": str(tmp_path / "secret")}
    stored = credentials.htpasswd(variables).removesuffix("\n").partition(":")[2]
    assert bcrypt.checkpw(b"sesame", stored.encode())


def test_a_whole_password_file_is_taken_as_it_is() -> None:
    """Any scheme, any number of users."""
    content = "# users\nalice:$2y$05$abc\nbob:{SHA}abc"
    assert credentials.htpasswd({"QUIRE_HTPASSWD": content, "QUIRE_USER": ""}) == content + "\n"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"QUIRE_USER": "alice"}, "QUIRE_USER is set without a password"),
        ({"QUIRE_PASSWORD": "sesame"}, "A password is set without QUIRE_USER"),
        ({"QUIRE_USER": "a:b", "QUIRE_PASSWORD": "sesame"}, "'a:b' is no user name"),
        ({"QUIRE_USER": "a\nb", "QUIRE_PASSWORD": "sesame"}, r"'a\\nb' is no user name"),
        ({"QUIRE_USER": "#a", "QUIRE_PASSWORD": "sesame"}, "'#a' is no user name"),
        ({"QUIRE_USER": "alice", "QUIRE_PASSWORD": "sesame" * 20}, "longer than 72 bytes"),
        ({"QUIRE_USER": "alice", "QUIRE_PASSWORD": "sesame\0"}, "NUL"),
        ({"QUIRE_USER": "alice", "QUIRE_PASSWORD": "sesame", "QUIRE_PASSWORD_FILE": "/f"}, "are both set"),
        ({"QUIRE_USER": "alice", "QUIRE_PASSWORD_FILE": "/nowhere/f"}, "the file /nowhere/f cannot be read"),
        ({"QUIRE_USER": "alice", "QUIRE_PASSWORD_FILE": "/dev/zero"}, "does not hold a password"),
        ({"QUIRE_USER": "alice", "QUIRE_PASSWORD_FILE": "/dev/null"}, "does not hold a password"),
        ({"QUIRE_HTPASSWD": "sesame"}, "is not the content of an htpasswd file"),
        ({"QUIRE_HTPASSWD": " \n"}, "is not the content of an htpasswd file"),
        ({"QUIRE_HTPASSWD": "alice:sesame", "QUIRE_USER": "alice"}, "set only the one or the other"),
    ],
)
def test_wrong_variables_are_one_sentence(variables: dict[str, str], sentence: str) -> None:
    """The sentence names the variable, and never the password."""
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        credentials.htpasswd(variables)
    assert "sesame" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_private_folder_is_for_one_user_only(tmp_path: Path) -> None:
    """Folder and file can be read by their owner alone; the same name is used again, and found."""
    environ = {"TMPDIR": str(tmp_path)}
    folder = private.make(environ)
    assert folder is not None
    assert folder.parent == tmp_path
    file = private.write(folder, "htpasswd", "alice:old\n")
    assert private.write(folder, "htpasswd", "alice:new\n") == file
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    assert file.read_text() == "alice:new\n"
    assert private.make(environ) == folder
    assert private.find(environ, "htpasswd") == file
    assert [each.name for each in folder.iterdir()] == ["htpasswd"]


def test_nothing_is_written_to_a_folder_that_others_prepared(tmp_path: Path) -> None:
    """A link, or a folder open to others, in its place is passed over: /tmp is shared by all users."""
    (tmp_path / "first").mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    first = private.make({"TMPDIR": str(tmp_path / "first")})
    assert first is not None
    first.rmdir()
    first.symlink_to(tmp_path / "elsewhere")
    assert private.make({"TMPDIR": str(tmp_path / "first")}) != first
    first.unlink()
    first.mkdir()
    first.chmod(0o755)
    assert private.make({"TMPDIR": str(tmp_path / "first")}) != first


def test_another_password_file_is_the_last_flag() -> None:
    """The last -P counts for quire, wherever the first one stands; after -- there are only directories."""
    file = Path("/tmp/f")
    assert entry.with_password_file(["run", "-P", "/a", "/data"], file) == ["run", "-P", "/a", "/data", "-P", "/tmp/f"]
    assert entry.with_password_file(["run", "--", "/data"], file) == ["run", "-P", "/tmp/f", "--", "/data"]


def test_the_health_check_asks_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 is healthy; another code, no server and no HTTP are not."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = private.make(os.environ)
    assert folder is not None
    port = free_port()

    def healthy(path: str) -> bool:
        private.write(folder, health.NOTE, f"127.0.0.1\n{port}\n{path}\n")
        return health.main() == 0

    assert not healthy("/health")
    (tmp_path / "packages").mkdir()
    command = quire_command(
        "run", "-i", "127.0.0.1", "-p", port, "-a", ".", "-P", ".", "--workers", 1, tmp_path / "packages"
    )
    with running(command, port, cwd=tmp_path):
        assert healthy("/health")
        assert not healthy("/packages/none-1.0.tar.gz")


# -- deploy/compose ---------------------------------------------------------------------------------------------------

COMPOSE = Path(__file__).parent.parent.parent / "deploy" / "compose"


def test_commands_of_the_compose_page_name_the_file() -> None:
    """They can be run at the top of a checkout as they stand; services that they name are those of the file."""
    services = {
        f"deploy/compose/{file.name}": yaml.safe_load(file.read_text())["services"].keys()
        for file in COMPOSE.glob("compose*.yaml")
    }
    commands = re.findall(r"^docker compose (.+)$", (COMPOSE / "README.md").read_text(), re.M)
    assert len(commands) >= 6
    for command in commands:
        flag, file, verb, *rest = shlex.split(command)
        assert (flag, file in services) == ("--file", True), command
        assert verb in {"up", "down", "logs", "exec", "run"}
        words = rest[:1] if verb == "exec" else [word for word in rest if not word.startswith("--")]
        assert set(words) <= services[file], command
    assert {shlex.split(command)[1] for command in commands} == services.keys()


def test_containers_have_the_time_that_a_stop_may_take() -> None:
    """compose kills what has not ended in time: that is later than the grace of running requests."""
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    for name in ("quire-1", "quire-2"):
        assert int(services[name]["stop_grace_period"].removesuffix("s")) > GRACE_SECONDS + ENDING_SECONDS
