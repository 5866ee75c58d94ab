"""`quire doctor`: does this volume, or bucket, keep quire's promise?

JSON of a volume: {"directory": str, "verdict": "keeps" | "breaks" | "unknown", "findings": [{"code": str, "weight":
"breaks" | "unsure" | "advice", "sentence": str, "advice": str}], "filesystem": {...}, "store": {...}, "peer": null |
{"name": str, "side": 0 | 1}, "rounds": int, "quick": bool, "rules": [str], "questions": [{"code": str, "question": str,
"asked": int, "wrong": int, "required": bool, "said": str}], "measures": {"read_ms": float | null, ...}}. That of a
bucket is in `quire.commands.doctor_bucket`. docs/how-to/doctor.md says what the codes mean.
"""

from __future__ import annotations

import argparse
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from quire.commands.common import count, plain, print_json, print_table, resolve_for_store
from quire.commands.doctor_declared import undeclared
from quire.commands.doctor_kept import keep_verdict
from quire.commands.progress import Meter
from quire.doctor.examination import QUICK_ROUNDS, ROUNDS, WAIT, Report, Request, document, examine
from quire.doctor.findings import Finding, Measures, Verdict, Weight, sentence_for
from quire.doctor.kept import verdict_of
from quire.doctor.pairing import Address
from quire.domain.sizes import in_words
from quire.store.opening import has_scheme

_DESCRIPTION = """\
Try out whether a volume or a bucket does what quire needs to keep its promise: that what one worker acknowledged is in
every worker's next answer, and durable. Everything is tried in a folder of its own that is removed afterwards; servers
go on. What other machines see of a volume takes two of them that have it mounted: run it with --listen PORT on one, and
with --peer HOST:PORT on the other one. A bucket is asked through several connections at once, from one machine.
Exit code 0: it keeps the promise; 1: it does not; 2: not known, or the command line is wrong.
"""
EXIT_CODES = {Verdict.KEEPS: 0, Verdict.BREAKS: 1, Verdict.UNKNOWN: 2}
_HEADINGS = {Weight.BREAKS: "Because", Weight.UNSURE: "Not known because", Weight.ADVICE: "Note"}
_MAX_ROUNDS = 1_000_000
_MAX_PORT = 65535
_MAX_WAIT = 3000
"""Seconds; well under the age at which servers sweep the files in incoming/."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `doctor`."""
    parser = subparsers.add_parser(
        "doctor", help="try out whether a volume or a bucket keeps quire's promise", description=_DESCRIPTION
    )
    add = parser.add_argument
    add(
        "directory",
        nargs="?",
        metavar="DIR",
        help="the directory or bucket that is, or is to be, served (default: QUIRE_DIRECTORIES, quire.toml, "
        "packages/ with a store here or in a folder above, ~/packages)",
    )
    two = parser.add_mutually_exclusive_group()
    two.add_argument(
        "--listen",
        type=partial(_address, host=False),
        metavar="[HOST:]PORT",
        help="test with a second machine, and wait here for it to connect (without HOST: on every address of this "
        "machine)",
    )
    two.add_argument(
        "--peer",
        type=partial(_address, host=True),
        metavar="HOST:PORT",
        help="test with a second machine, which listens there ('quire doctor DIR --listen PORT')",
    )
    add(
        "--wait",
        type=_seconds,
        default=WAIT,
        metavar="SECONDS",
        help=f"how long to wait for the second machine (default: {WAIT:.0f})",
    )
    add(
        "--rounds",
        type=_rounds,
        metavar="N",
        help=f"changes to make and ask about (default: {ROUNDS}; {QUICK_ROUNDS} with --quick); with two "
        f"machines the number of the one that listens",
    )
    add("--quick", action="store_true", help="seconds instead of a minute: fewer rounds, no races within one machine")
    add("--config", metavar="FILE", help="a configuration file (default: quire.toml in the working directory)")
    add("--json", action="store_true", help="print JSON, for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Examine and say what was found. Raises ConfigurationError."""
    flags = {"directories": None if arguments.directory is None else [arguments.directory]}
    settings = resolve_for_store(flags, arguments.config)
    if has_scheme(settings.root):
        from quire.commands.doctor_bucket import examine_bucket  # noqa: PLC0415 - not of a volume

        with _terminable():
            return EXIT_CODES[examine_bucket(settings, arguments)]
    request = Request(
        settings.root,
        listen=arguments.listen,
        peer=arguments.peer,
        wait=arguments.wait,
        rounds=arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS),
        quick=arguments.quick,
        coarse_changes=settings.coarse_changes,
    )
    with _terminable(), Meter("doctor", in_bytes=False) as meter:
        report = examine(request, meter)
    different = undeclared(settings)
    report.found.findings += [different] if different is not None else []
    if report.volume.has_store:
        found = verdict_of(
            report.verdict,
            report.found.findings,
            quick=arguments.quick,
            rounds=report.plan.rounds,
            peer=None if report.peer is None else report.peer.name,
        )
        keep_verdict(settings, found)
    if arguments.json:
        print_json(document(report))
    else:
        _print(report)
    return EXIT_CODES[report.verdict]


