"""Every address that leads to a project by its name, or to a file of it."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from quire.domain.times import stamp
from tests.distributions import make_wheel, wheel_name

BELOW_AN_INDEX: Final = (
    *("/simple/{name}/", "/simple/{name}", "/simple/{name}/?format=application/vnd.pypi.simple.v1%2Bjson"),
    *("/pypi/{name}/json", "/pypi/{name}/1.0/json", "/packages/{name}/x/{name}-1.0.tar.gz"),
    *("/packages/{file}", "/packages/{file}.metadata", "/packages/{plain}/{digest}/{file}"),
    *("/packages/{plain}/{digest}/{file}.metadata", "/integrity/{name}/1.0/{file}/provenance"),
    *("/packages/files/{other}", "/packages/files/{other}.metadata", "/packages/{plain}/{other_digest}/{other}"),
    *("/@{moment}/simple/{name}/", "/@{moment}/packages/{plain}/{digest}/{file}", "/@2026-11-01/simple/{name}/"),
    *("/namespace/{name}", "/RPC2", "/-/osv/v1/query"),
    *("/project/{name}/", "/project/{name}/1.0/", "/project/{name}/diff/", "/project/{name}/used-by/"),
    *("/project/{name}/manage/", "/project/{name}/history/", "/project/{name}/1.0/files/{file}/"),
)
"""`other`: the file that the upstream has."""
AT_THE_ROOT: Final = ("/{name}", "/{name}/", "/{name}/json", "/search?q={name}")
"""Of the index at the root alone."""
API: Final = tuple(
    f"/-/api/v1/indexes/{{index}}/{rest}"
    for rest in (
        *("projects/{name}", "projects/{name}/files", "projects/{name}/releases", "projects/{name}/releases/1.0"),
        "policy/explain?project={name}",
    )
)


class Request(NamedTuple):
    """One request of a client."""

    door: str
    """The template of its path."""
    path: str
    content_type: str = ""
    body: bytes = b""
    """Of a POST; empty: a GET."""


def request_for(name: str, prefix: str, choose: random.Random) -> Request:
    """A request for a project in any spelling, by any door of the index at this prefix."""
    door = choose.choice((*BELOW_AN_INDEX, *API, *(AT_THE_ROOT if not prefix else ())))
    spelling = choose.choice((name, name, name.title(), name.replace("-", "_"), name.replace("-", ".")))
    path = door.format(
        name=spelling,
        plain=name,
        index=prefix.removeprefix("/") or "main",
        moment=stamp(datetime.now(UTC) - timedelta(seconds=1)),
        file=wheel_name(name, "1.0"),
        digest=sha256(make_wheel(name, "1.0")).hexdigest(),
        other=wheel_name(name, "9.0"),
        other_digest=sha256(make_wheel(name, "9.0")).hexdigest(),
    )
    if door in BELOW_AN_INDEX:
        path = f"{prefix}{path}"
    if door == "/RPC2":
        return Request(door, path, "text/xml", _SEARCH.format(spelling).encode())
    if door == "/-/osv/v1/query":
        query = {"package": {"name": spelling, "ecosystem": "PyPI"}, "version": "1.0"}
        return Request(door, path, "application/json", json.dumps(query).encode())
    return Request(door, path)


_SEARCH: Final = (
    "<?xml version='1.0'?><methodCall><methodName>search</methodName><params><param><value><struct><member>"
    "<name>name</name><value><array><data><value><string>{}</string></value></data></array></value></member></struct>"
    "</value></param></params></methodCall>"
)
