"""The exchange of tokens with a real issuer and two servers: what it gives, once, and what each bad token is told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire.access.decisions import AccessState
from quire.access.records import AccessRecords
from quire.http.publishing.exchange import TokenExchange
from quire.index.audit.entries import Origin
from quire.operations import trusted_publishing
from quire.operations.trusted_publishing import MOST_TEXT
from quire.store.posix.store import PosixStore
from tests.asking import Site, publish, serve
from tests.distributions import make_wheel, wheel_name
from tests.issuers import AUDIENCE, KEYS, Issuer, b64, endless, issuing, public, redirecting, send
from tests.publishing.claims import GITHUB, SHA
from tests.serving import run_quire

MINT, BURN = "/_/oidc/mint-token", "/_/oidc/burn-token"
FLAGS = ("-a", "update", "--disable-fallback")


@dataclass
class Rig:
    """Two servers on one store, an issuer that a publisher names, and one that none names."""

    one: Site
    two: Site
    issuer: Issuer
    stranger: Issuer
    publisher: str

    def quire(self, *words: str, code: int = 0) -> str:
        done = run_quire(*words, "-d", self.one.root, cwd=self.one.root)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def job(self, issuer: Issuer | None = None, **changed: Any) -> str:
        """A token of a job of the publisher."""
        own = issuer or self.issuer
        return own.token(**{**GITHUB, "iss": own.url, **changed})

    def mint(self, token: object, site: Site | None = None) -> httpx.Response:
        return (site or self.one).client.post(MINT, json={"token": token})

    def minted(self, **changed: Any) -> str:
        answer = self.mint(self.job(**changed))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("exchange")
    with (
        issuing() as issuer,
        issuing() as stranger,
        serve(folder, *FLAGS, "--trusted-proxies", "127.0.0.1") as one,
        serve(folder, *FLAGS, "--server-base-url", "/python", "--trusted-proxies", "127.0.0.1") as two,
    ):
        rig = Rig(one, two, issuer, stranger, "")
        assert one.client.get("/_/oidc/audience").status_code == 404, "there is no publisher yet"
        words = ("--repository", "acme/tools", "--workflow", "release.yml", "--issuer", issuer.url)
        added = rig.quire("publisher", "add", "github", *words, "--index", "main", "--project", "acme-tools", "--json")
        rig.publisher = json.loads(added)["id"]
        rig.quire("publisher", "audience", AUDIENCE)
        yield rig


@pytest.fixture(autouse=True)
def _patient(rig: Rig, request: pytest.FixtureRequest) -> None:
    """Each test is a client of its own: refusals are counted by address."""
    number = abs(hash(request.node.name)) % 250
    for site in (rig.one, rig.two):
        site.client.headers["x-forwarded-for"] = f"10.{number}.{abs(hash(request.node.name)) // 250 % 250}.7"


def upload(
    site: Site, token: str, project: str = "acme-tools", version: str = "1.0", path: str = "/"
) -> httpx.Response:
    content, headers = make_wheel(project, version), {"authorization": f"Bearer {token}"}
    return publish(site, wheel_name(project, version), content, name=project, version=version, **headers)


def test_a_job_gets_a_token_that_uploads_to_its_project_alone(rig: Rig) -> None:
    """And the log of the upload names the repository, the workflow, the run and the commit."""
    answer = rig.mint(rig.job())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    document = answer.json()
    assert document["success"] is True
    token = document["token"]
    assert upload(rig.two, token, version="1.0").status_code == 200
    assert upload(rig.one, token, "acme-other").status_code == 403
    removal = {":action": "remove_pkg", "name": "acme-tools", "version": "1.0"}
    assert rig.one.client.post("/", data=removal, headers={"authorization": f"Bearer {token}"}).status_code == 403
    published = [each for each in json.loads(rig.quire("log", "acme-tools", "--json")) if each["action"] == "publish"]
    (entry,) = [each for each in published if "acme_tools-1.0" in json.dumps(each)]
    assert entry["user"] == f"publisher:{rig.publisher}"
    assert entry["job"] == {
        "platform": "GitHub",
        "repository": "acme/tools",
        "workflow": "acme/tools/.github/workflows/release.yml@refs/tags/v1.2.0",
        "run": "19844302",
        "commit": SHA,
        "ref": "refs/tags/v1.2.0",
        "environment": "pypi",
        "actor": "octocat",
    }
    files = rig.one.get("/-/api/v1/indexes/-/projects/acme-tools/files").json()["files"]
    (file,) = [each for each in files if each["version"] == "1.0"]
    assert file["job"] == entry["job"]
    page = rig.one.get("/project/acme-tools/1.0/").text
    assert 'by GitHub acme/tools <span class="mono">release.yml</span>, run 19844302' in page
    shown = rig.quire("log", "acme-tools")
    for part in ("acme/tools", "19844302", SHA[:12]):
        assert part in shown
    assert token not in rig.one.served.output() + rig.two.served.output()


def test_the_endpoints_are_at_the_root_and_below_the_prefix(rig: Rig) -> None:
    """Clients look for them at the root of the host, whatever they publish to."""
    root = str(rig.two.client.base_url).removesuffix("/python/")
    for address in (f"{root}/_/oidc/audience", f"{root}/python/_/oidc/audience"):
        assert httpx.get(address).json() == {"audience": AUDIENCE}
    for path in ("/", "/python/"):
        token = rig.job(jti=f"at {path}")
        answer = httpx.post(f"{root}{path}_/oidc/mint-token".replace("//_", "/_"), json={"token": token})
        assert answer.status_code == 200, answer.text


def test_discovery(rig: Rig) -> None:
    """PEP 807: for the paths that take uploads, with addresses as the client knows them."""
    root = str(rig.two.client.base_url).removesuffix("/python/")
    host = root.partition("://")[2]
    for path in ("/python/", "/python", "/python/legacy/"):
        answer = httpx.get(f"{root}/.well-known/pytp", params={"discover": path})
        assert answer.json() == {
            "audience-endpoint": f"http://{host}/python/_/oidc/audience",
            "token-mint-endpoint": f"http://{host}/python/_/oidc/mint-token",
            "features": ["multi-use-token"],
            "default-features": ["multi-use-token"],
        }, path
    for unknown in ("/", "/simple/x/", "/pythonic/", "/other/"):
        assert httpx.get(f"{root}/.well-known/pytp", params={"discover": unknown}).status_code == 404, unknown
    assert httpx.get(f"{root}/.well-known/pytp").status_code == 404
    own = rig.one.client.get("/.well-known/pytp?discover=", headers={"accept": "application/vnd.pypi.pytp.v1+json"})
    assert own.headers["content-type"] == "application/vnd.pypi.pytp.v1+json"
    assert rig.one.client.get("/.well-known/pytp?discover=/", headers={"accept": "text/html"}).status_code == 406


def test_discovery_of_a_named_index(rig: Rig) -> None:
    """For the addresses below its name that take uploads. Where indexes need a login, the answer does not say which
    there are: a client sends none here."""
    rig.quire("index", "create", "team")
    rig.quire("index", "create", "fixed", "--no-uploads")

    def statuses(site: Site, prefix: str, *paths: str) -> list[int]:
        root = str(site.client.base_url).removesuffix("/").removesuffix(prefix)
        answers = [httpx.get(f"{root}/.well-known/pytp", params={"discover": f"{prefix}{path}"}) for path in paths]
        for answer in answers:
            assert answer.status_code == 404 or answer.json()["token-mint-endpoint"].endswith(f"{prefix}{MINT}")
        return [answer.status_code for answer in answers]

    takes = ("/team/", "/team/legacy/", "/team/simple/", "/main/")
    assert statuses(rig.one, "", *takes) == statuses(rig.two, "/python", *takes) == [200] * 4
    refuses = ("/fixed/", "/nothing/", "/team", "/team/simple/x/", "/team/legacy", "/simple/simple/", "/Team/", "/*/")
    assert statuses(rig.one, "", *refuses) == [404] * 8
    with serve(rig.one.root.parent, "-a", "update,list,download", "--disable-fallback") as closed:
        assert statuses(closed, "", "/team/", "/nothing/", *refuses) == [200] * 4 + [404] * 6


def test_a_token_of_a_job_is_exchanged_once(rig: Rig) -> None:
    """Also by two servers at the same time, of which one knows nothing of the other."""
    token, answers = rig.job(), []
    start = threading.Barrier(2)

    def ask(site: Site) -> None:
        with httpx.Client(base_url=site.client.base_url, headers=site.client.headers) as client:
            start.wait()
            answers.append(client.post(MINT.lstrip("/"), json={"token": token}))

    threads = [threading.Thread(target=ask, args=(site,)) for site in (rig.one, rig.two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 422]
    for again in (rig.one, rig.two):
        refused = rig.mint(token, again)
        assert refused.status_code == 422
        assert refused.json()["errors"] == [
            {
                "code": "invalid-reuse-token",
                "description": "The token was exchanged before; each is good for one exchange.",
            }
        ]


def test_a_token_ends_when_it_is_burned(rig: Rig) -> None:
    """202, also for a token that is none; a wrong secret burns nothing."""
    token = rig.minted()
    wrong = rig.one.client.post(BURN, json={"token": token[:-8] + "AAAAAAAA"})
    assert wrong.status_code == 202
    assert upload(rig.two, token, version="2.0").status_code == 200
    burned = rig.two.client.post(BURN.lstrip("/"), json={"token": token})
    assert (burned.status_code, burned.json()) == (202, wrong.json())
    assert upload(rig.one, token, version="2.1").status_code == 401
    assert rig.one.client.post(BURN, json={"token": token}).status_code == 202


def test_a_token_ends_with_its_publisher(rig: Rig) -> None:
    """From the next request on, on the other server as well."""
    words = ("--repository", "acme/gone", "--workflow", "release.yml", "--issuer", rig.issuer.url)
    added = rig.quire("publisher", "add", "github", *words, "--project", "acme-gone", "--json")
    file = "acme/gone/.github/workflows/release.yml@refs/tags/v1.2.0"
    token = rig.minted(repository="acme/gone", repository_id="7", workflow_ref=file, job_workflow_ref=file)
    assert upload(rig.one, token, "acme-gone").status_code == 200
    rig.quire("publisher", "remove", json.loads(added)["id"])
    assert upload(rig.one, token, "acme-gone", "2.0").status_code == 401
    assert upload(rig.two, token, "acme-gone", "2.0").status_code == 401


def test_a_token_of_a_publisher_of_another_index_uploads_nothing_here(rig: Rig) -> None:
    """Although the project has the same name."""
    words = ("github", "--repository", "acme/other", "--workflow", "release.yml", "--issuer", rig.issuer.url)
    rig.quire("publisher", "add", *words, "--index", "staging", "--project", "acme-tools")
    file = "acme/other/.github/workflows/release.yml@refs/tags/v1.2.0"
    token = rig.minted(repository="acme/other", repository_id="8", workflow_ref=file, job_workflow_ref=file)
    answer = upload(rig.one, token, version="7.0")
    assert (answer.status_code, "needs the right upload or manage on the index main" in answer.text) == (403, True)


def test_claims_of_any_length_leave_room_for_other_tokens(rig: Rig) -> None:
    """Those that tell jobs apart are kept, whatever else a token brings; the document of all tokens stays small."""
    further = {f"{number}{'n' * 100}": "x" * 100 for number in range(30)} | {"0" * 2000: "x", "1": "x" * 2000}
    identity = rig.minted(**further).split("_")[1]
    job = AccessRecords(PosixStore.open(str(rig.one.root))).read().state.document.tokens[identity].publisher
    assert job is not None
    assert sum(len(name) + len(text) for name, text in job.claims.items()) <= MOST_TEXT
    assert {"repository", "repository_id", "repository_owner_id", "workflow_ref", "environment"} <= job.claims.keys()
    assert len(job.claims) > 12, "others are kept as far as there is room"


def refused(answer: httpx.Response, status: int, code: str, reason: str) -> None:
    """As uv and the PyPI action read it."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    (error,) = document["errors"]
    assert (document["message"], error["code"]) == ("Token request failed", code)
    assert reason in error["description"]
    assert document["detail"] == error["description"]


