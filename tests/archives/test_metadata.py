"""Core metadata out of sound, odd, damaged and hostile archives.

Replaced here: limits, since archives of their real size take minutes to make, and the pattern that chooses between
two ways of parsing, since both must give the same result.
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import functools
import gzip
import io
import lzma
import random
import re
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from email.parser import HeaderParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quire.archives import limits, metadata
from quire.archives.limits import MAX_METADATA_BYTES
from quire.archives.members import check_member_name, plain_path
from quire.archives.metadata import (
    CoreMetadata,
    check_agreement,
    is_complete_archive,
    parse_metadata,
    read_metadata,
)
from quire.archives.wheels import is_record, wheel_version
from quire.archives.zips import has_zip_member
from quire.domain.errors import InvalidDistribution, StoreError
from quire.domain.names import ParsedFilename, guess_filename, parse_filename
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name

WHEEL = "foo-1.0-py3-none-any.whl"
SDIST = "foo-1.0.tar.gz"
PKG_INFO = metadata_text("foo", "1.0").encode()


def read(data: bytes, filename: str) -> bytes | None:
    parsed = guess_filename(filename)
    assert parsed is not None
    return read_metadata(io.BytesIO(data), parsed)


def complete(data: bytes, filename: str) -> bool:
    parsed = guess_filename(filename)
    assert parsed is not None
    return is_complete_archive(io.BytesIO(data), parsed)


def refused(data: bytes, filename: str) -> str:
    """The sentence with which the archive is refused; fails when it is not."""
    with pytest.raises(InvalidDistribution) as caught:
        read(data, filename)
    check_sentence(caught.value)
    return str(caught.value)


def refused_upload(data: bytes, filename: str) -> str:
    """As `refused`, by the rules for uploads."""
    with pytest.raises(InvalidDistribution) as caught:
        read_metadata(io.BytesIO(data), parse_filename(filename), strict=True)
    check_sentence(caught.value)
    return str(caught.value)


def check_sentence(error: InvalidDistribution) -> None:
    """It fits a header line and a terminal, whatever names the archive brought."""
    assert str(error).isprintable()
    assert str(error).endswith(".")
    assert len(str(error)) < 400


def make_zip(
    contents: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"", force64: bool = False
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of duplicates, which are wanted here
        for name, data in contents:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=force64) as member:
                member.write(data)
        archive.comment = comment
    return buffer.getvalue()


def with_many_members(data: bytes) -> bytes:
    """The same zip with its first entry 66,000 times in the directory, which needs the zip64 end records."""
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entries = data[start:end].split(b"PK\x01\x02")[1:]
    directory = b"".join(b"PK\x01\x02" + entry for entry in [entries[0]] * 66_000 + entries[1:])
    count = 66_000 + len(entries) - 1
    records = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(directory), 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), start, 0)
    return data[:start] + directory + records + locator + last


def with_zip64_records(data: bytes, *, count: int | None = None, size: int | None = None) -> bytes:
    """The same zip as Python's zipfile ends one of 2 to 4 GiB: with zip64 records, and with true numbers in the end
    record as well. `count`, `size`: other numbers for the zip64 record.
    """
    end = data.rindex(b"PK\x05\x06")
    *_, true_count, true_size, offset, _ = struct.unpack("<4s4H2LH", data[end:])
    numbers = (true_count, true_count if count is None else count, true_size if size is None else size, offset)
    records = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *numbers)
    return data[:end] + records + struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1) + data[end:]


def wheel_contents(document: bytes = PKG_INFO, directory: str = "foo-1.0.dist-info") -> list[tuple[str, bytes]]:
    return [("foo.py", b""), (f"{directory}/METADATA", document), (f"{directory}/WHEEL", b"Wheel-Version: 1.0\n")]


def make_tar(members: list[tuple[tarfile.TarInfo | str, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002 - tarfile's own word
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = info.size or len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


# -- sound archives ---------------------------------------------------------------------------------------------------


def test_wheel_and_sdist_give_their_document_byte_for_byte() -> None:
    """The document is what stands in the archive, whatever dots and dashes the project's name has."""
    text = metadata_text("Foo.Bar", "1.0", extra="Unknown-Field: kept\n")
    assert read(make_wheel("Foo.Bar", "1.0", metadata=text), wheel_name("Foo.Bar", "1.0")) == text.encode()
    assert read(make_sdist("Foo.Bar", "1.0", metadata=text), sdist_name("Foo.Bar", "1.0")) == text.encode()


