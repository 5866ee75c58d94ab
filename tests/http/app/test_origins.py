"""Pages of other sites: they change nothing here, and read nothing under a name that they lead to this address."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from quire.config.network import host_names
from quire.config.resolving import from_environment, resolve
from quire.config.settings import RUN_DEFAULTS, SERVE_DEFAULTS, Settings
from quire.domain.errors import ConfigurationError
from quire.http.app.origins import AllowedHosts, is_own
from quire.http.app.proxies import Outside
from tests.asking import (
    OPEN,
    Part,
    Site,
    content_type,
    multipart,
    nothing_changes,
    publish,
    publish_wheel,
    serve,
    twine_form,
)
from tests.distributions import make_wheel, wheel_name
from tests.serving import free_port, quire_command, running

SERVERS = ["uvicorn", "gunicorn", "wsgiref"]
SENTENCE = (
    "A web page of another site asks for this change; the index takes changes from tools that publish and from its own "
    "pages only.\n"
)


@pytest.mark.parametrize(
    ("origin", "scheme", "host", "own"),
    [
        ("http://pypi.example", "http", "pypi.example", True),
        ("http://PyPI.example:80", "http", "pypi.example", True),
        ("https://pypi.example", "http", "pypi.example", True),  # a proxy ends TLS and does not say so
        ("https://pypi.example", "https", "pypi.example:443", True),
        ("http://pypi.example", "https", "pypi.example", False),
        ("http://pypi.example:8080", "http", "pypi.example:8080", True),
        ("http://[::1]:8080", "http", "[::1]:8080", True),
        ("http://pypi.example:8080", "http", "pypi.example:8081", False),
        ("http://pypi.example", "http", "pypi.example:8080", False),
        ("http://evil.example", "http", "pypi.example", False),
        ("http://pypi.example.evil.example", "http", "pypi.example", False),
        ("http://pypi.example@evil.example", "http", "pypi.example", False),
        ("null", "http", "pypi.example", False),
        ("null", "http", "null", False),
        ("", "http", "", False),
        ("", "http", "pypi.example", False),
        ("file://", "http", "", False),
        ("http://", "http", "", False),
        ("http://[::1", "http", "pypi.example", False),
        ("http://pypi.example:x", "http", "pypi.example", False),
        ("pypi.example", "http", "pypi.example", False),
    ],
)
def test_origins_of_pages(origin: str, scheme: str, host: str, own: bool) -> None:
    """Host and port of the index as the client addresses it; its scheme when the connection is secure for certain."""
    assert is_own(origin, Outside(scheme, host, "")) is own


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index without logins, as on a developer's machine."""
    flags = ("--trusted-proxies", "127.0.0.1", "--trusted-headers", "x-forwarded-proto,x-forwarded-host")
    with serve(tmp_path_factory.mktemp(request.param), *OPEN, "--server", request.param, *flags) as site:
        publish_wheel(site, "there")
        yield site


FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "anything"},
    {"origin": "https://evil.example", "sec_fetch_site": "same-origin"},
    {"origin": "http://pypi.example", "x_forwarded_host": "other.example"},
    {"origin": "http://pypi.example", "x_forwarded_host": "pypi.example", "x_forwarded_proto": "https"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_pages_of_other_sites_change_nothing(site: Site, headers: dict[str, str]) -> None:
    """Neither publish nor delete, at no address that takes a POST: 403 and a sentence, with any login."""
    forms: dict[str, Sequence[Part]] = {
        "file_upload": twine_form(wheel_name("evil", "1.0"), make_wheel("evil", "1.0"), name="evil", version="1.0"),
        "remove_pkg": [(":action", "remove_pkg"), ("name", "there"), ("version", "1.0")],
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-type": content_type()}
    with nothing_changes(site):
        for form in forms.values():
            for path in ("/", "/legacy/", "/simple/", "/RPC2"):
                answer = site.client.post(path, content=multipart(form), headers=named)
                assert (answer.status_code, answer.text) == (403, SENTENCE), path
    assert site.get("/simple/there/", **headers).status_code == 200  # reading is not changing


@pytest.mark.parametrize("site_said", ["none", "same-origin", "Same-Origin", None])
def test_own_pages_and_tools_change_things(site: Site, site_said: str | None) -> None:
    """A page of the index, a person's own request, and tools, which send none of this, are not affected."""
    own = f"http://127.0.0.1:{site.served.port}"
    headers = {} if site_said is None else {"sec-fetch-site": site_said, "origin": own}
    publish_wheel(site, "own", f"1.{len(site_said or '')}", files=None, **headers)
    proxied = {"origin": "https://pypi.example", "x-forwarded-host": "pypi.example", "x-forwarded-proto": "https"}
    publish_wheel(site, "own", f"2.{len(site_said or '')}", files=None, **proxied)


def test_curl_publishes(site: Site, tmp_path: Path) -> None:
    """As in scripts: a form with the file."""
    wheel = tmp_path / wheel_name("curled", "1.0")
    wheel.write_bytes(make_wheel("curled", "1.0"))
    fields = ["-F", ":action=file_upload", "-F", f"content=@{wheel}"]
    url = f"http://127.0.0.1:{site.served.port}/"
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", *fields, url], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{wheel.name} was published.\n"), done.stderr


def test_a_refusal_reaches_a_browser_that_still_sends(site: Site) -> None:
    """The form is read on, so that the connection is not reset under the answer."""
    content = make_wheel("large", "1.0", files={"data": bytes(range(256)) * 20_000})
    answer = publish(
        site, wheel_name("large", "1.0"), content, name="large", version="1.0", origin="http://evil.example"
    )
    assert (answer.status_code, answer.text) == (403, SENTENCE)


# -- names of the host ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "host", "allowed"),
    [
        ("", "evil.example", True),
        ("*", "evil.example", True),
        ("pypi.example", "pypi.example", True),
        ("pypi.example", "PyPI.Example:8080", True),
        ("pypi.example", "pypi.example.", True),
        ("pypi.example", "evil.example", False),
        ("pypi.example", "a.pypi.example", False),
        ("*.pypi.example", "a.pypi.example:1", True),
        ("*.pypi.example", "pypi.example", False),
        ("*.pypi.example", "evilpypi.example", False),
        ("10.0.0.1,[2001:DB8::1]", "10.0.0.1:80", True),
        ("10.0.0.1,[2001:DB8::1]", "[2001:db8:0::1]:80", True),
        ("10.0.0.1", "[2001:db8::1]", False),
        ("10.0.0.1", "[x]", False),
        ("10.0.0.1", "", True),
        ("<local>", "index:8080", True),
        ("<local>", "evil.example", False),
        ("<local>", "evil.", True),
        ("<local>", "[2001:db8::1]", False),
        ("<local>", "1.2.3.4", False),
    ],
)
def test_allowed_names(names: str, host: str, allowed: bool) -> None:
    """In any case, with any port, an address in any form; a request of HTTP/1.0 has no name to refuse."""
    assert AllowedHosts(host_names(names)).allow(host) is allowed


