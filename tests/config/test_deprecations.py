"""Everything that is deprecated still works, warns once, and goes on as long as docs/stability.md promises.

Replaced here: the table of deprecations, for an address, since none is deprecated now.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest

from quire.config import deprecations
from quire.config.deprecations import DEPRECATIONS, Deprecation, in_use
from quire.config.resolving import resolve
from quire.http.api.openapi import document
from quire.http.app.application import create_application
from tests.asking import OPEN
from tests.serving import environment, free_port, quire_command, running

USES = {
    "server granian": quire_command("run", "-i", "127.0.0.1", "-p", "PORT", "--server", "granian", *OPEN, "packages"),
    "quire.web.entry": [sys.executable, "-m", "uvicorn", "--port", "PORT", "quire.web.entry:application"],
}
"""A server that uses the one of this name."""
OLD = Deprecation(
    kind="route",
    name="GET /health",
    since="1.2.0",
    announced=date(2027, 1, 1),
    removed_in="2.0",
    not_before=date(2027, 7, 1),
    instead="ask /ready",
)


@pytest.mark.parametrize("deprecation", DEPRECATIONS, ids=lambda each: each.name)
def test_it_works_and_warns_once(deprecation: Deprecation, tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    port = free_port()
    command = [str(port) if word == "PORT" else word for word in USES[deprecation.name]]
    own = {"QUIRE_DIRECTORIES": "packages", "QUIRE_AUTHENTICATE": ".", "QUIRE_PASSWORDS": "."}
    with running(command, port, cwd=tmp_path, environ=environment(**own)) as served:
        assert httpx.get(f"http://127.0.0.1:{port}/simple/").status_code == 200
    assert served.output().count(deprecation.sentence) == 1


@pytest.mark.parametrize("deprecation", [*DEPRECATIONS, OLD], ids=lambda each: each.name)
def test_it_goes_on_for_six_months_and_to_the_next_major_version(deprecation: Deprecation) -> None:
    assert deprecation.not_before - deprecation.announced >= timedelta(days=181)
    assert int(deprecation.removed_in.partition(".")[0]) > int(deprecation.since.partition(".")[0])


def test_the_warning_says_where_a_setting_is_set(tmp_path: Path) -> None:
    directory = {"directories": [str(tmp_path)]}
    (warning,) = in_use(resolve(directory, {"QUIRE_SERVER": "granian"}))
    assert warning.endswith("It is set by: The environment variable QUIRE_SERVER.")
    assert list(in_use(resolve(directory | {"server": "gunicorn"}, {}))) == []
    assert list(in_use(resolve(directory, {}))) == []


@pytest.mark.parametrize("prefix", ["", "/python"])
def test_answers_of_an_address_announce_its_end(prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those to HEAD and errors, too; those of another method or address do not."""
    monkeypatch.setattr(deprecations, "DEPRECATIONS", (OLD,))
    arguments = {"directories": [str(tmp_path)], "server_base_url": prefix, "authenticate": ".", "passwords": "."}
    transport = httpx.ASGITransport(create_application(resolve(arguments, {})))

    async def ask(method: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://index") as client:
            return await client.request(method, prefix + path)

    for method, status in (("GET", 200), ("HEAD", 200)):
        answer = asyncio.run(ask(method, "/health"))
        assert answer.status_code == status
        assert answer.headers["Deprecation"] == "@1798761600"
        assert answer.headers["Sunset"] == "Thu, 01 Jul 2027 00:00:00 GMT"
        link = f'<{prefix}/openapi.json>; rel="deprecation"; type="application/json"'
        assert answer.headers["Link"] == link
    for method, path in (("POST", "/health"), ("GET", "/simple/")):
        assert "Deprecation" not in asyncio.run(ask(method, path)).headers
    described = document()["paths"]["/health"]["get"]
    assert (described["deprecated"], described["description"]) == (True, OLD.sentence)