@pytest.mark.parametrize(
    ("filename", "compress"),
    [
        ("foo-1.0.tar", bytes),
        ("foo-1.0.tgz", gzip.compress),
        ("foo-1.0.tar.bz2", bz2.compress),
        ("foo-1.0.tar.xz", lzma.compress),
        ("foo-1.0.tar.lzma", functools.partial(lzma.compress, format=lzma.FORMAT_ALONE)),
        ("foo-1.0.TAR.GZ", gzip.compress),
    ],
)
@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_compression_of_old_sdists(filename: str, compress: Callable[[bytes], bytes], tar_format: int) -> None:
    """Each is read, found complete, and found incomplete without its last bytes."""
    tar = make_tar([("foo-1.0/" + "x" * 90, b"x" * 70_000), ("foo-1.0/PKG-INFO", PKG_INFO)], tar_format)
    data = compress(tar)
    assert read(data, filename) == PKG_INFO
    assert complete(data, filename)
    cut = data[: len(data) - len(data) // 4]
    assert not complete(cut, filename)
    refused(cut, filename)


def test_concatenated_gzip_streams_and_padding() -> None:
    """Parallel compressors write many streams, tape drives pad with zeros; both are one sound sdist."""
    tar = make_tar([("foo-1.0/PKG-INFO", PKG_INFO), ("foo-1.0/a", bytes(100_000))])
    data = b"".join(gzip.compress(tar[at : at + 7000]) for at in range(0, len(tar), 7000))
    assert read(data, SDIST) == PKG_INFO
    assert read(data + bytes(100_000), SDIST) == PKG_INFO
    assert complete(data + bytes(3), SDIST)


def test_zip_sdist_and_egg() -> None:
    """PKG-INFO one level down in a zip sdist, in EGG-INFO in an egg; deeper and other ones do not count."""
    deep = [("foo-1.0/foo.egg-info/PKG-INFO", b"no"), ("foo-1.0/setup.py", b"")]
    assert read(make_zip([*deep, ("foo-1.0/PKG-INFO", PKG_INFO)]), "foo-1.0.zip") == PKG_INFO
    assert read(make_zip(deep), "foo-1.0.zip") is None
    assert read(make_zip([("EGG-INFO/PKG-INFO", PKG_INFO)]), "foo-1.0-py3.9.egg") == PKG_INFO
    assert read(make_zip([("foo.py", b"")]), "foo-1.0-py3.9.egg") is None


def test_executable_egg() -> None:
    """An egg may begin with a shell script; a wheel may not."""
    egg = make_zip([("EGG-INFO/PKG-INFO", PKG_INFO)])
    for archive in (egg, with_zip64_records(egg)):
        assert read(b"#!/bin/sh\nexec python $0\n" + archive, "foo-1.0-py2.7.egg") == PKG_INFO
    refused(b"#!/bin/sh\n" + make_zip(wheel_contents()), WHEEL)


def test_sdist_without_metadata_has_none() -> None:
    """Sdists from before PKG-INFO are served as they are."""
    data = gzip.compress(
        make_tar([("foo-1.0/setup.py", b""), ("foo-1.0/foo.egg-info/PKG-INFO", b"no"), ("PKG-INFO", b"")])
    )
    assert read(data, SDIST) is None


def test_kinds_that_are_not_read() -> None:
    """Installers and dumb archives have no core metadata, whatever their bytes."""
    for filename in ("foo-1.0.win32.exe", "foo-1.0-1.noarch.rpm", "foo-1.0.linux-x86_64.tar.gz", "foo-1.0.tar.Z"):
        assert read(b"anything", filename) is None
    assert complete(b"anything", "foo-1.0.win32.exe")
    assert complete(b"anything", "foo-1.0.tar.Z")
    assert not complete(b"anything", "foo-1.0.linux-x86_64.tar.gz")


@pytest.mark.parametrize(
    ("filename", "directory"),
    [
        ("foo_bar-1.0-py3-none-any.whl", "Foo.Bar-1.0.dist-info"),
        ("foo_bar-1.0-py3-none-any.whl", "foo-bar-1.0.0.dist-info"),
        ("foo_bar-1.0+a.1-py3-none-any.whl", "foo_bar-1.0+a_1.dist-info"),
        ("foo_bar-1.0.post1-py3-none-any.whl", "foo_bar-1.0-1.dist-info"),
    ],
)
def test_dist_info_spelled_otherwise(filename: str, directory: str) -> None:
    """The directory's name and version are compared by meaning: old tools escaped them in other ways."""
    assert read(make_zip(wheel_contents(directory=directory)), filename) == PKG_INFO


def test_zip_with_comment_stored_members_and_zip64() -> None:
    """All the forms of a zip that build tools write."""
    for data in (
        make_zip(wheel_contents(), comment=b"a comment"),
        make_zip(wheel_contents(), method=zipfile.ZIP_STORED),
        make_zip(wheel_contents(), force64=True),
        with_many_members(make_zip(wheel_contents())),
        with_zip64_records(make_zip(wheel_contents())),
    ):
        assert read(data, WHEEL) == PKG_INFO
        assert complete(data, WHEEL)
        assert not complete(data[:-1], WHEEL)


def test_the_two_end_records_of_a_zip_agree() -> None:
    """Else readers differ in what the archive holds: it is refused."""
    data = make_zip(wheel_contents())
    for wrong in (with_zip64_records(data, count=1), with_zip64_records(data, size=10)):
        refused(wrong, WHEEL)
        assert not complete(wrong, WHEEL)


def test_a_zip64_locator_leads_to_the_record_before_it() -> None:
    """Some readers follow it to another directory, and some look right before it."""
    data = with_zip64_records(make_zip(wheel_contents()))
    locator, end = data.rindex(b"PK\x06\x07"), data.rindex(b"PK\x05\x06")
    for place in (0, locator - 57, locator, len(data), 2**64 - 1):
        wrong = data[: locator + 8] + struct.pack("<Q", place) + data[locator + 16 :]
        refused(wrong, WHEEL)
        assert not complete(wrong, WHEEL)
    for wrong in (data[: locator - 56] + data[locator:], data[locator:], data[locator:end]):
        refused(wrong, WHEEL)
        assert not complete(wrong, WHEEL)


# -- truncation -------------------------------------------------------------------------------------------------------


def test_no_prefix_of_a_wheel_is_complete() -> None:
    """Cut at any byte, even where a whole zip stored within it ends."""
    inner = make_zip(wheel_contents(), zipfile.ZIP_STORED)
    data = make_zip([("inner.zip", inner), *wheel_contents()], zipfile.ZIP_STORED)
    assert read(data, WHEEL) == PKG_INFO
    for length in range(len(data)):
        assert not complete(data[:length], WHEEL), length
        refused(data[:length], WHEEL)


@pytest.mark.parametrize(
    "compress", [gzip.compress, lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:])]
)
def test_no_prefix_of_an_sdist_is_complete(compress: Callable[[bytes], bytes]) -> None:
    """Cut at any byte, also one that falls between two gzip streams, or where the tar has already ended."""
    data = compress(make_tar([("foo-1.0/PKG-INFO", PKG_INFO), ("foo-1.0/a", random.Random(1).randbytes(900))]))
    assert read(data, SDIST) == PKG_INFO
    for length in range(len(data)):
        try:
            read(data[:length], SDIST)
        except InvalidDistribution:
            continue
        pytest.fail(f"accepted the first {length} bytes of {len(data)}")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_prefix_of_a_generated_archive_is_complete(data: st.DataObject) -> None:
    """Whatever the contents: neither reading nor judging accepts a strict prefix of a wheel or an sdist."""
    extra = data.draw(
        st.dictionaries(st.from_regex(r"[a-z]{1,8}\.py", fullmatch=True), st.binary(max_size=300), max_size=3)
    )
    archive, filename = data.draw(
        st.sampled_from(
            [
                (make_wheel("foo", "1.0", files=extra), WHEEL),
                (make_sdist("foo", "1.0", members=[(_sized(name, body), body) for name, body in extra.items()]), SDIST),
            ]
        )
    )
    assert read(archive, filename) is not None
    assert complete(archive, filename)
    cut = archive[: data.draw(st.integers(0, len(archive) - 1))]
    assert not complete(cut, filename)
    refused(cut, filename)


def _sized(name: str, body: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"foo-1.0/{name}")
    info.size = len(body)
    return info


def test_uncompressed_tar_without_its_end_mark_is_incomplete() -> None:
    """A bare tar cut between two members looks sound to tarfile; only zeros are an end."""
    tar = make_tar([("foo-1.0/PKG-INFO", PKG_INFO), ("foo-1.0/a", b"x")])
    for length in (0, 100, 512, 1024, 1536, 2048):
        assert not complete(tar[:length], "foo-1.0.tar")
        refused(tar[:length], "foo-1.0.tar")
    assert complete(tar, "foo-1.0.tar")


# -- not an archive, damage -------------------------------------------------------------------------------------------

