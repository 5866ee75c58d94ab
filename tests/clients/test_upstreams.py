"""One URL for private projects, those of a public index, and wheels of a third one that has HTML alone, as PyTorch's:
local versions, relative URLs, no sizes. An application of the private index needs the other two."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.operations import defining
from tests.asking import JSON_V1, OPEN, Site, post, serve, twine_form
from tests.clients import environments
from tests.clients.matrix import first_of
from tests.clients.sandbox import Sandbox, installed, ok
from tests.distributions import make_wheel, wheel_name
from tests.upstreams import Answer, FakeIndex, serving_index

pytestmark = pytest.mark.clients

PINNED = "2.5.1+cpu"
NEEDED = {"acme_app": "1.0", "far_lib": "1.0", "torchish": PINNED}
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\nRequires-Python: >=3.8\n{}"


def newest_pip() -> dict[str, bytes]:
    """A wheel of the newest pip, packed again from its environment: pipx wants it from the index."""
    (info,) = environments.programs("pip-newest").parent.glob("lib/python*/site-packages/pip-*.dist-info")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in (info, info.with_name("pip")):
            for each in folder.rglob("*"):
                if each.is_file() and each.suffix != ".pyc":
                    archive.write(each, each.relative_to(info.parent))
    return {f"{info.name.removesuffix('.dist-info')}-py3-none-any.whl": packed.getvalue()}


@pytest.fixture(scope="module")
def public() -> Iterator[FakeIndex]:
    with serving_index() as index:
        index.has("far-lib", {wheel_name("far-lib", "1.0"): make_wheel("far-lib", "1.0")})
        index.has("torchish", {wheel_name("torchish", "9.0"): make_wheel("torchish", "9.0")})
        index.has("acme-app", {wheel_name("acme-app", "9.0"): make_wheel("acme-app", "9.0")})
        index.has("pip", newest_pip())
        yield index


@pytest.fixture(scope="module")
def wheels() -> Iterator[FakeIndex]:
    with serving_index() as index:
        content, filename = make_wheel("torchish", PINNED), wheel_name("torchish", PINNED)
        old = wheel_name("torchish", "1.0")
        index.at(f"/whl/cpu/{quote(filename)}", Answer(content))
        index.at(f"/whl/cpu/{old}", Answer(make_wheel("torchish", "1.0")))
        links = f"""<!DOCTYPE html>
<html>
  <body>
    <h1>Links for torchish</h1>
    <a href="/whl/cpu/{quote(filename)}#sha256={hashlib.sha256(content).hexdigest()}">{filename}</a><br/>
    <a href="/whl/cpu/{old}">{old}</a><br/>
  </body>
</html>
<!--TIMESTAMP 1730000000-->"""
        index.at("/whl/cpu/torchish/", Answer(links.encode(), "text/html"))
        yield index


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, public: FakeIndex, wheels: FakeIndex) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("upstreams"), *OPEN, NO_PROXY="*") as served:
        access = AccessRecords(served.index().store)
        filename = wheel_name("acme-app", "1.0")
        needs = f"Requires-Dist: far-lib\nRequires-Dist: torchish=={PINNED}\n"
        content = make_wheel("acme-app", "1.0", metadata=METADATA.format("acme-app", needs))
        sent = post(served, twine_form(filename, content, name="acme-app", version="1.0"))
        assert sent.status_code == 200, sent.text
        for upstream in (
            {"url": f"{wheels.base}/whl/cpu/", "only": ("torchish", "nvidia-*")},
            {"url": public.url},
        ):
            defining.set_index(access, "main", {"upstream": upstream}, default="main", origin=Origin())
        yield served


@pytest.mark.parametrize("client", first_of("pip-newest", "uv", "pip-html", first=2))
def test_installers(site: Site, sandbox: Sandbox, client: str) -> None:
    """Of each project the owner's files, with the local version."""
    target = sandbox.target()
    where = ("--target", target, "acme-app")
    if client == "uv":
        ok(sandbox.uv("pip", "install", "--default-index", f"{site.base}simple/", *where))
    else:
        ok(sandbox.pip(client, "install", "--index-url", f"{site.base}simple/", *where))
    assert installed(target) == NEEDED


