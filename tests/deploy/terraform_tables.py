"""The tables in the Terraform module's README that say again what its files say.

    .venv/bin/python -m tests.deploy.terraform_tables     rewrites what is between the marks

A mark is `<!-- table: NAME -->`, its end `<!-- end -->`; all other text is its author's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.deploy.terraform_module import module
from tests.deploy.terraform_syntax import MODULE, Block, Node, trees, unwrapped, word
from tests.deploy.terraform_values import evaluate

README = MODULE / "README.md"
_TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def type_text(node: Node) -> str:
    """A type as Terraform writes it: `string`, `list(string)`."""
    node = unwrapped(node)
    if node.data == "function_call":
        name, arguments = trees(node)
        return f"{word(name)}({type_text(trees(arguments)[0])})"
    return word(node)


def _text(block: Block, name: str) -> str:
    value = evaluate(block.attributes[name], lambda asked: asked)
    return str(value).replace("|", "\\|")


def _default(block: Block) -> str:
    if "default" not in block.attributes:
        return "**needed**"
    return f"`{word(block.attributes['default']).strip()}`"


def inputs() -> str:
    """Every input but those without effect."""
    lines = ["| Input | Type | Default | Meaning |", "|---|---|---|---|"]
    for name, block in sorted(module().named("variable").items()):
        if not block.where.startswith("variables_compatibility.tf"):
            kind = type_text(block.attributes["type"])
            lines.append(f"| `{name}` | `{kind}` | {_default(block)} | {_text(block, 'description')} |")
    return "\n".join(lines) + "\n"


def inputs_without_effect() -> str:
    """Those of the replaced module that are only taken."""
    lines = ["| Input | Meaning |", "|---|---|"]
    for name, block in sorted(module().named("variable").items()):
        if block.where.startswith("variables_compatibility.tf"):
            lines.append(f"| `{name}` | {_text(block, 'description')} |")
    return "\n".join(lines) + "\n"


def outputs() -> str:
    """Every output."""
    lines = ["| Output | Meaning |", "|---|---|"]
    lines += [
        f"| `{name}` | {_text(block, 'description')} |" for name, block in sorted(module().named("output").items())
    ]
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "inputs": inputs,
    "inputs-without-effect": inputs_without_effect,
    "outputs": outputs,
}


def rewritten(page: str) -> str:
    """The page with its tables as they should be."""
    return _TABLE.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", page)


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text()))
