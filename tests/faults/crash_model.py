"""A file system that keeps what was synced, and any part of everything else.

Theory of operation
-------------------
The recorded system calls of a run are applied to a tree of nodes in memory. Each file node knows its bytes and those
that an fsync made certain; each directory node its entries, those that an fsync of the directory made certain, and the
pending changes since, in order. At a power cut (fsync(2), and no more than POSIX promises):

- every pending change of every directory may or may not have reached the disk, whatever others did: a rename may leave
  both names, one of them, or none; a file that was made later may be there when one made before is not;
- a file that was not synced holds what was certain, all of it, half of it, or as many zero bytes (a file system that
  allocates late writes the length first);
- what was synced is there. An fsync of a file says nothing of its name; one of a directory nothing of its parents.

Real file systems are kinder: their journals keep the order of changes. A change that survives here survives on all of
them.

`states` lists these outcomes at one moment: all of them when there are few, otherwise those in which one pending change
alone survived or was lost, those that a journal would leave, and some drawn at random from a seed. The changes of the
store's staging folder count as one: that folder is never synced, and no reader uses it.
`materialize` makes one of them a real folder, where the real program then runs.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.faults.ptracing import Call

_EXHAUSTIVE = 7
_DRAWN = 16
_DUPLICATES = {0, 1030}


class Torn(StrEnum):
    """The content of files that were not synced."""

    OLD = "old"
    ALL = "all"
    HALF = "half"
    ZEROS = "zeros"


@dataclass(eq=False)
class Document:
    """A file."""

    data: bytes = b""
    certain: bytes = b""

    def survived(self, torn: Torn) -> bytes:
        if self.data == self.certain or torn is Torn.ALL:
            return self.data
        if torn is Torn.OLD:
            return self.certain
        return self.data[: len(self.data) // 2] if torn is Torn.HALF else bytes(len(self.data))


@dataclass(eq=False)
class Pending:
    """One change of a directory that was not synced."""

    name: str
    node: Node | None
    """The node that got the name; None when the name was removed."""
    order: int
    group: object = None
    """Changes of one group survive or are lost together."""


@dataclass(eq=False)
class Directory:
    entries: dict[str, Node] = field(default_factory=dict)
    certain: dict[str, Node] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)


Node = Document | Directory
Tree = dict[str, "Tree | tuple[int, bytes]"]
"""A state: folders, and files with the identity of their node."""


class Disk:
    """The model of one folder."""

    def __init__(self, root: str) -> None:
        """As `root` is now; all of it is taken for certain."""
        self._root = root
        self._links: dict[int, Document] = {}
        self.top = self._load(root)
        self._open: dict[int, Node] = {}
        self._order = 0
        self.changed = False
        """Whether the last call changed what a power cut may leave."""

    def _load(self, path: str) -> Directory:
        entries: dict[str, Node] = {}
        with os.scandir(path) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    entries[entry.name] = self._load(entry.path)
                elif entry.inode() in self._links:
                    entries[entry.name] = self._links[entry.inode()]
                else:
                    with open(entry.path, "rb") as file:
                        data = file.read()
                    entries[entry.name] = self._links[entry.inode()] = Document(data, data)
        return Directory(dict(entries), entries)

    # -- what happens -------------------------------------------------------------------------------------------------

    def processes_end(self) -> None:
        """Their descriptors are closed; what they wrote stays as uncertain as it was."""
        self._open.clear()

    def apply(self, call: Call) -> None:
        """Raises NotImplementedError for a call that changes something and that this model does not know."""
        self.changed = False
        if call.store_number is None or call.result < 0:
            return
        paths = [path.removeprefix(self._root).strip("/") for path in call.paths]
        fd = call.arguments[0] & 0xFFFFFFFF
        if call.name in {"open", "openat"}:
            flags = call.arguments[2 if call.name == "openat" else 1]
            self._open[call.result] = self._opened(paths[0], flags)
        elif call.name == "close":
            self._open.pop(fd, None)
        elif call.name == "fcntl":
            if call.arguments[1] in _DUPLICATES:
                self._open[call.result] = self._open[fd]
        elif call.name == "write":
            document = self._open[fd]
            assert isinstance(document, Document)
            document.data += call.data[: call.result]  # the store only ever appends
            self.changed = True
        elif call.name in {"fsync", "fdatasync"}:
            self._sync(self._open[fd])
        elif call.name in {"mkdir", "mkdirat"}:
            self._set(paths[0], Directory())
        elif call.name in {"rmdir", "unlink", "unlinkat"}:
            self._set(paths[0], None)
        elif call.name in {"link", "linkat"}:
            self._set(paths[1], self._find(paths[0]))
        elif call.name in {"rename", "renameat"}:
            node = self._find(paths[0])
            if paths[0] != paths[1]:  # else nothing happens (rename(2))
                self._set(paths[1], node)
                self._set(paths[0], None)
        elif call.changes:
            raise NotImplementedError(f"the model does not know {call}")

    def _opened(self, path: str, flags: int) -> Node:
        folder, name = self._parent(path)
        if name and name not in folder.entries:
            assert flags & os.O_CREAT
            self._set(path, Document())
        node = self._find(path)
        if flags & os.O_TRUNC:
            raise NotImplementedError("the model knows no truncation")
        return node

    def _sync(self, node: Node) -> None:
        self.changed = True
        if isinstance(node, Document):
            node.certain = node.data
        else:
            node.certain, node.pending = dict(node.entries), []

    def _set(self, path: str, node: Node | None) -> None:
        folder, name = self._parent(path)
        if node is None:
            del folder.entries[name]
        else:
            folder.entries[name] = node
        self._order += 1
        staging = "incoming" if path.startswith("quire/incoming/") else None
        folder.pending.append(Pending(name, node, self._order, staging or self._order))
        self.changed = True

    def _parent(self, path: str) -> tuple[Directory, str]:
        above, _, name = path.rpartition("/")
        folder = self._find(above)
        assert isinstance(folder, Directory)
        return folder, name

    def _find(self, path: str) -> Node:
        node: Node = self.top
        for part in filter(None, path.split("/")):
            assert isinstance(node, Directory)
            node = node.entries[part]
        return node

    # -- what a power cut leaves --------------------------------------------------------------------------------------

    def states(self, seed: int) -> Iterator[Tree]:
        """The states that a crash may leave now, without repetitions. At the least: everything pending lost, and
        nothing."""
        seen: set[object] = set()
        torn_files = any(node.data != node.certain for node in self._reachable() if isinstance(node, Document))
        for kept in _choices(self._groups(), seed):
            for torn in Torn if torn_files else (Torn.ALL,):
                tree = self._tree(self.top, kept, torn)
                signature = signature_of(tree)
                if signature not in seen:
                    seen.add(signature)
                    yield tree

    def worst(self) -> Tree:
        """Nothing is left that was not synced."""
        return self._tree(self.top, frozenset(), Torn.OLD)

    def _reachable(self) -> Iterator[Node]:
        """Every node that a state may show; one with several names once."""
        found: dict[int, Node] = {}
        queue: list[Node] = [self.top]
        while queue:
            node = queue.pop()
            if id(node) in found:
                continue
            found[id(node)] = node
            if isinstance(node, Directory):
                queue += [*node.certain.values(), *node.entries.values()]
                queue += [change.node for change in node.pending if change.node is not None]
        yield from found.values()

    def _groups(self) -> list[object]:
        """The groups of pending changes, in the order in which they began."""
        pending = [change for node in self._reachable() if isinstance(node, Directory) for change in node.pending]
        return list(dict.fromkeys(change.group for change in sorted(pending, key=lambda change: change.order)))

    def _tree(self, folder: Directory, kept: frozenset[object], torn: Torn) -> Tree:
        entries = dict(folder.certain)
        for change in folder.pending:
            if change.group not in kept:
                continue
            if change.node is None:
                entries.pop(change.name, None)
            else:
                entries[change.name] = change.node
        return {
            name: self._tree(node, kept, torn) if isinstance(node, Directory) else (id(node), node.survived(torn))
            for name, node in sorted(entries.items())
        }


def _choices(groups: Sequence[object], seed: int) -> Iterable[frozenset[object]]:
    """Which of the pending changes survive."""
    if len(groups) <= _EXHAUSTIVE:
        for size in range(len(groups) + 1):
            yield from map(frozenset, itertools.combinations(groups, size))
        return
    everything = frozenset(groups)
    for number in range(len(groups) + 1):
        yield frozenset(groups[:number])
    for group in groups:
        yield frozenset({group})
        yield everything - {group}
    draw = random.Random(seed)
    for _ in range(_DRAWN):
        yield frozenset(group for group in groups if draw.random() < 0.5)


def signature_of(tree: Tree) -> object:
    """Equal for equal states."""
    return tuple((name, signature_of(node) if isinstance(node, dict) else node[1]) for name, node in tree.items())


def materialize(tree: Tree, folder: str) -> None:
    """Make it real in an empty folder."""
    _write(tree, folder, {})


def _write(tree: Tree, folder: str, made: dict[int, str]) -> None:
    for name, node in tree.items():
        path = f"{folder}/{name}"
        if isinstance(node, dict):
            os.mkdir(path)
            _write(node, path, made)
        elif node[0] in made:
            os.link(made[node[0]], path)
        else:
            made[node[0]] = path
            with open(path, "wb") as file:
                file.write(node[1])
