"""The documents about a server and its upstreams: of all workers of a container, whichever of them answers."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from quire.administration.describing_server import Offered, upstream_statuses
from quire.config.settings import OPTIONS
from quire.observe.metrics import catalog
from quire.observe.metrics.tally import MirrorTally, UpstreamTally
from tests.asking import Site, basic, password_file, serve
from tests.distributions import make_wheel, wheel_name
from tests.http.ui.test_manage import BROWSER, make_admin
from tests.serving import environment, run_quire, until
from tests.upstreams import Answer, FakeIndex, serving_index

ALICE = basic("alice", "secret")
LOGIN = ("-a", "list,download,update", "-P", "users")


def asked(site: Site, what: str) -> Any:
    answer = site.client.get(f"/-/api/v1/{what}", headers={"authorization": ALICE})
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(site: Site, what: str) -> str:
    answer = site.get(f"/-/admin/{what}/", accept=BROWSER, authorization=ALICE)
    assert answer.status_code == 200, answer.text
    return answer.text


def at_a_server(site: Site, folder: Path, *words: str) -> str:
    url = site.base.replace("http://", "http://alice:secret@")
    done = run_quire(*words, "--url", url, cwd=folder, environ=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def upstream_of(site: Site) -> dict[str, Any]:
    (found,) = asked(site, "upstreams")["upstreams"]
    return dict(found)


def read(site: Site, *paths: str) -> None:
    for path in paths:
        site.client.get(path, headers={"authorization": ALICE})


def test_workers_are_those_of_the_container(tmp_path: Path) -> None:
    """Each answer has all of them, with the requests of each; also without a page of metrics."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN, "--workers", 2, "--metrics", "off") as site:
        make_admin(tmp_path, "alice")
        until(lambda: len(asked(site, "server")["workers"]) == 2)
        found = asked(site, "server")
        assert (found["container"], found["server"]) == (socket.gethostname(), "uvicorn")
        assert (found["backend"], found["read_only"], found["draining"]) == ("directory", False, False)
        assert len({each["pid"] for each in found["workers"]}) == 2
        for each in found["workers"]:
            assert each["memory"] > 1_000_000
            assert each["started"] <= each["heard"]
            assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", each["started"])
        until(lambda: asked(site, "server")["requests"] > found["requests"])
        assert sum(each["in_flight"] for each in asked(site, "server")["workers"]) >= 1  # the one that asks
        page = shown(site, "server")
        for each in found["workers"]:
            assert f'<td class="mono">{each["pid"]}</td>' in page
        assert f"the container {socket.gethostname()}" in page
        told = at_a_server(site, tmp_path, "server", "status")
        assert "2 workers, " in told
        assert json.loads(at_a_server(site, tmp_path, "server", "status", "--json")).keys() == found.keys()


def test_health_and_hit_rate_of_an_upstream(tmp_path: Path) -> None:
    """It is not asked, answers, fails, and answers again; counts are of both workers."""
    password_file(tmp_path, alice="secret")
    filename, content = wheel_name("far", "1.0"), make_wheel("far", "1.0")
    with serving_index() as upstream:
        upstream.has("far", {filename: content})
        flags = ("--upstream", upstream.url, "--upstream-max-age", "0", "--workers", 2)
        with serve(tmp_path, *LOGIN, *flags, NO_PROXY="*") as site:
            make_admin(tmp_path, "alice")
            before = upstream_of(site)
            assert (before["state"], before["url"], before["indexes"]) == ("unasked", upstream.url, ["main"])
            assert (before["page_hits"], before["kept_files"], before["kept_pages"]) == (None, None, 0)
            assert "not asked yet" in shown(site, "upstreams")
            file = f"/packages/{site.listing('far')['files'][0]['url'].partition('/packages/')[2]}"
            read(site, *[file] * 4)
            until(lambda: upstream_of(site)["files"]["kept"] + upstream_of(site)["files"]["fetched"] == 4)
            answers = upstream_of(site)
            assert (answers["state"], answers["since"], answers["kept_pages"]) == ("answers", None, 1)
            assert answers["file_hits"] == round(answers["files"]["kept"] / 4, 4)
            assert answers["sent"] == 4 * len(content)
            assert answers["received"] > 0
            _fails_and_recovers(site, upstream, filename, content)
            told = at_a_server(site, tmp_path, "mirror", "status")
            assert upstream.url in told
            assert "As 2 workers of the container" in told
            found = json.loads(at_a_server(site, tmp_path, "mirror", "status", "--json"))
            assert found["upstreams"][0]["url"] == upstream.url
        run_quire("gc", "--mirror-size", "1G", "-d", site.root, cwd=tmp_path)  # it counts what is kept
        with serve(tmp_path, *LOGIN, NO_PROXY="*") as site:
            left = upstream_of(site)
            assert (left["state"], left["url"], left["indexes"], left["kept_files"]) == ("unasked", None, [], 1)
            assert left["kept_bytes"] >= len(content)
            assert "no index has it" in shown(site, "upstreams")


def _fails_and_recovers(site: Site, upstream: FakeIndex, filename: str, content: bytes) -> None:
    upstream.at("/simple/far/", Answer(status=503))
    upstream.at("/simple/near/", Answer(status=503))
    read(site, "/simple/near/", "/simple/far/")
    until(lambda: upstream_of(site)["state"] == "fails")
    failing = upstream_of(site)
    assert failing["since"] is not None
    assert failing["last_failure"] >= failing["since"]
    page = shown(site, "upstreams")
    assert "Fails since" in page
    assert ">fails</li>" in page
    upstream.has("far", {filename: content})
    upstream.at("/simple/near/", Answer(status=404))

    def answers_again() -> bool:
        read(site, "/simple/near/", "/simple/far/")
        return bool(upstream_of(site)["state"] == "answers")

    until(answers_again)
    assert upstream_of(site)["since"] is None