@pytest.mark.parametrize("names", ["a b", "http://x", "x:80", "a/b", "*.*.x", "-*", "[x]", "a..b"])
def test_names_that_are_none(names: str) -> None:
    """They are refused at the start."""
    with pytest.raises(ConfigurationError, match="no host name"):
        resolve({"allowed_hosts": names}, {})


def _allowed(flags: dict[str, object], serve: bool = True) -> tuple[str, ...]:
    return resolve(flags, {}, SERVE_DEFAULTS if serve else RUN_DEFAULTS).allowed_hosts


def test_what_is_allowed_unasked() -> None:
    """`serve` at a loopback address takes this machine's names; else all are taken, and what was given counts."""
    own = ("localhost", "*.localhost", "<local>", "127.0.0.1", "::1")
    assert _allowed({}) == (*own, "127.0.0.1")
    assert _allowed({"host": "::1"}) == (*own, "::1")
    assert _allowed({"host": "0.0.0.0"}) == _allowed({"host": "pypi.example"}) == ()
    assert _allowed({"trusted_proxies": "127.0.0.1"}) == _allowed({}, serve=False) == ()
    assert _allowed({"host": "127.0.0.1"}, serve=False) == ()
    assert (
        _allowed({"allowed_hosts": "a.example"})
        == _allowed({"allowed_hosts": "a.example"}, serve=False)
        == ("a.example",)
    )
    assert _allowed({"allowed_hosts": "*"}) == from_environment({}).allowed_hosts == ()
    assert Settings(directories=("/x",)).allowed_hosts == ()


PATHS = ["/", "/simple/", "/simple/there/", "/packages/", "/pypi/there/json", "/metrics", "/nowhere"]


@pytest.mark.parametrize("server", SERVERS)
def test_other_names_are_refused(tmp_path: Path, server: str) -> None:
    """421 for every address but health checks, also when the page was just answered under the right name."""
    with serve(tmp_path, *OPEN, "--server", server, "--allowed-hosts", "pypi.example,127.0.0.1") as site:
        publish_wheel(site, "there")
        for _ in range(3):
            for path in PATHS:
                answer = site.get(path, host="evil.example:80")
                assert answer.status_code == 421, path
                assert "'evil.example:80'" in answer.text
                assert site.get(path, host="PYPI.example:1").status_code in {200, 303}, path
        for path in ("/health", "/ready"):
            assert site.get(path, host="10.1.2.3:8080").status_code == 200
        assert site.raw(b"GET /simple/there/ HTTP/1.0\r\n\r\n").status == 200
        assert site.client.post("/", headers={"host": "evil.example"}).status_code == 421


def test_serve_has_this_machines_names(tmp_path: Path) -> None:
    """`quire serve` on a developer's machine cannot be read by a page whose name was led to it."""
    (tmp_path / "packages").mkdir()
    port = free_port()
    with running(quire_command("serve", "-p", port, *OPEN, "--workers", 1, "packages"), port, cwd=tmp_path) as served:
        assert served.get("/simple/")[0] == 200
        answers = []
        for host in ("localhost", "index", "evil.example", "192.0.2.1"):
            url = f"http://127.0.0.1:{port}/simple/"
            command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: {host}:{port}", url]
            answers.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert answers == ["200", "200", "421", "421"]


@pytest.mark.parametrize("server", SERVERS)
def test_the_name_that_a_trusted_proxy_reports(tmp_path: Path, server: str) -> None:
    """It is the one that counts where it is believed, by the fast path too."""
    trusted = ("--trusted-proxies", "127.0.0.1", "--trusted-headers", "x-forwarded-host")
    with serve(tmp_path, *OPEN, "--server", server, "--allowed-hosts", "pypi.example", *trusted) as site:
        for _ in range(3):
            assert site.get("/simple/", x_forwarded_host="pypi.example").status_code == 200
            assert site.get("/simple/", x_forwarded_host="evil.example", host="pypi.example").status_code == 421
