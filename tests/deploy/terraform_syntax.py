"""The files of the Terraform module as blocks, attributes and expressions, read by python-hcl2's grammar.

An expression stays the parser's own tree; `terraform_values` gives it a value, `references` says what it speaks of.
Source of the names: the native syntax specification of HCL 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hcl2.api import parses_to_tree
from lark import Token, Tree

Node = Tree[Token]
"""An expression."""

MODULE = Path(__file__).parent.parent.parent / "deploy" / "terraform" / "aws"

_SPACE = {"new_line_or_comment"}


@dataclass(frozen=True)
class Block:
    """`kind "label" "label" { attributes and blocks }`."""

    kind: str
    labels: tuple[str, ...]
    attributes: dict[str, Node]
    blocks: tuple[Block, ...]
    where: str
    """File and line."""

    def of(self, kind: str) -> list[Block]:
        """The blocks of that kind directly within this one."""
        return [block for block in self.blocks if block.kind == kind]

    def within(self) -> Iterator[Block]:
        """This block and all within it."""
        yield self
        for block in self.blocks:
            yield from block.within()


@dataclass(frozen=True)
class Reference:
    """A traversal: `var.name`, `data.aws_region.current.region`, `aws_lb.main.arn`, `each.value`."""

    root: str
    steps: tuple[str, ...]
    """Attribute names after the root; an index, a splat and whatever is no name is `[]`."""

    def __str__(self) -> str:
        return ".".join([self.root, *self.steps])


@dataclass(frozen=True)
class Files:
    """All blocks of a folder of *.tf files."""

    folder: Path
    blocks: tuple[Block, ...] = field(default=())

    def of(self, kind: str) -> list[Block]:
        """The top-level blocks of a kind."""
        return [block for block in self.blocks if block.kind == kind]

    def named(self, kind: str) -> dict[str, Block]:
        """Those with one label, such as variables and outputs, by it."""
        return {block.labels[0]: block for block in self.of(kind)}


def read(folder: Path = MODULE) -> Files:
    """The module in a folder, as Terraform would read it: its *.tf files, not those in folders below."""
    blocks: list[Block] = []
    for path in sorted(folder.glob("*.tf")):
        tree = parses_to_tree(path.read_text() + "\n")
        (body,) = tree.children
        assert isinstance(body, Tree)
        blocks += _body(body, path)[1]
    return Files(folder, tuple(blocks))


def parse_expression(text: str) -> Node:
    """One expression on its own."""
    (body,) = parses_to_tree(f"it = {text}\n").children
    assert isinstance(body, Tree)
    return _body(body, Path("expression"))[0]["it"]


def _body(body: Node, path: Path) -> tuple[dict[str, Node], list[Block]]:
    attributes: dict[str, Node] = {}
    blocks: list[Block] = []
    for child in trees(body):
        names = trees(child)
        if child.data == "attribute":
            name, value = word(names[0]), names[-1]
            assert name not in attributes, f"{path.name}: {name} is set twice"
            attributes[name] = value
        elif child.data == "block":
            inner_attributes, inner_blocks = _body(names[-1], path)
            kind, *labels = (_label(each) for each in names[:-1])
            where = f"{path.name}:{next(child.scan_values(lambda _: True)).line}"
            blocks.append(Block(kind, tuple(labels), inner_attributes, tuple(inner_blocks), where))
        else:
            raise ValueError(f"{path.name}: unknown syntax {child.data}")
    return attributes, blocks


def trees(node: Node) -> list[Node]:
    """The parts of a node that mean something: no punctuation, no comments, no line ends."""
    return [child for child in node.children if isinstance(child, Tree) and child.data not in _SPACE]


def tokens(node: Node) -> list[str]:
    """A node's own words and signs."""
    return [str(child).strip() for child in node.children if isinstance(child, Token)]


def word(node: Node) -> str:
    """The text of an identifier or keyword."""
    return "".join(str(token) for token in node.scan_values(lambda _: True))


def _label(node: Node) -> str:
    return word(node).strip('"')


def unwrapped(node: Node) -> Node:
    """The expression without the parentheses and wrappers around it."""
    while node.data == "expr_term" and len(trees(node)) == 1:
        (node,) = trees(node)
    return node


def traversal(node: Node) -> tuple[Node, list[Node]]:
    """The beginning of a chain of `.name`, `[index]` and `[*]`, and its steps in order."""
    steps: list[Node] = []
    node = unwrapped(node)
    while node.data in {"get_attr_expr_term", "index_expr_term", "full_splat_expr_term", "attr_splat_expr_term"}:
        base, step = trees(node)
        steps.insert(0, step)
        node = unwrapped(base)
    return node, steps


def references(node: Node, bound: frozenset[str] = frozenset()) -> Iterator[Reference]:
    """The addresses in an expression. `bound` are names that mean something local: variables of `for`, iterators."""
    node = unwrapped(node)
    if node.data in {"for_tuple_expr", "for_object_expr"}:
        intro, *rest = trees(node)
        *names, source = trees(intro)
        yield from references(source, bound)
        for part in rest:
            yield from references(part, bound | {word(name) for name in names})
        return
    start, steps = traversal(node)
    if steps:
        for step in steps:
            for part in trees(step):
                if part.data not in {"identifier", "get_attr", "literal_value", "short_index"}:
                    yield from references(part, bound)
    if start.data == "identifier":
        root = word(start)
        if root not in bound:
            yield Reference(root, tuple(name for step in steps for name in _names(step)))
        return
    if steps:
        yield from references(start, bound)
        return
    for part in _parts(node):
        yield from references(part, bound)


def _names(step: Node) -> Iterator[str]:
    """The names of one step; a splat has more after its sign."""
    if step.data == "get_attr":
        yield word(trees(step)[0])
        return
    yield "[]"
    if step.data in {"full_splat", "attr_splat"}:
        for part in trees(step):
            yield from _names(part)


def _parts(node: Node) -> list[Node]:
    """The expressions directly within one."""
    if node.data == "function_call":
        return [part for part in trees(node) if part.data == "arguments"]
    if node.data == "object_elem":
        key, value = trees(node)
        inner = trees(key)[0]
        is_name = unwrapped(inner).data == "identifier" and not tokens(inner)
        return [value] if is_name else [inner, value]
    if node.data == "binary_term":
        return trees(node)[1:]
    return trees(node)
