"""Requests to the JSON API of a server, whose answers are trusted no further than needed.

An answer is read up to a limit and within a deadline, and must be of the type that is expected. No redirect is followed
to another origin, so credentials reach the host that was named and no other. Errors are sentences without credentials.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import httpx
import msgspec

from quire import __version__
from quire.administration.credentials import Credentials, Login
from quire.administration.documents import Problem
from quire.domain import errors
from quire.domain.errors import ConfigurationError, QuireError, UpstreamError, reason_of
from quire.domain.structs import decode_as

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""The largest: a project of some 100,000 files."""
SECONDS: Final = 120.0
"""Within which an answer must be complete."""
FILE_SECONDS: Final = 900.0
"""The same for the answer to a file, which is sent and read within them."""
SILENT_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 10.0
BASE: Final = "/-/api/v1"
_CHUNK: Final = 64 * 1024
_MOST_REDIRECTS: Final = 3
_MOST_SAID: Final = 1000
_JSON: Final = {"application/json", "application/problem+json"}
_NOTHING_THERE: Final = ("There is nothing at this address", "This address does not take this method")
_ERRORS: Final[Mapping[int, type[QuireError]]] = {
    400: errors.InvalidRequest,
    404: errors.NotFound,
    409: errors.ReadOnlyFile,
    412: errors.ChangedMeanwhile,
    413: errors.TooLarge,
    507: errors.StoreFull,
}

T = TypeVar("T")


class _Answer(NamedTuple):
    status: int
    media_type: str
    body: bytes


class SentFile(NamedTuple):
    """A file of this machine as the body of a request."""

    file: BinaryIO
    media_type: str


