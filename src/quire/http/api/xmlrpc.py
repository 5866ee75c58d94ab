"""XML-RPC `search`, as `pip search` and `pypi-server`'s clients call it; safe against hostile XML."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Sequence
from itertools import islice
from typing import Any

import defusedxml.ElementTree
import structlog
from defusedxml.common import DefusedXmlException
from starlette.requests import Request
from starlette.responses import Response

from quire.catalog.composing import ProjectNames, Projects
from quire.catalog.served import ServedIndex
from quire.catalog.views import ProjectView
from quire.domain.errors import InvalidRequest, StoreError, TooLarge
from quire.domain.names import version_sort_key
from quire.http.app.request_log import context_of
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.forms import body_chunks

log = structlog.get_logger(__name__)

MAX_CALL_BYTES = 64 * 1024
MAX_RESULTS = 100
MAX_TERMS = 20
_NO_CALL = (DefusedXmlException, ValueError, ArithmeticError, SyntaxError, TypeError, AttributeError, LookupError)
"""Raised for bytes that are no call: of the parsers, and of Python's types for values that they do not take."""


async def call(request: Request) -> Response:
    """POST /RPC2 or /pypi."""
    worker, index = worker_of(request), index_of(request)
    body = bytearray()
    async for chunk in body_chunks(request, worker.settings.body_timeout):
        body += chunk
        if len(body) > MAX_CALL_BYTES:
            raise TooLarge("The XML-RPC call is larger than 64 KiB.")
    parameters, method = parse_call(bytes(body))
    if method != "search":
        return _answer(xmlrpc.client.Fault(-32601, f"The method {str(method)[:100]} does not exist; only search does."))
    names = await index.own_names()
    request_id = context_of(request.scope).request_id
    found = await worker.for_large_page(_search, index, names, search_terms(parameters), request_id)
    return _answer((found,))


def _search(index: ServedIndex, names: Sequence[str], terms: list[str], request_id: str) -> list[dict[str, Any]]:
    """Blocks. The projects that it reads are remembered apart, or they would push out installers' pages."""
    projects = Projects(index.own_sources, policies=index.policies)
    results: list[dict[str, Any]] = []
    for name in _matching(names, terms):
        try:
            known = index.searched.get(name) or index.projects.memory.get(name)
            view = projects.load_blocking(name, known)
        except StoreError as error:
            ProjectNames(index.own_sources).load_blocking()  # raises if it is not this project alone
            log.error("left out of a search", project=name, error=str(error), request=request_id)
            continue
        if view is not known:
            index.searched.put(name, view)
        if view.offered:
            results.append(_result(view, len(results)))
            if len(results) == MAX_RESULTS:
                break
    return results


def parse_call(body: bytes) -> tuple[tuple[Any, ...], str | None]:
    """(parameters, method name) of an XML-RPC call.

    Raises InvalidRequest for what is not one, and for XML that declares entities or a document type.
    """
    try:
        # xmlrpc.client's own parser expands entities; this one refuses them, and checks everything first
        defusedxml.ElementTree.fromstring(body, forbid_dtd=True)
        return xmlrpc.client.loads(body)
    except _NO_CALL as error:
        raise InvalidRequest("This is not a safe XML-RPC call.") from error
    except xmlrpc.client.Error as error:
        raise InvalidRequest("This is not an XML-RPC call.") from error


def search_terms(parameters: tuple[Any, ...]) -> list[str]:
    """The terms that pip searches for: search({"name": [...], "summary": [...]}, "or"). Names are compared normalized.

    Raises InvalidRequest for terms that are no text, and for too many of them.
    """
    spec = parameters[0] if parameters else {}
    wanted = spec.get("name", []) if isinstance(spec, dict) else spec
    terms = wanted if isinstance(wanted, list) else [wanted]
    if len(terms) > MAX_TERMS:
        raise InvalidRequest(f"A search takes at most {MAX_TERMS} terms.")
    if not all(isinstance(term, str) for term in terms):
        raise InvalidRequest("The search terms must be text.")
    return [term.strip().lower().replace("_", "-").replace(".", "-") for term in terms if term.strip()]


def _matching(names: Sequence[str], terms: list[str]) -> list[str]:
    """A few more than are answered with, since some may have no files."""
    found = (name for name in names if not terms or any(term in name for term in terms))
    return list(islice(found, 2 * MAX_RESULTS))


def _result(view: ProjectView, ordering: int) -> dict[str, Any]:
    newest = max((each.file.version for each in view.offered.values()), key=version_sort_key)
    return {"name": view.name, "version": newest, "summary": newest, "_pypi_ordering": ordering}


def _answer(value: tuple[Any, ...] | xmlrpc.client.Fault) -> Response:
    return Response(
        xmlrpc.client.dumps(value, methodresponse=True, allow_none=True), media_type="text/xml; charset=utf-8"
    )
