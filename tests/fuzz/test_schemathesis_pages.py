"""schemathesis against the pages for people of a real server: each answer is a bounded page with its policy.

The OpenAPI document of the server describes its API. This one is made of the route table, so that a new page or form is
among those that are asked. `FUZZ_SECONDS` in the environment makes it longer (`make fuzz`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.asking import Site
from tests.fuzz.budget import seconds
from tests.http.ui.test_every_page import ALICE, FIELDS, KNOWN, site
from tests.serving import environment
from tests.web_pages import BROWSER, QUERY, parameters, paths

__all__ = ["site"]

USUAL: Final = 45
"""Seconds, of which schemathesis needs some until its first request."""
_METHODS: Final = ("GET", "POST")
_ANSWERS: Final = {"default": {"description": "a page", "content": {"text/html": {}, "text/plain": {}}}}


def _text(known: tuple[str, ...]) -> dict[str, Any]:
    """Any text; some that leads to something."""
    return {"anyOf": [{"enum": list(known)}, {"type": "string", "maxLength": 200}]} if known else {"type": "string"}


def described(token: str) -> dict[str, Any]:
    """The OpenAPI document of all pages and forms. `token`: of forms, as the cookie of their sender has it."""
    found: dict[str, dict[str, Any]] = {}
    fields = {name: _text(KNOWN.get(name, ())) for name in FIELDS} | {"token": _text((token,))}
    form = {"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": fields}}}
    queries = [{"name": name, "in": "query", "schema": _text(KNOWN.get(name, ()))} for name in QUERY]
    for method in _METHODS:
        for path in paths(method):
            within = [
                {"name": name, "in": "path", "required": True, "schema": _text(KNOWN.get(name, ("x",)))}
                for name in parameters(path)
            ]
            operation = {"parameters": within + (queries if method == "GET" else []), "responses": _ANSWERS}
            operation |= {} if method == "GET" else {"requestBody": {"content": form}}
            found.setdefault(path.replace(":path}", "}"), {})[method.lower()] = operation
    return {"openapi": "3.1.0", "info": {"title": "pages", "version": "1"}, "paths": found}


@pytest.mark.proofs
def test_every_answer_is_a_page(site: Site, tmp_path: Path) -> None:
    """Requests within and beyond the schema, as an administrator, whose forms count: no 5xx, a page or a documented
    error with its policy, and none takes long."""
    document, token = tmp_path / "pages.json", "t" * 43
    document.write_text(json.dumps(described(token)))
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", str(document)),
        *("--url", f"http://127.0.0.1:{site.served.port}", "--checks", "not_a_server_error,is_a_page"),
        *("--header", f"Authorization: {ALICE}", "--header", f"Cookie: quire_form={token}"),
        *("--header", f"Accept: {BROWSER}", "--phases", "fuzzing"),
        *("--max-redirects", "0", "--max-time", str(seconds(USUAL)), "--seed", "1", "--warnings", "off"),
        *("--max-response-time", "20", "--generation-database", "none", "--continue-on-failure"),
        *("--suppress-health-check", "all", "--max-examples", str(seconds(USUAL))),
    ]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(SCHEMATHESIS_HOOKS="tests.fuzz.page_checks"),
        capture_output=True,
        text=True,
        timeout=seconds(USUAL) + 200,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert re.search(r"Tested: +[1-9]", ended.stdout), ended.stdout[-3000:]
    assert site.get("/health").status_code == 200
