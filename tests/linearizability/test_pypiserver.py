"""The judge at work on a server that is known to lie: proof that it would find the lie.

pypiserver's `cached-dir` keeps its list in the memory of each worker and hears of changes from a file watcher, which
gunicorn's preload leaves behind in the main process.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.environments import programs

from tests.linearizability.plan import Plan
from tests.linearizability.torture import torture
from tests.serving import free_port, running

pytestmark = pytest.mark.clients


@pytest.mark.proofs
def test_a_server_with_a_cache_in_each_worker_is_convicted(tmp_path: Path) -> None:
    """pypiserver 2.4.2, `cached-dir`, gunicorn with four preloaded workers: many answers that no order explains."""
    root = tmp_path / "packages"
    root.mkdir()
    port = free_port()
    made = {
        "roots": [str(root)],
        "authenticate": [],
        "password_file": ".",
        "overwrite": True,
        "disable_fallback": True,
        "backend_arg": "cached-dir",
        "hash_algo": "sha256",
    }
    application = f"pypiserver:app({', '.join(f'{name}={value!r}' for name, value in made.items())})"
    gunicorn = str(programs("pypiserver") / "gunicorn")
    command = [gunicorn, "--workers", "4", "--preload", "--bind", f"127.0.0.1:{port}", application]
    with running(command, port, cwd=tmp_path) as server:
        plan = Plan(
            seed=1, seconds=6.0, servers=((server.host, server.port),), reader_processes=1, uploaders=2, plain=True
        )
        report = torture(plan, tmp_path)
    assert report.changes >= 5, report.table()
    assert report.violations >= 10, report.table()
