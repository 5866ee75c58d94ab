"""Sdists of all kinds: sound, odd and broken."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Mapping
from typing import Any

from tests.distributions import metadata_text
from tests.oracle.cases import (
    LINKS,
    METADATA,
    OLD_NAMES,
    SDIST_NAME,
    ZIPS,
    Case,
    hard_link,
    link,
    member,
    sdist,
    sdist_files,
    tar_of,
)
from tests.oracle.zip_parts import LINK, Entry, zip_of


def _case(name: str, data: bytes, filename: str = SDIST_NAME, **verdicts: Any) -> Case:
    return Case(f"sdist {name}", data, filename, **verdicts)


def _tree(root: str = "foo-1.0", metadata: bytes = METADATA, prefix: str = "") -> bytes:
    files = {f"{prefix}{path}": data for path, data in sdist_files(root, metadata).items()}
    return sdist(files=files)


def layout_cases() -> list[Case]:
    files = sdist_files()
    flat = {path.removeprefix("foo-1.0/"): data for path, data in files.items()}
    bare = tar_of([member(path, data) for path, data in files.items()])
    without = {path: data for path, data in files.items() if not path.endswith("PKG-INFO")}
    nested = {f"foo-1.0/{path}": data for path, data in files.items()}
    folders = [
        member("foo-1.0", kind=tarfile.DIRTYPE, mode=0o755),
        member("foo-1.0/sub/", kind=tarfile.DIRTYPE, mode=0o755),
    ]
    return [
        _case("plain", sdist()),
        _case("with folders", sdist(first=folders)),
        _case("without a top folder", sdist(files=flat), pypi=False),
        _case("with two top folders", sdist(member("other/x", b"x")), pip=False, uv=False, pypi=False),
        _case("with a file beside the top folder", sdist(member("README", b"x")), pip=False, uv=False, pypi=False),
        _case(
            "with an empty folder beside the top folder",
            sdist(member("other", kind=tarfile.DIRTYPE)),
            pip=False,
            uv=False,
            pypi=False,
        ),
        _case("with ./ before all", _tree(prefix="./"), pip=False, pypi=False),
        _case("with ./ before some", sdist(member("./foo-1.0/x", b"x")), pip=False, pypi=False),
        _case("with a ./ folder", sdist(first=[member("./", kind=tarfile.DIRTYPE, mode=0o755)]), pip=False, pypi=False),
        _case("in a folder of another name", _tree("bar-2.0")),
        _case("in a folder without a version", _tree("foo")),
        _case("in a folder twice as deep", sdist(files=nested), pip=False, uv=False, pypi=False),
        _case("without PKG-INFO", sdist(files=without), pip=False, uv=False, pypi=False),
        _case("with an egg-info", sdist(member("foo-1.0/foo.egg-info/PKG-INFO", METADATA))),
        _case("with the same PKG-INFO twice", sdist(member("foo-1.0/PKG-INFO", METADATA))),
        _case(
            "with two PKG-INFO",
            sdist(first=[member("foo-1.0/PKG-INFO", METADATA + b"other\n")]),
            accepted=False,
            why="which of the two counts depends on the reader",
        ),
        _case("with ./PKG-INFO twice", sdist(member("foo-1.0/./PKG-INFO", METADATA))),
        _case("with a file twice", sdist(member("foo-1.0/x", b"1"), member("foo-1.0/x", b"2"))),
        _case(
            "with PKG-INFO as a link",
            sdist(link("foo-1.0/PKG-INFO", "INFO"), files={**without, "foo-1.0/INFO": METADATA}),
            accepted=False,
            why="no build tool writes it, and readers differ in what they follow",
        ),
        _case(
            "with PKG-INFO as a hard link",
            sdist(hard_link("foo-1.0/PKG-INFO", "foo-1.0/INFO"), files={**without, "foo-1.0/INFO": METADATA}),
            accepted=False,
            why="no build tool writes it, and readers differ in what they follow",
        ),
        _case(
            "with PKG-INFO in small letters",
            sdist(member("foo-1.0/pkg-info", METADATA), files=without),
            pip=False,
            uv=False,
            pypi=False,
        ),
        _case("of nothing", gzip.compress(tar_of([]), mtime=0), pip=False, uv=False, pypi=False),
        _case("bz2", bz2.compress(bare), "foo-1.0.tar.bz2", pypi=False, uv=False),
        _case("xz", lzma.compress(bare), "foo-1.0.tar.xz", pypi=False, uv=False),
        _case("tgz", gzip.compress(bare, mtime=0), "foo-1.0.tgz", pypi=False, uv=False),
        _case("tar", bare, "foo-1.0.tar", pypi=False, uv=False),
        _case("tar named as gz", bare, pip=False, uv=False, pypi=False),
        _case("bz2 named as gz", bz2.compress(bare), pip=False, uv=False, pypi=False),
        _case(
            "zip named as gz",
            zip_of([Entry(path, data) for path, data in files.items()]),
            pip=False,
            uv=False,
            pypi=False,
        ),
        _case("named Foo", sdist(), "Foo-1.0.tar.gz", pypi=False, accepted=True, why=OLD_NAMES),
        _case("named 1.0.0", sdist(), "foo-1.0.0.tar.gz", pypi=False, accepted=True, why=OLD_NAMES),
        _case("ustar", sdist(format=tarfile.USTAR_FORMAT)),
        _case("gnu", sdist(member("foo-1.0/" + "n" * 150, b"x"), format=tarfile.GNU_FORMAT)),
        _case("pax", sdist(member("foo-1.0/" + "n" * 150 + "\xe9", b"x"))),
        _case("with a global header", gzip.compress(_global_header() + bare, mtime=0)),
        _case("with an empty gzip stream after it", gzip.compress(bare, mtime=0) + gzip.compress(b"")),
        _case("in two gzip streams", gzip.compress(bare[:1000]) + gzip.compress(bare[1000:]), uv=False),
        _case("with zeros after it", sdist() + bytes(1000)),
        _case(
            "with bytes after it", sdist() + b"what", accepted=False, why="an upload may not carry what no reader shows"
        ),
        _case("with another tar after the end mark", gzip.compress(bare + bare, mtime=0)),
        _case("with bytes after the end mark", gzip.compress(bare + b"x" * 512, mtime=0)),
        _case(
            "without an end mark",
            gzip.compress(bare.rstrip(b"\0") + bytes(-len(bare.rstrip(b"\0")) % 512), mtime=0),
            uv=False,
        ),
        _case(
            "with half an end mark",
            gzip.compress(bare.rstrip(b"\0") + bytes(-len(bare.rstrip(b"\0")) % 512 + 512), mtime=0),
            uv=False,
        ),
        _case("cut off", sdist()[:-20], pypi=False),
        _case("with a wrong checksum", sdist()[:-8] + b"abcd" + sdist()[-4:], pypi=False),
        _case("with a wrong length", sdist()[:-4] + b"abcd", pypi=False),
        _case("cut off within a tar", gzip.compress(bare[:2000], mtime=0), pip=False, uv=False, pypi=False),
        _case("no archive", b"what", pip=False, uv=False, pypi=False),
        _case("empty", b"", pip=False, uv=False, pypi=False),
        _case("metadata 3.0", _tree(metadata=metadata_text("foo", "1.0", metadata_version="3.0").encode()), pypi=False),
        _case("metadata not UTF-8", _tree(metadata=METADATA.replace(b"for tests", b"caf\xe9")), pip=False, uv=False),
        _case("metadata with a byte order mark", _tree(metadata=b"\xef\xbb\xbf" + METADATA), pip=False, uv=False),
        _case(
            "metadata of another project",
            _tree(metadata=METADATA.replace(b"Name: foo", b"Name: bar")),
            pip=False,
            uv=False,
            pypi=False,
        ),
    ]


def _global_header() -> bytes:
    info = tarfile.TarInfo("pax_global_header")
    return info.create_pax_global_header({"comment": "0123456789"})


def link_cases() -> list[Case]:
    readme = member("foo-1.0/README", b"x")
    source = member("foo-1.0/src/a.py", b"x")

    def case(name: str, *members: tuple[tarfile.TarInfo, bytes], **verdicts: Any) -> Case:
        return _case(name, sdist(readme, source, *members), **verdicts)

    return [
        case("link to a file beside", link("foo-1.0/l", "README")),
        case("link up", link("foo-1.0/src/l", "../README")),
        case("link down and up", link("foo-1.0/l", "src/../README"), uv=False, accepted=True, why=LINKS),
        case(
            "link down and up to elsewhere", link("foo-1.0/l", "nowhere/../README"), uv=False, accepted=True, why=LINKS
        ),
        case("link by ./", link("foo-1.0/l", "./README")),
        case("link to the folder", link("foo-1.0/l", ".")),
        case("link to a folder", link("foo-1.0/l", "src")),
        case("link to nothing", link("foo-1.0/l", "nothing")),
        case("link to itself", link("foo-1.0/l", "l"), uv=False),
        case("link to nowhere", link("foo-1.0/l", ""), pip=True, uv=False),
        case("link through the top folder", link("foo-1.0/l", "../foo-1.0/README"), pip=False),
        case("link through the top folder from below", link("foo-1.0/src/l", "../../foo-1.0/README"), pip=False),
        case("link out", link("foo-1.0/l", "../../x"), pip=False, uv=False),
        case("link out by one", link("foo-1.0/l", ".."), pip=False),
        case("link to a sibling of the top folder", link("foo-1.0/l", "../x"), pip=False),
        case("absolute link", link("foo-1.0/l", "/etc/passwd"), pip=False, uv=False),
        case("link with backslashes", link("foo-1.0/l", "..\\..\\x"), uv=False),
        case("link with a drive", link("foo-1.0/l", "C:/x"), uv=False),
        case(
            "two links of which the second leaves",
            link("foo-1.0/a", "src"),
            link("foo-1.0/b", "a/../../x"),
            pip=False,
            uv=False,
        ),
        case("link through a link", link("foo-1.0/a", "src"), link("foo-1.0/b", "a/a.py")),
        case(
            "link out through a link",
            link("foo-1.0/src/up", ".."),
            link("foo-1.0/b", "src/up/../x"),
            pip=False,
            uv=False,
        ),
        case("file below a link", link("foo-1.0/a", "src"), member("foo-1.0/a/b.py", b"x"), uv=False),
        case("file in place of a link", link("foo-1.0/a", "README"), member("foo-1.0/a", b"y")),
        case("link in place of a file", member("foo-1.0/a", b"y"), link("foo-1.0/a", "README")),
        case("hard link", hard_link("foo-1.0/h", "foo-1.0/README")),
        case("hard link without the top folder", hard_link("foo-1.0/h", "README"), uv=False),
        case("hard link by ./", hard_link("foo-1.0/h", "./foo-1.0/README"), pip=False),
        case("hard link to nothing", hard_link("foo-1.0/h", "foo-1.0/nothing"), pip=False, uv=False),
        case(
            "hard link to a later file",
            hard_link("foo-1.0/h", "foo-1.0/z"),
            member("foo-1.0/z", b"z"),
            uv=False,
            pip=False,
        ),
        case("hard link to itself", hard_link("foo-1.0/h", "foo-1.0/h"), pip=False, uv=False),
        case("hard link out", hard_link("foo-1.0/h", "../x"), pip=False, uv=False),
        case("absolute hard link", hard_link("foo-1.0/h", "/etc/passwd"), pip=False, uv=False),
        case(
            "hard link down and up",
            hard_link("foo-1.0/h", "foo-1.0/src/../README"),
            accepted=False,
            why="no build tool writes it",
        ),
        case("hard link to a link", link("foo-1.0/l", "README"), hard_link("foo-1.0/h", "foo-1.0/l"), uv=False),
    ]


def member_cases() -> list[Case]:
    def case(name: str, *members: tuple[tarfile.TarInfo, bytes], **verdicts: Any) -> Case:
        return _case(name, sdist(*members), **verdicts)

    sparse = tarfile.TarInfo("foo-1.0/sparse")
    sparse.type, sparse.size = tarfile.GNUTYPE_SPARSE, 0
    return [
        case("fifo", member("foo-1.0/d", kind=tarfile.FIFOTYPE), pip=False, uv=False),
        case("character device", member("foo-1.0/d", kind=tarfile.CHRTYPE), pip=False, uv=False),
        case("block device", member("foo-1.0/d", kind=tarfile.BLKTYPE), pip=False, uv=False),
        case("unknown type", member("foo-1.0/d", kind=b"Z"), pip=False, uv=False),
        case("contiguous file", member("foo-1.0/d", b"x", kind=tarfile.CONTTYPE)),
        case("sparse file", (sparse, b""), pypi=False, uv=False),
        case("setuid file", member("foo-1.0/x", b"x", mode=0o4755)),
        case("file without rights", member("foo-1.0/x", b"x", mode=0)),
        case("folder without rights", member("foo-1.0/d", kind=tarfile.DIRTYPE, mode=0), member("foo-1.0/d/x", b"x")),
        case("absolute name", member("/foo-1.0/x", b"x"), pypi=False, uv=False),
        case("name that climbs", member("foo-1.0/../x", b"x"), pip=False, uv=False, pypi=False),
        case("name that climbs out", member("foo-1.0/../../x", b"x"), pip=False, uv=False),
        case("name that climbs within", member("foo-1.0/src/../x", b"x"), uv=False, pip=False),
        case("name with a backslash", member("foo-1.0/a\\b", b"x"), uv=False),
        case("name with backslashes that climb", member("foo-1.0/..\\..\\x", b"x"), uv=False),
        case("name with a drive", member("foo-1.0/C:x", b"x"), uv=False),
        case("name with a line feed", member("foo-1.0/a\nb", b"x"), uv=False),
        case("name with //", member("foo-1.0//a//b", b"x")),
        case("long name", member("foo-1.0/" + "n" * 256, b"x"), pip=False, uv=False),
        # not deeper: what uv leaves of it in its cache has to be removed, which is done by recursion
        case(
            "deep name",
            member("foo-1.0/" + "d/" * 300 + "x", b"x"),
            accepted=False,
            why="no real project nests so deep; at some 900 folders pip's own recursion ends",
        ),
        case(
            "file and folder of one name", member("foo-1.0/a", b"x"), member("foo-1.0/a/b", b"x"), pip=False, uv=False
        ),
        case("names that differ in case", member("foo-1.0/a", b"x"), member("foo-1.0/A", b"y")),
    ]


def name_cases() -> list[Case]:
    """Names and pax fields that Windows or uv would not have."""
    odd = ("con.py", "a*b", "a?b", "a|b", 'a"b', "a.", " a", "caf\xe9", "a\u202eb", "..a", "...", "~", "-x", "$x")

    def field(keyword: str, **verdicts: Any) -> Case:
        info, data = member("foo-1.0/p", b"x")
        info.pax_headers = {keyword: "x"}
        return _case(f"pax field {keyword}", sdist((info, data)), **verdicts)

    return [
        _case("odd names", sdist(*[member(f"foo-1.0/{name}", b"x") for name in odd])),
        *[
            _case(f"name {name!r}", sdist(member(f"foo-1.0/{name}", b"x")), uv=False)
            for name in ("a:b", "a ", "a\x7fb", "a\x1bb")
        ],
        field("SCHILY.xattr.user.x"),
        field("comment"),
        field("ACME.x", uv=False),
        field("what", uv=False),
        _case("deep", sdist(member("foo-1.0/" + "d/" * 150 + "x", b"x"))),
        _case("two links in a circle", sdist(link("foo-1.0/a", "b"), link("foo-1.0/b", "a")), uv=False),
        _case("link with a line feed", sdist(link("foo-1.0/l", "a\nb")), uv=False),
        _case(
            "hard link to a folder",
            sdist(member("foo-1.0/s", kind=tarfile.DIRTYPE, mode=0o755), hard_link("foo-1.0/h", "foo-1.0/s")),
            uv=False,
        ),
        _case(
            "hard link to a hard link",
            sdist(hard_link("foo-1.0/h", "foo-1.0/backend.py"), hard_link("foo-1.0/i", "foo-1.0/h")),
        ),
        _case("hard link with //", sdist(hard_link("foo-1.0/h", "foo-1.0//backend.py")), pip=False),
        _case(
            "file in place of a folder",
            sdist(member("foo-1.0/q", kind=tarfile.DIRTYPE, mode=0o755), member("foo-1.0/q", b"x")),
            pip=False,
        ),
        _case(
            "folder in place of a file",
            sdist(member("foo-1.0/q", b"x"), member("foo-1.0/q", kind=tarfile.DIRTYPE, mode=0o755)),
            accepted=False,
            why="no build tool writes it",
        ),
        _case(
            "link in place of a folder",
            sdist(member("foo-1.0/q", kind=tarfile.DIRTYPE, mode=0o755), link("foo-1.0/q", "backend.py")),
            pip=False,
        ),
    ]


def zip_cases() -> list[Case]:
    files = sdist_files()
    plain = [Entry(path, data) for path, data in files.items()]

    def case(name: str, data: bytes, **verdicts: Any) -> Case:
        return _case(f"zip {name}", data, "foo-1.0.zip", **{"pypi": False, **verdicts})

    return [
        case("plain", zip_of(plain), accepted=True, why=ZIPS),
        case(
            "with backslashes", zip_of([Entry(path.replace("/", "\\"), data) for path, data in files.items()]), uv=False
        ),
        case("with a backslash", zip_of([*plain, Entry("foo-1.0/a\\b", b"x")])),
        case("with a link", zip_of([*plain, Entry("foo-1.0/l", b"README", mode=LINK)])),
        case("with a link to outside", zip_of([*plain, Entry("foo-1.0/l", b"/etc/passwd", mode=LINK)])),
        case(
            "without a top folder", zip_of([Entry(path.removeprefix("foo-1.0/"), data) for path, data in files.items()])
        ),
        case("with two top folders", zip_of([*plain, Entry("other/x", b"x")]), pip=False, uv=False),
        case("with ./ before all", zip_of([Entry(f"./{path}", data) for path, data in files.items()]), pip=False),
        case("with the same PKG-INFO twice", zip_of([*plain, Entry("foo-1.0/PKG-INFO", METADATA)])),
        case(
            "without PKG-INFO", zip_of([each for each in plain if each.name != "foo-1.0/PKG-INFO"]), pip=False, uv=False
        ),
        case("with a name that climbs", zip_of([*plain, Entry("foo-1.0/../../x", b"x")]), pip=False),
        case(
            "with a wrong crc",
            zip_of([*plain, Entry("foo-1.0/x", b"x", local={"crc": 9}, central={"crc": 9})]),
            pip=False,
            uv=False,
        ),
    ]


def _block(
    name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", fields: Mapping[int, bytes] | None = None
) -> bytes:
    """A header and its data as they stand in a tar. `fields`: bytes in the header, by their place."""
    info, _ = member(name, data, kind)
    return _changed(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512), fields or {})


def _gnu(block: bytes) -> bytes:
    """The same in the format of GNU."""
    return _changed(block, {257: b"ustar  \0"})


def _changed(header_and_data: bytes, fields: Mapping[int, bytes]) -> bytes:
    block = bytearray(header_and_data)
    for at, value in fields.items():
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


def _pax(*records: tuple[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A pax header; all records have up to 99 bytes."""
    lines = [f"{len(key) + len(value) + 5:02d} {key}={value}\n" for key, value in records]
    return _block("foo-1.0/pax", kind, "".join(line.lstrip("0") for line in lines).encode())


