"""A process that promotes a stage on the store, with no server between. It may be killed at any moment, and is.

`python -m tests.linearizability.promotions.hand STORE` takes one JSON document per line, with a stage and files, puts
the files into the stage, promotes it, and answers with one line.
"""

from __future__ import annotations

import base64
import json
import sys

import structlog

from quire.domain.errors import NotFound, QuireError, StoreError
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations import promoting
from quire.store.contracts import Store
from quire.store.opening import open_store
from tests.linearizability.promotions.program import hurried


def main() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # standard output has the answers alone
    store = open_store(sys.argv[1])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            _promote(store, order["stage"], order["files"])
            answer: dict[str, object] = {"done": True}
        except StoreError as error:
            answer = {"unknown": str(error)}
        except QuireError as error:
            answer = {"done": False, "said": str(error)}
        print(json.dumps(answer), flush=True)


def _promote(store: Store, stage: str, files: list[tuple[str, str]]) -> None:
    origin = Origin(command="the judge's hand")
    index = Index(store, stage, origin)
    for filename, content in files:
        staging = store.blobs.stage(upload_key(filename))
        staging.write(base64.b64decode(content))
        index.publish([examine(staging.finish(), filename)])
    try:
        projects = promoting.projects_of(index)
    except NotFound:
        return  # all of it was promoted before
    promoting.promote(index, projects, promoting.Target(Index(store, origin=origin)), origin=origin)


if __name__ == "__main__":
    with hurried():
        main()
