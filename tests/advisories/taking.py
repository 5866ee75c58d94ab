"""Advisories for tests: OSV documents, and taking them in by another process than the server's."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.operations.advisories import update_advisories
from quire.process.progress import Progress
from quire.store.opening import open_store


def document(identity: str, *names: str, **fields: Any) -> dict[str, Any]:
    """A document about projects; `versions` and `ranges` are those of each."""
    about = {key: fields.pop(key) for key in ("versions", "ranges") if key in fields}
    affected = [{"package": {"ecosystem": "PyPI", "name": name}, **about} for name in names]
    return {"id": identity, "modified": "2024-05-01T00:00:00Z", "affected": affected, **fields}


def until(fixed: str) -> list[dict[str, Any]]:
    """The ranges of all versions before one."""
    return [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]


def take_in(root: Path, *documents: dict[str, Any], source: str = "osv") -> None:
    """Let these be all advisories of a source, in the store of a directory."""
    store = open_store(str(root))
    with TemporaryDirectory() as folder:
        for each in documents:
            (Path(folder) / f"{each['id']}.json").write_text(json.dumps(each))
        update_advisories(
            store, AccessRecords(store), folder, source, origin=Origin(user="ann"), progress=Progress(), shrinks=True
        )
