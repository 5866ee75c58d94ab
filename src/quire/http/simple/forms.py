"""Forms of uploads (multipart/form-data, RFC 7578), read as a stream with bounds on everything.

The file goes to the store's staging as it arrives, hashed on its way; of the other fields only those that are used are
kept. The parser calls back synchronously; a thread writes what it hands over, a megabyte at a time, while the next one
arrives. The last piece, which for most files is all of them, is left to the user of the file: that is a thread already,
and handing over to one costs more than writing does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import QuerystringParser, parse_options_header
from starlette.requests import Request

from quire.catalog.served import ServedIndex
from quire.domain.errors import InvalidRequest, StoreError, TooLarge
from quire.http.app.problems import HttpError
from quire.http.app.worker import Worker, worker_of
from quire.http.simple.form_lines import FormLines
from quire.http.simple.plain_parts import PLAIN_DISPOSITION
from quire.http.simple.quotas import early_quotas
from quire.index.upload import upload_key
from quire.store.contracts import Staged, Staging

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks, QuerystringCallbacks

_WRITE_BYTES = 1024 * 1024
MAX_FIELD_BYTES = 64 * 1024
MAX_DOCUMENT_BYTES = 1024 * 1024
"""For the signature and the attestations."""
MAX_OTHER_BYTES = 16 * 1024 * 1024
"""Of everything but the file: descriptions are long, and read from the file's own metadata instead."""
MAX_PARTS = 10_000
_CONTENT = "content"
"""The field that is the file."""
_DOCUMENTS = frozenset({"gpg_signature", "attestations"})
_KEPT = frozenset(
    {
        *(":action", "protocol_version", "name", "version", "filetype", "pyversion", "metadata_version"),
        *("sha256_digest", "md5_digest", "blake2_256_digest"),
        *_DOCUMENTS,
    }
)


class Content:
    """The form's file on its way into the store. All but `add` may wait for the disk, and is for threads."""

    def __init__(self, stage: Callable[[], Staging]) -> None:
        self.size = 0
        """Bytes that were added."""
        self.pending_bytes = 0
        """Those of them that are not yet written."""
        self.is_discarded = False
        self._is_owned = False
        self._stage = stage
        self._pending: list[bytes] = []
        self._staging: Staging | None = None
        self._staged: Staged | None = None
        # A cancelled request discards while its last write still runs: the staging of that write must not stay behind.
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        """Append; to be written later."""
        self._pending.append(data)
        self.pending_bytes += len(data)
        self.size += len(data)

    def take_pending(self) -> list[bytes]:
        """The pieces that were added and not written yet, for `write`. Not for threads, as `add`."""
        pending, self._pending, self.pending_bytes = self._pending, [], 0
        return pending

    def write(self, pieces: list[bytes]) -> None:
        """Append to the staging, which is begun with the first pieces. Raises StoreError or a subclass."""
        with self._lock:
            self._write(pieces)

    def finish(self) -> Staged:
        """The whole file, which is durable after its publication. Raises StoreError or a subclass."""
        with self._lock:
            self._staged = self._write(self.take_pending()).finish(durable=False)
            return self._staged

    def own(self) -> None:
        """Take the file over from the request: from here on `give_up` leaves it alone, and the caller discards it.

        Raises StoreError when it was given up before.
        """
        with self._lock:
            self._check()
            self._is_owned = True

    def discard(self) -> None:
        """Discard the bytes if they were not published. Idempotent."""
        with self._lock:
            self._discard()

    def give_up(self) -> None:
        """The request is over: discard, unless the file is owned."""
        with self._lock:
            if not self._is_owned:
                self._discard()

    def _check(self) -> None:
        if self.is_discarded:
            raise StoreError("This upload was given up already; repeat it.")

    def _discard(self) -> None:
        self.is_discarded = True
        self._pending.clear()
        begun = self._staged or self._staging
        if begun is not None:
            begun.discard()
        self._staged = self._staging = None

    def _write(self, pieces: list[bytes]) -> Staging:
        self._check()
        if self._staging is None:
            self._staging = self._stage()
        data = b"".join(pieces) if len(pieces) != 1 else pieces[0]
        if data:
            self._staging.write(data)
        return self._staging


