"""The judge on histories that are made up: it accepts what a mirror may say, and convicts what it may not."""

from __future__ import annotations

import pytest

from tests.linearizability.mirrors.judge import (
    Failed,
    Got,
    Judgement,
    Kind,
    NotThere,
    Observation,
    Published,
    Read,
    Seen,
    judge,
)
from tests.linearizability.mirrors.states import Shown, read_html, read_json
from tests.linearizability.model import Entry


def shown(*versions: str) -> Shown:
    return Shown("active", None, frozenset(Entry(f"foo-{each}.tar.gz", f"digest of {each}", None) for each in versions))


PAGES = (shown("1"), shown("1", "2"), None, shown("2", "3"))
"""State by state; they are published at 0, 100, 200 and 300."""
PUBLISHED = {"foo": [Published(100 * number, page) for number, page in enumerate(PAGES)]}


def judged(*reads: tuple[int, int, Observation]) -> Judgement:
    """`reads`: begin, end and answer."""
    return judge(PUBLISHED, [Read("foo", seen, begun, ended, 1) for begun, ended, seen in reads])


def page(number: int) -> Seen:
    return Seen(PAGES[number])


def got(version: str) -> Got:
    return Got(f"foo-{version}.tar.gz", f"digest of {version}")


def lacks(version: str) -> NotThere:
    return NotThere(f"foo-{version}.tar.gz", None)


def test_a_mirror_that_lags_is_right() -> None:
    """It may leave out states, and be late without a bound; while it changes, requests at one time may differ."""
    found = judged(
        *((10, 20, page(0)), (150, 160, page(0)), (170, 190, page(1)), (175, 180, page(0)), (191, 195, got("1"))),
        *((310, 320, page(1)), (330, 340, page(3)), (350, 360, got("3")), (350, 351, lacks("1"))),
    )
    assert (found.violations, found.judged) == ({}, 9)


@pytest.mark.parametrize(
    ("kind", "reads"),
    [
        pytest.param(Kind.BACK, [(310, 320, page(3)), (321, 330, page(1))], id="a page"),
        pytest.param(Kind.BACK, [(310, 320, page(3)), (321, 330, got("1"))], id="a file after a page"),
        pytest.param(Kind.BACK, [(310, 320, got("3")), (321, 330, page(0))], id="a page after a file"),
        pytest.param(Kind.BACK, [(310, 320, page(3)), (321, 330, page(2))], id="an absence after the project is back"),
        pytest.param(Kind.TORN, [(310, 320, Seen(shown("1", "3")))], id="a page of two states"),
        pytest.param(Kind.TORN, [(310, 320, Seen(shown()))], id="an empty page"),
        pytest.param(Kind.TORN, [(10, 20, page(1))], id="a page of the future"),
        pytest.param(Kind.BYTES, [(310, 320, Got("foo-1.tar.gz", "digest of an error page"))], id="other bytes"),
        pytest.param(Kind.ABSENT, [(110, 120, page(1)), (121, 130, lacks("2"))], id="no file"),
        pytest.param(Kind.LOST, [(10, 20, page(0)), (21, 30, Failed(503))], id="no page"),
    ],
)
def test_a_violation_is_found(kind: Kind, reads: list[tuple[int, int, Observation]]) -> None:
    """Each of them by itself."""
    assert judged(*reads).violations == {kind: 1}


def test_what_may_be_unknown_is_no_violation() -> None:
    """An error before a page is kept; a file that the upstream has removed, which the page does not show yet."""
    found = judged((10, 20, Failed(503)), (110, 120, page(1)), (205, 210, lacks("2")), (211, 220, page(1)))
    assert found.violations == {}
    assert judged((210, 220, page(2)), (221, 230, Failed(503))).violations == {}


def test_an_absence_binds_once_a_page_was_given() -> None:
    """Before, no record has it: a worker that asked earlier may get the page of before, and make the first record."""
    late = [(310, 320, page(2)), (321, 330, page(1)), (331, 340, page(1))]
    assert judged(*late).violations == {}
    assert judged((10, 20, page(0)), *late).violations == {Kind.BACK: 2}
    assert judged(*late, (341, 350, page(2)), (351, 360, page(1))).violations == {Kind.BACK: 1}


def test_an_absence_can_be_of_several_states() -> None:
    """The earliest one that explains it is taken, so that later answers are not bound by more than was said."""
    published = {"foo": [Published(at, page) for at, page in enumerate([None, shown("1"), None, shown("2")])]}
    reads = [(10, 11, Seen(None)), (12, 13, Seen(shown("1"))), (14, 15, Seen(None)), (16, 17, Seen(shown("2")))]
    answers = [Read("foo", seen, begun, ended, 1) for begun, ended, seen in reads]
    assert judge(published, answers).violations == {}
    answers.append(Read("foo", Seen(shown("1")), 18, 19, 2))
    assert judge(published, answers).violations == {Kind.BACK: 1}


def test_both_forms_of_a_page_say_the_same() -> None:
    """The readers take the same from both, with the addresses of the files."""
    json = b"""{"meta": {"api-version": "1.4"}, "name": "foo",
        "project-status": {"status": "archived", "reason": "a&b"}, "files": [
        {"filename": "foo-1.tar.gz", "url": "../../packages/x/foo-1.tar.gz", "hashes": {"sha256": "ab"},
        "yanked": "old", "core-metadata": {"sha256": "cd"}}]}"""
    html = b"""<html><head><meta name="pypi:project-status" content="archived">
        <meta name="pypi:project-status-reason" content="a&amp;b"></head><body>
        <a href="../../packages/x/foo-1.tar.gz#sha256=ab" data-yanked="old" data-core-metadata="sha256=cd"
        >foo-1.tar.gz</a></body></html>"""
    found = read_json(json, "/team/simple/foo/")
    assert found == read_html(html, "/team/simple/foo/")
    assert found.shown == Shown("archived", "a&b", frozenset({Entry("foo-1.tar.gz", "ab", "old")}))
    assert found.links["foo-1.tar.gz"].path == "/team/packages/x/foo-1.tar.gz"
    with pytest.raises(ValueError, match="not complete"):
        read_html(html[:-20], "/simple/foo/")
