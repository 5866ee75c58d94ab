"""Requests to receivers: signed as Standard Webhooks says, and bounded in time, size and place.

Replaced here: the parser of a header, which fails, since it should fail at no header; and the resolver of names, which
hangs.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from quire.domain.errors import InvalidRequest
from quire.domain.webhooks import new_secret, parse_secret, parse_url
from quire.webhooks import sending
from quire.webhooks.addresses import AllowedAddresses
from quire.webhooks.events import ping
from quire.webhooks.sending import MOST_READ, MOST_SHOWN, Sender
from quire.webhooks.signing import signed_headers
from tests.receivers import Answer, receiving
from tests.serving import environment, free_port, until

LOOPBACK = ("127.0.0.0/8", "::1/128")


def test_the_signature_is_that_of_the_specification() -> None:
    """The example that the libraries of Standard Webhooks are tested with."""
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets_sign_twice() -> None:
    """While a secret is rotated a receiver may know either."""
    secrets = [new_secret(), new_secret()]
    with receiving() as receiver:
        assert Sender(LOOPBACK).send(receiver.url, signed_headers("evt_1", 7, b"{}", secrets), b"{}").is_success
    (received,) = receiver.received
    assert all(received.is_signed_by(secret) for secret in secrets)
    assert not received.is_signed_by(new_secret())


@pytest.mark.parametrize(
    "text",
    ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_ÄÖ", "whsec_" + "A" * 400, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    """Too short, too long, no base64, without its mark."""
    with pytest.raises(InvalidRequest, match="whsec_"):
        parse_secret(text)


@pytest.mark.parametrize(
    "url",
    [
        *("", "x", "ftp://a/", "file:///etc/passwd", "http://", "https://user:secret@a/", "http://a/#f", "http://a:0/"),
        *("http://a:99999/", "http://[::1", "http://a/ b", "http://a/\n", "http://ä/", "gopher://a/"),
        "http://a/" + "x" * 3000,
    ],
)
def test_what_is_no_url_of_a_receiver_is_refused(url: str) -> None:
    """With a sentence, and without an exception of another kind."""
    with pytest.raises(InvalidRequest):
        parse_url(url)


def test_the_login_of_a_refused_url_is_not_shown() -> None:
    """Also where it cannot be told from the rest of the URL."""
    with pytest.raises(InvalidRequest) as caught:
        parse_url("https://ann:s3^cret/x@ci.example/")
    assert "'https://***@ci.example/' is no URL of a receiver" in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.1", "0.0.0.0", "::1", "::", "169.254.169.254", "169.254.170.2", "fe80::1", "224.0.0.1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "fd00:ec2::254"),
        *("255.255.255.255", "240.0.0.1", "100.100.100.200", "168.63.129.16", "ff02::1"),
    ],
)
def test_addresses_of_the_machine_are_refused(address: str) -> None:
    """Also those that mean one in another form, and where clouds give out credentials."""
    assert not AllowedAddresses().includes(ip_address(address))
    assert AllowedAddresses(("0.0.0.0/0", "::/0")).includes(ip_address(address))


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.1.1", "172.16.0.9", "fd12::1", "93.184.216.34", "100.64.0.1"])
def test_private_and_public_addresses_are_allowed(address: str) -> None:
    """The receivers of a private index are in a private network."""
    assert AllowedAddresses().includes(ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1"])
def test_nothing_is_sent_to_the_machine_itself(host: str) -> None:
    """Whatever the name of it: the address of the connection decides."""
    with receiving() as receiver:
        answer = Sender().send(receiver.url.replace("127.0.0.1", host), {}, b"{}")
    assert receiver.received == []
    assert answer.status is None
    assert answer.error is not None
    assert "No webhook is delivered to" in answer.error


def test_a_redirect_is_not_followed() -> None:
    """It could lead to an address that is refused; the sentence says what to do."""
    with receiving() as receiver, receiving() as other:
        receiver.answer = lambda _: Answer(307, {"Location": other.url})
        answer = Sender(LOOPBACK).send(receiver.url, {}, b"{}")
    assert other.received == []
    assert (answer.status, answer.is_success) == (307, False)
    assert "redirects are not followed" in str(answer.error)


def test_an_answer_without_an_end_is_bounded() -> None:
    """No more is read than needed, and no more shown than a line without control characters."""
    with receiving() as receiver:
        receiver.answer = lambda _: Answer(200, body=b"a\x1b[2Jb\n" * MOST_READ * 20)
        answer = Sender(LOOPBACK).send(receiver.url, {}, b"{}")
    assert answer.is_success
    assert len(answer.text) <= MOST_SHOWN
    assert answer.text.isprintable()


def test_a_receiver_that_hangs_is_left() -> None:
    """Also one that goes on sending a byte now and then, so that no single read takes long."""
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not ended.wait(0.05):
                try:
                    connection.sendall(b"X-A: b\r\n")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    answer = Sender(LOOPBACK, seconds=0.5).send(f"http://127.0.0.1:{listener.getsockname()[1]}/", {}, b"{}")
    ended.set()
    thread.join()
    listener.close()
    assert answer.status is None
    assert answer.error == "There was no complete answer within 0.5 seconds."


@pytest.mark.parametrize("proxy", [None, "http://proxy.invalid:1"])
def test_a_resolver_that_hangs_is_left(proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be interrupted, so a thread goes on with it for which the delivery does not wait. Nothing is sent when
    there is an address in the end."""
    monkeypatch.delenv("http_proxy", raising=False)
    if proxy is not None:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
    resolve, is_left, waited = socket.getaddrinfo, threading.Event(), list[bool]()

    def hang(_host: str, *arguments: Any, **more: Any) -> Any:
        waited.append(is_left.wait(20))
        return resolve("127.0.0.1", *arguments, **more)

    with receiving() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", hang)
        port = urlsplit(receiver.url).port
        answer = Sender(LOOPBACK, seconds=0.5).send(f"http://receiver.invalid:{port}/hooks", {}, b"{}")
        is_left.set()
        for thread in threading.enumerate():
            if thread.name == "resolve":
                thread.join()
    assert all(waited), "the delivery ended after the resolver"
    assert (answer.status, answer.is_success, receiver.received) == (None, False, [])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17.0),
        (" 17 ", 17.0),
        ("0", 0.0),
        ("99999999", 86_400.0),
        ("9" * 40, None),
        ("-1", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    """Both of its forms, at most a day; anything else counts as none."""
    with receiving() as receiver:
        receiver.answer = lambda _: Answer(429, {"Retry-After": header})
        answer = Sender(LOOPBACK).send(receiver.url, {}, b"{}")
    assert answer.retry_after == seconds


def test_retry_after_as_a_date() -> None:
    """Seconds from now."""
    with receiving() as receiver:
        date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        receiver.answer = lambda _: Answer(503, {"Retry-After": date})
        answer = Sender(LOOPBACK).send(receiver.url, {}, b"{}")
    assert answer.retry_after is not None
    assert 0 < answer.retry_after <= 3600


def test_an_answer_at_which_a_parser_fails_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever kind: else the event would be sent for ever, without an attempt that counts."""

    def fails(_: str | None) -> float | None:
        raise RuntimeError("odd")

    monkeypatch.setattr(sending, "_retry_after", fails)
    with receiving() as receiver:
        answer = Sender(LOOPBACK).send(receiver.url, {}, b"{}")
    assert (answer.status, answer.error) == (None, "The answer of the receiver cannot be read (odd).")


def test_garbage_is_a_failure() -> None:
    """No answer of HTTP, a closed port, a name that does not exist: a sentence each."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"220 mail.acme.example ESMTP\r\n")

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    assert "gives no answer" in str(Sender(LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, b"{}").error)
    thread.join()
    listener.close()
    assert "cannot be reached" in str(Sender(LOOPBACK).send(f"http://127.0.0.1:{port}/", {}, b"{}").error)
    unknown = str(Sender(LOOPBACK).send("http://receiver.invalid/", {}, b"{}").error)
    assert "cannot be reached" in unknown
    assert "Errno" not in unknown


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the host's name, though the connection is made to an address; `SSL_CERT_FILE` names another authority."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with receiving(context) as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        assert "certificate" in str(Sender(LOOPBACK).send(url, {}, b"{}").error).lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Sender(LOOPBACK).send(url, {}, b"{}").is_success
        assert "certificate" in str(Sender(LOOPBACK).send(receiver.url, {}, b"{}").error).lower()
    assert len(receiver.received) == 1
    assert receiver.received[0].headers["host"].startswith("localhost:")


def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds the address of the receiver itself, in a network where this machine cannot."""
    with receiving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/hooks"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert Sender().send("http://receiver.invalid/hooks", {}, b"{}").is_success
    assert proxy.received[0].headers["host"] == "receiver.invalid"


def test_the_receiver_of_the_documentation_verifies(tmp_path: Path) -> None:
    """As it is printed it takes an event with the right secret, and refuses one with another, or an old one."""
    page = (Path(__file__).parent.parent.parent / "docs" / "how-to" / "webhooks.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    port, secret = free_port(), new_secret()
    assert code.count("8000") == 1
    program = tmp_path / "receiver.py"
    program.write_text(code.replace("8000", str(port)))
    body, now = ping("test").encode(), int(time.time())
    with subprocess.Popen([sys.executable, program], env=environment(SECRET=secret), cwd=tmp_path) as process:
        try:
            sender, url = Sender(LOOPBACK), f"http://127.0.0.1:{port}/"
            until(lambda: sender.send(url, signed_headers("evt_test", now, body, [secret]), body).status == 204)
            for headers in (
                signed_headers("evt_test", now, body, [new_secret()]),
                signed_headers("evt_test", now - 3600, body, [secret]),
                signed_headers("evt_test", now, body, [secret]) | {"webhook-id": "evt_other"},
            ):
                assert sender.send(url, headers, body).status == 401
            both = signed_headers("evt_test", now, body, [new_secret(), secret])
            assert sender.send(url, both, body).status == 204
        finally:
            process.terminate()
