"""The shape of the code: imports go one way, and only two places build stores or read settings."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import quire
from quire.index.index import Index

SOURCES = Path(quire.__file__).parent

LAYERS = (
    "domain",
    "process",
    "observe.metrics",
    "archives",
    "render",
    "readme",
    "store",
    "testing",
    "index",
    "advisories",
    "dropin",
    "upstream",
    "identity",
    "publishing",
    "locks",
    "catalog",
    "access",
    "search",
    "webhooks",
    "attestations",
    "doctor",
    "config",
    "observe",
    "operations",
    "administration",
    "http",
    "web",
    "servers",
    "commands",
    "cli",
    "__main__",
)
"""From the ground up: a module imports from its own layer and those before it."""


def modules() -> list[Path]:
    return sorted(SOURCES.rglob("*.py"))


def layer(module: str) -> str:
    """The longest of LAYERS that the module lies in; `quire` for the package itself."""
    inner = module.partition(".")[2]
    found = [each for each in LAYERS if inner == each or inner.startswith(f"{each}.")]
    return max(found, key=len) if found else "quire"


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCES.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "quire"}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {module for module in found if module.startswith("quire.")}


def from_imports(path: Path) -> list[tuple[str, str]]:
    """(module, name) of each `from module import name` of quire's own."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("quire")
        for alias in node.names
    ]


def test_tests_mirror_the_source() -> None:
    """A folder of tests has the name of a folder of the source, or is a suite of its own that the map names."""
    tests = Path(__file__).parent
    suites = {
        "browser",
        "bucket",
        "clients",
        "deploy",
        "faults",
        "fuzz",
        "linearizability",
        "nfs",
        "oracle",
        "promise",
        "proof",
        "release",
    }
    folders = {
        path.parent.relative_to(tests)
        for path in tests.rglob("test_*.py")
        if path.relative_to(tests).parts[0] not in suites
    }
    assert {str(folder) for folder in folders if not (SOURCES / folder).is_dir()} == set()
    described = (tests.parent / "docs" / "architecture.md").read_text()
    assert {suite for suite in suites if f"`{suite}/`" not in described} == set()
    of_the_whole = {
        "architecture",
        "benchmarks",
        "benchmarks_network",
        "benchmarks_run",
        "benchmarks_sizing",
        "comparison",
        "docs",
        "operations",
        "sample",
        "serving",
        "supply",
        "versions",
        "words",
    }
    assert {path.stem.removeprefix("test_") for path in tests.glob("test_*.py")} == of_the_whole


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    """No module imports from a layer above its own."""
    if name_of(path) == "quire":
        return
    own = LAYERS.index(layer(name_of(path)))
    assert not {module for module in imports(path) if layer(module) != "quire" and LAYERS.index(layer(module)) > own}


def test_no_modules_import_each_other() -> None:
    """Neither directly nor by way of others, nor for the sake of types."""
    names = {name_of(path) for path in modules()}
    graph = {
        name_of(path): {
            f"{module}.{name}" if f"{module}.{name}" in names else module for module, name in from_imports(path)
        }
        for path in modules()
    }
    while leaves := {name for name, needed in graph.items() if not (needed - {name}) & graph.keys()}:
        for leaf in leaves:
            del graph[leaf]
    assert graph == {}


def test_every_module_has_a_layer() -> None:
    """So a new folder takes its place in the order."""
    assert {name_of(path) for path in modules() if layer(name_of(path)) == "quire"} == {"quire"}


def test_the_map_has_every_folder() -> None:
    """docs/architecture.md says of each folder what is in it, and names only modules that there are."""
    described = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text()
    folders = {path.parent.relative_to(SOURCES) for path in modules()} - {Path()}
    assert {str(folder) for folder in folders if not re.search(rf"`(\w+/)*{folder.name}/", described)} == set()
    places = [SOURCES, SOURCES.parent.parent, *SOURCES.rglob("*")]
    named = set(re.findall(r"`([\w/]+\.py)`", described))
    assert {name for name in named if not any((place / name).is_file() for place in places)} == set()


def test_the_core_does_not_know_settings() -> None:
    """Settings are read by what people start; all below gets plain values."""
    readers = {layer(name_of(path)) for path in modules() if "quire.config.settings" in imports(path)}
    assert readers <= {"config", "observe", "operations", "http", "servers", "commands", "cli"}


def test_the_domain_does_no_io() -> None:
    """Decisions and rendering are pure: no sockets, no files, no threads."""
    for path in modules():
        if layer(name_of(path)) in {"domain", "render"}:
            tree = ast.parse(path.read_text())
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            assert not names & {"os", "socket", "pathlib", "threading", "asyncio", "subprocess"}, path


def test_http_knows_contracts_only() -> None:
    """Neither what a store is made of nor where the files of an index come from."""
    for path in modules():
        if layer(name_of(path)) == "http":
            kinds = ("quire.store.posix", "quire.store.memory", "quire.store.bucket", "quire.dropin")
            assert not any(module.startswith(kinds) for module in imports(path)), path


def test_stores_are_opened_in_one_place() -> None:
    """All code gets its store from `quire.store.opening`, and so works on any; the doctor examines volumes."""
    for path in modules():
        if layer(name_of(path)) not in {"store", "testing", "doctor"}:
            names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            names |= {name for _, name in from_imports(path)}
            assert not names & {"PosixStore", "MemoryStore", "BucketStore"}, path