@pytest.mark.parametrize("client", ["uv", "poetry", "pdm"])
def test_project_managers(site: Site, sandbox: Sandbox, client: str) -> None:
    """They lock all of it with digests, and install by the lock."""
    simple, folder = f"{site.base}simple/", sandbox.home / "project"
    folder.mkdir()
    settings = {
        "uv": f'[[tool.uv.index]]\nname = "company"\nurl = "{simple}"\ndefault = true\n',
        "poetry": "[tool.poetry]\npackage-mode = false\n"
        f'[[tool.poetry.source]]\nname = "company"\nurl = "{simple}"\npriority = "primary"\n',
        "pdm": "[tool.pdm]\ndistribution = false\n"
        f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{simple}"\nverify_ssl = true\n',
    }
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "throwaway"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["acme-app"]\n'
        + settings[client]
    )
    if client == "uv":
        ok(sandbox.uv("lock", cwd=folder, UV_NO_CONFIG="0"))
        ok(sandbox.uv("sync", "--locked", cwd=folder, UV_NO_CONFIG="0"))
    elif client == "poetry":
        ok(sandbox.run(environments.programs("poetry") / "poetry", "--no-interaction", "install", cwd=folder))
    else:
        ok(sandbox.run(environments.programs("pdm") / "pdm", "install", cwd=folder))
    lock = (folder / {"uv": "uv.lock", "poetry": "poetry.lock", "pdm": "pdm.lock"}[client]).read_text()
    assert hashlib.sha256(make_wheel("torchish", PINNED)).hexdigest() in lock
    found = installed(next((folder / ".venv").glob("lib/python*/site-packages")))
    assert {name: version for name, version in found.items() if name in NEEDED} == NEEDED


@pytest.mark.parametrize("backend", ["pip", "uv"])
def test_pipx(site: Site, public: FakeIndex, sandbox: Sandbox, backend: str) -> None:
    """It installs a private program with its public dependency, and a newer one over it; its backend asks the index of
    the environment, also for pip itself, and no upstream is asked for the program."""
    program = "import far_lib\n\ndef main():\n    print('acme', VERSION, far_lib.VERSION)\n"
    for version in ("1.0", "2.0"):
        content = make_wheel(
            "acme-cli",
            version,
            metadata=METADATA.format("acme-cli", "Requires-Dist: far-lib\n").replace("1.0", version),
            files={
                # of different sizes: bytecode of the first would count for a second of its size and time
                "acme_cli.py": f"VERSION = {version!r}\n{program}{'#' * int(version[0])}\n".encode(),
                f"acme_cli-{version}.dist-info/entry_points.txt": b"[console_scripts]\nacme-cli = acme_cli:main\n",
            },
        )
        filename = wheel_name("acme-cli", version)
        sent = post(site, twine_form(filename, content, name="acme-cli", version=version))
        assert sent.status_code in {200, 409}, sent.text
    simple, home = f"{site.base}simple/", sandbox.home / "pipx"
    settings: dict[str, Any] = {
        "PIPX_HOME": str(home),
        "PIPX_BIN_DIR": str(home / "bin"),
        "PIPX_DEFAULT_BACKEND": backend,
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "PIP_INDEX_URL": simple,
        "UV_DEFAULT_INDEX": simple,
        "PATH": f"{environments.uv().parent}:{os.defpath}",
    }
    pipx = environments.programs("pipx") / "pipx"
    ok(sandbox.run(pipx, "install", "acme-cli<2", **settings))
    assert ok(sandbox.run(home / "bin" / "acme-cli")).strip() == "acme 1.0 1.0"
    ok(sandbox.run(pipx, "install", "--force", "acme-cli", **settings))
    assert ok(sandbox.run(home / "bin" / "acme-cli")).strip() == "acme 2.0 1.0"
    assert len([path for path in public.paths if "acme-cli" in path]) == 1  # by the first upload
    assert any(path.startswith("/simple/pip/") for path in public.paths) or backend == "uv"


def test_programs_that_look_for_new_versions(site: Site, public: FakeIndex, wheels: FakeIndex) -> None:
    """As Renovate (the page in JSON, else HTML) and Dependabot (`/pypi/NAME/json` as well) ask: every project from its
    owner, and no name of the private index at an upstream."""
    for name, version in (("far-lib", "1.0"), ("torchish", PINNED), ("acme-app", "1.0")):
        page = site.get(f"/simple/{name}/", accept=f"{JSON_V1}, text/html;q=0.1").json()
        assert page["versions"] == [version]
        assert all(each["hashes"]["sha256"] for each in page["files"])
        assert version in site.get(f"/simple/{name}/", accept="text/html").text
        document = site.get(f"/pypi/{name}/json").json()
        assert list(document["releases"]) == [version]
        url = document["urls"][0]["url"]
        assert (
            hashlib.sha256(httpx.get(url, trust_env=False).content).hexdigest()
            == (document["urls"][0]["digests"]["sha256"])
        )
    assert not [path for index in (public, wheels) for path in index.paths if "acme-app" in path]
    assert not [path for path in wheels.paths if "far-lib" in path]


def test_a_file_without_a_digest_is_not_offered(site: Site, wheels: FakeIndex) -> None:
    """Nothing is served that cannot be verified; its place is not found either."""
    assert site.filenames("torchish") == [wheel_name("torchish", PINNED)]
    assert site.get(f"/packages/whl/cpu/{wheel_name('torchish', '1.0')}").status_code == 404
    assert not [path for path in wheels.paths if "1.0-py3" in path]
