"""twine shows nothing of a refused upload but the reason phrase: every server sends the sentence as one."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.http.app.reasons import MAX_REASON_CHARACTERS, Status
from tests.asking import OPEN, content_type, multipart
from tests.serving import DEADLINE, free_port, quire_command, running

SENTENCE = "The form has no file; send the distribution as the file field 'content'."


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn", "wsgiref"])
def test_the_reason_is_the_sentence(tmp_path: Path, server: str) -> None:
    """The body says it too. A success keeps the standard phrase, also after a failure."""
    port = free_port()
    (tmp_path / "packages").mkdir()
    command = quire_command(
        "run", "-p", port, "-H", "127.0.0.1", *OPEN, "--workers", 1, "--server", server, tmp_path / "packages"
    )
    with running(command, port, cwd=tmp_path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        connection.request("POST", "/", multipart([(":action", "file_upload")]), {"Content-Type": content_type()})
        response = connection.getresponse()
        assert (response.status, response.reason) == (400, SENTENCE)
        assert response.read().decode().strip() == SENTENCE
        for path, expected in (("/health", (200, "OK")), ("/simple/x/", (404, None))):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            assert response.status == expected[0]
            assert expected[1] in {None, response.reason}
        connection.close()


@given(st.text(max_size=600))
def test_a_reason_is_always_one_printable_line(sentence: str) -> None:
    """Whatever a client's input put into a sentence, no header can be smuggled through the status line."""
    reason = Status(400, sentence).reason
    assert len(reason) <= MAX_REASON_CHARACTERS
    assert reason.isprintable()
    reason.encode("latin-1")
    assert Status(400, sentence) == 400
