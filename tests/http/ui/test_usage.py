"""The lines of the home page, for addresses that no test can serve. That they work is in tests/clients."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from quire.config.settings import Settings
from quire.http.ui.usage import usage
from tests.asking import OPEN, serve

TOLD = "x-forwarded-proto,x-forwarded-host,x-forwarded-prefix"
NO_LOGIN = Settings(directories=("/packages",), authenticate=())


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://localhost:8080/", None),
        ("http://127.8.0.1/team/", None),
        ("http://[::1]:8080/", None),
        ("https://packages.example/", None),
        ("http://packages.example/", "packages.example"),
        ("http://packages.example:8080/team/", "packages.example:8080"),
        ("http://[fd00::1]:8080/", "[fd00::1]:8080"),
        ("http://192.0.2.7/", "192.0.2.7"),
    ],
)
def test_pip_has_to_trust_http_on_other_machines(url: str, trusted: str | None) -> None:
    """--trusted-host where pip would ignore the index without it, and nowhere else."""
    (_, line), *_ = usage(url, NO_LOGIN, read_only=False).install
    words = shlex.split(line)
    assert words[words.index("--index-url") + 1] == f"{url}simple/"
    assert ("--trusted-host" in words) == (trusted is not None)
    assert trusted is None or words[words.index("--trusted-host") + 1] == trusted


@pytest.mark.parametrize("host", ["x;reboot", "$(reboot)", "[", "a b", "'", "[::1", "a@b"])
def test_a_host_that_is_none_is_quoted(host: str) -> None:
    """Whatever was sent as Host stays one word in every line."""
    found = usage(f"http://{host}/", NO_LOGIN, read_only=False)
    for _, line in found.install + found.publish:
        assert any(f"http://{host}/" in word for word in shlex.split(line))


def test_without_a_password_file_a_token_is_needed() -> None:
    """Users come from a proxy or a login provider then, or there are tokens alone: programs need a token."""
    everything = Settings(directories=("/packages",), authenticate=("download", "list", "update"))
    found = usage("http://packages.example/", everything, read_only=False)
    for note in (found.install_note, found.publish_note):
        assert note.startswith("You need a token of this index, as the password of the user __token__; ")
    assert ("uv", "uv publish --publish-url http://packages.example/ dist/*") in found.publish
    assert ("uv", "export UV_INDEX_QUIRE_USERNAME=__token__ UV_INDEX_QUIRE_PASSWORD=TOKEN") in found.install


def test_without_any_login_no_user_can() -> None:
    """Where a login is needed and impossible, the page says so instead of showing lines that fail."""
    everything = Settings(directories=("/packages",), authenticate=("download", "list", "update"), rights="settings")
    found = usage("https://packages.example/", everything, read_only=False)
    assert found.install == found.publish == ()
    assert "no password file" in found.install_note
    assert "no password file" in found.publish_note
    assert usage("https://packages.example/", NO_LOGIN, read_only=True).publish == ()


def test_the_page_behind_a_proxy(tmp_path: Path) -> None:
    """The address is the one that the client used, which a trusted proxy tells."""
    with serve(tmp_path, *OPEN, "--trusted-proxies", "127.0.0.1", "--trusted-headers", TOLD) as site:
        page = site.get("/", x_forwarded_proto="https", x_forwarded_host="packages.example", x_forwarded_prefix="/a")
        assert "uv publish --publish-url https://packages.example/a/ -u any -p any dist/*" in page.text
        assert "pip install --index-url https://packages.example/a/simple/ NAME" in page.text
