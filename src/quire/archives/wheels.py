"""Wheels: the metadata in them, and what an installer needs besides.

Sources: PEP 427 and the binary distribution format, the entry points specification; what pip, uv and PyPI refuse.
"""

from __future__ import annotations

import configparser
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from email.parser import HeaderParser
from typing import BinaryIO

from quire.archives import limits
from quire.archives.members import Paths
from quire.archives.refusals import unsafe, unusable
from quire.archives.zip_layout import check_zip_layout
from quire.archives.zips import ZipMember, find_directory, read_zip_member, zip_members
from quire.domain.errors import InvalidDistribution, InvalidName
from quire.domain.names import ParsedFilename, normalize_name, quoted, same_version

_WHEEL_MAJOR = 1
_READ = {
    "METADATA": limits.MAX_METADATA_BYTES,
    "WHEEL": limits.MAX_SMALL_FILE_BYTES,
    "RECORD": limits.MAX_RECORD_BYTES,
    "entry_points.txt": limits.MAX_SMALL_FILE_BYTES,
}
"""The files of .dist-info that installers read, and the most bytes that each may have."""
_SCHEMES = {"data", "headers", "platlib", "purelib", "scripts"}
_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)|[^\r\n]++")
"""With its end; quoted text in a row of RECORD may have several."""
_PLAIN_WHEEL = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*: [!-~][ -~]*\n)+\n?")
_VERSION_LINE = re.compile(r"^Wheel-Version: (.*)$", re.MULTILINE | re.IGNORECASE)
_SIZE = re.compile(r"[0-9]{0,18}")
_PLAIN_RECORD = re.compile(rf"(?:[^,\"\r\n\0]{{0,1000}}+,[^,\"\r\n\0]{{0,1000}}+,{_SIZE.pattern}\n)*+")
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_LONG_BLANK = re.compile(rf"\S[^\S\n]{{{limits.MAX_BLANKS + 1},}}+\S")
_SCRIPT_NAME = re.compile(r"[\w.-]+")
_SCRIPT_TARGET = re.compile(r"[\w.]+\s*:\s*[\w.]+\s*(?:\[[^\]]*\])?")


