"""Sending one request to a receiver, which is trusted with nothing: time, size and the place of it are bounded."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import structlog

from quire import __version__
from quire.domain.errors import reason_of
from quire.domain.times import http_date
from quire.process.in_thread import in_thread
from quire.webhooks.addresses import AllowedAddresses, ReceiverRefused

if TYPE_CHECKING:
    import httpx

SECONDS: Final = 10.0
"""Within which an answer must be complete."""
MOST_READ: Final = 64 * 1024
"""Bytes of an answer's body that are read at most."""
MOST_SHOWN: Final = 200
"""Characters of it that people are shown."""
_MOST_WAIT: Final = 86_400.0
_MOST_ADDRESSES: Final = 3
_MOST_DIGITS: Final = 9

P = ParamSpec("P")
T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a receiver, or why there is none."""

    status: int | None = None
    text: str = ""
    """The beginning of the body, in one line."""
    error: str | None = None
    """A sentence; None when there was an answer of success."""
    retry_after: float | None = None
    """Seconds that the receiver asks to wait."""
    milliseconds: int = 0

    @property
    def is_success(self) -> bool:
        return self.error is None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no deliveries any more."""
        return self.status == 410


class Sender:
    """Sends requests, from any thread. A certificate authority of one's own is named by `SSL_CERT_FILE`, a proxy by
    `HTTPS_PROXY`, as for the other clients of quire."""

    def __init__(self, networks: Iterable[str] = (), *, seconds: float = SECONDS) -> None:
        """`networks`: see `AllowedAddresses`. `seconds`: within which an answer must be complete."""
        self._allowed = AllowedAddresses(networks)
        self._seconds = seconds

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST a body. Blocks. Never raises for a receiver that fails."""
        begun = time.monotonic()
        sent = {"Content-Type": "application/json", "User-Agent": f"quire/{__version__}", **headers}
        try:
            answer = asyncio.run(self._send(url, {**sent, "Accept-Encoding": "identity"}, body))
        except ReceiverRefused as error:
            answer = Answer(error=str(error))
        except TimeoutError:
            answer = Answer(error=f"There was no complete answer within {self._seconds:g} seconds.")
        except (OSError, ValueError) as error:
            answer = Answer(error=f"The receiver cannot be reached ({reason_of(error)}).")
        except Exception as error:  # of a parser of answers: an event whose sending raises would be sent for ever
            log.exception("answer of a receiver not understood", receiver=urlsplit(url).netloc)
            answer = Answer(error=f"The answer of the receiver cannot be read ({reason_of(error)}).")
        return Answer(
            answer.status,
            answer.text,
            answer.error,
            answer.retry_after,
            round(1000 * (time.monotonic() - begun)),
        )

    async def _send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        import httpx  # noqa: PLC0415 - only workers that deliver need it

        asyncio.get_running_loop().set_default_executor(_Resolvers())
        failure: Exception = OSError("no address")
        async with asyncio.timeout(self._seconds):
            places, proxy = await self._places(url)
            for place, further in places:
                try:
                    async with (
                        httpx.AsyncClient(
                            verify=self._tls,
                            proxy=proxy,
                            trust_env=False,
                            timeout=self._seconds,
                            follow_redirects=False,
                        ) as client,
                        client.stream(
                            "POST",
                            place,
                            content=body,
                            headers={**headers, "Host": urlsplit(url).netloc},
                            extensions=further,
                        ) as response,
                    ):
                        return await _read(response)
                except httpx.ConnectError as error:
                    failure = error
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    return Answer(error=f"The receiver gives no answer ({reason_of(error)}).")
        return Answer(error=f"The receiver cannot be reached ({reason_of(failure)}).")

    async def _places(self, url: str) -> tuple[list[tuple[str, dict[str, str]]], str | None]:
        """The URLs to try, each with its extensions of httpx; and the proxy, if there is one.

        A proxy finds the address itself, and decides where it connects to.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        proxies = urllib.request.getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if proxy and not urllib.request.proxy_bypass(host):
            return [(url, {})], proxy
        port = parts.port or (443 if parts.scheme == "https" else 80)
        addresses = await in_thread(None, self._allowed.resolve, host, port)
        shown = [f"[{each}]:{port}" if ":" in each else f"{each}:{port}" for each in addresses[:_MOST_ADDRESSES]]
        return [(parts._replace(netloc=each).geturl(), {"sni_hostname": host}) for each in shown], None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # the system's authorities, or SSL_CERT_FILE and SSL_CERT_DIR


class _Resolvers(ThreadPoolExecutor):
    """The threads in which an event loop resolves names, that of a proxy as well. Its end does not wait for them: a
    resolver cannot be interrupted, and may take longer than a delivery."""

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future = Future[T]()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args, **kwargs))
                except Exception as error:  # noqa: BLE001 - raised again where the result is waited for
                    future.set_exception(error)

        threading.Thread(target=run, name="resolve", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass  # there are no threads but those of `submit`


async def _read(response: httpx.Response) -> Answer:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MOST_READ:
            break
    status = response.status_code
    text = " ".join(body[: 4 * MOST_SHOWN].decode("utf-8", "replace").split())[:MOST_SHOWN]
    text = "".join(each if each.isprintable() else "?" for each in text)
    error = None
    if 300 <= status < 400:
        error = f"The receiver answered {status}: redirects are not followed, give the address that it leads to."
    elif not 200 <= status < 300:
        error = f"The receiver answered {status}."
    return Answer(status, text, error, _retry_after(response.headers.get("retry-after")))


def _retry_after(header: str | None) -> float | None:
    """Seconds, of both forms of the header (RFC 9110, 10.2.3), at most a day; None for none."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return min(float(text), _MOST_WAIT)
    when = http_date(text)
    if when is None:
        return None
    return min(max((when - datetime.now(UTC)).total_seconds(), 0.0), _MOST_WAIT)