BAD_CLAIMS: list[tuple[dict[str, Any], str, str]] = [
    ({"exp": 1_700_000_000, "iat": 1_699_999_000, "nbf": None}, "invalid-token", "has expired"),
    ({"nbf": 4_000_000_000}, "invalid-token", "not valid yet"),
    ({"aud": "pypi"}, "invalid-token", "for another audience"),
    ({"actor": "\ud800"}, "invalid-payload", "payload is no JSON object"),
    ({"\ud800": "x"}, "invalid-payload", "payload is no JSON object"),
    ({"x": float("nan")}, "invalid-payload", "payload is no JSON object"),
    ({"repository": "acme/other"}, "invalid-publisher", "of no publisher of this index"),
    ({"repository_id": "75"}, "invalid-publisher", "of no publisher of this index"),
    ({"event_name": "pull_request_target"}, "invalid-publisher", "of no publisher of this index"),
]


@pytest.mark.parametrize(("claims", "code", "reason"), BAD_CLAIMS)
def test_bad_claims(rig: Rig, claims: dict[str, Any], code: str, reason: str) -> None:
    """A token of the right issuer that is not right; the claim that differs is in the server's log alone."""
    rig.minted()  # so that the ids of the repository are remembered
    refused(rig.mint(rig.job(**claims)), 422, code, reason)


