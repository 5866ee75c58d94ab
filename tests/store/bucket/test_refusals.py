"""The sentences for requests that a bucket refuses to the credentials: each says what cannot be done."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quire.domain.errors import StoreError
from quire.store.bucket.client import ObjectBucket, open_bucket
from quire.store.bucket.patience import Patience
from tests.serving import environment, run_quire


class Refusing(BaseHTTPRequestHandler):
    """An S3 server that refuses each request as S3 does where the policy does not allow it."""

    def refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b"<Error><Code>AccessDenied</Code></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = refuse  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        pass


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    """The environment that leads to that server, while it runs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "testsecret",
                "AWS_REGION": "us-east-1",
            }
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def bucket(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> ObjectBucket:
    """A bucket of that server."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)  # obstore reads the environment of the process
    return open_bucket("s3://bucket/prefix", variables)


@pytest.mark.parametrize(
    ("ask", "done"),
    [
        (lambda bucket: bucket.get("key"), "read"),
        (lambda bucket: bucket.head("key"), "read"),
        (lambda bucket: bucket.read_at("key", 0, 1), "read"),
        (lambda bucket: bucket.begin_reading("key", 1), "read"),
        (lambda bucket: bucket.mark_of("key"), "read"),
        (lambda bucket: list(bucket.list("folder")), "listed"),
        (lambda bucket: bucket.put("key", b"data", None), "written"),
        (lambda bucket: bucket.create("key", b"data", "mark"), "written"),
        (lambda bucket: bucket.overwrite("key", b"data"), "written"),
        (lambda bucket: bucket.remove("key"), "deleted"),
    ],
)
def test_a_refusal_says_what_cannot_be_done(
    bucket: ObjectBucket, ask: Callable[[ObjectBucket], object], done: str
) -> None:
    """An operator reads from it which right is missing."""
    with pytest.raises(StoreError, match=f"^Objects of the bucket s3://bucket/prefix cannot be {done} with these"):
        ask(bucket)


def test_a_refused_upload_in_parts(bucket: ObjectBucket) -> None:
    """It is refused as a small file is."""
    upload = bucket.upload("key", 5 * 1024 * 1024)
    with pytest.raises(StoreError, match=r"cannot be written with these credentials: it answered 403"):
        upload.write(bytes(15 * 1024 * 1024))
    with pytest.raises(StoreError):
        upload.finish()


def test_a_server_that_cannot_start_names_the_examination(variables: dict[str, str], tmp_path: Path) -> None:
    """Its error is one line, and ends with the command that says what is wrong with the bucket."""
    url = "s3://bucket/prefix"
    done = run_quire("run", "-p", "0", "-a", ".", "-P", ".", url, cwd=tmp_path, environ=environment(**variables))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot be read with these credentials: it answered 403 AccessDenied." in done.stderr
    assert done.stderr.endswith(f"run 'quire doctor {url}'.\n")


# -- no answer --------------------------------------------------------------------------------------------------------


@contextmanager
def listener(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port whose connections are handled so, one after the other, and then closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def sentence_from(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The sentence of a read from a bucket at this address."""
    environ = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "r"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    bucket = open_bucket("s3://bucket/prefix", environ, Patience(read=0.1, request=0.5, long_request=0.5))
    with pytest.raises(StoreError) as caught:
        bucket.get("a")
    assert "error sending request" not in str(caught.value)
    return str(caught.value)


def test_a_server_that_refuses_connections_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its address, for all that a command says."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    said = sentence_from(address, monkeypatch)
    assert said.startswith(f"The bucket cannot answer: {address} refuses connections; check that the server runs")


def test_a_name_that_does_not_resolve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an address with a mistake in it, or a region that there is not."""
    said = sentence_from("http://s3.no-such-name.invalid:9000", monkeypatch)
    assert "the name s3.no-such-name.invalid does not resolve; check the address of the server" in said


def closing(connection: socket.socket) -> None:
    connection.recv(10)


def silent(connection: socket.socket) -> None:
    connection.recv(1_000_000)
    connection.recv(1)  # the end, by the client


def saying(text: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(text)

    return answer


@pytest.mark.parametrize(
    ("scheme", "answer", "sentence"),
    [
        ("http", closing, "closed the connection before its answer was complete"),
        ("http", saying(b"SSH-2.0-x\r\n"), "gave no answer (Parse)"),
        ("https", saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak TLS"),
        ("http", silent, "did not answer in time"),
        ("https", silent, "in time"),
    ],
    ids=["closed", "another protocol", "no TLS", "silent", "silent TLS"],
)
def test_the_cause_is_said_where_no_answer_comes(
    scheme: str, answer: Callable[[socket.socket], object], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the address of the server."""
    with listener(answer) as port:
        said = sentence_from(f"{scheme}://127.0.0.1:{port}", monkeypatch)
    assert sentence in said
    assert f"{scheme}://127.0.0.1:{port}" in said
