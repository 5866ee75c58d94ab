"""The members of sound, odd, damaged and hostile archives, for persons that look into them.

Replaced here: limits, since archives of their real size take long to make.
"""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence

import pytest

from quire.archives import limits
from quire.archives.contents import Member, list_members, read_beginning
from quire.domain.errors import InvalidDistribution
from quire.domain.names import ParsedFilename, guess_filename
from tests.distributions import make_sdist, make_wheel

WHEEL = "foo-1.0-py3-none-any.whl"
SDIST = "foo-1.0.tar.gz"


def parsed(filename: str) -> ParsedFilename:
    found = guess_filename(filename)
    assert found is not None
    return found


def listed(data: bytes, filename: str) -> list[Member]:
    members = list_members(io.BytesIO(data), parsed(filename))
    assert members is not None
    return members


def beginning(data: bytes, filename: str, path: str, most: int = 1000) -> bytes | None:
    """None when there is no such member."""
    found = read_beginning(io.BytesIO(data), parsed(filename), path, most)
    return None if found is None else found[1]


def make_zip(contents: Sequence[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of duplicates, which are wanted here
        for name, data in contents:
            archive.writestr(name, data)
    return buffer.getvalue()


def make_tar(
    members: Sequence[tuple[tarfile.TarInfo | str, bytes]], pack: Callable[[bytes], bytes] = gzip.compress
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name) if isinstance(name, str) else name
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return pack(buffer.getvalue())


def tar_entry(name: str, type_: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = type_, target
    return entry


@pytest.mark.parametrize(
    ("data", "filename"),
    [
        (make_zip([("foo/", b""), ("foo/a.py", b"one"), ("./b//c.txt", b"three")]), WHEEL),
        (make_zip([("foo/a.py", b"one"), ("b/c.txt", b"three")], zipfile.ZIP_STORED), "foo-1.0.zip"),
        (make_zip([("foo/a.py", b"one"), ("b/c.txt", b"three")]), "foo-1.0-py3.12.egg"),
        (make_tar([(tar_entry("foo", tarfile.DIRTYPE), b""), ("foo/a.py", b"one"), ("./b//c.txt", b"three")]), SDIST),
        (make_tar([("foo/a.py", b"one"), ("b/c.txt", b"three")], bz2.compress), "foo-1.0.tar.bz2"),
        (make_tar([("foo/a.py", b"one"), ("b/c.txt", b"three")], bytes), "foo-1.0.tar"),
    ],
    ids=["wheel", "zip", "egg", "gzip", "bzip2", "tar"],
)
def test_members_are_listed_and_read(data: bytes, filename: str) -> None:
    """The files with their sizes, without the folders, and each of them read by its path as listed."""
    assert listed(data, filename) == [Member("foo/a.py", 3), Member("b/c.txt", 5)]
    assert beginning(data, filename, "foo/a.py") == b"one"
    assert beginning(data, filename, "b/c.txt") == b"three"
    assert beginning(data, filename, "b/c.txt", 2) == b"th"
    for other in ("foo", "foo/", "", "nothing", "./foo/a.py"):
        assert beginning(data, filename, other) is None


def test_real_distributions_are_listed() -> None:
    """Those that the other tests upload."""
    wheel = {member.path: member for member in listed(make_wheel("foo", "1.0"), WHEEL)}
    assert set(wheel) == {"foo.py", *(f"foo-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD"))}
    assert beginning(make_wheel("foo", "1.0"), WHEEL, "foo.py") == b"VERSION = '1.0'\n"
    assert "foo-1.0/PKG-INFO" in {member.path for member in listed(make_sdist("foo", "1.0"), SDIST)}


@pytest.mark.parametrize("filename", ["foo-1.0.tar.Z", "foo-1.0.rpm", "foo-1.0.win32.exe", "foo-1.0-1.noarch.rpm"])
def test_other_files_are_not_opened(filename: str) -> None:
    """Nothing is guessed by the bytes of a file."""
    guessed = guess_filename(filename)
    if guessed is not None:
        file = io.BytesIO(make_zip([("a", b"")]))
        assert list_members(file, guessed) is None
        assert read_beginning(file, guessed, "a", 10) is None


def test_of_duplicates_the_last_one_counts() -> None:
    """As for programs that extract; one that many entries share is expanded once."""
    wheel = make_zip([("a", b"first"), ("b", b""), ("a", b"the last")])
    sdist = make_tar([("a", b"first"), ("b", b""), ("a", b"the last")])
    for data, filename in ((wheel, WHEEL), (sdist, SDIST)):
        assert listed(data, filename) == [Member("a", 8), Member("b", 0)]
        assert beginning(data, filename, "a") == b"the last"


def test_links_and_special_files_have_no_content() -> None:
    """They are listed, wherever they lead, and never followed."""
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    assert listed(make_zip([(link, b"/etc/passwd")]), WHEEL) == [Member("link", 11, "a link")]
    assert beginning(make_zip([(link, b"/etc/passwd")]), WHEEL, "link") == b""
    sdist = make_tar(
        [
            (tar_entry("symbolic", tarfile.SYMTYPE, "../../../etc/passwd"), b""),
            (tar_entry("hard", tarfile.LNKTYPE, "/etc/passwd"), b""),
            (tar_entry("pipe", tarfile.FIFOTYPE), b""),
            (tar_entry("disk", tarfile.BLKTYPE), b""),
        ]
    )
    problems = {member.path: member.problem for member in listed(sdist, SDIST)}
    special = "a device or another special file"
    assert problems == {"symbolic": "a link", "hard": "a link", "pipe": special, "disk": special}
    for name in problems:
        assert beginning(sdist, SDIST, name) == b""


def test_sparse_files_have_no_content() -> None:
    """Their data is not in one piece."""
    entry = tar_entry("sparse", tarfile.GNUTYPE_SPARSE)
    entry.size = 3
    data = gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + b"abc".ljust(512, b"\0") + bytes(1024))
    assert [member.problem for member in listed(data, SDIST)] == ["a sparse file"]
    assert beginning(data, SDIST, "sparse") == b""


@pytest.mark.parametrize(
    ("at", "number", "problem"), [(8, 1, "encrypted"), (10, 12, "compressed in an unusual way")], ids=["flag", "method"]
)
def test_members_that_cannot_be_expanded_say_so(at: int, number: int, problem: str) -> None:
    """Encrypted ones, and those compressed by bzip2 and its like."""
    data = bytearray(make_zip([("secret", b"data")]))
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + at, number)
    assert listed(bytes(data), WHEEL) == [Member("secret", 4, problem)]
    assert beginning(bytes(data), WHEEL, "secret") == b""


