"""Servers with `--rights settings`: -a and -P alone decide. Such a server reads no grants for its requests, takes no
tokens, and serves no store whose grants or definitions decide.

Replaced here: the seconds between two looks at the store's grants.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from quire.access.document import KEY, AccessDocument, Grant, encode_access
from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.domain.indexes import IndexDefinition
from quire.http.app import periodic
from quire.http.app.application import create_application
from quire.index.audit.entries import Origin
from quire.store.opening import open_store
from tests.asking import Site, basic, password_file, publish, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, environment, run_quire

RIGHTS = ("--rights", "settings", "--disable-fallback")
OPEN = (*RIGHTS, "-a", ".", "-P", ".")
GRANT = Grant(subject="user:ann", permissions=("read",))
DECIDING = {
    "grants": AccessDocument(grants={"1": GRANT}),
    "definitions": AccessDocument(indexes={"main": IndexDefinition(quota=1000)}),
    "a named index": AccessDocument(indexes={"team": IndexDefinition()}),
}


def change(root: Path, document: AccessDocument) -> None:
    """Make it the document of the store in this directory."""
    access = AccessRecords(open_store(str(root), create=True))
    access.change(lambda _: document, "test", {}, Origin(user="test"))


def write(root: Path, data: bytes) -> None:
    """Make this the record of the store in this directory."""
    records = open_store(str(root)).records
    records.write(KEY, data, records.read(KEY))


def pages(site: Site, authorization: str) -> set[tuple[int, str]]:
    """The answers to a page, also of the fast path."""
    headers = {"authorization": authorization}
    answers = [site.client.get("/simple/acme/", headers=headers) for _ in range(3)]
    return {(answer.status_code, answer.text) for answer in answers}


def test_settings_decide_and_no_token_counts(tmp_path: Path) -> None:
    """A token of the store is refused with a sentence, also where it could read; a password counts. A job of a CI
    gets no token, and no user is an administrator."""
    users = password_file(tmp_path, ann="secret")
    with serve(tmp_path, *RIGHTS, "-a", "list,download,update", "-P", users) as site:
        ann = {"authorization": basic("ann", "secret")}
        publish_wheel(site, "acme", authorization=ann["authorization"])
        made = run_quire("token", "create", "--admin", "--json", "-d", site.root, cwd=site.root)
        text = json.loads(made.stdout)["token"]
        for authorization in (f"Bearer {text}", basic("__token__", text), basic("ann", text)):
            ((status, sentence),) = pages(site, authorization)
            assert (status, "takes no tokens" in sentence) == (401, True), sentence
            answer = publish(
                site,
                wheel_name("acme", "2.0"),
                make_wheel("acme", "2.0"),
                name="acme",
                version="2.0",
                authorization=authorization,
            )
            assert (answer.status_code, "takes no tokens" in answer.text) == (401, True)
        ((status, _),) = pages(site, basic("ann", "secret"))
        assert status == 200
        answer = site.client.get("/_/oidc/audience")
        assert (answer.status_code, "takes no tokens" in answer.text) == (403, True), answer.text
        answer = site.client.get("/-/api/v1/grants", headers=ann)
        assert (answer.status_code, "--rights settings" in answer.text) == (403, True), answer.text


@pytest.mark.parametrize("document", DECIDING.values(), ids=DECIDING)
def test_no_start_where_something_else_decides(document: AccessDocument, tmp_path: Path) -> None:
    """The sentence names what there is and the way out; a definition that says nothing, and a token, are no reason."""
    change(tmp_path, document)
    done = run_quire("run", *OPEN, tmp_path, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "would not obey; serve it with --rights store" in done.stderr


def test_the_start_says_that_the_settings_decide(tmp_path: Path) -> None:
    """And that the tokens of the store do not count."""
    root = tmp_path / "packages"
    root.mkdir()
    change(root, AccessDocument())
    assert run_quire("token", "create", "--admin", "-d", root, cwd=root).returncode == 0
    with serve(tmp_path, *OPEN, "-v") as site:
        said = site.served.output()
    assert "The settings alone decide on rights (--rights settings)" in said
    assert "nor do the tokens (1) that the store has" in said


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (encode_access(DECIDING["grants"]), "grants (1), which a server with --rights settings would not obey"),
        (b'{"format": 99, "grants": {}}', "has format 99, written by a newer quire"),
        (b'{"format": 1, "grants": {"1": {"subj', "is not a document of grants and tokens"),
    ],
    ids=["grants", "a newer format", "damaged"],
)
def test_grants_that_are_made_later_stop_the_server(
    data: bytes, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not obey them, so it answers 503 with a sentence, as /ready does, until they are taken back. So it does
    with a record that it cannot understand, which may have some."""
    monkeypatch.setattr(periodic, "LOOK_SECONDS", 0.02)
    root = tmp_path / "packages"
    root.mkdir()
    settings = Settings(directories=(str(root),), authenticate=(), rights="settings", fallback_url=None)

    async def until_it_answers(client: httpx.AsyncClient, path: str, status: int) -> str:
        answer = await client.get(path)
        while answer.status_code != status:
            await asyncio.to_thread(time.sleep, 0.02)  # other tasks run meanwhile
            answer = await client.get(path)
        return answer.text

    async def scenario() -> list[str]:
        application = create_application(settings)
        transport = httpx.ASGITransport(application)
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            assert (await client.get("/simple/")).status_code == 200
            write(root, data)
            said = [await until_it_answers(client, path, 503) for path in ("/simple/", "/ready")]
            assert (await client.get("/health")).status_code == 200
            write(root, encode_access(AccessDocument()))
            for path in ("/simple/", "/ready"):
                await until_it_answers(client, path, 200)
            return said

    assert all(sentence in each for each in asyncio.run(asyncio.wait_for(scenario(), 60)))


