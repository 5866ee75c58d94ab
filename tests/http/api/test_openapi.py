"""The OpenAPI document says what the application does: the same addresses, methods and statuses."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import httpx
import msgspec
import pytest
from starlette.routing import Mount, Route

import quire.http
from quire import administration
from quire.config.network import RESERVED_PATHS
from quire.config.settings import Settings
from quire.http.api.openapi import document
from quire.http.api.operations import SCHEMAS
from quire.http.app.application import create_application
from quire.http.app.problems import STATUS
from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests.asking import password_file
from tests.distributions import wheel_name
from tests.index.test_index import staged_wheel

REFERENCE = Path(__file__).parent.parent.parent.parent / "docs" / "reference" / "http.md"


def _ask(root: Path, *requests: tuple[str, str, dict[str, Any]], **settings: Any) -> list[httpx.Response]:
    """The application's answers to requests: method, path and what else httpx takes."""
    application = create_application(Settings(directories=(str(root),), **settings))

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://index") as client:
            return [await client.request(method, path, **more) for method, path, more in requests]

    return asyncio.run(ask())


def _routes(above: Any) -> Iterator[Route]:
    """All routes below, in their order."""
    for each in above.routes:
        if isinstance(each, Route):
            yield each
        else:
            yield from _routes(each)


def _operations(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(path, method): one for path, methods in found["paths"].items() for method, one in methods.items()}


@pytest.mark.parametrize("health", ["/health", "/_alive"])
def test_every_route_is_described_and_no_other(health: str, tmp_path: Path) -> None:
    """Addresses and methods are those of the application's routes; HEAD goes with GET."""
    application = create_application(Settings(directories=(str(tmp_path),), health_endpoint=health))
    routes = {
        (re.sub(r":path}", "}", route.path), method.lower())
        for route in _routes(application)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert set(_operations(document(health))) == routes


def test_no_health_endpoint_takes_the_place_of_a_route(tmp_path: Path) -> None:
    """The first segment of every route is one that `--health-endpoint` refuses."""
    application = create_application(Settings(directories=(str(tmp_path),), health_endpoint="/health"))
    firsts = {route.path.split("/")[1] for route in _routes(application)}
    assert firsts > {"simple", "packages"}
    assert firsts - {"health", "{name}", "{index}", "@{moment}"} <= RESERVED_PATHS  # and none begins with @


def test_path_parameters_are_those_of_the_path() -> None:
    """Each is described once, and as required."""
    for (path, _), operation in _operations(document()).items():
        described = [each["name"] for each in operation.get("parameters", []) if each["in"] == "path"]
        assert described == re.findall(r"{(\w+)}", path), path


def _statuses_in_code() -> set[int]:
    """The errors that handlers raise as HttpError, and the table of the other errors."""
    found = {status for _, status in STATUS}
    for path in Path(quire.http.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "HttpError":
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, int):
                    found.add(first.value)
    return found


def test_every_status_is_described_and_no_other() -> None:
    """Of errors: what the code can raise. 421 belongs to no operation, 500 would be a defect; 303 is
    none; 422 is that of `MintRefused`."""
    described = {int(each) for operation in _operations(document()).values() for each in operation["responses"]}
    errors = {each for each in described if each >= 400}
    assert errors == _statuses_in_code() - {303, 421, 500} | {416, 422}
    assert {each for each in described if each < 400} == {200, 201, 202, 204, 206, 301, 302, 303, 304}


def test_answers_to_another_spelling_of_a_name_are_described(tmp_path: Path) -> None:
    """Most are a redirection to the usual one."""
    store = PosixStore.open(str(tmp_path))
    Index(store).publish([staged_wheel(store, "acme-tools", "1.0")])
    values = {"name": "Acme.Tools", "version": "1.0", "filename": wheel_name("acme-tools", "1.0"), "path": "x"}
    values |= {"index": "-", "moment": "2030-01-01T00:00:00Z", "owner": "user:ann", "entry": "x"}
    described = {
        re.sub(r"{(\w+)}", lambda found: values.get(found[1], "x"), path): one["responses"]
        for (path, method), one in _operations(document()).items()
        if method == "get" and "{name}" in path
    }
    answers = _ask(
        tmp_path, *(("GET", path, {"headers": {"accept": "text/html"}}) for path in described), authenticate=()
    )
    found = {path: answer.status_code for path, answer in zip(described, answers, strict=True)}
    assert {path: status for path, status in found.items() if str(status) not in described[path]} == {}
    assert sum(status == 301 for status in found.values()) > 8


def test_the_reference_has_the_same_errors() -> None:
    """The table of errors in docs/reference/http.md, but for 421."""
    errors = REFERENCE.read_text().partition("## Errors")[2]
    listed = {int(each) for each in re.findall(r"^\| (\d{3}) \|", errors, re.MULTILINE)}
    described = {int(each) for operation in _operations(document()).values() for each in operation["responses"]}
    assert listed - {421} == {each for each in described if each >= 400}


def test_every_reference_within_the_document_leads_somewhere() -> None:
    """And every schema is used."""
    found = document()
    names = set(re.findall(r"'#/components/schemas/(\w+)'", repr(found)))
    assert names == set(found["components"]["schemas"])


def test_no_two_schemas_have_one_name() -> None:
    """Those of the JSON API are generated from its types, and the others are written."""
    modules = [import_module(f"quire.administration.{each.name}") for each in iter_modules(administration.__path__)]
    listed = [schema for module in modules for schema in getattr(module, "SCHEMAS", ())]
    generated = msgspec.json.schema_components(listed)[1]
    assert generated.keys() & SCHEMAS.keys() == set()
    assert generated.keys() | SCHEMAS.keys() == document()["components"]["schemas"].keys()


@pytest.mark.parametrize("prefix", ["", "/python"])
def test_it_is_served(prefix: str, tmp_path: Path) -> None:
    """As JSON with a validator; below a prefix too, which its relative server then is."""
    path = f"{prefix}/openapi.json"
    (answer,) = _ask(tmp_path, ("GET", path, {}), server_base_url=prefix)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == document()
    unchanged = {"headers": {"If-None-Match": answer.headers["etag"]}}
    assert _ask(tmp_path, ("GET", path, unchanged), server_base_url=prefix)[0].status_code == 304


def test_it_needs_the_login_that_listings_need(tmp_path: Path) -> None:
    """Without the right to list, a client does not get the document."""
    users = password_file(tmp_path, reader="secret")
    root = tmp_path / "packages"
    root.mkdir()
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/openapi.json", {}),
        ("GET", "/openapi.json", {"auth": ("reader", "secret")}),
    ]
    settings: dict[str, Any] = {"passwords": str(users), "authenticate": ("list",)}
    assert [answer.status_code for answer in _ask(root, *requests, **settings)] == [401, 200]


def test_allow_names_every_method_of_an_address(tmp_path: Path) -> None:
    """RFC 9110, 15.5.6: a 405 lists what the address takes, uploads among it."""
    for answer in _ask(tmp_path, ("PUT", "/", {}), ("PUT", "/simple/", {})):
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_mounts_are_no_way_round(tmp_path: Path) -> None:
    """Below a prefix there are the same routes."""
    application = create_application(Settings(directories=(str(tmp_path),), server_base_url="/python"))
    (mount,) = (route for route in application.routes if isinstance(route, Mount))
    plain = create_application(Settings(directories=(str(tmp_path),)))
    paths = [route.path for route in _routes(plain)]
    assert "/simple/" in paths
    assert [route.path for route in _routes(mount)] == paths
