"""The HTTP interface as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1), for generators and testers.

It is made of the route table. HEAD is left out: it is answered wherever GET is.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import quire
from quire.config.deprecations import deprecated_routes
from quire.http.api.operations import SCHEMAS, Json, Operation, reference
from quire.http.app.routes import Endpoint, endpoints
from quire.http.app.worker import worker_of
from quire.http.simple.pages import page_response
from quire.render.simple import Page, make_page

_ALWAYS = {400, 503}
"""An ambiguous or malformed request; a storage that fails."""
_LOGIN = {401, 403, 429}
_PRECONDITIONS = {412}


async def openapi(request: Request) -> Response:
    """GET /openapi.json."""
    return await page_response(request, _document_page(worker_of(request).settings.health_endpoint))


@lru_cache(maxsize=1)
def _document_page(health_endpoint: str) -> Page:
    return make_page("application/json", msgspec.json.encode(document(health_endpoint)))


def document(health_endpoint: str = "/health") -> Json:
    """The whole document. Its server is where it was found, so it is right below every prefix."""
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "quire",
            "version": quire.__version__,
            "summary": "A private Python package index",
            "description": "Simple API 1.4, the legacy upload API, and what pypiserver's clients ask for.",
        },
        "servers": [{"url": "."}],
        "paths": _paths(health_endpoint),
        "components": {
            "schemas": SCHEMAS | _api_schemas(),
            "securitySchemes": {
                "login": {"type": "http", "scheme": "basic"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _api_schemas() -> Json:
    """Of the JSON API: generated from its types."""
    # For this document, and for API requests, only.
    from quire.administration import (  # noqa: PLC0415 - as said
        access_documents,
        advisory_documents,
        declared_documents,
        documents,
        job_documents,
        policy_documents,
        promotion_documents,
        publisher_documents,
        retention_documents,
        search_documents,
        server_documents,
        trash_documents,
        webhook_documents,
    )

    schemas = (
        *documents.SCHEMAS,
        *policy_documents.SCHEMAS,
        *declared_documents.SCHEMAS,
        *job_documents.SCHEMAS,
        *advisory_documents.SCHEMAS,
        *promotion_documents.SCHEMAS,
        *retention_documents.SCHEMAS,
        *publisher_documents.SCHEMAS,
        *search_documents.SCHEMAS,
        *server_documents.SCHEMAS,
        *trash_documents.SCHEMAS,
        *access_documents.SCHEMAS,
        *webhook_documents.SCHEMAS,
    )
    return msgspec.json.schema_components(schemas, ref_template="#/components/schemas/{name}")[1]


def _paths(health_endpoint: str) -> Json:
    paths: Json = {}
    for endpoint in endpoints(health_endpoint):
        operations = paths.setdefault(endpoint.path.replace(":path}", "}"), {})
        method, described = endpoint.method.lower(), _described(endpoint)
        operations[method] = _merged(operations[method], described) if method in operations else described
    return paths


def _described(endpoint: Endpoint) -> Json:
    operation: Operation = endpoint.operation
    statuses = {*operation.errors, *_ALWAYS}
    statuses |= _LOGIN if endpoint.needs is not None else set()
    statuses |= _PRECONDITIONS if 304 in operation.responses else set()
    answers = {status: _problem(status) for status in statuses} | operation.responses
    described: Json = {
        "summary": operation.summary,
        "responses": {str(status): answers[status] for status in sorted(answers)},
        "security": [] if endpoint.needs is None else [{}, {"login": []}, {"token": []}],
    }
    if deprecation := deprecated_routes().get(f"{endpoint.method} {endpoint.path}"):
        described |= {"deprecated": True, "description": deprecation.sentence}
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": operation.body}
    return described


def _merged(one: Json, other: Json) -> Json:
    """Two operations that the media type of the body tells apart."""
    responses = one["responses"] | other["responses"]
    responses["200"] = _both(one["responses"]["200"], other["responses"]["200"])
    return {
        "summary": f"{one['summary']}; with another body: {other['summary']}",
        "responses": dict(sorted(responses.items())),
        "security": one["security"],
        "requestBody": _both(one["requestBody"], other["requestBody"]),
    }


def _both(one: Json, other: Json) -> Json:
    return one | {"content": one["content"] | other["content"]}


def _problem(status: int) -> Json:
    content = {
        "text/plain": {"schema": {"type": "string"}},
        "application/problem+json": {"schema": reference("Problem")},
    }
    return {"description": HTTPStatus(status).phrase, "content": content}
