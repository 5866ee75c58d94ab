"""`quire run` and `quire serve` as commands: what they accept, and how they end when they cannot begin.

Replaced here: answers of the system on rights, room and type of a file system, which a test cannot change, and a key
that no user presses.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

import quire
from quire import cli
from quire.commands import run as run_command
from quire.config.resolving import resolve
from quire.config.settings import Settings
from quire.domain.errors import ConfigurationError
from quire.store.posix.store import PosixStore
from tests.htpasswd import sha1_hash
from tests.serving import environment, free_port, quire_command, run_quire, running

PYPISERVER_FLAGS = [
    *("-p 9000", "--port 9000", "-i 127.0.0.1", "-H 127.0.0.1", "--interface 127.0.0.1", "--host 127.0.0.1"),
    *("-a update", "--authenticate download,list,update", "-P users", "--passwords users", "--disable-fallback"),
    *("--fallback-url http://mirror.example/simple/", "--health-endpoint /alive", "--server gunicorn"),
    *("--server cherrypy", "-o", "--overwrite", "--welcome home.html", "--cache-control 60", "--log-file log"),
    *("--log-stream stderr", "--log-stream none", "--log-frmt %(message)s", "--log-req-frmt %s"),
    *("--log-res-frmt %(status)s", "--log-err-frmt %(body)s", "--server-base-url /pypi", "--hash-algo md5"),
    *("--hash-algo off", "--backend auto", "--backend simple-dir", "--backend cached-dir", "-v", "-vv", "--verbose"),
    "-a . -P .",
]


def _settings(*argv: str) -> Settings:
    """The settings that a command line makes, without serving."""
    parser, _ = cli.make_parser()
    arguments: argparse.Namespace = parser.parse_args(argv)
    flags = vars(arguments) | {"directories": arguments.directories or None}
    return resolve(flags, {}, arguments.setting_defaults, arguments.config)


@pytest.mark.parametrize("flags", PYPISERVER_FLAGS)
@pytest.mark.parametrize("command", ["run", "serve"])
def test_accepts_every_flag_of_pypiserver(command: str, flags: str) -> None:
    """Each flag of `pypi-server run` parses, before and after the directories, and makes settings."""
    assert _settings(command, *flags.split(), "a", "b").directories[1] == f"{Path.cwd()}/b"
    assert _settings(command, "a", *flags.split()) == _settings(command, *flags.split(), "a")


def test_flags_have_their_meaning() -> None:
    """A command line as pypiserver's own documentation has them."""
    line = (
        "run -p 9000 -i 127.0.0.1 -P users -a download,list,update -o --disable-fallback -vv packages "
        "--server-base-url /pypi --hash-algo md5 --cache-control 60 --workers 4 --max-upload-size 1G"
    )
    settings = _settings(*line.split())
    assert (settings.port, settings.host, settings.workers) == (9000, "127.0.0.1", 4)
    assert settings.authenticate == ("download", "list", "update")
    assert settings.passwords == f"{Path.cwd()}/users"
    assert settings.overwrite
    assert settings.fallback_url is None
    assert settings.server_base_url == "/pypi"
    assert settings.hash_algorithm == "md5"
    assert settings.cache_control == 60
    assert settings.max_upload_size == 1024**3
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "-p", "x", "."], "--port: 'x' is not a whole number."),
        (["run", "--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["no-such-command"], "invalid choice: 'no-such-command'"),
        (["sevre"], "invalid choice: 'sevre' (did you mean serve?); see 'quire --help'."),
        (["serve", "--pasword", "x"], "--pasword (did you mean --passwords?); see 'quire serve --help'."),
        (["ls", "--jsn"], "--jsn (did you mean --json?); see 'quire ls --help'."),
        (["status", "alpha", "archivd"], "invalid choice: 'archivd' (did you mean archived?)"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
        (
            ["serve", "--config", "wrong.toml"],
            "sets 'passwrods', which is no setting of quire (did you mean passwords?)",
        ),
        ([], "the following arguments are required: COMMAND"),
        (["run", "missing"], "/missing cannot be served: No such file or directory"),
        (["run", ".", "missing"], "/missing cannot be served: No such file or directory"),
        (["run", "a-file"], "/a-file cannot be served: Not a directory"),
        (["run", "."], "has layout 'quire 999'"),
        (["run", "in-the-way"], "Move it away."),
        (["run", "stored/quire"], "/stored/quire is a store; name its parent, "),
        (["serve", "-a", ".", "-P", ".", "stored/quire/blobs"], "; name its parent, "),
        (["serve", "empty", "stored/quire"], "/stored/quire is a store; name its parent, "),
        (["run", "-P", "missing", "empty"], "--passwords: the file"),
        (["run", "-P", "empty", "empty"], "--passwords: the file"),
        (["run", "-P", "no-users", "empty"], "no-users"),
        (["run", "--welcome", "missing", "empty"], "--welcome: the file"),
        (["run", "--log-file", "missing/log", "empty"], "missing/log cannot be opened for writing"),
        (["run", "-a", ".", "empty"], "give both '-a .' and '-P .'"),
        (["run", "-P", "users", "-a", ".", "empty"], "give both '-a .' and '-P .'"),
        (["run", "-P", ".", "-a", "list", "empty"], "give both '-a .' and '-P .'"),
        (["run", "-P", "users", "-a", "download,list", "empty"], "uploads would need no login"),
        (["serve", "-a", "list", "empty"], "uploads would need no login"),
        (["serve", "--config", "missing.toml"], "The configuration file missing.toml does not exist."),
        (["serve", "--declared", "no-users", "empty"], "/no-users is not TOML: "),
        (["serve", "--declared", "latin-1.toml", "empty"], "/latin-1.toml is not TOML: "),
        (["serve", "--declared", "missing.toml", "empty"], "/missing.toml does not exist."),
        (["serve", "--declared", "empty", "empty"], "/empty cannot be read: Is a directory."),
        (["serve", "--declared", "wrong.toml", "empty"], "sets 'passwrods'"),
        (["serve", "--declared", "indexes.toml", "empty"], "qouta of indexes.main is no setting"),
        (["serve", "--config", "indexes.toml", "empty"], "qouta of indexes.main is no setting"),
    ],
)
def test_what_cannot_begin_is_one_sentence_and_exit_code_2(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    """Wrong flags, directories and files: `quire: error: <sentence>` on stderr, nothing else, exit code 2."""
    (tmp_path / "quire").mkdir()
    (tmp_path / "quire" / "format").write_text("quire 999\n")
    (tmp_path / "in-the-way" / "quire").mkdir(parents=True)
    (tmp_path / "in-the-way" / "quire" / "setup.py").write_text("")
    (tmp_path / "stored").mkdir()
    PosixStore.open(tmp_path / "stored")
    (tmp_path / "wrong.toml").write_text("passwrods = 'x'\n")
    (tmp_path / "latin-1.toml").write_bytes(b"# \xe4\n")
    (tmp_path / "indexes.toml").write_text("[indexes.main]\nqouta = 1\n")
    (tmp_path / "a-file").write_text("")
    (tmp_path / "no-users").write_text("this is no htpasswd file\n")
    (tmp_path / "empty").mkdir()
    ended = run_quire(*arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("quire: error: ")
    assert ended.stderr.count("\n") == 1
    assert sentence in ended.stderr
    assert ended.stdout == ""


def test_version_and_help(tmp_path: Path) -> None:
    """--version works at both levels; --help tells what --backend means today, and every flag."""
    for arguments in (["--version"], ["run", "--version"]):
        assert run_quire(*arguments, cwd=tmp_path).stdout == f"quire {quire.__version__} (to install: quire-index)\n"
    text = " ".join(run_quire("run", "--help", cwd=tmp_path).stdout.split())
    assert "all three mean the same engine, which is always consistent" in text
    for flag in PYPISERVER_FLAGS:
        assert flag.split()[0].replace("-vv", "-v") in text


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake that would show only at the first upload, unless --read-only says that it is none."""
    from quire.store.posix import store as posix

    monkeypatch.setattr(posix, "can_write", lambda home: False)
    settings = Settings(directories=(str(tmp_path),), authenticate=())
    with pytest.raises(ConfigurationError, match=r"cannot be written by this user .* or serve with --read-only"):
        run_command.prepare(settings)
    assert run_command.prepare(Settings(directories=(str(tmp_path),), read_only=True))[0].read_only


def test_a_volume_that_is_mounted_read_only_is_served_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That was a decision: the service starts, with a warning, and refuses changes."""
    from quire.store.posix import store as posix

    monkeypatch.setattr(posix, "can_write", lambda home: False)
    mounted = os.statvfs_result((*os.statvfs(tmp_path)[:8], os.ST_RDONLY, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: mounted)
    settings = Settings(directories=(str(tmp_path),), authenticate=())
    with capture_logs() as lines:
        prepared, _ = run_command.prepare(settings)
    assert prepared.read_only
    assert [line["log_level"] for line in lines] == ["warning"]
    assert f"The directory {tmp_path} is mounted read-only; serving it so, without uploads" in lines[0]["event"]


@pytest.mark.parametrize(("kind", "warns"), [("fuse", True), ("type 0x1", True), ("ext4", False), ("nfs", False)])
def test_a_file_system_that_was_not_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, warns: bool
) -> None:
    """The start names it, and the command that examines it."""
    monkeypatch.setattr("quire.store.posix.filesystem.filesystem_type", lambda path: (kind, kind == "ext4"))
    with capture_logs() as logs:
        run_command.prepare(Settings(directories=(str(tmp_path),), read_only=True))
    assert [f"({kind})" in line["event"] for line in logs if f"'quire doctor {tmp_path}'" in line["event"]] == (
        [True] if warns else []
    )


def test_read_only_leaves_a_directory_as_it_is(tmp_path: Path) -> None:
    """--read-only makes no store."""
    prepared, _ = run_command.prepare(Settings(directories=(str(tmp_path),), read_only=True))
    assert prepared.read_only
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_made_in_the_first_directory_only(tmp_path: Path) -> None:
    """The other directories are drop-in folders."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    run_command.prepare(Settings(directories=(f"{tmp_path}/a", f"{tmp_path}/b")))
    assert (tmp_path / "a" / "quire" / "format").exists()
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize("content", ["", "# nobody yet\n", "alice:plain text\n"])
def test_a_password_file_without_users_is_warned_of(tmp_path: Path, content: str) -> None:
    """Such a file protects nothing that works: no user can log in."""
    (tmp_path / "users").write_text(content)
    (tmp_path / "packages").mkdir()
    settings = Settings(directories=(f"{tmp_path}/packages",), passwords=f"{tmp_path}/users")
    with capture_logs() as lines:
        run_command.prepare(settings)
    (line,) = [line["event"] for line in lines if "No user" in line["event"]]
    assert "No user can update yet" in line
    (tmp_path / "users").write_text(content + f"bob:{sha1_hash('b')}\n")
    with capture_logs() as lines:
        run_command.prepare(settings)
    assert not [line for line in lines if "No user" in line["event"]]


def test_uploads_without_any_user_are_warned_of(tmp_path: Path) -> None:
    """Without a password file no user can upload, as with pypiserver; here the log says so."""
    with capture_logs() as lines:
        run_command.prepare(Settings(directories=(str(tmp_path),)))
    assert "No user can update" in lines[0]["event"]


@pytest.mark.parametrize("rights", ["store", "settings"])
@pytest.mark.parametrize("with_file", [False, True])
def test_tokens_are_logins_where_they_count(tmp_path: Path, rights: str, with_file: bool) -> None:
    """A server whose store has a token warns of no missing login; one that takes no tokens does."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "users").write_text("")
    passwords = f"{tmp_path}/users" if with_file else None
    settings = Settings(directories=(f"{tmp_path}/packages",), passwords=passwords, rights=rights)
    run_command.prepare(settings)
    flags = ("-d", f"{tmp_path}/packages", "--right", "upload", "--user", "ann")
    assert cli.main(["token", "create", *flags]) == 0
    with capture_logs() as lines:
        run_command.prepare(settings)
    assert any("No user can" in line["event"] for line in lines) is (rights == "settings")


@pytest.mark.parametrize("by", ["proxy", "provider"])
def test_users_that_others_identify_can_log_in(tmp_path: Path, by: str) -> None:
    """By a trusted proxy or by an OpenID provider."""
    (tmp_path / "secret").write_text("s" * 32)
    (tmp_path / "packages").mkdir()
    settings = Settings(directories=(f"{tmp_path}/packages",), trusted_proxies=("127.0.0.1",))
    proxy = {"user_header": "x-user"}
    provider = {
        "oidc_issuer": "https://login.acme.example",
        "oidc_client_id": "quire",
        "oidc_client_secret_file": f"{tmp_path}/secret",
        "public_url": "https://packages.acme.example/",
    }
    with capture_logs() as lines:
        run_command.prepare(msgspec.structs.replace(settings, **(proxy if by == "proxy" else provider)))
    assert not [line for line in lines if "No user can" in line["event"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("mode", "read_only", "refused"),
    [
        (0o700, True, "Permission denied"),
        (0o711, True, "Permission denied"),
        (0o744, True, "Permission denied"),
        (0o755, True, ""),
        (0o755, False, "cannot be written by this user (uid 65534)"),
        (0o777, False, ""),
    ],
)
def test_permissions(mode: int, read_only: bool, refused: str) -> None:
    """A directory that the user cannot read is refused; one that it can read but not write, unless --read-only."""
    program = (
        "import os, sys; from quire.commands.run import prepare; from quire.config.settings import Settings;"
        "import quire.store.posix.store, quire.http.app.application, quire.domain.errors;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "\ntry: prepare(Settings(directories=(sys.argv[1],), read_only=sys.argv[2] == 'True'))"
        "\nexcept quire.domain.errors.ConfigurationError as error: print('refused', error)"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are for their owner only
        Path(folder).chmod(mode)
        ended = subprocess.run(
            [sys.executable, "-c", program, folder, str(read_only)],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.stderr == ""
    assert ended.stdout.startswith("refused ") == bool(refused)
    assert refused in ended.stdout


def test_the_commands_are_found() -> None:
    """Each module in COMMANDS offers its parsers and its run."""
    _, owners = cli.make_parser()
    assert owners["run"] is owners["serve"]
    assert all(callable(module.run) for module in owners.values())


def test_errors_of_commands_have_their_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors raised on purpose are one line; Ctrl-C is 130."""
    assert cli.main(["run", "--port", "none"]) == 2
    assert capsys.readouterr().err == "quire: error: --port: 'none' is not a whole number.\n"
    assert cli.main(["show", "-d", str(tmp_path), "nothing"]) == 1
    assert capsys.readouterr().err == "quire: error: The project nothing does not exist.\n"

    def interrupted(_arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_command, "run", interrupted)  # no key is pressed in a test
    assert cli.main(["run"]) == 130


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn", "wsgiref"])
def test_serves_an_index(server: str, tmp_path: Path) -> None:
    """`quire run` in each server answers the health check and the project list, logs to its file, ends with 0."""
    pytest.importorskip("quire.http.entry")
    packages = tmp_path / "packages"
    packages.mkdir()
    port = free_port()
    command = quire_command(
        *("run", packages, "-p", port, "-i", "127.0.0.1", "-a", ".", "-P", ".", "--server", server, "-v"),
        *("--workers", 2, "--log-stream", "none", "--log-file", tmp_path / "quire.log"),
    )
    with running(command, port, cwd=tmp_path) as served:
        assert served.get("/health")[:3:2] == (200, "Ok"), served.output()
        status, _, body = served.get("/simple/")
        assert status == 200
        assert "<html" in body.lower()
        assert served.stop() == 0
    assert "Traceback" not in served.output()
    assert f"with {server}" in (tmp_path / "quire.log").read_text() or server == "gunicorn"


def test_a_server_that_is_offline_sends_no_client_elsewhere(tmp_path: Path) -> None:
    """Also one without an upstream; unless a fallback is named. The log says which."""
    folder = str(tmp_path)
    with capture_logs() as lines:
        assert run_command.prepare(_settings("serve", "--upstream-offline", folder))[0].fallback_url is None
    said = [line["event"] for line in lines]
    assert "No upstream is asked, and no client is sent to another index (--upstream-offline)." in said
    url = "https://index.example/simple/"
    with capture_logs() as lines:
        named, _ = run_command.prepare(_settings("serve", "--upstream-offline", "--fallback-url", url, folder))
    assert named.fallback_url == url
    assert any(line["event"].endswith(f"clients are sent for other projects to {url}.") for line in lines)
