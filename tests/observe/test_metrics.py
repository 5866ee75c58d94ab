"""Metrics: the counts of all workers on one page, bounded, with rights to see them.

Replaced here: the reading of a file of /proc, which fails in a process with too many open files.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import random
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from quire.access.ci_identities import CiIdentity
from quire.access.document import Token, with_fields
from quire.access.records import AccessRecords
from quire.access.tokens import PATTERN, new_token
from quire.config.settings import Settings
from quire.domain.indexes import IndexDefinition
from quire.domain.times import stamp
from quire.dropin.folder import Folder
from quire.http.app.building import build_worker
from quire.http.app.routes import METADATA, OTHER, RouteTable, endpoints
from quire.http.app.worker_metrics import WorkerMetrics
from quire.index.audit.entries import Origin
from quire.observe.metrics import catalog
from quire.observe.metrics.catalog import METRICS, Metric
from quire.observe.metrics.files import Value, own_file, page, shared, write
from quire.observe.metrics.tally import OldestStale, Tally
from quire.store.posix.store import PosixStore
from tests.asking import BUCKET_IN_MEMORY, OPEN, Site, basic, password_file, publish, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import environment, free_port, quire_command, run_quire, running, until
from tests.upstreams import serving_index

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Every sample of a page, read by an independent parser."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return samples(text).get((name, frozenset(labels.items())), 0.0)


def shown(folder: Path) -> str:
    return page(folder, "", with_names=True)[0].decode()


def written(folder: Path, *values: Value) -> Path:
    """The file of this process, with these values."""
    path = own_file(folder)
    write(path, values)
    return path


def elsewhere(folder: Path, code: str) -> None:
    """Run Python in a process of its own, that ends before this returns; `path` is its file in the folder."""
    program = (
        "import sys; from pathlib import Path; from quire.observe.metrics import catalog; "
        "from quire.observe.metrics.files import own_file, write; path = own_file(Path(sys.argv[1])); "
    )
    subprocess.run([sys.executable, "-c", program + code, str(folder)], check=True, env=environment())


def test_counters_of_exited_workers_stay_and_their_gauges_go(tmp_path: Path) -> None:
    """Counters and histograms of dead workers stay in the sums, once; what they last had in memory does not."""
    written(tmp_path, (catalog.UPLOADED, (), [1.0]), (catalog.WORKERS, (), [1]))
    for _ in range(5):
        elsewhere(
            tmp_path,
            "write(path, [(catalog.UPLOADED, (), [10.0]), (catalog.WORKERS, (), [1]), "
            "(catalog.DURATION, ('file',), [7.5] + [2] + [0] * 17 + [1])])",
        )
    for _ in range(3):
        text = shown(tmp_path)
        assert value(text, "quire_uploaded_bytes_total") == 51
        assert value(text, "quire_workers") == 1
        assert value(text, "quire_request_duration_seconds_count", route="file") == 15
        assert value(text, "quire_request_duration_seconds_sum", route="file") == 37.5
        assert value(text, "quire_request_duration_seconds_bucket", route="file", le="0.0001") == 10
        assert value(text, "quire_request_duration_seconds_bucket", route="file", le="60.0") == 10
        assert value(text, "quire_request_duration_seconds_bucket", route="file", le="+Inf") == 15
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_number_that_comes_again_is_another_process(tmp_path: Path) -> None:
    """The file of an earlier process with the pid of a living one is a dead one's."""
    written(tmp_path, (catalog.WORKERS, (), [1])).rename(tmp_path / f"{os.getpid()}-1.json")
    assert value(shown(tmp_path), "quire_workers") == 0


def test_a_full_disk_leaves_what_was_written_before(tmp_path: Path) -> None:
    """A write that finds no room is an error, and the page goes on with the counts of the last one."""
    path = written(tmp_path, (catalog.RECEIVED, (), [1]))
    path.with_suffix(".new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space"):
        written(tmp_path, (catalog.RECEIVED, (), [2]))
    assert value(shown(tmp_path), catalog.RECEIVED.name) == 1


