"""A declared configuration: indexes with their settings in a TOML file, compared with the store and applied to it.

    [indexes.main]
    quota = "50G"
    keep = ["dev:10"]

The keys are the fields of `IndexDefinition`, so a new field can be declared without a line here; those whose values
have a form of their own are in `_READ`. Settings that are not declared are left alone, or with `prune` set back.

All of it is one transition of the access document: it is applied whole, in one swap, or not at all. Definitions refer
to each other, so those that lack another one are tried again after the others; the order in the file does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from quire.access import defining
from quire.access.document import AccessDocument
from quire.access.grants import parse_owner
from quire.access.records import AccessRecords
from quire.config import values
from quire.config.settings import read_declared
from quire.config.suggestions import did_you_mean
from quire.domain.errors import ConfigurationError, InvalidRequest, NotFound
from quire.domain.indexes import DEFAULT, IndexDefinition
from quire.domain.names import normalize_name
from quire.domain.namespaces import Grants, Namespace, check_merged, checked_grants, parse_namespace
from quire.domain.sizes import as_setting
from quire.domain.upstreams import UpstreamDefinition, Upstreams, with_upstream
from quire.index.audit.entries import Origin
from quire.operations.defining import existing_below, projects_with_files, put_back_with_files

TABLE: Final = "indexes"
"""The table of a configuration file; all others are settings of a server (`quire.config.settings`)."""
_OF_COMMANDS: Final = {"policy": "quire policy"}
"""Fields that no file declares, and the commands for them: each rule of a policy has a time, a user and a reason."""
_NONE: Final = "none"
"""In place of a value that TOML does not have."""
_MOST_INDEXES: Final = 10_000
_SHOWN: Final = 200
_LOGGED: Final = 100
_MOST_SHORT: Final = 0xFFFF
_TYPES: Final = {
    field.name: field.type
    for field in msgspec.structs.fields(IndexDefinition)
    if field.name != "unknown" and field.name not in _OF_COMMANDS
}
_KEYS: Final = {name.replace("_", "-"): name for name in _TYPES}

log = structlog.stdlib.get_logger(__name__)

Declared = Mapping[str, Mapping[str, Any]]
"""By index, the values of the fields that are declared."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that is not in the store as it is declared."""

    index: str
    setting: str | None
    """As the file spells it; None for the index itself."""
    stored: Any
    """As the file would have it; None for an index that is not there."""
    declared: Any
    """None for an index that `prune` deletes."""

    def __str__(self) -> str:
        if self.setting is None:
            return f"{self.index}: {'to be made' if self.stored is None else 'to be deleted'}"
        return f"{self.index}: {self.setting} = {toml_value(self.declared)}, in the store {toml_value(self.stored)}"


# -- reading ----------------------------------------------------------------------------------------------------------


def parse_declared(table: Mapping[str, Any]) -> Declared:
    """The declared indexes of a configuration file. Raises InvalidRequest for the first thing that is wrong."""
    indexes = table.get(TABLE, {})
    if not isinstance(indexes, Mapping) or not all(isinstance(each, Mapping) for each in indexes.values()):
        raise InvalidRequest(f"[{TABLE}] has a table for each index, such as [{TABLE}.main].")
    if len(indexes) > _MOST_INDEXES:
        raise InvalidRequest(f"A configuration has at most {_MOST_INDEXES} indexes.")
    return {str(name): _parsed(str(name), settings) for name, settings in indexes.items()}


def read_file(file: str) -> Declared:
    """The declared indexes of a file. Raises ConfigurationError for one that cannot be read or understood."""
    try:
        return parse_declared({TABLE: read_declared(file)})
    except InvalidRequest as error:
        raise ConfigurationError(f"{file}: {error}") from None


