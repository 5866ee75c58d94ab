"""The files of deploy/monitoring: Prometheus itself reads the rules, scrapes a real quire, and evaluates every
query."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import httpx
import pytest

from quire.observe.metrics.catalog import METRICS, UPSTREAM_ANSWERED, UPSTREAM_FAILED, UPSTREAM_FAILING
from tests.asking import OPEN, Site, publish_wheel, serve
from tests.deploy.grafana_schema import slips
from tests.deploy.proxy_rig import program
from tests.serving import DEADLINE, environment, free_port, until

ROOT = Path(__file__).parent.parent.parent
MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARD = MONITORING / "dashboard.json"
_CHOICES = {"$job": "quire", "$instance": ".*", "$__rate_interval": "1m", "$price_a": "0.005", "$price_b": "0.0004"}
_SUFFIXES = ("", "_bucket", "_sum", "_count")
OF_UPSTREAM = (UPSTREAM_ANSWERED, UPSTREAM_FAILED, UPSTREAM_FAILING)


def queries() -> list[str]:
    """Every query of the dashboard, with the choices that its reader would have made."""
    document = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in document["panels"] for target in panel["targets"]]
    for name, choice in _CHOICES.items():
        found = [query.replace(name, choice) for query in found]
    return found


def rules() -> str:
    return (MONITORING / "alerts.yml").read_text()


def names(text: str) -> set[str]:
    """The metrics that a query names."""
    return set(re.findall(r"\bquire_\w+", text))


def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("dashboard", ROOT / "scripts" / "dashboard.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_dashboard_is_what_its_script_writes() -> None:
    """If not: scripts/dashboard.py."""
    assert json.loads(DASHBOARD.read_text()) == script().dashboard(), "run scripts/dashboard.py"


def test_the_dashboard_has_the_structure_that_grafana_documents() -> None:
    """Every field is one of Grafana's, with a value that it takes; a dashboard with a slip does not pass."""
    text = DASHBOARD.read_text()
    assert slips(json.loads(text)) == []
    for old, new in (
        ('"expr"', '"expression"'),
        ('"gridPos"', '"place"'),
        ('"now-6h"', '"6h"'),
        ('"w": 12', '"w": 25'),
    ):
        assert old in text
        assert slips(json.loads(text.replace(old, new, 1))), f"{new} goes unnoticed"


def test_the_dashboard_fits_together() -> None:
    """Checked beyond the schema: ids and places are unique, and queries use existing variables."""
    document = json.loads(DASHBOARD.read_text())
    panels: list[dict[str, Any]] = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    variables = {variable["name"] for variable in document["templating"]["list"]}
    assert {"source", "job", "instance"} <= variables
    for panel in panels:
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables | {"__rate_interval"}


def test_every_metric_is_shown_or_watched() -> None:
    """Dashboard and rules name metrics that exist only; and every metric is on the dashboard."""
    exposed = {f"{metric.name}{suffix}" for metric in METRICS for suffix in _SUFFIXES}
    shown = {name for query in queries() for name in names(query)}
    assert shown | names(re.sub(r"^.*(summary|action):.*$", "", rules(), flags=re.M)) <= exposed
    assert {metric.name for metric in METRICS} <= {re.sub("_bucket$", "", name) for name in shown}


def test_the_page_says_what_to_do_at_every_alert() -> None:
    """docs/how-to/monitoring.md has a row for each rule, and names no other."""
    page = (ROOT / "docs" / "how-to" / "monitoring.md").read_text()
    assert set(re.findall(r"\bQuire[A-Z]\w+", page)) == set(re.findall(r"alert: (\w+)", rules()))