def test_a_full_disk_leaves_the_counts_of_exited_workers(tmp_path: Path) -> None:
    """The page has their counters where they are, and not their gauges; they are merged when there is room."""
    written(tmp_path, (catalog.RECEIVED, (), [1]), (catalog.WORKERS, (), [1]))
    elsewhere(tmp_path, "write(path, [(catalog.RECEIVED, (), [2]), (catalog.WORKERS, (), [1])])")
    (tmp_path / "dead.new").symlink_to("/dev/full")
    for _ in range(2):
        assert value(shown(tmp_path), catalog.RECEIVED.name) == 3
        assert value(shown(tmp_path), "quire_workers") == 1
        assert len(shared(tmp_path)[1]) == 1
    (tmp_path / "dead.new").unlink()
    assert value(shown(tmp_path), catalog.RECEIVED.name) == 3
    assert (tmp_path / "dead.json").exists()


def test_a_process_that_cannot_be_asked_for_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many open files, no worker is counted as dead and then again as alive."""
    read = Path.read_text
    written(tmp_path, (catalog.RECEIVED, (), [1]))

    def failing(path: Path, *args: Any, **kwargs: Any) -> str:
        if path.is_relative_to("/proc"):
            raise OSError(errno.EMFILE, "Too many open files")
        return read(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", failing)
        assert value(shown(tmp_path), catalog.RECEIVED.name) == 1
        unnamed = own_file(tmp_path)
    written(tmp_path, (catalog.RECEIVED, (), [2]))
    assert value(shown(tmp_path), catalog.RECEIVED.name) == 2
    for _ in range(2):
        write(unnamed, [(catalog.RECEIVED, (), [3])])
        assert value(shown(tmp_path), catalog.RECEIVED.name) == 5


def test_what_a_killed_worker_left_half_done_is_passed_over_and_removed(tmp_path: Path) -> None:
    """An empty file and files of rubbish, of the living and of the dead; a file that was not renamed yet."""
    mine = written(tmp_path, (catalog.RECEIVED, (), [1]))
    rubbish = [b"", b"\xff" * 100, b"[1]", b'[["quire_received_bytes_total", [], [1', b'[["no_such_metric", [], [1]]]']
    for number, content in enumerate(rubbish, 1):
        (tmp_path / f"1-{number}.json").write_bytes(content)
        (tmp_path / f"2-{number}.new").write_bytes(content)
        (tmp_path / "dead.json").write_bytes(content)
        assert value(shown(tmp_path), catalog.RECEIVED.name) == 1
        assert {path.name for path in tmp_path.iterdir()} == {mine.name, "dead.json", "lock"}


def test_files_of_others_stay(tmp_path: Path) -> None:
    """Of all that is in the folder, only files of processes and their sum are read and removed."""
    elsewhere(tmp_path, "write(path, [(catalog.RECEIVED, (), [1])])")
    others = {"search-2.sqlite", "search-2.sqlite-wal", "1-2.sqlite", "a-b.json", "1-b.new", "other.json", "draining"}
    for name in others:
        (tmp_path / name).write_bytes(b'[["quire_received_bytes_total", [], [1]]]')
    assert value(shown(tmp_path), catalog.RECEIVED.name) == 1
    assert {path.name for path in tmp_path.iterdir()} == {*others, "dead.json", "lock"}


def test_a_worker_merges_counters_of_exited_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that exit one after the other leave one file in all, without a request for the metrics."""
    monkeypatch.setenv("QUIRE_RUNTIME", str(tmp_path))
    for _ in range(3):
        elsewhere(tmp_path, "write(path, [(catalog.RECEIVED, (), [1])])")
    assert len(list(tmp_path.glob("*.json"))) == 3
    worker = WorkerMetrics(Settings(directories=(str(tmp_path),)))
    assert value(worker.page("", with_names=True)[0].decode(), catalog.RECEIVED.name) == 3
    assert len(list(tmp_path.glob("*.json"))) == 2
    worker.close()