class Client:
    """One server, asked by one thread. A context manager."""

    def __init__(self, url: str, environ: Mapping[str, str], *, seconds: float = SECONDS) -> None:
        """`url`: the base URL of the server, perhaps with user and password; the one of its `/simple/` is taken, too.
        `seconds`: within which an answer must be complete.

        Raises ConfigurationError.
        """
        self._seconds = seconds
        try:
            parts = urlsplit(url.strip())
            is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
            path = parts.path.rstrip("/").removesuffix("/simple")
            self.url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
            """Without credentials."""
            httpx.URL(self.url)
        except (ValueError, httpx.InvalidURL):
            is_usable = False
        if not is_usable or parts.query or parts.fragment:
            raise ConfigurationError(
                "The URL of the server is not of the form https://packages.acme.example/ (--url, QUIRE_URL)."
            )
        self._credentials = Credentials(url.strip(), environ)
        self._login = self._credentials.at_hand()
        try:
            self._client = httpx.Client(
                headers={"User-Agent": f"quire/{__version__}", "Accept": "application/json, application/problem+json"},
                timeout=httpx.Timeout(min(seconds, SILENT_SECONDS), connect=min(seconds, CONNECT_SECONDS)),
                verify=ssl.create_default_context(),  # the system's authorities, or SSL_CERT_FILE and SSL_CERT_DIR
                limits=httpx.Limits(max_keepalive_connections=0),  # most commands send one request
                follow_redirects=False,
            )
        except (ValueError, ImportError, OSError) as error:
            raise ConfigurationError(
                f"No connection can be made with the proxies and certificates in the environment ({reason_of(error)})."
            ) from None

    def close(self) -> None:
        self._client.close()

    def get(self, kind: type[T], *segments: str, **query: str | None) -> T:
        """The answer to a GET. `segments`: of the path below the API's base, not quoted."""
        return self._decoded(kind, self._asked("GET", segments, query, None))

    def post(self, kind: type[T], body: msgspec.Struct, *segments: str) -> T:
        """The answer to a POST."""
        content = msgspec.json.encode(_fields(body))
        return self._decoded(kind, self._asked("POST", segments, {}, content))

    def post_file(self, kind: type[T], file: SentFile, *segments: str, **query: str | None) -> T:
        """The answer to a POST of a file, which the server reads before it answers."""
        return self._decoded(kind, self._asked("POST", segments, query, file))

    def _asked(
        self, method: str, segments: tuple[str, ...], query: Mapping[str, str | None], content: bytes | SentFile | None
    ) -> _Answer:
        url = f"{self.url}{BASE}/{'/'.join(quote(each, safe='') for each in segments)}"
        sent = {name: value for name, value in query.items() if value is not None}
        further = None
        while True:
            answer = self._request(method, url, sent, content)
            if answer.status != 401:
                break
            further = further or self._credentials.asked_for()
            login: Login | None = next(further, None)
            if login is None:
                break
            self._login = login
        if answer.media_type not in _JSON:
            raise UpstreamError(_no_quire(self.url, answer))
        if answer.status != 200:
            self._refused(answer)
        return answer

    def _request(self, method: str, url: str, query: Mapping[str, str], content: bytes | SentFile | None) -> _Answer:
        """Raises UpstreamError."""
        headers = {"Accept-Encoding": "identity"}
        more: dict[str, Any] = {"content": content}
        seconds = self._seconds
        if isinstance(content, SentFile):
            content.file.seek(0)
            headers["Content-Type"] = content.media_type
            seconds = max(seconds, FILE_SECONDS)
            more = {"content": content.file, "timeout": httpx.Timeout(seconds, connect=CONNECT_SECONDS)}
        elif content is not None:
            headers["Content-Type"] = "application/json"
        if self._login is not None:
            headers["Authorization"] = self._login.header
        for _ in range(_MOST_REDIRECTS + 1):
            request = self._client.build_request(method, url, params=query or None, headers=headers, **more)
            answer, location = self._sent(request, seconds)
            if location is None:
                return answer
            target = _joined(str(request.url), location)
            if method != "GET" or _origin(target) != _origin(self.url):
                parts = urlsplit(target)
                shown = ascii(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200])
                raise UpstreamError(
                    f"The server {self.url} redirects to {shown}, where no credentials are sent; if that is the index, "
                    "give its address with --url."
                )
            url, query = target, {}
        raise UpstreamError(f"The server {self.url} redirects in a circle.")

    def _sent(self, request: httpx.Request, seconds: float) -> tuple[_Answer, str | None]:
        """An answer, or where it redirects to."""
        deadline = time.monotonic() + seconds
        unknown = "" if request.method == "GET" else " It is not known whether the change was made: repeat it."
        body = bytearray()
        is_answered = False
        try:
            response = self._client.send(request, stream=True)
            is_answered = True
            try:
                if response.has_redirect_location:
                    return _Answer(response.status_code, "", b""), response.headers["location"]
                for chunk in response.iter_raw(_CHUNK):
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise UpstreamError(f"The server {self.url} answers with more than {MAX_ANSWER_BYTES} bytes.")
                    if time.monotonic() > deadline:
                        raise UpstreamError(
                            f"The server {self.url} did not answer within {seconds:g} seconds.{unknown}"
                        )
            finally:
                response.close()
        except httpx.TimeoutException as error:
            raise UpstreamError(f"The server {self.url} does not answer in time.{unknown}") from error
        except httpx.ConnectError as error:
            reason = reason_of(error)
            if reason.startswith("TLS fails"):
                reason = f"{reason}; an http server needs http://"
            raise UpstreamError(f"The server {self.url} cannot be reached: {reason}.") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            reason = reason_of(error)
            if not is_answered and isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
                reason += self._tls_advice()
            raise UpstreamError(f"The connection to {self.url} broke: {reason}.{unknown}") from error
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return _Answer(response.status_code, media_type, bytes(body)), None

    def _decoded(self, kind: type[T], answer: _Answer) -> T:
        try:
            return decode_as(answer.body, kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamError(
                f"The server {self.url} answers with JSON that this quire ({__version__}) does not understand; use the "
                "version of the server."
            ) from None

    def _refused(self, answer: _Answer) -> NoReturn:
        """Raise the error that an answer tells."""
        problem = self._decoded(Problem, answer)
        said = " ".join(problem.detail[:_MOST_SAID].split())
        sentence = (
            "".join(each if each.isprintable() else "?" for each in said) or f"The server answers {answer.status}."
        )
        if answer.status in {404, 405} and sentence.startswith(_NOTHING_THERE):
            raise UpstreamError(
                f"The server {self.url} does not have this part of the API of quire {__version__}: check the address "
                "(it is that of the home page, without the name of an index); if it is right, the server is another "
                "version."
            )
        if answer.status == 401:
            raise UpstreamError(f"{sentence} {self.advice()}")
        kind = _ERRORS.get(answer.status, errors.StoreError if answer.status >= 500 else errors.QuireError)
        raise kind(sentence)

    def _tls_advice(self) -> str:
        """For the answer of a server that may expect TLS: it says nothing, or in a protocol that is not HTTP."""
        return "; a server with TLS needs https://" if self.url.startswith("http:") else ""

    @property
    def has_login(self) -> bool:
        """Whether a login was sent last."""
        return self._login is not None

    def advice(self) -> str:
        """A sentence on the login: where it is from, or how to give one."""
        if self._login is not None:
            return f"The login is from {self._login.source}."
        return "Set QUIRE_TOKEN, or have a netrc file or the command keyring with a login for this server."


def _no_quire(url: str, answer: _Answer) -> str:
    kind = f"with {answer.media_type[:80]!a}" if answer.media_type else "without a media type"
    if answer.status in {401, 407, 403} or (answer.status == 200 and answer.media_type == "text/html"):
        return (
            f"The server {url} answers {answer.status} with {kind!a}, as the login page of a proxy does; it is no "
            "answer of quire. Give the address that installers use."
        )
    return (
        f"The server {url} answers {answer.status} with {kind!a}: there is no quire at this address, or one without "
        "the API."
    )


def _joined(url: str, location: str) -> str:
    """The address that a redirect leads to; an empty one for none."""
    try:
        target = urljoin(url, location)
        httpx.URL(target)
    except (ValueError, httpx.InvalidURL):
        return ""
    return target


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", None, None


def _fields(body: msgspec.Struct) -> dict[str, Any]:
    """Without the fields that mean nothing by None, which an earlier version of the server may not know."""
    fields: dict[str, Any] = msgspec.to_builtins(body)
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(body)}
    return {name: value for name, value in fields.items() if value is not None or defaults[name] is not None}