class _CaseSensitive(configparser.ConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read_wheel(file: BinaryIO, parsed: ParsedFilename, *, strict: bool) -> bytes:
    """METADATA in the one .dist-info of this release. Raises InvalidDistribution, also when there is none (PEP 427).

    `strict`: see read_metadata.
    """
    directory = find_directory(file, parsed)
    members = zip_members(file, parsed, directory)
    found = [member for member in members if _METADATA.fullmatch(member.path)]
    if len(found) != 1:
        what = "no" if not found else f"{len(found)}"
        raise InvalidDistribution(
            f"The wheel {quoted(parsed.filename)} has {what} .dist-info/METADATA at its top; it needs exactly one."
        )
    folder = found[0].path.partition("/")[0]
    if not _names_release(folder.removesuffix(".dist-info"), parsed):
        raise InvalidDistribution(
            f"The wheel {quoted(parsed.filename)} has its metadata in {quoted(folder)}, "
            "which is of another project or version than the filename."
        )
    if sum(member.path == f"{folder}/WHEEL" for member in members) != 1:
        raise InvalidDistribution(
            f"The wheel {quoted(parsed.filename)} needs exactly one {quoted(folder + '/WHEEL')}; build it again."
        )
    if strict:
        _check_members(members, parsed)
        own = f"{_stem(parsed)}.dist-info"
        content = check_zip_layout(
            file, directory, members, parsed, {f"{own}/{name}": most for name, most in _READ.items()}
        )
        _check_dist_info({name.removeprefix(f"{own}/"): data for name, data in content.items()}, parsed)
        return content[f"{own}/METADATA"]
    return read_zip_member(file, found[0], parsed)


def _names_release(stem: str, parsed: ParsedFilename) -> bool:
    """Whether `<name>-<version>` is of this release. Old tools left dashes in both, so every dash may separate."""
    for dash in re.finditer("-", stem):
        try:
            name = normalize_name(stem[: dash.start()])
        except InvalidName:
            continue
        if name == parsed.project and same_version(stem[dash.end() :], parsed.version):
            return True
    return False


def _stem(parsed: ParsedFilename) -> str:
    """`<name>-<version>` as the filename spells them, and therefore the folders in the wheel."""
    return "-".join(parsed.filename.split("-")[:2])


def _check_members(members: Sequence[ZipMember], parsed: ParsedFilename) -> None:
    paths = Paths(parsed, repeats=False, one_folder=False)
    expected = f"{_stem(parsed)}.dist-info"
    for member in members:
        path = paths.add(member.name, is_folder=member.is_folder)
        top, _, rest = path.partition("/")
        if top.endswith(".dist-info") and (top != expected or not (rest or member.is_folder)):
            raise unusable(f"has {quoted(top)} at its top, where {quoted(expected)} alone must be", parsed)
        if top.endswith(".data") and not member.is_folder:
            scheme, _, inner = rest.partition("/")
            if scheme not in _SCHEMES or not inner:
                raise unsafe(member.name, f"lies in none of the folders {', '.join(sorted(_SCHEMES))}", parsed)


def _check_dist_info(content: Mapping[str, bytes], parsed: ParsedFilename) -> None:
    """METADATA, WHEEL and RECORD are in exactly the expected folder, and those that installers read can be read.

    `content`: the files of that folder, as far as they are in `_READ`.
    """
    for name in ("METADATA", "WHEEL", "RECORD"):
        if name not in content:
            raise unusable(f"has no {quoted(f'{_stem(parsed)}.dist-info/{name}')}", parsed)

    def text(name: str) -> str:
        try:
            return content[name].decode()
        except UnicodeDecodeError:
            raise unusable(f"has a {name} that is not UTF-8", parsed) from None

    _check_wheel(text("WHEEL"), parsed)
    if not is_record(text("RECORD")):
        raise unusable("has a RECORD that is not rows of path, digest and size", parsed)
    if "entry_points.txt" in content:
        _check_entry_points(text("entry_points.txt"), parsed)


def _check_wheel(text: str, parsed: ParsedFilename) -> None:
    if len(text.splitlines()) > limits.MAX_WHEEL_LINES:
        raise unusable(f"has more than {limits.MAX_WHEEL_LINES} lines in WHEEL", parsed)
    version = wheel_version(text)
    if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", version):
        raise unusable("has no Wheel-Version like 1.0 in WHEEL", parsed)
    if int(version.partition(".")[0]) > _WHEEL_MAJOR:
        raise unusable(f"has the Wheel-Version {version}, which no installer of today reads", parsed)


def wheel_version(text: str) -> str:
    """The Wheel-Version in WHEEL as the email package reads it, which installers use; "None" for none.

    The package takes long, so it is left out where each line is plain.
    """
    if _PLAIN_WHEEL.fullmatch(text):
        found = _VERSION_LINE.search(text)
        return found[1].strip() if found is not None else "None"
    return str(HeaderParser().parsestr(text)["Wheel-Version"]).strip()


def is_record(text: str) -> bool:
    """Whether it is rows of path, digest and size. That they are those of the members is checked by no installer, and
    not by PyPI.

    Reading it as CSV takes long, so that is left out where each row is plain.
    """
    if _PLAIN_RECORD.fullmatch(text):
        return True
    try:
        return all(len(row) == 3 and _SIZE.fullmatch(row[2]) for row in _rows(text))
    except csv.Error:
        return False


def _rows(text: str) -> Iterator[list[str]]:
    """The rows of a RECORD. Raises csv.Error, also for a row of more than MAX_RECORD_ROW characters."""
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        for line in _LINE.finditer(text):
            length += line.end() - line.start()
            if length > limits.MAX_RECORD_ROW:
                raise csv.Error("a row is too long")
            yield line[0]

    for row in csv.reader(lines(), strict=True):
        length = 0
        yield row


def _check_entry_points(text: str, parsed: ParsedFilename) -> None:
    if _LONG_BLANK.search(text):  # the parser would try each place in it as the beginning of the rest
        raise unusable(f"has more than {limits.MAX_BLANKS} blanks in a row in entry_points.txt", parsed)
    parser = _CaseSensitive(delimiters=("=",), interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:
        raise unusable("has an entry_points.txt that is no INI file", parsed) from None
    for section in ("console_scripts", "gui_scripts"):
        for name, target in parser[section].items() if parser.has_section(section) else ():
            if not (_SCRIPT_NAME.fullmatch(name) and _SCRIPT_TARGET.fullmatch(target)):
                raise unusable(f"has the script {quoted(name)} in entry_points.txt, which cannot be made", parsed)
