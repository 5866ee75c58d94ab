"""Policies with today's clients: a resolver chooses an older release, and a lock that pins a held-back one fails with
the sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.asking import OPEN, Site, serve
from tests.clients.sandbox import Sandbox, installed, ok, refused
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire
from tests.upstreams import serving_index

pytestmark = pytest.mark.clients

YOUNG = wheel_name("demo", "2.0")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving_index() as upstream:
        times = {"1.0": "2021-05-05T14:18:17Z", "2.0": "2099-01-01T00:00:00Z"}
        upstream.has(
            "demo",
            {wheel_name("demo", version): make_wheel("demo", version) for version in times},
            demo_1_0_py3_none_any_whl={"upload-time": times["1.0"]},
            demo_2_0_py3_none_any_whl={"upload-time": times["2.0"]},
        )
        with serve(tmp_path_factory.mktemp("policy"), *OPEN, "--upstream", upstream.url, NO_PROXY="*") as served:
            yield served


def test_resolvers_choose_an_older_release_and_locks_of_a_young_one_fail(site: Site, sandbox: Sandbox) -> None:
    """The locks were made before the policy: with the URL (uv), and by digest (pip)."""
    simple = f"{site.base}simple/"
    url = site.file_url("demo", YOUNG)
    digest = hashlib.sha256(make_wheel("demo", "2.0")).hexdigest()
    pinned, by_url = sandbox.home / "pinned.txt", sandbox.home / "by-url.txt"
    pinned.write_text(f"demo==2.0 --hash=sha256:{digest}\n")
    by_url.write_text(f"demo @ {url}#sha256={digest}\n")
    done = run_quire("policy", "set", "--min-age", "7d", "-d", site.root, cwd=sandbox.home)
    assert done.returncode == 0, done.stderr
    with_pip, with_uv = sandbox.target(), sandbox.target()
    pip = ("pip-newest", "install", "--no-cache-dir", "--index-url", simple)
    uv = ("pip", "install", "--no-cache", "--default-index", simple)
    ok(sandbox.pip(*pip, "--target", with_pip, "demo"))
    ok(sandbox.uv(*uv, "--target", with_uv, "demo"))
    assert [installed(with_pip), installed(with_uv)] == [{"demo": "1.0"}] * 2
    refused(sandbox.pip(*pip, "--target", sandbox.target(), "--require-hashes", "-r", pinned))
    for words in (
        refused(sandbox.pip(*pip, "--target", sandbox.target(), "-r", by_url)),
        refused(sandbox.uv(*uv, "--target", sandbox.target(), "-r", by_url)),
    ):
        shown = " ".join(words.split())
        assert "holds demo-2.0-py3-none-any.whl back until 2099-01-08T00:00:00Z" in shown, words
        assert "quire policy exempt demo==2.0" in shown


def test_twine_shows_why_an_upload_is_refused(site: Site, sandbox: Sandbox) -> None:
    done = run_quire("policy", "deny", "evil-*", "--reason", "not ours", "-d", site.root, cwd=sandbox.home)
    assert done.returncode == 0, done.stderr
    path = sandbox.home / wheel_name("evil-twin", "1.0")
    path.write_bytes(make_wheel("evil-twin", "1.0"))
    login = ("--username", "anybody", "--password", "anything")
    words = refused(sandbox.twine("upload", "--repository-url", site.base, *login, path))
    assert "denies evil-twin since" in " ".join(words.split()), words
