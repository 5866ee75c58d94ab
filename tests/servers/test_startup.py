"""The cost of a start, as counts of imported modules, which do not depend on the machine.

Importing is nearly all that a server does before its first answer. The limits are a little above the present figures.
A change that makes a start dearer on purpose raises them, and says why.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from quire import cli
from tests.asking import OPEN
from tests.command_line import commands
from tests.htpasswd import bcrypt_hash
from tests.serving import DEADLINE, environment, free_port, running

SERVER_MODULES = {"uvicorn": 479, "gunicorn": 508}
"""Those that `counted` leaves. gunicorn's processes import uvicorn, too."""
PLAIN = environment(PYTHONFAULTHANDLER="")
"""Without what only servers of tests import."""
SWEEP = {
    "quire.index.promoting",
    "quire.operations.copying",
    "quire.operations.defining",
    "quire.operations.expiring",
    "quire.operations.promoting",
    "quire.operations.publishing_sessions",
    "quire.operations.sweeping",
    "quire.process.progress",
}
"""Imports of the first sweep of each worker, some seconds after its start: on a busy machine it comes before the
answers of a test, elsewhere after them. No limit counts them."""
VERSION_MODULES = 120
"""Python's own and those of the environment included, which other versions have more or fewer of."""

# their purpose; a server of pages for installers imports none of them
RARE = {
    "rich.console": "tables and progress bars on a terminal",  # "rich": -X importtime tells of vain attempts as well
    "pygments": "comes with rich",
    "httpx": "quire update",
    "obstore": "a store in a bucket",
    "botocore": "profiles of the AWS command line, and what obstore cannot ask of a bucket",
    "jinja2": "the home page and the list of all files",
    "quire.readme": "the page of a project",
    "jwt": "JSON Web Tokens of a load balancer, a login provider, a CI",
    "cryptography": "comes with jwt",
    "quire.identity": "the same",
    "passlib": "a password file",
    "bcrypt": "a password file",
    "prometheus_client": "the page of metrics",
    "packaging.metadata": "uploads, and drop-in files that were not examined yet",
    "packaging.licenses": "comes with packaging.metadata",
    "xmlrpc": "pip search",
    "defusedxml": "pip search",
    "a2wsgi": "WSGI servers",
    "opentelemetry": "traces",
    "sigstore": "attestations of uploads",
    "pypi_attestations": "attestations of uploads",
    "pydantic": "comes with sigstore",
    "tomllib": "quire.toml",
    "urllib.request": "comes with prometheus_client",
    "unittest": "nothing at all",
    "quire.doctor": "quire doctor",
    "quire.operations.checking": "quire check, quire gc",
    "quire.operations.importing": "quire import",
    "quire.upstream.client": "quire update",
    "quire.testing": "quire doctor",
}

# The first column is negative when two threads import at once: they share the clock that Python measures with.
_LINE = re.compile(r"^import time:[ \d-]+\|[ \d-]+\|\s*([\w.]+)$", re.MULTILINE)


def imported(output: str) -> Counter[str]:
    """How many processes of a server with this output have imported each module so far; forked ones have what their
    parent had."""
    return Counter(_LINE.findall(output))


def counted(modules: Iterable[str]) -> set[str]:
    """Those of quire and its dependencies, and the public ones at the top of the standard library: how many it needs
    below these differs by a dozen from one version of Python to the next."""
    return {
        name
        for name in modules
        if name.partition(".")[0] not in sys.stdlib_module_names or ("." not in name and not name.startswith("_"))
    }


def rare(modules: Counter[str]) -> set[str]:
    """Those of RARE that are among the modules."""
    return {name for name in RARE if any(f"{module}.".startswith(f"{name}.") for module in modules)}


def server(port: int, *flags: object) -> list[str]:
    """The command of a server that writes each import to its output (-X importtime)."""
    words = ("run", "-p", port, "-i", "127.0.0.1", "--workers", 2, *flags, "packages")
    return [sys.executable, "-X", "importtime", "-m", "quire", *map(str, words)]


