"""The representation that a client asked for: the media type of a simple page, and its content coding.

Theory of operation. RFC 9110 has the client send ranges with weights, and the most specific range that matches a
representation gives that representation its weight, in any order: `text/html;q=0, */*` accepts all but `text/html`.
So the weight of each of the three media types is found first; only then are they compared, by (weight, how explicitly
it was asked for, our own preference). The second decides between `text/html, */*` of a person's tool and
`application/vnd.pypi.simple.v1+json, */*` of an installer.

Nothing here fails: each malformed piece is ignored, as if it had not been sent.

Sources: RFC 9110 sections 5.6.6, 8.4.1, 12.4.2, 12.5.1, 12.5.3; PEP 691, "Version + Format Selection".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal, NamedTuple

Encoding = Literal["zstd", "gzip", "identity"]
"""A content coding that pages are served in."""


class MediaType(StrEnum):
    """The media types of the simple API, as responses name them (never `latest`)."""

    HTML_V1 = "application/vnd.pypi.simple.v1+html"
    JSON_V1 = "application/vnd.pypi.simple.v1+json"
    HTML = "text/html"


_NAMES: Final = {str(media_type): media_type for media_type in MediaType}
_ALIASES: Final = {
    "application/vnd.pypi.simple.latest+json": MediaType.JSON_V1,
    "application/vnd.pypi.simple.latest+html": MediaType.HTML_V1,
}

# A client that names several with one weight understands all of them: the richest is best for it. A client that came
# with wildcards only may be a browser or a script that takes pages apart as it always did.
_PREFERRED_WHEN_NAMED: Final = (MediaType.HTML, MediaType.HTML_V1, MediaType.JSON_V1)
_PREFERRED_WHEN_NOT: Final = (MediaType.HTML_V1, MediaType.JSON_V1, MediaType.HTML)

# How specifically a range matches. An alias is less specific than the name that the answer will carry, so that
# `latest+json, v1+json;q=0` gets no v1+json.
_NO_MATCH, _ANYTHING, _TYPE, _ALIAS, _NAME, _NAME_AND_CHARSET = range(-1, 5)

_TCHARS: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_RANGE: Final = re.compile(rf"\*/\*|(?!\*/){_TCHARS}/{_TCHARS}")
_PARAMETER: Final = re.compile(rf'({_TCHARS})=({_TCHARS}|"(?:[^"\\]|\\.)*")', re.S)
_CODING: Final = re.compile(_TCHARS)
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# A quoted string may hold separators. The alternatives begin with different characters, so that nothing backtracks.
_ELEMENTS: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+', re.S)
_PARTS: Final = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+', re.S)

# Real headers have a few hundred; the rest is ignored, so that neither the time nor the memory that
# a hostile one takes is worth sending it.
_MAX_HEADER_CHARS: Final = 8192


class _MediaRange(NamedTuple):
    media: str
    """`type/subtype` in lower case. With a parameter that no page has it is a name that matches nothing."""
    charset: bool
    """Whether it asks for charset=utf-8, which every page has."""
    weight: float


def negotiate(accept: str | None, format: str | None = None) -> MediaType | None:  # noqa: A002 - the query parameter's own name
    """The media type to answer with; None when none is acceptable (406).

    `accept`: the Accept header, several of them joined by commas; None or one without any well-formed range accepts
    everything and gets text/html. `format`: the query parameter, which alone counts when present; one content type
    or its `latest` alias. A `+` may have become a space, as query strings have it when people type them.
    """
    if format is not None:
        name = format.strip().lower().replace(" ", "+")
        return _NAMES.get(name) or _ALIASES.get(name)
    if accept is None:
        return MediaType.HTML
    return _choose_type(accept[:_MAX_HEADER_CHARS])


def choose(accept: str | None, offered: Sequence[str]) -> str | None:
    """The media type of a document that is no page of the simple API: of those that are offered the one that the
    Accept header prefers, the first of equals; None when none is acceptable (406)."""
    elements = _ELEMENTS.findall((accept or "")[:_MAX_HEADER_CHARS])
    ranges = [found for element in elements if (found := _parse_range(element)) is not None]
    if not ranges:
        return offered[0]
    matches = [max((_specificity(found, each), found.weight) for found in ranges) for each in offered]
    weights = [weight if specificity > _NO_MATCH else 0.0 for specificity, weight in matches]
    best = max(weights)
    return offered[weights.index(best)] if best > 0 else None


def negotiate_encoding(accept_encoding: str | None) -> Encoding:
    """The content coding to answer with. Never fails: a client that refuses even `identity` gets it all the same,
    since RFC 9110 leaves that to the server and a readable page serves it better than an error.

    zstd wins a tie against gzip, both win one against identity. zstd goes only to clients that name it; `*` gets gzip,
    because clients that send it may not know codings that are younger than themselves.
    """
    if not accept_encoding:
        return "identity"
    return _choose_encoding(accept_encoding[:_MAX_HEADER_CHARS])


# -- media types ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _choose_type(accept: str) -> MediaType | None:
    ranges = [found for element in _ELEMENTS.findall(accept) if (found := _parse_range(element)) is not None]
    if not ranges:
        return MediaType.HTML
    best: tuple[tuple[float, int, int], MediaType] | None = None
    for candidate in MediaType:
        specificity, weight = max((_specificity(found, candidate), found.weight) for found in ranges)
        if specificity == _NO_MATCH or weight == 0:
            continue
        named = specificity >= _ALIAS
        preference = (_PREFERRED_WHEN_NAMED if named else _PREFERRED_WHEN_NOT).index(candidate)
        rank = (weight, min(specificity, _ALIAS), preference)
        if best is None or rank > best[0]:
            best = (rank, candidate)
    return None if best is None else best[1]


def _specificity(found: _MediaRange, candidate: str) -> int:
    if found.media == candidate:
        return _NAME_AND_CHARSET if found.charset else _NAME
    if _ALIASES.get(found.media) is candidate:
        return _ALIAS
    if found.media == "*/*":
        return _ANYTHING
    if found.media == candidate.partition("/")[0] + "/*":
        return _TYPE
    return _NO_MATCH


def _parse_range(element: str) -> _MediaRange | None:
    media, *parameters = _PARTS.findall(element) or [""]
    media = media.strip(" \t").lower()
    if not _MEDIA_RANGE.fullmatch(media):
        return None
    charset, weight = False, 1.0
    for parameter in parameters:
        if not parameter.strip(" \t"):
            continue  # RFC 9110 lets a parameter be empty
        match = _PARAMETER.fullmatch(parameter.strip(" \t"))
        if match is None:
            return None
        name, value = match[1].lower(), match[2].lower()
        if name == "q":
            if not _WEIGHT.fullmatch(value):
                return None
            weight = float(value)
        elif name == "charset" and value.strip('"') == "utf-8":
            charset = True
        else:
            media += ";"  # well-formed, but a range of representations that we do not have
    return _MediaRange(media, charset, weight)


# -- content codings --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _choose_encoding(accept_encoding: str) -> Encoding:
    weights: dict[str, float] = {}
    for element in accept_encoding.split(","):
        coding, *parameters = (part.strip(" \t") for part in element.split(";"))
        name, _, value = parameters[0].partition("=") if parameters else ("q", "=", "1")
        if len(parameters) > 1 or name.lower() != "q" or not _CODING.fullmatch(coding) or not _WEIGHT.fullmatch(value):
            continue
        coding = "gzip" if coding.lower() == "x-gzip" else coding.lower()  # RFC 9110 8.4.1.3
        weights[coding] = max(float(value), weights.get(coding, 0.0))
    anything = weights.get("*", 0.0)
    gzip = weights.get("gzip", anything)
    zstd = weights.get("zstd", 0.0)
    # Not listed, identity is acceptable, but only for want of anything better.
    identity = weights.get("identity", 0.0)
    best = max(zstd, gzip, identity)
    if best == 0 or best not in {zstd, gzip}:
        return "identity"
    return "zstd" if zstd == best else "gzip"