_ARCHIVE_NAMES = st.sampled_from(
    [WHEEL, SDIST, "foo-1.0.zip", "foo-1.0.egg", "foo-1.0.tar", "foo-1.0.tar.bz2", "foo-1.0.tar.xz"]
)


@given(
    _ARCHIVE_NAMES,
    st.sampled_from([b"", b"PK\x05\x06", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"BZh9", b"\xfd7zXZ\0"]),
    st.binary(max_size=2000),
)
@settings(deadline=None)
def test_arbitrary_bytes(filename: str, magic: bytes, rest: bytes) -> None:
    """Bytes that are no archive never raise anything but InvalidDistribution."""
    _only_invalid(magic + rest, filename)


@given(_ARCHIVE_NAMES, st.integers(0, 5000), st.binary(min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_damaged_archives(filename: str, at: int, patch: bytes, randomness: random.Random) -> None:
    """A sound archive with some bytes overwritten, also below its compression, raises nothing else either."""
    if filename.endswith((".whl", ".zip", ".egg")):
        data = make_zip([*wheel_contents(), ("foo-1.0/PKG-INFO", PKG_INFO), ("EGG-INFO/PKG-INFO", PKG_INFO)])
        at %= len(data)
        _only_invalid(data[:at] + patch + data[at + len(patch) :], filename)
        return
    tar = make_tar([("foo-1.0/" + "n" * 95, b"x" * 600), ("foo-1.0/PKG-INFO", PKG_INFO)], randomness.choice([0, 1, 2]))
    at %= len(tar)
    tar = tar[:at] + patch + tar[at + len(patch) :]
    tar = _with_checksums(tar)
    if filename.endswith(".gz"):
        tar = gzip.compress(tar)
    elif filename.endswith(".bz2"):
        tar = bz2.compress(tar)
    elif filename.endswith(".xz"):
        tar = lzma.compress(tar)
    _only_invalid(tar, filename)


def _only_invalid(data: bytes, filename: str) -> None:
    complete(data, filename)
    try:
        document = read(data, filename)
        if document is not None:
            parse_metadata(document, strict=False)
            parse_metadata(document)
    except InvalidDistribution as error:
        check_sentence(error)


def _with_checksums(tar: bytes) -> bytes:
    """Make each block that looks like a header valid again, so that the damage gets past the checksum."""
    blocks = bytearray(tar)
    for at in range(0, len(blocks) - 511, 512):
        if blocks[at + 257 : at + 262] == b"ustar":
            blocks[at + 148 : at + 156] = b" " * 8
            blocks[at + 148 : at + 156] = b"%06o\0 " % sum(blocks[at : at + 512])
    return bytes(blocks)


def test_a_wrong_checksum_is_found() -> None:
    """In a wheel's METADATA, and at the very end of an sdist."""
    data = make_zip(wheel_contents(), zipfile.ZIP_STORED)
    assert "damaged" in refused(data.replace(b"The description", b"the description"), WHEEL)
    sdist = bytearray(make_sdist("foo", "1.0"))
    sdist[-6] ^= 1
    assert "damaged" in refused(bytes(sdist), SDIST)


def test_bytes_after_the_end() -> None:
    """An upload may not carry what no one can see; a drop-in file with them is all there, nevertheless."""
    data = make_sdist("foo", "1.0") + b"trailing"
    assert "after its end" in refused(data, SDIST)
    assert complete(data, SDIST)
    wheel = make_zip(wheel_contents())
    refused(wheel + b"trailing", WHEEL)
    assert not complete(wheel + b"trailing", WHEEL)


def test_a_later_header_that_is_garbage() -> None:
    """tarfile takes it for the end and hides what follows; here the archive is damaged."""
    tar = make_tar([("foo-1.0/PKG-INFO", PKG_INFO), ("foo-1.0/a", b"")])
    tar = tar[:1024] + b"\xff" * 512 + tar[1536:]
    assert "damaged" in refused(gzip.compress(tar), SDIST)


def test_errors_of_the_file_itself_pass_through() -> None:
    """A failing disk is no fault of the distribution."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    for filename in (WHEEL, SDIST, "foo-1.0.tar"):
        with pytest.raises(OSError, match="Input/output"):
            read_metadata(Failing(b"x" * 100), _guessed(filename))
        with pytest.raises(OSError, match="Input/output"):
            is_complete_archive(Failing(b"x" * 100), _guessed(filename))


def _guessed(filename: str) -> ParsedFilename:
    parsed = guess_filename(filename)
    assert parsed is not None
    return parsed


# -- wheels that are not right ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contents", "word"),
    [
        ([("foo.py", b"")], "has no .dist-info/METADATA"),
        ([*wheel_contents(), ("foo-1.0.dist-info/METADATA", b"")], "has 2 .dist-info/METADATA"),
        ([*wheel_contents(), ("./foo-1.0.dist-info//METADATA", b"")], "has 2 .dist-info/METADATA"),
        ([*wheel_contents(), ("bar-1.0.dist-info/METADATA", b"")], "has 2 .dist-info/METADATA"),
        (wheel_contents(directory="bar-1.0.dist-info"), "another project or version"),
        (wheel_contents(directory="foo-2.0.dist-info"), "another project or version"),
        (wheel_contents(directory="foo.dist-info"), "another project or version"),
        (wheel_contents(directory="sub/foo-1.0.dist-info"), "has no .dist-info/METADATA"),
        (wheel_contents()[:2], "foo-1.0.dist-info/WHEEL"),
        ([*wheel_contents(), ("/etc/passwd", b"")], "absolute name"),
        ([*wheel_contents(), ("C:\\x", b"")], "absolute name"),
        ([*wheel_contents(), ("foo/../../x", b"")], "'..' in its name"),
        ([*wheel_contents(), ("foo\\..\\..\\x", b"")], "'..' in its name"),
        ([], "empty"),
    ],
)
def test_wheels_refused(contents: list[tuple[str, bytes]], word: str) -> None:
    """Each with a sentence that names what is wrong."""
    assert word in refused(make_zip(contents), WHEEL)


def test_member_name_with_a_nul() -> None:
    """zipfile would cut the name there, others not."""
    data = make_zip([*wheel_contents(), ("foo/xAy", b"")]).replace(b"foo/xAy", b"foo/x\0y")
    assert "name that no file can have" in refused(data, WHEEL)


def test_encrypted_and_unusually_compressed_metadata() -> None:
    """Only stored and deflated members are read; the rest is refused by name."""
    assert "unusual" in refused(make_zip(wheel_contents(), zipfile.ZIP_LZMA), WHEEL)
    data = bytearray(make_zip(wheel_contents()))
    entry = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)  # the second one: METADATA
    data[entry + 8] |= 1
    assert "encrypted" in refused(bytes(data), WHEEL)


def test_too_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is bounded in zips and tars; the file is whole nevertheless."""
    monkeypatch.setattr(limits, "MAX_MEMBERS", 5)
    wheel = make_zip([*wheel_contents(), *((str(number), b"") for number in range(5))])
    assert "members" in refused(wheel, WHEEL)
    assert complete(wheel, WHEEL)
    tar = make_tar([(f"foo-1.0/{number}", b"") for number in range(6)])
    assert "members" in refused(gzip.compress(tar), SDIST)
    assert complete(tar, "foo-1.0.tar")


def test_a_directory_of_many_names_costs_little_memory() -> None:
    """A directory of ten megabytes, one with too many members, and one with too long names."""
    for count, length, expected in ((30_000, 300, True), (100_001, 10, False), (1000, 65_000, False)):
        entries = [
            struct.pack("<4sBB5H3L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0, 0, 0, 0)
            + b"%0*d" % (length, number)
            for number in range(count)
        ]
        directory = b"".join(entries)
        start = 30 + length
        sizes = (0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        records = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), start)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(directory), 1)
        data = bytes(start) + directory + records + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", *sizes)
        file = io.BytesIO(data)
        parsed = _guessed("foo-1.0.zip")

        def look(file: io.BytesIO = file, parsed: ParsedFilename = parsed, expected: bool = expected) -> None:
            try:
                assert not has_zip_member(file, parsed, "index.html")
                assert expected
            except InvalidDistribution as error:
                check_sentence(error)
                assert not expected

        assert peak_memory(look) < 2 * 1024 * 1024


# -- bombs ------------------------------------------------------------------------------------------------------------


def peak_memory(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_bomb_as_wheel_metadata() -> None:
    """A METADATA of 100 MiB in 100 KiB is refused in little memory, also when the zip states a small size."""
    bomb = make_zip(wheel_contents(bytes(100 * 1024 * 1024)))
    lying = bytearray(bomb)
    entry = lying.index(b"PK\x01\x02", lying.index(b"PK\x01\x02") + 1)
    struct.pack_into("<L", lying, entry + 24, 1000)
    for data in (bomb, bytes(lying)):
        assert peak_memory(functools.partial(refused, data, WHEEL)) < 4 * MAX_METADATA_BYTES
    assert "exceeds" in refused(bomb, WHEEL)
    assert "damaged" in refused(bytes(lying), WHEEL)


def test_data_behind_the_end_of_a_deflated_member() -> None:
    """A member whose stream ends at once, before megabytes that count as its own: none of them is kept."""
    module, document, tags = wheel_contents()
    wheel = make_zip([module, tags, document])
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    ended = stream.compress(PKG_INFO) + stream.flush()
    start, end = wheel.index(b"PK\x01\x02"), wheel.rindex(b"PK\x05\x06")
    size = 6 * 1024 * 1024
    assert wheel[start - len(ended) : start] == ended
    damaged = bytearray(wheel[:start] + bytes(size) + wheel[start:])
    local = damaged.rindex(b"PK\x03\x04", 0, start)
    entry = damaged.rindex(b"PK\x01\x02")
    for place in (local + 18, entry + 20):
        struct.pack_into("<L", damaged, place, len(ended) + size)
    struct.pack_into("<L", damaged, end + size + 16, start + size)
    data = bytes(damaged)
    assert peak_memory(lambda: refused(data, WHEEL)) < size // 4
    assert "damaged" in refused(data, WHEEL)


def test_largest_metadata() -> None:
    """The limit is inclusive."""
    largest = PKG_INFO + b"x" * (MAX_METADATA_BYTES - len(PKG_INFO))
    assert read(make_zip(wheel_contents(largest)), WHEEL) == largest
    assert "exceeds" in refused(make_zip(wheel_contents(largest + b"x")), WHEEL)
    assert "exceeds" in refused(gzip.compress(make_tar([("foo-1.0/PKG-INFO", largest + b"x")])), SDIST)


def test_sdist_that_expands_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum of what a stream expands to is bounded, in little memory."""
    monkeypatch.setattr(limits, "MIN_EXPANDED_LIMIT", 10 * 1024 * 1024)
    bomb = gzip.compress(make_tar([("foo-1.0/PKG-INFO", PKG_INFO), ("foo-1.0/zeros", bytes(30 * 1024 * 1024))]))
    assert peak_memory(lambda: refused(bomb, SDIST)) < 2 * 1024 * 1024
    assert "expands" in refused(bomb, SDIST)
    assert complete(bomb, SDIST)


def test_many_long_folders() -> None:
    """Members in folders in each other, all of which are remembered: a few kilobytes that would become 90 MiB."""
    folders = "/".join(["abcdefghijklmnop"] * 190)
    names = [f"foo-1.0/{number:05}/{folders}" for number in range(300)]
    data = gzip.compress(make_tar([("foo-1.0/PKG-INFO", PKG_INFO), *((name, b"") for name in names)]))
    assert peak_memory(lambda: refused_upload(data, SDIST)) < 3 * limits.MAX_NAME_BYTES
    assert "names" in refused_upload(data, SDIST)
    assert read_metadata(io.BytesIO(data), parse_filename(SDIST)) == PKG_INFO  # nothing is remembered of a drop-in file


@pytest.mark.parametrize("line", [b",", b'"",', b'"\n",', b'"'])
def test_a_record_of_one_row(line: bytes) -> None:
    """A row is read whole, so its length is bounded, also where quoted text in it has line ends."""
    size = 8 * 1024 * 1024
    record = ("foo-1.0.dist-info/RECORD", line * (size // len(line)))
    data = make_zip([*wheel_contents(), record])
    assert peak_memory(lambda: refused_upload(data, WHEEL)) < 4 * size
    assert "RECORD" in refused_upload(data, WHEEL)


@pytest.mark.parametrize("blank", [" ", "\t", "\r", "\v", "\x1c", "\u3000"])
def test_entry_points_with_a_line_of_blanks(blank: str) -> None:
    """A parser of INI files takes time by the square of their number; a few of them, and those at an end, are usual."""
    for line in (f"a{101 * blank}= foo:main", f"[b]\nx{20_000 * blank}y"):
        files = {"foo-1.0.dist-info/entry_points.txt": f"[console_scripts]\n{line}\n".encode()}
        assert "blanks in a row" in refused_upload(make_wheel("foo", "1.0", files=files), WHEEL)
    text = f"[console_scripts]{200 * blank}\na{90 * blank}={90 * blank}foo:main{200 * blank}\n"
    data = make_wheel("foo", "1.0", files={"foo-1.0.dist-info/entry_points.txt": text.encode()})
    assert read_metadata(io.BytesIO(data), parse_filename(WHEEL), strict=True)


def test_a_link_with_an_endless_target() -> None:
    """Targets are remembered, so none is longer than a path can be."""
    link = special("foo-1.0/link", tarfile.SYMTYPE, "/".join(["a" * 1000] * 5))
    data = gzip.compress(make_tar([("foo-1.0/PKG-INFO", PKG_INFO), (link, b"")]))
    assert "target" in refused(data, SDIST)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_tar_header_that_claims_megabytes(kind: bytes) -> None:
    """Long names and pax records are taken whole by tarfile; how much it may take is bounded."""
    tar = make_tar(
        [(special("foo-1.0/x", kind), bytes(20 * 1024 * 1024)), ("foo-1.0/PKG-INFO", PKG_INFO)], tarfile.GNU_FORMAT
    )
    data = gzip.compress(tar)
    assert peak_memory(lambda: refused(data, SDIST)) < 2 * 1024 * 1024


def test_endless_pax_headers() -> None:
    """Headers about headers, without a member: neither recursion nor memory gets out of hand."""
    tar = make_tar([(special("x", tarfile.XGLTYPE), b"9 a=%03d\n" % (number % 1000)) for number in range(5000)])
    assert "damaged" in refused(gzip.compress(tar), SDIST)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE])
def test_a_pax_header_of_digits(kind: bytes) -> None:
    """In older patch releases of Python, the patterns of tarfile take time by the square of their number."""
    record = b"%d comment=%s\n" % (20_000, b"1" * (20_000 - 15))
    tar = make_tar([(special("x", kind), record), ("foo-1.0/PKG-INFO", PKG_INFO)])
    assert "damaged" in refused(gzip.compress(tar), SDIST)
    name = f"{'1' * 60}/{'1' * 100}"  # the most that a header can have in a row
    tar = make_tar([(name, b""), ("foo-1.0/PKG-INFO", PKG_INFO)], tarfile.USTAR_FORMAT)
    assert read(gzip.compress(tar), SDIST) == PKG_INFO


def test_pkg_info_that_claims_a_size() -> None:
    """A size beyond the limit is refused before anything is read, a negative one is damage."""
    for size in (10**10, 10**20, -1, -512):
        info = tarfile.TarInfo("foo-1.0/PKG-INFO")
        info.size = size
        data = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
        refused(data, SDIST)


# -- members that must not be extracted -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ([("/etc/passwd", b"x")], "absolute name"),
        ([("C:/x", b"x")], "absolute name"),
        ([("foo-1.0/../../x", b"x")], "'..' in its name"),
        ([("foo-1.0/..\\..\\x", b"x")], "'..' in its name"),
        ([("..", b"")], "'..' in its name"),
        ([(special("foo-1.0/l", tarfile.SYMTYPE, "/etc/passwd"), b"")], "link out of the archive"),
        ([(special("foo-1.0/l", tarfile.SYMTYPE, "../../x"), b"")], "link out of the archive"),
        ([(special("foo-1.0/l", tarfile.SYMTYPE, ".."), b"")], "link out of the archive"),
        ([(special("foo-1.0/l", tarfile.SYMTYPE, "../foo-1.0/PKG-INFO"), b"")], "link out of the archive"),
        ([(special("foo-1.0/a/l", tarfile.SYMTYPE, "../../foo-1.0/PKG-INFO"), b"")], "link out of the archive"),
        (
            [
                (special("foo-1.0/a", tarfile.SYMTYPE, "b/c"), b""),
                (special("foo-1.0/l", tarfile.SYMTYPE, "a/../../x"), b""),
            ],
            "link out of the archive",
        ),
        ([(special("foo-1.0/l", tarfile.SYMTYPE, "sub/../../../x"), b"")], "link out of the archive"),
        ([(special("foo-1.0/l", tarfile.SYMTYPE, "..\\..\\x"), b"")], "link out of the archive"),
        ([(special("foo-1.0/l", tarfile.LNKTYPE, "/etc/passwd"), b"")], "link out of the archive"),
        ([(special("foo-1.0/l", tarfile.LNKTYPE, "../x"), b"")], "link out of the archive"),
        ([(special("foo-1.0/l", tarfile.SYMTYPE, "."), b""), ("foo-1.0/l/x", b"x")], "beneath a link"),
        ([(special("foo-1.0/l", tarfile.SYMTYPE, "."), b""), ("./foo-1.0//l/./x", b"x")], "beneath a link"),
        ([(special("foo-1.0/d", tarfile.CHRTYPE), b"")], "special file"),
        ([(special("foo-1.0/d", tarfile.BLKTYPE), b"")], "special file"),
        ([(special("foo-1.0/d", tarfile.FIFOTYPE), b"")], "special file"),
        ([(special("foo-1.0/PKG-INFO", tarfile.SYMTYPE, "README"), b"")], "not a plain file"),
        ([(special("foo-1.0/PKG-INFO", tarfile.DIRTYPE), b"")], "not a plain file"),
        ([("foo-1.0/" + "x/" * 3000, b"")], "name that no file can have"),
        ([("foo-1.0/PKG-INFO", b"a"), ("foo-1.0/PKG-INFO", b"b")], "more than one PKG-INFO"),
        ([("foo-1.0/PKG-INFO", b""), ("other/PKG-INFO", b"")], "more than one PKG-INFO"),
    ],
)
@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_unsafe_sdists_refused(members: list[tuple[tarfile.TarInfo | str, bytes]], word: str, tar_format: int) -> None:
    """Each with a sentence that names the member and what it does."""
    assert word in refused(gzip.compress(make_tar(members, tar_format)), SDIST)


def test_members_that_only_seem_unsafe() -> None:
    """Links within the archive, dots in names and directories are as good as anything."""
    members: list[tuple[tarfile.TarInfo | str, bytes]] = [
        (special(".", tarfile.DIRTYPE), b""),
        (special("./foo-1.0", tarfile.DIRTYPE), b""),
        ("./foo-1.0/PKG-INFO", PKG_INFO),
        ("foo-1.0/..x/x..y/...", b""),
        ("foo-1.0/PKG-INFO", PKG_INFO),
        (special("foo-1.0/a/b/l", tarfile.SYMTYPE, "../../PKG-INFO"), b""),
        (special("foo-1.0/readme", tarfile.SYMTYPE, "src/../README"), b""),
        (special("foo-1.0/hard", tarfile.LNKTYPE, "foo-1.0/PKG-INFO"), b""),
        (special("foo-1.0/here", tarfile.SYMTYPE, "."), b""),
    ]
    assert read(gzip.compress(make_tar(members)), SDIST) == PKG_INFO


def test_links_in_a_zip_sdist() -> None:
    """Some programs that extract zips make the links in them."""
    info = zipfile.ZipInfo("foo-1.0/l")
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert "is a link" in refused(buffer.getvalue(), "foo-1.0.zip")


def test_two_pkg_info_in_a_zip_sdist() -> None:
    """It is not known which of them counts."""
    data = make_zip([("foo-1.0/PKG-INFO", PKG_INFO), ("foo-1.0/./PKG-INFO", PKG_INFO)])
    assert "more than one PKG-INFO" in refused(data, "foo-1.0.zip")


# -- the document -----------------------------------------------------------------------------------------------------


def parse(text: str) -> CoreMetadata:
    return parse_metadata(text.encode())


def test_fields() -> None:
    """The fields that an index needs are attributes, everything else in the raw fields."""
    found = parse(metadata_text("Foo.Bar", "1.0", extra="Classifier: A\nClassifier: B\n"))
    assert (found.metadata_version, found.name, found.version) == ("2.4", "Foo.Bar", "1.0")
    assert (found.requires_python, found.summary) == (">=3.8", "Foo.Bar for tests")
    assert found.fields["classifiers"] == ["A", "B"]
    assert found.fields["description"] == "The description of Foo.Bar.\n"


def test_absent_and_unknown_values() -> None:
    """Absence is None; so is the UNKNOWN that distutils wrote."""
    found = parse("Metadata-Version: 1.0\nName: foo\nVersion: 1.0\nSummary: UNKNOWN\n")
    assert found.requires_python is None
    assert found.summary is None
    assert "description" not in found.fields


@pytest.mark.parametrize("metadata_version", ["1.0", "2.0", "2.4", "2.6", "2.99"])
def test_any_metadata_version_with_fields_unknown_today(metadata_version: str) -> None:
    """A newer minor version, and unknown fields, also several times, are no reason to refuse."""
    text = metadata_text("foo", "1.0", metadata_version=metadata_version, extra="New-Field: a\nNew-Field: b\n")
    assert parse(text).metadata_version == metadata_version


def test_values_over_several_lines_become_one() -> None:
    """A folded value cannot carry a line break into a page or a header."""
    found = parse("Metadata-Version: 2.1\nName: foo\nVersion: 1.0\nRequires-Python: >=3.8,\n  <4\nSummary: a\n  b\n")
    assert found.requires_python == ">=3.8, <4"
    assert found.summary == "a b"


def test_byte_order_mark_and_carriage_returns() -> None:
    """A byte order mark, as of Windows editors. Installers find no fields behind a mark, so no upload may have one."""
    document = metadata_text("foo", "1.0").replace("\n", "\r\n").encode()
    marked = b"\xef\xbb\xbf" + document
    for found in (parse_metadata(document), parse_metadata(marked, strict=False)):
        assert (found.name, found.requires_python) == ("foo", ">=3.8")
    with pytest.raises(InvalidDistribution, match="byte order mark"):
        parse_metadata(marked)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no Name"),
        ("no fields at all", "no Name"),
        ("Name: foo\nVersion: 1.0\n", "no Metadata-Version"),
        ("Metadata-Version: 2.1\nVersion: 1.0\n", "no Name"),
        ("Metadata-Version: 2.1\nName:\nVersion: 1.0\n", "no Name"),
        ("Metadata-Version: 2.1\nName: foo\n", "no Version"),
        ("Metadata-Version: two\nName: foo\nVersion: 1.0\n", "Metadata-Version 'two'"),
        ("Metadata-Version: 2.1\nName: -foo\nVersion: 1.0\n", "no valid Name"),
        ("Metadata-Version: 2.1\nName: foo\nVersion: latest\n", "PEP 440"),
        ("Metadata-Version: 2.1\nName: foo\nVersion: " + "1" * 5000 + "\n", "PEP 440"),
        (metadata_text("foo", "1.0", requires_python="three"), "Requires-Python 'three'"),
        (metadata_text("foo", "1.0", requires_python=">=3," * 1000 + "<4"), "Requires-Python"),
        (metadata_text("foo", "1.0", extra="Name: bar\n"), "2 Name fields"),
        (metadata_text("foo", "1.0", extra="version: 1.0\n"), "2 Version fields"),
        (metadata_text("foo", "1.0", extra="Metadata-Version: 2.4\n"), "2 Metadata-Version fields"),
        (metadata_text("foo", "1.0", extra="Requires-Python: >=3\n"), "2 Requires-Python fields"),
        (metadata_text("foo", "1.0", extra="Summary: a\nSummary: b\n"), "3 Summary fields"),
        (metadata_text("foo", "1.0", extra="".join(f"F{n}: x\n" for n in range(600))), "different names"),
        (metadata_text("foo", "1.0", extra="F: x\n" * 30_000), "30006 lines"),
        (metadata_text("foo", "1.0", metadata_version="3.0"), "Metadata-Version '3.0'"),
        (metadata_text("foo", "1.0", extra="Requires-Dist: bar >=what\n"), "Requires-Dist 'bar >=what'"),
        (metadata_text("foo", "1.0", extra=f"Requires-Dist: bar ; {'(' * 900}x"), "Requires-Dist"),
        (metadata_text("foo", "1.0", extra=f"Requires-Dist: bar {'>=1,' * 1200}<2\n" * 150), "characters of Requires-"),
        (metadata_text("foo", "1.0", extra="Provides-Extra: -x\n"), "Provides-Extra '-x'"),
        (metadata_text("foo", "1.0", metadata_version="03.0"), "Metadata-Version '03.0'"),
    ],
)
def test_documents_refused(text: str, word: str) -> None:
    """Each with one printable sentence that names the field."""
    with pytest.raises(InvalidDistribution) as caught:
        parse(text)
    assert word in str(caught.value)
    assert str(caught.value).isprintable()


def test_documents_too_large_or_in_another_encoding_refused() -> None:
    """Both before anything is made of them."""
    with pytest.raises(InvalidDistribution, match="exceeds"):
        parse_metadata(bytes(MAX_METADATA_BYTES + 1))
    with pytest.raises(InvalidDistribution, match="UTF-8"):
        parse_metadata(metadata_text("foo", "1.0", extra="Author: André\n").encode("latin-1"))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "line",
    ["From x\n", ":\n", " \n", "\tx\r", "X:\n", "X: y\r\n", "License-File: \r", "X :\n", "\x0b\n", "a\n", "F%d:\n"],
)
def test_a_document_of_many_lines_costs_little(line: str, strict: bool) -> None:
    """Four megabytes of lines that the email package is slow with are refused, or put aside as the description.

    It remembers each odd line, so the memory tells whether it was asked: a thousand bytes a line in the old days.
    """
    head = "Metadata-Version: 2.4\nName: foo\nVersion: 1.0\n"
    count = (MAX_METADATA_BYTES - 100) // len(line)
    lines = line * count if "%" not in line else "".join(line % number for number in range(count // 3))
    for document in (head + lines, lines + head, head + "License: a\n" + lines, head + "odd line\n" + lines):
        encoded = document.encode()[:MAX_METADATA_BYTES]

        def run(encoded: bytes = encoded) -> None:
            with contextlib.suppress(InvalidDistribution):
                parse_metadata(encoded, strict=strict)

        assert peak_memory(run) < 12 * MAX_METADATA_BYTES


def test_mime_in_the_description_is_just_text() -> None:
    """The email package would look for parts within parts; the description stays what it is."""
    head = "Content-Type: multipart/mixed; boundary=a\n"
    body = "--a\nContent-Type: message/rfc822\n\n" * 5000
    text = metadata_text("foo", "1.0", extra=head).partition("\n\n")[0] + "\n\n" + body
    assert parse(text).fields["description"] == body


_LINES = (
    *("Metadata-Version: 2.4\n", "Name: foo\n", "Version: 1.0\n", "Name: foo\n", "Summary: x\n", "License: a\n  b\n"),
    *(" \n", "\t\n", "\n", "\r\n", "\r", "From x: y\n", "From: y\n", "X-Y: \n", "X:\n", "X : y\n", ": x\n", "body\n"),
    *(
        "\x0b: \n",
        "Y: a\x0bb\n",
        "Y: a\x85b\x0c\x1c\u2028\n",
        "Y: \x00\n",
        "\xe4: x\n",
        "X: ends",
        " goes on",
        "-----\n",
    ),
    *("Content-Type: multipart/mixed; boundary=x\n", "--x\n"),
)


@pytest.mark.parametrize("seed", range(10))
def test_a_plain_header_is_split_as_any_other(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header and description are told apart in the same place, whether every line was looked at by itself or not."""
    choose = random.Random(seed)
    plain = 0
    for _ in range(300):
        start = "".join(_LINES[: choose.choice((0, 3))])
        document = (start + "".join(choose.choices(_LINES, k=choose.randrange(9)))).encode()
        found = _parsed(document)
        # Which way was taken shows in no result: that is what the test is about.
        plain += metadata._PLAIN_HEADER.match(document.decode()) is not None
        with monkeypatch.context() as patch:
            patch.setattr(metadata, "_PLAIN_HEADER", re.compile("(?!)"))
            assert _parsed(document) == found, document
    assert 20 < plain < 280


def _parsed(document: bytes) -> CoreMetadata | str:
    try:
        return parse_metadata(document, strict=False)
    except InvalidDistribution as error:
        return str(error)


_USED = ("Metadata-Version", "Name", "Version", "Requires-Python", "Summary", "Requires-Dist", "Provides-Extra")
_ODD_VALUES = st.one_of(
    st.sampled_from(
        [
            "2.4",
            "foo",
            "1.0",
            ">=3.8",
            "bar >=1",
            " a",
            "\ta ",
            "",
            "a\n b",
            "a\n\tb\n c",
            "a\n",
            "a\rb",
            "a\r\n b",
        ]
    ),
    st.text(max_size=8),
)
_ODD_LINES = st.tuples(
    st.sampled_from([*_USED, "NAME", "name", "License", "X-Y", "From", "Content-Type", "Keywords", "Project-URL"]),
    st.sampled_from([": ", ": ", ": ", ":", " : "]),
    _ODD_VALUES,
).map("".join)


@given(st.lists(_ODD_LINES, max_size=6), st.sampled_from(["", "\n", "\n\ntext", "\n\nName: other\n"]))
def test_an_upload_has_the_values_that_installers_find(lines: list[str], rest: str) -> None:
    """Whether the header is so plain that the email package need not read it, or not."""
    text = "\n".join(["Metadata-Version: 2.4", "Name: foo", "Version: 1.0", *lines]) + rest
    try:
        found = parse_metadata(text.encode("utf-8", "replace"))
    except InvalidDistribution:
        return  # that nothing else is refused, test_a_plain_header_is_accepted_as_any_other shows
    message = HeaderParser().parsestr(text.encode("utf-8", "replace").decode())
    for name, value in zip(_USED, (found.metadata_version, found.name, found.version), strict=False):
        assert value == " ".join(message[name].split()), name
    for name, other in (("Requires-Python", found.requires_python), ("Summary", found.summary)):
        sent = " ".join((message[name] or "").split())
        assert (other or "") == ("" if sent == "UNKNOWN" else sent), name
    assert found.fields.get("requires_dist", []) == message.get_all("Requires-Dist", [])


@given(st.lists(_ODD_LINES, max_size=6))
@example(["Requires-Dist: bar\n >=1,"])
@example(["Provides-Extra:  a"])
def test_a_plain_header_is_accepted_as_any_other(lines: list[str]) -> None:
    """A field that keeps the email package from being left out, and says nothing, makes no difference."""
    text = "\n".join(["Metadata-Version: 2.4", "Name: foo", "Version: 1.0", *lines])
    plain, other = (_strict(f"{text}\n{last}\n") for last in ("X-Last: y", "X-Last:y"))
    assert plain == other


def _strict(document: str) -> CoreMetadata | str:
    try:
        return parse_metadata(document.encode("utf-8", "replace"))
    except InvalidDistribution as error:
        return str(error)


def test_a_plain_header_has_no_more_fields_than_any_other() -> None:
    """The limits on fields hold for it."""
    start = "Metadata-Version: 2.4\nName: foo\nVersion: 1.0\n"
    many = "".join(f"X-{'a' * (each // 26 + 1)}{chr(97 + each % 26)}: y\n" for each in range(600))
    assert parse_metadata(start.encode() + "".join(f"Classifier: {each}\n" for each in range(900)).encode())
    with pytest.raises(InvalidDistribution, match="different names"):
        parse_metadata((start + many).encode())


def test_lenient_parsing_makes_the_best_of_it() -> None:
    """For old files: the first of repeated fields, no invalid Requires-Python, any encoding and version."""
    document = (
        "Name: Foo\nName: Bar\nVersion: 2004-spring\nRequires-Python: three\nSummary: André\nSummary: b\n\nText\n"
    ).encode("latin-1")
    found = parse_metadata(document, strict=False)
    assert (found.metadata_version, found.name, found.version) == ("", "Foo", "2004-spring")
    assert found.requires_python is None
    assert found.summary == "Andr\ufffd"
    for incomplete in (b"Name: foo\n", b"Version: 1.0\n", b""):
        with pytest.raises(InvalidDistribution):
            parse_metadata(incomplete, strict=False)


_FIELDS = st.sampled_from(
    [
        "Metadata-Version",
        "Name",
        "Version",
        "Requires-Python",
        "Summary",
        "Content-Type",
        "Keywords",
        "Project-URL",
        "Import-Name",
        "X",
    ]
)
_VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["2.1", "foo", "1.0", ">=3", "multipart/mixed; boundary=a", "message/rfc822", "=?utf-8?q?=C3?=", "a\n b"]
    ),
)


