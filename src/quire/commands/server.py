"""`quire server`: a running server, over its API.

JSON of status: see `GET /-/api/v1/server`; of settings: `GET /-/api/v1/settings`; of
doctor: `GET /-/api/v1/doctor`; of jobs: `GET /-/api/v1/jobs`; of begin: a job of those.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quire.administration.job_documents import JobBody, JobEntry
from quire.administration.remote import Remote
from quire.commands.administering import add_url_flag, open_remote
from quire.commands.common import count, plain, print_json, print_table
from quire.domain.errors import ConfigurationError
from quire.domain.sizes import in_words


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `server` with its actions."""
    parser = subparsers.add_parser(
        "server", help="show a running server", description="Show a running server, over its API."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser(
        "status",
        help="its workers",
        description="Show the workers of the container that answers: requests, memory, and when each gave its last "
        "sign. Workers of other containers are not seen.",
    )
    settings = actions.add_parser(
        "settings",
        help="its settings, and where each was set",
        description="Show every setting that is in force, and the flag, variable or file that set it. The logins of "
        "URLs are left out.",
    )
    settings.add_argument("--all", action="store_true", help="those with their defaults, too")
    doctor = actions.add_parser(
        "doctor",
        help="the last verdict of 'quire doctor' on its store",
        description="Show the last verdict of 'quire doctor' that the store keeps. Exit code 1 where there is none, or "
        "the store does not keep the promise.",
    )
    doctor.set_defaults(verdict=True)
    jobs = actions.add_parser(
        "jobs",
        help="checks and collections of garbage that servers ran",
        description="Show the last jobs of the store, whichever server runs them, or one by its id.",
    )
    jobs.add_argument("id", nargs="?", metavar="ID", help="one job")
    begin = actions.add_parser(
        "begin",
        help="have the server run a check, or a collection of garbage",
        description="Have the server run 'quire check', or 'quire gc', in a process beside it, which ends with it. Of "
        "all servers of the store one runs each at a time.",
    )
    begin.add_argument("kind", choices=("check", "gc"))
    begin.add_argument("--quick", action="store_true", help="check: believe the sizes; read no file")
    begin.add_argument("--remove", action="store_true", help="gc: remove what it finds (default: only say it)")
    for each in (status, settings, doctor, jobs, begin):
        add_url_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises ConfigurationError, UpstreamError."""
    remote = open_remote(arguments)
    if remote is None:
        raise ConfigurationError("Name the server: --url URL, or QUIRE_URL.")
    action = {"status": _status, "settings": _settings, "doctor": _doctor, "jobs": _jobs, "begin": _begin}
    return action[arguments.action](arguments, remote)


def _status(arguments: argparse.Namespace, remote: Remote) -> int:
    found = remote.server()
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return 0
    print(
        f"{plain(found.container)}: quire {plain(found.version)}, {plain(found.server)}, {plain(found.store)}"
        f"{', read-only' if found.read_only else ''}{', being stopped' if found.draining else ''}"
    )
    rows = [
        (
            str(each.pid),
            each.started,
            each.heard,
            "usable" if each.ready else "not usable",
            str(each.requests),
            str(each.in_flight),
            in_words(each.memory),
            f"{each.cpu_seconds:.1f} s",
        )
        for each in found.workers
    ]
    print_table(("Process", "Started", "Last sign", "Store", "Requests", "Under way", "Memory", "Processor"), rows)
    print(f"{count(len(rows), 'worker')}, {count(found.requests, 'request')} since the server started")
    return 0


def _settings(arguments: argparse.Namespace, remote: Remote) -> int:
    found = remote.settings()
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return 0
    shown = [each for each in found.settings if arguments.all or each.source != "default"]
    rows = [(each.name, plain(each.value), plain(each.where or "default")) for each in shown]
    print_table(("Setting", "Value", "Set by"), rows)
    left = len(found.settings) - len(shown)
    if left:
        print(f"{count(left, 'setting')} more with the default; --all shows them.")
    return 0


def _doctor(arguments: argparse.Namespace, remote: Remote) -> int:
    found = remote.doctor().verdict
    if arguments.json:
        print_json({"verdict": None if found is None else msgspec.to_builtins(found)})
    elif found is None:
        print("The store keeps no verdict; run 'quire doctor' on it, as a user that may write to it.")
    else:
        quick = ", quick" if found.quick else ""
        peer = f", with {plain(found.peer)}" if found.peer else ""
        where = f"at {found.at} in {plain(found.container)}, {count(found.rounds, 'round')}"
        print(f"{plain(found.verdict)}: {where}{quick}{peer}")
        for each in found.findings:
            print(plain(f"{each.code}: {each.sentence} {each.advice}".rstrip()))
    return 0 if found is not None and found.verdict == "keeps" else 1


def _jobs(arguments: argparse.Namespace, remote: Remote) -> int:
    found = remote.jobs() if arguments.id is None else [remote.job(arguments.id)]
    if arguments.json:
        print_json({"jobs": msgspec.to_builtins(found)})
        return 0
    for each in found:
        _print_job(each)
    if not found:
        print("No job was begun yet.")
    return 0


def _begin(arguments: argparse.Namespace, remote: Remote) -> int:
    body = JobBody(kind=arguments.kind, dry_run=not arguments.remove, quick=arguments.quick)
    begun = remote.begin_job(body)
    if arguments.json:
        print_json(msgspec.to_builtins(begun))
    else:
        print(f"Begun as {begun.id}; 'quire server jobs {begun.id}' says how far it is.")
    return 0


def _print_job(job: JobEntry) -> None:
    how = "quick" if job.quick else "nothing is removed" if job.dry_run else ""
    words = [plain(job.id), job.kind, *([how] if how else []), job.state, f"since {job.started}"]
    words += [f"ended {job.ended}"] if job.ended else []
    words += [f"{plain(job.step)} {job.done} of {job.total}"] if job.state == "running" and job.step else []
    words += [f"{name.replace('_', ' ')} {number}" for name, number in job.counts.items()]
    print(", ".join(words))
    for line in job.lines:
        print(f"  {plain(line)}")