def test_commands_on_grants_warn(tmp_path: Path) -> None:
    """Where the setting is in the environment or in quire.toml, as for a server."""
    change(tmp_path, AccessDocument())
    set_so = environment(QUIRE_RIGHTS="settings")
    for words in (("grants",), ("token", "list"), ("publisher", "list"), ("access", "init", "--admin", "a", "-a", ".")):
        done = run_quire(*words, "-d", tmp_path, cwd=tmp_path, environ=set_so)
        assert (done.returncode, "obey no grant, token" in done.stderr) == (0, True), done.stderr
    assert "obey no grant" not in run_quire("ls", "-d", tmp_path, cwd=tmp_path, environ=set_so).stderr


def test_no_login_page(tmp_path: Path) -> None:
    """Its key is in the record that such a server does not read."""
    words = ("--oidc-issuer", "https://login.example", "--oidc-client-id", "quire")
    done = run_quire("run", *OPEN, *words, tmp_path, cwd=tmp_path)
    assert (done.returncode, "leave one of them out" in done.stderr) == (2, True), done.stderr


def test_the_setting_takes_two_words(tmp_path: Path) -> None:
    """Another one is refused."""
    done = run_quire("run", "--rights", "options", tmp_path, cwd=tmp_path)
    assert (done.returncode, "store, settings" in done.stderr) == (2, True), done.stderr
    assert msgspec.json.decode(Settings(directories=()).dump())["rights"] == "store"


def test_periodic_work_goes_on_after_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a worker has no thread for a while. The uses of tokens that it was to write are written later."""
    monkeypatch.setattr(periodic, "USES_SECONDS", 0.02)
    application = create_application(Settings(directories=(str(tmp_path),)))
    uses = application.state.worker.access.uses
    uses.note("first")
    tried: list[frozenset[str]] = []

    async def scenario() -> None:
        loop, again = asyncio.get_running_loop(), asyncio.Event()

        def write(_day: str, identities: frozenset[str], _tokens: object) -> None:
            tried.append(identities)
            if len(tried) == 1:
                raise RuntimeError("can't start new thread")
            loop.call_soon_threadsafe(again.set)

        monkeypatch.setattr(uses, "write", write)
        async with application.router.lifespan_context(application):
            await asyncio.wait_for(again.wait(), DEADLINE)

    asyncio.run(scenario())
    assert tried[:2] == [{"first"}, {"first"}]