@given(st.lists(st.tuples(_FIELDS, _VALUES), max_size=8), st.text(max_size=40), st.booleans())
def test_any_fields_are_parsed_or_refused(fields: list[tuple[str, str]], body: str, strict: bool) -> None:
    """No document raises anything but InvalidDistribution, and no value that comes out has a line break."""
    text = "".join(f"{name}: {value}\n" for name, value in fields) + "\n" + body
    try:
        found = parse_metadata(text.encode("utf-8", "replace"), strict=strict)
    except InvalidDistribution as error:
        check_sentence(error)
    else:
        for value in (found.name, found.version, found.requires_python or "", found.summary or ""):
            assert len(value.splitlines()) <= 1


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_parsed_or_refused(document: bytes, strict: bool) -> None:
    """Also what is no text at all."""
    try:
        parse_metadata(document, strict=strict)
    except InvalidDistribution as error:
        check_sentence(error)


# -- agreement --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "name", "version"),
    [
        ("foo_bar-1.0.tar.gz", "Foo.Bar", "1.0"),
        ("foo_bar-1.0-py3-none-any.whl", "foo-bar", "1.0.0"),
        ("foo_bar-1.0+a_1-py3-none-any.whl", "foo-bar", "1.0+a.1"),
    ],
)
def test_agreement(filename: str, name: str, version: str) -> None:
    """Names and versions agree by meaning, not by letters."""
    check_agreement(parse_filename(filename), parse(metadata_text(name, version)))


