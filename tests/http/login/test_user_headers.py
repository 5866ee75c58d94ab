"""Users that a trusted proxy names in headers: believed from its address, and from no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.asking import Site, basic, password_file, publish, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, run_quire

USER, GROUPS = "X-Auth-Request-User", "X-Auth-Request-Groups"
STRANGER = "127.0.0.2"
"""An address of this machine that is no trusted proxy."""
FLAGS = (
    *("-a", "list,download,update", "--disable-fallback", "-v"),
    *("--trusted-proxies", "127.0.0.1", "--user-header", USER, "--groups-header", GROUPS),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index behind a proxy at 127.0.0.1, where ann administers, and the group tools may read and upload."""
    folder = tmp_path_factory.mktemp("users")
    passwords = password_file(folder, ann="secret-a", bob="secret-b")
    with serve(folder, *FLAGS, "-P", passwords, "--workers", 2) as site:
        command(site, "access", "init", "--admin", "ann", "-a", "list,download,update")
        for line in command(site, "grants").splitlines():
            if "authenticated" in line:
                command(site, "revoke", line.split()[0])
        command(site, "grant", "group:tools", "read,upload")
        assert upload(site, "acme", {USER: "ann"}).status_code == 200
        yield site


def command(site: Site, *words: str) -> str:
    done = run_quire(*words, "-d", site.root, cwd=site.root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def upload(site: Site, project: str, headers: dict[str, str], version: str = "1.0") -> httpx.Response:
    content = make_wheel(project, version)
    return publish(site, wheel_name(project, version), content, name=project, version=version, **headers)


def page(site: Site, headers: dict[str, str]) -> int:
    """The status of a page, asked for often enough that the fast path could answer as well."""
    statuses = {
        site.client.get("/simple/acme/", headers={**headers, "connection": kind}).status_code
        for kind in ("keep-alive", "close") * 3
    }
    assert len(statuses) == 1
    return statuses.pop()


@pytest.mark.parametrize("header", [USER, USER.lower(), USER.upper()])
def test_the_proxy_names_the_user(site: Site, header: str) -> None:
    """That user has the rights of its grants; a name without grants has none, and no name needs a login."""
    assert page(site, {header: "ann"}) == 200
    assert page(site, {header: "carol"}) == 403
    assert page(site, {}) == 401


def test_the_proxy_names_groups(site: Site) -> None:
    """A grant to one of the groups counts for the request; the audit log names the user."""
    several = {USER: "carol@acme.example", GROUPS: "staff ,, tools,"}
    assert page(site, several) == 200
    assert page(site, {USER: "carol", GROUPS: "staff,toolsmiths"}) == page(site, {USER: "carol", GROUPS: ""}) == 403
    assert upload(site, "carols", several).status_code == 200
    assert "carol@acme.example" in command(site, "log", "carols")


def test_groups_without_a_user_are_no_login(site: Site) -> None:
    """A header of groups alone is no login."""
    assert page(site, {GROUPS: "tools"}) == 401


@pytest.mark.parametrize("path", ["/simple/acme/", "/simple/", "/packages/", "/pypi/acme/json"])
def test_no_other_peer_names_a_user(site: Site, path: str) -> None:
    """The header of a client that connects by itself is ignored, and the log says so."""
    transport = httpx.HTTPTransport(local_address=STRANGER)
    with httpx.Client(transport=transport, base_url=site.client.base_url, timeout=DEADLINE) as client:
        refused = client.get(path, headers={USER: "ann", GROUPS: "tools", "x-request-id": f"stranger-{len(path)}-"})
        assert refused.status_code == 401
        allowed = client.get(path, headers={USER: "bob", "authorization": basic("ann", "secret-a")})
        assert allowed.status_code == 200
    (line,) = [
        line for line in site.served.output().splitlines() if f"stranger-{len(path)}-" in line and "ignored" in line
    ]
    assert "user header ignored, its sender is no trusted proxy" in line
    assert STRANGER in line


def test_the_proxy_counts_before_a_password(site: Site) -> None:
    """With both, the user is the one that the proxy names, also when the password is remembered or wrong."""
    assert page(site, {"authorization": basic("ann", "secret-a")}) == 200  # remembered from here on
    assert page(site, {USER: "carol", "authorization": basic("ann", "secret-a")}) == 403
    assert page(site, {USER: "ann", "authorization": basic("bob", "wrong")}) == 200
    assert page(site, {USER: "ann", "authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"}) == 200


def test_a_token_counts_before_the_proxy(site: Site) -> None:
    """A token narrows what its holder may do, also where the proxy names another user."""
    token = json.loads(command(site, "token", "create", "--right", "upload", "--json"))["token"]
    assert page(site, {USER: "ann", "authorization": f"Bearer {token}"}) == 403


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"ann, bob", "more than one name"),
        (b"ann,", "more than one name"),
        ("ännchen".encode(), "not ASCII"),
        ("ännchen".encode("latin-1"), "not ASCII"),
        (b"a" * 201, "too long"),
        (b"a" * 9000, "more than 8192 characters"),
        (b"ann\tbob", "cannot be shown"),
        (b"token:0123456789", "another kind"),
        (b"group:tools", "another kind"),
    ],
)
def test_a_name_that_is_none_is_refused(site: Site, value: bytes, reason: str) -> None:
    """With one sentence, and with no rights."""
    answer = site.client.get("/simple/acme/", headers=[(USER.encode(), value)])
    assert answer.status_code == 400
    assert answer.text.startswith(f"The proxy sends a {USER} that names no user: ")
    assert reason in answer.text