@pytest.mark.parametrize("accept", ["text/plain;version=abc", "application/openmetrics-text;version=x", ";;", "\x00"])
def test_any_accept_header_is_answered(tmp_path: Path, accept: str) -> None:
    """A version that is none gets the plain text format."""
    written(tmp_path, (catalog.RECEIVED, (), [1]))
    assert page(tmp_path, accept, with_names=True)[1].startswith("text/plain")


def test_gauges_of_the_living_become_one(tmp_path: Path) -> None:
    """Memory is added up; the lag is the largest; ready is the least."""
    earlier = written(tmp_path, (catalog.MEMORY, (), [100]), (catalog.LOOP_LAG, (), [0.5]), (catalog.READY, (), [1]))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        born = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19]
        earlier.rename(tmp_path / f"{other.pid}-{born}.json")
        written(tmp_path, (catalog.MEMORY, (), [23]), (catalog.LOOP_LAG, (), [0.1]), (catalog.READY, (), [0]))
        text = shown(tmp_path)
        assert value(text, "quire_resident_bytes") == 123
        assert value(text, "quire_loop_lag_seconds") == 0.5
        assert value(text, "quire_ready") == 0
        other.communicate()


def test_bins_are_those_of_prometheus() -> None:
    """A duration falls into the first bin whose bound is not below it; an unknown status counts as 0."""
    tally = Tally()
    for seconds in (0.0, 0.0001, 0.00011, 60.0, 61.0):
        tally.request("file", 200, seconds, 7)
    tally.request("file", 7000, 0.0, 0)
    route = tally.routes["file"]
    assert route.bins[0] == 3
    assert route.bins[1] == 1
    assert (route.bins[-2], route.bins[-1]) == (1, 1)
    assert (route.statuses[200], route.statuses[0], route.sent, route.count) == (5, 1, 35, 6)


def test_the_oldest_stale_page_is_forgotten() -> None:
    """After ten minutes at the latest, and not within five; younger ones that were served since are not."""
    now = 10_000.0
    stale = OldestStale(lambda: now)
    assert stale.confirmed == 0
    stale.add(50.0)
    stale.add(70.0)
    now += 299
    assert stale.confirmed == 50
    now += 2
    stale.add(60.0)
    now += 298
    assert stale.confirmed == 50
    now += 3
    assert stale.confirmed == 60
    stale.add(80.0)
    assert stale.confirmed == 60
    now += 601
    assert stale.confirmed == 0
    stale.add(90.0)
    assert stale.confirmed == 90


def test_the_number_of_series_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for, labels come from fixed lists; nothing of a path, header or error's text is one."""
    monkeypatch.setenv("QUIRE_RUNTIME", str(tmp_path))
    worker = WorkerMetrics(Settings(directories=("/nowhere",)))
    table = RouteTable("", "/health")
    chance = random.Random(7)
    for number in range(20_000):
        first, last = chance.choice(["simple", "packages", "pypi", "x"]), chance.choice(["", "json", "a"])
        path = f"/{first}/secret-{number}/{last}"
        worker.tally.request(table.of("GET", path), chance.choice([200, 304, 404, 500, number]), 0.001, 1)

    class SecretError(Exception):
        """An error that no list knows."""

    worker.tally.store_error(SecretError("secret"))
    body = worker.page("", with_names=True)[0].decode()
    worker.close()
    assert "secret" not in body.lower()
    assert value(body, "quire_store_errors_total", error="other") == 1
    allowed = {
        "route": {endpoint.label for endpoint in endpoints("/health")} | {OTHER, METADATA},
        "status": {str(status) for status in range(600)},
        "cache": set(catalog.CACHES),
        "result": {
            *(*catalog.UPLOAD_RESULTS, *catalog.LOGIN_RESULTS, *catalog.WEBHOOK_RESULTS),
            *(*catalog.MIRROR_PAGES, *catalog.MIRROR_FILES),
        },
        "action": set(catalog.CHANGE_ACTIONS),
        "reason": {*catalog.LEFT_OUT_REASONS, *catalog.REFUSAL_REASONS},
        "error": set(catalog.STORE_ERRORS),
        "kind": {*catalog.BUCKET_KINDS, *catalog.MIRROR_KINDS},
        "outcome": {*catalog.BUCKET_OUTCOMES, *catalog.UPSTREAM_OUTCOMES},
        "le": {*map(str, (*catalog.SECONDS, *catalog.BUCKET_BOUNDS)), "+Inf"},
    }
    for _, labels in samples(body):
        for name, label in labels:
            assert name in {"version", "server"} or label in allowed[name], (name, label)


