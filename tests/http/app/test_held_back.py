"""Files that policies hold back: left out of all pages, 403 at every address, on every worker, at once and in time."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from quire.access.document import decode_access, encode_access
from quire.access.records import AccessRecords
from quire.domain.advisories import Advisory, Severity
from quire.index.audit.entries import Origin
from quire.operations import defining
from quire.operations.advisories import remove_advisories, update_advisories
from quire.process.progress import Progress
from tests.distributions import make_wheel, wheel_name
from tests.http.app.test_upstreams import JSON, Workers
from tests.tokens import make_token
from tests.upstreams import FakeIndex, page, serving_index

pytestmark = pytest.mark.usefixtures("no_proxy")

HTML = {"accept": "text/html"}
API = "/-/api/v1/indexes"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
WEEK = 7 * 86400
OLD, YOUNG = wheel_name("six", "1.16.0"), wheel_name("six", "1.17.0")
ENDS = NOW + timedelta(days=2)
"""When the young release is a week old."""


class Rig(Workers):
    """Two workers of one store, with a time that tests set, before an upstream that has an old and a young release."""

    def __init__(self, where: str, upstream: FakeIndex | None, **settings: Any) -> None:
        super().__init__(where, upstream=None if upstream is None else upstream.url, **settings)
        self.now = NOW
        text = make_token(AccessRecords(self.store), ["admin"], origin=Origin(user="ann"))
        self.admin = {"authorization": f"Bearer {text.text}"}
        for each in self.applications:
            each.state.worker.indexes.now = lambda: self.now

    async def wait_until(self, when: datetime) -> None:
        """Let it be this time, in another tick of the event loop: validations are shared within one."""
        self.now = when
        for _ in range(2):
            await asyncio.sleep(0)

    async def policy(self, index: str = "main", **changes: Any) -> None:
        """Change a policy by another process than the workers."""
        await asyncio.to_thread(
            defining.set_policy, AccessRecords(self.store), index, changes, default="main", origin=Origin(user="ann")
        )

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """The answer of every worker, asked more than once."""
        answers = [await client.get(path, headers=headers) for client in self.clients * 2]
        assert len({(each.status_code, each.content) for each in answers}) == 1, answers
        return answers[0]

    async def upload(self, name: str, version: str, at: str = "/") -> httpx.Response:
        content = {"content": (wheel_name(name, version), make_wheel(name, version))}
        return await self.clients[0].post(at, data={":action": "file_upload"}, files=content)

    async def url(self, page: str, filename: str) -> str:
        """The URL of a file that is offered, as a lock file keeps it."""
        answer = await self.clients[0].get(page, headers=JSON)
        (found,) = [each for each in answer.json()["files"] if each["filename"] == filename]
        return str(httpx.URL(f"http://127.0.0.1{page}").join(found["url"]))

    async def create(self, name: str, **settings: Any) -> None:
        access = AccessRecords(self.store)
        await asyncio.to_thread(
            defining.create_index, access, name, settings, default="main", origin=Origin(user="ann")
        )


@pytest.fixture
def upstream() -> Iterator[FakeIndex]:
    with serving_index() as index:
        has_six(index)
        yield index


def has_six(index: FakeIndex, young: str | None = "2026-11-24T12:00:00.000000Z", **changes: Any) -> None:
    times = {OLD: "2021-05-05T14:18:17Z", YOUNG: young}
    files = {name: make_wheel("six", name.split("-")[1]) for name in times}
    entries = {
        name.replace(".", "_").replace("-", "_"): ({} if time is None else {"upload-time": time}) | changes
        for name, time in times.items()
    }
    index.has("six", files, **entries)


def run(rig: Rig, scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        try:
            await scenario()
        finally:
            await rig.close()

    asyncio.run(main())


def sentence(answer: httpx.Response) -> str:
    assert answer.status_code == 403, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.text


def test_a_young_file_is_held_back_until_it_is_old_enough(where: str, upstream: FakeIndex) -> None:
    """Without any other change than the time, on prepared answers too; its old URL says until when."""
    rig = Rig(where, upstream)

    async def scenario() -> None:
        assert await rig.files("/simple/six/") == [OLD, YOUNG]
        url = await rig.url("/simple/six/", YOUNG)
        whole = await rig.get(url)
        assert whole.status_code == 200
        await rig.policy(min_age=WEEK)
        assert await rig.files("/simple/six/") == [OLD]
        page = await rig.get("/simple/six/", **HTML)
        assert OLD in page.text
        assert YOUNG not in page.text
        assert list((await rig.get("/pypi/six/json")).json()["releases"]) == ["1.16.0"]
        for path in (url, f"{url}.metadata", f"/packages/elsewhere/{YOUNG}"):
            assert "until 2026-12-01T12:00:00Z: files of upstreams have to be 7 days old" in sentence(
                await rig.get(path)
            )
        for headers in ({"range": "bytes=0-9"}, {"if-none-match": whole.headers["etag"]}):
            assert "exempt six==1.17.0" in sentence(await rig.get(url, **headers))
        assert (await rig.clients[0].head(url)).status_code == 403
        assert (await rig.get(f"/integrity/six/1.17.0/{YOUNG}/provenance")).status_code == 403
        await rig.wait_until(ENDS - timedelta(microseconds=1))
        assert await rig.files("/simple/six/") == [OLD]
        await rig.wait_until(ENDS)
        assert await rig.files("/simple/six/") == [OLD, YOUNG]
        assert (await rig.get(url)).content == whole.content

    run(rig, scenario)


def test_exemptions_end_in_time_and_policies_at_once(where: str, upstream: FakeIndex) -> None:
    rig = Rig(where, upstream)

    async def scenario() -> None:
        await rig.policy(min_age=10 * WEEK)
        assert await rig.files("/simple/six/") == [OLD]
        await rig.policy(exempt=["six==1.17"], until="2026-11-30T00:00:00Z")
        assert await rig.files("/simple/six/") == [OLD, YOUNG]
        url = await rig.url("/simple/six/", YOUNG)
        assert (await rig.get(url)).status_code == 200
        await rig.wait_until(NOW.replace(day=30, hour=0))
        assert await rig.files("/simple/six/") == [OLD]
        assert (await rig.get(url)).status_code == 403
        for changes, expected in (
            ({"min_age_except": ["six"]}, [OLD, YOUNG]),
            ({"deny": ["SI?"]}, []),
            ({"exempt": ["six==1.16.0"]}, [OLD]),
            ({"not_deny": ["si?"], "min_age": 0}, [OLD, YOUNG]),
            ({"allow": ["requests"]}, [OLD]),
            ({"not_allow": ["requests"], "block": [hashlib.sha256(make_wheel("six", "1.16.0")).hexdigest()]}, [YOUNG]),
        ):
            await rig.policy(**changes)
            assert await rig.files("/simple/six/") == expected, changes
            assert await rig.files("/simple/SIX/") in (301, expected)

    run(rig, scenario)


def test_a_file_without_an_upload_time_is_held_back(tmp_path: Path, upstream: FakeIndex) -> None:
    has_six(upstream, None)
    rig = Rig(str(tmp_path), upstream)

    async def scenario() -> None:
        url = await rig.url("/simple/six/", YOUNG)
        await rig.policy(min_age=60)
        assert "does not say how old it is" in sentence(await rig.get(url))

    run(rig, scenario)


def test_no_index_in_front_is_a_way_around_a_policy(where: str, upstream: FakeIndex) -> None:
    """Neither by its pages, nor by the addresses of files below its name; the policy of the front counts for all."""
    rig = Rig(where, upstream)

    async def scenario() -> None:
        await rig.create("middle", behind=("main",))
        await rig.create("front", behind=("middle",))
        await rig.create("stage", in_front_of="main")
        for name in ("denied", "free"):
            assert (await rig.upload(name, "1.0")).status_code == 200
        fronts = ("", "/middle", "/front", "/stage")
        urls = {
            (at, name): await rig.url(f"{at}/simple/{name}/", wheel_name(name, "1.0"))
            for at in fronts
            for name in ("denied", "free")
        }
        young = {at: await rig.url(f"{at}/simple/six/", YOUNG) for at in fronts}
        await rig.policy(deny=["denied"], reason="see wiki", min_age=WEEK)
        for at in fronts:
            assert await rig.files(f"{at}/simple/denied/") == []
            assert await rig.files(f"{at}/simple/free/") == [wheel_name("free", "1.0")]
            assert await rig.files(f"{at}/simple/six/") == [OLD]
            for url in (urls[at, "denied"], f"{urls[at, 'denied']}.metadata"):
                assert "index main denies denied since 20" in sentence(await rig.get(url))
            assert "(see wiki)" in sentence(await rig.get(urls[at, "denied"]))
            assert (await rig.get(young[at])).status_code == 403
        await rig.policy("middle", exempt=["denied==1.0", "six==1.17.0"], deny=["free"])
        expected = {"": [wheel_name("free", "1.0")], "/middle": [], "/front": [], "/stage": [wheel_name("free", "1.0")]}
        for at in fronts:
            assert await rig.files(f"{at}/simple/denied/") == []
            assert await rig.files(f"{at}/simple/six/") == [OLD]
            assert await rig.files(f"{at}/simple/free/") == expected[at]
            assert (await rig.get(urls[at, "free"])).status_code == (200 if expected[at] else 403)

    run(rig, scenario)


def test_merged_projects_and_upstreams_of_a_front(tmp_path: Path, upstream: FakeIndex) -> None:
    """A private file of a merged project is not too young; a front with the same upstream obeys what is behind it."""
    rig = Rig(str(tmp_path), upstream)

    async def scenario() -> None:
        mirrored = {"url": upstream.url, "hosts": ("127.0.0.1",)}
        await rig.define("main", {"upstream": mirrored}, {"claim": ("six",)})
        assert (await rig.upload("six", "2.0")).status_code == 200
        await rig.define("main", {"merge": ("six",)}, {"release": ("six",)})
        await rig.create(
            "front", behind=("main",), upstream={"url": upstream.url, "hosts": ("127.0.0.1",)}, merge=("six",)
        )
        mine = wheel_name("six", "2.0")
        await rig.policy(min_age=WEEK)
        assert await rig.files("/simple/six/") == [OLD, mine]
        assert await rig.files("/front/simple/six/") == [OLD, mine]
        await rig.policy(allow=["requests"])
        assert await rig.files("/front/simple/six/") == [mine]

    run(rig, scenario)


def test_dropped_in_files_are_held_back_too(tmp_path: Path, upstream: FakeIndex) -> None:
    """By their own place, also where another file of the same name hides them; in the list of all files as well."""
    rig = Rig(str(tmp_path), upstream, no_drop_in=False)
    filename = wheel_name("dropped", "1.0")

    async def scenario() -> None:
        (tmp_path / filename).write_bytes(make_wheel("dropped", "1.0"))
        (tmp_path / "old").mkdir()
        other = make_wheel("dropped", "1.0", files={"other.txt": b"x"})
        (tmp_path / "old" / filename).write_bytes(other)
        places = (f"/packages/{filename}", f"/packages/old/{filename}")
        assert [(await rig.get(each)).status_code for each in places] == [200, 200]
        await rig.policy(block=[hashlib.sha256(other).hexdigest()])
        statuses = [(await rig.get(each)).status_code for each in places]
        assert statuses == [200, 403]
        assert (await rig.get(f"{places[1]}.metadata")).status_code == 403
        await rig.policy(deny=["dropped"])
        assert [(await rig.get(each)).status_code for each in places] == [403, 403]
        assert filename not in (await rig.get("/packages/", **HTML)).text
        await rig.policy(exempt=["dropped==1.0"], until="2026-11-30T00:00:00Z")
        assert filename in (await rig.get("/packages/", **HTML)).text
        await rig.wait_until(NOW.replace(day=30))
        assert filename not in (await rig.get("/packages/", **HTML)).text

    run(rig, scenario)


def test_uploads_and_promotions_of_held_back_files_are_refused(tmp_path: Path, upstream: FakeIndex) -> None:
    """With the sentence, which twine shows as the reason of the status; nothing of them is stored."""
    rig = Rig(str(tmp_path), upstream)

    async def scenario() -> None:
        digest = hashlib.sha256(make_wheel("bad", "1.0")).hexdigest()
        await rig.create("stage", in_front_of="main")
        assert (await rig.upload("bad", "1.0", "/stage/")).status_code == 200
        await rig.policy(block=[digest], reason="a stolen key", deny=["evil*"])
        assert "blocks bad-1.0-py3-none-any.whl by its digest since" in sentence(await rig.upload("bad", "1.0"))
        assert "denies evil-twin" in sentence(await rig.upload("evil-twin", "1.0"))
        assert (await rig.upload("taken-back", "1.0")).status_code == 200
        await rig.policy(deny=["taken-back"])
        form = {":action": "remove_pkg", "name": "taken-back", "version": "1.0"}
        assert (await rig.clients[0].post("/", data=form)).status_code == 200
        assert await rig.files("/simple/bad/") == 404
        dry = await rig.clients[0].post(f"{API}/stage/promote", json={"dry_run": True})
        assert "by its digest" in dry.json()["projects"][0]["problem"]
        refused = await rig.clients[0].post(f"{API}/stage/promote", json={})
        assert "by its digest" in sentence(refused)
        assert await rig.files("/simple/bad/") == 404
        await rig.policy(unblock=[digest[:12]])
        assert (await rig.clients[0].post(f"{API}/stage/promote", json={})).status_code == 200
        assert await rig.files("/simple/bad/") == [wheel_name("bad", "1.0")]

    run(rig, scenario)


class Known:
    """Advisories on releases of projects."""

    def __init__(self, **advisories: Advisory) -> None:
        self._known = advisories

    def __bool__(self) -> bool:
        return bool(self._known)

    def of(self, project: str, version: str) -> Sequence[Advisory]:
        found = self._known.get(project)
        return [] if found is None or version in found.fixed else [found]

    def fixed_by(self, project: str, version: str) -> Sequence[Advisory]:
        found = self._known.get(project)
        return [] if found is None or version not in found.fixed else [found]


def test_advisories_block_warn_and_let_fixes_pass(
    tmp_path: Path, upstream: FakeIndex, capsys: pytest.CaptureFixture[str]
) -> None:
    """New data comes with another state of the definitions, and counts for the next request of every worker; a file
    with a warning is logged each time, and told by the JSON API."""
    rig = Rig(str(tmp_path), upstream)
    known = [Known()]
    for each in rig.applications:
        each.state.worker.indexes.advisories = lambda state: known[0]

    async def scenario() -> None:
        await rig.policy(malicious="block", warn_severity="high", min_age=WEEK, min_age_except_fixes=True)
        assert await rig.files("/simple/six/") == [OLD]
        known[0] = Known(six=Advisory(id="GHSA-1", severity=Severity.HIGH, fixed=("1.17.0",)))
        await rig.policy(min_age_except=["first-update"])
        assert await rig.files("/simple/six/") == [OLD, YOUNG]
        (old, young) = (await rig.get(f"{API}/-/projects/six/files")).json()["files"]
        assert "warns of six 1.16.0 as vulnerable" in old["warning"]
        assert young["warning"] is None
        url = await rig.url("/simple/six/", OLD)
        assert (await rig.get(url)).status_code == 200
        assert (await rig.get(url)).status_code == 200
        known[0] = Known(six=Advisory(id="MAL-1", is_malicious=True))
        await rig.policy(min_age_except=["second-update"])
        assert await rig.files("/simple/six/") == []
        assert "blocks six 1.16.0 as malicious" in sentence(await rig.get(url))
        document = (await rig.get(f"{API}/-/projects/six/files")).json()
        assert document["files"] == []
        assert [each["decision"]["rule"] for each in document["held_back"]] == ["malicious", "malicious"]

    run(rig, scenario)


def test_no_fallback_is_a_way_around_a_policy(tmp_path: Path) -> None:
    """A client is sent elsewhere for no project that is denied, and for none where the age of releases counts."""
    elsewhere = "https://elsewhere.example/simple/"
    rig = Rig(str(tmp_path), None, fallback_url=elsewhere)

    async def scenario() -> None:
        async def status(name: str) -> int:
            return (await rig.get(f"/simple/{name}/", **JSON)).status_code

        assert [await status(each) for each in ("evil", "good")] == [303, 303]
        await rig.policy(deny=["evil"], block=["ab" * 32])
        assert [await status(each) for each in ("evil", "good")] == [200, 303]
        assert (await rig.get("/simple/evil/", **JSON)).json()["files"] == []
        await rig.policy(allow=["better"])
        assert [await status(each) for each in ("good", "better")] == [200, 303]
        await rig.policy(min_age=60)
        assert "could not be applied to better at https://elsewhere" in sentence(await rig.get("/simple/better/"))

    run(rig, scenario)


def test_osv_data_counts_for_the_next_request(where: str, upstream: FakeIndex, tmp_path: Path) -> None:
    """Of every worker, as it is taken in by another process; an upload of such a release is refused then."""
    rig = Rig(where, upstream)
    data = tmp_path / "data" / "MAL-1.json"
    affected = {"package": {"ecosystem": "PyPI", "name": "six"}, "versions": ["1.17.0"]}
    data.parent.mkdir()
    data.write_text(json.dumps({"id": "MAL-1", "modified": "2026-11-28T00:00:00Z", "affected": [affected]}))

    async def scenario() -> None:
        await rig.policy(malicious="block")
        assert await rig.files("/simple/six/") == [OLD, YOUNG]
        url = await rig.url("/simple/six/", YOUNG)
        access = AccessRecords(rig.store)
        await asyncio.to_thread(
            update_advisories, rig.store, access, str(data.parent), "osv", origin=Origin(), progress=Progress()
        )
        assert await rig.files("/simple/six/") == [OLD]
        assert "blocks six 1.17.0 as malicious" in sentence(await rig.get(url))
        assert "(MAL-1)" in sentence(await rig.get(f"{url}.metadata"))
        await asyncio.to_thread(remove_advisories, rig.store, access, "osv", origin=Origin(user="ann"))
        assert await rig.files("/simple/six/") == [OLD, YOUNG]

    run(rig, scenario)


def test_a_large_page_of_an_upstream_is_filtered_too(tmp_path: Path, upstream: FakeIndex) -> None:
    """Before and after a policy, in both forms and all codings, however large pages are kept."""
    rig = Rig(str(tmp_path), upstream)
    names = [wheel_name("many", f"1.{number}") for number in range(2500)]
    entries = [
        {
            "filename": name,
            "url": f"../../files/{name}",
            "hashes": {"sha256": hashlib.sha256(name.encode()).hexdigest()},
            "size": 1,
            "upload-time": "2026-11-24T12:00:00Z" if name == names[-1] else "2021-01-01T00:00:00Z",
        }
        for name in names
    ]
    upstream.at("/simple/many/", page(entries))

    async def scenario() -> None:
        client, young = rig.clients[0], names[-1]

        async def shown(**headers: str) -> bool:
            answer = await client.get("/simple/many/", headers=headers)
            assert answer.status_code == 200
            assert names[0] in answer.text
            return f"{young}<" in answer.text or f'"{young}"' in answer.text

        for coding in ("identity", "gzip", "zstd"):
            assert await shown(**{"accept-encoding": coding}, **JSON)
        await rig.policy(min_age=WEEK)
        for coding in ("identity", "gzip", "zstd"):
            assert not await shown(**{"accept-encoding": coding}, **JSON)
            assert not await shown(**{"accept-encoding": coding}, **HTML)
        held = await client.get(f"/packages/files/{young}")
        assert "back until 2026-12-01T12:00:00Z" in sentence(held)
        await rig.wait_until(ENDS)
        assert await shown(**JSON)

    run(rig, scenario)


def test_the_policy_over_the_json_api(tmp_path: Path, upstream: FakeIndex) -> None:
    rig = Rig(str(tmp_path), upstream)

    async def scenario() -> None:
        client = rig.clients[0]
        assert (await rig.get(f"{API}/-/policy")).status_code == 401
        client.headers.update(rig.admin)
        assert (await client.get(f"{API}/-/policy")).json()["min_age"] == 0
        body = {"min_age": WEEK, "deny": ["Evil.*"], "reason": "no"}
        changed = (await client.post(f"{API}/-/policy", json=body)).json()
        assert changed["changed"] is True
        assert changed["policy"]["deny"][0]["pattern"] == "evil-*"
        assert (await client.post(f"{API}/-/policy", json=body)).json()["changed"] is False
        assert (await rig.get(f"{API}/-/policy", **rig.admin)).json() == changed["policy"]
        for bad in ({"deny": ["-"]}, {"colour": 1}, {"min_age": "x"}, {}):
            assert (await client.post(f"{API}/-/policy", json=bad)).status_code == 400
        assert (await client.post(f"{API}/no/policy", json=body)).status_code == 404
        explained = (await rig.get(f"{API}/-/policy/explain?project=SIX")).json()["files"]
        assert [(each["filename"], each["offered"]) for each in explained] == [(OLD, True), (YOUNG, False)]
        assert explained[1]["decision"]["until"] == "2026-12-01T12:00:00Z"
        assert explained[0]["why"] == "No rule concerns it."
        assert (await rig.get(f"{API}/-/policy/explain?project=six&version=9")).status_code == 404
        assert (await rig.get(f"{API}/-/policy/explain")).status_code == 400
        for change, blocks in (({"min_age": 0}, False), ({"deny": ["six"]}, True)):
            body = {"releases": ["Six==1.16", "six==1.17.0", "six==9", "nothing"], "change": change}
            tried = (await client.post(f"{API}/-/policy/try", json=body)).json()
            assert (tried["checked"], tried["unknown"]) == (2, ["nothing", "six==9"])
            assert [(each["filename"], each["after"] is not None) for each in tried["files"]] == (
                [(OLD, True)] if blocks else [(YOUNG, False)]
            )
        now = (await client.post(f"{API}/-/policy/try", json={"releases": ["six"]})).json()
        assert [each["filename"] for each in now["files"]] == [YOUNG]
        assert (await rig.get(f"{API}/-/policy", **rig.admin)).json() == changed["policy"]
        (entry, *_) = [each async for each in logged(client)]
        assert (entry["action"], entry["index"]) == ("policy-set", "main")

    run(rig, scenario)


async def logged(client: httpx.AsyncClient) -> Any:
    for each in (await client.get(f"{API}/-/log?action=policy-set")).json()["entries"]:
        yield json.loads(json.dumps(each))["entry"] if "entry" in each else each


def test_an_earlier_version_serves_nothing_by_a_document_with_a_policy(tmp_path: Path, upstream: FakeIndex) -> None:
    """It does not know the format; without a policy the document has the format that it knows."""
    rig = Rig(str(tmp_path), upstream)

    async def scenario() -> None:
        access = AccessRecords(rig.store)
        await rig.define("main", {"claim": ("acme-*",)})
        await rig.policy(deny=["evil"])
        data = encode_access(access.read().state.document)
        assert json.loads(data)["format"] == 3
        assert decode_access(data).indexes["main"].policy.deny[0].by == "ann"
        await rig.policy(not_deny=["evil"])
        assert json.loads(encode_access(access.read().state.document))["format"] == 2

    run(rig, scenario)