def checked(*arguments: object) -> str:
    """The output of a program, which must succeed."""
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def prometheus(folder: Path, site: Site) -> Iterator[httpx.Client]:
    """Prometheus with the configuration of deploy/monitoring, which scrapes the site every second instead of 15."""
    text = (MONITORING / "prometheus.yml").read_text()
    for old, new in (("127.0.0.1:8080", f"127.0.0.1:{site.served.port}"), ("15s", "1s")):
        assert old in text
        text = text.replace(old, new)
    (folder / "prometheus.yml").write_text(text)
    shutil.copy(MONITORING / "alerts.yml", folder)
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        (folder / "prometheus.log").open("wb") as output,
        subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=output) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=DEADLINE) as client,
    ):
        try:
            until(lambda: _answers(client))
            yield client
        finally:
            process.terminate()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/status/runtimeinfo").status_code == 200
    except httpx.TransportError:
        return False


def results(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The result of a query, which Prometheus must accept."""
    answer = client.get("/query", params={"query": query})
    assert answer.status_code == 200, (query, answer.text)
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


@pytest.mark.deploy
def test_promtool_accepts_the_files() -> None:
    """Prometheus' own checker finds nothing in the rules and the configuration, and nothing to mend in a page."""
    program("promtool")
    assert "SUCCESS" in checked("promtool", "check", "rules", MONITORING / "alerts.yml")
    assert "SUCCESS" in checked("promtool", "check", "config", MONITORING / "prometheus.yml")


class Worker(NamedTuple):
    """The minutes at which a worker got answers from an upstream, and failures."""

    answers: Iterable[int]
    failures: Iterable[int]

    def known(self, now: int) -> tuple[int, int, int]:
        """Its last answer, last failure, and first failure after the answer, in seconds; 0 for none."""
        answered = max((minute for minute in self.answers if minute <= now), default=0)
        failures = [minute for minute in self.failures if minute <= now]
        since = min((minute for minute in failures if minute > answered), default=0)
        return 60 * answered, 60 * max(failures, default=0), 60 * since


IDLE, ALWAYS, ONCE_FAILED = Worker([], []), Worker(range(1, 61), [10]), Worker([5], [10, 15])
PYPI = {"upstream": "pypi"}


def _upstream(*servers: list[Worker]) -> dict[str, str]:
    """The series of an hour, in which each server puts those of its workers together."""
    series: dict[str, list[str]] = {}
    for number, workers in enumerate(servers):
        for now in range(61):
            known = zip(*(each.known(now) for each in workers), strict=True)
            for metric, values in zip(OF_UPSTREAM, known, strict=True):
                name = f'{metric.name}{{instance="{number}",upstream="pypi"}}'
                series.setdefault(name, []).append(f"{metric.merge(values):.0f}")
    return {name: " ".join(values) for name, values in series.items()}


DAY = 24 * 60
CASES: list[tuple[str, dict[str, str], int, dict[str, str] | None]] = [
    # alert, series by name and labels, minute, labels of the alert that fires then (None: no alert)
    ("QuireBackupOld", {"quire_backup_last_timestamp_seconds": f"60x{2 * DAY}"}, 35 * 60, None),
    ("QuireBackupOld", {"quire_backup_last_timestamp_seconds": f"60x{2 * DAY}"}, 37 * 60, {}),
    ("QuireBackupOld", {"quire_backup_last_timestamp_seconds": f"0x{3 * DAY}"}, 3 * DAY, None),
    ("QuireNoBackup", {"quire_backup_last_timestamp_seconds": f"0x{3 * DAY}"}, DAY, None),
    ("QuireNoBackup", {"quire_backup_last_timestamp_seconds": f"0x{3 * DAY}"}, 3 * DAY - 10, {}),
    ("QuireNoBackup", {"quire_backup_last_timestamp_seconds": f"0x{DAY} 90000x{2 * DAY}"}, 3 * DAY - 10, None),
    *(
        ("QuireUpstreamDown", _upstream(*servers), 60, labels)
        for *servers, labels in (
            ([ALWAYS], [ALWAYS], None),
            ([Worker(range(1, 10), range(10, 61))], [IDLE], PYPI),
            ([Worker((), range(10, 61))], [IDLE], PYPI),  # never answered
            ([Worker(range(1, 45), range(45, 61))], None),  # not yet for long
            ([ONCE_FAILED], [ALWAYS], None),
            ([ONCE_FAILED], [Worker(range(1, 55), range(55, 61))], None),
            ([ONCE_FAILED], [Worker(range(1, 20), range(20, 61))], PYPI),
            # The first requests for long fail: nothing says that the ones before would have.
            ([Worker([5], [55, 57])], [IDLE], None),
            ([ONCE_FAILED], [Worker([25], [55, 57])], None),
            ([ONCE_FAILED, Worker([25], [55, 57])], None),
            # The worker that failed first goes on, the one that got the last answer asks no more, or late.
            ([Worker([5], range(10, 61)), Worker([11], [])], PYPI),
            ([Worker([5], range(10, 61))], [Worker([11], [])], PYPI),
            ([Worker([5], range(10, 61))], [Worker([11], [58])], PYPI),
            ([Worker([5, 26], range(10, 61))], None),  # one answer between two evaluations of the rule
        )
    ),
    (
        "QuireMirrorStale",
        {
            'quire_mirror_pages_total{upstream="pypi",result="stale"}': "0+1x60",
            'quire_mirror_pages_total{upstream="pypi",result="kept"}': "0+20x60",
        },
        60,
        None,
    ),
    (
        "QuireMirrorStale",
        {
            'quire_mirror_pages_total{upstream="pypi",result="stale"}': "0+5x60",
            'quire_mirror_pages_total{upstream="pypi",result="kept"}': "0+20x60",
        },
        60,
        {"upstream": "pypi"},
    ),
    ("QuireMirrorFails", {'quire_mirror_pages_total{upstream="pypi",result="failed"}': "0+1x60"}, 60, None),
    (
        "QuireMirrorFails",
        {'quire_mirror_pages_total{upstream="pypi",result="failed"}': "0+5x60"},
        60,
        {"upstream": "pypi"},
    ),
    *(
        ("QuireMirrorOld", {'quire_mirror_oldest_stale_timestamp_seconds{upstream="pypi"}': values}, minute, labels)
        for values, minute, labels in (
            (f"60x{2 * DAY}", DAY, None),
            (f"60x{2 * DAY}", DAY + 60, PYPI),
            (f"0x{2 * DAY}", 2 * DAY, None),
            (f"60x{DAY} 0x{DAY}", DAY + 60, None),  # the upstream answered again
        )
    ),
    ("QuireTokensExpire", {'quire_tokens_expiring{instance="a"}': "0x120"}, 120, None),
    ("QuireTokensExpire", {'quire_tokens_expiring{instance="a"}': "0x60 2x60"}, 110, None),  # not yet for long
    (
        "QuireTokensExpire",
        {'quire_tokens_expiring{instance="a"}': "2x120", 'quire_tokens_expiring{instance="b"}': "0x120"},
        120,
        {},
    ),
    ("QuireMirrorRefused", {'quire_mirror_refused_files_total{upstream="pypi",kind="file"}': "1x60"}, 60, None),
    (
        "QuireMirrorRefused",
        {'quire_mirror_refused_files_total{upstream="pypi",kind="file"}': "0x40 1x20"},
        60,
        {"upstream": "pypi", "kind": "file"},
    ),
    ("QuireAccessRefused", {'quire_access_refused_total{reason="login_needed"}': "0+100x60"}, 60, None),
    ("QuireAccessRefused", {'quire_access_refused_total{reason="forbidden"}': "0+20x60"}, 60, {"reason": "forbidden"}),
    *(
        (
            "QuireBucketSlow",
            {
                'quire_bucket_requests_total{instance="a",kind="get",outcome="answered"}': "0+60x60",
                'quire_bucket_request_seconds_total{instance="a",kind="get"}': f"0+{seconds}x60",
            },
            60,
            labels,
        )
        for seconds, labels in ((6, None), (120, {"instance": "a", "kind": "get"}))
    ),
]


@pytest.mark.deploy
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Prometheus' own test of rules: each alert at a case where it fires, and at one where it does not."""
    shutil.copy(MONITORING / "alerts.yml", tmp_path)
    tests = []
    for alert, series, minute, labels in CASES:
        given = [{"series": _of_job(name), "values": _shape(values)} for name, values in series.items()]
        severity = re.search(rf"alert: {alert}\n.*?severity: (\w+)", rules(), re.S)
        assert severity is not None
        fires = [] if labels is None else [{"exp_labels": {"severity": severity[1], **labels}}]
        wanted = [{"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": fires}]
        tests.append({"interval": "1m", "input_series": given, "alert_rule_test": wanted})
    bare = re.sub(r"^ +annotations:\n(?: {10}.*\n)+", "", rules(), flags=re.M)  # their texts are not compared
    (tmp_path / "alerts.yml").write_text(bare)
    (tmp_path / "cases.yml").write_text(
        json.dumps({"rule_files": ["alerts.yml"], "evaluation_interval": "10m", "tests": tests})
    )
    assert "SUCCESS" in checked("promtool", "test", "rules", tmp_path / "cases.yml")


def _of_job(series: str) -> str:
    name, _, labels = series.partition("{")
    return f'{name}{{job="quire"{"," + labels if labels else "}"}'


def _shape(values: str) -> str:
    """`7x3` is four times 7."""
    return " ".join(part if "+" in part else part.replace("x", "+0x") for part in values.split())


@pytest.mark.deploy
def test_promtool_finds_nothing_to_mend_in_a_page(tmp_path: Path) -> None:
    """Names, units, types and help texts of a real page are as Prometheus' conventions want them."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme")
        page = site.get("/metrics").content
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=page, capture_output=True, timeout=DEADLINE, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.deploy
def test_prometheus_scrapes_a_real_quire(tmp_path: Path) -> None:
    """With our configuration Prometheus finds the server up and evaluates every rule; every query of the dashboard is
    one that it takes, and all that count what was just done have a value. The store is in no bucket, no index has a
    quota, none is declared, and nothing is mirrored."""
    with serve(tmp_path, *OPEN, "--workers", 2) as site, prometheus(tmp_path, site) as client:
        publish_wheel(site, "acme")
        for _ in range(5):
            site.get("/simple/acme/")
        until(lambda: [each["value"][1] for each in results(client, 'up{job="quire"}')] == ["1"])
        until(lambda: bool(results(client, 'quire_uploads_total{result="published"} > 0')))
        until(lambda: bool(results(client, 'rate(quire_requests_total{route="project"}[1m])')))
        empty = [query for query in queries() if not results(client, query)]
        of_nothing = ("[45]..", "quire_bucket_", "quire_index_", "quire_declared_", "quire_mirror_", "quire_upstream_")
        assert [query for query in empty if not any(word in query for word in of_nothing)] == []
        groups = client.get("/rules").json()["data"]["groups"]
        loaded = {rule["name"] for group in groups for rule in group["rules"]}
        assert loaded == set(re.findall(r"alert: (\w+)", rules()))

        def evaluated() -> bool:
            found = [rule for group in client.get("/rules").json()["data"]["groups"] for rule in group["rules"]]
            return all(rule["health"] == "ok" for rule in found)

        until(evaluated)
        assert client.get("/alerts").json()["data"]["alerts"] == []


@pytest.mark.deploy
def test_an_alert_fires_when_the_server_is_gone(tmp_path: Path) -> None:
    """A server that was scraped and then ends makes the first rule go off, once its patience is over."""
    with serve(tmp_path, *OPEN) as site, prometheus(tmp_path, site) as client:
        until(lambda: [each["value"][1] for each in results(client, 'up{job="quire"}')] == ["1"])
        assert site.served.stop() == 0
        until(
            lambda: [a["labels"]["alertname"] for a in client.get("/alerts").json()["data"]["alerts"]] == ["QuireDown"]
        )
        (alert,) = client.get("/alerts").json()["data"]["alerts"]
        assert alert["state"] in {"pending", "firing"}
        assert "does not answer" in alert["annotations"]["summary"]
