"""Which requests are ambiguous."""

from __future__ import annotations

import pytest

from quire.http.app.framing import problem_with


@pytest.mark.parametrize(
    ("lengths", "encodings", "hosts"),
    [
        ([b"5", b"5"], [], [b"x"]),
        ([b"+5"], [], [b"x"]),
        ([b""], [], [b"x"]),
        ([b"5" * 20], [], [b"x"]),
        ([b"5"], [b"chunked"], [b"x"]),
        ([], [b"chunked", b"chunked"], [b"x"]),
        ([], [b"chunked, chunked"], [b"x"]),
        ([], [b"gzip, chunked"], [b"x"]),
        ([], [b"identity"], [b"x"]),
        ([], [b""], [b"x"]),
        ([], [], [b"x", b"x"]),
        ([], [], [b"x/y"]),
        ([], [], [b"user@x"]),
        ([], [], [b"[::1"]),
        ([], [], [b"x:y"]),
        ([], [], [b"<x>"]),
        ([], [], [b"\xff"]),
    ],
)
def test_refused(lengths: list[bytes], encodings: list[bytes], hosts: list[bytes]) -> None:
    """Two lengths, a length beside chunks, other codings, hosts that are none: one sentence."""
    assert problem_with(lengths, encodings, hosts) is not None


@pytest.mark.parametrize(
    ("lengths", "encodings", "hosts"),
    [
        ([], [], []),
        ([b"0"], [], [b""]),
        ([b"17"], [], [b"index.example:8080"]),
        ([], [b"Chunked"], [b"[::1]:80"]),
        ([], [], [b"10.0.0.1"]),
        ([], [], [b"my_host-1.local."]),
    ],
)
def test_taken(lengths: list[bytes], encodings: list[bytes], hosts: list[bytes]) -> None:
    """Requests of usual clients; HTTP/1.0 needs no Host."""
    assert problem_with(lengths, encodings, hosts) is None