def test_the_last_verdict_of_the_doctor(tmp_path: Path) -> None:
    """The store keeps it, for every server; until there is one the page says how to get it."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        make_admin(tmp_path, "alice")
        assert asked(site, "doctor") == {"verdict": None}
        assert f"quire doctor {site.root}" in shown(site, "server")
        url = site.base.replace("http://", "http://alice:secret@")
        none = run_quire("server", "doctor", "--url", url, cwd=tmp_path)
        assert (none.returncode, none.stdout[:27]) == (1, "The store keeps no verdict;")
        done = run_quire("doctor", site.root, "--quick", "--rounds", "2", cwd=tmp_path)
        verdict = asked(site, "doctor")["verdict"]
        codes = {0: "keeps", 1: "breaks", 2: "unknown"}
        assert (verdict["verdict"], verdict["quick"], verdict["rounds"]) == (codes[done.returncode], True, 2)
        assert (verdict["container"], verdict["peer"]) == (socket.gethostname(), None)
        page = shown(site, "server")
        assert verdict["at"] in page
        told = run_quire("server", "doctor", "--url", url, cwd=tmp_path)
        assert told.stdout.startswith(f"{verdict['verdict']}: at {verdict['at']} in ")
        assert told.returncode == min(done.returncode, 1)


def test_settings_in_force(tmp_path: Path) -> None:
    """Each says what set it: a flag before a variable, a variable before the file. No login of a URL is shown."""
    password_file(tmp_path, alice="secret")
    (tmp_path / "quire.toml").write_text('web-title = "<b>Acme</b>"\ntrash_days = 3\n')
    flags = ("--upstream-proxy", "http://bob:pa55word@127.0.0.1:9/", "--upstream-max-age", "60")
    url = "http://bob:pa55word@127.0.0.1:9/simple/"
    with serve(tmp_path, *LOGIN, *flags, QUIRE_UPSTREAM_MAX_AGE="70", QUIRE_UPSTREAM=url) as site:
        make_admin(tmp_path, "alice")
        found = {each["name"]: each for each in asked(site, "settings")["settings"]}

        def of(name: str) -> tuple[str, str, str | None]:
            return found[name]["value"], found[name]["source"], found[name]["where"]

        assert found.keys() == {option.name for option in OPTIONS} - {"backend"}
        assert of("upstream_max_age") == ("60", "flag", "--upstream-max-age")
        assert of("upstream") == ("http://***@127.0.0.1:9/simple/", "environment", "QUIRE_UPSTREAM")
        assert of("upstream_proxy") == ("http://***@127.0.0.1:9/", "flag", "--upstream-proxy")
        assert of("web_title") == ("<b>Acme</b>", "file", "web_title in quire.toml")
        assert of("trash_days")[1:] == ("file", "trash_days in quire.toml")
        assert of("cache_control") == ("", "default", None)
        assert of("disable_fallback") == ("yes", "default", None)
        assert of("authenticate")[0] == "download, list, update"
        page = shown(site, "settings")
        told = at_a_server(site, tmp_path, "server", "settings", "--all")
        for text in (page, told, json.dumps(found)):
            assert "pa55word" not in text
        assert "&lt;b&gt;Acme" in page
        assert "quire.toml" in told
        assert "cache_control" in told
        few = at_a_server(site, tmp_path, "server", "settings")
        assert "cache_control" not in few
        assert "more with the default; --all shows them." in few


def test_the_last_answer_of_any_worker_counts() -> None:
    """A worker that failed, and asks no more, does not make an upstream fail that answers another one."""
    now = catalog.UPSTREAM_FAILED
    assert now.merge([5.0, 0.0]) == 5.0
    assert catalog.UPSTREAM_FAILING.merge([0.0, 7.0, 5.0]) == 5.0
    assert catalog.UPSTREAM_FAILING.merge([0.0, 0.0]) == 0.0

    def state(answered: float, failed: float, failing: float) -> tuple[str, str | None]:
        values = [
            (catalog.UPSTREAM_ANSWERED, ("far",), [answered]),
            (catalog.UPSTREAM_FAILED, ("far",), [failed]),
            (catalog.UPSTREAM_FAILING, ("far",), [failing]),
        ]
        (found,) = upstream_statuses(values, {"far": Offered(None, ())}, now=0.0)
        return found.state, found.since

    assert state(0, 0, 0) == ("unasked", None)
    assert state(20, 10, 10) == ("answers", None)
    assert state(10, 20, 5) == ("fails", "1970-01-01T00:00:10Z")
    assert state(0, 20, 5) == ("fails", "1970-01-01T00:00:05Z")


@pytest.mark.parametrize(("status", "fails"), [(200, False), (304, False), (404, False), (403, True), (429, True)])
def test_answers_that_are_failures(status: int, fails: bool) -> None:
    """An upstream that says no file is there is in order; one that refuses, or is busy, is not."""
    tally = UpstreamTally()
    tally.answered(status)
    assert bool(tally.failing_since) is fails
    tally.failed()
    since = tally.failing_since
    tally.failed()
    assert tally.failing_since == since
    tally.answered(200)
    assert tally.failing_since == 0


def test_the_counts_of_upstreams_are_bounded() -> None:
    """Those above the bound share one."""
    tally = MirrorTally()
    for number in range(catalog.MAX_UPSTREAMS + 20):
        tally.of(f"far-{number}").failed()
    assert len(tally.upstreams) == catalog.MAX_UPSTREAMS + 1
    assert tally.upstreams[catalog.OTHER_UPSTREAMS].requests["failed"] == 20
