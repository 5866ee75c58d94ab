"""Terraform's functions, as far as the module uses them, as its language reference describes them.

A function that is not here is a KeyError in a test, not a wrong value. `can` is no function of values;
`terraform_values` has it.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Callable
from typing import Any


class TerraformError(Exception):
    """Terraform would refuse this."""


def _regex(pattern: str, text: str) -> Any:
    match = re.search(_python(pattern), text)
    if match is None:
        raise TerraformError(f"{pattern} does not match {text!r}")
    return _captures(match)


def _regexall(pattern: str, text: str) -> list[Any]:
    return [_captures(match) for match in re.finditer(_python(pattern), text)]


def _captures(match: re.Match[str]) -> Any:
    if match.groupdict():
        return match.groupdict()
    return list(match.groups()) if match.groups() else match.group()


def _python(pattern: str) -> str:
    """RE2's spelling of character classes in Python's; all else that the module writes is the same in both."""
    return pattern.replace("[:space:]", r"\s")


def _cidrnetmask(network: str) -> str:
    if "/" not in network:
        raise TerraformError(f"{network} is no network")
    try:
        return str(ipaddress.IPv4Network(network, strict=False).netmask)
    except ValueError as error:
        raise TerraformError(str(error)) from error


def _one(values: list[Any]) -> Any:
    if len(values) > 1:
        raise TerraformError("one() takes a list with one element or none")
    return values[0] if values else None


def _distinct(values: list[Any]) -> list[Any]:
    return [value for number, value in enumerate(values) if value not in values[:number]]


def _flatten(values: list[Any]) -> list[Any]:
    return [inner for value in values for inner in (_flatten(value) if isinstance(value, list) else [value])]


def _merge(*tables: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for table in tables for key, value in (table or {}).items()}


def tostring(value: Any) -> str | None:
    """A value as Terraform converts it. Raises TerraformError for collections."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else repr(value)
    raise TerraformError(f"{value!r} is no string")


def _join(separator: str, values: list[Any]) -> str:
    return separator.join(str(tostring(value)) for value in values)


def _format(template: str, *values: Any) -> str:
    return template % tuple(tostring(value) for value in values)


def _substr(text: str, start: int, length: int) -> str:
    return text[start:] if length == -1 else text[start : start + length]


def _jsondecode(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TerraformError(str(error)) from error


def _jsonencode(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)  # str: what is not known yet


def _element_count(value: Any) -> int:
    if not isinstance(value, str | list | dict):
        raise TerraformError("length() takes a string or a collection")
    return len(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "alltrue": all,
    "bcrypt": lambda text: (
        f"$2a$10${'x' * 53}" if text else ""
    ),  # a new salt each time: nothing can be compared with it
    "ceil": math.ceil,
    "cidrnetmask": _cidrnetmask,
    "concat": lambda *lists: [value for each in lists for value in each],
    "contains": lambda values, value: value in values,
    "distinct": _distinct,
    "flatten": _flatten,
    "floor": math.floor,
    "format": _format,
    "join": _join,
    "jsondecode": _jsondecode,
    "jsonencode": _jsonencode,
    "length": _element_count,
    "max": max,
    "merge": _merge,
    "one": _one,
    "range": lambda start, end, step=1: list(range(start, end, step)),
    "regex": _regex,
    "regexall": _regexall,
    "slice": lambda values, start, end: values[start:end],
    "startswith": lambda text, beginning: text.startswith(beginning),
    "substr": _substr,
    "tonumber": float,
    "toset": lambda values: sorted(set(values)),
    "tostring": tostring,
}