@pytest.mark.parametrize("value", ["tööls".encode(), b"tools," + b"x" * 201, b",".join(b"g%d" % n for n in range(501))])
def test_groups_that_are_none_are_refused(site: Site, value: bytes) -> None:
    """The request fails as a whole: a part of a list of groups is another list."""
    answer = site.client.get("/simple/acme/", headers=[(USER.encode(), b"ann"), (GROUPS.encode(), value)])
    assert answer.status_code == 400
    assert answer.text.startswith(f"The proxy sends a {GROUPS} that names no user: ")


@pytest.mark.parametrize("name", [USER, GROUPS])
def test_two_lines_are_refused(site: Site, name: str) -> None:
    """A proxy that adds its header beside the client's own names no user."""
    lines = [(USER, "ann"), (name, "bob"), (name, "tools")]
    answer = site.client.get("/simple/acme/", headers=lines)
    assert (answer.status_code, answer.text) == (400, f"This request has more than one {name} line.\n")


@pytest.mark.parametrize("server", ["uvicorn", "wsgiref"])
def test_underscores_are_another_name(tmp_path: Path, server: str) -> None:
    """A header with underscores, which a proxy does not clear, is not the one with hyphens."""
    with serve(
        tmp_path, *FLAGS, "--read-only", "-P", password_file(tmp_path, ann="secret-a"), "--server", server
    ) as site:
        assert site.client.get("/simple/", headers={USER.replace("-", "_"): "ann"}).status_code == 401
        assert site.client.get("/simple/", headers={USER: "ann"}).status_code == 200
        doubled = site.client.get("/simple/", headers=[(USER, "ann"), (USER, "bob")])
        assert doubled.status_code == 400


def test_it_needs_no_password_file(tmp_path: Path) -> None:
    """The proxy alone identifies users; without grants each of them may do what needs a login."""
    flags = ("-a", "update,list,download", "--trusted-proxies", "127.0.0.1", "--user-header", "X-Forwarded-User")
    with serve(tmp_path, *flags, "--metrics", "authenticated") as site:
        assert upload(site, "acme", {"X-Forwarded-User": "dave"}).status_code == 200
        assert upload(site, "acme", {}, "2.0").status_code == 401
        assert site.client.get("/metrics", headers={"X-Forwarded-User": "dave"}).status_code == 200
        metrics = site.client.get("/metrics", headers={"X-Forwarded-User": "dave"}).text
        assert 'quire_logins_total{result="proxy"}' in metrics
        assert "those that the proxy names may upload" in site.served.output()
        assert "there is no password file" not in site.served.output()
