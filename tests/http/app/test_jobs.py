"""Jobs: a check and a collection of garbage in a child process of a server, which every server of the store shows."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from quire.commands.job import Reporter, Result
from quire.domain.times import stamp
from quire.operations import jobs
from quire.operations.jobs import Job
from quire.store.contracts import Records
from quire.store.memory import MemoryStore
from quire.store.opening import open_store
from tests.asking import Site, basic, password_file, publish_wheel, serve
from tests.http.ui.test_manage import BROWSER, make_admin, said, send
from tests.serving import run_quire, until

ALICE = basic("alice", "secret")
LOGIN = ("-a", "list,download,update", "-P", "users")
PAGE = "/-/admin/jobs/"


def begun(site: Site, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = site.client.post("/-/api/v1/jobs", json=body, headers={"authorization": ALICE})
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def asked(site: Site, what: str = "jobs") -> Any:
    answer = site.client.get(f"/-/api/v1/{what}", headers={"authorization": ALICE})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(site: Site, job: Mapping[str, Any]) -> dict[str, Any]:
    until(lambda: asked(site, f"jobs/{job['id']}")["state"] != "running")
    return dict(asked(site, f"jobs/{job['id']}"))


def shown(site: Site) -> str:
    answer = site.get(PAGE, accept=BROWSER, authorization=ALICE)
    assert answer.status_code == 200, answer.text
    return answer.text


def begun_by_form(site: Site, word: str) -> str:
    """The sentence on a job. Its page begins no other one when it is loaded again."""
    answer = send(site, PAGE, {"do": word}, authorization=ALICE)
    assert [each.status_code for each in answer.history] == [303], answer.text
    jobs_begun = len(asked(site)["jobs"])
    again = site.client.get(answer.url, headers={"accept": BROWSER, "authorization": ALICE})
    assert (said(again), len(asked(site)["jobs"])) == (said(answer), jobs_begun)
    return said(answer)


def a_job(kind: jobs.Kind = "check", heard: datetime | None = None, identity: str = "0123456789") -> Job:
    when = stamp(heard or datetime.now(UTC))
    return Job(id=identity, kind=kind, dry_run=False, quick=False, by="ann", container="afar", started=when, heard=when)


def versions(site: Site) -> list[str]:
    answer = site.get("/simple/acme-tools/", accept="application/vnd.pypi.simple.v1+json", authorization=ALICE)
    return list(answer.json()["versions"])


def children(folder: Path) -> list[str]:
    """The processes of jobs that work in a folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if b"quire.commands.job" in (each / "cmdline").read_bytes() and (each / "cwd").readlink() == folder:
                found.append(each.name)
    return found


def records_of(site: Site) -> Records:
    return open_store(str(site.root)).records


def test_a_check_runs_beside_the_workers(tmp_path: Path) -> None:
    """Its result is that of the command; damage is found; each worker shows it, on the page and by the command."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN, "--workers", 2) as site:
        publish_wheel(site, "acme-tools", "1.0", authorization=ALICE)
        make_admin(tmp_path, "alice")
        first = begun(site, kind="check")
        assert (first["state"], first["by"], first["container"]) == ("running", "alice", socket.gethostname())
        done = ended(site, first)
        assert (done["state"], done["counts"]["projects"], done["counts"]["files"]) == ("done", 1, 1), done
        assert (done["counts"]["damage"], done["counts"]["bytes"] > 0, done["quick"]) == (0, True, False)
        (blob,) = (site.root / "quire" / "blobs").rglob("*.whl")
        blob.chmod(0o600)
        blob.write_bytes(bytes(blob.stat().st_size))
        assert ended(site, begun(site, kind="check", quick=True))["counts"]["bytes"] == 0
        blob.with_name("caf\udce9.zip").write_bytes(b"")
        damaged = ended(site, begun(site, kind="check"))
        assert damaged["counts"]["damage"] == 1
        assert any("acme_tools-1.0" in line for line in damaged["lines"])
        assert any("caf\\xe9.zip" in line for line in damaged["lines"])
        assert asked(site)["jobs"][0]["id"] == damaged["id"]
        page = shown(site)
        assert "acme_tools-1.0" in page
        assert "hx-get" not in page  # nothing runs
        url = site.base.replace("http://", "http://alice:secret@")
        told = run_quire("server", "jobs", damaged["id"], "--url", url, cwd=tmp_path).stdout
        assert f"{damaged['id']}, check, done" in told
        assert "damage 1" in told
        made = json.loads(run_quire("server", "begin", "check", "--quick", "--json", "--url", url, cwd=tmp_path).stdout)
        assert ended(site, made)["quick"] is True
        found = json.loads(run_quire("server", "jobs", "--json", "--url", url, cwd=tmp_path).stdout)
        assert len(found["jobs"]) == 4


def test_a_job_ends_in_silence(tmp_path: Path) -> None:
    """Its process writes into the server's log, and nothing there says that Python could not end."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        publish_wheel(site, "acme-tools", "1.0", authorization=ALICE)
        make_admin(tmp_path, "alice")
        assert ended(site, begun(site, kind="check"))["state"] == "done"
        until(lambda: not children(tmp_path))
        assert "Fatal Python error" not in site.served.output()