# -- printing ---------------------------------------------------------------------------------------------------------


def _print(report: Report) -> None:
    _print_volume(report)
    if report.found.tallies:
        print()
        _print_tallies(report)
    _print_measures(report.found.measures)
    print(f"\n{sentence_for(report.verdict, 'volume')}")
    for weight in Weight:
        for finding in report.found.findings:
            if finding.weight is weight:
                _print_finding(finding)


def _print_volume(report: Report) -> None:
    seen = report.volume
    mount = seen.mount
    print(plain(f"Directory: {seen.root} ({'with' if seen.has_store else 'without'} a store)"))
    where = f", {mount.source} mounted at {mount.point}" if mount is not None else ""
    print(plain(f"File system: {seen.filesystem}{where}; {seen.kernel}"))
    if seen.options:
        print(plain(f"Options: {','.join(seen.options)}"))
    inodes = "" if seen.free_inodes is None else f", {seen.free_inodes:,} inodes"
    print(f"Free: {in_words(seen.free_bytes)}{inodes}. User {seen.user}, umask {seen.umask:03o}.")
    if report.peer is not None:
        print(plain(f"Tested with: {report.peer.name}"))


def _print_tallies(report: Report) -> None:
    for required in (True, False):
        print("Asked right after a change:" if required else "For comparison, what quire does not rely on:")
        rows = [
            (tally.question, "always right" if not tally.wrong else f"wrong {tally.wrong} of {tally.asked}")
            for tally in report.found.tallies
            if tally.required is required and tally.asked
        ]
        print_table(("", ""), [(f"  {question}", answer) for question, answer in rows])
    if report.found.rules:
        print(f"The store's rules: {count(len(report.found.rules), 'rule')} held.")


def _print_measures(measures: Measures) -> None:
    parts = []
    if measures.read_ms is not None:
        asked = ""
        if measures.read_operations is not None:
            words = ", ".join(f"{number:g} {name}" for name, number in measures.read_operations.items())
            asked = f" ({words or 'nothing asked'})"
        parts.append(f"asking whether a record changed {measures.read_ms:g} ms{asked}")
    if measures.commit_ms is not None:
        parts.append(f"changing it {measures.commit_ms:g} ms")
    if measures.notice_ms is not None:
        parts.append(f"the other side sees a new file after {measures.notice_ms:g} ms")
    if parts:
        print(f"Medians: {'; '.join(parts)}.")
    if measures.settle_s is not None:
        tick = "none seen" if measures.tick_ms is None else f"{measures.tick_ms:g} ms"
        print(
            f"Clock: steps of {tick}, a folder is believed {measures.settle_s:g} s after a change, "
            f"the stamping clock is {measures.clock_skew_s or 0:+.3f} s off."
        )


def _print_finding(finding: Finding) -> None:
    advice = f" {finding.advice}" if finding.advice else ""
    print(plain(f"{_HEADINGS[finding.weight]}: {finding.sentence}{advice}"))


# -- the terminal -----------------------------------------------------------------------------------------------------


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP tidy up as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MAX_WAIT:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {_MAX_WAIT}")
    return seconds


def _address(text: str, *, host: bool) -> Address:
    """HOST:PORT, [ADDRESS]:PORT for IPv6; without `host` also PORT alone, and port 0."""
    found = re.fullmatch(r"(?:(?:\[([\w:.%-]+)\]|([\w.-]+)):)?([0-9]{1,5})", text, re.ASCII)
    address = (found[1] or found[2] or "", int(found[3])) if found is not None else ("", -1)
    if not 0 <= address[1] <= _MAX_PORT or (host and not all(address)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no {'' if host else 'PORT or '}HOST:PORT; run 'quire doctor DIR --listen PORT' on one "
            f"machine and 'quire doctor DIR --peer HOST:PORT' on the other one"
        )
    return address


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_ROUNDS):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds from 1 to {_MAX_ROUNDS}")
    return int(text)
