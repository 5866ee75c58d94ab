"""OpenTelemetry traces: a span for each request, with the extra [otel] and its variables OTEL_*.

It is off unless OTEL_EXPORTER_OTLP_ENDPOINT (or its like for traces) is set, or OTEL_TRACES_EXPORTER is `otlp`; all
other variables are read by the SDK itself. Names and attributes are those of OpenTelemetry's semantic conventions for
HTTP servers; a span is named by the kind of request, never by its path, so that there are few names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import quire
from quire.domain.errors import reason_of
from quire.http.app.request_log import context_of
from quire.http.app.routes import RouteTable, path_within
from quire.process.siblings import is_first_report

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def is_enabled(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter == "otlp" or (exporter == "" and any(environ.get(name) for name in _ENDPOINTS))


def traced(application: ASGIApp, routes: RouteTable, environ: Mapping[str, str]) -> ASGIApp:
    """The application with a span around each request; itself when tracing is not configured, or not possible."""
    if not is_enabled(environ):
        return application
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: PLC0415 - only with tracing
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415 - as above
    except ModuleNotFoundError:
        sentence = "OTEL_* is set, but OpenTelemetry is not installed; install quire with its extra [otel]."
        if is_first_report(sentence, environ):
            log.warning(sentence)
        return application
    return Tracing(application, routes, provider_to_collector)


def provider_to_collector() -> TracerProvider:
    """Sends spans in batches, from a thread, to where OTEL_EXPORTER_OTLP_* say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - see `traced`
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    described = {"service.version": quire.__version__}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        described["service.name"] = "quire"
    provider = TracerProvider(resource=Resource.create(described))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Tracing:
    """Middleware. Makes its provider, which has a thread, at the first request, and so after any fork."""

    def __init__(self, application: ASGIApp, routes: RouteTable, make_provider: Callable[[], TracerProvider]) -> None:
        self._application = application
        self._routes = routes
        self._make_provider = make_provider
        self._provider: TracerProvider | None = None
        self._is_off = False
        """Whether no provider can be made."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (provider := self._made()) is not None:
            await self._trace(provider, scope, receive, send)
            return
        try:
            await self._application(scope, receive, send)
        finally:
            if self._provider is not None:  # the end of the lifespan: collected spans must still be sent
                self._provider.shutdown()

    def _made(self) -> TracerProvider | None:
        """The provider; None where a variable of OpenTelemetry's is wrong, which ends no request."""
        if self._provider is None and not self._is_off:
            try:
                self._provider = self._make_provider()
            except Exception as error:  # noqa: BLE001 - the SDK reads its variables, and raises anything
                self._is_off = True
                sentence = f"There are no traces, as OpenTelemetry does not start: {reason_of(error)}; see OTEL_*."
                if is_first_report(sentence, os.environ):
                    log.warning(sentence)
        return self._provider

    async def _trace(self, provider: TracerProvider, scope: Scope, receive: Receive, send: Send) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415 - see `traced`
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - as above

        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in {b"traceparent", b"tracestate"}
        }
        route = self._routes.of(scope["method"], path_within(scope))
        status = 0

        async def recording_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        tracer = provider.get_tracer("quire", quire.__version__)
        with tracer.start_as_current_span(
            f"{scope['method'][:20]} {route}",
            context=TraceContextTextMapPropagator().extract(carrier),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"][:20],
                "http.route": route,
                "url.path": scope["path"][:500],
                "url.scheme": scope["scheme"],
            },
        ) as span:
            try:
                await self._application(scope, receive, recording_send)
            finally:
                context = context_of(scope)
                if status:
                    span.set_attribute("http.response.status_code", status)
                for name, value in (
                    ("quire.request", context.request_id),
                    ("quire.project", context.project),
                    ("quire.action", context.action),
                    ("enduser.id", context.user),
                ):
                    if value:
                        span.set_attribute(name, value)
                if not status or status >= 500:
                    span.set_status(Status(StatusCode.ERROR))
