"""XML-RPC `search`, as `pip search` and `pypi-server`'s clients call it; safe against hostile XML."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException
from starlette.requests import Request
from starlette.responses import Response

from quire.auth import Action
from quire.errors import InvalidRequest, TooLarge
from quire.names import version_sort_key
from quire.repository import ProjectView
from quire.web.pages import service_of

MAX_CALL_BYTES = 64 * 1024
MAX_RESULTS = 100


async def call(request: Request) -> Response:
    """POST /RPC2 or /pypi."""
    service = service_of(request)
    await service.authorize(request, Action.LIST)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_CALL_BYTES:
            raise TooLarge("The XML-RPC call is larger than 64 KiB.")
    parameters, method = parse_call(bytes(body))
    if method != "search":
        return _answer(xmlrpc.client.Fault(-32601, f"The method {str(method)[:100]} does not exist; only search does."))
    terms = search_terms(parameters)
    names = [name for name in (await service.names()).names if not terms or any(term in name for term in terms)]
    results: list[dict[str, Any]] = []
    for name in names[:MAX_RESULTS]:
        view = await service.project(name)
        if view.offered:
            results.append(_result(view, len(results)))
    return _answer((results,))


def parse_call(body: bytes) -> tuple[tuple[Any, ...], str | None]:
    """(parameters, method name) of an XML-RPC call.

    Raises InvalidRequest for what is not one, and for XML that declares entities or a document type.
    """
    try:
        # xmlrpc.client's own parser expands entities; this one refuses them, and looks at everything first
        defusedxml.ElementTree.fromstring(body, forbid_dtd=True)
        return xmlrpc.client.loads(body)
    except (DefusedXmlException, ValueError, SyntaxError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise InvalidRequest("This is not a safe XML-RPC call.") from error
    except xmlrpc.client.Error as error:
        raise InvalidRequest("This is not an XML-RPC call.") from error


def search_terms(parameters: tuple[Any, ...]) -> list[str]:
    """What pip asks for: search({"name": [...], "summary": [...]}, "or"). Names are compared normalized."""
    spec = parameters[0] if parameters else {}
    wanted = spec.get("name", []) if isinstance(spec, dict) else spec
    terms = wanted if isinstance(wanted, list) else [wanted]
    return [str(term).strip().lower().replace("_", "-").replace(".", "-") for term in terms if str(term).strip()]


def _result(view: ProjectView, ordering: int) -> dict[str, Any]:
    newest = max((each.file.version for each in view.offered.values()), key=version_sort_key)
    return {"name": view.name, "version": newest, "summary": newest, "_pypi_ordering": ordering}


def _answer(value: tuple[Any, ...] | xmlrpc.client.Fault) -> Response:
    return Response(
        xmlrpc.client.dumps(value, methodresponse=True, allow_none=True), media_type="text/xml; charset=utf-8"
    )