@pytest.mark.parametrize(
    ("name", "version", "word"), [("bar", "1.0", "'bar'"), ("foo", "1.1", "'1.1'"), ("foo", "1.0+local", "'1.0+local'")]
)
def test_disagreement(name: str, version: str, word: str) -> None:
    """Another project or version is refused, and the sentence names both."""
    with pytest.raises(InvalidDistribution, match="but the filename says") as caught:
        check_agreement(parse_filename(SDIST), parse(metadata_text(name, version)))
    assert word in str(caught.value)


def test_agreement_of_unusual_files() -> None:
    """A filename without a version agrees with any; an invalid name in the metadata with none."""
    check_agreement(_guessed("foo.zip"), parse(metadata_text("foo", "1.0")))
    with pytest.raises(InvalidDistribution):
        check_agreement(_guessed("foo.zip"), parse_metadata(b"Name: -foo\nVersion: 1\n", strict=False))


def test_inflating_one_member_never_trusts_its_own_end() -> None:
    """A deflate stream that ends early, with other bytes within the stated size, is damage."""
    data = bytearray(make_zip(wheel_contents()))
    packed = zlib.compress(b"short", wbits=-15)
    at = data.index(b"foo-1.0.dist-info/METADATA") + len("foo-1.0.dist-info/METADATA")
    data[at : at + len(packed)] = packed
    assert "damaged" in refused(bytes(data), WHEEL)


