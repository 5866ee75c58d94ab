"""Header lines that come several times: a list is one list on every server, anything else is refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quire.http.app.framing import SINGLETONS, with_lists_joined
from tests.asking import Site
from tests.same_requests import PROJECT, ask, login, request, serving_with_each

pytestmark = pytest.mark.xdist_group("repeated lines")  # one set of servers for all tests

PAGE = f"GET /simple/{PROJECT}/"
JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """Each server over the same store, with the answers of the fast path ready."""
    with serving_with_each(tmp_path_factory.mktemp("repeated")) as sites:
        for site in sites.values():
            for accept in ("text/html", JSON):
                for encoding in ("identity", "gzip", "zstd"):
                    ask(site, request(PAGE, f"Accept: {accept}", f"Accept-Encoding: {encoding}"))
        yield sites


MEDIA = st.sampled_from(["text/html", JSON, "application/json", "*/*", "image/png", "text/html;q=0.1", f"{JSON};q=0"])
CODING = st.sampled_from(["gzip", "zstd", "identity", "*", "gzip;q=0.5", "zstd;q=0", "br", "identity;q=0"])
TAG = st.sampled_from(['"x"', 'W/"y"', "ETAG", "W/ETAG", '"a b"', "garbage"])
LISTS = st.one_of(
    *(
        st.tuples(st.just(name), st.lists(values, min_size=1, max_size=4))
        for name, values in (("Accept", MEDIA), ("Accept-Encoding", CODING), ("If-None-Match", TAG))
    )
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=LISTS, data=st.data())
def test_lines_are_one_list(sites: dict[str, Site], field: tuple[str, list[str]], data: st.DataObject) -> None:
    """Every server answers N lines as it, and each other one, answers the one joined line."""
    name, values = field
    etag = ask(next(iter(sites.values())), request(PAGE)).headers["etag"]
    values = [value.replace("ETAG", etag) for value in values]
    cuts = data.draw(st.sets(st.integers(1, len(values) - 1))) if len(values) > 1 else set()
    places = [0, *sorted(cuts), len(values)]
    lines = [f"{name}: {', '.join(values[start:stop])}" for start, stop in pairwise(places)]
    joined = f"{name}: {', '.join(values)}"
    answers = [ask(site, request(PAGE, *each)).compared for site in sites.values() for each in (lines, [joined])]
    assert answers == [answers[0]] * len(answers)


REPEATED = {
    "Authorization": (login(), login()),
    "Range": ("Range: bytes=0-1", "Range: bytes=2-3"),
    "If-Range": ('If-Range: "a"', 'If-Range: "b"'),
    "If-Modified-Since": ("If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT",) * 2,
    "Content-Type": ("Content-Type: text/html",) * 2,
    "Host": ("Host: index.test",),
    "Origin": ("Origin: http://index.test",) * 2,
    "Sec-Fetch-Site": ("Sec-Fetch-Site: same-origin",) * 2,
    "User-Agent": ("User-Agent: pip",) * 2,
    "Referer": ("Referer: http://index.test/",) * 2,
}


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("line", [PAGE, "POST /", "GET /health"])
def test_a_field_with_one_value_comes_once(sites: dict[str, Site], name: str, line: str) -> None:
    """400 by every server; which of two logins or lengths counts is not defined."""
    for server, site in sites.items():
        answer = ask(site, request(line, *REPEATED[name]))
        assert answer.status == 400, (server, answer)
        assert b"Traceback" not in answer.body


def test_equal_lengths_may_be_taken_for_one(sites: dict[str, Site]) -> None:
    """RFC 9112, 6.3 allows that, and some parsers do it; none takes different ones, nor lets one be a request's end."""
    for server, site in sites.items():
        same = ask(site, request("POST /", "Content-Length: 0", "Content-Length: 0"))
        assert same.status in {400, 401}, (server, same)
        other = ask(site, request("POST /", "Content-Length: 0", "Content-Length: 3"))
        assert other.status == 400, (server, other)


def test_joined() -> None:
    """Lists in the order of their lines, crumbs of a cookie with semicolons, the rest as it was sent."""
    lines = [(b"Accept", b"a"), (b"host", b"x"), (b"accept", b"b, c"), (b"cookie", b"a=1"), (b"cookie", b"b=2")]
    joined = with_lists_joined([*lines, (b"range", b"1"), (b"range", b"2")])
    assert joined == [
        (b"accept", b"a, b, c"),
        (b"host", b"x"),
        (b"cookie", b"a=1; b=2"),
        (b"range", b"1"),
        (b"range", b"2"),
    ]
    assert {b"authorization", b"content-length", b"host", b"range", b"if-range", b"content-type"} <= SINGLETONS