def _parsed(index: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, raw in settings.items():
        name = _KEYS.get(str(key).replace("_", "-"))
        where = f"{str(key)[:_SHOWN]} of {TABLE}.{index[:_SHOWN]}"
        if key in _OF_COMMANDS:
            raise InvalidRequest(f"{where} is not for a file; '{_OF_COMMANDS[key]}' sets it.")
        if name is None:
            raise InvalidRequest(
                f"{where} is no setting of an index{did_you_mean(str(key), _KEYS)}; they are {', '.join(_KEYS)}."
            )
        try:
            value = _READ[name](raw) if name in _READ else raw
            found[name] = msgspec.convert(None if value == _NONE else value, _TYPES[name])
        except (msgspec.ValidationError, ValueError, TypeError, InvalidRequest) as error:
            raise InvalidRequest(f"{where}: {str(error).rstrip('.')}.") from None
    return found


def _size(raw: Any) -> Any:
    return raw if raw == _NONE else values.size(raw)


def _texts(raw: Any) -> list[str]:
    found: list[str] = msgspec.convert(raw, list[str])
    return found


def _fields(raw: Any, kind: type[Any], what: str) -> list[dict[str, Any]]:
    """The fields that each table of a list has, of their types. Raises InvalidRequest, ValidationError."""
    known = {each.name: each for each in msgspec.structs.fields(kind) if each.name != "unknown"}
    found = []
    for table in msgspec.convert(raw, list[dict[str, Any]]):
        fields = {key.replace("-", "_"): value for key, value in table.items()}
        if strange := sorted(fields.keys() - known):
            raise InvalidRequest(f"{strange[0][:_SHOWN]} is no setting of {what}{did_you_mean(strange[0], known)}")
        found.append({name: msgspec.convert(value, known[name].type) for name, value in fields.items()})
    return found


def _upstreams(raw: Any) -> Upstreams:
    found: Upstreams = ()
    for each in _fields(raw, UpstreamDefinition, "an upstream"):
        found = with_upstream(found, each)
    return found


def _namespaces(raw: Any) -> Grants:
    return tuple(
        Namespace(
            name=parse_namespace(each.get("name", "")),
            owners=tuple(str(parse_owner(owner)) for owner in each.get("owners", ())),
            exempt=each.get("exempt", _UNDECLARED),
        )
        for each in _fields(raw, Namespace, "a namespace")
    )


_UNDECLARED: Final = ("?",)
"""In place of the projects from before that a namespace does not declare."""

_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "quota": _size,
    "project_quota": _size,
    "claims": lambda raw: defining.patterns(_texts(raw)),
    "merged": lambda raw: tuple(sorted({*map(normalize_name, _texts(raw))})),
    "upstreams": _upstreams,
    "namespaces": _namespaces,
}
"""From the value in a file to that of a field, where it is more than a conversion of types."""


# -- comparing --------------------------------------------------------------------------------------------------------

Existing = Callable[[AccessDocument, str, Namespace], Iterable[str]]
"""The projects below a namespace of an index that is new; see `quire.domain.namespaces.with_grant`."""


def applied(
    document: AccessDocument,
    declared: Declared,
    default: str,
    *,
    prune: bool = False,
    existing: Existing = lambda document, index, namespace: (),
) -> AccessDocument:
    """The document with the declared indexes; the very document when there is no difference. Raises InvalidRequest.

    `default`: the index at the server's root. `prune`: settings that are not declared get their defaults, and indexes
    that are not are removed (`surplus`).
    """
    named = {**declared, **({default: {}} if prune and default not in declared else {})}
    wanted = {name: _wanted(document, name, fields, prune=prune, existing=existing) for name, fields in named.items()}
    after = document
    for name, definition in wanted.items():  # the order of indexes can be turned round: each is alone meanwhile
        if name in after.indexes and after.indexes[name].behind != definition.behind:
            after = defining.with_settings(after, name, {"behind": ()}, default)
    after = _each(after, wanted, lambda now, name: _with(now, name, wanted[name], default))
    if prune:
        gone = surplus(document, declared, default)
        after = _each(after, gone, lambda now, name: defining.without_index(now, name, default))
    return document if after.indexes == document.indexes else after


def surplus(document: AccessDocument, declared: Declared, default: str) -> list[str]:
    """The indexes that are not declared: never stages, which come and go, nor the one at the server's root."""
    return [
        name
        for name, definition in document.indexes.items()
        if name not in declared and name != default and definition.in_front_of is None
    ]


def _each(
    document: AccessDocument, names: Iterable[str], change: Callable[[AccessDocument, str], AccessDocument]
) -> AccessDocument:
    """The document after a change for each name, in any order in which they are possible. Raises InvalidRequest."""
    left = list(names)
    while left:
        errors: dict[str, Exception] = {}
        for name in left:
            try:
                document = change(document, name)
            except (InvalidRequest, NotFound) as error:
                errors[name] = error
        if len(errors) == len(left):
            raise InvalidRequest(f"{TABLE}.{left[0][:_SHOWN]}: {errors[left[0]]}")
        left = list(errors)
    return document


def _wanted(
    document: AccessDocument, name: str, fields: Mapping[str, Any], *, prune: bool, existing: Existing
) -> IndexDefinition:
    before = document.indexes.get(name, DEFAULT)
    usual = {each: getattr(DEFAULT, each) for each in _TYPES}
    base = msgspec.structs.replace(before, **usual) if prune else before
    if "namespaces" in fields:
        known = {each.name: each for each in before.namespaces}

        def resolved(each: Namespace) -> Namespace:
            if each.exempt != _UNDECLARED:
                return each
            found = known[each.name].exempt if each.name in known else tuple(sorted(existing(document, name, each)))
            return msgspec.structs.replace(each, exempt=found)

        fields = {**fields, "namespaces": checked_grants(tuple(map(resolved, fields["namespaces"])))}
    changes = dict(fields)
    for field, adding, removing in (("claims", "claim", "release"), ("merged", "merge", "unmerge")):
        if field in changes:
            wanted, had = changes.pop(field), getattr(base, field)
            changes |= {adding: wanted, removing: tuple(each for each in had if each not in wanted)}
    definition = defining.changed(base, changes)
    check_merged(definition.namespaces, definition.merged)
    return definition