ODD_NAMES = [
    "a\nb",
    "a\x1b[31m",
    "\u202egpj.exe",
    "zero\u200bwidth",
    "%2e%2e%2fx",
    "?q#f",
    "<script>",
    "ünï",
    " ",
    "a\\b",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_listed_as_they_are(name: str) -> None:
    """Only a backslash is taken for a slash, as it is by programs that extract."""
    path = name.replace("\\", "/")
    for data, filename in ((make_zip([(name, b"x")]), WHEEL), (make_tar([(name, b"x")]), SDIST)):
        assert listed(data, filename) == [Member(path, 1)]
        assert beginning(data, filename, path) == b"x"


def test_names_that_are_not_utf_8() -> None:
    """Those of a zip are in the encoding of its time, and what a tar has becomes lone surrogates, as in Python."""
    zipped = make_zip([("b\xe9", b"x")]).replace("b\xe9".encode(), b"b\x82\x82")
    flagged = zipped.index(b"PK\x01\x02") + 8
    plain = bytearray(zipped)
    struct.pack_into("<H", plain, flagged, 0)
    assert listed(bytes(plain), WHEEL) == [Member("béé", 1)]
    with pytest.raises(InvalidDistribution):
        listed(zipped, WHEEL)
    tar = make_tar([("b\xe9", b"x")], lambda data: gzip.compress(data.replace(b"b\xc3\xa9", b"b\x82\x82")))
    with pytest.raises(InvalidDistribution):  # the head's checksum
        listed(tar, SDIST)
    surrogates = io.BytesIO()
    with tarfile.open(fileobj=surrogates, mode="w:gz", encoding="utf-8", errors="surrogateescape") as archive:
        archive.addfile(tarfile.TarInfo("b\udc82"))
    assert listed(surrogates.getvalue(), SDIST) == [Member("b\udc82", 0)]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "C:\\x", "\\\\host\\x", "a\0b", "a/" * 201 + "b"])
