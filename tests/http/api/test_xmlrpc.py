"""XML-RPC search: what `pip search` asks, and what hostile XML gets."""

from __future__ import annotations

import contextlib
import xmlrpc.client
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain.errors import InvalidRequest
from quire.http.api.xmlrpc import MAX_TERMS, parse_call, search_terms
from tests.asking import OPEN, Site, publish_wheel, serve


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    """An index with alpha-tool (two releases), beta-tool and other."""
    with serve(tmp_path_factory.mktemp("xmlrpc"), *OPEN, place=place) as site:
        for name, version in (("alpha-tool", "1.0"), ("alpha-tool", "1.10"), ("beta-tool", "2.0"), ("other", "3.0")):
            publish_wheel(site, name, version)
        yield site


def _call(site: Site, body: bytes, path: str = "/RPC2") -> httpx.Response:
    return site.client.post(path, content=body, headers={"content-type": "text/xml"})


@pytest.mark.parametrize("path", ["/RPC2", "/pypi"])
def test_pip_search(site: Site, path: str) -> None:
    """The call that pip makes, through the standard library's own client; the newest release is named."""
    with xmlrpc.client.ServerProxy(f"{site.base[:-1]}{path}") as proxy:
        found = proxy.search({"name": ["Alpha_Tool"], "summary": ["Alpha_Tool"]}, "or")
        assert isinstance(found, list)
        assert [(each["name"], each["version"], each["summary"]) for each in found] == [("alpha-tool", "1.10", "1.10")]
        several = proxy.search({"name": ["tool"]}, "or")
        assert isinstance(several, list)
        assert [each["name"] for each in several] == ["alpha-tool", "beta-tool"]
        assert proxy.search({"name": "nothing-like-it"}) == []
        assert len(proxy.search({})) == 3  # type: ignore[arg-type]  # a list, as above


def test_an_unknown_method_is_a_fault(site: Site) -> None:
    """The protocol has its own way to say so."""
    with (
        xmlrpc.client.ServerProxy(f"{site.base}RPC2") as proxy,
        pytest.raises(xmlrpc.client.Fault, match="only search does"),
    ):
        proxy.package_releases("alpha-tool")


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
CALL = "<methodCall><methodName>search</methodName><params><param><value>{}</value></param></params></methodCall>"


@pytest.mark.parametrize(
    "body",
    [
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>{CALL.format("&l9;")}'.encode(),
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>{CALL.format("&e;")}'.encode(),
        f'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">{CALL.format("x")}'.encode(),
        f"<!DOCTYPE x>{CALL.format('x')}".encode(),
        CALL.format("&undefined;").encode(),
        CALL.format("<int>x</int>").encode(),
        CALL.format(f"<int>{'9' * 20_000}</int>").encode(),
        CALL.format("<double></double>").encode(),
        CALL.format("<bigdecimal>abc</bigdecimal>").encode(),
        CALL.format("<boolean>7</boolean>").encode(),
        f"{'<array><data><value>' * 2_000}".encode(),
        b'<?xml version="1.0" encoding="no-such-encoding"?><methodCall/>',
        b'<?xml version="1.0" encoding="utf-7"?><methodCall/>',
        b'<?xml version="1.0" encoding="utf-16"?><methodCall/>',
        b"<methodResponse/>",
        b"<methodCall/>",
        b"<a/>",
        b"{}",
        b"",
        b"\0" * 1000,
        b"\xff\xfe<\0",
    ],
)
def test_hostile_xml(site: Site, body: bytes) -> None:
    """Entities, document types, garbage and wrong values: 400 and a sentence, at once."""
    answer = _call(site, body)
    assert answer.status_code == 400, answer.text
    assert answer.text in {"This is not a safe XML-RPC call.\n", "This is not an XML-RPC call.\n"}


def test_a_huge_call(site: Site) -> None:
    """413 after 64 KiB."""
    assert _call(site, CALL.format("x" * 10_000_000).encode()).status_code == 413


NESTED = "<array><data><value>" * 1000 + "x" + "</value></data></array>" * 1000


@pytest.mark.parametrize("value", [NESTED, "<int>5</int>", "<base64>eA==</base64>", "<array><data>"])
def test_what_is_no_text(site: Site, value: str) -> None:
    """Numbers, bytes, lists as deep as fit into a call: 400 and a sentence."""
    answer = _call(site, CALL.format(value).encode())
    assert (answer.status_code, len(answer.text.splitlines())) == (400, 1)


def test_too_many_terms(site: Site) -> None:
    """Each term is compared with every project, so their number is bounded."""
    terms = xmlrpc.client.dumps(({"name": ["x"] * (MAX_TERMS + 1)},), "search")
    assert _call(site, terms.encode()).status_code == 400


@given(st.binary(max_size=200))
def test_no_bytes_but_a_sentence(body: bytes) -> None:
    """Whatever arrives is a call or InvalidRequest."""
    with contextlib.suppress(InvalidRequest):
        parse_call(body)


TYPES = [
    *(
        "value",
        "int",
        "i8",
        "double",
        "boolean",
        "bigdecimal",
        "biginteger",
        "float",
        "string",
        "base64",
        "nil",
        "array",
    ),
    *("data", "struct", "member", "name", "dateTime.iso8601", "params", "param", "methodName", "fault", "ex:nil"),
]
TEXTS = ["", " ", "1", "-1", "abc", "NaN", "sNaN1", "1e999999999", "9" * 5000, "20260101T00:00:00", "é"]


def elements(content: st.SearchStrategy[str], most: int) -> st.SearchStrategy[str]:
    """One element of the protocol or several, with this content."""
    one = st.tuples(st.sampled_from(TYPES), content).map(lambda parts: f"<{parts[0]}>{parts[1]}</{parts[0]}>")
    return st.lists(one, min_size=1, max_size=most).map("".join)


@given(st.recursive(elements(st.sampled_from(TEXTS), 1), lambda inner: elements(inner, 3), max_leaves=6))
def test_no_value_but_a_sentence(value: str) -> None:
    """Any element of the protocol, in any other one, with any text."""
    body = (
        f"<methodCall xmlns:ex='x'><methodName>search</methodName><params><param>{value}</param></params></methodCall>"
    )
    with contextlib.suppress(InvalidRequest):
        search_terms(parse_call(body.encode())[0])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "summary"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(st.lists(VALUES, max_size=3))
def test_search_takes_any_parameters(parameters: list[object]) -> None:
    """Text is a term, anything else is refused; nothing else happens."""
    with contextlib.suppress(InvalidRequest):
        assert all(isinstance(term, str) and term for term in search_terms(tuple(parameters)))
