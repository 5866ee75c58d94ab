"""`quire doctor s3://bucket/prefix`: does this bucket keep quire's promise?

JSON: {"bucket": str, "verdict": "keeps" | "breaks" | "unknown", "findings": as of a volume, "checks": [{"code": str,
"result": "ok" | "warning" | "unknown" | "fails", "sentence": str, "advice": str}], "server": str, "store": {"present":
bool}, "rounds": int, "quick": bool, "requests": {kind: int}, "dollars": float, "seconds": float, "measures": {...}}.
docs/how-to/doctor.md says what the codes mean.
"""

from __future__ import annotations

import argparse
from functools import partial

from quire.commands.common import plain, print_json
from quire.commands.doctor_declared import undeclared
from quire.commands.doctor_kept import keep_verdict
from quire.commands.progress import Meter
from quire.config.settings import Settings
from quire.doctor.bucket.checks import Check, Result
from quire.doctor.bucket.examination import Report, Request, document, examine
from quire.doctor.examination import QUICK_ROUNDS, ROUNDS
from quire.doctor.findings import Verdict, sentence_for
from quire.doctor.kept import verdict_of
from quire.domain.errors import ConfigurationError
from quire.observe import logs
from quire.store.opening import open_objects

_WORDS = {Result.OK: "ok", Result.WARNING: "warning", Result.UNKNOWN: "not known", Result.FAILS: "fails"}
_WIDTH = max(map(len, _WORDS.values()))


def examine_bucket(settings: Settings, arguments: argparse.Namespace) -> Verdict:
    """Examine the bucket of the settings, and print the report. Raises ConfigurationError."""
    url = settings.root
    if arguments.listen is not None or arguments.peer is not None:
        raise ConfigurationError(
            f"--listen and --peer are for volumes; 'quire doctor {url}' asks the bucket through several connections. "
            "Run it on each machine that has a way of its own to the bucket."
        )
    logs.configure(Settings(directories=(), log_stream="stderr", log_format="%(message)s"))
    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    request = Request(url, partial(open_objects, url), open_objects(url).control, rounds, arguments.quick)
    with Meter("doctor", in_bytes=False) as meter:
        report = examine(request, meter)
    different = undeclared(settings)
    if different is not None:
        report.checks.append(Check(different.code, Result.WARNING, different.sentence, different.advice))
    if report.has_store:
        findings = [each.finding for each in report.checks if each.finding is not None]
        keep_verdict(settings, verdict_of(report.verdict, findings, quick=arguments.quick, rounds=rounds))
    if arguments.json:
        print_json(document(report))
    else:
        _print(report)
    return report.verdict


def _print(report: Report) -> None:
    server = f"; the server is {report.server}" if report.server else ""
    print(plain(f"Bucket: {report.url} ({'with' if report.has_store else 'without'} a store{server})"))
    kinds = ", ".join(f"{number:,} {kind.upper()}" for kind, number in sorted(report.requests.items()))
    print(f"Requests: {kinds}, in {report.seconds:.0f} s. On AWS S3 they cost about {report.dollars:.4f} US dollars.\n")
    for check in report.checks:
        advice = f" {check.advice}" if check.advice else ""
        print(plain(f"{_WORDS[check.result]:<{_WIDTH}}  {check.sentence}{advice}"))
    measures = report.measures
    if "read_ms" in measures:
        print(
            f"\nAsking whether an object changed: median {measures['read_ms']:g} ms, 99 of 100 within "
            f"{measures['read_p99_ms']:g} ms. Writing one: median {measures['write_ms']:g} ms."
        )
    print(f"\n{sentence_for(report.verdict, 'bucket')}")
