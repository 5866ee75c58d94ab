"""`quire policy try`: the effect that a change of a policy would have on releases that were asked for."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from quire.administration.contract import Administration
from quire.administration.policy_documents import PolicyBody
from quire.commands.administering import add_place_flags
from quire.commands.common import count, plain, print_json, span
from quire.commands.downloads import GOT, each_file
from quire.commands.locking import read_locks
from quire.domain.errors import ConfigurationError, reason_of
from quire.domain.indexes import IndexDefinition, chain
from quire.domain.names import guess_filename
from quire.domain.structs import convert_to
from quire.domain.times import moment
from quire.observe.request_lines import RequestLine, requests_in

_MOST_BYTES: Final = 1024 * 1024
"""Of a change."""


def add_try(actions: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    """Add the action `try`."""
    parser: argparse.ArgumentParser = actions.add_parser(
        "try",
        help="say what a change of the policy would hold back of releases that were asked for",
        description="Say which files a change of the policy would hold back, or offer again, of the releases of lock "
        "files or of an access log. Nothing is changed. Without a change, say which of them are held back now.",
    )
    parser.add_argument(
        "change",
        nargs="?",
        metavar="CHANGE",
        help="a JSON or TOML file of a change, with the fields of the JSON API, such as min_age = 604800",
    )
    parser.add_argument("--lock", action="append", default=[], metavar="FILE", help="a lock file; may be repeated")
    parser.add_argument(
        "--from",
        action="append",
        default=[],
        dest="log_files",
        metavar="FILE",
        help="a log file of a server, or of a web server in front, or a folder of them; .gz too; - is the standard "
        "input; may be repeated. Requests to this index count, and to those that are in front of it",
    )
    parser.add_argument(
        "--last",
        type=span,
        default=timedelta(days=7),
        metavar="TIME",
        help="lines of the log that are not older (default: 7d)",
    )
    add_place_flags(parser)
    return parser


def try_change(arguments: argparse.Namespace, administration: Administration) -> int:
    """Do it: 1 where a file would be held back. Raises ConfigurationError, StoreError, UpstreamError, InvalidRequest,
    as reading the files does."""
    if not arguments.lock and not arguments.log_files:
        raise ConfigurationError(
            "Name what was asked for: --lock FILE, or --from FILE where the servers keep a log. quire keeps no list of "
            "downloads; to keep a log from now on, start the servers with -v --log-file FILE."
        )
    change = None if arguments.change is None else _change(arguments.change)
    logged = _logged(arguments.log_files, arguments.last, administration) if arguments.log_files else ()
    releases = list(dict.fromkeys((*_locked(arguments.lock), *logged)))
    found = administration.try_policy(releases, change)
    held = [each for each in found.files if each.after is not None and each.after.effect == "block"]
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return 1 if held else 0
    verdict = "held back" if change is None else "would be held back"
    for each in found.files:
        print(
            f"{plain(each.filename)}: {verdict}. {plain(each.after.sentence)}"
            if each in held and each.after is not None
            else f"{plain(each.filename)}: would be offered again"
        )
    for release in found.unknown:
        print(f"{plain(release)}: not on {plain(found.index)}")
    print(f"{count(found.checked, 'file')} of {count(len(releases), 'release')} looked at, {len(held)} {verdict}")
    return 1 if held else 0


def _change(path: str) -> PolicyBody:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES)
        document = tomllib.loads(data.decode()) if path.endswith(".toml") else json.loads(data)
        return convert_to(document, PolicyBody)
    except OSError as error:
        raise ConfigurationError(f"{plain(path)} cannot be read ({reason_of(error)}).") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{plain(path)} is no change of a policy: {plain(str(error))}.") from None


def _locked(paths: Iterable[str]) -> Iterator[str]:
    for lock in read_locks(tuple(paths)):
        for release in lock.releases:
            yield f"{release.project}=={release.version}" if release.version else release.project


def _logged(named: Sequence[str], last: timedelta, administration: Administration) -> Iterator[str]:
    """The releases of files that were downloaded, by the lines of log files: from the index, and from those that offer
    its files as well."""
    since, tried = datetime.now(UTC) - last, administration.policy().index
    indexes = administration.indexes()
    definitions = {
        each.name: IndexDefinition(behind=tuple(each.behind), in_front_of=each.in_front_of) for each in indexes
    }
    root = next((each.name for each in indexes if each.is_default), tried)
    wanted = {name for name in definitions if name == tried or tried in chain(definitions, name)}
    for path in each_file(named):
        for line in requests_in(path):
            release = None if line is None else _release_of(line, since)
            if line is not None and release is not None and _index_of(line, definitions, root) in wanted:
                yield release


def _index_of(line: RequestLine, indexes: Container[str], root: str) -> str:
    """The index that was asked, also by lines that do not say it."""
    if line.index and line.index != root:
        return line.index
    before = line.path.partition("/packages/")[0].split("/")
    if before[-1].startswith("@"):  # a moment of the past
        before.pop()
    return before[-1] if before and before[-1] in indexes else root


def _release_of(line: RequestLine, since: datetime) -> str | None:
    """The release of a file that was sent; None for another line, and for one that is older."""
    if "/packages/" not in line.path or line.status not in GOT or _is_before(line.time, since):
        return None
    parsed = guess_filename(line.path.rpartition("/")[2].removesuffix(".metadata"))
    return None if parsed is None or not parsed.version else f"{parsed.project}=={parsed.version}"


def _is_before(text: str, since: datetime) -> bool:
    """False for a time that is not understood, as in the logs of some web servers."""
    try:
        return moment(text) < since
    except ValueError:
        return False