def _with(document: AccessDocument, name: str, definition: IndexDefinition, default: str) -> AccessDocument:
    if name != default and name not in document.indexes:
        return defining.with_index(document, name, definition, default)
    before = document.indexes.get(name, DEFAULT)
    if definition.in_front_of != before.in_front_of:
        raise InvalidRequest("An index is made as a stage, or not; in-front-of does not change.")
    if definition.expires is not None and definition.ends_at is None:
        raise InvalidRequest("expires is a time in UTC such as 2026-11-23T12:00:00Z.")
    changes = {each: getattr(definition, each) for each in _TYPES if getattr(definition, each) != getattr(before, each)}
    return defining.with_settings(document, name, changes, default)


def differences(before: AccessDocument, after: AccessDocument, default: str) -> list[Difference]:
    """The settings that are different in two documents, by index."""
    found = []
    for name in sorted({*before.indexes, *after.indexes}):
        old, new = before.indexes.get(name), after.indexes.get(name)
        if name != default and (old is None) is not (new is None):
            found.append(Difference(name, None, None if old is None else name, None if new is None else name))
        if new is None and name != default:
            continue
        stored, declared = file_settings(old or DEFAULT), file_settings(new or DEFAULT)
        found += [Difference(name, key, stored[key], declared[key]) for key in declared if stored[key] != declared[key]]
    return found


def compared(document: AccessDocument, file: str, default: str) -> list[str]:
    """The differences of a document from a file, each in a line; also that the file cannot be applied to it. Blocks."""
    try:
        return [str(each) for each in differences(document, applied(document, read_file(file), default), default)]
    except (ConfigurationError, InvalidRequest) as error:
        return [str(error)]


def apply(
    access: AccessRecords, declared: Declared, *, default: str, prune: bool, dry_run: bool, origin: Origin
) -> list[Difference]:
    """Apply a declared configuration, in one step; the differences that there were. `dry_run`: apply nothing.

    Raises InvalidRequest, also for an index that `prune` would remove with files of its own, or that got one just
    then, and is put back; StoreError.
    """
    store = access.store

    def existing(document: AccessDocument, index: str, namespace: Namespace) -> list[str]:
        return existing_below(store, document, index, namespace, default)

    def transition(document: AccessDocument) -> AccessDocument:
        for name in surplus(document, declared, default) if prune else ():
            if projects_with_files(store, name):
                raise InvalidRequest(
                    f"The index {name} is not declared, and has files: 'quire index delete {name}' first."
                )
        return applied(document, declared, default, prune=prune, existing=existing)

    before = access.read().state.document
    after = transition(before)
    found = differences(before, after, default)
    if dry_run or not found:
        return found
    changed = sorted({each.index for each in found})
    details = {"indexes": changed, "set": [str(each)[:_SHOWN] for each in found[:_LOGGED]]}
    before, after = access.change(transition, "apply", details, origin)
    if before is not after:
        log.info("configuration applied", indexes=changed, user=origin.user)
        put_back_with_files(access, before, after, origin)
    return differences(before, after, default)


# -- writing ----------------------------------------------------------------------------------------------------------


def file_settings(definition: IndexDefinition) -> dict[str, Any]:
    """All settings of an index, as a file has them: texts, numbers, booleans, lists and tables."""
    found: dict[str, Any] = {}
    for key, name in _KEYS.items():
        value = getattr(definition, name)
        if value is None:
            found[key] = _NONE
        elif name in {"quota", "project_quota"}:
            found[key] = as_setting(value)
        else:
            found[key] = _plain(msgspec.to_builtins(value))
    return found


def export(document: AccessDocument, default: str) -> dict[str, dict[str, Any]]:
    """The indexes as a file declares them, without settings that have their defaults; no stages."""
    usual = file_settings(DEFAULT)
    return {
        name: {key: value for key, value in file_settings(definition).items() if value != usual[key]}
        for name, definition in sorted({default: DEFAULT, **document.indexes}.items())
        if definition.in_front_of is None
    }


def toml_text(indexes: Mapping[str, Mapping[str, Any]]) -> str:
    """A configuration file that declares these indexes."""
    lines = []
    for name, settings in indexes.items():
        lines.append(f"[{TABLE}.{_toml_key(name)}]")
        lines += [f"{key} = {toml_value(value)}" for key, value in settings.items()]
        lines.append("")
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """A value in one line of TOML 1.0."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(key)} = {toml_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    text = "".join(each if each.isprintable() and each not in {'"', "\\"} else _escaped(each) for each in str(value))
    return f'"{text}"'


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= _MOST_SHORT else f"\\U{code:08x}"


def _plain(value: Any) -> Any:
    """With the keys of a file, and without the fields that this version does not know."""
    if isinstance(value, Mapping):
        return {key.replace("_", "-"): _plain(each) for key, each in value.items() if key != "unknown"}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
