#!/usr/bin/env python3
"""Writes deploy/monitoring/dashboard.json, Grafana's dashboard, from the list of panels below.

.venv/bin/python scripts/dashboard.py            # write it
.venv/bin/python scripts/dashboard.py --check    # exit code 1 when it is out of date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent.parent / "deploy" / "monitoring" / "dashboard.json"
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_OF = '{job="$job", instance=~"$instance"}'
_ERRORS = '{job="$job", instance=~"$instance", status=~"[45].."}'
_DURATIONS = "sum by (le, route) (rate(quire_request_duration_seconds_bucket$OF[$__rate_interval]))"
_OF_BUCKET = "sum by (le, kind) (rate(quire_bucket_request_duration_seconds_bucket$OF[$__rate_interval]))"
_QUANTILES = (("median", 0.5), ("99 of 100", 0.99))


def _by_kind(name: str) -> str:
    return f"sum by (kind) (rate({name}$OF[$__rate_interval]))"


def _rate(name: str) -> str:
    return f"sum by (cache) (rate({name}$OF[$__rate_interval]))"


def _monthly(kinds: str, price: str) -> str:
    """The cost of requests of some kinds for 30 days, at a price for 1,000 of them."""
    return f'2592 * {price} * sum(rate(quire_bucket_requests_total{_OF[:-1]}, kind=~"{kinds}"}}[$__rate_interval]))'


# title, unit, (legend, query)...; $OF stands for the selector
PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Ready", "short", (("{{instance}}", "quire_ready$OF"), ("draining {{instance}}", "quire_draining$OF"))),
    ("Workers", "short", (("{{instance}}", "quire_workers$OF"),)),
    ("Age of the youngest worker", "s", (("{{instance}}", "time() - quire_worker_start_time_seconds$OF"),)),
    ("Requests under way", "short", (("{{instance}}", "quire_requests_in_flight$OF"),)),
    ("Requests", "reqps", (("{{route}}", "sum by (route) (rate(quire_requests_total$OF[$__rate_interval]))"),)),
    (
        "Answers that are errors",
        "reqps",
        (
            (
                "{{status}} {{route}}",
                f"sum by (status, route) (rate(quire_requests_total{_ERRORS}[$__rate_interval]))",
            ),
        ),
    ),
    (
        "Duration",
        "s",
        tuple(
            (
                f"{name} {{{{route}}}}",
                f"histogram_quantile({quantile}, {_DURATIONS})",
            )
            for name, quantile in _QUANTILES
        ),
    ),
    (
        "Requests for each validation",
        "short",
        (
            (
                "{{cache}}",
                f"{_rate('quire_barrier_requests_total')} / {_rate('quire_validations_total')}",
            ),
        ),
    ),
    (
        "Questions to the store",
        "ops",
        (
            ("validations {{cache}}", "sum by (cache) (rate(quire_validations_total$OF[$__rate_interval]))"),
            ("loads {{cache}}", "sum by (cache) (rate(quire_loads_total$OF[$__rate_interval]))"),
        ),
    ),
    (
        "Bytes",
        "Bps",
        (
            ("sent {{route}}", "sum by (route) (rate(quire_sent_bytes_total$OF[$__rate_interval]))"),
            ("received", "sum(rate(quire_received_bytes_total$OF[$__rate_interval]))"),
        ),
    ),
    ("Uploads", "short", (("{{result}}", "sum by (result) (increase(quire_uploads_total$OF[$__rate_interval]))"),)),
    ("Published", "bytes", (("bytes", "sum(increase(quire_uploaded_bytes_total$OF[$__rate_interval]))"),)),
    ("Changes", "short", (("{{action}}", "sum by (action) (increase(quire_changes_total$OF[$__rate_interval]))"),)),
    (
        "Deliveries to webhooks",
        "short",
        (("{{result}}", "sum by (result) (increase(quire_webhook_deliveries_total$OF[$__rate_interval]))"),),
    ),
    (
        "Indexes with a quota",
        "bytes",
        (
            ("{{index}}", "max by (index) (quire_index_bytes$OF)"),
            ("quota of {{index}}", "max by (index) (quire_index_quota_bytes$OF)"),
        ),
    ),
    (
        "Differences from the declared configuration",
        "short",
        (("settings", "max(quire_declared_differences$OF)"),),
    ),
    (
        "Age of the last backup (since 1970: never)",
        "s",
        (("age", "time() - max(quire_backup_last_timestamp_seconds$OF)"),),
    ),
    (
        "Conflicts and doubts",
        "short",
        (
            ("conflicts", "sum(increase(quire_conflicts_total$OF[$__rate_interval]))"),
            ("in doubt", "sum(increase(quire_writes_in_doubt_total$OF[$__rate_interval]))"),
        ),
    ),
    (
        "Errors of the store",
        "short",
        (("{{error}}", "sum by (error) (increase(quire_store_errors_total$OF[$__rate_interval]))"),),
    ),
    (
        "Requests to the bucket",
        "reqps",
        (
            (
                "{{kind}} {{outcome}}",
                "sum by (kind, outcome) (rate(quire_bucket_requests_total$OF[$__rate_interval]))",
            ),
            ("tried again", "sum(rate(quire_bucket_retries_total$OF[$__rate_interval]))"),
        ),
    ),
    (
        "Mean duration of requests to the bucket",
        "s",
        (
            (
                "{{kind}}",
                f"{_by_kind('quire_bucket_request_seconds_total')} / {_by_kind('quire_bucket_requests_total')}",
            ),
        ),
    ),
    (
        "Duration of requests to the bucket",
        "s",
        tuple(
            (f"{name} {{{{kind}}}}", f"histogram_quantile({quantile}, {_OF_BUCKET})") for name, quantile in _QUANTILES
        ),
    ),
    (
        "Requests to the bucket: US dollars for 30 days at this rate",
        "currencyUSD",
        (
            ("put, list", _monthly("put|list", "$price_a")),
            ("get, head", _monthly("get|head", "$price_b")),
        ),
    ),
    (
        "Bytes to and from the bucket",
        "Bps",
        (
            ("read", "sum(rate(quire_bucket_received_bytes_total$OF[$__rate_interval]))"),
            ("written", "sum(rate(quire_bucket_sent_bytes_total$OF[$__rate_interval]))"),
        ),
    ),
    (
        "Requests to upstreams",
        "reqps",
        (
            ("{{outcome}}", "sum by (outcome) (rate(quire_upstream_requests_total$OF[$__rate_interval]))"),
            ("pauses", "sum(rate(quire_upstream_pauses_total$OF[$__rate_interval]))"),
        ),
    ),
    (
        "Time since upstreams answered, and failed",
        "s",
        (
            ("answered: {{upstream}}", "time() - max by (upstream) (quire_upstream_last_answer_timestamp_seconds$OF)"),
            ("failed: {{upstream}}", "time() - max by (upstream) (quire_upstream_last_failure_timestamp_seconds$OF)"),
            (
                "failing: {{upstream}}",
                # as the alert QuireUpstreamDown has it
                (
                    "time() - (max by (upstream) (quire_upstream_last_answer_timestamp_seconds$OF > 0)"
                    " or min by (upstream) (quire_upstream_failing_since_timestamp_seconds$OF > 0))"
                    " and max by (upstream) (quire_upstream_last_failure_timestamp_seconds$OF)"
                    " > max by (upstream) (quire_upstream_last_answer_timestamp_seconds$OF)"
                ),
            ),
            (
                "asked again in: {{upstream}}",
                "(max by (upstream) (quire_upstream_paused_until_timestamp_seconds$OF > 0)) - time()",
            ),
        ),
    ),
    (
        "Age of the oldest page that was served while its upstream fails",
        "s",
        (("{{upstream}}", "time() - min by (upstream) (quire_mirror_oldest_stale_timestamp_seconds$OF > 0)"),),
    ),
    (
        "Mirrored pages and files",
        "ops",
        (
            ("pages {{result}}", "sum by (result) (rate(quire_mirror_pages_total$OF[$__rate_interval]))"),
            (
                "{{kind}} {{result}}",
                "sum by (kind, result) (rate(quire_mirror_files_total$OF[$__rate_interval]))",
            ),
        ),
    ),
    (
        "Files of upstreams that were refused",
        "short",
        (
            (
                "{{upstream}} {{kind}}",
                "sum by (upstream, kind) (increase(quire_mirror_refused_files_total$OF[$__rate_interval]))",
            ),
        ),
    ),
    (
        "Bytes from upstreams and of their files",
        "Bps",
        (
            ("from upstreams", "sum(rate(quire_upstream_received_bytes_total$OF[$__rate_interval]))"),
            ("to clients", "sum(rate(quire_mirror_sent_bytes_total$OF[$__rate_interval]))"),
        ),
    ),
    (
        "Space of the mirror",
        "bytes",
        (
            ("kept", "max(quire_mirror_kept_bytes$OF)"),
            ("bound", "min(quire_mirror_bound_bytes$OF)"),
            ("removed", "sum(increase(quire_mirror_removed_bytes_total$OF[$__rate_interval]))"),
        ),
    ),
    (
        "Kept files that were removed",
        "short",
        (("files", "sum(increase(quire_mirror_removed_files_total$OF[$__rate_interval]))"),),
    ),
    (
        "Log lines lost",
        "short",
        (("{{instance}}", "sum by (instance) (increase(quire_log_lines_lost_total$OF[$__rate_interval]))"),),
    ),
    (
        "Drop-in files left out",
        "short",
        (("{{instance}}", "sum by (instance) (increase(quire_drop_ins_left_out_total$OF[$__rate_interval]))"),),
    ),
    (
        "Logins",
        "ops",
        (
            ("{{result}}", "sum by (result) (rate(quire_logins_total$OF[$__rate_interval]))"),
            ("refused: {{reason}}", "sum by (reason) (rate(quire_access_refused_total$OF[$__rate_interval]))"),
        ),
    ),
    ("Tokens that expire soon", "short", (("tokens", "max(quire_tokens_expiring$OF)"),)),
    (
        "Memory",
        "bytes",
        (
            ("{{instance}}", "quire_resident_bytes$OF"),
            ("pages {{cache}}", "sum by (cache) (quire_cache_bytes$OF)"),
        ),
    ),
    ("Remembered", "short", (("{{cache}}", "sum by (cache) (quire_cache_entries$OF)"),)),
    (
        "Processors",
        "short",
        (("{{instance}}", "sum by (instance) (rate(quire_cpu_seconds_total$OF[$__rate_interval]))"),),
    ),
    ("Event loop lag", "s", (("{{instance}}", "quire_loop_lag_seconds$OF"),)),
    ("Versions", "short", (("{{version}} {{server}}", "count by (version, server) (quire_info$OF)"),)),
)


def panel(number: int, title: str, unit: str, queries: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """A time series; two in a row."""
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.replace("$OF", _OF),
                "legendFormat": legend,
                "editorMode": "code",
                "range": True,
            }
            for index, (legend, query) in enumerate(queries)
        ],
    }


def variable(name: str, label: str, kind: str, **more: Any) -> dict[str, Any]:
    """A choice at the top of the dashboard."""
    return {"name": name, "label": label, "type": kind, "hide": 0, "refresh": 1, "current": {}, "options": [], **more}


def text(name: str, label: str, value: str) -> dict[str, Any]:
    """A field at the top of the dashboard."""
    current = {"text": value, "value": value}
    return variable(name, label, "textbox", query=value) | {"current": current, "options": [current]}


def dashboard() -> dict[str, Any]:
    """The whole, in the JSON model of Grafana from 10 on."""
    return {
        "uid": "quire-overview",
        "title": "quire",
        "description": "A private Python package index. Metrics: docs/reference/metrics.md.",
        "tags": ["quire"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                variable("source", "Prometheus", "datasource", query="prometheus"),
                variable("job", "Job", "query", datasource=_SOURCE, query="label_values(quire_info, job)"),
                variable(
                    "instance",
                    "Server",
                    "query",
                    datasource=_SOURCE,
                    query='label_values(quire_info{job="$job"}, instance)',
                    includeAll=True,
                    multi=True,
                ),
                text("price_a", "1,000 PUT or LIST, in US dollars", "0.005"),
                text("price_b", "1,000 GET or HEAD, in US dollars", "0.0004"),
            ]
        },
        "panels": [panel(number, *each) for number, each in enumerate(PANELS)],
    }


def main() -> int:
    """See the module's text."""
    text = json.dumps(dashboard(), indent=1) + "\n"
    if "--check" in sys.argv:
        return 0 if FILE.exists() and FILE.read_text() == text else 1
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