@dataclass(slots=True)
class Form:
    """A form as it arrived."""

    fields: dict[str, bytes] = field(default_factory=dict)
    """The kept fields; of `gpg_signature` the file's bytes."""
    filename: str | None = None
    """Of the part named `content`; None when there was none."""
    content: Content | None = None
    """There when `filename` is."""

    def text(self, name: str) -> str | None:
        """A field as text; None when it was not sent or is empty. Raises InvalidRequest when it is not UTF-8."""
        try:
            return self.fields.get(name, b"").decode().strip() or None
        except UnicodeDecodeError:
            raise InvalidRequest(f"The form field {name} is not UTF-8 text.") from None


class _Reader:
    """The parser's callbacks: fills a Form."""

    def __init__(self, worker: Worker, index: ServedIndex, form: Form) -> None:
        self.form = form
        self.complete = False
        self._worker = worker
        self._index = index
        self._content_bytes = 0
        self._parts = 0
        self._header_name = b""
        self._header_value = b""
        self._name: str | None = None
        self._value: bytearray | None = None
        self._in_content = False

    # multipart

    def on_part(self, name: str, filename: str | None, content: bytes) -> None:
        """A whole part, with the parser's callbacks for its pieces."""
        self._count_part()
        if name in _KEPT or name == _CONTENT:
            self.begin(name, filename)
            if content:
                self.take(content)
            self.on_part_end()

    def on_part_begin(self) -> None:
        self._count_part()
        self._name, self._value, self._in_content = None, None, False

    def on_header_begin(self) -> None:
        self._header_name = self._header_value = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        if self._header_name.lower() != b"content-disposition":
            return
        if plain := PLAIN_DISPOSITION.fullmatch(self._header_value):
            self.begin(_text(plain[1]), _text(plain[2]))
            return
        _, options = parse_options_header(self._header_value)
        self.begin(_text(options.get(b"name")), _text(options.get(b"filename")))

    def on_headers_finished(self) -> None:
        if self._name is None:
            raise InvalidRequest("A part of the form has no name; send it as multipart/form-data.")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.take(data[start:end])

    def on_part_end(self) -> None:
        if self._name is not None and self._value is not None:
            self.form.fields[self._name] = bytes(self._value)

    def on_end(self) -> None:
        self.complete = True

    # urlencoded

    def on_field_start(self) -> None:
        self._count_part()
        self._header_name = b""
        self._name = None

    def on_field_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        if len(self._header_name) > 1000:
            raise InvalidRequest("A form field has a name of over 1,000 bytes.")

    def on_field_data(self, data: bytes, start: int, end: int) -> None:
        if self._name is None:
            self.begin(_unquoted(self._header_name), None)
        self.take(data[start:end])

    def on_field_end(self) -> None:
        if self._name is not None and self._value is not None:
            self.form.fields[self._name] = _unquoted(bytes(self._value)).encode()

    # both

    def check_size(self, received: int) -> None:
        """Bound all bytes but the file's, boundaries and headers included, by the bytes of the whole form so far."""
        if received - self._content_bytes > MAX_OTHER_BYTES:
            raise TooLarge("The form's fields are larger than 16 MiB together; shorten the description.")

    def _count_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise TooLarge(f"The form has more than {MAX_PARTS:,} fields.")

    def begin(self, name: str | None, filename: str | None) -> None:
        self._name = name or ""
        self._in_content = name == _CONTENT
        self._value = None
        if self._in_content:
            if self.form.filename is not None:
                raise InvalidRequest("The form has more than one file named 'content'; upload files one by one.")
            if filename is None:
                raise InvalidRequest("The form field 'content' must be a file with a filename.")
            self.form.filename = filename
            index = self._index
            algorithms = index.policy.further_algorithms
            self.form.content = Content(lambda: index.store.blobs.stage(upload_key(filename), algorithms))
        elif name in _KEPT:
            if name in self.form.fields:
                raise InvalidRequest(f"The form field {name} was sent twice.")
            self._value = bytearray()

    def take(self, data: bytes) -> None:
        if self._in_content and self.form.content is not None:
            self._content_bytes += len(data)
            if self._content_bytes > self._worker.settings.max_upload_size:
                raise too_large(self._worker)
            self.form.content.add(data)
            return
        if self._value is not None:
            limit = MAX_DOCUMENT_BYTES if self._name in _DOCUMENTS else MAX_FIELD_BYTES
            if len(self._value) + len(data) > limit:
                raise TooLarge(f"The form field {self._name} is larger than {limit // 1024} KiB.")
            self._value += data


