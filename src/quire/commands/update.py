"""`quire update`: which of the served projects have a newer release on another index, and get it.

Without `-x` standard output holds nothing but shell comments and pip commands, as from `pypi-server update`, so that
it can be piped into a shell. Further messages for people go to standard error.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quire import VERSION_LINE
from quire.commands.common import origin_of, plain, print_json, resolve_for_store
from quire.commands.progress import Meter
from quire.config import network, values
from quire.config.settings import DEFAULT_FALLBACK_URL
from quire.domain.errors import ConfigurationError
from quire.observe import logs

if TYPE_CHECKING:
    from quire.operations.update.job import Job, Report

_MORE = """\
The other index learns the name of every project that it is asked for, and anyone who can publish under such a name
there decides what is offered as its update. Claim your private names ('quire claim'), name them in a file for
--ignorelist-file, or reserve them with the setting local of the servers (QUIRE_LOCAL, or quire.toml). Names that are
claimed by any index of the store, below a namespace or reserved are never asked for. Exit code: 0 done, or nothing to
do; 1 a project could not be asked for or fetched; 2 a setting is wrong.
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `update`."""
    parser = subparsers.add_parser(
        "update",
        help="find newer releases of the served projects on another index, and get them",
        description="Ask another index for newer releases of the projects in the directories (with --hosted also of "
        "those in the store of the first one), and print a pip command for each; with -x, download them: beside the "
        "present files, or into the store where the present ones are hosted.",
        epilog=_MORE,
    )
    add = parser.add_argument
    add(
        "directories",
        nargs="*",
        metavar="DIRECTORY",
        help="the served directories (default: packages/ with a store here or in a folder above, ~/packages)",
    )
    add("-x", "--execute", action="store_true", help="download and check the files instead of printing pip commands")
    add("-d", "--download-directory", metavar="DIR", help="put all downloads there (default: beside the present files)")
    add(
        "-u",
        "--allow-unstable",
        action="store_true",
        help="take pre-releases too; without it only where no final release exists, or a pre-release is present and "
        "no final release is higher",
    )
    add(
        "--ignorelist-file",
        "--blacklist-file",
        metavar="FILE",
        help="names of projects to leave alone and never ask for, one a line; '#' begins a comment",
    )
    add(
        "--index-url",
        metavar="URL",
        help=f"the Simple API of the index to ask (default: the fallback URL, {DEFAULT_FALLBACK_URL})",
    )
    add(
        "--hosted",
        action="store_true",
        help="ask for the projects that were published to this index too; without it only drop-in files are updated",
    )
    add("--json", action="store_true", help="print one JSON document instead")
    add("--config", metavar="FILE", help="a configuration file (default: quire.toml in the working directory)")
    add("--index", metavar="NAME", help="the index of the store to update (default: main)")
    add("--max-upload-size", metavar="SIZE", help="refuse larger files, e.g. 500M (default: 2G)")
    add("--hash-algo", metavar="NAME", help="accepted as 'quire run' does; downloads are verified by sha256 anyway")
    add("--backend", metavar="NAME", help="auto, simple-dir or cached-dir: all three mean the same")
    add("--version", action="version", version=VERSION_LINE)
    add("-v", "--verbose", action="count", help="log more; repeat for yet more")
    add("--log-file", metavar="FILE", help="log to FILE as well")
    add("--log-stream", metavar="STREAM", help="log to stdout, stderr (the default here) or none")
    add("--log-frmt", metavar="FORMAT", help="the format of log lines, of logging.LogRecord's attributes")


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print or fetch. Raises ConfigurationError, UpstreamError when the index cannot be reached at all."""
    from quire.operations.update.job import Job, read_ignorelist, update  # noqa: PLC0415 - an HTTP client, for this only

    flags = vars(arguments) | {"directories": arguments.directories or None}
    settings = resolve_for_store(flags, arguments.config, {"log_stream": "stderr"})
    logs.configure(settings)
    index_url = _setting("--index-url", network.http_url, arguments.index_url)
    job = Job(
        settings=settings,
        index_url=index_url or settings.fallback_url or DEFAULT_FALLBACK_URL,
        directory=_setting("--download-directory", values.path, arguments.download_directory),
        unstable=arguments.allow_unstable,
        execute=arguments.execute,
        hosted=arguments.hosted,
        origin=origin_of(arguments),
        ignored=None if arguments.ignorelist_file is None else read_ignorelist(arguments.ignorelist_file),
    )
    with Meter("update", in_bytes=False) as meter:
        report = update(job, meter)
    _print_json(job, report) if arguments.json else _print(job, report)
    return 1 if report.problems else 0


def _setting(flag: str, parse: Callable[[object], str], raw: str | None) -> str | None:
    try:
        return None if raw is None else parse(raw)
    except ValueError as error:
        raise ConfigurationError(f"{flag}: {error}.") from None


def _say(sentence: str) -> None:
    """A line for a person. Part of it may come from a server."""
    print(plain(" ".join(sentence.split())), file=sys.stderr)


def _print(job: Job, report: Report) -> None:
    for update in report.updates:
        print(f"# update {update.project} from {update.present or 'no version'} to {update.version}")
        if not job.execute:
            print(shlex.join(job.command(update)))
        for outcome, where in report.done.get(update.project, ()):
            print(f"{where} was there already" if outcome == "present" else f"{outcome} {where}")
        print()
    sys.stdout.flush()
    if report.hosted:
        _say(f"Left alone: {report.hosted} projects that were published to this index; --hosted asks for them too.")
    if report.missing:
        _say(f"No release found upstream for {', '.join(report.missing)}.")
    for name, status in sorted(report.closed.items()):
        _say(f"Left alone: {name}, which is {status}.")
    sentences: dict[str, list[str]] = {}
    for name, sentence in sorted(report.problems.items()):
        sentences.setdefault(sentence, []).append(name)
    for sentence, names in sentences.items():
        _say(f"quire: error: {', '.join(names)}: {sentence}")
    if report.checked and not (report.updates or report.problems):
        _say("Nothing is newer upstream.")
    elif not (report.checked or report.problems):
        _say("There is no project to ask for.")


def _print_json(job: Job, report: Report) -> None:
    updates = [
        {
            "project": update.project,
            "present": update.present,
            "version": update.version,
            "command": job.command(update),
            "files": [
                {
                    "filename": fetch.file.parsed.filename,
                    "url": fetch.file.url,
                    "hashes": dict(fetch.file.hashes),
                    "size": fetch.file.size,
                    "directory": fetch.directory,
                }
                for fetch in update.fetches
            ],
            "done": [{"outcome": outcome, "file": where} for outcome, where in report.done.get(update.project, ())],
        }
        for update in report.updates
    ]
    print_json(
        {
            "checked": report.checked,
            "updates": updates,
            "hosted": report.hosted,
            "missing": report.missing,
            "closed": report.closed,
            "problems": report.problems,
        }
    )
