"""Commands on a failing disk: whatever call fails, people get a sentence, and never a traceback.

Replaced here: the threads of an import and the pauses between attempts, so that the order of calls is the same in
each run.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from quire import cli
from quire.domain.changes import Selection
from quire.index.index import Index
from quire.operations.importing import importer
from quire.store.posix import layout as posix_layout
from quire.store.posix.store import PosixStore
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.faults import ptracing
from tests.faults.ptracing import Call, How, Meddling, Run, traced
from tests.faults.publisher import publish, sdist, wheel
from tests.faults.sweep import everything, scratch

pytestmark = pytest.mark.skipif(ptracing.unavailable() is not None, reason=str(ptracing.unavailable()))

_EVERY = 97  # of the failures, in `make test`
_COMMANDS = {
    "ls": ["ls", "-d", "ROOT"],
    "show": ["show", "alpha", "-d", "ROOT"],
    "yank": ["yank", "alpha", "1.0", "-d", "ROOT"],
    "delete": ["delete", "alpha", "1.0", "--yes", "-d", "ROOT"],
    "restore": ["trash", "restore", "deleted", "-d", "ROOT"],
    "empty": ["trash", "empty", "deleted", "--yes", "-d", "ROOT"],
    "status": ["status", "alpha", "archived", "-d", "ROOT"],
    "check": ["check", "-d", "ROOT"],
    "repair": ["check", "--repair", "-d", "ROOT"],
    "gc": ["gc", "--older-than", "0s", "--offline", "-d", "ROOT"],
    "import": ["import", "ROOT/source", "--into", "ROOT", "--jobs", "1"],
    "move": ["import", "ROOT/source", "--move", "--into", "ROOT", "--jobs", "1"],
}


class _Inline:
    """An executor without threads: of a process that has several only one is traced."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> _Inline:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A directory with drop-in files, a store with some garbage, and a folder to import."""
    made = scratch()
    root = made / "template"
    source = root / "source"
    source.mkdir(parents=True)
    (source / wheel_name("gamma", "1.0")).write_bytes(make_wheel("gamma", "1.0"))
    (source / sdist_name("gamma", "1.0")).write_bytes(make_sdist("gamma", "1.0"))
    (source / f"{sdist_name('gamma', '1.0')}.asc").write_bytes(b"signature")
    index = Index(PosixStore.open(root))
    publish(index, wheel("1.0"), sdist("1.0"))
    publish(index, wheel("1.0", project="neighbour"))
    index.delete("neighbour", Selection())
    publish(index, wheel("1.0", project="deleted"))
    Index(index.store, trash_seconds=86_400).delete("deleted", Selection())
    index.store.blobs.stage("alpha/x/file")
    (root / "quire" / "records" / "main" / "projects" / "alpha.deleted").touch()
    (root / "quire" / "blobs" / "alpha" / ("a" * 64 + "-00000000")).mkdir()
    yield root
    shutil.rmtree(made)


def _run(
    template: Path, command: list[str], meddling: Meddling | None = None, *, traces: bool = True
) -> tuple[Run, str]:
    """A run of the command line on a copy, traced in a child or here; what it reported, and what it printed."""
    with tempfile.TemporaryDirectory(dir=template.parent) as folder:
        root, printed = f"{folder}/root", f"{folder}/printed"
        shutil.copytree(template, root, symlinks=True)
        arguments = [word.replace("ROOT", root) for word in command]

        def act(report: Callable[[bytes], None]) -> None:
            with open(printed, "w") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(file):
                try:
                    report(b"exit %d\n" % cli.main(arguments))
                except Exception:
                    traceback.print_exc()
                    raise
                finally:
                    file.flush()

        if traces:
            return traced(act, root=root, meddling=meddling), Path(printed).read_text()
        act(lambda _: None)
        return Run(b"", died=False), ""


def _failures(calls: list[Call]) -> Iterator[Meddling]:
    for call in calls:
        if call.store_number is not None:
            for number in (errno.EIO, errno.ESTALE, errno.EACCES):
                yield Meddling(How.FAIL, call.store_number, number)
            yield Meddling(How.FAIL, call.store_number, errno.EIO, everything)


def _sweep(template: Path, name: str, every: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(importer, "ThreadPoolExecutor", _Inline)
    monkeypatch.setattr(posix_layout, "PAUSES", (0.0, 0.0))
    _run(template, _COMMANDS[name], traces=False)  # so that all imports are done
    plain, printed = _run(template, _COMMANDS[name])
    assert plain.said.startswith(b"exit"), (plain.said, printed)
    wrong = []
    chosen = list(_failures(plain.calls))[::every]
    for meddling in chosen:
        run, printed = _run(template, _COMMANDS[name], meddling)
        if not run.said.startswith(b"exit") or "Traceback" in printed:
            where = next((str(call) for call in run.calls if meddling.concerns(call)), "")
            wrong.append(f"{meddling} [{where}]: {run.said.decode()!r} {printed[-1500:]}")
    assert not wrong, "\n".join(wrong)
    return len(chosen)


@pytest.mark.parametrize("name", _COMMANDS)
def test_some_failing_calls(template: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample of the next."""
    assert _sweep(template, name, _EVERY, monkeypatch) > 2


@pytest.mark.faults
@pytest.mark.parametrize("name", _COMMANDS)
def test_failing_calls(template: Path, name: str, monkeypatch: pytest.MonkeyPatch, record_property: Any) -> None:
    """EIO, ESTALE, EACCES once at each call on the directory, EIO from then on: an exit code and a sentence."""
    record_property("faults", f"calls of {name} failed: {_sweep(template, name, 1, monkeypatch)}")
