"""The shape of the code: imports go one way, and only two places build stores or read settings."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import quire

SOURCES = Path(quire.__file__).parent

LAYERS = (
    "errors",
    "lean_structlog",
    "suggestions",
    "metrics",
    "allocator",
    "runtime",
    "budget",
    "names",
    "reserved",
    "tombstones",
    "model",
    "archives",
    "metadata",
    "negotiation",
    "simple",
    "pypi_json",
    "store",
    "testing",
    "changes",
    "audit",
    "upload",
    "combining",
    "commits",
    "whole",
    "index",
    "folder_files",
    "folder_listing",
    "folder_reports",
    "folder_scan",
    "folder_facts",
    "drop_in",
    "folder_digests",
    "folder",
    "freshness",
    "repository",
    "importing",
    "checking",
    "upstream",
    "htpasswd",
    "passwords",
    "password_changes",
    "login_limits",
    "login_checks",
    "diagnosis",
    "auth",
    "setting_values",
    "log_output",
    "config",
    "logs",
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
    return module.split(".")[1] if "." in module else "quire"


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


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    """No module imports from a layer above its own."""
    if name_of(path) == "quire":
        return
    own = LAYERS.index(layer(name_of(path)))
    above = {
        module
        for module in imports(path)
        if (SOURCES / layer(module)).exists() or (SOURCES / f"{layer(module)}.py").exists()
        if LAYERS.index(layer(module)) > own
    }
    assert not above


def test_only_two_layers_know_settings() -> None:
    """Settings are read by the command line and the web application; all below gets plain values."""
    readers = {layer(name_of(path)) for path in modules() if "quire.config" in imports(path)}
    assert readers <= {"config", "logs", "web", "servers", "commands", "cli"}


def test_the_domain_does_no_io() -> None:
    """What decides is pure: no sockets, no files, no threads below the store."""
    pure = {"errors", "names", "tombstones", "model", "negotiation", "simple", "pypi_json", "changes"}
    for path in modules():
        if layer(name_of(path)) in pure:
            tree = ast.parse(path.read_text())
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            assert not names & {"os", "socket", "pathlib", "threading", "asyncio", "subprocess"}, path


def test_the_web_does_not_know_how_a_store_is_made() -> None:
    """Handlers see contracts; only the service opens a store."""
    for path in modules():
        if layer(name_of(path)) == "web" and path.name != "service.py":
            assert not any(module.startswith("quire.store.posix") for module in imports(path)), path


def test_archives_are_opened_in_one_place() -> None:
    """What clients send is opened by `quire.archives` alone, where everything is bounded."""
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
        assert unbounded <= allowed, path
