"""Trusted publishing as jobs do it, over TLS: uv in the environments of CI systems, and the exchange of PyPI's action.

An issuer in the test stands for the platform. uv and the action insist on https at the root of the host, so a proxy
with a certificate of its own is in front of the server, as in production.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.asking import Site, serve
from tests.clients.environments import uv
from tests.clients.sandbox import Result, Sandbox, ok, refused
from tests.distributions import make_wheel, wheel_name
from tests.issuers import AUDIENCE, Answer, Issuer, issuing, send_json
from tests.publishing.claims import BUILDKITE, CIRCLECI, GITHUB, GITLAB, SHA
from tests.serving import run_quire

pytestmark = pytest.mark.clients


def certificates(folder: Path) -> tuple[Path, Path]:
    """The certificate of an authority, and a file with the key and certificate of 127.0.0.1 that it signed."""
    now = datetime.now(UTC)

    def certificate(
        name: str, own: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, "authority")]
        builder = x509.CertificateBuilder(names[1], names[0], own.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        return builder.add_extension(extension, critical=name == "authority").sign(by, hashes.SHA256())

    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    root = certificate("authority", authority, authority, x509.BasicConstraints(ca=True, path_length=None))
    leaf = certificate("index", own, authority, address)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "authority.pem").write_bytes(root.public_bytes(pem))
    key = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "index.pem").write_bytes(key + leaf.public_bytes(pem))
    return folder / "authority.pem", folder / "index.pem"


@contextmanager
def tls_proxy(port: int, certificate: Path) -> Iterator[int]:
    """A port at which the server at `port` is reached over TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop, started, servers = asyncio.new_event_loop(), threading.Event(), list[asyncio.Server]()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one of the two has gone
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(relay(reader, behind[1]), relay(behind[0], writer))

    async def listen() -> None:
        servers.append(await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context))
        started.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(listen())
        loop.run_forever()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    try:
        yield int(servers[0].sockets[0].getsockname()[1])
    finally:

        async def end() -> None:
            servers[0].close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass
class Rig:
    site: Site
    issuer: Issuer
    url: str
    authority: Path

    def quire(self, *words: str) -> str:
        done = run_quire(*words, "-d", self.site.root, cwd=self.site.root)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def log(self, project: str) -> dict[str, str]:
        """The CI job of the last upload."""
        job: dict[str, str] = json.loads(self.quire("log", project, "--json"))[-1]["job"]
        return job


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("trusted")
    authority, certificate = certificates(folder)
    with (
        issuing() as issuer,
        serve(folder, "-a", "update", "--disable-fallback") as site,
        tls_proxy(site.served.port, certificate) as port,
    ):
        rig = Rig(site, issuer, f"https://127.0.0.1:{port}", authority)
        own = ("--issuer", issuer.url, "--index", "main")
        repository = ("--repository", "acme/tools", "--workflow", "release.yml", "--environment", "pypi")
        rig.quire("publisher", "add", "github", *repository, *own, "--project", "acme-tools")
        group = ("--repository", "acme/platform/tools", "--workflow", ".gitlab-ci.yml")
        rig.quire("publisher", "add", "gitlab", *group, *own, "--project", "acme-lab")
        rig.quire(
            "publisher",
            "add",
            "buildkite",
            "--organization",
            "acme",
            "--pipeline",
            "tools",
            *own,
            "--project",
            "acme-kite",
        )
        organization, project = (CIRCLECI[f"oidc.circleci.com/{name}-id"] for name in ("org", "project"))
        words = ("--organization", organization, "--ci-project", project, "--repository", "github.com/acme/tools")
        rig.quire("publisher", "add", "circleci", *words, *own, "--project", "acme-circle")
        rig.quire("publisher", "audience", AUDIENCE)
        issuer.answers["/token"] = github_token(issuer)
        yield rig