def test_every_metric_is_documented() -> None:
    """docs/reference/metrics.md names exactly the metrics that there are, with their kinds and labels."""
    text = (Path(__file__).parent.parent.parent / "docs" / "reference" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(quire_\w+)` \| (\w+) \|([^|]*)\|", text, re.M)
    described = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert described == {metric.name: (metric.kind, set(metric.labels)) for metric in METRICS}


# -- real servers -----------------------------------------------------------------------------------------------------


def answered(site: Site, **headers: str) -> str:
    answer = site.get("/metrics", **headers)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_server_counts_what_it_does(tmp_path: Path) -> None:
    """Listings, downloads, uploads of each outcome, bytes both ways, errors of clients: all is counted, once."""
    with serve(tmp_path, *OPEN) as site:
        before = answered(site)
        filename = publish_wheel(site, "acme")
        content = make_wheel("acme", "1.0")
        publish(site, filename, content, name="acme", version="1.0")
        other = make_wheel("acme", "1.0", files={"x": b"y"})
        assert publish(site, filename, other, name="acme", version="1.0").status_code == 409
        for _ in range(3):
            assert site.get("/simple/acme/").status_code == 200
        assert site.get("/simple/absent/").status_code == 404
        assert site.get(site.file_url("acme", filename)).content == content
        after = answered(site)

        def grew(name: str, **labels: str) -> float:
            return value(after, name, **labels) - value(before, name, **labels)

        assert grew("quire_uploads_total", result="published") == 1
        assert grew("quire_uploads_total", result="unchanged") == 1
        assert grew("quire_uploads_total", result="refused") == 1
        assert grew("quire_uploaded_bytes_total") == len(content)
        assert grew("quire_changes_total", action="publish") == 1
        assert grew("quire_requests_total", route="upload", status="200") == 2
        assert grew("quire_requests_total", route="upload", status="409") == 1
        assert grew("quire_requests_total", route="project", status="404") == 1
        assert grew("quire_requests_total", route="project", status="200") == 4
        assert grew("quire_requests_total", route="file", status="200") == 1
        assert grew("quire_sent_bytes_total", route="file") == len(content)
        assert grew("quire_received_bytes_total") > 2 * len(content)
        assert grew("quire_request_duration_seconds_count", route="project") == 5
        assert grew("quire_barrier_requests_total", cache="project") >= 5
        assert grew("quire_validations_total", cache="project") >= grew("quire_loads_total", cache="project") >= 1
        assert value(after, "quire_cache_bytes", cache="project") > 0
        assert value(after, "quire_workers") == 1
        assert value(after, "quire_ready") == 1
        assert value(after, "quire_resident_bytes") > 1_000_000


def test_every_metric_is_on_the_page(tmp_path: Path) -> None:
    """A server that was used shows every metric of the catalogue, with its help, and none besides; those of a bucket
    only where there is one, and the bytes of a mirror once they were counted.
    """
    expected = [metric for metric in METRICS if not metric.name.startswith("quire_bucket_")]
    expected.remove(catalog.MIRROR_BYTES)
    declared = tmp_path / "declared.toml"
    declared.write_text("[indexes.main]\nuploads = true\n")
    flags = (
        "--declared",
        declared,
        "--upstream",
        "http://127.0.0.1:9/simple/",
        "--local",
        "acme",
        "--mirror-size",
        "1M",
    )
    with serve(tmp_path, *OPEN, *flags) as site:
        run_quire("index", "set", "main", "--quota", "1G", "-d", site.root, cwd=tmp_path)
        publish_wheel(site, "acme")
        site.get("/simple/acme/")
        until(lambda: "quire_index_bytes{" in answered(site))  # counted
        until(lambda: "quire_declared_differences " in answered(site))  # compared
        until(lambda: "quire_backup_last_timestamp_seconds " in answered(site))  # looked for
        families = {family.name: family for family in text_string_to_metric_families(answered(site))}
        assert set(families) == {metric.family for metric in expected}
        for metric in expected:
            assert (families[metric.family].type, families[metric.family].documentation) == (metric.kind, metric.help)
            assert labels_of(metric) >= {name for sample in families[metric.family].samples for name in sample.labels}


def test_requests_to_a_bucket_have_a_histogram_of_their_durations(tmp_path: Path) -> None:
    """By kind, with the same number and sum as the counters of requests and seconds; a listing has no duration."""
    with serve(tmp_path, *OPEN, place=f"{BUCKET_IN_MEMORY}/@") as site:
        publish_wheel(site, "acme")
        assert site.get("/simple/acme/").status_code == 200
        text = answered(site)
    found = samples(text)
    number = {kind: of_kind(found, "quire_bucket_requests_total", kind) for kind in catalog.BUCKET_KINDS}
    assert min(number["get"], number["put"]) > 0
    name = "quire_bucket_request_duration_seconds"
    for kind in ("get", "put"):
        assert value(text, f"{name}_count", kind=kind) == number[kind]
        assert value(text, f"{name}_sum", kind=kind) == value(text, "quire_bucket_request_seconds_total", kind=kind) > 0
        bounds = {dict(labels)["le"] for each, labels in found if each == f"{name}_bucket" and ("kind", kind) in labels}
        assert bounds == {*map(str, catalog.BUCKET_BOUNDS), "+Inf"}
    assert of_kind(found, f"{name}_count", "list") == 0


def of_kind(found: Samples, name: str, kind: str) -> float:
    """The sum of a metric's samples of one kind."""
    return sum(number for (each, labels), number in found.items() if each == name and ("kind", kind) in labels)


def labels_of(metric: Metric) -> set[str]:
    return {*metric.labels, *(("le",) if metric.kind == "histogram" else ())}


def test_the_time_of_the_last_backup(tmp_path: Path) -> None:
    """0 before the first one; then when the newest began, for servers that start later, too. A damaged store that makes
    a backup incomplete leaves it as it was."""
    (tmp_path / "backups").mkdir()

    def time_in(site: Site) -> float:
        until(lambda: "quire_backup_last_timestamp_seconds " in answered(site))
        return value(answered(site), "quire_backup_last_timestamp_seconds")

    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme")
        assert time_in(site) == 0
        made = json.loads(run_quire("backup", "backups", "-d", site.root, "--json", cwd=tmp_path).stdout)
    assert made["noted"] is True
    began = datetime.strptime(made["moment"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    with serve(tmp_path, *OPEN) as site:
        assert time_in(site) == began
        (wheel,) = (path for path in Path(site.root).rglob("*.whl") if "blobs" in path.parts)
        wheel.chmod(0o600)
        wheel.write_bytes(bytes(wheel.stat().st_size))
        (tmp_path / "others").mkdir()
        failed = json.loads(run_quire("backup", "others", "-d", site.root, "--json", cwd=tmp_path).stdout)
    assert (failed["noted"], len(failed["missing"])) == (False, 1)
    with serve(tmp_path, *OPEN) as site:
        assert time_in(site) == began


def test_tokens_that_expire_soon_are_counted(tmp_path: Path) -> None:
    """In their last week, at most the last quarter of their time; each worker knows of changes by its next request."""
    now = datetime.now(UTC)

    def token(*, made: int, ends: int | None, **fields: Any) -> Token:
        """Days ago, and days from now."""
        expires = None if ends is None else stamp(now + timedelta(days=ends, hours=-1))
        digest = new_token("t000000000").digest
        return Token(
            digest=digest, permissions=("read",), created=stamp(now - timedelta(days=made)), expires=expires, **fields
        )

    job = CiIdentity(id="p1", kind="GitHub", issuer="https://ci.example")
    tokens = {
        "ending": token(made=85, ends=5),
        "short": token(made=9, ends=3),
        "warned": token(made=82, ends=8),
        "young": token(made=1, ends=5),
        "minutes": token(made=0, ends=1),
        "over": token(made=90, ends=0),
        "endless": token(made=90, ends=None),
        "revoked": token(made=85, ends=5, revoked=stamp(now)),
        "job": token(made=85, ends=5, publisher=job),
        "publishers": token(made=85, ends=5, publishers=("p1",)),
    }
    with serve(tmp_path, *OPEN) as site:
        assert "\nquire_tokens_expiring 0.0\n" in answered(site)
        records = AccessRecords(site.index().store)
        records.change(lambda document: with_fields(document, tokens=tokens), "test", {}, Origin())
        assert value(answered(site), "quire_tokens_expiring") == 2
        rest = {identity: each for identity, each in tokens.items() if identity != "short"}
        records.change(lambda document: with_fields(document, tokens=rest), "test", {}, Origin())
        assert value(answered(site), "quire_tokens_expiring") == 1


def test_indexes_with_a_quota_have_their_bytes(tmp_path: Path) -> None:
    """From the first count on, with the uploads since; an index without a quota is not there, nor one that was
    deleted."""
    with serve(tmp_path, *OPEN) as site:
        for name in ("main", "team", "other"):
            run_quire(
                "index", "set" if name == "main" else "create", name, "-d", site.root, "--quota", "1G", cwd=tmp_path
            )
        run_quire("index", "set", "other", "-d", site.root, "--quota", "none", cwd=tmp_path)
        size = 0
        for name in ("acme", "birch"):
            publish_wheel(site, name)
            size += len(make_wheel(name, "1.0"))
        until(lambda: value(answered(site), "quire_index_bytes", index="main") == size)
        named = {labels for name, labels in samples(answered(site)) if name == "quire_index_quota_bytes"}
        assert named == {frozenset({("index", name)}) for name in ("main", "team")}
        assert value(answered(site), "quire_index_quota_bytes", index="team") == 1 << 30
        run_quire("index", "delete", "team", "-d", site.root, cwd=tmp_path)
        until(lambda: "team" not in answered(site))


def test_of_very_many_indexes_some_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the page stays small."""
    monkeypatch.setenv("QUIRE_RUNTIME", str(tmp_path / "runtime"))
    (tmp_path / "runtime").mkdir()
    worker = build_worker(Settings(directories=(str(tmp_path),)))
    indexes = {f"team-{number}": IndexDefinition(quota=1) for number in range(catalog.MAX_INDEXES + 20)}
    access = AccessRecords(worker.default.store)
    access.change(lambda document: with_fields(document, indexes=indexes), "index-set", {}, Origin())
    asyncio.run(worker.access.state())
    body = worker.metrics.page("", with_names=True)[0].decode()
    worker.metrics.close()
    worker.close()
    assert sum(name == "quire_index_quota_bytes" for name, _ in samples(body)) == catalog.MAX_INDEXES


def test_a_disk_that_does_not_answer_holds_up_only_the_metrics(tmp_path: Path) -> None:
    """A write that hangs there: other requests are answered, those for the metrics are told, and the server ends."""
    temporary, root, port = tmp_path / "temporary", tmp_path / "packages", free_port()
    for folder in (temporary, root):
        folder.mkdir()
    command = quire_command("run", "-p", port, "-i", "127.0.0.1", "--workers", 1, *OPEN, root)
    with running(command, port, cwd=tmp_path, environ=environment(TMPDIR=str(temporary))) as served:
        until(lambda: any(temporary.glob("quire-*/*-*.json")))
        (counts,) = temporary.glob("quire-*/*-*.json")

        def is_held_up() -> bool:
            """Whether the counts are written to a pipe, which nothing reads: the opening of it waits."""
            with contextlib.suppress(FileExistsError):
                os.mkfifo(counts.with_suffix(".new"))
            return counts.with_suffix(".new").is_fifo()

        until(is_held_up)
        until(lambda: time.time() - counts.stat().st_mtime > 2.5)
        assert served.get("/simple/")[0] == 200
        status, _, body = served.get("/metrics")
        assert status == 503
        assert "temporary folder does not answer" in body
        assert served.stop() == 0
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_the_page_is_of_all_workers(server: str, tmp_path: Path) -> None:
    """Two workers, fresh connections: every answer is counted, in any worker, and shown by any worker."""
    with serve(tmp_path, *OPEN, "--server", server, "--workers", 2) as site:
        until(lambda: value(fresh(site), "quire_workers") == 2)
        already = value(fresh(site), "quire_requests_total", route="projects", status="200")
        for _ in range(30):
            assert httpx.get(f"{site.base}simple/").status_code == 200
        wanted = already + 30
        until(lambda: value(fresh(site), "quire_requests_total", route="projects", status="200") == wanted)


def test_drop_ins_that_cannot_be_served_are_counted_once(tmp_path: Path) -> None:
    """Two workers without the right to store anything report one unreadable file, one directory and one file that an
    earlier server found damaged, in all; the first two are in the log."""
    root = tmp_path / "packages"
    root.mkdir()
    (root / "acme-1.0.zip").write_bytes(make_wheel("acme", "1.0")[:-10])
    find_damaged_files(root, "acme")
    unreadable, forbidden = root / wheel_name("acme", "2.0"), root / "forbidden"
    unreadable.write_bytes(make_wheel("acme", "2.0"))
    unreadable.chmod(0)
    forbidden.mkdir(mode=0)
    with serve(tmp_path, *OPEN, "--workers", 2, "--read-only", unprivileged=True) as site:
        until(lambda: value(fresh(site), "quire_workers") == 2)
        assert value(fresh(site), "quire_drop_ins_left_out_total", reason="damaged") == 0
        for _ in range(30):
            assert httpx.get(f"{site.base}simple/acme/").status_code == 200
        wanted = {"damaged": 1, "unreadable": 1, "directory": 1}
        name = "quire_drop_ins_left_out_total"
        until(lambda: {reason: value(fresh(site), name, reason=reason) for reason in wanted} == wanted)
    log = site.served.output()
    assert (log.count("file left out"), log.count("directory left out")) == (1, 1)
    forbidden.chmod(0o700)


def find_damaged_files(root: Path, project: str) -> None:
    """Have it stored which files of a project are damaged, as a server finds out within a minute."""
    times = iter(range(0, 10_000, 100))
    folder = Folder([root], digests=PosixStore.open(root).records, clock=lambda: float(next(times)))
    for _ in range(2):
        folder.project(project)


def fresh(site: Site) -> str:
    """The page, by a connection of its own."""
    return httpx.get(f"{site.base}metrics").text


def test_access_to_the_metrics(tmp_path: Path) -> None:
    """By default as the list of projects; `open` without a login; `authenticated` with one; `off` never."""
    users = password_file(tmp_path, alice="secret")
    login = httpx.BasicAuth("alice", "secret")
    cases = {
        ("list", "update"): (200, 200),
        ("list", "list,update"): (401, 200),
        ("open", "list,update"): (200, 200),
        ("authenticated", "update"): (401, 200),
        ("off", "update"): (404, 404),
    }
    for (metrics, protected), expected in cases.items():
        with serve(tmp_path, "-a", protected, "-P", users, "--disable-fallback", "--metrics", metrics) as site:
            anonymous = site.get("/metrics").status_code
            known = site.client.get("/metrics", auth=login).status_code
            wrong = site.client.get("/metrics", auth=httpx.BasicAuth("alice", "guess")).status_code
            assert (anonymous, known) == expected, (metrics, protected)
            assert wrong == expected[0]


def test_only_readers_of_every_index_are_told_the_names_of_indexes_and_upstreams(tmp_path: Path) -> None:
    """On a server whose index at the root needs no login. Others get the rest of the page, also with a login that does
    not count: a reader of metrics goes on when its token ends."""
    users = password_file(tmp_path, root="secret", bob="secret")
    with serving_index() as upstream, serve(tmp_path, "-P", users, "-a", "update", NO_PROXY="*") as site:

        def command(*words: str) -> str:
            done = run_quire(*words, "-d", site.root, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            return done.stdout

        def named(authorization: str = "") -> set[str]:
            answer = site.get("/metrics", authorization=authorization)
            assert answer.status_code == 200
            assert value(answer.text, "quire_workers") == 1
            return {word for word in ('index="secret-team"', 'upstream="127-0-0-1-') if word in answer.text}

        def token(*words: str) -> str:
            made = command("token", "create", "--right", "read", "--expires", "1d", *words)
            return f"Bearer {re.search(PATTERN, made)[0]}"  # type: ignore[index]

        command("access", "init", "--admin", "root", "-a", "update")
        for line in command("grants").splitlines():
            if "anonymous" in line and "read" in line:
                command("revoke", line.split()[0])
        command("grant", "anonymous", "read", "--index", "main")
        command("index", "create", "secret-team", "--quota", "1G", "--upstream", upstream.url)
        root, bob = basic("root", "secret"), basic("bob", "secret")
        assert site.get("/secret-team/simple/far/", authorization=root).status_code == 404
        both = named(root)
        assert len(both) == 2
        assert named() == named(bob) == named(basic("root", "guess")) == named("Bearer x") == set()
        assert named(token("--index", "main")) == set()
        assert named(token()) == both
        command("grant", "user:bob", "read")
        assert named(bob) == both


def test_credentials_are_counted_by_the_result_of_their_check(tmp_path: Path) -> None:
    """One check, then answers from memory, then a wrong one."""
    users = password_file(tmp_path, alice="secret")
    with serve(tmp_path, "-a", "list,update", "-P", users, "--disable-fallback", "--metrics", "open") as site:
        for _ in range(4):
            assert site.client.get("/packages/", auth=httpx.BasicAuth("alice", "secret")).status_code == 200
        assert site.client.get("/packages/", auth=httpx.BasicAuth("alice", "guess")).status_code == 401
        text = answered(site)
        assert value(text, "quire_logins_total", result="checked") == 1
        assert value(text, "quire_logins_total", result="remembered") == 3
        assert value(text, "quire_logins_total", result="wrong") == 1


def test_openmetrics_on_request(tmp_path: Path) -> None:
    """Prometheus gets the format that it accepts best."""
    with serve(tmp_path, *OPEN) as site:
        answer = site.get("/metrics", accept="application/openmetrics-text;version=1.0.0")
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")


def test_no_project_is_named(tmp_path: Path) -> None:
    """A page of metrics has no name of a project."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "top-secret-plan")
        site.get("/simple/top-secret-plan/")
        assert "plan" not in answered(site)
        assert wheel_name("top-secret-plan", "1.0") not in answered(site)
