"""The operation of each route's line, for the OpenAPI document: summary, responses, parameters, body.

Data alone: `quire.http.app.routes` has the lines, `quire.http.api.openapi` makes the document of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from quire.render.negotiation import MediaType

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """The description of one method of one address."""

    summary: str
    responses: dict[int, Json]
    """Of successes, by status."""
    errors: tuple[int, ...] = ()
    """Further statuses, beside those that follow from the rest: of every request, of a login, of preconditions."""
    parameters: tuple[Json, ...] = ()
    body: Json | None = None
    """By media type; None for a request without a body."""


# -- responses --------------------------------------------------------------------------------------------------------


def content(media_type: str, schema: Json | None = None) -> Json:
    """A response of one media type; by default it is a text."""
    return {"description": "Done", "content": {media_type: {"schema": schema or {"type": "string"}}}}


def reference(schema: str) -> Json:
    """A schema of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{schema}"}


def headers_of(*names: str) -> Json:
    return {name: {"schema": {"type": "string"}} for name in names}


_MOVED: Final[Json] = {"description": "At another address", "headers": headers_of("Location")}
UNCHANGED: Final[Json] = {"description": "The client has it already"}
_FILE: Final[Json] = {
    "content": {
        each: {"schema": {"type": "string"}}
        for each in (
            "application/zip",
            "application/gzip",
            "application/octet-stream",
            "application/json",
            "application/pgp-signature",
            "text/plain",
        )
    },
    "headers": headers_of("ETag", "Cache-Control", "Accept-Ranges"),
}


def _page(schema: str) -> dict[int, Json]:
    by_type = {
        str(each): {"schema": reference(schema) if each is MediaType.JSON_V1 else {"type": "string"}}
        for each in MediaType
    }
    headers = headers_of("ETag", "Cache-Control", "Vary")
    return {200: {"description": "The page", "content": by_type, "headers": headers}, 304: UNCHANGED}


# -- parameters and schemas -------------------------------------------------------------------------------------------


