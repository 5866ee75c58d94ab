"""`quire import --from-index`: the projects of another index, over its Simple API. See `quire.commands.import_`.

JSON: that of `quire import`, with "to_import": int (by --dry-run) and "unsaid": {"size": int, "upload time": int,
"sha256": int}, the files of which the other index does not say that.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from quire.access.records import AccessRecords
from quire.commands.common import Opened, count, open_store, origin_of, print_json
from quire.commands.import_report import document, print_report
from quire.commands.progress import Meter
from quire.config import network
from quire.domain.errors import ConfigurationError
from quire.domain.indexes import DEFAULT
from quire.domain.names import normalize_name
from quire.domain.sizes import in_words
from quire.domain.upstreams import without_login
from quire.index.index import Index
from quire.operations.importing.outcome import Outcome, Report

if TYPE_CHECKING:
    from quire.domain.namespaces import Grants
    from quire.operations.importing.other_index import IndexImporter, Target

_MOST_JOBS = 64
_SETTINGS = ("upstream_hosts", "upstream_netrc", "upstream_proxy", "upstream_ca", "max_upload_size")


def add_index_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of --from-index."""
    add = parser.add_argument
    add(
        "--from-index",
        metavar="URL",
        help="the Simple API of another index (of devpi, Artifactory, Nexus, pypiserver, another quire, ...), whose "
        "projects are fetched with upload times, yanks and provenance",
    )
    add("--projects", metavar="FILE", help="with --from-index: the names of the projects, one a line")
    add("--dry-run", action="store_true", help="with --from-index: say what would be fetched, and fetch nothing")
    add("--upstream-hosts", metavar="HOST", help="with --from-index, as 'quire serve --help' says, like the next three")
    add("--upstream-netrc", metavar="FILE", help="the logins of other indexes")
    add("--upstream-proxy", metavar="URL", help="a proxy for other indexes")
    add("--upstream-ca", metavar="FILE", help="further authorities of other indexes")
    add("--max-upload-size", metavar="SIZE", help="with --from-index: refuse larger files, e.g. 500M (default: 2G)")


def run_from_index(arguments: argparse.Namespace) -> int:
    """Import; 1 when anything was not done. Raises ConfigurationError, UpstreamError, StoreError."""
    try:
        url = network.http_url(arguments.from_index)
    except ValueError:
        raise ConfigurationError("--from-index: this is not a plain http or https URL.") from None
    if not 1 <= arguments.jobs <= _MOST_JOBS:
        raise ConfigurationError(f"--jobs is a number from 1 to {_MOST_JOBS}.")
    names = _names(arguments)
    tries = arguments.dry_run
    opened = open_store(arguments, writes=not tries, create=not tries, required=False, further=_SETTINGS)
    shown = without_login(url)
    with Meter("import", in_bytes=False) as meter:
        importers = list["IndexImporter"]()
        try:
            asyncio.run(_import(opened, (url, names), arguments, meter, importers))
        finally:
            for importer in importers:
                report = importer.report
                unsaid = {fact: number for fact, number in importer.unsaid.items() if number}
                if arguments.json:
                    source = document(shown, opened.index.name, report)
                    source |= {"to_import": report.count(Outcome.WANTED), "unsaid": unsaid}
                    print_json({"into": opened.store.place, "index": opened.index.name, "sources": [source]})
                else:
                    print_report(shown, report)
                    _print_rest(report, unsaid, tries=tries)
    return 1 if importers[0].report.failed else 0


def _names(arguments: argparse.Namespace) -> list[str]:
    """The named projects; none for all. Raises ConfigurationError, InvalidName."""
    named = {normalize_name(name) for name in arguments.sources}
    if arguments.projects is not None:
        from quire.operations.update.job import read_ignorelist  # noqa: PLC0415 - an HTTP client

        listed = read_ignorelist(arguments.projects, "list of projects", "--projects")
        if not listed:
            raise ConfigurationError(f"--projects: {arguments.projects} names no project.")
        named |= listed
    return sorted(named)


async def _import(
    opened: Opened,
    wanted: tuple[str, list[str]],
    arguments: argparse.Namespace,
    meter: Meter,
    importers: list[IndexImporter],
) -> None:
    url, names = wanted
    from quire.operations.importing.other_index import IndexImporter  # noqa: PLC0415 - an HTTP client
    from quire.upstream.client import Upstream  # noqa: PLC0415 - as above
    from quire.upstream.reach import Reach  # noqa: PLC0415 - as above

    settings = opened.settings
    reach = Reach(settings.upstream_netrc, settings.upstream_proxy, settings.upstream_ca)
    reach.check()
    name = opened.index.name
    namespaces = AccessRecords(opened.store).read().state.document.indexes.get(name, DEFAULT).namespaces
    target = target_of(opened, name, arguments, namespaces)
    async with Upstream(
        url, private_hosts=settings.upstream_hosts, reach=reach, connections=arguments.jobs
    ) as upstream:
        importer = IndexImporter(upstream, target, meter)
        importers.append(importer)
        await importer.run(names)


def target_of(opened: Opened, name: str, arguments: argparse.Namespace, namespaces: Grants = ()) -> Target:
    """The index of this name as an import fills it. `arguments`: with dry_run. `namespaces`: see `Target`."""
    from quire.operations.importing.other_index import Target  # noqa: PLC0415 - an HTTP client

    has_drop_ins = bool(opened.settings.drop_in_roots) and name == opened.root
    return Target(
        Index(opened.store, name, origin_of(arguments)),
        opened.folder(keeps_facts=not arguments.dry_run) if has_drop_ins else None,
        opened.settings.max_upload_size,
        tries=arguments.dry_run,
        namespaces=namespaces,
    )


def _print_rest(report: Report, unsaid: dict[str, int], *, tries: bool) -> None:
    if tries:
        size = sum(result.size for result in report.results if result.outcome is Outcome.WANTED)
        print(f"Would import {count(report.count(Outcome.WANTED), 'file')}, {in_words(size)} as far as it is said.")
    facts = ", ".join(f"the {fact} of {count(number, 'file')}" for fact, number in unsaid.items())
    if facts:
        print(f"The other index does not say {facts}.")
