"""Traces: a span a request, joined to the client's trace, and nothing at all unless tracing is configured."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import Message, Receive, Scope, Send

from quire.access.principals import Principal
from quire.http.app.request_log import context_of
from quire.http.app.routes import RouteTable
from quire.http.app.tracing import Tracing, is_enabled, traced
from tests.asking import OPEN, publish_wheel, serve
from tests.serving import DEADLINE, until

ROUTES = RouteTable("", "/health")
TRACE = "0af7651916cd43dd8448eb211c80319c"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the status that the path names."""
    if scope["type"] != "http":
        return
    context = context_of(scope)
    context.request_id, context.principal, context.project = "id-7", Principal("alice"), "acme"
    if scope["path"] == "/break":
        raise ValueError("a defect")
    await send({"type": "http.response.start", "status": int(scope["path"].strip("/") or 200), "headers": []})
    await send({"type": "http.response.body", "body": b""})


def spans(*paths: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> list[Any]:
    """The spans that requests for these paths leave."""
    exporter = InMemorySpanExporter()

    def provider() -> TracerProvider:
        made = TracerProvider()
        made.add_span_processor(SimpleSpanProcessor(exporter))
        return made

    tracing = Tracing(application, ROUTES, provider)

    async def send(_: Message) -> None:
        return

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def ask() -> None:
        for path in paths:
            scope = {"type": "http", "method": "GET", "path": path, "scheme": "http", "headers": list(headers)}
            try:
                await tracing(scope, receive, send)
            except ValueError:
                continue
        await tracing({"type": "lifespan"}, receive, send)

    asyncio.run(ask())
    return list(exporter.get_finished_spans())


def test_a_request_is_a_span() -> None:
    """Its name is the kind of request; status, user, project and the request's id are attributes."""
    (span,) = spans("/404")
    assert span.name == "GET other"
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "other",
        "http.response.status_code": 404,
        "url.path": "/404",
        "url.scheme": "http",
        "quire.request": "id-7",
        "quire.project": "acme",
        "enduser.id": "alice",
    }
    assert span.status.is_ok or span.status.is_unset


def test_a_failure_is_marked() -> None:
    """A status from 500 up, and a defect, are errors; the defect's exception is recorded, and goes on."""
    failed, broken = spans("/503", "/break")
    assert not failed.status.is_ok
    assert not failed.status.is_unset
    assert [event.name for event in broken.events] == ["exception"]


def test_a_span_joins_the_trace_of_the_client() -> None:
    """W3C's traceparent is taken over; a malformed one is not."""
    (joined,) = spans("/200", headers=((b"traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode()),))
    assert f"{joined.context.trace_id:032x}" == TRACE
    (own,) = spans("/200", headers=((b"traceparent", b"00-zz-\xff-01"),))
    assert own.parent is None


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "quire"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_traces_are_made_on_request(environ: dict[str, str], wanted: bool) -> None:
    """By the variables of OpenTelemetry's own specification; else the application is left as it is."""
    assert is_enabled(environ) is wanted
    assert (traced(application, ROUTES, environ) is application) is not wanted


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP collector that keeps what it is sent; its URL."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the overridden method's signature
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", bodies
        finally:
            server.shutdown()
            thread.join(DEADLINE)


def test_a_server_sends_its_spans(tmp_path: Path) -> None:
    """A real server with OTEL_EXPORTER_OTLP_ENDPOINT set sends the span of an upload to that collector."""
    with (
        collector() as (url, bodies),
        serve(
            tmp_path,
            *OPEN,
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
            OTEL_BSP_SCHEDULE_DELAY="50",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
        ) as site,
    ):
        publish_wheel(site, "acme")
        until(lambda: any(b"POST upload" in body for body in bodies))
        body = next(body for body in bodies if b"POST upload" in body)
        assert b"quire" in body
        assert b"deployment.environment" in body


def test_a_wrong_variable_of_opentelemetry_ends_no_request(tmp_path: Path) -> None:
    """There are no traces then, and one line that gives the reason."""
    url = "http://127.0.0.1:9"
    with serve(tmp_path, *OPEN, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_MAX_QUEUE_SIZE="256") as site:
        assert {site.get(path).status_code for path in ("/health", "/", "/simple/")} == {200}
        assert site.served.output().count("There are no traces") == 1
