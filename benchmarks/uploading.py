"""Uploads as clients send them, over connections that are kept."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tests.asking import content_type, multipart, twine_form
from tests.distributions import metadata_text, wheel_name

from benchmarks.corpora import wheel


@dataclass(frozen=True)
class Release:
    """One wheel of a project."""

    project: str
    version: str
    payload: int = 0
    """Bytes in it that do not compress."""

    @property
    def filename(self) -> str:
        return wheel_name(self.project, self.version)

    @cached_property
    def content(self) -> bytes:
        return wheel(self.project, self.version, self.payload)

    @property
    def metadata(self) -> bytes:
        return metadata_text(self.project, self.version).encode()

    @cached_property
    def form(self) -> bytes:
        """The body of the request, as twine sends it."""
        return multipart(twine_form(self.filename, self.content, name=self.project, version=self.version))


class Uploader:
    """One client with one connection."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._path = path
        self._headers = {"Content-Type": content_type(), "User-Agent": "twine/7.0.0 CPython/3.11", **headers}

    def send(self, release: Release) -> float:
        """Publish; the seconds until it was acknowledged. Raises OSError, RuntimeError when it was refused."""
        began = time.perf_counter()
        self._connection.request("POST", self._path, release.form, self._headers)
        response = self._connection.getresponse()
        body = response.read()
        took = time.perf_counter() - began
        if response.status >= 400:
            raise RuntimeError(f"an upload of {release.filename} was answered {response.status}: {body[:200]!r}")
        return took

    def close(self) -> None:
        self._connection.close()


FILES_EACH = 10
"""Releases of one project before the next one begins: a record grows with its files, and most have few."""


def releases(prefix: str, count: int, payload: int = 0) -> list[Release]:
    """New releases, ten of one project and then ten of the next, with their forms made already."""
    made = [Release(f"{prefix}-{each // FILES_EACH}", f"1.{each % FILES_EACH}", payload) for each in range(count)]
    for release in made:
        release.form  # noqa: B018 - remembered, so that making it is not measured
    return made
