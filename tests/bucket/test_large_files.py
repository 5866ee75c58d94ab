"""Large files over HTTP with a real bucket behind: sent in parts while they arrive; a refused one leaves nothing."""

from __future__ import annotations

import random
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quire.store.bucket.aws import S3Control
from quire.store.bucket.client import ObjectBucket
from quire.store.bucket.store import BucketStore
from tests.asking import OPEN, Site, content_type, multipart, publish, raw_answer, serve, twine_form
from tests.bucket.test_bucket import opened
from tests.distributions import make_wheel, wheel_name
from tests.serving import until

pytestmark = pytest.mark.bucket

NAME = wheel_name("acme", "1.0")
MIB = 1024 * 1024


def large_wheel(seed: int = 1) -> bytes:
    """Of about 20 MiB."""
    return make_wheel("acme", "1.0", files={"acme/data.bin": random.Random(seed).randbytes(20 * MIB)})


def control(store: BucketStore) -> S3Control:
    assert isinstance(store.bucket, ObjectBucket)
    assert store.bucket.control is not None
    return store.bucket.control


def unfinished(store: BucketStore) -> list[str]:
    """The keys of uploads in parts under way."""
    return [each.key for each in control(store).unfinished_uploads("blobs/")]


def objects(store: BucketStore) -> list[str]:
    return [each.key for each in store.bucket.list("blobs")]


@contextmanager
def half_sent(site: Site, content: bytes, **replaced: str | None) -> Iterator[tuple[socket.socket, bytes]]:
    """A connection on which most of an upload was sent; with what is left of it."""
    parts = twine_form(NAME, content, name="acme", version="1.0", replaced=replaced)
    body = multipart(parts)
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type()}\r\nContent-Length: {len(body)}\r\n\r\n"
    with site.connect() as connection:
        connection.sendall(head.encode() + body[: 18 * MIB])
        yield connection, body[18 * MIB :]


def test_parts_are_in_the_bucket_while_the_body_arrives(tmp_path: Path, url: str) -> None:
    """Before the end of the body the upload is there, and no object; after the answer it is the other way around."""
    store = opened(url)
    content = large_wheel()
    with serve(tmp_path, *OPEN, place=url) as site:
        with half_sent(site, content) as (connection, rest):
            until(lambda: len(unfinished(store)) == 1)
            assert objects(store) == []
            connection.sendall(rest)
            assert raw_answer(connection).status == 200
        assert unfinished(store) == []
        assert sorted(name.rpartition("/")[2] for name in objects(store)) == [NAME, f"{NAME}.metadata"]
        assert site.client.get(site.file_url("acme", NAME)).content == content
        assert publish(site, NAME, content, name="acme", version="1.0").status_code == 200
        answer = publish(site, NAME, large_wheel(2), name="acme", version="1.0")
        assert (answer.status_code, unfinished(store), len(objects(store))) == (409, [], 2)


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path, url: str) -> None:
    """The upload in parts is aborted."""
    store = opened(url)
    with serve(tmp_path, *OPEN, place=url) as site:
        with half_sent(site, large_wheel()):
            until(lambda: len(unfinished(store)) == 1)
        until(lambda: not unfinished(store))
        assert objects(store) == []


@pytest.mark.parametrize("spool_size", ["256M", "1M"])
@pytest.mark.parametrize(
    ("replaced", "damage", "sentence"),
    [
        ({"sha256_digest": "0" * 64}, b"", "sha256 digest"),
        ({"version": "2.0"}, b"", "version 2.0"),
        ({"sha256_digest": None, "md5_digest": None, "blake2_256_digest": None}, b"damage", "zip"),
    ],
    ids=["digest", "version", "archive"],
)
def test_a_refused_file_leaves_nothing(
    replaced: dict[str, str | None], damage: bytes, sentence: str, spool_size: str, tmp_path: Path, url: str
) -> None:
    """Whether its archive is read from the temporary directory or, where that is too small, from the bucket."""
    store = opened(url)
    content = large_wheel() + damage
    with serve(tmp_path, *OPEN, "--spool-size", spool_size, place=url) as site:
        with half_sent(site, content, **replaced) as (connection, rest):
            connection.sendall(rest)
            answer = raw_answer(connection)
        assert (answer.status, sentence in answer.body.decode()) == (400, True), answer.body
        assert (unfinished(store), objects(store)) == ([], [])
        assert publish(site, NAME, large_wheel(), name="acme", version="1.0").status_code == 200
        assert site.client.get(site.file_url("acme", NAME)).content == large_wheel()


def test_a_killed_worker_leaves_nothing_that_is_visible(tmp_path: Path, url: str) -> None:
    """Its parts are no object: neither a page nor a listing of the bucket shows them. The upload can be repeated."""
    store = opened(url)
    content = large_wheel()
    with serve(tmp_path, *OPEN, place=url) as site, half_sent(site, content):
        until(lambda: len(unfinished(store)) == 1)
        site.served.stop(signal.SIGKILL)
    assert objects(store) == []
    with serve(tmp_path, *OPEN, place=url) as site:
        assert site.projects() == []
        assert publish(site, NAME, content, name="acme", version="1.0").status_code == 200
        assert site.client.get(site.file_url("acme", NAME)).content == content
    left = unfinished(store)
    assert len(left) == 1
    assert control(store).abort_uploads_to(left[0]) == 1