@contextlib.asynccontextmanager
async def received_form(request: Request, worker: Worker, index: ServedIndex) -> AsyncIterator[Form]:
    """The form of a request, complete. Its file is discarded at the end of the block, unless it was published.

    Raises InvalidRequest (not a form, damaged, truncated), TooLarge, QuotaExceeded, HttpError 403, 408 when the client
    falls silent.
    """
    length = request.headers.get("content-length", "")
    length = length if length.isdecimal() else ""
    if length and int(length) > worker.settings.max_upload_size + MAX_OTHER_BYTES:
        raise too_large(worker)
    quotas = early_quotas(request, worker, index, length=int(length), others=MAX_OTHER_BYTES) if length else None
    form = Form()
    writing: asyncio.Task[None] | None = None
    try:
        reader = _Reader(worker, index, form)
        parser = _parser(request, reader)
        try:
            received = 0
            chunks = body_chunks(request, worker.settings.body_timeout)
            async for chunk in chunks:
                received += len(chunk)
                parser.write(chunk)
                reader.check_size(received)
                if quotas is not None and form.filename is not None:
                    if received < int(length) and form.text(":action") == "file_upload":
                        await quotas.check(form.filename)
                    quotas = None
                if form.content is not None and form.content.pending_bytes >= _WRITE_BYTES:
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(worker.in_writer(form.content.write, form.content.take_pending()))
                    writing.add_done_callback(_note_error)
            parser.finalize()
            if writing is not None:
                await writing
        except FormParserError as error:
            raise InvalidRequest(f"The form is damaged ({error}); upload again.") from error
        if not reader.complete:
            raise InvalidRequest("The form ended before its last boundary; the upload was cut off, repeat it.")
        yield form
    finally:
        if form.content is not None and not form.content.is_discarded:
            await worker.in_writer(form.content.give_up)


def _note_error(task: asyncio.Task[None]) -> None:
    """The error of a write is raised by the form, unless another error ended it: then this one is not retrieved."""
    if not task.cancelled():
        task.exception()


def _parser(request: Request, reader: _Reader) -> FormLines | QuerystringParser:
    content_type, options = parse_options_header(request.headers.get("content-type"))
    if content_type == b"application/x-www-form-urlencoded":
        fields: QuerystringCallbacks = {
            "on_field_start": reader.on_field_start,
            "on_field_name": reader.on_field_name,
            "on_field_data": reader.on_field_data,
            "on_field_end": reader.on_field_end,
            "on_end": reader.on_end,
        }
        return QuerystringParser(fields)
    boundary = options.get(b"boundary")
    if content_type != b"multipart/form-data" or not boundary:
        raise InvalidRequest("An upload is a form; send it as multipart/form-data with a boundary.")
    parts: MultipartCallbacks = {
        "on_part_begin": reader.on_part_begin,
        "on_header_begin": reader.on_header_begin,
        "on_header_field": reader.on_header_field,
        "on_header_value": reader.on_header_value,
        "on_header_end": reader.on_header_end,
        "on_headers_finished": reader.on_headers_finished,
        "on_part_data": reader.on_part_data,
        "on_part_end": reader.on_part_end,
        "on_end": reader.on_end,
    }
    try:
        return FormLines(boundary, parts, reader)
    except FormParserError as error:
        raise InvalidRequest(f"The form's boundary cannot be used ({error}).") from error


async def body_chunks(request: Request, patience: float) -> AsyncIterator[bytes]:
    """The body as it arrives; at its end the sender still has the right that it needed at the head.

    Raises HttpError 408 when nothing arrives for `patience` seconds, and what `Access.authorize_again` raises.
    """
    is_more = True
    while is_more:
        try:
            async with asyncio.timeout(patience):
                message = await request.receive()
        except TimeoutError:
            raise HttpError(408, f"Nothing of the upload arrived for {patience:g} seconds; repeat it.") from None
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The client went away before the upload was complete.")
        is_more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk
    await worker_of(request).access.authorize_again(request)


def too_large(worker: Worker) -> TooLarge:
    """The error for a file over the limit."""
    limit = worker.settings.max_upload_size
    return TooLarge(f"The file is larger than this index takes ({limit:,} bytes); the operator can raise the limit.")


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _unquoted(value: bytes) -> str:
    return unquote_plus(value.decode("latin-1"), errors="replace")