def header_cases() -> list[Case]:
    """Headers of which readers make different things."""
    files = [_block(path, data=data) for path, data in sdist_files().items()]
    plain, name = _block("foo-1.0/plain.txt", data=b"x"), "foo-1.0/a.txt"
    long_name, long_target = _block("x", b"L", name.encode() + b"\0"), _block("x", b"K", b"backend.py\0")

    def case(what: str, *blocks: bytes, **verdicts: Any) -> Case:
        data = b"".join([*files, *blocks, bytes(1024)])
        return _case(f"header: {what}", gzip.compress(data, mtime=0), **verdicts)

    def odd(what: str, *blocks: bytes) -> Case:
        return case(what, *blocks, uv=False)

    def gnu(what: str, *blocks: bytes, **verdicts: Any) -> Case:
        data = b"".join([*map(_gnu, [*files, *blocks]), bytes(1024)])
        return _case(f"header of GNU: {what}", gzip.compress(data, mtime=0), **verdicts)

    return [
        case("none of them odd", plain),
        odd("a folder with a size", _block("foo-1.0/d/", tarfile.DIRTYPE, b"x")),
        odd("a link with a size", _block("foo-1.0/l", tarfile.SYMTYPE, b"x", {157: b"backend.py"})),
        odd("a hard link with a size", _block("foo-1.0/l", tarfile.LNKTYPE, b"x", {157: b"foo-1.0/backend.py"})),
        case("a pax path", _pax(("path", name)), plain),
        odd("a pax path of two", _pax(("path", name), ("path", "foo-1.0/b.txt")), plain),
        case("a pax size", _pax(("size", "1")), plain),
        odd("another pax size", _pax(("size", "0")), plain),
        odd("a pax size that is no number", _pax(("size", "0_1")), plain),
        case("an empty pax value", _pax(("uname", "")), plain),
        case(
            "a pax value of two lines",
            _pax(("comment", "a\nb")),
            plain,
            accepted=False,
            why="older uv ends records at line ends, and finds further ones in such a value",
        ),
        case(
            "a pax record that is too long",
            _block("foo-1.0/pax", b"x", b"30 path=foo-1.0/a.txt\n"),
            plain,
            pip=False,
            uv=False,
        ),
        odd("a pax record without a line end", _block("foo-1.0/pax", b"x", b"22 path=foo-1.0/a.txt;"), plain),
        odd("a pax header without records", _block("foo-1.0/pax", b"x"), plain),
        odd("two pax headers", _pax(("path", name)), _pax(("comment", "x")), plain),
        odd("a pax header of Solaris", _pax(("path", name), kind=b"X"), plain),
        case("a global comment", _pax(("comment", "x"), kind=b"g"), plain),
        odd("a global path", _pax(("path", name), kind=b"g"), plain),
        odd("a global size", _pax(("size", "0"), kind=b"g"), plain),
        odd("a global linkpath", _pax(("linkpath", "backend.py"), kind=b"g"), plain),
        odd("a long name and a pax header", long_name, _pax(("comment", "x")), plain),
        odd("a size like 0_1", _block("foo-1.0/x", data=b"x", fields={124: b"000000000_1\0"})),
        odd("a size like +1", _block("foo-1.0/x", data=b"x", fields={124: b"+0000000001\0"})),
        odd("a size like 0o1", _block("foo-1.0/x", data=b"x", fields={124: b"0o000000001\0"})),
        odd("a size of blanks", _block("foo-1.0/x", fields={124: b" " * 12})),
        odd("a mode like 06_4", _block("foo-1.0/x", fields={100: b"00006_4\0"})),
        case("an owner of NULs", _block("foo-1.0/x", fields={108: bytes(8)})),
        case("a prefix", _block("x", fields={345: b"foo-1.0"})),
        odd("a file with a name of a folder", _block("foo-1.0/x/")),
        gnu("a long name", long_name, plain),
        gnu("a long name and a long target", long_name, long_target, _block("foo-1.0/l", tarfile.SYMTYPE)),
        gnu("a long name with a NUL", _block("x", b"L", name.encode() + b"\0b"), plain, uv=False),
        gnu("two long names", long_name, long_name, plain, uv=False),
        gnu("a binary size", _block("foo-1.0/x", data=b"x", fields={124: b"\x80" + bytes(10) + b"\1"})),
        gnu(
            "a prefix",
            _block("foo-1.0/x", fields={345: b"foo-1.0"}),
            accepted=False,
            why="pip puts it before the name, and uv does not",
        ),
    ]


def sdist_cases() -> list[Case]:
    return [*layout_cases(), *link_cases(), *member_cases(), *name_cases(), *header_cases(), *zip_cases()]
