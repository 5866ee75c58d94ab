"""The interpreter that the plans are worked out with: Terraform's documented meaning of its language."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.terraform_functions import TerraformError
from tests.deploy.terraform_syntax import parse_expression, references
from tests.deploy.terraform_values import Unknown, evaluate

NAMES: dict[str, Any] = {
    "var": {"a": 1, "s": "text", "none": None, "list": ["x", "y"], "map": {"k": 2, "j": 1}},
    "aws_x": {"one": [{"arn": "arn:1"}], "no": [], "later": Unknown("aws_x.later")},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-var.a", -1),
        ("7 % 4", 3),
        ("!true || 1 < 2 && 2 <= 2", True),
        ('"1" == 1', False),
        ("true == 1", False),
        ("var.none == null", True),
        ("null == false", False),
        ('var.a > 0 ? "yes" : "no"', "yes"),
        ('"a ${var.s} ${var.a} ${true}"', "a text 1 true"),
        ('"${var.list}"', ["x", "y"]),
        (r'"tab\t quote\" $${kept} back\\"', 'tab\t quote" ${kept} back\\'),
        ("var.list[1]", "y"),
        ('var.map["k"]', 2),
        ("aws_x.one[*].arn", ["arn:1"]),
        ("one(aws_x.no[*].arn)", None),
        ("[for v in var.list : upper_not_called if false]", []),
        ('[for i, v in var.list : "${i}${v}"]', ["0x", "1y"]),
        ("[for k, v in var.map : k]", ["j", "k"]),
        ("{ for k, v in var.map : k => v + 1 if v > 1 }", {"k": 3}),
        ('{ a = 1, "b-c" = 2, (var.s) = 3 }', {"a": 1, "b-c": 2, "text": 3}),
        ("max([1, 5, 3]...)", 5),
        ("range(512, 2049, 512)", [512, 1024, 1536, 2048]),
        ('can(regex("^t", var.s))', True),
        ('can(regex("^x", var.s))', False),
        ('regexall("([a-z])([0-9])", "a1 b2")', [["a", "1"], ["b", "2"]]),
        ("merge({ a = 1 }, { a = 2, b = 3 })", {"a": 2, "b": 3}),
        ("flatten([[1, [2]], 3])", [1, 2, 3]),
        ('substr("quire", 0, 3)', "qui"),
        ('slice(["a"], 1, length(["a"]))', []),
        ('tostring(512)', "512"),
    ],
)  # fmt: skip
def test_expressions(text: str, value: object) -> None:
    """Each form that the module uses means what the language reference says."""
    assert evaluate(parse_expression(text), NAMES.__getitem__) == value


@pytest.mark.parametrize(
    "text", ["var.list[2]", "var.map.x", '1 + "x"', "1 ? 2 : 3", 'regex("x", "y")', "one([1, 2])", 'jsondecode("{")']
)
def test_what_terraform_refuses(text: str) -> None:
    """Where Terraform would end with an error, so does the plan."""
    with pytest.raises(TerraformError):
        evaluate(parse_expression(text), NAMES.__getitem__)


def test_unknown_functions_and_names_are_no_values() -> None:
    """The interpreter raises an error for syntax that it does not know."""
    for text in ("sha512(var.s)", "other.thing"):
        with pytest.raises(KeyError):
            evaluate(parse_expression(text), NAMES.__getitem__)


def test_what_is_not_known_yet_spreads() -> None:
    """An attribute that only AWS can tell makes what is computed from it unknown, and shows its address in a text."""
    assert isinstance(evaluate(parse_expression("aws_x.later.arn == 1"), NAMES.__getitem__), Unknown)
    assert evaluate(parse_expression('"${aws_x.later.arn}:*"'), NAMES.__getitem__) == "(aws_x.later.arn):*"
    assert evaluate(parse_expression("aws_x.later.arn != null"), NAMES.__getitem__) is True


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("var.a + local.b", {"var.a", "local.b"}),
        ("[for v in var.list : v.x if v != local.b]", {"var.list", "local.b"}),
        ("data.aws_x.y[0].z[*].w", {"data.aws_x.y.[].z.[].w"}),
        ('"${aws_a.b.arn}/${each.value}"', {"aws_a.b.arn", "each.value"}),
        ("{ a = var.a, (var.k) = f(var.b, var.l...) }", {"var.a", "var.k", "var.b", "var.l"}),
        ("var.m[local.k].x", {"var.m.[].x", "local.k"}),
    ],
)
def test_references(text: str, found: set[str]) -> None:
    """All that an expression speaks of is found, and nothing else."""
    assert {str(reference) for reference in references(parse_expression(text))} == found