def github_token(issuer: Issuer) -> Answer:
    """The address at which a job of GitHub asks for its token."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        assert handler.headers["Authorization"] == "Bearer of the job"
        (audience,) = parse_qs(urlsplit(handler.path).query)["audience"]
        send_json(handler, {"value": issuer.token(**{**GITHUB, "iss": issuer.url, "aud": audience})})

    return answer


def wheel(sandbox: Sandbox, name: str, version: str = "1.0") -> Path:
    path = sandbox.home / wheel_name(name, version)
    path.write_bytes(make_wheel(name, version))
    return path


def github(rig: Rig) -> dict[str, str]:
    """The environment of a job with `id-token: write`."""
    return {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{rig.issuer.url}/token?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the job",
        "SSL_CERT_FILE": str(rig.authority),
    }


def publish(rig: Rig, sandbox: Sandbox, path: Path, **variables: str) -> Result:
    words = ("publish", "--trusted-publishing", "always", "--publish-url", f"{rig.url}/", path)
    variables.setdefault("SSL_CERT_FILE", str(rig.authority))
    return sandbox.run(uv(), *words, cwd=None, **variables)


def test_uv_publishes_from_github_actions(rig: Rig, sandbox: Sandbox) -> None:
    """Without any secret; the log names the job."""
    ok(publish(rig, sandbox, wheel(sandbox, "acme_tools"), **github(rig)))
    job = rig.log("acme-tools")
    assert (job["repository"], job["run"], job["commit"]) == ("acme/tools", "19844302", SHA)


def test_uv_publishes_from_gitlab_ci(rig: Rig, sandbox: Sandbox) -> None:
    """The token is in the variable that uv makes of the audience."""
    host = rig.issuer.url.partition("://")[2]
    uri = f"{host}/acme/platform/tools//.gitlab-ci.yml@refs/tags/v1.2.0"
    token = rig.issuer.token(**{**GITLAB, "iss": rig.issuer.url, "ci_config_ref_uri": uri})
    ok(publish(rig, sandbox, wheel(sandbox, "acme_lab"), GITLAB_CI="true", PACKAGES_ACME_EXAMPLE_ID_TOKEN=token))
    assert rig.log("acme-lab")["repository"] == "acme/platform/tools"


@pytest.mark.parametrize(
    ("project", "claims", "program", "variable"),
    [
        ("acme_kite", BUILDKITE, "buildkite-agent", "BUILDKITE"),
        ("acme_circle", CIRCLECI, "circleci", "CIRCLECI"),
    ],
)
def test_uv_publishes_where_a_program_gives_the_token(
    rig: Rig, sandbox: Sandbox, project: str, claims: dict[str, Any], program: str, variable: str
) -> None:
    """On Buildkite and CircleCI."""
    folder = sandbox.home / "bin"
    folder.mkdir()
    script = folder / program
    script.write_text(f"#!/bin/sh\necho {rig.issuer.token(**{**claims, 'iss': rig.issuer.url})}\n")
    script.chmod(0o755)
    path = f"{folder}:/usr/bin:/bin"
    ok(publish(rig, sandbox, wheel(sandbox, project), PATH=path, **{variable: "true"}))
    assert rig.log(project.replace("_", "-"))["platform"] in {"Buildkite", "CircleCI"}


def test_uv_shows_why_it_was_refused(rig: Rig, sandbox: Sandbox) -> None:
    """A job of a project that the publisher does not have, and a token that no publisher has."""
    other = refused(publish(rig, sandbox, wheel(sandbox, "acme_other"), **github(rig)))
    assert "may not upload here" in other
    token = rig.issuer.token(**{**GITLAB, "iss": rig.issuer.url, "project_path": "evil/tools"})
    unknown = refused(
        publish(rig, sandbox, wheel(sandbox, "acme_lab"), GITLAB_CI="true", PACKAGES_ACME_EXAMPLE_ID_TOKEN=token)
    )
    assert "of no publisher of this index" in unknown
    assert "invalid-publisher" in unknown


def test_the_exchange_of_the_action_and_twine(rig: Rig, sandbox: Sandbox) -> None:
    """Step by step as gh-action-pypi-publish does it, and then twine with the token; errors are lists of two fields."""
    host = urlsplit(rig.url).netloc
    with httpx.Client(verify=ssl.create_default_context(cafile=str(rig.authority))) as client:
        audience = client.get(f"https://{host}/_/oidc/audience")
        assert audience.is_success
        asked = client.get(
            f"{rig.issuer.url}/token",
            params={"audience": audience.json()["audience"]},
            headers={"Authorization": "Bearer of the job"},
        )
        minted = client.post(f"https://{host}/_/oidc/mint-token", json={"token": asked.json()["value"]})
        assert minted.is_success
        token = minted.json().get("token")
        again = client.post(f"https://{host}/_/oidc/mint-token", json={"token": asked.json()["value"]})
        assert not again.is_success
        assert [f"* `{error['code']}`: {error['description']}" for error in again.json()["errors"]] == [
            "* `invalid-reuse-token`: The token was exchanged before; each is good for one exchange."
        ]
    words = ("upload", "--repository-url", f"{rig.url}/", "-u", "__token__", "-p", token, "--cert", rig.authority)
    ok(sandbox.twine(*words, wheel(sandbox, "acme_tools", "2.0")))
    assert rig.log("acme-tools")["run"] == "19844302"
