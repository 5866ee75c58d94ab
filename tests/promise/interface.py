"""The interface as lists of lines. A line says one thing that programs, scripts or stores of others rely on."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from quire.access import document as access
from quire.advisories import packed
from quire.config.resolving import OTHER_VARIABLES
from quire.config.settings import DECLARED_TABLES, OPTIONS
from quire.domain import project, promotions, webhooks
from quire.http.api.openapi import document
from quire.http.app.routes import WEB, endpoints
from quire.observe.metrics.catalog import METRICS
from quire.operations.mirroring import manifest
from quire.store.bucket import store as bucket
from quire.store.posix import layout
from quire.upstream import mirrored
from tests.command_line import actions, commands
from tests.documents import DOCS

EXPERIMENTAL: Final = "session"
"""The label of the routes of publishing sessions, whose standard is a draft."""
_FORMS: Final = {WEB, "account", "login"}
"""The labels of forms of the web interface, which its own pages send."""


def command_line() -> Iterator[str]:
    """Commands, their flags with the words that they take, and the places of their arguments."""
    for name, parser in commands().items():
        yield f"quire {name}"
        for part, of in (("", parser), *((f" {each}", sub) for each, sub in actions(parser).items())):
            yield from _of_parser(f"quire {name}{part}", of)


def _of_parser(words: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    place = 0
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        if isinstance(action, argparse._SubParsersAction):
            yield from (f"{words} {each}" for each in action.choices)
            continue
        if action.option_strings:
            value = "" if action.nargs == 0 else " VALUE"
            lines = [f"{words} {flag}{value}" for flag in action.option_strings]
        else:
            place += 1
            lines = [f"{words} [argument {place}{'' if action.nargs is None else f', {action.nargs}'}]"]
        yield from lines
        yield from (f"{lines[-1]} = {choice}" for choice in action.choices or ())


def settings() -> Iterator[str]:
    """The names in quire.toml and in the environment."""
    yield from (f"quire.toml [{table}]" for table in DECLARED_TABLES)
    for option in OPTIONS:
        yield f"quire.toml {option.name.replace('_', '-')}"
        yield f"environment QUIRE_{option.name.upper()}"
        yield from (f"environment {variable}" for variable in option.borrowed)
    yield from (f"environment {variable}" for variable in OTHER_VARIABLES)


def routes() -> Iterator[str]:
    """Methods and addresses. The names of parameters are no part of them."""
    for each in endpoints("/health"):
        if each.label != EXPERIMENTAL and not (each.method == "POST" and each.label in _FORMS):
            yield f"{each.method} {re.sub(r'{[^}]*}', '{}', each.path)}"


def json_api() -> Iterator[str]:
    """The fields of the documents that are sent and received, with their types and words."""
    for name, schema in document()["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            is_required = field in schema.get("required", ())
            if name.endswith(("Body", "Form")):
                use = "must be sent" if is_required else "may be sent"
            else:
                use = "is always there" if is_required else "may be there"
            yield f"{name}.{field} {use}: {_type(described)}"
            yield from (f"{name}.{field} = {word}" for word in _words(described))


def _type(described: dict[str, Any]) -> str:
    if "$ref" in described:
        return str(described["$ref"]).rpartition("/")[2]
    if "anyOf" in described:
        return " or ".join(sorted({_type(each) for each in described["anyOf"]}))
    kind = str(described.get("type", "string" if "enum" in described or "const" in described else "anything"))
    if kind == "array" and isinstance(described.get("items"), dict):
        return f"array of {_type(described['items'])}"
    if kind == "object" and isinstance(described.get("additionalProperties"), dict):
        return f"object of {_type(described['additionalProperties'])}"
    return kind


def _words(described: dict[str, Any]) -> Iterator[str]:
    if "const" in described:
        yield str(described["const"])
    yield from (str(each) for each in described.get("enum", ()) if each is not None)
    for each in (*described.get("anyOf", ()), described.get("items")):
        if isinstance(each, dict):
            yield from _words(each)


def metrics() -> Iterator[str]:
    """Metrics with their kinds, and their labels."""
    for metric in METRICS:
        yield f"{metric.name} {metric.kind}"
        yield from (f"{metric.name} has {label}" for label in metric.labels)


def events_and_fields() -> Iterator[str]:
    """The fields of the server's log and of the audit log, which tests compare with their page; events of webhooks."""
    server, _, audit = (DOCS / "reference" / "logs.md").read_text().partition("## The audit log")
    for log, text in (("log", server), ("audit log", audit)):
        yield from (f"{log} {field}" for field in re.findall(r"^\| `(\w+)` \|", text, re.M))
    yield from (f"webhook event {event}" for event in webhooks.EVENTS)


_FORMATS: Final = {
    "store in a directory": (layout.LAYOUT,),
    "store in a bucket": (bucket.LAYOUT,),
    "record of a project": range(project.FORMAT, project.FORMAT_WITH_PENDING + 1),
    "record of rights and indexes": range(1, access.FORMAT + 1),
    "record of promotions": range(1, promotions.FORMAT + 1),
    "record of a mirrored page": range(1, mirrored.FORMAT + 1),
    "advisories": range(1, packed.FORMAT + 1),
    "export of a mirror": range(1, manifest.FORMAT + 1),
}


def formats() -> Iterator[str]:
    """The numbers of the formats that this version reads."""
    for name, numbers in _FORMATS.items():
        yield from (f"{name}: {number}" for number in numbers)


LISTS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "commands": command_line,
    "settings": settings,
    "routes": routes,
    "json-api": json_api,
    "metrics": metrics,
    "logs": events_and_fields,
    "formats": formats,
}
"""By the name of their file."""
