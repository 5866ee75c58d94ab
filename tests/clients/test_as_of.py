"""Real installers and the index as of a moment: without an option of their own, and as uv with `exclude-newer`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from quire.domain.changes import Selection
from quire.domain.project import Status
from quire.index.audit.entries import timestamp
from quire.index.index import Index
from tests.asking import OPEN, Site, post, serve, twine_form
from tests.clients import environments
from tests.clients.matrix import first_of
from tests.clients.sandbox import Result, Sandbox, installed, ok, refused
from tests.distributions import make_wheel, metadata_text, wheel_name
from tests.serving import run_quire, until

pytestmark = pytest.mark.clients


@dataclass
class Then:
    """An index in which `app` needs `lib`, of which only 1.0 was there at the moment. Since then `lib` 1.0 was deleted,
    `app` 1.0 yanked, and newer releases of both were published."""

    site: Site
    moment: str

    @property
    def url(self) -> str:
        return f"{self.site.base}@{self.moment}/simple/"

    def publish(self, name: str, version: str) -> None:
        extra = "Requires-Dist: lib\n" if name == "app" else ""
        content = make_wheel(name, version, metadata=metadata_text(name, version, extra=extra))
        form = twine_form(wheel_name(name, version), content, name=name, version=version)
        assert post(self.site, form).status_code == 200


@pytest.fixture(scope="module")
def then(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Then]:
    with serve(tmp_path_factory.mktemp("as-of"), *OPEN, "--workers", 2) as site:
        then = Then(site, "")
        then.publish("app", "1.0")
        then.publish("lib", "1.0")
        then.moment = timestamp()
        then.publish("app", "2.0")
        then.publish("lib", "2.0")
        index = Index(site.index().store, trash_seconds=86_400)
        index.delete("lib", Selection(version="1.0"))
        index.yank("app", Selection(version="1.0"), "broken")
        yield then


@pytest.mark.parametrize("client", first_of("pip-newest", "uv", "pip-html", first=2))
def test_installers(then: Then, sandbox: Sandbox, client: str) -> None:
    """The releases of then, the deleted one included; pip with the colons percent-encoded, too."""
    encoded = then.url.replace(then.moment, quote(then.moment, safe=""))
    for url in (then.url, encoded) if client == "pip-newest" else (then.url,):
        target = sandbox.target()
        where = ("--target", target, "app")
        if client == "uv":
            ok(sandbox.uv("pip", "install", "--default-index", url, *where))
        else:
            ok(sandbox.pip(client, "install", "--index-url", url, *where))
        assert installed(target) == {"app": "1.0", "lib": "1.0"}


def test_a_project_of_uv(then: Then, sandbox: Sandbox) -> None:
    """The lines of `quire config-snippet --as-of`; `uv sync` installs the lock again."""
    words = ("config-snippet", "main", "--for", "uv", "--only", "--as-of", then.moment, "--url", then.site.base)
    snippet = run_quire(*words, cwd=sandbox.home)
    assert snippet.returncode == 0, snippet.stderr
    (sandbox.home / "pyproject.toml").write_text(
        f'[project]\nname = "user"\nversion = "0"\nrequires-python = ">=3.11"\n\n{snippet.stdout}'
    )
    ok(sandbox.uv("add", "app", UV_NO_CONFIG="0"))
    ok(sandbox.uv("sync", "--locked", "--reinstall", UV_NO_CONFIG="0"))
    lock = (sandbox.home / "uv.lock").read_text()
    assert f"{then.site.base}packages/app/" in lock
    assert f"{then.site.base}@{then.moment}/packages/lib/" in lock


def test_poetry(then: Then, sandbox: Sandbox) -> None:
    """By the source of the how-to page."""
    (sandbox.home / "pyproject.toml").write_text(
        '[project]\nname = "user"\nversion = "0"\nrequires-python = ">=3.11"\n\n[tool.poetry]\npackage-mode = false\n\n'
        f'[[tool.poetry.source]]\nname = "company"\nurl = "{then.url}"\npriority = "primary"\n'
    )
    ok(sandbox.run(environments.programs("poetry") / "poetry", "--no-interaction", "add", "app"))
    show = "import app, lib; print(app.VERSION, lib.VERSION)"
    assert ok(sandbox.run(sandbox.home / ".venv/bin/python", "-c", show)).split() == ["1.0", "1.0"]


def test_the_moment_is_that_of_exclude_newer(sandbox: Sandbox) -> None:
    """With nothing deleted or yanked the two resolve alike: before the moment, never at it."""
    folder = sandbox.home / "served"
    folder.mkdir()
    with serve(folder, *OPEN) as site:
        then = Then(site, "")
        for version in ("1.0", "2.0", "3.0"):
            then.publish("lib", version)
        (sandbox.home / "in.txt").write_text("lib\n")
        uploaded = [str(each.uploaded) for each in site.index().project("lib").files.values()]  # type: ignore[union-attr]
        for moment, expected in zip(uploaded[1:], ("1.0", "2.0"), strict=True):
            instant = f"{moment[:-4]}Z"  # uv knows milliseconds
            for url, *options in (
                (f"{site.base}@{instant}/simple/",),
                (f"{site.base}simple/", "--exclude-newer", instant),
            ):
                flags = ("--quiet", "--no-header", "--no-annotate", "--default-index", url, *options)
                resolved = ok(sandbox.uv("pip", "compile", *flags, "in.txt"))
                assert resolved.split() == [f"lib=={expected}"], (url, options)


def test_a_status_reaches_clients_that_have_the_page(sandbox: Sandbox) -> None:
    """Pages of a moment are asked for again each time, though the moment is over: a project that is quarantined is not
    installed from caches, which have its page and its wheel."""
    folder = sandbox.home / "served"
    folder.mkdir()
    with serve(folder, *OPEN, "-v") as site:
        then = Then(site, "")
        then.publish("lib", "1.0")
        then.moment = timestamp()

        def installs() -> tuple[Result, Result]:
            with_uv = sandbox.uv("pip", "install", "--default-index", then.url, "--target", sandbox.target(), "lib")
            return with_uv, sandbox.pip("pip-newest", "install", "-i", then.url, "--target", sandbox.target(), "lib")

        for result in (*installs(), *installs()):
            ok(result)
        page = f"method=GET path=/@{then.moment}/simple/lib/ status="
        until(lambda: site.served.output().count(page) == 4)
        assert site.served.output().count(f"{page}304") == 1, "uv, which keeps pages that came without TLS"
        site.index().set_status("lib", Status.QUARANTINED, "a takeover")
        for result in installs():
            refused(result)
