"""The index below a path of another application: WSGI's SCRIPT_NAME, ASGI's root_path."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.http.app.wsgi import WSGIApplication
from quire.http.fast.fast_path import FastPath, FastPathApplication
from tests.distributions import make_wheel, wheel_name

HOST = "http://index.test"
MOUNT = "/tools/pack age"
QUOTED = "/tools/pack%20age"
NAME = wheel_name("one", "1.0")

Ask = Callable[[str], httpx.Response]
"""The answer to a GET of a path outside the mount, as a client writes it."""


def _by_asgi(settings: Settings) -> Ask:
    application = create_application(settings)
    fast = FastPathApplication(application, FastPath(application.state.worker, application.state.worker.default))

    def ask(path: str) -> httpx.Response:
        async def get() -> httpx.Response:
            transport = httpx.ASGITransport(app=fast, root_path=MOUNT)
            async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
                return await client.get(path)

        return asyncio.run(get())

    return ask


def _by_wsgi(settings: Settings) -> Ask:
    application = WSGIApplication(create_application(settings))

    def mounting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        assert environ["PATH_INFO"].startswith(MOUNT), environ["PATH_INFO"]
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = MOUNT, environ["PATH_INFO"].removeprefix(MOUNT)
        return application(environ, start_response)

    client = httpx.Client(transport=httpx.WSGITransport(app=mounting), base_url=HOST)
    return client.get


@pytest.fixture(params=[_by_asgi, _by_wsgi], ids=["ASGI", "WSGI"])
def by(request: pytest.FixtureRequest) -> Callable[[Settings], Ask]:
    """One of the two protocols."""
    found: Callable[[Settings], Ask] = request.param
    return found


@pytest.fixture(params=["", "/python"], ids=["", "with a prefix of its own"])
def prefix(request: pytest.FixtureRequest) -> str:
    """`--server-base-url`."""
    return str(request.param)


@pytest.fixture
def ask(by: Callable[[Settings], Ask], prefix: str, tmp_path: Path) -> Ask:
    """An index with one file, mounted."""
    (tmp_path / NAME).write_bytes(make_wheel("one", "1.0"))
    settings = Settings(directories=(str(tmp_path),), server_base_url=prefix, fallback_url="http://fallback.test/")
    return by(settings)


def test_every_link_carries_the_mount(ask: Ask, prefix: str) -> None:
    """From the home page over the listings to the file, and in JSON; none leads outside."""
    top = f"{HOST}{QUOTED}{prefix}/"
    open_ones, seen = [top, f"{top}packages/", f"{top}pypi/one/json"], set[str]()
    while open_ones:
        url = open_ones.pop()
        if url in seen or urlsplit(url).netloc != "index.test":
            continue
        seen.add(url)
        assert url.startswith(top), url
        answer = ask(url.removeprefix(HOST))
        if url.endswith(("/manage/", "/history/")):  # for the owners of a project
            assert answer.status_code in {200, 401}, (url, answer.text)
            continue
        assert answer.status_code == 200, (url, answer.text)
        if "html" in answer.headers["content-type"]:
            found = re.findall(r'href="([^"#]+)', answer.text)
            open_ones += [urljoin(url, link) for link in found]
        if url == top:
            assert f"pip install --index-url {top}simple/" in answer.text
    assert {f"{top}simple/", f"{top}simple/one/", f"{top}packages/{NAME}"} <= seen
    document = ask(f"{QUOTED}{prefix}/pypi/one/json").json()
    assert document["urls"][0]["url"] == f"{top}packages/{NAME}"
    assert document["info"]["package_url"] == f"{top}simple/one/"


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/simple", "/simple/"),
        ("/simple/One/", "/simple/one/"),
        ("/simple/One", "/simple/one/"),
        ("/packages", "/packages/"),
        ("/one", "/simple/one/"),
        ("/one/1.0/", "/simple/one/"),
        ("/project/One/", "/project/one/"),
        ("//one", "/one"),
        ("/simple//one//", "/simple/one/"),
        ("/pypi/One/json", "/pypi/one/json"),
    ],
)
def test_every_redirect_stays_below_the_mount(ask: Ask, prefix: str, path: str, where: str) -> None:
    """As the client resolves it."""
    asked = f"{QUOTED}{prefix}{path}"
    answer = ask(asked)
    assert answer.status_code in {301, 303}
    assert urljoin(f"{HOST}{asked}", answer.headers["location"]) == f"{HOST}{QUOTED}{prefix}{where}"


def test_the_mount_itself(ask: Ask, prefix: str) -> None:
    """Without a slash it is the home page too; an address that is not there names what is below the mount."""
    assert ask(f"{QUOTED}{prefix}").status_code == 200
    assert ask(f"{QUOTED}{prefix}/nowhere/at/all").status_code == 404
    assert ask(f"{QUOTED}{prefix}/simple/two/").headers["location"] == "http://fallback.test/two/"