def test_threads_are_awaited_in_one_place() -> None:
    """quire.process.in_thread: other ways may go on in the turn of the event loop in which a request looked before."""
    ways = {"run_in_executor", "to_thread", "wrap_future"}
    found = {
        name_of(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ways
    }
    # a search gives its futures to asyncio.wait, which always waits for a later turn
    assert found == {"quire.process.in_thread", "quire.search.results"}


def test_archives_are_opened_in_one_place() -> None:
    """Files that clients send are opened by `quire.archives` alone, where everything is bounded."""
    for path in modules():
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names.add(node.module)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
        unbounded = names & {"zipfile", "tarfile", "zipimport", "unpack_archive"}
        allowed = {"tarfile"} if layer(name_of(path)) == "archives" else set()
        allowed |= {"zipfile"} if name_of(path) == "quire.archives.packing" else set()  # it writes only
        assert unbounded <= allowed, path


PRIVATE = {
    "access/test_authenticator.py": {"_logins"},
    "archives/test_metadata.py": {"_PLAIN_HEADER"},
    "bucket/sabotage.py": {"_bucket"},
    "command_line.py": {"_actions", "_SubParsersAction"},
    "http/fast/test_raw_requests.py": {"_blocks", "_logins"},
    "linearizability/mirrors/program.py": {"_login", "_stored"},
    "commanding.py": {"_run_exitfuncs", "_shutdown"},
    "marking.py": {"_response"},
    "observe/test_log_output.py": {"_lock"},
    "promise/interface.py": {"_HelpAction", "_SubParsersAction", "_actions"},
    "servers/test_sendfile.py": {"_has_room"},
    "store/bucket/interleavings.py": {"_decode"},
    "store/bucket/test_names.py": {"_add_token", "_leave"},
}
"""By test module: the private names of others that it reads, since no public one shows what it is about."""
PUBLIC = {"_replace", "_fields", "_exit"}
"""Of `typing.NamedTuple` and `os`."""


def modules_of_tests() -> list[Path]:
    return sorted(Path(__file__).parent.rglob("*.py"))


def private_names(path: Path) -> set[str]:
    """The private attributes that a module reads, and neither defines nor sets."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    found = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in {"self", "cls"}
    }
    return {name for name in found - own - PUBLIC if re.match(r"_[^_]", name)}


def test_tests_use_public_names() -> None:
    """Private attributes of other modules only where PRIVATE says so."""
    tests = Path(__file__).parent
    found = {str(path.relative_to(tests)): private_names(path) for path in modules_of_tests()}
    assert {path: names for path, names in found.items() if names} == PRIVATE


def test_replaced_functions_are_explained() -> None:
    """A test module that replaces functions or constants says in its docstring which, and why nothing public serves."""
    replacing = re.compile(r"\.(setattr|delattr)\(|\bmock\.patch\b")
    silent = [
        str(path)
        for path in modules_of_tests()
        if replacing.search(text := path.read_text())
        and path != Path(__file__)
        and "Replaced here" not in (ast.get_docstring(ast.parse(text)) or "")
    ]
    assert silent == []


DOORS = {
    "quire.operations.changing": set[str](),
    "quire.operations.owning": {"add_owner", "remove_owner"},
}
"""The modules that call methods of the index which change a project; the empty set stands for all other methods."""


def changing_methods() -> set[str]:
    """The public methods of `Index` that enter a change with its origin into the record of a project."""
    methods = inspect.getmembers(Index, inspect.isfunction)
    return {
        name
        for name, method in methods
        if not name.startswith("_") and "origin" in inspect.signature(method).parameters
    }


def indexes_in(tree: ast.Module) -> set[str]:
    """The names that a module gives to indexes: those with the annotation, and the usual ones."""
    found = {
        node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.arg | ast.AnnAssign)
        and node.annotation is not None
        and "Index" in ast.unparse(node.annotation).split(" | ")
    }
    return {name.rpartition(".")[2].lstrip("_") for name in found} | {"index", "hosted"}


def test_projects_are_changed_through_one_door() -> None:
    """Only `quire.operations`, which checks and logs, calls the methods of the index that change projects: of commands,
    requests, and its own long work (import, check, update, promotions) as well."""
    methods = changing_methods()
    assert {"publish", "delete", "restore", "empty_trash", "yank", "set_status", "add_owner", "carry"} <= methods
    direct = set()
    for path in modules():
        tree, name = ast.parse(path.read_text()), name_of(path)
        indexes = indexes_in(tree)
        allowed = DOORS.get(name, set())
        allowed = methods if name in DOORS and not allowed else allowed
        direct |= {
            f"{name}: {ast.unparse(node.func)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in methods - allowed
            and ast.unparse(node.func.value).rpartition(".")[2].lstrip("_") in indexes
        }
    assert direct == set()


def test_only_operations_promote() -> None:
    """Promotions, and what those of dead workers leave, are work of `quire.operations`."""
    users = {layer(name_of(path)) for path in modules() if "quire.index.promoting" in imports(path)}
    assert users <= {"index", "operations"}


def raw_errors(path: Path) -> list[int]:
    """The lines on which a sentence has an error of the system as it is, with its number: `{error}`."""
    found = []
    for handler in ast.walk(ast.parse(path.read_text())):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None or handler.type is None:
            continue
        types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if {"OSError", "HTTPError"} & {ast.unparse(each).rpartition(".")[2] for each in types}:
            found += [
                node.lineno
                for node in ast.walk(handler)
                if isinstance(node, ast.FormattedValue) and ast.unparse(node.value) == handler.name
            ]
    return found


def test_sentences_have_no_numbers_of_the_system() -> None:
    """`[Errno 111] Connection refused` is no text for people: `reason_of(error)` says it in words."""
    found = {name_of(path): raw_errors(path) for path in modules()}
    assert {name: lines for name, lines in found.items() if lines} == {}