def modules_after(*argv: str) -> set[str]:
    """The modules of a process that has run a command line."""
    program = (
        "import contextlib, io, json, sys\nfrom quire import cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): cli.main(sys.argv[1:])\n"
        "print(json.dumps(list(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *argv],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    return set(json.loads(ended.stdout))


def test_an_import_is_counted_whatever_its_time() -> None:
    """Also one that took less than no time, as Python has it when another thread imports meanwhile."""
    output = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       324 |        324 |   zipimport\n"
        "import time:     -1520 |       2111 | urllib.request\n"
        "import time:       -12 |        -12 |     urllib.response\n"
    )
    assert imported(output) == {"zipimport": 1, "urllib.request": 1, "urllib.response": 1}


def test_every_command_is_named_where_it_is_found() -> None:
    """The table of commands names each one with the module that adds it; alone it has the help that it has in all."""
    assert set(cli.make_parser()[1]) == set(cli.COMMANDS)
    everything = commands()
    for name, module in cli.COMMANDS.items():
        own, *_ = cli.make_parser([name])[1].values()
        assert getattr(own, "__name__", None) == f"quire.commands.{module}"
        assert commands([name])[name].format_help() == everything[name].format_help()


def test_the_version_needs_nothing() -> None:
    """`quire --version` imports no library."""
    modules = modules_after("--version")
    assert not modules & {"msgspec", "structlog", "asyncio", "logging"}
    assert len(modules) <= VERSION_MODULES, len(modules)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_imports_only_itself(name: str) -> None:
    """The help of a command imports no other command's module; only the help of `quire`, and completion, which is about
    all of them, need them."""
    if name == "completion":
        return
    needed = {module.split(".")[2] for module in modules_after(name, "--help") if module.startswith("quire.commands.")}
    assert needed & set(cli.COMMANDS.values()) <= {cli.COMMANDS[name]} | (
        {"ls"} if name in {"show", "trash"} else set()
    )


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn"])
def test_a_server_imports_what_installers_need(name: str, tmp_path: Path) -> None:
    """A server that answered with the list, and for a project, has imported few modules, once, and nothing rare."""
    (tmp_path / "packages").mkdir()
    port = free_port()
    with running(server(port, *OPEN, "--server", name), port, cwd=tmp_path, environ=PLAIN, forked=False) as served:
        assert served.get("/simple/")[0] == 200
        assert served.get("/simple/nothing/")[0] == 404
        modules = Counter({module: times for module, times in imported(served.output()).items() if module not in SWEEP})
        assert modules["quire.http.app.application"], served.output()[:2000]
        own = {"a2wsgi"}  # uvicorn imports it wherever it is installed
        assert rare(modules) == own
        number = len(counted(modules))
        assert number <= SERVER_MODULES[name], number
        # workers are forked with what the main process imported; what is left is looked for in vain, or gunicorn's own
        again = {module for module, processes in modules.items() if processes > 1}
        assert {module for module in again if module.startswith(("quire", "starlette"))} == set()
        assert len(again) <= 30, again

        # What is rare can be had all the same.
        assert served.get("/")[0] == 200
        assert served.get("/metrics")[0] == 200
        assert rare(imported(served.output())) == own | {"jinja2", "prometheus_client", "urllib.request"}


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn"])
def test_a_password_file_is_prepared_before_the_first_login(name: str, tmp_path: Path) -> None:
    """With a password file its library is imported before the first login, by the main process for all workers."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "users").write_text(f"alice:{bcrypt_hash('secret')}\n")
    port = free_port()
    flags = ("-P", "users", "-a", "list,update", "--server", name)
    with running(server(port, *flags), port, cwd=tmp_path, environ=PLAIN, forked=False) as served:
        assert served.get("/simple/")[0] == 401
        modules = imported(served.output())
        assert modules["passlib.context"] == 1
        assert rare(modules) - {"a2wsgi"} <= {"passlib", "bcrypt"}
