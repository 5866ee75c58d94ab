"""The login page with a certified OpenID provider, as a browser sees it: its pages for login and consent, and back."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import httpx
import pytest

from tests.deploy.openid_rig import CLIENT, SECRET, openid_provider
from tests.serving import DEADLINE, environment, free_port, quire_command, run_quire, running

pytestmark = pytest.mark.deploy


def submit(client: httpx.Client, page: httpx.Response, **fields: str) -> httpx.Response:
    """Send the first form of a page, with these fields filled in."""
    form = re.search(r'<form[^>]* action="([^"]+)"', page.text)
    assert form is not None, page.text
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
    return client.post(str(page.url.join(unescape(form[1]))), data={**dict(hidden), **fields})


def log_in(client: httpx.Client, user: str, address: str) -> httpx.Response:
    """The page at the end of a login."""
    page = client.get(address, headers={"accept": "text/html"})
    assert "/interaction/" in str(page.url), page.text
    page = submit(client, page, login=user, password="any")
    while "/interaction/" in str(page.url):
        page = submit(client, page)
    return page


def test_a_login_at_a_certified_provider(tmp_path: Path) -> None:
    """PKCE, the secret by HTTP Basic, claims by the userinfo endpoint, `iss` in the answer: what it insists on, quire
    does. The rights of the user are those of its groups, until its sessions are ended."""
    root, port, issuer_port = tmp_path / "packages", free_port(), free_port()
    root.mkdir()
    flags = ("--oidc-issuer", f"http://127.0.0.1:{issuer_port}", "--oidc-client-id", CLIENT)
    command = quire_command(
        *("run", "-p", port, "-i", "127.0.0.1", "--workers", 2, "-a", "list,download,update", *flags, root)
    )
    base = f"http://127.0.0.1:{port}"
    with (
        openid_provider(f"{base}/-/login/callback", tmp_path, issuer_port),
        running(command, port, cwd=tmp_path, environ=environment(QUIRE_OIDC_CLIENT_SECRET=SECRET)) as served,
    ):
        for words in (("access", "init", "--admin", "root", "-a", "update"), ("grant", "group:tools", "read")):
            done = run_quire(*words, "-d", root, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        for grant in run_quire("grants", "-d", root, cwd=tmp_path).stdout.splitlines():
            if "anonymous" in grant:
                assert run_quire("revoke", grant.split()[0], "-d", root, cwd=tmp_path).returncode == 0
        with (
            httpx.Client(base_url=base, follow_redirects=True, timeout=DEADLINE) as ann,
            httpx.Client(base_url=base, follow_redirects=True, timeout=DEADLINE) as bob,
        ):
            page = log_in(ann, "ann", "/packages/")
            assert (page.status_code, page.url.path) == (200, "/packages/"), page.text
            assert "ann@acme.example" in ann.get("/-/account/").text
            assert ann.get("/simple/").status_code == 401
            refused = log_in(bob, "bob", "/packages/")
            assert refused.status_code == 403
            assert refused.text.startswith("The user bob@acme.example may not list")
            assert run_quire("session", "end", "ann@acme.example", "-d", root, cwd=tmp_path).returncode == 0
            assert {ann.get("/packages/").status_code for _ in range(4)} == {401}
            again = ann.get("/packages/", headers={"accept": "text/html"})  # the provider knows ann still
            assert (again.status_code, again.url.path) == (200, "/packages/"), again.text
        assert "Traceback" not in served.output()
