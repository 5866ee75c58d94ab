"""Addresses of clients: how they are written, and which of those that are reported is believed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from quire.config.network import networks
from quire.http.app.proxies import UNIX, Outside, TrustedProxies, parse_address, peer_address, peer_of

PROXY, CLIENT = "10.0.0.1", "203.0.113.7"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("192.0.2.1:_port", "192.0.2.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:http", None),
        ("192.0.2.1:123456", None),
        ("[192.0.2.1]", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]x", None),
        ("localhost", None),
        ("1" * 100_000, None),
        ("192.0.2.1\n", None),
    ],
)
def test_forms_of_addresses(text: str, address: str | None) -> None:
    """As proxies write them: with a port, in brackets, mapped; anything else is no address."""
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("client", "server", "address"),
    [
        (("192.0.2.1", 5), ("192.0.2.9", 80), "192.0.2.1"),
        (["::ffff:127.0.0.1", 5], ["::", 80], "127.0.0.1"),
        (None, ("/run/quire.sock", None), UNIX),
        (("", 0), ("/run/quire.sock", None), UNIX),
        (None, ("/", "r"), UNIX),  # gunicorn's, cut out of the path
        (None, ("127.0.0.1", 80), ""),  # a client that is gone already: no address, and no Unix socket
        (None, None, ""),
    ],
)
def test_the_other_end_of_a_connection(client: object, server: object, address: str) -> None:
    """As servers report it; a mapped address is the IPv4 address, and a TCP client without one is no Unix socket."""
    assert peer_address(client, server) == address


def test_the_other_end_by_wsgi() -> None:
    """REMOTE_ADDR alone; empty for a Unix socket, absent when the server does not know."""
    for remote, address in (("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("", UNIX)):
        assert peer_of({"type": "http", "wsgi_environ": {"REMOTE_ADDR": remote}}) == address
    assert peer_of({"type": "http", "wsgi_environ": {}}) == ""


def _lines(**lines: Sequence[str]) -> dict[str, Sequence[str]]:
    return {name.replace("_", "-"): values for name, values in lines.items()}


def _address(peer: str, trusted: str, lines: dict[str, Sequence[str]], headers: Sequence[str] = ()) -> str:
    proxies = TrustedProxies(networks(trusted), *([headers] if headers else []))
    return proxies.address(peer, lambda name: lines.get(name, ()))


@pytest.mark.parametrize(
    ("peer", "trusted", "lines", "address"),
    [
        (CLIENT, "", ["192.0.2.1"], CLIENT),
        (CLIENT, PROXY, ["192.0.2.1"], CLIENT),
        (PROXY, PROXY, [], PROXY),
        (PROXY, PROXY, ["", " , "], PROXY),
        (PROXY, PROXY, [CLIENT], CLIENT),
        (PROXY, PROXY, [f"192.0.2.1, {CLIENT}"], CLIENT),
        (PROXY, PROXY, ["192.0.2.1", CLIENT], CLIENT),
        (PROXY, PROXY, ["192.0.2.1", f"{CLIENT}:4711,"], CLIENT),
        (PROXY, "10.0.0.0/8", [CLIENT, "10.0.0.3, 10.0.0.2"], CLIENT),
        (PROXY, "10.0.0.0/8", ["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
        (PROXY, PROXY, ["192.0.2.1, unknown"], PROXY),
        (PROXY, "10.0.0.0/8", ["192.0.2.1, _x, 10.0.0.2"], "10.0.0.2"),
        (PROXY, "*", [f"192.0.2.1, {CLIENT}"], CLIENT),
        (PROXY, f"::ffff:{PROXY}", [CLIENT], CLIENT),
        (PROXY, "::ffff:10.0.0.0/104", [CLIENT], CLIENT),
        ("2001:db8::1", "2001:db8::/32", ["[2001:db9::7]:80"], "2001:db9::7"),
        (UNIX, "unix", [CLIENT], CLIENT),
        (UNIX, "127.0.0.1", [CLIENT], UNIX),
        ("", "unix, 127.0.0.1", [CLIENT], ""),
        (PROXY, "10.0.0.0/8", [CLIENT, ",".join(["10.0.0.2"] * 40)], "10.0.0.2"),
    ],
)
def test_the_client_behind_proxies(peer: str, trusted: str, lines: list[str], address: str) -> None:
    """Read from the right past trusted proxies; several lines are one list; no address counts as its reporter."""
    assert _address(peer, trusted, _lines(x_forwarded_for=lines)) == address


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([f"for={CLIENT}"], CLIENT),
        ([f'For="{CLIENT}:4711";proto=https;by=203.0.113.43'], CLIENT),
        (['for=192.0.2.1, for="[2001:db8:cafe::17]:4711"'], "2001:db8:cafe::17"),
        (["for=192.0.2.1", f"proto=http;for={CLIENT}"], CLIENT),
        ([f"for={CLIENT}, for=10.0.0.2"], CLIENT),
        ([f'for={CLIENT};ext="a, b;for=192.0.2.1"'], CLIENT),
        ([f"for={CLIENT};;, "], CLIENT),
        (["for=[2001:db8::1]:80"], "2001:db8::1"),
        (["for=192.0.2.1, for=unknown"], PROXY),
        (["for=192.0.2.1, for=_gazonk"], PROXY),
        (["for=192.0.2.1, proto=https"], PROXY),
        ([f"for=192.0.2.1;for={CLIENT}"], PROXY),
        (['for="', f"for={CLIENT}"], PROXY),
        (["for = 192.0.2.1"], PROXY),
        (["192.0.2.1"], PROXY),
        ([], PROXY),
    ],
)
def test_the_standard_header(lines: list[str], address: str) -> None:
    """RFC 7239's Forwarded, where it is the header that proxies set; X-Forwarded-For then counts for nothing."""
    found = _lines(forwarded=lines, x_forwarded_for=["198.51.100.1"])
    assert _address(PROXY, "10.0.0.0/8", found, ["forwarded"]) == address
    assert _address(PROXY, "10.0.0.0/8", _lines(forwarded=lines)) == PROXY  # and is not believed unasked


