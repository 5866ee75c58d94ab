"""`quire stage` and `quire promote`: stages, which are promoted into the index that they are in front of, in one step.

JSON of stage list: {"stages": [{"name": str, "in_front_of": str, "expires": RFC 3339 or null, "session": the release
(NAME VERSION) of a publishing session, or null}]}; of create and show such an object, create with "changed": bool; of
delete as `quire index delete`. JSON of promote: {"index": str, "to": str, "dry_run": bool, "projects": [{"project":
str, "files": [filename], "present": [filename], "problem": str or null}]}.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from quire.administration.contract import Administration
from quire.administration.documents import IndexEntry, NewIndexBody
from quire.administration.promotion_documents import PromotionBody
from quire.commands.administering import add_place_flags, open_administration, url_of
from quire.commands.common import add_user_flag, count, plain, print_json, print_table, span
from quire.commands.progress import Meter
from quire.config.suggestions import did_you_mean
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.times import stamp
from quire.process.progress import Progress


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `stage` with its actions, and `promote`."""
    parser = subparsers.add_parser(
        "stage",
        help="make, list and delete stages, which are published in front of an index",
        description="Make, list and delete stages. A stage takes uploads at its own address, /NAME/, and is installed "
        "from there; 'quire promote' publishes all of it into the index that it is in front of, in one step.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    creating = actions.add_parser("create", help="make a stage", description="Make a stage.")
    creating.add_argument("name", metavar="NAME", help="up to 100 lower-case letters, digits, '-' and '_'")
    creating.add_argument("--in-front-of", metavar="INDEX", required=True, help="the index that it is promoted into")
    creating.add_argument(
        "--expires",
        type=span,
        metavar="TIME",
        help="when it ends, such as 14d: then it takes no uploads and is not served, and its files are deleted",
    )
    listing = actions.add_parser("list", help="list the stages", description="List the stages.")
    showing = actions.add_parser("show", help="show a stage", description="Show a stage.")
    deleting = actions.add_parser(
        "delete", help="delete a stage with its files", description="Delete a stage with its files."
    )
    promoting = subparsers.add_parser(
        "promote",
        help="publish all of a stage into the index that it is in front of, in one step",
        description="Publish all files of a stage into the index that it is in front of: no client sees a part of it. "
        "They are deleted from the stage then.",
    )
    promoting.add_argument(
        "--project",
        dest="projects",
        action="append",
        default=[],
        metavar="NAME",
        help="only this project of the stage; repeat it",
    )
    promoting.add_argument("--dry-run", action="store_true", help="only say what would be published")
    for each in (showing, deleting, promoting):
        each.add_argument("name", metavar="STAGE", help="the stage")
    for each in (listing, showing, creating, deleting, promoting):
        add_place_flags(each)
    for each in (creating, deleting, promoting):
        add_user_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises NotFound, InvalidRequest, StoreError, UpstreamError."""
    if arguments.index is not None:
        raise InvalidRequest("--index says which index other commands work on; a stage is named by itself here.")
    if arguments.command == "promote":
        return _promote(arguments, open_administration(arguments, writes=not arguments.dry_run))
    administration = open_administration(arguments, writes=arguments.action in {"create", "delete"})
    actions = {"list": _list, "show": _show, "create": _create, "delete": _delete}
    actions[arguments.action](arguments, administration)
    return 0


def _stages(administration: Administration) -> dict[str, IndexEntry]:
    return {each.name: each for each in administration.indexes() if each.in_front_of is not None}


def _find(administration: Administration, name: str) -> IndexEntry:
    stages = _stages(administration)
    if name not in stages:
        raise _no_stage(name, stages)
    return stages[name]


def _no_stage(name: str, stages: Iterable[str]) -> NotFound:
    return NotFound(f"There is no stage {plain(name)!r}{did_you_mean(name, stages)}.")


def _list(arguments: argparse.Namespace, administration: Administration) -> None:
    stages = _stages(administration).values()
    if arguments.json:
        print_json({"stages": [_document(each) for each in stages]})
        return
    print_table(
        ("stage", "in front of", "ends", "session"),
        [(each.name, str(each.in_front_of), each.expires or "", each.session or "") for each in stages],
    )


def _show(arguments: argparse.Namespace, administration: Administration) -> None:
    found = _find(administration, arguments.name)
    if arguments.json:
        print_json(_document(found))
        return
    rows = [("Name", found.name), ("Address", f"/{found.name}/"), ("In front of", str(found.in_front_of))]
    print_table(("Setting", "Value"), [*rows, ("Ends", found.expires or "never")])


def _create(arguments: argparse.Namespace, administration: Administration) -> None:
    ends = None if arguments.expires is None else datetime.now(UTC) + arguments.expires
    done = administration.create_index(
        NewIndexBody(
            name=arguments.name,
            in_front_of=arguments.in_front_of,
            expires=None if ends is None else stamp(ends),
        )
    )
    if arguments.json:
        print_json({**_document(done.index), "changed": done.changed})
        return
    until = "" if done.index.expires is None else f" until {done.index.expires}"
    name, target = done.index.name, done.index.in_front_of
    print(f"Made the stage {name} in front of {target}: publish to /{name}/{until}.")


def _delete(arguments: argparse.Namespace, administration: Administration) -> None:
    indexes = {each.name: each.in_front_of is not None for each in administration.indexes()}
    no_stage = _no_stage(arguments.name, [name for name, is_stage in indexes.items() if is_stage])
    if not indexes.get(arguments.name, True):
        raise no_stage
    try:  # also where it is not defined: an earlier deletion may have been interrupted
        done = administration.delete_index(arguments.name, with_files=True)
    except NotFound:
        raise no_stage from None
    if arguments.json:
        print_json({"index": done.index, "deleted_files": done.deleted_files})
        return
    print(f"Deleted the stage {plain(done.index)} with {count(done.deleted_files, 'file')}.")


def _promote(arguments: argparse.Namespace, administration: Administration) -> int:
    body = PromotionBody(dry_run=arguments.dry_run, projects=arguments.projects)
    if url_of(arguments) is not None:
        done = administration.promote(arguments.name, body, Progress())
    else:
        with Meter("quire promote") as meter:
            done = administration.promote(arguments.name, body, meter)
    problems = [each for each in done.projects if each.problem is not None]
    if arguments.json:
        print_json(msgspec.to_builtins(done))
        return 1 if problems else 0
    for each in done.projects:
        if each.problem is not None:
            print(f"{each.project}: {each.problem}")
            continue
        verb = "would be published" if done.dry_run else "published"
        lines = [f"{filename} {verb}" for filename in each.files]
        lines += [f"{filename} is there already" for filename in each.present]
        print(*(f"{each.project}: {line}" for line in lines), sep="\n")
    files, projects = sum(len(each.files) for each in done.projects), len(done.projects)
    if problems:
        print(f"{count(len(problems), 'project')} cannot be promoted, so nothing would be published.")
        return 1
    what = f"{count(files, 'file')} of {count(projects, 'project')}"
    print(f"{'Would promote' if done.dry_run else 'Promoted'} {what} from {done.index} into {done.to}.")
    return 0


def _document(entry: IndexEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "in_front_of": entry.in_front_of,
        "expires": entry.expires,
        "session": entry.session,
    }