def test_names_that_lead_out_of_the_archive_refuse_it(name: str) -> None:
    """With a sentence that has the name in a harmless form."""
    archives = [(make_tar([(name, b"x")]), SDIST)] if "\0" not in name else []
    if "\0" not in name:  # zipfile ends a name there
        archives.append((make_zip([(name, b"x")]), WHEEL))
    for data, filename in archives:
        with pytest.raises(InvalidDistribution) as caught:
            listed(data, filename)
        assert str(caught.value).isprintable()


def test_an_sdist_that_expands_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its compressed bytes are few, and where they are many and expand to few."""
    monkeypatch.setattr(limits, "MAX_LOOKED_AT", 64 * 1024)
    bomb = make_tar([("zeros", bytes(200_000))])
    with pytest.raises(InvalidDistribution, match="expands to more than"):
        listed(bomb, SDIST)
    with pytest.raises(InvalidDistribution, match="expands to more than"):
        beginning(bomb, SDIST, "zeros")
    with pytest.raises(InvalidDistribution, match="are read at most"):
        listed(make_sdist("foo", "1.0") + bytes(200_000), SDIST)


def test_an_sdist_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is compressed by bzip2 may."""
    monkeypatch.setattr(limits, "MAX_LOOK_SECONDS", -1)
    with pytest.raises(InvalidDistribution, match="takes longer"):
        listed(make_sdist("foo", "1.0"), SDIST)
    assert listed(make_wheel("foo", "1.0"), WHEEL)


def test_archives_with_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their size."""
    monkeypatch.setattr(limits, "MAX_MEMBERS", 3)
    members = [(f"f{number}", b"") for number in range(4)]
    for data, filename in ((make_zip(members), WHEEL), (make_tar(members), SDIST)):
        with pytest.raises(InvalidDistribution, match="3 members"):
            listed(data, filename)


def test_a_zip_bomb_is_listed_and_costs_what_is_shown() -> None:
    """Its directory states 2 GB for each of a thousand members that share their data; the data is another size."""
    data = make_zip([("a", bytes(100_000))])
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entry = bytearray(data[start:end])
    struct.pack_into("<L", entry, 24, 2_000_000_000)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, 1000 * len(entry), start, 0)
    bomb = data[:start] + bytes(entry) * 1000 + tail
    assert listed(bomb, WHEEL) == [Member("a", 2_000_000_000)]
    assert beginning(bomb, WHEEL, "a", 50) == bytes(50)
    with pytest.raises(InvalidDistribution):
        beginning(bomb, WHEEL, "a", 1_000_000)


@pytest.mark.parametrize("cut", [0, 1, 30, -1, -23, -600])
def test_damaged_archives_are_refused(cut: int) -> None:
    """Nothing but InvalidDistribution, whatever is missing."""
    for data, filename in ((make_wheel("foo", "1.0"), WHEEL), (make_sdist("foo", "1.0"), SDIST)):
        with pytest.raises(InvalidDistribution):
            listed(data[:cut], filename)
