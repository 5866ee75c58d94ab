"""The targets of fuzzing: functions of bytes that return nothing and raise only when something is wrong with quire.

Each hands bytes to one reader of what clients or other programs send. The reader may refuse them, by an error of
quire.domain.errors; it must not fail otherwise, and what it accepts must have the properties that its callers build on.
Python's hypothesis and libFuzzer's atheris both drive them; the corpus lies beside, a folder for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.types import Message

from quire.access.authenticator import parse_basic
from quire.archives.metadata import (
    CoreMetadata,
    check_agreement,
    is_complete_archive,
    is_static,
    parse_metadata,
    read_metadata,
)
from quire.catalog.served import IndexPolicy, ServedIndex
from quire.domain.errors import InvalidDistribution, InvalidName, QuireError, StoreError
from quire.domain.names import (
    Kind,
    ParsedFilename,
    guess_filename,
    is_normalized,
    is_prerelease,
    normalize_name,
    parse_filename,
    same_version,
    version_sort_key,
)
from quire.domain.project import File, decode_project, encode_project
from quire.http.api.xmlrpc import parse_call, search_terms
from quire.http.app.framing import problem_with
from quire.http.app.worker import Worker
from quire.http.simple.files import single_range
from quire.http.simple.forms import MAX_DOCUMENT_BYTES, received_form
from quire.http.ui.projects.described import described
from quire.http.ui.projects.difference import Side, difference
from quire.index.index import Index
from quire.render.negotiation import MediaType, negotiate, negotiate_encoding
from quire.render.pypi_json import render_release_json
from quire.render.simple import ProjectListing, render_project
from quire.search.facts import Facts, with_metadata
from quire.store.memory import MemoryStore
from quire.store.posix.store import PosixStore
from tests.fuzz import identities

CORPUS = Path(__file__).parent / "corpus"

# -- what clients send ------------------------------------------------------------------------------------------------


def form(data: bytes) -> None:
    """The upload form: the first byte is the size of its pieces, the first line the boundary; empty: urlencoded.

    However a body is cut into pieces, it is the same form, or fails with the same sentence.
    """
    if not data:
        return
    boundary, _, body = data[1:].partition(b"\n")
    sent_as = b"multipart/form-data; boundary=" + boundary if boundary else b"application/x-www-form-urlencoded"
    whole = asyncio.run(_receive(sent_as, [body]))
    size = data[0] % 64 + 1
    pieces = [body[at : at + size] for at in range(0, min(len(body), 2000), size)]
    in_pieces = asyncio.run(_receive(sent_as, [*pieces, body[2000:]] if body else []))
    assert whole == in_pieces, (whole, in_pieces)


_KEPT = 2**20


async def _receive(sent_as: bytes, pieces: list[bytes]) -> object:
    store = MemoryStore()

    async def in_writer(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    async def authorize_again(_: Request) -> None:
        pass

    settings = SimpleNamespace(max_upload_size=_KEPT, body_timeout=60.0)
    access = SimpleNamespace(authorize_again=authorize_again)
    worker = SimpleNamespace(settings=settings, access=access, in_writer=in_writer)
    application = SimpleNamespace(state=SimpleNamespace(worker=worker))
    index = SimpleNamespace(store=store, policy=IndexPolicy())
    waiting = list(pieces)

    async def receive() -> Message:
        piece = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    headers = [(b"content-type", sent_as)]
    request = Request({"type": "http", "app": application, "method": "POST", "headers": headers}, receive)
    found: object
    try:
        async with received_form(request, cast("Worker", worker), cast("ServedIndex", index)) as received:
            texts = {}
            for name, value in received.fields.items():
                assert len(value) <= MAX_DOCUMENT_BYTES
                with contextlib.suppress(QuireError):
                    texts[name] = received.text(name)
            size = received.content.finish().size if received.content is not None else None
            assert size is None or size <= _KEPT
            assert (size is None) == (received.filename is None)
            found = texts, received.fields, received.filename, size
    except QuireError as error:
        found = type(error)
    assert not store.state.incoming, "something stayed in staging"
    return found


def names(data: bytes) -> None:
    """Filenames, project names and versions."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(InvalidName):
        normalized = normalize_name(text)
        assert is_normalized(normalized)
        assert normalize_name(normalized) == normalized
    assert isinstance(is_normalized(text), bool)
    first, _, second = text.partition("\n")
    assert same_version(first, second) == same_version(second, first)
    assert isinstance(is_prerelease(first), bool)
    sorted([first, second, "1.0"], key=version_sort_key)
    guessed = guess_filename(text)
    if guessed is not None:
        assert guessed.filename == text
        assert is_normalized(guessed.project)
    try:
        parsed = parse_filename(text)
    except InvalidName:
        return
    assert parsed.filename == text
    assert is_normalized(parsed.project)
    assert os.path.basename(text) == text
    assert not text.startswith(".")
    assert text.isprintable()
    assert len(text.encode()) <= 240
    assert same_version(parsed.version, parsed.version)
    assert guessed is not None, "what may be uploaded would not be listed from a folder"
    if parsed.kind is not Kind.SDIST or text.count("-") == 1:  # `a-1.0-1.tar.gz` may be two things
        assert guessed.project == parsed.project


def negotiation(data: bytes) -> None:
    """Accept, ?format= and Accept-Encoding."""
    text = data.decode("latin-1")
    accept, _, wanted = text.partition("\n")
    for found in (negotiate(accept), negotiate(accept, wanted)):
        assert found is None or found in MediaType
    assert negotiate_encoding(text) in {"zstd", "gzip", "identity"}


