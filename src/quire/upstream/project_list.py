"""The list of projects of another index. A pure function of the answer's bytes."""

from __future__ import annotations

from contextlib import suppress
from typing import Final
from urllib.parse import unquote

import msgspec

from quire.domain.errors import InvalidName, UpstreamError
from quire.domain.names import normalize_name
from quire.upstream.markup import JSON_TYPE, check_version, kind_and_text, read_html

_MOST_TAGS: Final = 4_000_000
"""Of a list in HTML. That of the largest public index has half of them."""


class _Meta(msgspec.Struct, rename="kebab"):
    api_version: str


class _Listed(msgspec.Struct):
    name: str


class _List(msgspec.Struct):
    meta: _Meta
    projects: list[_Listed]


_decode_list: Final = msgspec.json.Decoder(_List).decode


def parse_project_list(content_type: str, body: bytes) -> tuple[str, ...]:
    """The normalized names of the projects that the page of an index lists, sorted.

    Raises UpstreamError when this is no list of version 1 of the Simple API.
    """
    kind, text = kind_and_text(content_type, body)
    if kind == JSON_TYPE:
        try:
            page = _decode_list(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamError(f"The index answers with JSON that is no list of projects ({error}).") from error
        check_version(page.meta.api_version)
        said = [each.name for each in page.projects]
    else:
        links = read_html(text, _MOST_TAGS)
        check_version("1.0" if links.version is None else links.version)
        said = [unquote((each["href"] or "").partition("#")[0].rstrip("/").rpartition("/")[2]) for each in links.links]
    names = set[str]()
    for each in said:
        with suppress(InvalidName):
            names.add(normalize_name(each))
    return tuple(sorted(names))
