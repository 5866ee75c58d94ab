"""Which media type and which content coding a client gets."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quire.render.negotiation import MediaType, negotiate, negotiate_encoding

JSON, HTML_V1, HTML = MediaType.JSON_V1, MediaType.HTML_V1, MediaType.HTML
J = "application/vnd.pypi.simple.v1+json"
H = "application/vnd.pypi.simple.v1+html"
LATEST_J = "application/vnd.pypi.simple.latest+json"
LATEST_H = "application/vnd.pypi.simple.latest+html"

PIP = f"{J}, {H}; q=0.1, text/html; q=0.01"
UV = f"{J}, {H};q=0.2, text/html;q=0.01"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        # what real clients send
        (PIP, JSON),
        (UV, JSON),
        (FIREFOX, HTML),
        (CHROME, HTML),
        (JAVA, HTML),
        ("*/*", HTML),
        (None, HTML),
        ("", HTML),
        # one type
        (J, JSON),
        (H, HTML_V1),
        ("text/html", HTML),
        (LATEST_J, JSON),
        (LATEST_H, HTML_V1),
        ("TEXT/HTML", HTML),
        (J.upper(), JSON),
        # wildcards
        ("text/*", HTML),
        ("application/*", JSON),
        ("application/*, text/*", HTML),
        ("*/*;q=0.1", HTML),
        ("application/*, */*", JSON),
        # a named type is preferred to those that a wildcard of the same weight includes
        (f"{J}, */*", JSON),
        (f"{H}, */*", HTML_V1),
        ("text/html, */*", HTML),
        ("application/*, text/html", HTML),
        # weights
        (f"{J};q=0.5, text/html", HTML),
        (f"{J};q=0.501, text/html;q=0.5", JSON),
        (f"text/html;q=0.9, {H};q=0.8, {J};q=0.7", HTML),
        (f"{J};q=1.000, text/html;q=0.999", JSON),
        (f"{J} ; q=0.2 , text/html;Q=0.3", HTML),
        # ties between named ones: the richest
        (f"text/html, {H}, {J}", JSON),
        (f"text/html, {H}", HTML_V1),
        (f"text/html;q=0.3, {LATEST_J};q=0.3", JSON),
        # specificity goes before weight and before order
        (f"*/*, {J};q=0.1, {H};q=0.1, text/html;q=0.1", JSON),
        ("text/html;q=0.1, text/*;q=0.9, application/*;q=0.5", JSON),
        (f"application/*;q=0.1, {J};q=0.9, text/html;q=0.5", JSON),
        # weight zero excludes
        ("text/html;q=0, */*", JSON),
        (f"text/html;q=0, {J};q=0, */*;q=0.1", HTML_V1),
        ("*/*;q=0", None),
        (f"{J};q=0", None),
        (f"{J};q=0.000, {H};q=0.001", HTML_V1),
        ("text/*;q=0, application/*;q=0, */*", None),
        (f"{LATEST_J}, {J};q=0", None),
        (f"{LATEST_J};q=0, {J}", JSON),
        (f"{J};q=0, {J};q=0.5", JSON),
        # nothing we have
        ("application/json", None),
        ("image/png, application/xml;q=0.5", None),
        ("application/vnd.pypi.simple.v2+json", None),
        (f"application/vnd.pypi.simple.v2+json, {J};q=0.1", JSON),
        ("application/json, */*;q=0.1", HTML),
        # parameters
        ("text/html;charset=utf-8", HTML),
        ('text/html;charset="UTF-8"', HTML),
        ("text/html;charset=utf-8;q=0.1, text/html;q=0.9, application/*;q=0.5", JSON),
        ("text/html;level=1", None),
        (f"text/html;level=1, {J};q=0.1", JSON),
        ("text/html;q=0.5;level=1", None),
        (f'text/html;x="a, */*;q=1", {J};q=0.2', JSON),
        (r'text/html;x="\",*/*", ' + J, JSON),
        ("text/html;;q=0.5;", HTML),
        # malformed pieces are as if not sent
        (f"text/html;q=high, {J};q=0.1", JSON),
        (f"text/html;q=1.001, {J};q=0.1", JSON),
        (f"text/html;q=0.1234, {J};q=0.1", JSON),
        (f"text/html;q=-1, {J};q=0.1", JSON),
        (f'text/html;q="1", {J};q=0.1', JSON),
        (f"text/html;q, {J};q=0.1", JSON),
        (f"*/html, html, /, text/, text /html, te xt/html, {J}", JSON),
        (f",, ,{J},", JSON),
        ("rubbish", HTML),
        (",;,", HTML),
        ('"', HTML),
    ],
)
def test_accept(accept: str | None, expected: MediaType | None) -> None:
    """Weights, specificity, exclusion, wildcards and aliases decide as RFC 9110 and PEP 691 have it."""
    assert negotiate(accept) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (J, JSON),
        (H, HTML_V1),
        ("text/html", HTML),
        (LATEST_J, JSON),
        (LATEST_H, HTML_V1),
        (J.replace("+", " "), JSON),
        (f" {J.upper()} ", JSON),
        ("", None),
        ("json", None),
        ("*/*", None),
        (f"{J}, {H}", None),
        (f"{J};q=1", None),
        ("application/json", None),
        ("application/vnd.pypi.simple.v2+json", None),
    ],
)
def test_format_parameter(value: str, expected: MediaType | None) -> None:
    """`?format=` takes one content type or alias, beats any Accept header, and is refused when unknown."""
    for accept in (None, "text/html", J, "image/png"):
        assert negotiate(accept, value) is expected


WEIGHTS = st.sampled_from(["", ";q=0", ";q=0.0", ";q=0.001", ";q=0.5", "; q=0.9", ";q=1", ";q=1.0"])
RANGES = st.tuples(
    st.sampled_from(["*/*", "text/*", "application/*", "text/html", J, H, "image/png", "application/json"]), WEIGHTS
)


def _expected_weight(ranges: dict[str, str], media_type: str) -> float:
    """The weight RFC 9110 12.5.1 gives a representation, written down as plainly as possible."""
    for name in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if name in ranges:
            return float(ranges[name].partition("=")[2] or "1")
    return 0.0


@given(st.lists(RANGES, min_size=1, unique_by=lambda pair: pair[0]))
def test_the_answer_has_the_highest_weight(pairs: list[tuple[str, str]]) -> None:
    """Whatever is chosen, no other type has more weight; 406 exactly when all weigh nothing; order is irrelevant."""
    weights = {media_type: _expected_weight(dict(pairs), media_type) for media_type in MediaType}
    chosen = negotiate(", ".join(name + weight for name, weight in pairs))
    assert chosen is negotiate(",".join(name + weight for name, weight in reversed(pairs)))
    if chosen is None:
        assert max(weights.values()) == 0
    else:
        assert weights[chosen] == max(weights.values()) > 0


HEADERISH = st.text(st.sampled_from('*/ ,;="\\q01.9abtexthml\0\x7fé'), max_size=60)


@given(HEADERISH | st.text(max_size=60), HEADERISH | st.none())
@example('text/html;x="' + "\\" * 51, None)
def test_any_text_is_answered(accept: str, value: str | None) -> None:
    """No header and no parameter, however strange, raises."""
    assert negotiate(accept, value) in {*MediaType, None}
    assert negotiate_encoding(accept) in {"zstd", "gzip", "identity"}


def test_a_megabyte_of_header_is_answered() -> None:
    """Headers made to backtrack or to take long do no harm: only the beginning is looked at."""
    for filler in ('"', '\\"', "a;", "a/b;q=", "text/html;x=", ",", '",', "*/"):
        assert negotiate(filler * (1_000_000 // len(filler))) in {HTML, None}
        assert negotiate_encoding(filler * (1_000_000 // len(filler))) == "identity"
    assert negotiate("a/b," * 1000 + J) is JSON
    assert negotiate(J + ",a/b" * 250_000) is JSON
    assert negotiate("a/b," * 250_000 + J) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "identity"),
        ("", "identity"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd, gzip", "zstd"),
        ("gzip;q=1.0, zstd;q=0.9", "gzip"),
        ("gzip;q=0.5, zstd;q=0.5", "zstd"),
        ("gzip ; q=0.5 , zstd ; q=0.4", "gzip"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0, zstd;q=0.1", "zstd"),
        ("identity", "identity"),
        ("identity, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("br, deflate", "identity"),
        ("*", "gzip"),
        ("*;q=0.5, zstd;q=0.5", "zstd"),
        ("gzip;q=0, *", "identity"),
        ("*;q=0", "identity"),
        ("identity;q=0", "identity"),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0, br", "identity"),
        ("identity;q=0, *;q=0", "identity"),
        ("gzip;q=2, zstd;q=x", "identity"),
        ("gzip;level=9", "identity"),
        ("gzip;q=1;q=1, zstd;q=0.1", "zstd"),
        ("gz ip, ;q=1, =, zstd", "zstd"),
    ],
)
def test_content_coding(header: str | None, expected: str) -> None:
    """zstd before gzip on equal weights, identity for want of better, and never a failure."""
    assert negotiate_encoding(header) == expected
