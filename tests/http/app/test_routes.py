"""The route table, and all that is made of it: labels, handlers, rights, and the reference."""

from __future__ import annotations

import asyncio
import re
from importlib import import_module
from pathlib import Path

import httpx
import pytest

from quire.access.authorization import Right
from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.http.app.routes import METADATA, OTHER, RouteTable, endpoint_of, endpoints
from tests.asking import password_file

REFERENCE = Path(__file__).parent.parent.parent.parent / "docs" / "reference" / "http.md"
ENDPOINTS = endpoints("/health")


@pytest.mark.parametrize(
    ("method", "path", "label"),
    [
        ("GET", "/", "home"),
        ("GET", "/simple/", "projects"),
        ("HEAD", "/simple/acme/", "project"),
        ("GET", "/simple/acme", OTHER),
        ("GET", "/simple/acme/more/", OTHER),
        ("GET", "/packages/acme/0/a.whl", "file"),
        ("GET", "/packages/new\nline", "file"),
        ("GET", "/packages/acme/0/a.whl.metadata", METADATA),
        ("GET", "/packages/", "packages"),
        ("POST", "/", "upload"),
        ("POST", "/legacy/", "upload"),
        ("POST", "/nowhere", "upload"),
        ("POST", "/RPC2", "rpc"),
        ("POST", "/pypi", "rpc"),
        ("GET", "/pypi/acme/json", "json"),
        ("GET", "/pypi/acme/1.0/json", "json"),
        ("GET", "/acme/json", "json"),
        ("GET", "/alive", "health"),
        ("GET", "/health", OTHER),
        ("GET", "/ready", "ready"),
        ("GET", "/-/api/v1/indexes/-/projects/acme", "api"),
        ("POST", "/-/api/v1/indexes/-/projects/acme/yank", "api"),
        ("GET", "/-/api/v1/nowhere/at/all", OTHER),
        ("GET", "/metrics", "metrics"),
        ("GET", "/_/oidc/audience", "oidc"),
        ("POST", "/_/oidc/mint-token", "oidc"),
        ("GET", "/.well-known/pytp", "oidc"),
        ("GET", "/anything", OTHER),
        ("BREW", "/../..", OTHER),
    ],
)
def test_labels_are_told_by_method_and_path(method: str, path: str, label: str) -> None:
    """Below a prefix, too; what is not below it has none."""
    assert RouteTable("", "/alive").of(method, path) == label
    assert RouteTable("/python", "/alive").of(method, f"/python{path}") == label
    assert RouteTable("/python", "/alive").of(method, "/simple/") == OTHER


def test_the_home_page_is_at_a_mount_without_its_slash() -> None:
    """An application that mounts this one gives it the empty path."""
    assert RouteTable("", "/health").of("GET", "") == RouteTable("/python", "/health").of("GET", "/python") == "home"


def test_every_handler_exists() -> None:
    """Those that are imported when they are first called are there as well."""
    for endpoint in ENDPOINTS:
        module, _, function = endpoint.handler.partition(":")
        assert callable(getattr(import_module(f"quire.http.{module}"), function)), endpoint


def test_the_fast_path_serves_what_the_table_says() -> None:
    """The addresses below which it looks, and the right that they need."""
    assert [(each.base, each.needs) for each in map(endpoint_of, ("projects", "project", "file"))] == [
        ("/simple/", Right.LIST),
        ("/simple/", Right.LIST),
        ("/packages/", Right.DOWNLOAD),
    ]


def test_exactly_what_needs_a_right_asks_for_a_login(tmp_path: Path) -> None:
    """Each line of the table is enforced, whatever its handler does."""
    users = password_file(tmp_path, ann="secret")
    everything = tuple(each.value for each in Right if each is not Right.METRICS)
    application = create_application(
        Settings(directories=(str(tmp_path),), authenticate=everything, passwords=str(users), fallback_url=None)
    )

    async def refused() -> list[bool]:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://index") as client:
            kinds = {True: "multipart/form-data; boundary=b", False: "text/xml"}
            return [
                (
                    await client.request(
                        each.method,
                        re.sub(r"{\w+(:path)?}", "acme", each.path),
                        headers={"content-type": kinds[each.takes_forms_only]},
                    )
                ).status_code
                == 401
                for each in ENDPOINTS
            ]

    assert asyncio.run(refused()) == [each.needs is not None for each in ENDPOINTS]


def _documented() -> set[tuple[str, str, str]]:
    """(method, path, need) of the table of endpoints in the reference, with the names of parameters in capitals."""
    table = REFERENCE.read_text().partition("## Endpoints")[2].partition("\n\nFurther redirects")[0]
    table += REFERENCE.with_name("api.md").read_text().partition("## Endpoints")[2].partition("\n\n`admin`")[0]
    found = set()
    for row in re.findall(r"^\| `.*$", table, re.MULTILINE):
        requests, needs = row.split(" | ")[:2]
        method = ""
        for span in re.findall(r"`([^`]+)`", requests):
            method, path = span.split(" ") if " " in span else (method, span)
            if path.startswith("/"):
                found.add((method, path, needs.partition(",")[0]))
    return found


def test_the_reference_has_the_same_endpoints() -> None:
    """The tables of http.md and api.md have every line of the route table with its right, and no other."""
    words = {
        None: "nothing",
        Right.METRICS: "list",
        Right.MANAGE: "manage",
        Right.INSPECT: "manage",
        Right.ADMIN: "admin",
    }
    lines = {
        (each.method, re.sub(r"{(\w+)(:path)?}", lambda m: m[1].upper(), each.path), words.get(each.needs, each.needs))
        for each in ENDPOINTS
    }
    documented = _documented()
    assert lines <= documented
    assert documented - lines == {("GET", "/packages/PROJECT/SHA256/FILENAME", "download")}
