"""nginx and Caddy with the examples of deploy/, in front of a real quire: TLS, and everything under /pypi/.

An example is used as it stands, but for the few words that its first lines tell a reader to change.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from quire.config.network import FORWARDING_HEADERS
from tests.asking import Site, serve
from tests.serving import DEADLINE, environment, free_port, until

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
PREFIX = "/pypi"
BEHIND = (
    *("--server-base-url", PREFIX, "--trusted-proxies", "127.0.0.1"),
    *("--trusted-headers", ",".join(FORWARDING_HEADERS[:4])),
)
"""Flags of a quire behind a proxy; it believes more headers than it has to, which the proxy must set or clear."""
ACCEL = {"nginx": ("--accel-redirect", "/_files/"), "caddy": ()}
DIRECTORY = "/var/lib/quire/packages"  # in the examples


@dataclass(frozen=True)
class Proxied:
    """A proxy, and the quire behind it."""

    name: str
    port: int
    site: Site
    """quire, asked directly, at the proxy's own address."""
    certificate: Path
    """Of the authority that clients have to trust."""
    folder: Path
    """Where the proxy keeps its own files."""
    client: httpx.Client
    """Asks the proxy; its base URL has the prefix."""
    log: Path

    @property
    def url(self) -> str:
        """The URL of the index as clients know it, ended by a slash."""
        return f"https://127.0.0.1:{self.port}{PREFIX}/"

    def connect(self) -> ssl.SSLSocket:
        """A connection to the proxy that trusts its certificate."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        return context.wrap_socket(plain, server_hostname="127.0.0.1")


def replaced(text: str, words: Mapping[str, str]) -> str:
    """The text of an example with other words for these, each of which must be there."""
    for old, new in words.items():
        assert old in text, f"the example does not say {old!r} any more"
        text = text.replace(old, new)
    return text


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """An authority of this test's own, a certificate for 127.0.0.1 that it signed, and the key of that."""
    authority, authority_key, cert, key = (folder / f"{name}.pem" for name in ("ca", "ca-key", "cert", "key"))
    _certificate(authority, authority_key, "/CN=quire test CA", "basicConstraints=critical,CA:TRUE")
    signer = ("-CA", authority, "-CAkey", authority_key, "-addext", "basicConstraints=critical,CA:FALSE")
    _certificate(cert, key, "/CN=127.0.0.1", "subjectAltName=IP:127.0.0.1", *signer)
    return authority, cert, key


def _certificate(cert: Path, key: Path, subject: str, extension: str, *more: object) -> None:
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    named = ("-subj", subject, "-addext", extension, "-keyout", key, "-out", cert)
    subprocess.run([program("openssl"), "req", "-x509", *new, *named, *map(str, more)], check=True, capture_output=True)


Configure = Callable[[str], str]
"""A further change of an example's text, for one test."""


@contextmanager
def nginx(site: Site, folder: Path, *, change: Configure = str) -> Iterator[Proxied]:
    """nginx with deploy/nginx/quire.conf."""
    authority, cert, key = certificates(folder)
    port = free_port()
    words = {
        "server 127.0.0.1:8080;": f"server 127.0.0.1:{site.served.port};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        "server_name pypi.example.org;": "server_name 127.0.0.1;",
        "/etc/quire/tls/cert.pem": str(cert),
        "/etc/quire/tls/key.pem": str(key),
        DIRECTORY: str(site.root.resolve()),
    }
    (folder / "quire.conf").write_text(change(replaced((DEPLOY / "nginx" / "quire.conf").read_text(), words)))
    kept = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # the user is the one who made the directory, as an operator must see to
    (folder / "nginx.conf").write_text(
        f"daemon off;\nuser root;\nworker_processes 2;\npid {folder}/nginx.pid;\nerror_log stderr info;\n"
        f"events {{}}\nhttp {{\n{kept}access_log off;\ninclude {folder}/quire.conf;\n}}\n"
    )
    command = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with _running("nginx", command, site, folder, port, authority) as proxied:
        yield proxied


@contextmanager
def caddy(site: Site, folder: Path, *, change: Configure = str) -> Iterator[Proxied]:
    """Caddy with deploy/caddy/Caddyfile."""
    authority, cert, key = certificates(folder)
    port = free_port()
    words = {
        "reverse_proxy 127.0.0.1:8080 {": f"reverse_proxy 127.0.0.1:{site.served.port} {{",
        "\npypi.example.org {": f"\nhttps://127.0.0.1:{port} {{\n\tbind 127.0.0.1",
        "/etc/quire/tls/cert.pem": str(cert),
        "/etc/quire/tls/key.pem": str(key),
    }
    text = change(replaced((DEPLOY / "caddy" / "Caddyfile").read_text(), words))
    # nothing of it may listen on ports of the machine, or go into a user's home
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}")
    command = [program("caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with _running("caddy", command, site, folder, port, authority) as proxied:
        yield proxied


PROXIES = {"nginx": nginx, "caddy": caddy}


@contextmanager
def behind(kind: str, folder: Path, *flags: object, change: Configure = str) -> Iterator[Proxied]:
    """A quire over `folder`/packages and the proxy in front of it. `flags`: of quire, beside those of the example."""
    with ExitStack() as stack:
        site = stack.enter_context(serve(folder, *BEHIND, *ACCEL[kind], "--disable-fallback", *flags))
        own = folder / kind
        own.mkdir()
        yield stack.enter_context(PROXIES[kind](site, own, change=change))


def program(name: str) -> str:
    """The path of a program of a Debian package; without it the test is skipped."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"{name} is missing; scripts/deploy-tools installs it, as root on Debian")
    return found


@contextmanager
def _running(kind: str, command: list[str], site: Site, folder: Path, port: int, authority: Path) -> Iterator[Proxied]:
    log = folder / "output.log"
    homes = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(**homes), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:

        def listens() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
            except OSError:
                return False
            return True

        until(listens)
        context = ssl.create_default_context(cafile=str(authority))
        with httpx.Client(
            base_url=f"https://127.0.0.1:{port}{PREFIX}", verify=context, timeout=DEADLINE, trust_env=False
        ) as client:
            yield Proxied(kind, port, site, authority, folder, client, log)
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
