"""The HTTP interface as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1), for generators and testers.

Written by hand from the same table of routes that the application has; a test compares both, and another the statuses
with those that the code can answer with. HEAD is left out: it is answered wherever GET is.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import quire
from quire.access.authorization import Right
from quire.http.app.worker import authorize, worker_of
from quire.http.simple.pages import page_response
from quire.http.simple.redirects import UPLOADS
from quire.render.negotiation import MediaType
from quire.render.simple import Page, make_page

Json = dict[str, Any]

_ALWAYS = (400, 503)
"""An ambiguous or malformed request; a storage that fails."""
_LOGIN = (401, 403, 429)


async def openapi(request: Request) -> Response:
    """GET /openapi.json."""
    worker = worker_of(request)
    await authorize(request, Right.LIST)
    return await page_response(request, _document_page(worker.settings.health_endpoint))


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
            "schemas": _SCHEMAS,
            "securitySchemes": {"login": {"type": "http", "scheme": "basic"}},
        },
    }


def _paths(health_endpoint: str) -> Json:
    return {
        "/": {
            "get": _operation("Home page", {200: _content("text/html")}, login=False),
            "post": _upload("Upload a file, or another action of the form"),
        },
        **{path: {"post": _upload("The same as POST /")} for path in UPLOADS},
        "/simple/": {
            "get": _page("All projects", "ProjectList"),
            "post": _upload("The same as POST /"),
        },
        "/simple": {
            "get": _redirect("To the path with its slash", 301),
            "post": _upload("The same as POST /"),
        },
        "/simple/{name}/": {
            "get": _page(
                "The files of a project", "Project", _NAME, more={301: _moved(), 302: _moved(), 303: _moved()}
            ),
        },
        "/simple/{name}": {"get": _redirect("To the path with its slash", 301, _NAME, 404)},
        "/packages": {
            "get": _redirect("To the path with its slash", 301),
            "post": _upload("The same as POST /"),
        },
        "/packages/": {
            "get": _operation("Links to all files", {200: _content("text/html"), 304: _unchanged()}),
            "post": _upload("The same as POST /"),
        },
        "/packages/{path}": {"get": _download()},
        "/RPC2": {"post": _search("XML-RPC search")},
        "/pypi": {"post": _search_or_upload()},
        health_endpoint: {
            "get": _operation("Whether this worker answers", {200: _content("text/plain")}, login=False),
        },
        "/ready": {
            "get": _operation(
                "Whether this server should be sent requests", {200: _content("text/plain")}, 503, login=False
            ),
        },
        "/metrics": {
            "get": _operation(
                "The metrics of all workers, for Prometheus", {200: _content("text/plain")}, 403, 404, 503
            ),
        },
        "/openapi.json": {
            "get": _operation(
                "This document", {200: _content("application/json", {"type": "object"}), 304: _unchanged()}
            ),
        },
        "/favicon.ico": {"get": _operation("Nothing", {}, 404, login=False)},
        "/pypi/{name}/json": {"get": _project_json("A project", _NAME)},
        "/pypi/{name}/{version}/json": {"get": _project_json("A release", _NAME, _VERSION)},
        "/{name}/json": {"get": _project_json("The same as /pypi/{name}/json", _NAME)},
        "/{name}": {"get": _to_project()},
        "/{name}/": {"get": _to_project()},
    }


# -- operations -------------------------------------------------------------------------------------------------------


def _operation(
    summary: str, responses: dict[int, Json], *errors: int, parameters: tuple[Json, ...] = (), login: bool = True
) -> Json:
    """One operation. `login`: whether `--authenticate` can make it need one."""
    statuses = {*errors, *_ALWAYS, *(_LOGIN if login else ()), *((412,) if 304 in responses else ())}
    answers = {status: _problem(status) for status in statuses} | responses
    described: Json = {
        "summary": summary,
        "responses": {str(status): answers[status] for status in sorted(answers)},
        "security": [{}, {"login": []}] if login else [],
    }
    if parameters:
        described["parameters"] = list(parameters)
    return described


def _page(summary: str, schema: str, *path: Json, more: dict[int, Json] | None = None) -> Json:
    by_type: Json = {
        str(each): {"schema": _reference(schema) if each is MediaType.JSON_V1 else {"type": "string"}}
        for each in MediaType
    }
    headers = {name: {"schema": {"type": "string"}} for name in ("ETag", "Cache-Control", "Vary")}
    found = {200: {"description": "The page", "content": by_type, "headers": headers}, 304: _unchanged()}
    parameters = (*path, _FORMAT)
    return _operation(summary, found | (more or {}), *((404, 406) if path else (406,)), parameters=parameters)


def _download() -> Json:
    body = {each: {"schema": {"type": "string"}} for each in _FILE_TYPES}
    headers = {name: {"schema": {"type": "string"}} for name in ("ETag", "Cache-Control", "Accept-Ranges")}
    found = {
        200: {"description": "The file", "content": body, "headers": headers},
        206: {"description": "The range", "content": body, "headers": headers},
        304: _unchanged(),
        416: {
            "description": "No byte of the file is in the range",
            "headers": {"Content-Range": {"schema": {"type": "string"}}},
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    }
    path = _in_path("path", {"type": "string", "minLength": 1, "maxLength": 1000}, "As the listing has it")
    ranged = {"name": "Range", "in": "header", "required": False, "schema": {"type": "string"}}
    return _operation("A file, or its .metadata, .asc, .attestations", found, 404, parameters=(path, ranged))


def _upload(summary: str) -> Json:
    described = _operation(summary, {200: _content("text/plain")}, 404, 408, 409, 413, 507)
    described["requestBody"] = {"required": True, "content": _FORMS}
    return described


def _search(summary: str) -> Json:
    described = _operation(summary, {200: _content("text/xml")}, 408, 413)
    described["requestBody"] = {"required": True, "content": {"text/xml": {"schema": {}}}}
    return described


def _search_or_upload() -> Json:
    """What one or the other is asked for by the type of the body."""
    described, upload = _search("The same as POST /RPC2; with a form as POST /"), _upload("")
    described["responses"] = upload["responses"] | {
        "200": {"description": "Done", "content": _content("text/xml")["content"] | _content("text/plain")["content"]}
    }
    described["requestBody"]["content"] |= upload["requestBody"]["content"]
    return described


def _project_json(summary: str, *path: Json) -> Json:
    found = {200: _content("application/json", _reference("ProjectJson")), 301: _moved(), 304: _unchanged()}
    return _operation(summary, found, 404, parameters=path)


def _redirect(summary: str, status: int, *rest: Json | int) -> Json:
    parameters = tuple(each for each in rest if not isinstance(each, int))
    errors = [each for each in rest if isinstance(each, int)]
    return _operation(summary, {status: _moved()}, *errors, parameters=parameters)


def _to_project() -> Json:
    summary = "To the project's page"
    return _operation(summary, {302: _moved(), 303: _moved()}, parameters=(_ANYTHING,), login=False)


# -- responses --------------------------------------------------------------------------------------------------------


def _content(media_type: str, schema: Json | None = None) -> Json:
    return {"description": "Done", "content": {media_type: {"schema": schema or {"type": "string"}}}}


def _problem(status: int) -> Json:
    content = {
        "text/plain": {"schema": {"type": "string"}},
        "application/problem+json": {"schema": _reference("Problem")},
    }
    return {"description": HTTPStatus(status).phrase, "content": content}


def _moved() -> Json:
    headers = {"Location": {"schema": {"type": "string"}}}
    return {"description": "At another address", "headers": headers}


def _unchanged() -> Json:
    return {"description": "The client has it already"}


# -- parameters and schemas -------------------------------------------------------------------------------------------


def _in_path(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _reference(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


_TEXT: Json = {"type": "string"}
_TEXT_OR_NOTHING: Json = {"type": ["string", "null"]}
_NAME_SCHEMA: Json = {"type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", "maxLength": 200}
_NAME = _in_path("name", _NAME_SCHEMA, "A project; spelt otherwise than normalized it is a redirect")
_ANYTHING = _in_path("name", {"type": "string", "minLength": 1, "maxLength": 200}, "What the other paths do not match")
_VERSION = _in_path("version", {"type": "string", "minLength": 1, "maxLength": 200}, "PEP 440")
_FORMAT: Json = {
    "name": "format",
    "in": "query",
    "required": False,
    "schema": {"type": "string"},
    "description": "The media type, instead of Accept (PEP 691)",
}
_FILE_TYPES = (
    "application/zip",
    "application/gzip",
    "application/octet-stream",
    "application/json",
    "application/pgp-signature",
    "text/plain",
)


def _object(required: dict[str, Json], optional: dict[str, Json] | None = None) -> Json:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


_FORMS: Json = {
    "multipart/form-data": {
        "schema": _reference("UploadForm"),
        "encoding": {"content": {"contentType": "application/octet-stream"}},
    },
    "application/x-www-form-urlencoded": {"schema": _reference("ActionForm")},
}
_META = _object({"api-version": {"const": "1.4"}})
_HASHES: Json = {"type": "object", "additionalProperties": _TEXT}
_SCHEMAS: Json = {
    "Problem": _object({"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT}),
    "ProjectList": _object(
        {"meta": _META, "projects": {"type": "array", "items": _object({"name": _TEXT})}},
    ),
    "Project": _object(
        {
            "meta": {"type": "object"},
            "name": _TEXT,
            "versions": {"type": "array", "items": _TEXT},
            "files": {
                "type": "array",
                "items": _object(
                    {"filename": _TEXT, "url": _TEXT, "hashes": _HASHES, "size": {"type": "integer"}},
                    {
                        "requires-python": _TEXT_OR_NOTHING,
                        "yanked": {"type": ["boolean", "string"]},
                        "upload-time": _TEXT_OR_NOTHING,
                        "core-metadata": {"anyOf": [{"type": "boolean"}, _HASHES]},
                    },
                ),
            },
        }
    ),
    "ProjectJson": _object({"info": {"type": "object"}, "urls": {"type": "array", "items": {"type": "object"}}}),
    "ActionForm": _object(
        {":action": {"enum": ["remove_pkg", "submit", "verify"]}}, {"name": _NAME_SCHEMA, "version": _TEXT}
    ),
    "UploadForm": _object(
        {":action": {"enum": ["file_upload", "remove_pkg", "submit", "verify", "doc_upload"]}},
        {
            "content": {"type": "string", "contentMediaType": "application/octet-stream"},
            "protocol_version": {"const": "1"},
            "name": _NAME_SCHEMA,
            "version": _TEXT,
            "filetype": {"enum": ["bdist_wheel", "sdist", "bdist_egg"]},
            "sha256_digest": _TEXT,
            "blake2_256_digest": _TEXT,
            "md5_digest": _TEXT,
            "gpg_signature": {"type": "string", "contentMediaType": "application/pgp-signature"},
            "attestations": {"type": "string", "contentMediaType": "application/json"},
        },
    ),
}
