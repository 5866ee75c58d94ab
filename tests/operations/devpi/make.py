"""An export of a real devpi-server: `python -m tests.operations.devpi.make` writes `export/` beside this file.

Two users beside root, a mirror, and three stages, two with bases; wheels, an sdist, documentation and a test result.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import httpx
from benchmarks.environments import programs
from benchmarks.processes import started, wait_for

from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.serving import environment, free_port

EXPORT = Path(__file__).parent / "export"
_PASSWORD = "export-password"
_INDEXES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("root/public", {"type": "mirror", "mirror_url": "https://index.example/simple/", "volatile": False}),
    ("acme/prod", {"bases": ["root/public"], "volatile": False, "acl_upload": ["acme", "alice"]}),
    (
        "acme/dev",
        {
            "bases": ["acme/prod"],
            "volatile": True,
            "acl_upload": [":AUTHENTICATED:", ":developers"],
            "mirror_whitelist": ["acme-core"],
        },
    ),
    ("alice/play", {"bases": ["acme/dev", "root/public"], "volatile": True, "mirror_whitelist": ["*"]}),
)
_FILES = (
    ("acme/prod", "acme-tools", "1.0", wheel_name("acme-tools", "1.0"), make_wheel("acme-tools", "1.0")),
    ("acme/prod", "acme-tools", "1.0", sdist_name("acme-tools", "1.0"), make_sdist("acme-tools", "1.0")),
    ("acme/dev", "acme-tools", "1.1", wheel_name("acme-tools", "1.1"), make_wheel("acme-tools", "1.1")),
    ("acme/dev", "Acme.Core", "2.0", wheel_name("Acme.Core", "2.0"), make_wheel("Acme.Core", "2.0")),
)


def export(target: Path, work: Path) -> None:
    """Fill a devpi-server in `work`, and export it into `target`. Raises Unavailable where it cannot be installed."""
    folder, port = work / "server", free_port()
    _run("devpi-init", "--serverdir", str(folder), "--no-root-pypi")
    server = [str(programs("devpi-server") / "devpi-server"), "--serverdir", str(folder), "--offline-mode"]
    command = [*server, "--host", "127.0.0.1", "--port", str(port)]
    with (
        started(command, work / "devpi.log", environ=environment(), cwd=work) as running,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Accept": "application/json"}) as client,
    ):
        wait_for(running, lambda: _answers(client), 60)
        _fill(client)
    _run("devpi-export", "--serverdir", str(folder), str(target))


def _run(program: str, *arguments: str) -> None:
    subprocess.run([programs("devpi-server") / program, *arguments], env=environment(), capture_output=True, check=True)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/+api").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _fill(client: httpx.Client) -> None:
    for user in ("acme", "alice"):
        _checked(client.put(f"/{user}", json={"password": _PASSWORD, "email": f"{user}@acme.example"}))
    logins = {user: _login(client, user, _PASSWORD) for user in ("acme", "alice")} | {
        "root": _login(client, "root", "")
    }
    for name, settings in _INDEXES:
        login = logins[name.partition("/")[0]]
        _checked(client.put(f"/{name}", json=settings, headers=login))
    for index, project, version, filename, content in _FILES:
        fields = {":action": "file_upload", "name": project, "version": version}
        login = logins[index.partition("/")[0]]
        _checked(client.post(f"/{index}/", data=fields, files={"content": (filename, content)}, headers=login))
    login = logins["acme"]
    fields = {":action": "doc_upload", "name": "acme-tools", "version": "1.0"}
    _checked(client.post("/acme/prod/", data=fields, files={"content": ("docs.zip", _docs())}, headers=login))
    found = _checked(client.get("/acme/prod/acme-tools/1.0")).json()["result"]["+links"]
    wheel = next(each["href"] for each in found if each["href"].endswith(".whl"))
    _checked(client.post(wheel.partition("#")[0], content=json.dumps({"testenvs": {}}), headers=login))


def _docs() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.html", (2020, 2, 2, 0, 0, 0)), "<p>acme-tools</p>")
    return buffer.getvalue()


def _login(client: httpx.Client, user: str, password: str) -> dict[str, str]:
    token = _checked(client.post("/+login", json={"user": user, "password": password})).json()["result"]["password"]
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"}


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise RuntimeError(f"{response.request.method} {response.request.url}: {response.status_code} {response.text}")
    return response


def main() -> int:
    shutil.rmtree(EXPORT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as work:
        export(EXPORT, Path(work))
    return 0


if __name__ == "__main__":
    sys.exit(main())
