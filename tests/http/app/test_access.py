"""Refusals: one decision, count and log line at every endpoint, before a body and again with its project."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from structlog.testing import capture_logs

from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.index.audit.entries import Origin
from quire.operations import granting
from tests.asking import JSON_V1, OPEN, basic, password_file, serve
from tests.distributions import make_wheel, wheel_name

ALL = ("download", "list", "update")
GET, POST = "GET", "POST"


def application(folder: Path, **settings: Any) -> Starlette:
    root = folder / "packages"
    root.mkdir(exist_ok=True)
    return create_application(Settings(directories=(str(root),), fallback_url=None, **settings))


def ask(app: Starlette, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
    """The answers to requests: method, path and what else httpx takes."""

    async def scenario() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://index") as client:
            return [await client.request(method, path, **more) for method, path, more in requests]

    return asyncio.run(scenario())


def counted(app: Starlette) -> dict[str, float]:
    """How many requests were refused, by reason."""
    body, _ = app.state.worker.metrics.page("", with_names=True)
    return {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.name == "quire_access_refused_total" and sample.value
    }


def refusals(logs: Iterable[Any]) -> list[tuple[str, str, str | None]]:
    return [(log["reason"], log["right"], log.get("user")) for log in logs if log["event"] == "access refused"]


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        *((GET, path, "list") for path in ("/simple/", "/simple", "/simple/acme/", "/simple/acme", "/packages/")),
        *((GET, path, "list") for path in ("/packages", "/acme/json", "/pypi/acme/json", "/openapi.json")),
        *((POST, path, "list") for path in ("/RPC2", "/pypi")),
        *((GET, path, "download") for path in ("/packages/acme-1.0.tar.gz", "/packages/acme-1.0.tar.gz.metadata")),
        *((POST, path, "update") for path in ("/", "/legacy/", "/simple/", "/upload", "/packages/")),
        (GET, "/metrics", "metrics"),
    ],
)
def test_a_request_without_its_login_is_counted_and_logged(method: str, path: str, right: str, tmp_path: Path) -> None:
    """At every endpoint that can need one, once."""
    users = password_file(tmp_path, ann="secret")
    app = application(tmp_path, authenticate=ALL, passwords=str(users))
    with capture_logs() as logs:
        (answer,) = ask(app, (method, path, {}))
    assert answer.status_code == 401
    assert refusals(logs) == [("login_needed", right, None)]
    assert counted(app) == {"login_needed": 1}


def test_refused_metrics_are_counted_and_logged(tmp_path: Path) -> None:
    """They are for users, and there are none."""
    app = application(tmp_path, authenticate=(), metrics="authenticated")
    with capture_logs() as logs:
        (answer,) = ask(app, (GET, "/metrics", {}))
    assert (answer.status_code, answer.text) == (
        403,
        "The metrics need a login, and this server has no password file.\n",
    )
    assert refusals(logs) == [("forbidden", "metrics", None)]
    assert counted(app) == {"forbidden": 1}


def test_changes_of_a_read_only_index_are_counted_and_logged(tmp_path: Path) -> None:
    """With the user that asked for them."""
    users = password_file(tmp_path, ann="secret")
    app = application(tmp_path, authenticate=("update",), passwords=str(users), read_only=True)
    with capture_logs() as logs:
        (answer,) = ask(app, (POST, "/", {"auth": ("ann", "secret"), "data": {":action": "submit"}}))
    assert (answer.status_code, answer.text.partition(";")[0]) == (403, "This index is served read-only")
    assert refusals(logs) == [("forbidden", "update", "ann")]
    assert counted(app) == {"forbidden": 1}


@pytest.mark.parametrize(("is_read_only", "status"), [(True, 403), (False, 401)])
def test_a_forbidden_upload_is_refused_before_its_body(is_read_only: bool, status: int, tmp_path: Path) -> None:
    """The head alone is answered: nothing of the body was sent yet."""
    flags = (*OPEN, "--read-only") if is_read_only else ()
    with serve(tmp_path, *flags) as site:
        host = f"{site.served.host}:{site.served.port}".encode()
        head = b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Type: multipart/form-data; boundary=b\r\n" % host
        answer = site.raw(head + b"Content-Length: 1000000\r\n\r\n")
        assert answer.status == status


def upload(name: str) -> tuple[str, str, dict[str, Any]]:
    files = {"content": (wheel_name(name, "1.0"), make_wheel(name, "1.0"))}
    return POST, "/", {"data": {":action": "file_upload"}, "files": files, "auth": ("ann", "secret")}


def removal(name: str) -> tuple[str, str, dict[str, Any]]:
    form = {":action": "remove_pkg", "name": name, "version": "1.0"}
    return POST, "/", {"data": form, "auth": ("ann", "secret")}


def test_an_upload_is_decided_again_for_its_project(tmp_path: Path) -> None:
    """The filename tells which it is. A removal is, too, by the name in the form. Nothing has changed by a refusal."""
    users = password_file(tmp_path, ann="secret")
    app = application(tmp_path, authenticate=("update",), passwords=str(users))
    page: tuple[str, str, dict[str, Any]] = (GET, "/simple/sealed/", {"headers": {"accept": JSON_V1}})
    ask(app, upload("sealed"))
    worker = app.state.worker
    access, origin = AccessRecords(worker.default.store), Origin()
    granting.begin(access, "root", ("update",), origin)
    for identity, grant in access.read().state.document.grants.items():
        if "upload" in grant.permissions:
            granting.take_back(access, [identity], origin)
    granting.give(access, "user:ann", ["upload", "manage"], "main", ["other"], origin=origin)
    before = worker.default.hosted.project("sealed")
    with capture_logs() as logs:
        answers = ask(app, upload("Sealed"), removal("SEALED"), upload("other"), removal("other"), page)
    assert [answer.status_code for answer in answers] == [403, 403, 200, 200, 200]
    assert answers[0].text == (
        "The user ann may not upload here; it needs the right upload on sealed on the index main.\n"
    )
    assert answers[1].text == (
        "The user ann may not change or remove releases here; it needs the right manage on sealed on the index main.\n"
    )
    assert refusals(logs) == [("forbidden", "upload", "ann"), ("forbidden", "manage", "ann")]
    assert [log["project"] for log in logs if log["event"] == "access refused"] == ["sealed"] * 2
    assert counted(app) == {"forbidden": 2}
    assert worker.default.hosted.project("sealed") == before
    assert [file["filename"] for file in answers[-1].json()["files"]] == [wheel_name("sealed", "1.0")]


def test_a_wrong_login_is_no_refusal_of_a_right(tmp_path: Path) -> None:
    """It is counted and logged as the failed login that it is."""
    users = password_file(tmp_path, ann="secret")
    app = application(tmp_path, authenticate=ALL, passwords=str(users))
    wrong = basic("ann", "guess")
    with capture_logs() as logs:
        (answer,) = ask(app, (GET, "/simple/", {"headers": {"authorization": wrong}}))
    assert answer.status_code == 401
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["login failed"]
    assert (refusals(logs), counted(app)) == ([], {})
