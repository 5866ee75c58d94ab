"""schemathesis against a real server, from the OpenAPI document that this server gives: no answer is undescribed.

`FUZZ_SECONDS` in the environment makes it longer (`make fuzz`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.advisories.taking import document, take_in
from tests.asking import JSON_V1, OPEN, publish_wheel, serve
from tests.fuzz.budget import seconds
from tests.serving import environment

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance"
)


def _with_what_exists(document: dict[str, Any], project: str, path: str) -> dict[str, Any]:
    """The document with values that lead to something among those that parameters may have."""
    known = {"name": project, "path": path, "version": "1.0", "format": JSON_V1, "index": "-"}
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in known:
                    schema = parameter["schema"]
                    parameter["schema"] = {"anyOf": [{"const": known[parameter["name"]]}, schema]}
                    parameter["example"] = known[parameter["name"]]
    return document


@pytest.mark.proofs
@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"] if "FUZZ_SECONDS" in os.environ else ["uvicorn"])
def test_every_answer_is_as_described(server: str, tmp_path: Path) -> None:
    """Requests within and beyond the schema: no 5xx, and status, media type, headers and body are documented ones."""
    with serve(tmp_path, *OPEN, "--server", server) as site:
        filename = publish_wheel(site, "there")
        take_in(site.root, document("ACME-1", "there", versions=["1.0"]))
        path = site.file_url("there", filename).partition("/packages/")[2]
        described = tmp_path / "openapi.json"
        described.write_text(json.dumps(_with_what_exists(site.get("/openapi.json").json(), "there", path)))
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", str(described)),
            *("--url", f"http://127.0.0.1:{site.served.port}", "--checks", CHECKS, "--continue-on-failure"),
            *("--max-redirects", "0", "--max-time", str(seconds(30)), "--seed", "1", "--warnings", "off"),
            *("--max-response-time", "20", "--generation-database", "none"),
        ]
        ended = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=seconds(30) + 200,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
        operations = sum(map(len, json.loads(described.read_text())["paths"].values()))
        assert f"Tested: {operations}" in ended.stdout, ended.stdout[-3000:]
        assert site.get("/simple/").status_code == 200
