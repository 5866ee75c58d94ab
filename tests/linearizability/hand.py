"""A process that changes a store with no server between: as the command line does, or an operator's script.

`python -m tests.linearizability.hand DIRECTORY` takes one JSON document per line and answers each with one: {"done":
true | false}, where false means that there was nothing to change. It may be killed at any moment, and is.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from quire.access.changing import make_grant, same_grants
from quire.access.grants import ANY
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity, new_token
from quire.domain.changes import Selection
from quire.domain.errors import InvalidRequest, NotFound, QuireError
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.operations import granting
from quire.store.opening import open_store


def main() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # standard output has the answers alone
    index = Index(open_store(sys.argv[1]))
    access = AccessRecords(index.store)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            order = json.loads(line)
            answer: dict[str, object] = (
                _change_access(access, order) if "user" in order else {"done": _obey(index, order)}
            )
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


_ORIGIN = Origin(command="the judge's hand")


def _change_access(access: AccessRecords, order: Mapping[str, Any]) -> dict[str, object]:
    """A change of the rights of a user, of the user's group, or of a token; with the text of a token that was made."""
    user, do = order["user"], order["do"]
    if do == "group":
        return {"done": granting.set_group(access, f"team-of-{user}", [user] if order["member"] else [], _ORIGIN)}
    if do == "token":
        holder = user if order["of user"] else None
        text = new_token(new_identity())
        granting.create_token(
            access,
            order["rights"],
            ANY,
            [],
            identity=text.identity,
            digest=text.digest,
            user=holder,
            note=None,
            lifetime=None,
            origin=_ORIGIN,
        )
        return {"done": True, "id": text.identity, "text": text.text}
    if do == "revoke":
        granting.revoke_tokens(access, [order["id"]], _ORIGIN)
        return {"done": True}
    if do == "rotate":
        grace = timedelta(days=1) if order["grace"] else timedelta()
        text = new_token(order["id"])
        try:
            granting.rotate_token(access, order["id"], text.digest, grace, _ORIGIN)
        except InvalidRequest:
            return {"done": False}
        return {"done": True, "text": text.text}
    subject = f"user:{user}" if order["to"] == "user" else f"group:team-of-{user}"
    if do == "grant":
        _, _, is_new = granting.give(access, subject, [order["right"]], ANY, [], origin=_ORIGIN)
        return {"done": is_new}
    wanted = make_grant(subject, [order["right"]], ANY, [], now=datetime.now(UTC), by=None)
    given = same_grants(access.read().state.document, wanted)
    try:
        granting.take_back(access, given, _ORIGIN)
    except NotFound:
        return {"done": False}
    return {"done": bool(given)}


def _upload(index: Index, filename: str, content: str) -> Upload:
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(base64.b64decode(content))
    return examine(staging.finish(), filename)


if __name__ == "__main__":
    main()
