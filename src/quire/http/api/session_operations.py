"""The operations of publishing sessions (PEP 694), as `quire.http.api.operations` has those of other routes."""

from __future__ import annotations

from typing import Final

from quire.http.api.operations import Json, Operation, content, headers_of, in_path

_TEXT: Final[Json] = {"type": "string"}


def _object_of(properties: dict[str, Json]) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


_SESSION_TYPE: Final = "application/vnd.pypi.upload.v2+json"
_SESSION_NAME = in_path("session", {"type": "string", "maxLength": 100}, "As the answer to its creation links it")
_FILE_NAME = in_path("file", {"type": "string", "maxLength": 100}, "As the answer to its creation links it")
_API_META: Final[Json] = _object_of({"api-version": {"type": "string", "const": "2.0"}})


def _session_answer(status: int, *headers: str) -> dict[int, Json]:
    return {status: content(_SESSION_TYPE, {"type": "object"}) | {"headers": headers_of(*headers)}}


def _session_body(more: dict[str, Json] | None = None) -> Json:
    return {_SESSION_TYPE: {"schema": _object_of({"meta": _API_META} | (more or {}))}}


_SESSION_ERRORS: Final = (404, 406)
_SESSION_CHANGE_ERRORS: Final = (404, 406, 408, 409, 413, 415, 507)
CREATE_SESSION: Final = Operation(
    "Create a publishing session (PEP 694)",
    _session_answer(201, "Location"),
    _SESSION_CHANGE_ERRORS,
    body=_session_body({"name": _TEXT, "version": _TEXT}),
)
SESSION: Final = Operation(
    "The status of a publishing session", _session_answer(200), _SESSION_ERRORS, (_SESSION_NAME,)
)
CANCEL_SESSION: Final = Operation(
    "Cancel a publishing session", {204: {"description": "Done"}}, (*_SESSION_ERRORS, 409, 507), (_SESSION_NAME,)
)
PUBLISH_SESSION: Final = Operation(
    "Publish all files of a session in one step",
    _session_answer(201, "Location") | _session_answer(202, "Location", "Retry-After"),
    _SESSION_CHANGE_ERRORS,
    (_SESSION_NAME,),
    _session_body(),
)
_EXTENSION: Final = _session_body({"extend-for": {"type": "integer", "minimum": 1}})
EXTEND_SESSION: Final = Operation(
    "Let a session expire later",
    _session_answer(200),
    _SESSION_CHANGE_ERRORS,
    (_SESSION_NAME,),
    _EXTENSION,
)
ADD_SESSION_FILE: Final = Operation(
    "Begin the upload of a file of a session",
    _session_answer(202, "Location", "Retry-After"),
    (*_SESSION_CHANGE_ERRORS, 422),
    (_SESSION_NAME,),
    _session_body(
        {
            "filename": _TEXT,
            "size": {"type": "integer", "minimum": 1},
            "hashes": {"type": "object", "additionalProperties": _TEXT},
            "mechanism": _TEXT,
        }
    ),
)
SESSION_FILE: Final = Operation(
    "The status of the upload of a file",
    _session_answer(200, "Retry-After"),
    _SESSION_ERRORS,
    (_SESSION_NAME, _FILE_NAME),
)
SESSION_BYTES: Final = Operation(
    "Send the bytes of a file (the mechanism http-post-bytes)",
    _session_answer(200, "Retry-After"),
    _SESSION_CHANGE_ERRORS,
    (_SESSION_NAME, _FILE_NAME),
    {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
)
DELETE_SESSION_FILE: Final = Operation(
    "Cancel the upload of a file, or delete the file from its session",
    {204: {"description": "Done"}},
    (*_SESSION_ERRORS, 409, 507),
    (_SESSION_NAME, _FILE_NAME),
)
COMPLETE_SESSION_FILE: Final = Operation(
    "Complete the upload of a file",
    _session_answer(201, "Location"),
    _SESSION_CHANGE_ERRORS,
    (_SESSION_NAME, _FILE_NAME),
    _session_body(),
)
EXTEND_SESSION_FILE: Final = Operation(
    "Let the upload of a file, and with it the session, expire later",
    _session_answer(200, "Retry-After"),
    _SESSION_CHANGE_ERRORS,
    (_SESSION_NAME, _FILE_NAME),
    _EXTENSION,
)
SESSION_ATTESTATIONS: Final = Operation(
    "Send the attestations (PEP 740) of a file, before it is completed",
    _session_answer(200, "Retry-After"),
    _SESSION_CHANGE_ERRORS,
    (_SESSION_NAME, _FILE_NAME),
    {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
)
