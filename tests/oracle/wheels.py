"""Wheels of all kinds: sound, odd and broken."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from tests.distributions import metadata_text
from tests.oracle.cases import (
    DESCRIPTIVE,
    INFO,
    METADATA,
    MODULE,
    OLD_NAMES,
    WHEEL_FILE,
    Case,
    changed,
    contents,
    entries,
    record_of,
    wheel,
    wheel_with,
)
from tests.oracle.zip_parts import DESCRIPTOR, ENCRYPTED, LINK, PATCH, STRONGLY_ENCRYPTED, UTF8, Entry, zip_of


def _metadata(extra: str = "", **fields: str) -> bytes:
    return metadata_text("foo", "1.0", extra=extra, **fields).encode()


def _record(text: bytes) -> bytes:
    return wheel(record=text)


def dist_info_cases() -> list[Case]:
    other = {"bar-1.0.dist-info/METADATA": METADATA, "bar-1.0.dist-info/WHEEL": WHEEL_FILE}
    return [
        Case("plain", wheel()),
        Case("two dist-info", wheel(other), pip=False, uv=False),
        Case("a second dist-info without metadata", wheel({"bar-1.0.dist-info/x": b""}), pip=False, uv=False),
        Case("a file named as a dist-info", wheel({"bar-1.0.dist-info": b""}), pip=False),
        Case("a dist-info further down", wheel({f"sub/{path}": data for path, data in other.items()})),
        Case("no dist-info", zip_of([Entry("foo.py", MODULE)]), pip=False, uv=False, pypi=False),
        Case("an empty zip", zip_of([]), pip=False, uv=False, pypi=False),
        Case("an egg-info beside it", wheel({"foo.egg-info/PKG-INFO": METADATA})),
        Case("dist-info of another project", wheel(info="bar-1.0.dist-info"), pip=False, pypi=False),
        Case("dist-info of another version", wheel(info="foo-1.1.dist-info"), pypi=False),
        Case("dist-info with the version spelled otherwise", wheel(info="foo-1.0.0.dist-info"), pypi=False),
        Case("dist-info with the name spelled otherwise", wheel(info="Foo-1.0.dist-info"), pypi=False),
        Case("dist-info of a longer name", wheel(info="foobar-1.0.dist-info"), pypi=False),
        Case("dist-info without a version", wheel(info="foo.dist-info"), pypi=False),
        Case("dist-info in capitals", wheel(info="foo-1.0.DIST-INFO"), pip=False, uv=False, pypi=False),
        Case("no METADATA", wheel({f"{INFO}/METADATA": None}), pip=False, uv=False, pypi=False),
        Case("no WHEEL", wheel({f"{INFO}/WHEEL": None}), pip=False, uv=False, pypi=False),
        Case("no RECORD", wheel({f"{INFO}/RECORD": None}), pip=False, uv=False, pypi=False),
        Case(
            "METADATA is a folder",
            wheel({f"{INFO}/METADATA": None, f"{INFO}/METADATA/x": b""}),
            pip=False,
            uv=False,
            pypi=False,
        ),
        Case("Wheel-Version 2.0", wheel(wheel=WHEEL_FILE.replace(b"1.0", b"2.0")), pip=False, uv=False),
        Case("Wheel-Version 1.9", wheel(wheel=WHEEL_FILE.replace(b"1.0", b"1.9"))),
        Case("Wheel-Version 1", wheel(wheel=WHEEL_FILE.replace(b"1.0", b"1")), uv=False),
        Case("Wheel-Version one", wheel(wheel=WHEEL_FILE.replace(b"1.0", b"one")), pip=False, uv=False),
        Case("Wheel-Version 0.1", wheel(wheel=WHEEL_FILE.replace(b"1.0", b"0.1"))),
        Case("two Wheel-Version", wheel(wheel=WHEEL_FILE + b"Wheel-Version: 2.0\n")),
        Case("no Wheel-Version", wheel(wheel=b"Root-Is-Purelib: true\nTag: py3-none-any\n"), pip=False, uv=False),
        Case("WHEEL empty", wheel(wheel=b""), pip=False, uv=False),
        Case("WHEEL with a byte order mark", wheel(wheel=b"\xef\xbb\xbf" + WHEEL_FILE), pip=False, uv=False),
        Case("WHEEL not UTF-8", wheel(wheel=WHEEL_FILE + b"Generator: \xe9\n"), pip=False, uv=False),
        Case("WHEEL with CRLF", wheel(wheel=WHEEL_FILE.replace(b"\n", b"\r\n"))),
        Case("WHEEL without Root-Is-Purelib", wheel(wheel=b"Wheel-Version: 1.0\nTag: py3-none-any\n")),
        Case("WHEEL with other tags", wheel(wheel=WHEEL_FILE.replace(b"py3-none-any", b"cp27-cp27m-win32"))),
        Case("WHEEL without tags", wheel(wheel=b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")),
    ]


def record_cases() -> list[Case]:
    base = contents()
    good = base[f"{INFO}/RECORD"]
    lines = good.splitlines(keepends=True)
    return [
        Case("RECORD without a file", _record(b"".join(lines[1:]))),
        Case("RECORD with a file that is not there", _record(b"bar.py,,\n" + good)),
        Case("RECORD with a wrong hash", _record(good.replace(b"sha256=", b"sha256=A"))),
        Case("RECORD with a wrong size", _record(lines[0].rstrip()[:-2] + b"99\n" + b"".join(lines[1:]))),
        Case(
            "RECORD with a size that is no number",
            _record(lines[0].rstrip()[:-2] + b"x\n" + b"".join(lines[1:])),
            uv=False,
        ),
        Case("RECORD with one column", _record(b"foo.py\n" + b"".join(lines[1:])), uv=False),
        Case("RECORD with five columns", _record(b"foo.py,,,,\n" + b"".join(lines[1:])), uv=False),
        Case("RECORD empty", _record(b"")),
        Case("RECORD with an empty line", _record(good + b"\n"), pip=False),
        Case("RECORD not UTF-8", _record(good + b"caf\xe9,,\n"), pip=False, uv=False),
        Case("RECORD with a byte order mark", _record(b"\xef\xbb\xbf" + good)),
        Case("RECORD with an open quote", _record(good + b'"foo.py,,\n'), uv=False),
        Case("RECORD with CRLF", _record(good.replace(b"\n", b"\r\n"))),
        Case(
            "RECORD with backslashes",
            wheel(
                {"sub/a.py": b""},
                record=record_of(
                    {**{path: data for path, data in contents({"sub/a.py": b""}).items() if "RECORD" not in path}}
                ).replace(b"sub/a", b"sub\\a"),
            ),
        ),
        Case("RECORD with absolute paths", _record(b"".join(b"/" + line for line in lines))),
        Case("RECORD out of the folder", _record(b"../../x.py,,\n" + good)),
        Case("RECORD with everything twice", _record(good + good)),
        Case("RECORD with a NUL", _record(good + b"a\0b,,\n")),
        Case("RECORD.jws", wheel({f"{INFO}/RECORD.jws": b"{}"}, record=good)),
    ]


def metadata_cases() -> list[Case]:
    def case(name: str, document: bytes, **verdicts: Any) -> Case:
        return Case(f"METADATA {name}", wheel(metadata=document), **verdicts)

    return [
        case("with a byte order mark", b"\xef\xbb\xbf" + METADATA, pip=False, uv=False),
        case("with CRLF", METADATA.replace(b"\n", b"\r\n")),
        case("not UTF-8", METADATA.replace(b"for tests", b"caf\xe9"), pip=False, uv=False),
        case("description not UTF-8", METADATA + b"caf\xe9\n", pip=False, uv=False),
        case("3.0", _metadata(metadata_version="3.0"), pypi=False),
        case(
            "2.99",
            _metadata(metadata_version="2.99"),
            pypi=False,
            accepted=True,
            why="the specification: a newer minor version is no reason to refuse",
        ),
        case("2.5", _metadata(metadata_version="2.5")),
        case("1.0", b"Metadata-Version: 1.0\nName: foo\nVersion: 1.0\n"),
        case("without Metadata-Version", b"Name: foo\nVersion: 1.0\n", pypi=False),
        case("version two", _metadata(metadata_version="two"), pypi=False),
        case("without Name", b"Metadata-Version: 2.1\nVersion: 1.0\n", pip=False, uv=False, pypi=False),
        case("without Version", b"Metadata-Version: 2.1\nName: foo\n", pip=False, uv=False, pypi=False),
        case("of another project", METADATA.replace(b"Name: foo", b"Name: bar"), pip=False, uv=False, pypi=False),
        case("of another version", METADATA.replace(b"Version: 1.0", b"Version: 1.1"), pip=False, uv=False, pypi=False),
        case("name spelled otherwise", METADATA.replace(b"Name: foo", b"Name: FOO")),
        case("empty", b"", pip=False, uv=False, pypi=False),
        case("of blank lines first", b"\n\n" + METADATA, pip=False, uv=False, pypi=False),
        case("with From first", b"From x\n" + METADATA),
        case(
            "with Name twice",
            METADATA.replace(b"Summary", b"Name: bar\nSummary", 1),
            accepted=False,
            why="which of two names counts depends on the reader",
        ),
        case("with Requires-Python three", _metadata(requires_python="three"), pypi=False),
        case("with Requires-Python beyond this", _metadata(requires_python=">=2.7,!=3.0.*")),
        case("with a bad Requires-Dist", _metadata("Requires-Dist: bar >=what\n"), pip=False, pypi=False),
        case("with a bad marker", _metadata("Requires-Dist: bar ; what == 'x'\n"), pip=False, pypi=False),
        case("with an empty Requires-Dist", _metadata("Requires-Dist:\n"), pip=False, pypi=False),
        case("with an old Requires-Dist", _metadata("Requires-Dist: bar (>=1.0)\n")),
        case("with a trailing comma", _metadata("Requires-Dist: bar >=1.0,\n")),
        case("with >=1.*", _metadata("Requires-Dist: bar >=1.*\n"), pip=False, pypi=False),
        case(
            "with a URL",
            _metadata("Requires-Dist: bar @ https://example.org/bar.zip\n"),
            pypi=False,
            accepted=True,
            why="only a public index has to keep its packages from depending on other servers",
        ),
        case("with a bad extra", _metadata("Provides-Extra: -x\n"), pypi=False),
        case("with an odd extra", _metadata("Provides-Extra: a b\n"), pypi=False),
        case("with an invented field", _metadata("Invented: x\n")),
        case("with an unknown Dynamic", _metadata("Dynamic: Invented\n"), pypi=False, accepted=True, why=DESCRIPTIVE),
        case("with Dynamic Name", _metadata("Dynamic: Name\n"), pypi=False, accepted=True, why=DESCRIPTIVE),
        case(
            "with an unknown classifier",
            _metadata("Classifier: Private :: Do Not Upload\n"),
            pypi=False,
            accepted=True,
            why=DESCRIPTIVE,
        ),
        case("with a folded Summary", METADATA.replace(b"for tests", b"\n for tests")),
        case(
            "with a bad content type",
            _metadata("Description-Content-Type: text/what\n"),
            pypi=False,
            accepted=True,
            why=DESCRIPTIVE,
        ),
        case(
            "with License and License-Expression",
            _metadata("License: MIT\nLicense-Expression: MIT\n"),
            pypi=False,
            accepted=True,
            why=DESCRIPTIVE,
        ),
        case(
            "with an unknown License-Expression",
            _metadata("License-Expression: What-1.0\n"),
            pypi=False,
            accepted=True,
            why=DESCRIPTIVE,
        ),
        case(
            "with a License-File that is missing",
            _metadata("License-File: LICENSE\n"),
            pypi=False,
            accepted=True,
            why=DESCRIPTIVE,
        ),
        Case(
            "with a License-File",
            wheel({f"{INFO}/licenses/LICENSE": b"MIT"}, metadata=_metadata("License-File: LICENSE\n")),
        ),
        case("with a License-File of old", _metadata("License-File: LICENSE\n", metadata_version="2.1")),
        case("with a bad address", _metadata("Author-email: what\n"), pypi=False, accepted=True, why=DESCRIPTIVE),
        case("with a bad home page", _metadata("Home-page: what\n"), pypi=False, accepted=True, why=DESCRIPTIVE),
        case("with a bad Project-URL", _metadata("Project-URL: what\n"), pypi=False, accepted=True, why=DESCRIPTIVE),
        case(
            "with two Project-URLs of one label",
            _metadata("Project-URL: Docs, https://a.example\nProject-URL: Docs, https://b.example\n"),
            pypi=False,
            accepted=True,
            why=DESCRIPTIVE,
        ),
    ]


def member_cases() -> list[Case]:
    def named(name: str | bytes, *, data: bytes = b"x = 1\n", **verdicts: Any) -> Case:
        return Case(f"member {name!r}", wheel_with(Entry(name, data)), **verdicts)

    plain = contents()
    dotted = {f"./{path}": data for path, data in plain.items()}
    backslashed = {path.replace("/", "\\"): data for path, data in contents({"sub/a.py": b"x"}).items()}
    package = {"sub/a.py": b"x", "foo.py": MODULE}
    return [
        Case("all members below ./", zip_of(entries(dotted)), pip=False, pypi=False),
        named("./bar.py", expected={"foo.py": MODULE, "bar.py": b"x = 1\n"}),
        named("sub//bar.py", expected={"foo.py": MODULE, "sub/bar.py": b"x = 1\n"}),
        named("sub/./bar.py", expected={"foo.py": MODULE, "sub/bar.py": b"x = 1\n"}),
        Case(
            "all members with backslashes",
            zip_of(entries(backslashed)),
            pip=False,
            uv=False,
            pypi=False,
            expected=package,
        ),
        named("sub\\bar.py", pip=False, uv=False, expected={"foo.py": MODULE, "sub/bar.py": b"x = 1\n"}),
        named("/bar.py", pip=False),
        named("//bar.py", pip=False),
        named("C:/bar.py", accepted=False, why="on Windows it is an absolute path"),
        named("C:\\bar.py", accepted=False, why="on Windows it is an absolute path"),
        named("../bar.py", pip=False),
        named("sub/../bar.py", accepted=False, why="no build tool writes it, and older readers leave the folder"),
        named("sub/../../bar.py", pip=False),
        named("..", pip=False),
        named("sub/..", pip=False, uv=False),
        named(".", pip=False, uv=False),
        named("bar.py/", data=b"", expected={"foo.py": MODULE}),
        named("bar.py/", data=b"x", uv=False),
        named("", pip=False, uv=False),
        named("a\0b.py", uv=False, pypi=False),
        named("a\nb.py", uv=False, pypi=False),
        named("a\x7fb.py", uv=False, pypi=False),
        named("a\x1bb.py", uv=False, pypi=False),
        named("caf\xe9.py", expected={"foo.py": MODULE, "caf\xe9.py": b"x = 1\n"}),
        named(b"caf\x82.py", uv=False, pypi=False),
        named(b"caf\xc3\xa9.py", uv=False),
        named("FOO.py"),
        named("con.py"),
        named("a:b.py"),
        named("a*?.py"),
        named(" .py"),
        named("n" * 256 + ".py", pip=False, uv=False),
        named("n" * 250 + ".py"),
        named("/".join(["d" * 200] * 30) + "/x.py", pip=False, uv=False),
        Case("the same member twice", wheel_with(Entry("bar.py", b"x"), Entry("bar.py", b"x")), pypi=False),
        Case("two members of one name", wheel_with(Entry("bar.py", b"x"), Entry("bar.py", b"y")), uv=False, pypi=False),
        Case(
            "METADATA twice",
            wheel_with(Entry(f"{INFO}/METADATA", METADATA), Entry(f"{INFO}/METADATA", METADATA)),
            pypi=False,
        ),
        Case("two names of one path", wheel_with(Entry("bar.py", b"x"), Entry("./bar.py", b"y")), uv=False),
        Case(
            "a file and a folder of one name",
            wheel_with(Entry("bar", b"x"), Entry("bar/a.py", b"y")),
            pip=False,
            uv=False,
        ),
        Case("directory entries", wheel_with(Entry("sub/", mode=0o40755), Entry("sub/a.py", b"x"))),
        Case("a stored directory entry", wheel_with(Entry("sub/", method=0, mode=0o40755), Entry("sub/a.py", b"x"))),
        Case("a link", wheel_with(Entry("bar.py", b"foo.py", mode=LINK))),
        Case("a link to outside", wheel_with(Entry("bar", b"/etc", mode=LINK))),
        Case(
            "a member below a link",
            wheel_with(Entry("bar", b"/etc", mode=LINK), Entry("bar/x", b"x")),
            pip=False,
            uv=False,
        ),
        Case("an executable file", wheel_with(Entry("bar.sh", b"x", mode=0o100755))),
        Case("a device", wheel_with(Entry("bar", b"", mode=0o020666))),
        Case("data for scripts", wheel({"foo-1.0.data/scripts/run": b"#!python\n"})),
        Case(
            "data for purelib",
            wheel({"foo-1.0.data/purelib/bar.py": b"x"}),
            expected={"foo.py": MODULE, "bar.py": b"x"},
        ),
        Case("data for an unknown scheme", wheel({"foo-1.0.data/what/x": b"x"}), pip=False, uv=False),
        Case("data for no scheme", wheel({"foo-1.0.data/x": b"x"}), pip=False, uv=False),
        Case("data that climbs", wheel({"foo-1.0.data/purelib/../../../x.py": b"x"}), pip=False),
        Case("data of another name", wheel({"bar-1.0.data/what/x": b"x"}), pip=False),
        Case("entry points", wheel({f"{INFO}/entry_points.txt": b"[console_scripts]\nfoo = foo:main\n"})),
        Case(
            "entry points that climb",
            wheel({f"{INFO}/entry_points.txt": b"[console_scripts]\n../foo = foo:main\n"}),
            pip=False,
            pypi=False,
            uv=False,
        ),
        Case(
            "entry points without a function",
            wheel({f"{INFO}/entry_points.txt": b"[console_scripts]\nfoo = foo\n"}),
            pip=False,
            uv=False,
        ),
        Case("entry points that are no INI", wheel({f"{INFO}/entry_points.txt": b"what\n"}), uv=False, pypi=False),
        Case(
            "entry points not UTF-8",
            wheel({f"{INFO}/entry_points.txt": b"[console_scripts]\nf\xe9 = foo:main\n"}),
            pip=False,
            uv=False,
            pypi=False,
        ),
        Case("entry points twice", wheel({f"{INFO}/entry_points.txt": b"[a]\nb = c\nb = d\n"}), pypi=False, uv=False),
        Case(
            "entry points of spaces",
            wheel({f"{INFO}/entry_points.txt": b"[console_scripts]\na b = foo:main\n"}),
            pypi=False,
        ),
    ]


def framing_cases() -> list[Case]:
    name = "foo.py"
    wide = struct.pack("<2H2Q", 1, 16, len(MODULE), len(zlib.compress(MODULE, wbits=-15)))
    packed = Entry(name, MODULE).fields()["packed"]
    unicode_path = struct.pack("<2HBL", 0x7075, 5 + 6, 1, zlib.crc32(b"foo.py")) + b"bar.py"
    same_path = struct.pack("<2HBL", 0x7075, 5 + 6, 1, zlib.crc32(b"foo.py")) + b"foo.py"
    bare = entries(contents())
    inner = wheel()
    return [
        Case("stored", zip_of([Entry(each.name, each.data, method=0) for each in bare])),
        Case("a comment", zip_of(bare, comment=b"a comment")),
        Case("a comment with control characters", zip_of(bare, comment=b"\1"), uv=False),
        Case("a comment that is a zip", zip_of(bare, comment=inner), uv=False, pypi=False),
        Case(
            "a comment with an end record",
            zip_of(bare, comment=b"PK\x05\x06" + b"x" * 18),
            pip=False,
            uv=False,
            pypi=False,
        ),
        Case("trailing bytes", zip_of(bare, suffix=b"x"), uv=False, pypi=False),
        Case("trailing zeros", zip_of(bare, suffix=bytes(64)), pypi=False),
        Case("a zip after it", zip_of(bare, suffix=inner), uv=False, pypi=False),
        Case("bytes before it", zip_of(bare, prefix=b"#!/bin/sh\n"), uv=False, pypi=False),
        Case("bytes before it, offsets without", b"#!/bin/sh\n" + zip_of(bare), uv=False, pypi=False),
        Case(
            "a gap between members",
            zip_of([*bare[:2], Entry(bare[2].name, bare[2].data, gap=b"gap"), bare[3]]),
            uv=False,
            pypi=False,
        ),
        Case("bytes before the end record", zip_of(bare, before_end=b"x"), pip=False, uv=False, pypi=False),
        Case("a comment of a member", changed(name, comment=b"x"), pypi=False),
        Case("the directory in another order", zip_of(bare, directory_order=[3, 2, 1, 0])),
        Case("an unlisted member", zip_of([*bare, Entry("bar.py", b"x", is_listed=False)]), uv=False, pypi=False),
        Case(
            "a member that is only listed",
            zip_of([*bare, Entry("bar.py", b"x", is_stored=False)]),
            pip=False,
            uv=False,
            pypi=False,
        ),
        Case("one more in the end record", zip_of(bare, end={"here": 5, "count": 5}), pip=True, uv=False, pypi=False),
        Case("one less in the end record", zip_of(bare, end={"here": 3, "count": 3}), uv=False, pypi=False),
        Case("two counts in the end record", zip_of(bare, end={"here": 3}), pypi=False),
        Case("another directory offset", zip_of(bare, end={"offset": 7}), pip=False, uv=False, pypi=False),
        Case("cut off", inner[:-10], pip=False, uv=False, pypi=False),
        Case("no zip", b"what", pip=False, uv=False, pypi=False),
        Case("empty file", b"", pip=False, uv=False, pypi=False),
        Case("another local name", changed(name, local={"name": b"bar.py"}), pip=False, uv=False, pypi=False),
        Case("another local size", changed(name, local={"size": 99}), uv=False, pypi=False),
        Case("another local crc", changed(name, local={"crc": 99}), uv=False, pypi=True),
        Case("another local method", changed(name, local={"method": 0}), uv=False),
        Case("wrong crc", changed(name, local={"crc": 99}, central={"crc": 99}), pip=False, uv=False, pypi=True),
        Case("wrong size", changed(name, local={"size": 99}, central={"size": 99}), uv=False, pypi=True),
        Case("size too small", changed(name, local={"size": 3}, central={"size": 3}), pip=False, uv=False, pypi=True),
        Case("damaged data", changed(name, packed=b"\xff" * 20), pip=False, uv=False, pypi=True),
        Case("data after the deflate stream", changed(name, packed=packed + b"tail"), uv=False),
        Case("data descriptors", zip_of([Entry(each.name, each.data, flags=DESCRIPTOR) for each in bare]), pypi=False),
        Case(
            "a stored member with a data descriptor",
            zip_of([Entry(each.name, each.data, method=0, flags=DESCRIPTOR) for each in bare]),
            pypi=False,
        ),
        Case("encrypted", changed(name, flags=ENCRYPTED), pip=False, uv=False),
        Case("encrypted METADATA", changed(f"{INFO}/METADATA", flags=ENCRYPTED), pip=False, uv=False, pypi=False),
        Case("lzma", changed(name, method=14), pip=False, uv=False, pypi=False),
        Case("method 99", changed(name, method=99), pip=False, uv=False, pypi=False),
        Case(
            "zip64 sizes",
            changed(
                name,
                local={"extra": wide, "size": 0xFFFFFFFF, "compressed": 0xFFFFFFFF},
                central={"extra": wide, "size": 0xFFFFFFFF, "compressed": 0xFFFFFFFF},
            ),
        ),
        Case(
            "zip64 sizes in the local header",
            changed(name, local={"extra": wide, "size": 0xFFFFFFFF, "compressed": 0xFFFFFFFF}),
        ),
        Case("an unneeded zip64 field", changed(name, local={"extra": wide})),
        Case("two zip64 fields", changed(name, local={"extra": wide + wide}), pypi=False, uv=False),
        Case(
            "a zip64 field of 12 bytes",
            changed(name, local={"extra": wide[:2] + b"\x0c\0" + wide[4:16]}),
            uv=False,
            pypi=False,
        ),
        Case("zip64 end", zip_of(bare, zip64_end=True)),
        Case(
            "zip64 end with extensible data",
            zip_of(bare, zip64_end=True, extensible=b"x" * 8),
            uv=False,
            pypi=False,
            pip=False,
        ),
        *[
            Case(
                f"zip64 end with another {field}",
                zip_of(bare, zip64_end=True, zip64={field: number}),
                pip="pip" in takers,
                uv="uv" in takers,
                pypi="pypi" in takers,
            )
            for field, number, takers in (
                ("length", 45, {"pip"}),
                ("disk", 1, {"pip", "pypi"}),
                ("first_disk", 1, {"pip", "pypi"}),
                ("here", 3, {"pip", "uv"}),
                ("its_disk", 1, {"uv"}),
                ("place", 0, {"pip", "pypi"}),
                ("disks", 2, {"uv"}),
            )
        ],
        Case(
            "a zip64 locator without a record",
            zip_of(bare, before_end=struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)),
            pip=False,
            uv=False,
            pypi=False,
        ),
        Case("an extra field", changed(name, local={"extra": b"UT\x05\0\1abcd"}, central={"extra": b"UT\x05\0\1abcd"})),
        Case(
            "a cut extra field",
            changed(name, local={"extra": b"UT\x09\0\1"}, central={"extra": b"UT\x09\0\1"}),
            pip=False,
            pypi=False,
            uv=False,
        ),
        Case("a cut local extra field", changed(name, local={"extra": b"UT\x09\0\1"}), pypi=False, uv=False),
        Case(
            "an extra field of three bytes",
            changed(name, local={"extra": b"abc"}, central={"extra": b"abc"}),
            pypi=False,
        ),
        Case(
            "another name in an extra field",
            changed(name, local={"extra": unicode_path}, central={"extra": unicode_path}),
            uv=False,
            pypi=False,
        ),
        Case(
            "another name in an extra field of the directory",
            changed(name, central={"extra": unicode_path}),
            uv=False,
            pypi=False,
        ),
        Case(
            "the same name in an extra field",
            changed(name, local={"extra": same_path}, central={"extra": same_path}),
        ),
        Case(
            "a cut extra field in the directory", changed(name, central={"extra": b"UT\x09\0\1"}), pip=False, uv=False
        ),
        Case("two zip64 fields in the directory", changed(name, central={"extra": bytes([1, 0, 0, 0] * 2)}), uv=False),
        Case("an unneeded zip64 field in the directory", changed(name, central={"extra": wide}), uv=False),
        Case(
            "a zip64 size in the directory without its field",
            changed(name, central={"size": 0xFFFFFFFF}),
            uv=False,
            pypi=False,
        ),
        *[
            Case(f"version {version} in {where}", changed(name, **{where: {"version": version}}))
            for where in ("local", "central")
            for version in (63, 0x0314)
        ],
        Case("version 64 in local", changed(name, local={"version": 64}), uv=False),
        Case("version 64 in central", changed(name, central={"version": 64}), pip=False, uv=False, pypi=False),
        *[
            Case(f"{what} in {where}", changed(name, **{where: {"flags": flag}}), pip=where == "local", uv=False)
            for where in ("local", "central")
            for what, flag in (("patched", PATCH), ("strongly encrypted", STRONGLY_ENCRYPTED))
        ],
        Case(
            "a name that is UTF-8 in the directory only",
            wheel_with(Entry("caf\xe9.py", b"x = 1\n", local={"flags": 0})),
            pip=False,
            uv=False,
        ),
        Case(
            "a name that is UTF-8 in its header only",
            wheel_with(Entry("caf\xe9.py", b"x = 1\n", central={"flags": 0})),
            pip=False,
            uv=False,
            pypi=False,
        ),
        *[
            Case(f"a plain name marked as UTF-8 in {where} only", changed(name, **{where: {"flags": UTF8}}))
            for where in ("local", "central")
        ],
        Case("many zeros", wheel_with(Entry("zeros", bytes(70 * 1024 * 1024))), pypi=False),
        Case("some zeros", wheel_with(Entry("zeros", bytes(10 * 1024 * 1024)))),
    ]


def name_cases() -> list[Case]:
    def named(filename: str, *, info: str | None = None, metadata: bytes = METADATA, **verdicts: Any) -> Case:
        info = info or "-".join(filename.split("-")[:2]) + ".dist-info"
        return Case(f"filename {filename}", wheel(info=info, metadata=metadata), filename, **verdicts)

    def versioned(version: str) -> bytes:
        return metadata_text("foo", version).encode()

    return [
        named("Foo-1.0-py3-none-any.whl", pypi=False, accepted=True, why=OLD_NAMES),
        named("foo-1.0-1-py3-none-any.whl"),
        named("foo-1.0-1abc-py3-none-any.whl"),
        named("foo-1.0-abc-py3-none-any.whl", pip=False, uv=False, pypi=False),
        named("foo-1.0.0-py3-none-any.whl", metadata=METADATA),
        named("foo-01.0-py3-none-any.whl"),
        named("foo-1.0-py2.py3-none-any.whl"),
        named("foo-1.0-PY3-none-any.whl", uv=False),
        named(
            "foo-1.0-py3-none-what.whl",
            pip=False,
            uv=False,
            pypi=False,
            accepted=True,
            why="a private index may serve platforms that no other index has",
        ),
        named(
            "foo-1.0-cp27-cp27m-win32.whl",
            pip=False,
            uv=False,
            accepted=True,
            why="not for this Python; the tags say so",
        ),
        named(
            "foo-1.0-py3-none-linux_x86_64.whl",
            pypi=False,
            accepted=True,
            why="built for the machines of the house, which PyPI cannot know",
        ),
        named("foo-1.0-py3-any.whl", pip=False, uv=False, pypi=False),
        named(
            "foo-1.0+local.1-py3-none-any.whl",
            version="1.0+local.1",
            metadata=versioned("1.0+local.1"),
            pypi=False,
            accepted=True,
            why="PEP 440 has local versions for such indexes",
        ),
        named(
            "foo-1.0+local_1-py3-none-any.whl",
            version="1.0+local.1",
            metadata=versioned("1.0+local.1"),
            pypi=False,
            accepted=True,
            why="PEP 440 has local versions for such indexes",
        ),
        named("foo-1!1.0-py3-none-any.whl", version="1!1.0", metadata=versioned("1!1.0")),
        named("foo-1.0.post1-py3-none-any.whl", version="1.0.post1", metadata=versioned("1.0.post1")),
        named("foo-1.0_1-py3-none-any.whl", version="1.0.post1", metadata=versioned("1.0.post1"), pip=False, uv=False),
        named("foo-latest-py3-none-any.whl", pip=False, uv=False, pypi=False),
    ]


def wheel_cases() -> list[Case]:
    return [*dist_info_cases(), *record_cases(), *metadata_cases(), *member_cases(), *framing_cases(), *name_cases()]
