"""`quire index`: the indexes of a store, and their settings, which all servers obey.

JSON of list: {"indexes": [{"name": str, "is_default": bool, "new_projects": "shared" or "owned", "quota": int or null,
"project_quota": int or null}]}; of show one such object; of set such an object with "changed": bool.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quire.administration.contract import Administration
from quire.administration.documents import IndexBody, IndexEntry
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, plain, print_json, print_table
from quire.config import values
from quire.config.suggestions import did_you_mean
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.indexes import NewProjects
from quire.domain.sizes import as_setting

_NONE = "none"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `index` and its actions."""
    parser = subparsers.add_parser(
        "index",
        help="list indexes, and change their settings",
        description="List the indexes, and change their settings. A change counts for the next request of every "
        "server.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the indexes", description="List the indexes.")
    showing = actions.add_parser("show", help="show an index", description="Show an index and its settings.")
    showing.add_argument("name", metavar="NAME", help="the index")
    setting = actions.add_parser(
        "set", help="change settings of an index", description="Change settings of an index; the others stay."
    )
    setting.add_argument("name", metavar="NAME", help="the index")
    add = setting.add_argument
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
    for each in (listing, showing, setting):
        add_place_flags(each)
    add_user_flag(setting)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises NotFound, InvalidRequest, StoreError, UpstreamError."""
    administration = open_administration(arguments, writes=arguments.action == "set")
    {"list": _list, "show": _show, "set": _set}[arguments.action](arguments, administration)
    return 0


def _quota(text: str) -> int | str:
    """Bytes, or `none`. For argparse."""
    if text.strip().lower() == _NONE:
        return _NONE
    try:
        return values.size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; none is no limit") from None


def _list(arguments: argparse.Namespace, administration: Administration) -> None:
    found = administration.indexes()
    if arguments.json:
        print_json({"indexes": [_document(each) for each in found]})
        return
    rows = [
        (
            each.name,
            "default" if each.is_default else "",
            each.new_projects,
            _in_words(each.quota),
            _in_words(each.project_quota),
        )
        for each in found
    ]
    print_table(("index", "", "new projects", "quota", "quota of a project"), rows)


def _show(arguments: argparse.Namespace, administration: Administration) -> None:
    found = {each.name: each for each in administration.indexes()}
    if arguments.name not in found:
        raise NotFound(f"There is no index {plain(arguments.name)!r}{did_you_mean(arguments.name, found)}.")
    entry = found[arguments.name]
    if arguments.json:
        print_json(_document(entry))
        return
    rows = [
        ("Name", entry.name),
        ("Address", "/" if entry.is_default else f"/{entry.name}/"),
        ("New projects", entry.new_projects),
        ("Quota", _in_words(entry.quota)),
        ("Quota of a project", _in_words(entry.project_quota)),
    ]
    print_table(("Setting", "Value"), rows)


def _set(arguments: argparse.Namespace, administration: Administration) -> None:
    body = IndexBody(
        new_projects=arguments.new_projects if arguments.new_projects is not None else msgspec.UNSET,
        quota=_value(arguments.quota),
        project_quota=_value(arguments.project_quota),
    )
    if body == IndexBody():
        raise InvalidRequest("Name a setting: --new-projects, --quota or --project-quota.")
    done = administration.set_index(arguments.name, body)
    if arguments.json:
        print_json({**_document(done.index), "changed": done.changed})
    elif done.changed:
        print(f"The index {plain(arguments.name)} has these settings from now on, on every server.")
    else:
        print("Nothing to do: the index has these settings.")


def _value(quota: int | str | None) -> int | msgspec.UnsetType | None:
    if quota is None:
        return msgspec.UNSET
    return quota if isinstance(quota, int) else None


def _document(entry: IndexEntry) -> dict[str, Any]:
    """Without what a server alone knows."""
    document: dict[str, Any] = msgspec.to_builtins(entry)
    del document["read_only"]
    return document


def _in_words(quota: int | None) -> str:
    return _NONE if quota is None else as_setting(quota)
