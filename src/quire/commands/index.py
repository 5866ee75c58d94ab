"""`quire index`: the indexes of a store, and their settings, which all servers obey.

JSON of list: {"indexes": [{"name": str, "is_default": bool, "uploads": bool, "overwrite": bool, "new_projects":
"shared" or "owned", "quota": int or null, "project_quota": int or null, "behind": [str], "upstreams": [{"url": str,
"hosts": [str], "max_age": int, "max_stale": int, "only": [str]}] or null, "merged": [str],
"keep": [str], "namespaces": [{"name": str, "owners": [str], "exempt": [str]}] or null}]}; of show one such object
with "used": int or null, the bytes of its files where it has a quota; of create and set such an object with "changed":
bool; of delete {"index": str, "deleted_files": int}.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import msgspec

from quire.administration.contract import Administration
from quire.administration.documents import IndexBody, IndexEntry, NewIndexBody, UpstreamBody, UpstreamEntry
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, count, plain, print_json, print_table
from quire.config import network, values
from quire.config.suggestions import did_you_mean
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.indexes import NewProjects, PastTrash
from quire.domain.quotas import percent
from quire.domain.sizes import as_setting, in_words

_NONE = "none"
_SETTINGS = ("uploads", "overwrite", "new_projects", "quota", "project_quota", "behind", "past_trash")
_UPSTREAM_SETTINGS = ("only", "hosts", "max_age", "max_stale", "first")


_SETTINGS_DO_NOT_COUNT = (
    "From now on its definition alone says which upstreams it has: the --upstream of a server's settings does not "
    "count any more. Where a server has one, add it here, too."
)
_SETTINGS_COUNT = "Its definition has no upstream any more: the --upstream of a server's settings counts again."


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `index` and its actions."""
    parser = subparsers.add_parser(
        "index",
        help="make, list and delete indexes, and change their settings",
        description="Make, list and delete indexes, and change their settings. A change counts for the next request "
        "of every server.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the indexes", description="List the indexes.")
    showing = actions.add_parser("show", help="show an index", description="Show an index and its settings.")
    showing.add_argument("name", metavar="NAME", help="the index")
    creating = actions.add_parser(
        "create", help="make an index", description="Make an index, which every server serves below /NAME/ at once."
    )
    creating.add_argument("name", metavar="NAME", help="up to 100 lower-case letters, digits, '-' and '_'")
    deleting = actions.add_parser(
        "delete", help="delete an index", description="Delete an index; one with files only with --yes."
    )
    deleting.add_argument("name", metavar="NAME", help="the index")
    deleting.add_argument("--yes", "-y", action="store_true", help="put its files in the trash")
    setting = actions.add_parser(
        "set", help="change settings of an index", description="Change settings of an index; the others stay."
    )
    setting.add_argument("name", metavar="NAME", help="the index")
    for each in (creating, setting):
        _add_settings(each)
    for each in (listing, showing, creating, setting, deleting):
        add_place_flags(each)
    for each in (creating, setting, deleting):
        add_user_flag(each)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--uploads", action=argparse.BooleanOptionalAction, help="whether it takes uploads")
    add(
        "--overwrite",
        action=argparse.BooleanOptionalAction,
        help="whether an upload may replace a published file; the index at the root follows the servers' --overwrite, "
        "too",
    )
    add(
        "--new-projects",
        choices=tuple(map(str, NewProjects)),
        metavar="RIGHTS",
        help="of a project that an upload creates: shared, every principal with the right upload may upload to it; "
        "owned, it is its creator's",
    )
    add("--quota", type=_quota, metavar="SIZE", help="bytes that all of its files may have: 50G; none for no limit")
    add(
        "--project-quota", type=_quota, metavar="SIZE", help="bytes that the files of one project may have; none for no"
    )
    add(
        "--behind",
        type=_indexes,
        metavar="INDEXES",
        help="indexes, with commas, whose projects it offers as well: a name belongs to the first that has it; none "
        "for no others",
    )
    add(
        "--keep",
        action="append",
        metavar="RULE",
        help="releases that are kept, and no others of their kind: dev:10, pre:30d, acme-nightly/any:20; repeat it for "
        "several; none for no rules. 'quire gc' removes the others",
    )
    add(
        "--past-trash",
        choices=tuple(map(str, PastTrash)),
        metavar="READERS",
        help="deleted files that are in the trash, at past moments (/@2026-11-01/): shown to each reader, or hidden "
        "from those that may not manage the project",
    )
    _add_upstream(parser)