def in_path(name: str, schema: Json, description: str) -> Json:
    """A parameter in the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def below_index(operation: Operation) -> Operation:
    """The same operation of an index that the path names."""
    index = in_path("index", {"type": "string", "maxLength": 100}, "The name of an index")
    return replace(operation, parameters=(index, *operation.parameters), errors=(*operation.errors, 404, 410))


_TEXT: Json = {"type": "string"}
_TEXT_OR_NOTHING: Json = {"type": ["string", "null"]}
NAME_SCHEMA: Json = {"type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", "maxLength": 200}
_NAME = in_path("name", NAME_SCHEMA, "A project; spelt otherwise than normalized it is a redirect")
_ANYTHING = in_path("index", {"type": "string", "minLength": 1, "maxLength": 200}, "What the other paths do not match")
_PATH = in_path("path", {"type": "string", "minLength": 1, "maxLength": 1000}, "As the listing has it")
_VERSION = in_path("version", {"type": "string", "minLength": 1, "maxLength": 200}, "PEP 440")
_FILENAME = in_path("filename", {"type": "string", "minLength": 1, "maxLength": 300}, "As the listing has it")
_FORMAT: Json = {
    "name": "format",
    "in": "query",
    "required": False,
    "schema": {"type": "string"},
    "description": "The media type, instead of Accept (PEP 691)",
}
_RANGE: Json = {"name": "Range", "in": "header", "required": False, "schema": {"type": "string"}}


_MOMENT = in_path(
    "moment",
    {"type": "string", "examples": ["2026-11-01", "2026-11-01T12:00:00Z"]},
    "A moment of the past: a date, which means the end of that day in UTC, or a time with its offset (RFC 3339)",
)


def _at_a_moment(operation: Operation, summary: str, *errors: int) -> Operation:
    """The same operation of the index as it was."""
    return replace(
        operation,
        summary=summary,
        parameters=(_MOMENT, *operation.parameters),
        errors=(*dict.fromkeys((*operation.errors, 400, *errors)),),
    )


def _object(required: dict[str, Json], optional: dict[str, Json] | None = None) -> Json:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


_FORMS: Json = {
    "multipart/form-data": {
        "schema": reference("UploadForm"),
        "encoding": {"content": {"contentType": "application/octet-stream"}},
    },
    "application/x-www-form-urlencoded": {"schema": reference("ActionForm")},
}
_META = _object({"api-version": {"const": "1.4"}})
_HASHES: Json = {"type": "object", "additionalProperties": _TEXT}
SCHEMAS: Final[Json] = {
    "Problem": _object({"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT}),
    "TokenExchange": _object({"token": _TEXT}, {"features": {"type": "array", "items": _TEXT}}),
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
                        "provenance": _TEXT_OR_NOTHING,
                    },
                ),
            },
        },
        {
            "namespaces": {
                "anyOf": [
                    {"type": "null"},
                    {"type": "array", "items": _object({"name": _TEXT, "owned": {"type": "boolean"}})},
                ]
            },
        },
    ),
    "ProjectJson": _object({"info": {"type": "object"}, "urls": {"type": "array", "items": {"type": "object"}}}),
    "ActionForm": _object(
        {":action": {"enum": ["remove_pkg", "submit", "verify"]}}, {"name": NAME_SCHEMA, "version": _TEXT}
    ),
    "UploadForm": _object(
        {":action": {"enum": ["file_upload", "remove_pkg", "submit", "verify", "doc_upload"]}},
        {
            "content": {"type": "string", "contentMediaType": "application/octet-stream"},
            "protocol_version": {"const": "1"},
            "name": NAME_SCHEMA,
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


# -- operations -------------------------------------------------------------------------------------------------------

_UPLOAD_ERRORS: Final = (404, 408, 409, 413, 507)
HOME: Final = Operation("Home page", {200: content("text/html"), 304: UNCHANGED})
_FORM: Json = {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}
_SHOWN: Final[dict[int, Json]] = {200: content("text/html"), 303: _MOVED, 304: UNCHANGED}
MANAGE: Final = Operation("A page with the changes of a project", _SHOWN, (400, 404), (_NAME,))
MANAGED: Final = Operation(
    "Change a project by a form of that page",
    {200: content("text/html")},
    (400, 404, 408, 409, 413, 415, 507),
    (_NAME,),
    _FORM,
)
HISTORY: Final = Operation("A page with the log of a project", _SHOWN, (400, 404), (_NAME,))
WEB_USED_BY: Final = Operation(
    "The projects that need a project, for people", {**_SHOWN, 301: _MOVED}, (404,), (_NAME,)
)
WEB_SEARCH: Final = Operation(
    "Search for projects, for people",
    {200: content("text/html"), 304: UNCHANGED},
    parameters=(
        {
            "name": "q",
            "in": "query",
            "required": False,
            "schema": {"type": "string", "maxLength": 200},
            "description": "Words, or a name; the filters are those of `/-/api/v1/search`",
        },
    ),
)
WEB_INDEX: Final = below_index(
    Operation(
        "The page of an index, for people",
        _SHOWN,
        parameters=(
            {
                "name": "after",
                "in": "query",
                "required": False,
                "schema": {"type": "string", "maxLength": 200},
                "description": "The projects whose names come after this one",
            },
        ),
    )
)
WEB_INDEX_SLASH: Final = below_index(Operation("To the path with its slash", {301: _MOVED}))
WEB_ADVISORY: Final = Operation(
    "An advisory, for people",
    _SHOWN,
    (404,),
    (in_path("id", {"type": "string", "minLength": 1, "maxLength": 200}, "Of the advisory"),),
)
ADMIN: Final = Operation("A page for operators", _SHOWN, (400,))
CHANGE_ACCESS: Final = Operation(
    "Change rights by a form of that page", {200: content("text/html")}, (400, 404, 408, 413, 415, 507), (), _FORM
)
CHANGE_POLICY: Final = Operation(
    "Try a change of a policy by a form of that page, or make it",
    {200: content("text/html")},
    (400, 404, 408, 413, 415, 502, 507),
    (),
    _FORM,
)
BEGIN_JOB: Final = Operation(
    "Begin a check or a collection of garbage by a form of that page",
    {200: content("text/html")},
    (400, 408, 409, 413, 415, 507),
    (),
    _FORM,
)
STATIC: Final = Operation(
    "A style sheet, script or image of the web interface",
    {
        200: {
            "description": "The file",
            "content": {each: {"schema": {"type": "string"}} for each in ("text/css", "text/javascript", "image/*")},
            "headers": headers_of("Cache-Control"),
        }
    },
    (404,),
    (
        in_path("digest", {"type": "string", "minLength": 1, "maxLength": 100}, "Of the content"),
        in_path("name", {"type": "string", "minLength": 1, "maxLength": 100}, "As pages have it"),
    ),
)
PROJECTS: Final = Operation("All projects", _page("ProjectList"), (406,), (_FORMAT,))
_OF_THE_WEB: Final[dict[int, Json]] = {200: content("text/html"), 301: _MOVED, 304: UNCHANGED}
WEB_PROJECT: Final = Operation("The page of a project", _OF_THE_WEB, (404, 502), (_NAME,))
WEB_RELEASE: Final = Operation("The page of a release", _OF_THE_WEB, (404, 502), (_NAME, _VERSION))
WEB_DIFFERENCE: Final = Operation(
    "The difference between two releases",
    _OF_THE_WEB,
    (404, 502),
    (
        _NAME,
        *(
            {
                "name": name,
                "in": "query",
                "required": False,
                "schema": {"type": "string"},
                "description": "A version; by default the newest, and the one before it",
            }
            for name in ("old", "new")
        ),
    ),
)
WEB_SLASH: Final = Operation("To the path with its slash", {301: _MOVED}, (404,), (_NAME,))
WEB_RELEASE_SLASH: Final = Operation("To the path with its slash", {301: _MOVED}, (404,), (_NAME, _VERSION))
PROJECT: Final = Operation(
    "The files of a project",
    {**_page("Project"), 301: _MOVED, 302: _MOVED, 303: _MOVED},
    (404, 406, 502),
    (_NAME, _FORMAT),
)
FILES: Final = Operation("Links to all files", {200: content("text/html"), 303: _MOVED, 304: UNCHANGED})
DOWNLOAD: Final = Operation(
    "A file, or its .metadata, .asc",
    {
        200: {"description": "The file", **_FILE},
        206: {"description": "The range", **_FILE},
        304: UNCHANGED,
        416: {
            "description": "No byte of the file is in the range",
            "headers": headers_of("Content-Range"),
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    },
    (404, 502),
    (_PATH, _RANGE),
)
INSIDE: Final = Operation(
    "The members of a file, or one of them as text, for people",
    {200: content("text/html"), 301: _MOVED, 304: UNCHANGED},
    (404, 503),
    (_NAME, _VERSION, _FILENAME, _PATH),
)
PROVENANCE: Final = Operation(
    "The provenance of a file (PEP 740)",
    {200: content("application/vnd.pypi.integrity.v1+json", {"type": "object"}), 304: UNCHANGED},
    (404, 406, 502),
    (_NAME, _VERSION, _FILENAME),
)
_SIMPLE_JSON: Final = "application/vnd.pypi.simple.v1+json"
NAMESPACES: Final = Operation(
    "The namespaces of the index (PEP 752)",
    {200: content(_SIMPLE_JSON, {"type": "array", "items": _object({"name": _TEXT})}), 304: UNCHANGED},
    (406,),
)
NAMESPACE: Final = Operation(
    "A namespace (PEP 752)",
    {
        200: content(
            _SIMPLE_JSON,
            _object({"name": _TEXT, "parent": _TEXT_OR_NOTHING, "children": {"type": "array", "items": _TEXT}}),
        ),
        301: _MOVED,
        304: UNCHANGED,
    },
    (404, 406),
    (_NAME,),
)
UPLOAD: Final = Operation(
    "Upload a file, or another action of the form", {200: content("text/plain")}, _UPLOAD_ERRORS, body=_FORMS
)
UPLOAD_TOO: Final = Operation("The same as POST /", {200: content("text/plain")}, _UPLOAD_ERRORS, body=_FORMS)
SEARCH: Final = Operation("XML-RPC search", {200: content("text/xml")}, (408, 413), body={"text/xml": {"schema": {}}})
SEARCH_TOO: Final = Operation("The same as POST /RPC2", SEARCH.responses, SEARCH.errors, body=SEARCH.body)
ADD_SLASH: Final = Operation("To the path with its slash", {301: _MOVED})
ADD_SLASH_TO_PROJECT: Final = Operation("To the path with its slash", {301: _MOVED}, (404,), (_NAME,))
TO_PROJECT: Final = Operation(
    "To the page of an index, or of a project", {302: _MOVED, 303: _MOVED}, parameters=(_ANYTHING,)
)
PAST_PROJECTS: Final = _at_a_moment(PROJECTS, "All projects that had a file at a moment", 503)
PAST: Final = replace(
    _at_a_moment(PROJECT, "The files of a project at a moment", 503), responses={**_page("Project"), 301: _MOVED}
)
PAST_FILE: Final = _at_a_moment(DOWNLOAD, "A file that was listed at a moment and is not any more")
PAST_SLASH: Final = replace(ADD_SLASH, parameters=(_MOMENT,))
PAST_PROJECT_SLASH: Final = replace(ADD_SLASH_TO_PROJECT, parameters=(_MOMENT, _NAME))
PAST_ELSEWHERE: Final = Operation("Nothing: the sentence names the address", {}, (404,), (_MOMENT, _PATH))
PAST_REFUSED: Final = Operation("Refused: the past takes no uploads", {}, (405,), (_MOMENT, _PATH))
HEALTH: Final = Operation("Whether this worker answers", {200: content("text/plain")})
READY: Final = Operation("Whether this server should be sent requests", {200: content("text/plain")}, (503,))
METRICS: Final = Operation("The metrics of all workers, for Prometheus", {200: content("text/plain")}, (404,))
DOCUMENT: Final = Operation("This document", {200: content("application/json", {"type": "object"}), 304: UNCHANGED})
_TO_A_PAGE: Final[Json] = {"description": "To a page", "headers": headers_of("Location", "Set-Cookie")}
_NEXT: Json = {
    "name": "next",
    "in": "query",
    "required": False,
    "schema": {"type": "string"},
    "description": "The path of the page of this index to which the login leads",
}
_FORM_ERRORS: Final = (400, 403, 404, 408, 413, 415, 503)


def _form_of(*names: str) -> Json:
    properties = dict.fromkeys(("token", *names), _TEXT)
    return {"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": properties}}}


LOGIN: Final = Operation(
    "The ways to log in to the web interface", {200: content("text/html"), 303: _TO_A_PAGE}, (400, 404, 503), (_NEXT,)
)
LOG_IN: Final = Operation(
    "Log in to the web interface with a password or a token",
    {303: _TO_A_PAGE},
    (401, 429, *_FORM_ERRORS),
    body=_form_of("next", "user", "password"),
)
PROVIDER: Final = Operation("To the login provider", {303: _TO_A_PAGE}, (400, 404, 503), (_NEXT,))
CREATE_TOKEN: Final = Operation(
    "Make a token for yourself, on the account's page",
    {200: content("text/html")},
    (401, 507, *_FORM_ERRORS),
    body=_form_of("id", "note", "right", "index", "projects", "days"),
)
REVOKE_TOKEN: Final = Operation(
    "Revoke a token of your own, on the account's page",
    {200: content("text/html")},
    (401, 507, *_FORM_ERRORS),
    body=_form_of("id"),
)
CALLBACK: Final = Operation("Back from the login provider", {303: _TO_A_PAGE}, (400, 403, 404, 429, 503))
ACCOUNT: Final = Operation("The user that has logged in to the web interface", {200: content("text/html")}, (404,))
LOGOUT: Final = Operation(
    "End the sessions of the user that has logged in",
    {303: _TO_A_PAGE},
    _FORM_ERRORS,
    body=_form_of(),
)
_EXCHANGED: Final[Json] = content("application/json", {"type": "object"})
_EXCHANGE_BODY: Final[Json] = {"application/json": {"schema": reference("TokenExchange")}}
AUDIENCE: Final = Operation("The audience that tokens of CI jobs need", {200: _EXCHANGED}, (403, 404, 406))
MINT: Final = Operation(
    "A token for the job whose token this is",
    {200: _EXCHANGED},
    (403, 404, 406, 408, 413, 422, 429, 503),
    body=_EXCHANGE_BODY,
)
BURN: Final = Operation("End a minted token", {202: _EXCHANGED}, (408, 413, 422, 429, 503), body=_EXCHANGE_BODY)
DISCOVERY: Final = Operation(
    "Where the endpoints of trusted publishing are (PEP 807)",
    {200: _EXCHANGED},
    (403, 404, 406),
    ({"name": "discover", "in": "query", "schema": _TEXT},),
)
_OSV_QUERY: Final[Json] = {
    "type": "object",
    "properties": {
        "package": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("name", "ecosystem", "purl")},
        },
        "version": {"type": "string"},
        "page_token": {"type": "string"},
    },
}
_OSV_ANSWER: Final = {200: content("application/json", {"type": "object"})}
_OSV_ERRORS: Final = (404, 408, 413, 503)
OSV_QUERY: Final = Operation(
    "The advisories about a package or a release (OSV's API)",
    _OSV_ANSWER,
    _OSV_ERRORS,
    body={"application/json": {"schema": _OSV_QUERY}},
)
OSV_BATCH: Final = Operation(
    "The ids of the advisories about many packages or releases (OSV's API)",
    _OSV_ANSWER,
    _OSV_ERRORS,
    body={
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"queries": {"type": "array", "maxItems": 1000, "items": _OSV_QUERY}},
                "required": ["queries"],
            }
        }
    },
)
OSV_DOCUMENT: Final = Operation(
    "An advisory (OSV's API)",
    _OSV_ANSWER,
    (404, 503),
    ({"name": "id", "in": "path", "required": True, "schema": _TEXT, "description": "Its id"},),
)
NOTHING: Final = Operation("Nothing", {}, (404, 502))
_JSON: Final = {200: content("application/json", reference("ProjectJson")), 301: _MOVED, 304: UNCHANGED}
PROJECT_JSON: Final = Operation("A project", _JSON, (404,), (_NAME,))
RELEASE_JSON: Final = Operation("A release", _JSON, (404,), (_NAME, _VERSION))
PROJECT_JSON_TOO: Final = Operation("The same as /pypi/{name}/json", _JSON, (404,), (_NAME,))
