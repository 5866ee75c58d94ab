"""A process that changes a store with no server between: as the command line does, or an operator's script.

`python -m tests.linearizability.hand DIRECTORY` takes one JSON document per line and answers each with one: {"done":
true | false}, where false means that there was nothing to change. It may be killed at any moment, and is.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import structlog

from quire.domain.changes import Selection
from quire.domain.errors import NotFound, QuireError
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.store.opening import open_store
from tests.linearizability.hand_access import AccessHand


def main() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # standard output has the answers alone
    index = Index(open_store(sys.argv[1]), origin=Origin(command="the judge's hand"))
    access = AccessHand(index)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            order = json.loads(line)
            answer: dict[str, object] = access.change(order) if "user" in order else {"done": _obey(index, order)}
        except QuireError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


def _obey(index: Index, order: dict[str, Any]) -> bool:
    project = order["project"]
    selection = Selection(filename=order.get("filename"), version=order.get("version"))
    try:
        if order["do"] == "publish":
            uploads = [_upload(index, filename, content) for filename, content in order["files"]]
            change = index.publish(uploads, overwrite=True)
        elif order["do"] == "yank":
            change = index.yank(project, selection, order["reason"])
        elif order["do"] == "unyank":
            change = index.unyank(project, selection)
        else:
            change = index.delete(project, selection)
    except NotFound:
        return False
    index.remove_blobs(change.removed)
    return True


def _upload(index: Index, filename: str, content: str) -> Upload:
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(base64.b64decode(content))
    return examine(staging.finish(), filename)


if __name__ == "__main__":
    main()