def test_garbage_is_shown_before_it_is_removed(tmp_path: Path) -> None:
    """The search removes nothing; the button that removes is there after it alone; the log has the user."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        for version in ("1.0.dev1", "1.0.dev2"):
            publish_wheel(site, "acme-tools", version, authorization=ALICE)
        make_admin(tmp_path, "alice")
        kept = site.client.post("/-/api/v1/indexes/-", json={"keep": ["dev:1"]}, headers={"authorization": ALICE})
        assert kept.status_code == 200, kept.text
        assert "Remove what can be removed now" not in shown(site)
        assert "removes nothing" in begun_by_form(site, "preview")
        found = ended(site, asked(site)["jobs"][0])
        assert (found["state"], found["dry_run"], found["counts"]["releases"]) == ("done", True, 1), found
        assert versions(site) == ["1.0.dev1", "1.0.dev2"]
        assert "Remove what can be removed now" in shown(site)
        assert "The removal has begun" in begun_by_form(site, "collect")
        removed = ended(site, asked(site)["jobs"][0])
        assert (removed["state"], removed["dry_run"], removed["counts"]["releases"]) == ("done", False, 1), removed
        assert versions(site) == ["1.0.dev2"]
        assert "Remove what can be removed now" not in shown(site)
        entries = asked(site, "indexes/-/projects/acme-tools/log")["entries"]
        assert ("alice", "quire gc (retention)") in {(each.get("user"), each.get("command")) for each in entries}


def test_one_of_a_kind_runs_over_the_store(tmp_path: Path) -> None:
    """Also where another server runs it, until that gives no sign any more."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        publish_wheel(site, "acme-tools", "1.0", authorization=ALICE)
        make_admin(tmp_path, "alice")
        records = records_of(site)
        far = a_job()
        assert jobs.begin(records, far) is None
        assert "A check runs already, since" in begun(site, 409, kind="check")["detail"]
        refused = send(site, PAGE, {"do": "check"}, authorization=ALICE)
        assert (refused.status_code, "in afar" in said(refused)) == (409, True)
        page = shown(site)
        assert "hx-get" in page  # it polls
        assert ">Refresh</a>" in page
        assert ended(site, begun(site, kind="gc"))["state"] == "done"
        silent = datetime.now(UTC) - jobs.LEASE - timedelta(seconds=5)
        jobs.renew(records, msgspec.structs.replace(far, heard=stamp(silent)))
        assert asked(site, f"jobs/{far.id}")["state"] == "interrupted"
        assert ended(site, begun(site, kind="check"))["state"] == "done"


