"""twine, pip and uv through nginx and through Caddy: TLS, a prefix, a login for everything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.asking import password_file
from tests.clients.sandbox import Result, Sandbox, imported, installed, ok, refused
from tests.deploy.proxy_rig import PROXIES, Proxied, behind
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name

pytestmark = [pytest.mark.deploy, pytest.mark.clients]

USER, PASSWORD = "alice", "s3cret"
PADDING = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(100_000))
"""Three megabytes that no compression makes smaller: more than nginx takes by itself."""


@pytest.fixture(scope="module", params=sorted(PROXIES))
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """A quire where everything needs a login, behind one of the proxies."""
    folder = tmp_path_factory.mktemp(request.param)
    passwords = password_file(folder, **{USER: PASSWORD})
    with behind(request.param, folder, "-a", "download,list,update", "-P", passwords) as proxied:
        yield proxied


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A home for clients, for one test."""
    (tmp_path / "home").mkdir()
    return Sandbox(tmp_path / "home")


def _simple(proxied: Proxied) -> str:
    return proxied.url.replace("https://", f"https://{USER}:{PASSWORD}@") + "simple/"


def _dist(sandbox: Sandbox, name: str) -> list[Path]:
    files = {
        wheel_name(name, "1.0"): make_wheel(name, "1.0", files={"padding.bin": PADDING}),
        sdist_name(name, "1.0"): make_sdist(name, "1.0"),
    }
    for filename, content in files.items():
        (sandbox.home / filename).write_bytes(content)
    return [sandbox.home / filename for filename in files]


def _twine(sandbox: Sandbox, proxied: Proxied, password: str, *files: Path) -> Result:
    login = ("--non-interactive", "--username", USER, "--password", password, "--disable-progress-bar")
    trust = ("--cert", proxied.certificate)
    return sandbox.twine("upload", "--verbose", "--repository-url", proxied.url, *login, *trust, *files)


def _uv_publish(sandbox: Sandbox, proxied: Proxied, password: str, *files: Path) -> Result:
    login = ("--username", USER, "--password", password, "--trusted-publishing", "never")
    trust = str(proxied.certificate)
    return sandbox.uv("publish", "--publish-url", proxied.url, *login, *files, SSL_CERT_FILE=trust)


Publisher = Callable[..., Result]
PUBLISHERS: dict[Publisher, str] = {_twine: "twined", _uv_publish: "uv-published"}


@pytest.mark.parametrize("publisher", PUBLISHERS, ids=PUBLISHERS.values())
@pytest.mark.parametrize("installer", ["pip-newest", "pip-html", "uv"])
def test_publish_and_install(proxied: Proxied, sandbox: Sandbox, publisher: Publisher, installer: str) -> None:
    """Each installer gets in its next request a file that one client has published through the proxy."""
    name = f"{PUBLISHERS[publisher]}-{installer}"
    ok(publisher(sandbox, proxied, PASSWORD, *_dist(sandbox, name)))
    target = sandbox.target()
    if installer == "uv":
        arguments = ("--default-index", _simple(proxied), "--target", target, name)
        ok(sandbox.uv("pip", "install", *arguments, SSL_CERT_FILE=str(proxied.certificate)))
    else:
        trust = ("--cert", proxied.certificate)
        ok(sandbox.pip(installer, "install", *trust, "--index-url", _simple(proxied), "--target", target, name))
    assert imported(target, name.replace("-", "_")) == "1.0"
    assert installed(target) == {name.replace("-", "_"): "1.0"}


@pytest.mark.parametrize("publisher", PUBLISHERS, ids=PUBLISHERS.values())
def test_a_wrong_password_is_an_error_message(proxied: Proxied, sandbox: Sandbox, publisher: Publisher) -> None:
    """The refusal comes through, though the client is still sending when it is decided."""
    assert "401 Unauthorized" in refused(publisher(sandbox, proxied, "wrong", *_dist(sandbox, "unwanted")))


def test_pip_resolves_from_the_metadata_alone(proxied: Proxied, sandbox: Sandbox) -> None:
    """PEP 658 through the proxy: nothing but the metadata is fetched to know what would be installed."""
    ok(_twine(sandbox, proxied, PASSWORD, *_dist(sandbox, "lazy")))
    trust = ("--cert", proxied.certificate)
    arguments = ("--dry-run", "--ignore-installed", "--index-url", _simple(proxied), "--use-feature=fast-deps", "lazy")
    assert "Would install lazy-1.0" in ok(sandbox.pip("pip-newest", "install", *trust, *arguments))