@pytest.mark.parametrize("error", [StoreError("The store cannot be read."), OSError(5, "Input/output error")])
@pytest.mark.parametrize("name", ["foo-1.0.tar", "foo-1.0.tar.gz", "foo-1.0.zip", "foo-1.0-py3-none-any.whl"])
def test_errors_of_the_file_itself_pass(name: str, error: Exception) -> None:
    """A disk that fails in the middle of an archive does not make it a damaged one."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise error

    parsed = guess_filename(name)
    assert parsed is not None
    with pytest.raises(type(error)):
        read_metadata(Failing(bytes(4096)), parsed)


_RECORD_PARTS = st.sampled_from(
    ["a/b.py", "sha256=x", "12", "", ",", ",,", '"', '"a,b"', '"a\nb"', "\n", "\r", "\r\n", "\0"]
)


@given(st.lists(st.one_of(_RECORD_PARTS, st.just("a/b.py,sha256=x,12\n")), max_size=9).map("".join))
def test_a_record_is_what_csv_reads_as_one(text: str) -> None:
    """Whether its rows are so plain that csv need not read them, or not."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        rows = [[]]
    assert is_record(text) == all(len(row) == 3 and re.fullmatch("[0-9]{0,18}", row[2]) for row in rows)


@pytest.mark.parametrize(
    "row", [f"{'a' * 20_000},,\n", f"a,{'b' * 20_000},\n", f"a,b,{'1' * 19}\n", "a,b\n", "a,b,c,1\n"]
)
def test_a_record_with_a_row_that_is_none(row: str) -> None:
    """Among plain rows too."""
    plain = "a/b.py,sha256=x,12\n"
    assert is_record(plain * 3)
    assert not is_record(plain + row + plain)