def test_requests_that_are_refused(tmp_path: Path) -> None:
    """A kind that is none, a job that is none, and a server that is read-only."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        publish_wheel(site, "acme-tools", "1.0", authorization=ALICE)
        make_admin(tmp_path, "alice")
        begun(site, 400, kind="doctor")
        begun(site, 400, kind="check", repair=True)
        assert site.client.get("/-/api/v1/jobs/nothing", headers={"authorization": ALICE}).status_code == 404
        assert send(site, PAGE, {"do": "repair"}, authorization=ALICE).status_code == 400
    with serve(tmp_path, *LOGIN, "--read-only") as site:
        begun(site, 403, kind="check")
        assert asked(site) == {"jobs": []}


def test_a_job_ends_with_its_server(tmp_path: Path) -> None:
    """Its entry says how it ended; none goes on."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        publish_wheel(site, "acme-tools", "1.0", authorization=ALICE)
        make_admin(tmp_path, "alice")
        begun(site, kind="check")
        records = records_of(site)
    (job,) = jobs.jobs(records, datetime.now(UTC) + jobs.LEASE * 2)
    assert job.state in {"done", "interrupted"}
    assert not children(tmp_path)


def test_the_first_end_counts() -> None:
    """A job that was interrupted does not become done; the record is bounded."""
    records = MemoryStore.named("memory:jobs", writable=True).records
    job = a_job()
    assert jobs.begin(records, job) is None
    reporter = Reporter(records, job)
    reporter.end("interrupted", Result({}, ["x" * 5000] * 500))
    reporter.end("done", Result({"files": 1}, []))
    (kept,) = jobs.jobs(records, datetime.now(UTC))
    assert (kept.state, kept.counts) == ("interrupted", {})
    assert len(kept.lines) == jobs.MOST_LINES
    assert max(map(len, kept.lines)) <= 500
    for number in range(jobs.MOST_JOBS + 5):
        other = a_job(identity=f"{number:010}")
        assert jobs.begin(records, other) is None
        jobs.renew(records, jobs.ended(other, "done", {}, [], datetime.now(UTC)))
    assert len(jobs.jobs(records, datetime.now(UTC))) == jobs.MOST_JOBS


def test_a_job_with_a_damaged_time_counts_as_interrupted() -> None:
    """It hides no other job, and keeps none from beginning."""
    records = MemoryStore.named("memory:jobs-damaged", writable=True).records
    damaged = msgspec.structs.replace(a_job(identity="1"), heard="no time")
    assert jobs.begin(records, damaged) is None
    assert jobs.begin(records, a_job(identity="2")) is None
    found = jobs.jobs(records, datetime.now(UTC))
    assert [(each.id, each.state) for each in found] == [("2", "running"), ("1", "interrupted")]


def test_jobs_of_several_workers(tmp_path: Path) -> None:
    """Under gunicorn: whichever worker begins a job from the page, all of them show it, and another of its kind is
    refused by each."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN, "--server", "gunicorn", "--workers", 3) as site:
        for version in ("1.0.dev1", "1.0.dev2"):
            publish_wheel(site, "acme-tools", version, authorization=ALICE)
        make_admin(tmp_path, "alice")
        kept = site.client.post("/-/api/v1/indexes/-", json={"keep": ["dev:1"]}, headers={"authorization": ALICE})
        assert kept.status_code == 200, kept.text
        site.client.headers["connection"] = "close"  # each request may reach another worker
        assert "The check has begun" in begun_by_form(site, "check")
        assert ended(site, asked(site)["jobs"][0])["state"] == "done"
        far = a_job("gc")
        assert jobs.begin(records_of(site), far) is None
        for _ in range(6):
            refused = send(site, PAGE, {"do": "collect"}, authorization=ALICE)
            assert (refused.status_code, "in afar" in said(refused)) == (409, True)
        jobs.renew(records_of(site), jobs.ended(far, "done", {}, [], datetime.now(UTC)))
        assert "The removal has begun" in begun_by_form(site, "collect")
        removed = ended(site, asked(site)["jobs"][0])
        assert (removed["state"], removed["counts"]["releases"]) == ("done", 1), removed
        assert versions(site) == ["1.0.dev2"]
        assert all(page.count("removal of garbage</td>") == 2 for page in (shown(site) for _ in range(6)))