ADDRESS = st.ip_addresses().map(str) | st.ip_addresses(v=6).map(lambda each: f"[{each}]:443")
LIE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40) | ADDRESS


@given(lies=st.lists(LIE, max_size=6), is_one_line=st.booleans())
def test_a_client_cannot_choose_its_address(lies: list[str], is_one_line: bool) -> None:
    """Whatever a client sends, the address that the trusted proxy appends is the one that counts."""
    lines = [", ".join([*lies, CLIENT])] if is_one_line else [*lies, CLIENT]
    assert _address(PROXY, PROXY, _lines(x_forwarded_for=lines)) == CLIENT


@given(values=st.lists(ADDRESS | st.just(PROXY) | st.just("unknown"), min_size=1, max_size=6), data=st.data())
def test_lines_are_one_list(values: list[str], data: st.DataObject) -> None:
    """However a list is cut into lines, the address is the same."""
    cuts = data.draw(st.sets(st.integers(1, len(values) - 1), max_size=5)) if len(values) > 1 else set()
    places = [0, *sorted(cuts), len(values)]
    lines = [", ".join(values[start:stop]) for start, stop in pairwise(places)]
    whole = _address(PROXY, PROXY, _lines(x_forwarded_for=[", ".join(values)]))
    assert _address(PROXY, PROXY, _lines(x_forwarded_for=lines)) == whole


@given(lines=st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=80), max_size=3))
def test_any_text_is_read(lines: list[str]) -> None:
    """Neither header can be so written that reading it fails."""
    found = _lines(forwarded=lines, x_forwarded_for=lines)
    for headers in (["forwarded"], ["x-forwarded-for"]):
        address = _address(PROXY, PROXY, found, headers)
        assert address == PROXY or parse_address(address) == address


# -- how the client addresses the index -------------------------------------------------------------------------------

ALL = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix")


def _outside(*lines: tuple[str, str], headers: Sequence[str] = ALL, trusted: str = "10.0.0.0/8") -> Outside:
    scope = {
        "type": "http",
        "scheme": "http",
        "client": (PROXY, 1),
        "server": ("10.0.0.9", 80),
        "headers": [(b"host", b"inner:8080"), *((name.encode(), value.encode()) for name, value in lines)],
    }
    return TrustedProxies(networks(trusted), headers).outside(Request(scope))


def test_how_the_client_addresses_the_index() -> None:
    """The host that the proxy reports; nothing of it from a peer that is not trusted."""
    reported = (("x-forwarded-proto", "HTTPS"), ("x-forwarded-host", "pypi.example:8443"))
    assert _outside(*reported, ("x-forwarded-prefix", "/a/b/")) == ("https", "pypi.example:8443", "/a/b")
    assert _outside(*reported, trusted="192.0.2.1") == ("http", "inner:8080", "")
    assert _outside(*reported, ("x-forwarded-prefix", "/a"), headers=ALL[:2]) == ("https", "inner:8080", "")


def test_a_chain_of_proxies_reports_in_parallel_lists() -> None:
    """The outermost trusted proxy's value counts, not the client's before it, nor the inner proxy's after it."""
    hosts = ("x-forwarded-host", "evil.example, pypi.example, inner.example")
    assert _outside(hosts).host == "inner.example"
    assert _outside(hosts, ("x-forwarded-for", f"{CLIENT}, 10.0.0.2")).host == "pypi.example"
    lines = [("x-forwarded-host", each) for each in ("evil.example", "pypi.example", "inner.example")]
    assert _outside(*lines, ("x-forwarded-for", CLIENT), ("x-forwarded-for", "10.0.0.2")).host == "pypi.example"
    assert (
        _outside(("x-forwarded-host", "one.example"), ("x-forwarded-for", f"{CLIENT}, 10.0.0.2")).host == "one.example"
    )


def test_the_standard_header_reports_scheme_and_host() -> None:
    """Of the element of the proxy that the client was connected to."""
    element = f'for={CLIENT};proto=https;host="pypi.example:8443"'
    found = _outside(("forwarded", f"host=evil, {element}, for=10.0.0.2;host=mid;proto=http"), headers=["forwarded"])
    assert found == ("https", "pypi.example:8443", "")


@pytest.mark.parametrize("host", ["a/b", "a b", "user@host", "<x>", "a,", "x" * 300, "[::1", "a:b", "a?b", "a#b", "é"])
def test_hosts_that_are_none(host: str) -> None:
    """They never get into an address; the Host of the request counts."""
    assert _outside(("x-forwarded-host", host)).host in {"inner:8080", "a"}  # `a,` is a list with an empty value


@pytest.mark.parametrize(
    "prefix", ["/../x", "/a/../b", "/.", "//evil.example", "/a//b", "/a b", "/<x>", "/a?b", "/a%2f", "x" * 2000, "\\a"]
)
def test_prefixes_that_are_none(prefix: str) -> None:
    """The same of paths: nothing that leads elsewhere."""
    assert _outside(("x-forwarded-prefix", prefix)).prefix == ""


def test_schemes_that_are_none() -> None:
    """Only http and https get into an address."""
    assert _outside(("x-forwarded-proto", "javascript")).scheme == "http"
