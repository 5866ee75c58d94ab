"""`quire webhook`, on a store and over the API of a server, whose workers deliver."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.process.threads import RECEIVERS, WRITERS
from quire.store.opening import open_store
from tests.asking import Site, publish_wheel, serve
from tests.commands.test_remote import run
from tests.receivers import Answer, Receiver, receiving
from tests.serving import run_quire, until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Rig:
    """A server of two workers, which deliver to loopback and search each second."""

    site: Site
    token: str
    configuration: Path

    def local(self, *words: str) -> tuple[int, str, str]:
        return run("webhook", *words, "-d", str(self.site.root), "--config", str(self.configuration))

    def remote(self, *words: str) -> tuple[int, str, str]:
        return run("--url", self.site.base.replace("http://", f"http://__token__:{self.token}@"), "webhook", *words)

    def ask(self, *words: str, remote: bool = True) -> Any:
        """The JSON that a command prints."""
        code, out, err = (self.remote if remote else self.local)(*words, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("webhooks")
    configuration = folder / "local.toml"
    configuration.write_text('webhook-networks = ["127.0.0.0/8"]\n')
    flags = ("-a", ".", "-P", ".", "--workers", 2, "--webhook-networks", "127.0.0.0/8", "--webhook-search-seconds", 1)
    with serve(folder, *flags) as site:
        publish_wheel(site, "made", "1.0")  # makes the store
        made = run_quire("token", "create", "--right", "admin", "-d", site.root, cwd=folder)
        yield Rig(site, made.stdout.strip(), configuration)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_webhook_is_left(rig: Rig) -> Iterator[None]:
    yield
    ids = [each["id"] for each in rig.ask("list")["webhooks"]]
    if ids:
        rig.ask("remove", *ids)


@pytest.mark.parametrize("remote", [False, True])
def test_a_webhook_from_its_beginning_to_its_end(remote: bool, rig: Rig, receiver: Receiver) -> None:
    """Added, tested, delivered to, rotated, looked at, removed: by both ways the same."""
    project = f"acme-{'remote' if remote else 'local'}"
    added = rig.ask(
        "add",
        receiver.url,
        "--event",
        "publish, yank",
        "--project",
        project.upper().replace("-", "_") + "*",
        remote=remote,
    )
    identity, secret = added["id"], added["secret"]
    assert added["changed"]
    shown = rig.ask("show", identity, remote=remote)
    assert secret not in json.dumps(shown)
    assert {name: shown[name] for name in ("url", "events", "index", "projects", "state")} == {
        "url": receiver.url,
        "events": ["publish", "yank"],
        "index": "*",
        "projects": [f"{project}*"],
        "state": "active",
    }
    assert [each["id"] for each in rig.ask("list", remote=not remote)["webhooks"]] == [identity]
    tested = rig.ask("test", identity, remote=remote)
    assert (tested["status"], tested["error"]) == (204, None)
    assert receiver.received[0].event["type"] == "ping"
    publish_wheel(rig.site, f"other-{project}")
    publish_wheel(rig.site, project)
    until(lambda: len(receiver.received) == 2)
    assert receiver.received[1].event["project"] == project
    assert all(each.is_signed_by(secret) for each in receiver.received)

    fresh = rig.ask("rotate", identity, remote=remote)["secret"]
    run("yank", project, "1.0", "-d", str(rig.site.root))
    until(lambda: len(receiver.received) == 3)
    assert receiver.received[2].event["type"] == "yank"
    assert receiver.received[2].is_signed_by(secret)
    assert receiver.received[2].is_signed_by(fresh)
    rig.ask("rotate", identity, "--grace", "0", remote=remote)
    until(lambda: len(rig.ask("deliveries", identity, remote=remote)["recent"]) == 2)
    (first, _) = rig.ask("deliveries", identity, remote=remote)["recent"]
    again = rig.ask("redeliver", identity, first["event"], remote=remote)["deliveries"]
    assert [each["result"] for each in again] == ["delivered"]
    assert receiver.received[3].event == receiver.received[1].event
    assert not receiver.received[3].is_signed_by(fresh)
    assert rig.ask("remove", identity, remote=remote) == {"removed": [identity]}
    logged = json.loads(run("log", "--access", "--json", "-d", str(rig.site.root))[1])
    mine = [each for each in logged if identity in (each.get("webhook"), *each.get("webhooks", []))]
    assert [each["action"] for each in mine] == ["webhook-add", *["webhook-rotate"] * 2, "webhook-remove"]
    assert mine[0]["receiver"] == receiver.url.removesuffix("/hooks")
    assert secret not in json.dumps(logged)
    for text in (secret, fresh, "/hooks"):
        assert text not in rig.site.served.output()


def test_sentences_for_people(rig: Rig, receiver: Receiver) -> None:
    """The secret alone on standard output; all else says what happened and what to do."""
    assert rig.remote("list") == (0, "There are no webhooks.\n", "")
    code, out, err = rig.remote("add", f"{receiver.url}?key=1", "--project", "quiet")
    assert code == 0
    assert out.startswith("whsec_")
    assert out.count("\n") == 1
    assert "shown once" in err
    assert f"reports every change of quiet on every index to {receiver.url}?key=1." in err
    (identity,) = [each["id"] for each in rig.ask("list")["webhooks"]]
    assert "Nothing was delivered yet." in rig.remote("deliveries", identity)[1]
    receiver.answer = lambda _: Answer(500, body=b"broken \x1b[31m")
    code, out, _ = rig.local("test", identity)
    assert code == 1
    assert out == "The receiver answered 500.\nIt answered: broken ?[31m\n"
    assert rig.remote("redeliver", identity)[2].strip().endswith("or --given-up for all that were given up.")
    assert "No event was given up." in rig.remote("redeliver", identity, "--given-up")[1]
    assert rig.remote("resume", identity)[1] == f"The webhook {identity} is delivered to.\n"
    run("log", "--access", "-d", str(rig.site.root))
    _, out, _ = run("log", "--access", "--action", "webhook-add", "-d", str(rig.site.root))
    assert f"webhook {identity}, to {receiver.url.removesuffix('/hooks')}: * of quiet on *" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "ftp://a/"), "is no URL of a receiver"),
        (("add", "http://user:secret@a/"), "has no user, password or fragment"),
        (("add", "http://a/", "--event", "publish,explode"), "'explode' is no event; use publish, delete"),
        (("add", "http://a/", "--project", "a b"), "is no name or pattern"),
        (("show", "nothing"), "There is no webhook 'nothing'; 'quire webhook list' lists them."),
        (("remove", "nothing"), "There is no webhook 'nothing'"),
        (("rotate", "nothing"), "There is no webhook 'nothing'"),
        (("resume", "nothing"), "There is no webhook 'nothing'"),
        (("test", "nothing"), "There is no webhook 'nothing'"),
        (("deliveries", "nothing"), "There is no webhook 'nothing'"),
        (("redeliver", "nothing", "evt_1"), "There is no webhook 'nothing'"),
        (("add", "http://a/", "--secret-file", "/nowhere"), "The secret cannot be read from /nowhere"),
    ],
)
def test_what_cannot_be_done_says_why(words: tuple[str, ...], sentence: str, rig: Rig) -> None:
    """By both ways, without a change and without a traceback."""
    for ask in (rig.local, rig.remote):
        code, out, err = ask(*words)
        assert (code, out) == (2 if "/nowhere" in words else 1, "")
        assert sentence in err
        assert len(err.splitlines()) == 1
    assert rig.ask("list") == {"webhooks": []}


def test_a_secret_from_a_file(rig: Rig, receiver: Receiver, tmp_path: Path) -> None:
    """It is used and not printed; a text that is none is refused before anything is sent."""
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    added = rig.ask("add", receiver.url, "--secret-file", str(path))
    assert added["secret"] is None
    rig.ask("test", added["id"])
    assert receiver.received[0].is_signed_by(SECRET)
    path.write_text("short\n")
    assert "A webhook's secret is whsec_" in rig.remote("add", receiver.url, "--secret-file", str(path))[2]


def test_the_server_makes_a_secret_for_simple_clients(rig: Rig, receiver: Receiver) -> None:
    """A request with id and secret may be repeated; one with half of them is refused, as are unknown fields."""
    base, headers = f"{rig.site.base}-/api/v1/webhooks", {"authorization": f"Bearer {rig.token}"}

    def post(path: str = "", **body: Any) -> httpx.Response:
        return httpx.post(f"{base}{path}", json=body, headers=headers)

    made = post(url=receiver.url).json()
    assert made["secret"].startswith("whsec_")
    identity = made["webhook"]["id"]
    assert "secret" not in httpx.get(f"{base}/{identity}", headers=headers).json()
    assert post(f"/{identity}/rotate").json()["secret"] != made["secret"]
    body = {"url": receiver.url, "id": "abcdefghij", "secret": SECRET}
    first, second = post(**body).json(), post(**body).json()
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["secret"] is second["secret"] is None
    assert post(**body | {"url": "http://elsewhere/"}).status_code == 400
    assert post(url=receiver.url, id="abcdefghik").status_code == 400
    assert post(url=receiver.url, allow_private=True).status_code == 400
    assert post(f"/{identity}/redeliver", events=["e"] * 21).status_code == 400
    assert httpx.get(base).status_code == 401


def test_a_read_only_server_delivers_nothing(rig: Rig) -> None:
    """It could not remember it."""
    settings = Settings(directories=(str(rig.site.root),), read_only=True, fallback_url=None)
    worker = create_application(settings).state.worker
    assert worker.webhooks.start(worker.default) is None


def test_a_receiver_that_hangs_holds_up_no_change(tmp_path: Path, receiver: Receiver) -> None:
    """Also where administrators try it more often than there are threads for changes."""
    place = tmp_path / "packages"
    place.mkdir()
    open_store(str(place))
    token = run_quire("token", "create", "--right", "admin", "-d", place, cwd=tmp_path).stdout.strip()
    application = create_application(
        Settings(directories=(str(place),), no_drop_in=True, fallback_url=None, webhook_networks=("127.0.0.0/8",))
    )
    arrived, released = threading.Semaphore(0), threading.Event()

    def hang() -> None:
        arrived.release()
        released.wait()

    receiver.answer = lambda _: Answer(before=hang)

    async def scenario() -> None:
        transport = httpx.ASGITransport(application)
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1/-/api/v1/", headers=headers, timeout=None
        ) as client:
            made = (await client.post("webhooks", json={"url": receiver.url})).json()["webhook"]["id"]
            tries = [asyncio.create_task(client.post(f"webhooks/{made}/test", json={})) for _ in range(WRITERS)]
            for _ in range(RECEIVERS):
                await asyncio.to_thread(arrived.acquire)
            change = asyncio.create_task(client.post("groups/tools", json={"users": ["ann"]}))
            try:
                done, _ = await asyncio.wait({change, *tries}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                released.set()
            assert change in done
            assert {each.status_code for each in await asyncio.gather(change, *tries)} == {200}

    asyncio.run(scenario())