def test_forged_tokens(rig: Rig) -> None:
    """Of another key, without a signature, of another algorithm, with a key of their own, of an unknown issuer."""
    forged = rig.issuer.token(key="other", **{**GITHUB, "iss": rig.issuer.url})
    refused(rig.mint(forged), 422, "invalid-token", "signature is wrong")
    _, claims, signature = rig.job().split(".")
    for algorithm in ("none", "HS256"):
        text = f"{b64({'alg': algorithm, 'kid': 'one'})}.{claims}.{signature}"
        refused(rig.mint(text), 422, "invalid-payload", "is not taken")
    own = rig.issuer.token(header={"jku": f"{rig.stranger.url}{KEYS}"}, **{**GITHUB, "iss": rig.issuer.url})
    refused(rig.mint(own), 422, "invalid-payload", "a key of its own (jku)")
    unknown = rig.issuer.token(kid="../../x", **{**GITHUB, "iss": rig.issuer.url})
    refused(rig.mint(unknown), 422, "invalid-token", "a key that its issuer does not have")
    refused(rig.mint(rig.job(rig.stranger)), 422, "invalid-payload", "an issuer that no publisher of this index has")
    assert rig.stranger.asked == [], "only issuers of publishers are asked"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 422, 'not JSON with a text "token"'),
        (b"[", 422, 'not JSON with a text "token"'),
        (b'{"token": 7}', 422, 'not JSON with a text "token"'),
        (b'{"token": "a.b.c"}', 422, "header is no JSON object"),
        (b'{"token": "a.b.c", "features": ["single-use-token"]}', 422, "feature 'single-use-token' is not known"),
        (b'{"token": ' + b"[" * 50_000, 422, 'not JSON with a text "token"'),
        (b'{"token": "' + b"a" * 20_000 + b'"}', 422, "more than 16 KiB"),
        (b'{"token": "' + b"a" * 100_000 + b'"}', 413, "more than 64 KiB"),
    ],
)
def test_bodies_that_are_no_request(rig: Rig, body: bytes, status: int, reason: str) -> None:
    """Too large, too deep, no JSON."""
    answer = rig.one.client.post(MINT, content=body, headers={"content-type": "application/json"})
    refused(answer, status, "invalid-payload", reason)


