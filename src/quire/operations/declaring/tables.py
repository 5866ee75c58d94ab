"""Tables of a configuration file: read as the fields of a struct, and written as TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quire.config.suggestions import did_you_mean
from quire.domain.errors import InvalidRequest
from quire.domain.structs import convert_to

NONE: Final = "none"
"""In place of a value that TOML does not have."""
SHOWN: Final = 200
"""Characters of a file that a sentence repeats."""
_MOST_SHORT: Final = 0xFFFF


def key_of(name: str) -> str:
    """A key as files are written, of the name of a field or another spelling."""
    return name.replace("_", "-")


def fields_of(raw: Any, kind: type[Any], what: str) -> list[dict[str, Any]]:
    """The fields that each table of a list has, of their types. `what`: the thing that a table stands for.

    Raises InvalidRequest, msgspec.ValidationError.
    """
    known = {each.name: each for each in msgspec.structs.fields(kind) if each.name != "unknown"}
    found = []
    for table in convert_to(raw, list[dict[str, Any]]):
        fields = {key.replace("-", "_"): value for key, value in table.items()}
        if strange := sorted(fields.keys() - known):
            raise InvalidRequest(f"{strange[0][:SHOWN]} is no setting of {what}{did_you_mean(strange[0], known)}")
        found.append({name: convert_to(value, known[name].type) for name, value in fields.items()})
    return found


def toml_value(value: Any) -> str:
    """A value in one line of TOML 1.0."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_key(key)} = {toml_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    text = "".join(each if each.isprintable() and each not in {'"', "\\"} else _escaped(each) for each in str(value))
    return f'"{text}"'


def toml_key(key: str) -> str:
    """A key of TOML 1.0."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= _MOST_SHORT else f"\\U{code:08x}"
