"""The log line of a start, and the use of the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from quire.config.resolving import resolve, unknown_variables
from quire.config.settings import SERVE_DEFAULTS
from tests.asking import password_file
from tests.documents import ROOT
from tests.htpasswd import bcrypt_hash
from tests.serving import Served, environment, free_port, quire_command, run_quire, running, until

SERVERS = ["uvicorn", "gunicorn", "wsgiref"]
LINKS = {
    # of services `quire` and `quire-replica`, as kubernetes.io/docs/concepts/services-networking/service shows them
    "QUIRE_SERVICE_HOST": "10.0.0.11",
    "QUIRE_SERVICE_PORT": "80",
    "QUIRE_SERVICE_PORT_HTTP": "80",
    "QUIRE_PORT": "tcp://10.0.0.11:80",
    "QUIRE_PORT_80_TCP": "tcp://10.0.0.11:80",
    "QUIRE_PORT_80_TCP_PROTO": "tcp",
    "QUIRE_PORT_80_TCP_PORT": "80",
    "QUIRE_PORT_80_TCP_ADDR": "10.0.0.11",
    "QUIRE_REPLICA_SERVICE_HOST": "10.0.0.12",
    "QUIRE_REPLICA_SERVICE_PORT": "80",
    "QUIRE_REPLICA_PORT": "tcp://10.0.0.12:80",
    "QUIRE_REPLICA_PORT_80_TCP_ADDR": "10.0.0.12",
}


def said(served: Served) -> list[str]:
    """The lines of its output that are not of requests."""
    return [line for line in served.output().splitlines() if "request method=" not in line]


def workers(served: Served) -> int:
    """How many workers have started, as /metrics counts them."""
    found = re.search(r"^quire_workers ([0-9]+)", served.get("/metrics")[2], re.M)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("command", ["serve", "run"])
def test_a_start_is_one_line(server: str, command: str, tmp_path: Path) -> None:
    """Address, directory, workers, rights to upload; in pypiserver's format for `run` alone."""
    root, port = tmp_path / "packages", free_port()
    root.mkdir()
    words = (command, "-p", port, "-i", "127.0.0.1", "-a", ".", "-P", ".", "--server", server, "--workers", 2, root)
    with running(quire_command(*words), port, cwd=tmp_path) as served:
        number = 1 if server == "wsgiref" else 2
        until(lambda: workers(served) == number)
        (line,) = said(served)
        count = "1 worker" if number == 1 else "2 workers"
        assert f"Serving {root} on http://127.0.0.1:{port}/ with {server}" in line
        assert line.endswith(f", {count}; uploads need no login.")
        thread = re.fullmatch(r"[^|]+\|quire\.servers\|INFO\|[0-9]+\|Serving .*", line)
        assert (thread is not None) == (command == "run"), line
        assert command == "run" or re.match(r"[0-9-]+T[0-9:.]+Z INFO Serving", line), line
        served.stop()
        assert len(said(served)) == 1, said(served)


@pytest.mark.parametrize(
    ("flags", "who"),
    [
        (("-a", ".", "-P", "."), "uploads need no login"),
        (("-P", "users"), "/users may upload"),
        ((), "uploads need a token"),
        (("--rights", "settings"), "no user may upload"),
        (("--read-only", "-P", "users"), "read-only"),
    ],
)
def test_the_line_names_the_users_who_may_upload(flags: tuple[str, ...], who: str, tmp_path: Path) -> None:
    """As the settings have it; the prefix is part of the address."""
    password_file(tmp_path, alice="secret")
    port = free_port()
    (tmp_path / "packages").mkdir()
    words = ("serve", "-p", port, "--workers", 1, "--server-base-url", "/team", *flags, "packages")
    with running(quire_command(*words), port, cwd=tmp_path) as served:
        line = said(served)[-1]
    assert line.endswith(f"{who}.")
    assert f" on http://127.0.0.1:{port}/team/ with uvicorn, 1 worker; " in line


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_a_warning_is_given_once(server: str, tmp_path: Path) -> None:
    """Not by each worker: a password file with a user that cannot log in, and traces that cannot be sent."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "users").write_text(f"alice:{bcrypt_hash('secret')}\nbob:plain\n")
    port = free_port()
    words = ("serve", "-p", port, "-P", "users", "--server", server, "--workers", 3, "packages")
    environ = environment(QUIRE_AUTHENTICAT="list", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    with running(quire_command(*words), port, cwd=tmp_path, environ=environ) as served:
        until(lambda: workers(served) == 3)
    output = served.output()
    assert output.count("passwords_refused") == 1, output
    assert (
        output.count("QUIRE_AUTHENTICAT is no setting of quire and has no effect (did you mean QUIRE_AUTHENTICATE?)")
        == 1
    ), output
    assert output.count("OpenTelemetry is not installed") <= 1, output
    assert "WARNING" in output


def test_variables_of_a_kubernetes_service_change_nothing(tmp_path: Path) -> None:
    """A server starts where they are, and takes its port from elsewhere; a real QUIRE_PORT still counts."""
    assert unknown_variables(LINKS) == []
    assert resolve({}, LINKS | {"QUIRE_DIRECTORIES": "."}, SERVE_DEFAULTS).port == 8080
    assert resolve({}, LINKS | {"PORT": "9001"}, SERVE_DEFAULTS).port == 9001
    assert resolve({}, {"QUIRE_PORT": "9002"}, SERVE_DEFAULTS).port == 9002
    port = free_port()
    (tmp_path / "packages").mkdir()
    words = quire_command("serve", "-a", ".", "-P", ".", "--workers", 1, "packages")
    with running(words, port, cwd=tmp_path, environ=environment(PORT=str(port), **LINKS)) as served:
        assert served.get("/health")[2] == "Ok"
        assert len(said(served)) == 1


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("QUIRE_AUTHENTICATION", "QUIRE_AUTHENTICATE"),
        ("QUIRE_DIRECTORY", "QUIRE_DIRECTORIES"),
        ("QUIRE_ZZZ", None),
        ("QUIRE_", None),
        ("QUIRE_SERVICE", None),
    ],
)
def test_an_unknown_variable_is_reported(name: str, near: str | None) -> None:
    """With the setting that it most likely should be; the server starts all the same."""
    (sentence,) = unknown_variables({name: "x", "QUIRE_HOST": "::1", "OTHER": "x", "QUIRE_SETTINGS": ""})
    assert sentence.startswith(f"The environment variable {name} is no setting of quire and has no effect")
    assert near is None or sentence.endswith(f" (did you mean {near}?).")


def test_variables_of_compose_are_known() -> None:
    """People export those of deploy/compose as its page says, and use quire in the same shell."""
    files = (ROOT / "deploy" / "compose").glob("compose*.yaml")
    names = {name for file in files for name in re.findall(r"\$\{(QUIRE_\w+)", file.read_text())}
    assert {"QUIRE_BUCKET", "QUIRE_LISTEN"} <= names
    assert unknown_variables(dict.fromkeys(names, "x")) == []


def test_commands_report_unknown_variables_too(tmp_path: Path) -> None:
    """On stderr, beside the answer."""
    (tmp_path / "packages").mkdir()
    ended = run_quire("ls", "-d", "packages", cwd=tmp_path, environ=environment(QUIRE_DIRECTORY="x"))
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.count("did you mean QUIRE_DIRECTORIES?") == 1


def test_variables_of_the_image_are_known() -> None:
    """Those that its entry point makes a password file of."""
    from quire_image.credentials import VARIABLES

    with capture_logs() as lines:
        assert unknown_variables(dict.fromkeys(VARIABLES, "x")) == []
    assert lines == []