def test_too_many_bad_tokens_have_to_wait(rig: Rig) -> None:
    """By address; a good token of another address is exchanged meanwhile."""
    answers = [rig.mint("x") for _ in range(30)]
    assert [answer.status_code for answer in answers].count(429) == 10
    refused(answers[-1], 429, "too-many-requests", "Too many bad tokens")
    assert int(answers[-1].headers["retry-after"]) > 0
    rig.one.client.headers["x-forwarded-for"] = "192.0.2.7"
    assert rig.minted()


def test_good_tokens_are_not_charged(tmp_path: Path) -> None:
    """However many jobs behind one address exchange theirs at the same moment, and one after another."""
    with issuing() as issuer:
        store = PosixStore.open(str(tmp_path))
        access, settings = AccessRecords(store), {"repository": "acme/tools", "workflow": "release.yml"}
        trusted_publishing.add_publisher(
            access, "github", settings, {}, issuer=issuer.url, index="main", projects=["acme-tools"], origin=Origin()
        )
        trusted_publishing.set_audience(access, AUDIENCE, Origin())

        async def state() -> AccessState:
            return access.read().state

        async def in_writer(function: Callable[..., Any], *args: Any) -> Any:
            return function(*args)

        exchange = TokenExchange(access, state, in_writer, read_only=False)

        async def mint(jobs: int) -> None:
            tokens = [issuer.token(**{**GITHUB, "iss": issuer.url}) for _ in range(jobs)]
            await asyncio.gather(*(exchange.mint(token, "192.0.2.7", Origin()) for token in tokens))

        async def mint_all() -> None:
            await mint(30)  # none is done before the keys are there, and all of them have begun by then
            for _ in range(30):
                await mint(1)

        asyncio.run(mint_all())


def test_an_issuer_in_trouble(tmp_path: Path) -> None:
    """503 for its tokens, and the next ones are exchanged when it is well again and its keys have changed."""
    with issuing() as issuer, issuing() as inside, serve(tmp_path, *FLAGS) as site:
        words = ("--repository", "acme/tools", "--workflow", "release.yml", "--project", "acme-tools")
        root = site.root
        for each in range(3):
            assert (
                run_quire(
                    "publisher", "add", "github", *words, "--issuer", f"{issuer.url}/{each}", "-d", root, cwd=root
                ).returncode
                == 0
            )
        run_quire("publisher", "audience", AUDIENCE, "-d", root, cwd=root)
        for number, answer in enumerate(
            (redirecting(f"{inside.url}{KEYS}"), endless, lambda handler: send(handler, b"<html>"))
        ):
            issuer.answers[f"/{number}/.well-known/openid-configuration"] = answer
            token = issuer.token(**{**GITHUB, "iss": f"{issuer.url}/{number}"})
            refused(site.client.post(MINT, json={"token": token}), 503, "issuer-unavailable", "cannot be read now")
        assert inside.asked == []
        assert "Traceback" not in site.served.output()
        assert public("one", "rsa") == issuer.keys[0]
