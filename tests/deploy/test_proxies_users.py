"""Users that a proxy names: the examples of deploy/, changed as docs/how-to/single-sign-on.md says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.asking import basic, password_file
from tests.deploy.proxy_rig import DEPLOY, PROXIES, behind, replaced
from tests.serving import run_quire

pytestmark = pytest.mark.deploy

PAGE = DEPLOY.parent / "docs" / "how-to" / "single-sign-on.md"
USER, GROUPS = "X-Auth-Request-User", "X-Auth-Request-Groups"
FLAGS = ("-v", "-a", "list,download,update", "--user-header", USER, "--groups-header", GROUPS)


@pytest.mark.parametrize("kind", sorted(PROXIES))
def test_no_client_names_itself(kind: str, tmp_path: Path) -> None:
    """A header that a client sends through an example of a proxy identifies no user."""
    header, flags = "X-Forwarded-User", ("-a", "list,download,update", "--user-header", "X-Forwarded-User")
    with behind(kind, tmp_path, *flags) as proxied:
        assert proxied.site.client.get("/simple/", headers={header: "ann"}).status_code == 200  # as a proxy sends it
        assert proxied.client.get("/simple/", headers={header: "ann"}).status_code == 401
        assert proxied.client.get("/simple/", headers={header.upper(): "ann"}).status_code == 401
        assert proxied.client.get("/simple/", headers={header.replace("-", "_"): "ann"}).status_code == 401


def blocks(language: str) -> list[str]:
    """The pieces of configuration on the page, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)


def test_nginx_asks_who_the_user_is(tmp_path: Path) -> None:
    """With the lines of the page, and a program in the place of oauth2-proxy that answers as it does: the user of its
    session is the user of the request; a request with credentials of its own goes past it."""
    headers, asking = blocks("nginx")
    gate = tmp_path / "gate.conf"
    gate.write_text(
        "server { listen unix:" + str(tmp_path / "gate.sock") + ";\n"
        'location /oauth2/auth { if ($http_cookie = "") { return 401; }\n'
        "add_header X-Auth-Request-User ann@acme.example always; add_header X-Auth-Request-Groups staff,tools always;\n"
        "return 202; } }\n"
    )

    def change(text: str) -> str:
        cleared = {f'        proxy_set_header {name} "";\n': "" for name in (USER, GROUPS)}
        text = replaced(text, cleared)
        text = replaced(text, {"        # no client may say who": f"{headers}\n        # no client may say who"})
        own = replaced(asking, {"http://127.0.0.1:4180": f"http://unix:{tmp_path / 'gate.sock'}"})
        text = replaced(text, {"    location = /pypi {": f"{own}\n    location = /pypi {{"})
        return f"{text}\ninclude {gate};\n"

    with behind("nginx", tmp_path, *FLAGS, "-P", password_file(tmp_path, bob="secret-b"), change=change) as proxied:
        for words in (
            ("access", "init", "--admin", "bob", "-a", "list,download,update"),
            ("grant", "group:tools", "read"),
        ):
            done = run_quire(*words, "-d", proxied.site.root, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        session = {"cookie": "_oauth2_proxy=1"}
        assert proxied.client.get("/simple/", headers=session).status_code == 200
        assert proxied.client.get("/simple/", headers={**session, USER: "mallory"}).status_code == 200
        assert "ann@acme.example" in proxied.site.served.output()
        assert "mallory" not in proxied.site.served.output()
        refused = proxied.client.get("/simple/", headers={USER: "ann@acme.example"}, follow_redirects=False)
        assert refused.status_code in {302}
        assert proxied.client.get("/simple/", headers={"authorization": basic("bob", "secret-b")}).status_code == 200
        wrong = {"authorization": basic("bob", "wrong"), USER: "ann@acme.example"}
        assert proxied.client.get("/simple/", headers=wrong).status_code == 401
