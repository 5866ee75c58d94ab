"""How the file of the catalog is made."""

from __future__ import annotations

import threading
from pathlib import Path

from quire.search.schema import connect


def test_all_that_open_a_new_catalog_at_once_get_it(tmp_path: Path) -> None:
    """Such as the workers of a server at its first searches. No unfinished file is left beside it."""
    failures: list[Exception] = []
    for number in range(20):
        path, start = tmp_path / str(number) / "catalog", threading.Barrier(8)
        path.parent.mkdir()

        def use(path: Path = path, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                connection = connect(path)
                connection.execute("INSERT OR REPLACE INTO places VALUES ('main', 1, 1, 0, 0)")
                connection.close()
            except Exception as error:  # noqa: BLE001 - shown below
                failures.append(error)

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # SQLite leaves its own files where the last two connections are closed at the same time.
        own = {f"{path.name}{suffix}" for suffix in ("", "-wal", "-shm")}
        assert {each.name for each in path.parent.iterdir()} <= own
    assert failures == []