def _add_upstream(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("upstreams, one at a time").add_argument
    add(
        "--upstream",
        dest="upstream_url",
        metavar="URL",
        help="mirror this index behind the projects of this one, after the upstreams that it has; or change its "
        "settings, when it is one of them. A login is named by --upstream-netrc of each server",
    )
    add(
        "--upstream-only",
        type=_names,
        metavar="PATTERNS",
        help="names for which it is asked, with commas, e.g. 'torch*,triton'; empty for all",
    )
    add(
        "--upstream-hosts",
        type=_hosts,
        metavar="HOSTS",
        help="hosts of its files, with commas, that may have addresses which are not public",
    )
    add(
        "--upstream-max-age",
        type=int,
        metavar="SECONDS",
        help="serve a page of it so long without asking (default: 600)",
    )
    add(
        "--upstream-max-stale",
        type=int,
        metavar="SECONDS",
        help="serve a page of it so long while it cannot be asked (default: 2592000, 30 days)",
    )
    add("--upstream-first", action="store_true", help="ask it before the other upstreams")
    add("--no-upstream", metavar="URL", help="mirror this upstream no more; what is kept of it stays in the store")


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises NotFound, InvalidRequest, StoreError, UpstreamError."""
    if arguments.index is not None:
        raise InvalidRequest("--index says which index other commands work on; name it after the action here.")
    administration = open_administration(arguments, writes=arguments.action not in {"list", "show"})
    actions = {"list": _list, "show": _show, "create": _create, "set": _set, "delete": _delete}
    actions[arguments.action](arguments, administration)
    return 0


def _quota(text: str) -> int | str:
    """Bytes, or `none`. For argparse."""
    if text.strip().lower() == _NONE:
        return _NONE
    try:
        return values.size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; none is no limit") from None


def _indexes(text: str) -> tuple[str, ...]:
    """For argparse."""
    names = [each.strip() for each in text.split(",")]
    return () if names == [_NONE] else tuple(each for each in names if each)


def _names(text: str) -> tuple[str, ...]:
    """For argparse."""
    try:
        return values.name_patterns(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _hosts(text: str) -> tuple[str, ...]:
    """For argparse."""
    try:
        return network.host_names(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _list(arguments: argparse.Namespace, administration: Administration) -> None:
    found = [each for each in administration.indexes() if each.session is None]  # those are in `quire stage list`
    if arguments.json:
        print_json({"indexes": [_document(each) for each in found]})
        return
    rows = [
        (
            each.name,
            "default" if each.is_default else "",
            "uploads" if each.uploads else "no uploads",
            each.new_projects,
            _in_words(each.quota),
            _in_words(each.project_quota),
        )
        for each in found
    ]
    print_table(("index", "", "", "new projects", "quota", "quota of a project"), rows)


def _show(arguments: argparse.Namespace, administration: Administration) -> None:
    found = {each.name: each for each in administration.indexes(used_of=arguments.name)}
    if arguments.name not in found:
        known = administration.of_readable or did_you_mean(arguments.name, found)
        raise NotFound(f"There is no index {plain(arguments.name)!r}{known}.")
    entry = found[arguments.name]
    if arguments.json:
        print_json({**_document(entry), "used": entry.used})
        return
    rows = [
        ("Name", entry.name),
        ("Address", "/" if entry.is_default else f"/{entry.name}/"),
        ("Uploads", "yes" if entry.uploads else "no"),
        ("Overwrite", "yes" if entry.overwrite else "no"),
        ("New projects", entry.new_projects),
        ("Quota", _in_words(entry.quota)),
        *([("Used", _used(entry.used, entry.quota))] if entry.quota is not None else []),
        ("Quota of a project", _in_words(entry.project_quota)),
        *([("Behind it", ", ".join(entry.behind))] if entry.behind else []),
        *(("Keeps", each) for each in entry.keep),
        *([("Trash at past moments", entry.past_trash)] if entry.past_trash != PastTrash.SHOWN else []),
        *(("Upstream", _upstream_in_words(each)) for each in entry.upstreams or ()),
        *([("Merged projects", ", ".join(entry.merged))] if entry.merged else []),
    ]
    print_table(("Setting", "Value"), rows)


def _create(arguments: argparse.Namespace, administration: Administration) -> None:
    done = administration.create_index(NewIndexBody(name=arguments.name, **_settings(arguments)))
    if arguments.json:
        print_json({**_document(done.index), "changed": done.changed})
    elif done.changed:
        print(f"Made the index {done.index.name}: every server has it below /{done.index.name}/ from now on.")
    else:
        print(f"Nothing to do: there is the index {done.index.name} with these settings.")


def _delete(arguments: argparse.Namespace, administration: Administration) -> None:
    done = administration.delete_index(arguments.name, with_files=arguments.yes)
    if arguments.json:
        print_json({"index": done.index, "deleted_files": done.deleted_files})
        return
    files = f" with {count(done.deleted_files, 'file')}" if done.deleted_files else ""
    print(f"Deleted the index {plain(done.index)}{files}.")


def _set(arguments: argparse.Namespace, administration: Administration) -> None:
    settings = _settings(arguments)
    if not settings:
        raise InvalidRequest("Name a setting, such as --quota or --no-uploads; see 'quire index set --help'.")
    is_about_upstreams = settings.keys() & {"upstream", "remove_upstream"}
    before = _upstreams(arguments.name, administration) if is_about_upstreams else None
    done = administration.set_index(arguments.name, IndexBody(**settings))
    if arguments.json:
        print_json({**_document(done.index), "changed": done.changed})
    elif done.changed:
        print(f"The index {plain(arguments.name)} has these settings from now on, on every server.")
    else:
        print("Nothing to do: the index has these settings.")
    if before is not None and done.index.is_default and bool(before) is not bool(done.index.upstreams):
        print(_SETTINGS_COUNT if before else _SETTINGS_DO_NOT_COUNT, file=sys.stderr if arguments.json else sys.stdout)


def _upstreams(name: str, administration: Administration) -> list[UpstreamEntry] | None:
    """Those of an index now; None where it is not there, or may not be seen."""
    return next((each.upstreams for each in administration.indexes() if each.name == name), None)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those that the command line names."""
    named = {name: getattr(arguments, name) for name in _SETTINGS}
    settings = {name: None if value == _NONE else value for name, value in named.items() if value is not None}
    if arguments.keep is not None:
        settings["keep"] = [] if arguments.keep == [_NONE] else arguments.keep
    if arguments.no_upstream is not None:
        settings["remove_upstream"] = arguments.no_upstream
    upstream = {name: getattr(arguments, f"upstream_{name}") for name in _UPSTREAM_SETTINGS}
    upstream = {name: value for name, value in upstream.items() if value is not None and value is not False}
    if arguments.upstream_url is not None:
        settings["upstream"] = UpstreamBody(url=arguments.upstream_url, **upstream)
    elif upstream:
        raise InvalidRequest("Name the upstream of these settings with --upstream URL.")
    return settings


def _upstream_in_words(upstream: UpstreamEntry) -> str:
    names = f", for {', '.join(upstream.only)}" if upstream.only else ""
    hosts = f", files on {', '.join(upstream.hosts)}" if upstream.hosts else ""
    return f"{upstream.url}{names}{hosts}; pages for {upstream.max_age} s, for {upstream.max_stale} s without an answer"


def _document(entry: IndexEntry) -> dict[str, Any]:
    """Without what a server alone knows, and without what takes a count."""
    document: dict[str, Any] = msgspec.to_builtins(entry)
    del document["read_only"], document["used"]
    return document


def _in_words(quota: int | None) -> str:
    return _NONE if quota is None else as_setting(quota)


def _used(used: int | None, quota: int) -> str:
    return "not counted yet" if used is None else f"{in_words(used)} of {in_words(quota)} ({percent(used, quota)} %)"
