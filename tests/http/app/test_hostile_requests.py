"""Bad requests to a real server: broken forms, hostile archives, slow and huge clients. None leaves a trace."""

from __future__ import annotations

import io
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asking import (
    OPEN,
    Part,
    Site,
    content_type,
    multipart,
    nothing_changes,
    post,
    publish,
    publish_wheel,
    raw_answer,
    serve,
    twine_form,
)
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.memory import growth

FILENAME, CONTENT = wheel_name("sample", "1.0"), make_wheel("sample", "1.0", files={"data": bytes(range(256)) * 1000})
FORM = twine_form(FILENAME, CONTENT, name="sample", version="1.0")
BODY = multipart(FORM)
BODY_TIMEOUT = 0.3


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    """An index with one project, `there`; after every test nothing else is there, and it still takes uploads."""
    with serve(tmp_path_factory.mktemp("hostile"), *OPEN, place=place) as site:
        publish_wheel(site, "there")
        yield site
        publish_wheel(site, "last")


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index that gives an upload up after a third of a second of silence."""
    with serve(tmp_path_factory.mktemp("impatient"), *OPEN, "--body-timeout", BODY_TIMEOUT) as site:
        yield site


def _head(length: int | None = len(BODY), boundary: str | None = None) -> bytes:
    kind = content_type(boundary) if boundary is not None else content_type()
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n{size}\r\n\r\n".encode()


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 1, 200, len(BODY) - 3 * len(CONTENT) // 4, len(BODY) - 1])
def test_a_connection_that_breaks_off(site: Site, kept: int) -> None:
    """The client goes away in the middle of its body: nothing of it stays."""
    with nothing_changes(site), site.connect() as connection:
        connection.sendall(_head() + BODY[:kept])
        connection.close()


@pytest.mark.parametrize("kept", [0, 1, 200, len(BODY) - len(CONTENT) // 2, len(BODY) - 60])
def test_a_form_without_its_end(site: Site, kept: int) -> None:
    """A Content-Length that is too small, or a proxy that cut the body: 400 and a sentence."""
    with nothing_changes(site):
        answer = site.raw(_head(kept) + BODY[:kept])
        assert answer.status == 400
        assert len(answer.body.splitlines()) == 1


def test_chunks_that_end_too_early(site: Site) -> None:
    """The same in chunked encoding."""
    half = BODY[: len(BODY) // 2]
    with nothing_changes(site):
        answer = site.raw(_head(None) + f"{len(half):x}\r\n".encode() + half + b"\r\n0\r\n\r\n")
        assert answer.status == 400
        assert b"cut off" in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: x\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz",
    ],
)
def test_lengths_that_are_none(site: Site, headers: bytes) -> None:
    """The server refuses them itself, or closes the connection; others are served on."""
    with nothing_changes(site), site.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
        assert connection.recv(12) in {b"HTTP/1.1 400", b"HTTP/1.1 408", b""}


@pytest.mark.parametrize(
    ("sent_as", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", BODY),
        ("multipart/form-data; boundary=", BODY),
        (content_type("b" * 1000), BODY),
        (content_type("other"), BODY),
        (content_type(), b"garbage" + BODY),
        (content_type(), b"\0" * 100_000),
        (content_type(), b"------------quire-tests\r\n" * 1000),
        (content_type(), BODY.replace(b"Content-Disposition", b"Content-Dis\0position")),
        (content_type(), BODY.replace(b'name=":action"', b"name")),
        (content_type(), BODY.replace(b"Content-Disposition", b"X-Other")),
        (content_type(), BODY.replace(b'name="version"', b'name="version"; ' + b"x" * 100_000)),
        (content_type(), BODY.replace(b'name="version"\r\n', b'name="version"\r\n' + b"X-A: b\r\n" * 10_000)),
        (content_type(), b""),
        ("", BODY),
    ],
)
def test_garbage_instead_of_a_form(site: Site, sent_as: str, body: bytes) -> None:
    """Other media types, no boundary, another boundary, hostile part headers: 400 and one sentence."""
    with nothing_changes(site):
        answer = site.client.post("/", content=body, headers={"content-type": sent_as})
        assert answer.status_code == 400, answer.text
        assert len(answer.text.splitlines()) == 1
        assert len(answer.text) < 500


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([*FORM, ("name2", "x" * 17_000_000)], 413),
        ([*FORM, *[("description", "x" * 9_000_000)] * 2], 413),
        ([*FORM, *[("classifiers", "")] * 20_000], 413),
        ([*FORM, *[("x" * 3000, "")] * 6_000], 413),
        (twine_form(FILENAME, CONTENT, name="x" * 70_000, version="1.0"), 413),
        ([*FORM, ("gpg_signature", "a.asc", b"x" * 1_100_000)], 413),
        ([*FORM, ("attestations", "x" * 1_100_000)], 413),
        (twine_form(FILENAME, CONTENT, name="x" * 60_000, version="1.0"), 400),
        (twine_form(FILENAME, CONTENT, name="sample", version="1" * 60_000), 400),
    ],
)
def test_huge_fields(site: Site, parts: list[Part], status: int) -> None:
    """Fields are bounded one by one and together; however long the value, the sentence is short."""
    with nothing_changes(site):
        answer = post(site, parts)
        assert answer.status_code == status, answer.text[:500]
        assert len(answer.text.splitlines()) == 1
        assert len(answer.text) < 1000


def test_a_long_description_is_no_hindrance(site: Site) -> None:
    """A readme of some megabytes is read over; the metadata that counts is in the file."""
    with nothing_changes(site):
        parts = twine_form(FILENAME, CONTENT, name="sample", version="1.0", replaced={"sha256_digest": "wrong"})
        assert "digest" in post(site, [*parts, ("description", "x" * 9_000_000)]).text


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filename",
    [
        "../sample-1.0-py3-none-any.whl",
        "..",
        "/etc/cron.d/sample-1.0.tar.gz",
        "a/sample-1.0-py3-none-any.whl",
        "a\\\\sample-1.0-py3-none-any.whl",
        "sample-1.0-py3-none-any.whl\0.exe",
        "sample-1.0\x01-py3-none-any.whl",
        f"sample-1.0-{'x' * 300}-none-any.whl",
        f"{'s' * 300}-1.0.tar.gz",
        ".sample-1.0.tar.gz",
        "",
        " ",
        "sample.whl",
        "sample-1.0-py3-none-any.exe",
        "sample-not.a.version-py3-none-any.whl",
        "sample-1.0.tar.gz.asc",
        "sämple-1.0-py3-none-any.whl",
        "index.html",
        "sample-1.0-py3-none-any.whl.metadata",
    ],
)
def test_filenames_that_are_none(site: Site, filename: str) -> None:
    """Paths, NUL, control characters, too long, no distribution: 400 and one printable sentence."""
    with nothing_changes(site):
        answer = post(site, twine_form(filename, CONTENT, name="sample", version="1.0"))
        assert answer.status_code == 400, answer.text
        assert len(answer.text.splitlines()) == 1
        assert answer.text.strip().isprintable()


# -- archives ---------------------------------------------------------------------------------------------------------


def _wheel(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def _sdist(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """An sdist with one more member."""
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return make_sdist("sample", "1.0", members=[(member, b"")])


_WHEEL = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
BOMB = _wheel(
    ("sample-1.0.dist-info/WHEEL", _WHEEL),
    ("sample-1.0.dist-info/METADATA", metadata_text("sample", "1.0").encode() + b"\n" * 300_000_000),
)
GOOD = metadata_text("sample", "1.0")
SDIST = make_sdist("sample", "1.0")
OTHER_SDIST = make_sdist("sample", "1.0", metadata=metadata_text("other", "1.0"))
TAR = sdist_name("sample", "1.0")


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        (FILENAME, BOMB),
        (FILENAME, b""),
        (FILENAME, b"not an archive"),
        (FILENAME, CONTENT[:-100]),
        (FILENAME, CONTENT[100:]),
        (FILENAME, _wheel(("sample.py", b""))),
        (FILENAME, _wheel(("other-1.0.dist-info/METADATA", GOOD.encode()))),
        (FILENAME, make_wheel("sample", "1.0", metadata=metadata_text("other", "1.0"))),
        (FILENAME, make_wheel("sample", "1.0", metadata=metadata_text("sample", "2.0"))),
        (FILENAME, make_wheel("sample", "1.0", metadata="Name: other\n" + GOOD)),
        (FILENAME, make_wheel("sample", "1.0", metadata=GOOD.replace("Summary", "Version"))),
        (FILENAME, make_wheel("sample", "1.0", metadata=GOOD.replace("Summary", "Requires-Python"))),
        (FILENAME, make_wheel("sample", "1.0", metadata=GOOD.replace(">=3.8", "not a specifier"))),
        (FILENAME, make_wheel("sample", "1.0", metadata="\n")),
        (FILENAME, SDIST),
        (TAR, CONTENT),
        (TAR, SDIST[:-20]),
        (TAR, b"\x1f\x8b" + b"\0" * 1000),
        (TAR, OTHER_SDIST),
        (TAR, _sdist("/etc/passwd")),
        (TAR, _sdist("sample-1.0/../../x")),
        (TAR, _sdist("sample-1.0/l", tarfile.SYMTYPE, "/etc/passwd")),
        (TAR, _sdist("sample-1.0/l", tarfile.SYMTYPE, "../../x")),
        (TAR, _sdist("sample-1.0/l", tarfile.LNKTYPE, "../x")),
        (TAR, _sdist("sample-1.0/d", tarfile.CHRTYPE)),
    ],
)
def test_archives_that_are_refused(site: Site, filename: str, content: bytes) -> None:
    """Bombs, fragments, other formats, members that lead out, metadata that disagrees: 400 and one sentence."""
    with nothing_changes(site):
        answer = publish(site, filename, content, name="sample", version="1.0")
        assert answer.status_code == 400, answer.text
        assert len(answer.text.splitlines()) == 1
        assert "Traceback" not in answer.text


def test_a_bomb_is_not_unpacked(site: Site) -> None:
    """300 MB of metadata in 300 KB of wheel are given up at the limit, and the sentence says why."""
    assert len(BOMB) < 400_000
    answer = publish(site, FILENAME, BOMB, name="sample", version="1.0")
    assert "expands to 300000184 bytes" in answer.text


# -- slow and huge clients --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 150, len(BODY) - len(CONTENT) // 2])
def test_a_body_that_stops_coming(impatient: Site, sent: int) -> None:
    """408 and a sentence when nothing arrives any more; other clients are served meanwhile."""
    with nothing_changes(impatient), impatient.connect() as connection:
        connection.sendall(_head() + BODY[:sent])
        assert impatient.get("/simple/").status_code == 200
        answer = raw_answer(connection)
        assert answer.status == 408
        assert answer.body == b"Nothing of the upload arrived for 0.3 seconds; repeat it.\n"


def test_a_slow_body_that_goes_on_is_accepted(impatient: Site) -> None:
    """The timeout is one of silence, not of the whole upload."""
    filename, content = wheel_name("slow", "1.0"), make_wheel("slow", "1.0")
    body = multipart(twine_form(filename, content, name="slow", version="1.0"))
    pieces = [body[at : at + len(body) // 5 + 1] for at in range(0, len(body), len(body) // 5 + 1)]
    with impatient.connect() as connection:
        connection.sendall(_head(len(body)))
        for piece in pieces:
            time.sleep(BODY_TIMEOUT / 3)  # what is tested: a client that lingers, but not too long
            connection.sendall(piece)
        assert raw_answer(connection).status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 1_000_000,
        b"GET /" + b"a" * 1_000_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: a\r\n" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600,
        b"GET /simple/ HTTP/1.1\r\nHost: x\r\nBad Header\r\n",
        b"\0\0\0\0\r\n",
    ],
)
def test_hostile_heads(site: Site, head: bytes) -> None:
    """Megabytes of headers, TLS, garbage: a 4xx or a closed connection, and all other clients are served."""
    with site.connect() as connection:
        try:
            connection.sendall(head + b"\r\n\r\n")
            answer = connection.recv(1000)
        except ConnectionError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert site.get("/simple/there/").status_code == 200


def test_many_idle_connections(site: Site) -> None:
    """Two hundred clients that connect and send nothing, or half a line, delay no other client."""
    connections = [site.connect() for _ in range(200)]
    for connection in connections[::2]:
        connection.sendall(b"GET /simple/the")
    assert site.get("/simple/there/").status_code == 200
    for connection in connections:
        connection.close()


def _big_upload(folder: Path, megabytes: int) -> Iterator[bytes]:
    """The body of an upload of a wheel of this size, piece by piece."""
    info, contents = "huge-1.0.dist-info", {"METADATA": metadata_text("huge", "1.0").encode(), "WHEEL": _WHEEL}
    with zipfile.ZipFile(folder / "huge.zip", "w", zipfile.ZIP_STORED) as archive:
        with archive.open("huge/data", "w", force_zip64=True) as member:
            for number in range(megabytes):
                member.write(number.to_bytes(4, "big") * 2**18)
        for name, text in contents.items():
            archive.writestr(f"{info}/{name}", text)
        rows = ("huge/data", *(f"{info}/{name}" for name in (*contents, "RECORD")))
        archive.writestr(f"{info}/RECORD", "".join(f"{row},,\n" for row in rows))
    form = multipart([(":action", "file_upload"), ("content", wheel_name("huge", "1.0"), b"%")])
    before, _, after = form.rpartition(b"%")
    yield before
    with (folder / "huge.zip").open("rb") as file:
        while piece := file.read(2**20):
            yield piece
    yield after


@pytest.mark.on_disk("a store in memory keeps the upload there")
def test_a_big_upload_needs_no_memory(site: Site, tmp_path: Path) -> None:
    """300 MB go through a worker whose peak memory does not rise by more than 60 MB."""
    headers = {"content-type": content_type()}
    with growth(site.served.process.pid) as grown:
        answer = site.client.post("/", content=_big_upload(tmp_path, 300), headers=headers, timeout=120)
        assert answer.status_code == 200, answer.text
        assert grown() < 60_000_000
    assert site.listing("huge")["files"][0]["size"] > 300_000_000