def ranges(data: bytes) -> None:
    """Range, of files of several sizes."""
    text = data.decode("latin-1")
    for size in (0, 1, 1000, 2**40):
        found = single_range(text, size)
        if found is not None and found[0] < found[1]:
            assert 0 <= found[0] < found[1] <= size


def basic(data: bytes) -> None:
    """Authorization."""
    found = parse_basic(data.decode("latin-1"))
    if found is not None:
        assert ":" not in found.username
        assert "\n" not in found.username
        assert found.password not in repr(found) or found.password in repr(found.username) + "Credentials(username=)"


def framing(data: bytes) -> None:
    """Content-Length, Transfer-Encoding and Host; a line each."""
    lengths, encodings, hosts = (data.split(b"\n")[at::3] for at in range(3))
    sentence = problem_with(lengths, encodings, hosts)
    if sentence is None:
        assert not (lengths and encodings)
        assert len(lengths) <= 1
        assert not any(each in b' /\\@<>"?#\r\n' for host in hosts for each in host.strip())


def xmlrpc(data: bytes) -> None:
    """XML-RPC calls."""
    with contextlib.suppress(QuireError):
        parameters, _ = parse_call(data)
        assert all(isinstance(term, str) for term in search_terms(parameters))


# -- what is in distributions -----------------------------------------------------------------------------------------

_FILENAMES = (
    "sample-1.0-py3-none-any.whl",
    "sample-1.0.tar.gz",
    "sample-1.0.zip",
    "sample-1.0-py3.11.egg",
    "sample-1.0.tar.bz2",
    "sample-1.0.tar.xz",
    "sample-1.0.tar",
    "sample-1.0.tar.Z",
)


@cache
def _parsed(number: int) -> ParsedFilename:
    found = guess_filename(_FILENAMES[number % len(_FILENAMES)])
    assert found is not None
    return found


def archives(data: bytes) -> None:
    """Wheels, sdists and eggs; the first byte says which."""
    if not data:
        return
    parsed = _parsed(data[0])
    complete = is_complete_archive(io.BytesIO(data[1:]), parsed)
    try:
        document = read_metadata(io.BytesIO(data[1:]), parsed)
    except InvalidDistribution:
        return
    assert complete or parsed.filename.endswith((".tar", ".tar.Z")), "readable, but never listed"
    with contextlib.suppress(InvalidDistribution):
        assert read_metadata(io.BytesIO(data[1:]), parsed, strict=True) == document, "an upload is read otherwise"
    if document is not None:
        metadata(document)


def metadata(data: bytes) -> None:
    """Core metadata documents."""
    for strict in (True, False):
        with contextlib.suppress(InvalidDistribution):
            found = parse_metadata(data, strict=strict)
            assert isinstance(is_static(found), bool)
            _shown(found)
            if strict:
                normalize_name(found.name)
            with contextlib.suppress(InvalidDistribution):
                check_agreement(_parsed(0), found)


def _shown(found: CoreMetadata) -> None:
    """All that readers get of it: the page, a difference, the facts that are searched, and PyPI's JSON."""
    repr(described(found, lambda _: True)).encode()
    difference(Side("1.0", found, ()), Side("2.0", None, ()))
    difference(Side("1.0", found, ()), Side("2.0", _plain(), ()))
    msgspec.json.encode(with_metadata(Facts(display="sample"), found, ""))
    file = File(filename=_FILENAMES[0], version="1.0", size=1, hashes={"sha256": "0" * 64})
    render_release_json("sample", [(file, "x")], None, found)


@cache
def _plain() -> CoreMetadata:
    return parse_metadata(b"Metadata-Version: 2.1\nName: sample\nVersion: 2.0\n")


# -- what lies in the store -------------------------------------------------------------------------------------------


def records(data: bytes) -> None:
    """Documents of projects: what is read is written back as the same, and can be shown."""
    try:
        project = decode_project(data)
    except StoreError:
        return
    assert decode_project(encode_project(project)) == project
    files = tuple((file, "x") for file in project.files.values())
    listing = ProjectListing("sample", project.status, project.status_reason, files)
    for media_type in MediaType:
        render_project(listing, media_type)


def store(data: bytes) -> None:
    """The directory of a record: entries, divided by NUL NUL, of a kind, a name, a line feed and a content."""
    with tempfile.TemporaryDirectory(dir=_scratch()) as root:
        opened = PosixStore.open(root)
        index = Index(opened)
        directory = Path(root, "quire", "records", index.key("sample"))
        directory.mkdir(parents=True)
        for entry in data.split(b"\0\0")[:20]:
            name, _, content = entry[1:].partition(b"\n")
            path = os.path.join(os.fsencode(directory), os.path.basename(name.replace(b"\0", b"")))
            with contextlib.suppress(OSError):  # a name that is taken, too long or none
                _put(entry[:1], path, content)
        with contextlib.suppress(StoreError):
            index.project("sample")
        with contextlib.suppress(StoreError):
            index.names()
        with contextlib.suppress(StoreError):
            record = opened.records.read(index.key("sample"))
            again = opened.records.write(index.key("sample"), b"{}", record)
            assert opened.records.read(index.key("sample")).data == again.data == b"{}"


def _put(kind: bytes, path: bytes, content: bytes) -> None:
    if kind == b"d":
        os.mkdir(path)
    elif kind == b"l":
        os.symlink(content.replace(b"\0", b""), path)
    elif kind == b"p":
        os.mkfifo(path)
    else:
        with open(path, "xb") as file:
            file.write(content)


def _scratch() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(form, names, negotiation, ranges, basic, framing, xmlrpc),
        *(archives, metadata, records, store),
        *(identities.tokens, identities.keys, identities.users, identities.attestations, identities.cookies),
    )
}