_NAME_PIECES = st.sampled_from(
    ["a", "B.py", ".", "..", "...", "/", "/", "\\", ":", "C:", " ", "\n", "\0", "é", "-_+", "a" * 256]
)


@given(st.lists(_NAME_PIECES, max_size=40).map("".join))
def test_a_plain_name_is_one_in_which_nothing_is_found(name: str) -> None:
    """The check that plain names are spared would accept each of them, as the same path."""
    path = plain_path(name)
    parsed = parse_filename(WHEEL)
    if path is not None:
        assert path == "/".join(check_member_name(name, parsed))
        assert len(path) <= limits.MAX_PATH_CHARS
        assert all(len(part) <= limits.MAX_PART_BYTES for part in path.split("/"))
        assert name.isprintable()
        assert "\\" not in name


@pytest.mark.parametrize(
    "name", ["a", "foo/__init__.py", "foo-1.0.dist-info/METADATA", "foo/", "a/.b/..c/d..", "x" * 255]
)
def test_usual_names_are_plain(name: str) -> None:
    """Else nothing would be spared."""
    assert plain_path(name) == name.removesuffix("/")


_WHEEL_NAMES = st.sampled_from(
    ["Wheel-Version", "wheel-version", "WHEEL-VERSION", "Tag", "Generator", "X-Wheel-Version"]
)
_WHEEL_VALUES = st.one_of(st.sampled_from(["1.0", "2.1 ", "", " 1.0", "1.0\n 2", "a: b"]), st.text(max_size=6))
_WHEEL_LINES = st.builds(
    "{}{}{}{}".format, _WHEEL_NAMES, st.sampled_from([": ", ":", " : ", ""]), _WHEEL_VALUES, st.sampled_from("\n\r")
)


@given(st.lists(_WHEEL_LINES, max_size=5).map("".join), st.sampled_from(["", "\n", "\n\n", "text"]))
def test_the_wheel_version_is_the_one_that_installers_find(lines: str, rest: str) -> None:
    """Whether WHEEL is so plain that the email package need not read it, or not."""
    text = lines + rest
    assert wheel_version(text) == str(HeaderParser().parsestr(text)["Wheel-Version"]).strip()
