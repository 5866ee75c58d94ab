"""Asking for pages: conditional requests, serial numbers, and answers that are no pages."""

from __future__ import annotations

import asyncio

import pytest

from quire.domain.errors import UpstreamBusy, UpstreamError
from quire.upstream.answers import Answered
from quire.upstream.asking import PageRequests
from quire.upstream.mirrored import Validators
from quire.upstream.pages import UpstreamPage
from quire.upstream.server import OtherServer
from tests.upstreams import JSON, Answer, FakeIndex, page

ENTRY = {"filename": "foo-1.0.tar.gz", "url": "x"}


def ask(index: FakeIndex, known: Validators = Validators()) -> Answered:  # noqa: B008 - immutable
    async def main() -> Answered:
        server = OtherServer(index.url)
        try:
            return (await PageRequests(server)("foo", known)).read()
        finally:
            await server.close()

    return asyncio.run(main())


def test_a_page_comes_with_its_validators_and_serial_number(index: FakeIndex) -> None:
    """They are for the next request."""
    headers = {"ETag": '"a"', "Last-Modified": "Mon, 01 Jan 2026 00:00:00 GMT", "X-PyPI-Last-Serial": "17"}
    index.at("/simple/foo/", Answer(page([ENTRY]).body, JSON, headers=headers))
    found = ask(index)
    assert isinstance(found.page, UpstreamPage)
    assert [file.filename for file in found.page.files] == ["foo-1.0.tar.gz"]
    assert found.page.serial == 17
    assert found.validators == Validators('"a"', "Mon, 01 Jan 2026 00:00:00 GMT")


def test_an_unchanged_page_is_confirmed(index: FakeIndex) -> None:
    """By its ETag, else by its time."""
    index.at("/simple/foo/", Answer(status=304, headers={"ETag": '"a"'}))
    assert ask(index, Validators('"a"', "Mon")) == Answered(None, unchanged=True, validators=Validators('"a"'))
    assert ask(index, Validators(None, "Mon")).unchanged
    sent = [headers for _, headers in index.requests]
    assert sent[0]["if-none-match"] == '"a"'
    assert "if-modified-since" not in sent[0]
    assert sent[1]["if-modified-since"] == "Mon"


def test_a_304_to_a_request_without_conditions_is_an_error(index: FakeIndex) -> None:
    """There is no page that it could confirm."""
    index.at("/simple/foo/", Answer(status=304))
    with pytest.raises(UpstreamError, match="answers 304"):
        ask(index)


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_project_is_no_error(index: FakeIndex, status: int) -> None:
    """The other index does not have it."""
    index.at("/simple/foo/", Answer(status=status))
    assert ask(index) == Answered(None)


def test_an_error_page_with_status_200_is_refused(index: FakeIndex) -> None:
    """Text, or the HTML of a proxy's login, would else hide all files of a project."""
    for answer, match in (
        (Answer(b"oops", "text/plain"), "no page of the Simple API"),
        (Answer(b"<h1>Log in</h1>", "text/html"), "of a login"),
    ):
        index.at("/simple/foo/", answer)
        with pytest.raises(UpstreamError, match=match):
            ask(index)


def test_half_a_page_is_refused(index: FakeIndex) -> None:
    """HTML without a length that breaks off would else be a page with fewer files. Whole pages are taken, also such
    that are no documents."""
    links = "".join(f'<a href="foo-{each}.0.tar.gz#sha256={"0" * 64}">foo</a>\n' for each in range(30))
    whole = f"<!DOCTYPE html>\n<HTML><body>{links}</body></HTML>\n".encode()
    index.at("/simple/foo/", Answer(whole[: len(whole) // 2], "text/html", has_length=False))
    with pytest.raises(UpstreamBusy, match="before it was complete"):
        ask(index)
    for body, files in ((whole, 30), (links.encode(), 30)):
        index.at("/simple/foo/", Answer(body, "text/html", has_length=False))
        found = ask(index).page
        assert isinstance(found, UpstreamPage)
        assert len(found.files) == files
