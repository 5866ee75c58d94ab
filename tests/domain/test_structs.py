"""Types are safe to use for the first time by several threads at once, and cost no memory afterwards."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Final

import pytest

import quire
from quire.domain.structs import convert_to

SOURCES: Final = Path(quire.__file__).parent
_RACE: Final = """
import sys, threading
import msgspec
from quire.domain.structs import convert_to, decode_as

sys.setswitchinterval(1e-6)
ways = {
    "decode": decode_as,
    "convert": convert_to,
    "bare decode": lambda value, kind: msgspec.json.decode(value, type=kind),
    "bare convert": msgspec.convert,
}
way, value = ways[sys.argv[1]], b'{"part": [{"a": "x"}]}' if "decode" in sys.argv[1] else {"part": [{"a": "x"}]}
for number in range(int(sys.argv[2])):
    fields = [(f"f{each}", "dict[str, tuple[int, ...]] | None", None) for each in range(40)]
    part = msgspec.defstruct("Part", [("a", str), *fields], namespace={"__module__": "builtins"})
    whole = msgspec.defstruct("Whole", [("part", list[part]), *fields], namespace={"__module__": "builtins"})
    barrier, found = threading.Barrier(4), []

    def use():
        barrier.wait()
        found.append(way(value, whole))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.part[0].a for each in found] == ["x"] * 4
print("done")
"""


@pytest.mark.parametrize("way", ["decode", "convert"])
def test_threads_use_a_type_for_the_first_time_at_once(way: str) -> None:
    """msgspec by itself ends the process with a segmentation fault ("bare decode" and "bare convert" show it)."""
    ended = subprocess.run([sys.executable, "-c", _RACE, way, "60"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_a_union_that_each_call_makes_costs_no_memory() -> None:
    """Python 3.14 and msgspec 0.22 by themselves lose each one, 64 bytes: a server decodes records for months."""
    tracemalloc.start()
    try:
        for calls in (10, 1000):
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(calls):
                assert convert_to(None, str | None) is None
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


def test_no_module_gives_a_type_to_msgspec_by_itself() -> None:
    """Within a function: what a module makes as it is imported is made once, before any thread can use it."""
    found = []
    for path in SOURCES.rglob("*.py"):
        if path != SOURCES / "domain" / "structs.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            calls = {call for each in functions for call in ast.walk(each) if isinstance(call, ast.Call)}
            found += [f"{path.relative_to(SOURCES)}:{call.lineno}" for call in calls if _gives_a_type(call)]
    assert found == []


def _gives_a_type(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if not name.startswith("msgspec."):
        return False
    is_typed = any(keyword.arg == "type" for keyword in call.keywords)
    return name.endswith((".convert", ".Decoder")) or (name.endswith(".decode") and is_typed)
