"""Names of projects, versions and files: which are valid, what they mean, how they compare.

There are two readers of filenames. The name of an upload must be exactly as the specifications allow
(`parse_filename`). A file that has been in a directory for years was named by distutils, setuptools, stdeb or a person,
and is served if its name can be understood at all (`guess_filename`).

Sources: PEP 503 and the "Names and normalization" specification (project names), PEP 440 (versions), PEP 427 (wheels),
PEP 625 and its predecessors (sdists), the egg formats page of setuptools, the `bdist_*` commands of distutils.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from packaging.utils import InvalidName as PackagingInvalidName
from packaging.utils import canonicalize_name, is_normalized_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from quire.domain.errors import InvalidName

MAX_NAME_CHARS = 200
"""Longest project name. No specification has a limit; a name must fit into file names and URLs with room to spare."""

MAX_FILENAME_BYTES = 240
"""Longest filename of an upload. File systems take 255; the rest is for the suffixes of companions (`.metadata`)."""

_REMEMBERED = 64
"""Names, filenames and versions whose meaning is remembered: one upload asks a dozen times for its own."""
_MAX_GUESSED_BYTES = 255  # a drop-in file already has its name: the limit is that of file systems
_MAX_TAGS = 1000  # PEP 425 sets multiply: a hostile name of 240 bytes could ask for a million combinations

_UPLOAD_CHARACTERS = re.compile(r"[A-Za-z0-9._+!-]+")


class Kind(StrEnum):
    """The sort of distribution in a file. The values are those of the upload form's `filetype` field."""

    WHEEL = "bdist_wheel"
    SDIST = "sdist"
    EGG = "bdist_egg"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ParsedFilename:
    """The project, version and kind that a filename states."""

    filename: str
    project: str
    """The normalized project name (PEP 503)."""
    version: str
    """As the filename spells it. From `guess_filename` it may be no PEP 440 version, or empty when there is none."""
    kind: Kind


def quoted(text: str) -> str:
    """Untrusted text in a form fit for a sentence: quoted, ASCII with escapes, at most 80 characters of it."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


# -- projects ---------------------------------------------------------------------------------------------------------


@lru_cache(_REMEMBERED)
def normalize_name(name: str) -> str:
    """The PEP 503 form of a project name: lower case, runs of `-`, `_`, `.` as one `-`.

    Raises InvalidName when it is no valid name (PEP 508: ASCII letters, digits, `.`, `_`, `-`, beginning and ending
    with a letter or digit), or longer than MAX_NAME_CHARS.
    """
    if len(name) > MAX_NAME_CHARS:
        raise InvalidName(f"The project name {quoted(name)} has {len(name)} characters; use at most {MAX_NAME_CHARS}.")
    try:
        return str(canonicalize_name(name, validate=True))
    except PackagingInvalidName:
        raise InvalidName(
            f"{quoted(name)} is not a valid project name; use letters, digits, '-', '_' and '.', "
            "beginning and ending with a letter or digit."
        ) from None


def is_normalized(name: str) -> bool:
    """Whether `normalize_name` would give back the very same name."""
    return len(name) <= MAX_NAME_CHARS and is_normalized_name(name)


# -- versions ---------------------------------------------------------------------------------------------------------


def version_sort_key(version: str) -> tuple[int, Version | str]:
    """A key that sorts versions as PEP 440 orders them; text that is no such version sorts before all versions."""
    parsed = _version(version)
    return (0, version) if parsed is None else (1, parsed)


def same_version(a: str, b: str) -> bool:
    """Whether both spell the same version: `1.0`, `1.0.0` and `v1` do. Versions outside PEP 440 must be identical."""
    parsed_a, parsed_b = _version(a), _version(b)
    if parsed_a is None or parsed_b is None:
        return a == b
    return parsed_a == parsed_b


def is_version(version: str) -> bool:
    """Whether PEP 440 knows it as a version, and it has at most MAX_NAME_CHARS."""
    return _version(version) is not None


def normalize_version(version: str) -> str:
    """A version as PEP 440 spells it, without the whitespace around it. Raises InvalidName for what is none, and
    for more than 200 characters."""
    parsed = _version(version)
    if parsed is None:
        raise InvalidName(
            f"{version[:100]!r} is no version of at most {MAX_NAME_CHARS} characters; see the packaging specifications."
        )
    return str(parsed)


def is_prerelease(version: str) -> bool:
    """Whether PEP 440 calls it a pre-release or a development release; False for what is no PEP 440 version."""
    parsed = _version(version)
    return parsed is not None and parsed.is_prerelease


def _version(version: str) -> Version | None:
    """None for a text of more than MAX_NAME_CHARS, too: it comes from an address, and would take long to parse."""
    return _remembered_version(version) if len(version) <= MAX_NAME_CHARS else None


def _parsed_version(version: str) -> Version | None:
    try:
        return Version(version)
    except (InvalidVersion, ValueError):  # ValueError: more digits than int() takes
        return None


_remembered_version = lru_cache(_REMEMBERED)(_parsed_version)


def may_be_same_version(a: str, b: str) -> bool:
    """A cheap test that `same_version` always passes: all spellings of a version have the same digits but zeros."""
    return a == b or a.translate(_INSIGNIFICANT) == b.translate(_INSIGNIFICANT)


_INSIGNIFICANT = {code: None for code in range(128) if chr(code) not in "123456789"}


# -- filenames of uploads: strict -------------------------------------------------------------------------------------


@lru_cache(_REMEMBERED)
def parse_filename(filename: str) -> ParsedFilename:
    """The meaning of an upload's filename: a wheel, an sdist (`.tar.gz`, or `.zip` from before PEP 625), or an egg.

    Raises InvalidName when it is none of these, its name or version is not valid, or it could mean anything else than
    one plain file anywhere it is ever written or linked (separators, control characters, a leading dot, excess length).
    """
    _check_plain_filename(filename)
    if filename.endswith(".whl"):
        parsed = _parse_wheel(filename)
        tags = "-".join(filename.split("-")[-3:])
        if tags != tags.lower():
            raise InvalidName(f"The wheel filename {quoted(filename)} has capitals in its tags; uv knows none.")
        return parsed
    if filename.endswith((".tar.gz", ".zip")):
        return _parse_sdist(filename)
    if filename.endswith(".egg"):
        return _parse_egg(filename)
    raise InvalidName(
        f"{quoted(filename)} is not the filename of a distribution; upload a wheel (.whl) or an sdist (.tar.gz)."
    )


def _check_plain_filename(filename: str) -> None:
    if not filename:
        raise InvalidName("The filename is empty; name the distribution.")
    if "/" in filename or "\\" in filename:
        raise InvalidName(f"The filename {quoted(filename)} holds a path separator; send the bare name of the file.")
    if not filename.isprintable():
        raise InvalidName(f"The filename {quoted(filename)} holds a NUL, control or other unprintable character.")
    if filename.startswith("."):
        raise InvalidName(f"The filename {quoted(filename)} begins with a dot; a distribution's begins with its name.")
    size = len(filename.encode())
    if size > MAX_FILENAME_BYTES:
        raise InvalidName(f"The filename {quoted(filename)} has {size} bytes; use at most {MAX_FILENAME_BYTES}.")
    # Names, versions, build numbers and tags need no other character; keeping them out keeps every URL, header, shell
    # and file system out of the question.
    if not _UPLOAD_CHARACTERS.fullmatch(filename):
        raise InvalidName(
            f"The filename {quoted(filename)} holds a character that no distribution needs; "
            "use ASCII letters, digits, '.', '_', '-', '+' and '!'."
        )


def _parse_wheel(filename: str) -> ParsedFilename:
    parts = filename.removesuffix(".whl").split("-")
    combinations = 1
    for tags in parts[-3:]:
        combinations *= tags.count(".") + 1
    if combinations > _MAX_TAGS:
        raise InvalidName(f"The wheel filename {quoted(filename)} names {combinations} tags; {_MAX_TAGS} is the limit.")
    try:
        parse_wheel_filename(filename)
    except ValueError:
        raise InvalidName(
            f"{quoted(filename)} is not a valid wheel filename; "
            "PEP 427 has it as name-version[-build]-python-abi-platform.whl with a PEP 440 version."
        ) from None
    return ParsedFilename(filename, normalize_name(parts[0]), parts[1], Kind.WHEEL)


def _parse_sdist(filename: str) -> ParsedFilename:
    try:
        parse_sdist_filename(filename)
    except ValueError:
        raise InvalidName(
            f"{quoted(filename)} is not a valid sdist filename; it is name-version.tar.gz with a PEP 440 version."
        ) from None
    name, _, version = filename.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")
    return ParsedFilename(filename, normalize_name(name), version, Kind.SDIST)


def _parse_egg(filename: str) -> ParsedFilename:
    # setuptools writes `-` within the name and the version as `_`, so that the first two dashes separate.
    parts = filename.removesuffix(".egg").split("-", 3)
    if len(parts) < 2 or _version(parts[1]) is None or (len(parts) > 2 and not re.fullmatch(r"py\d[\d.]*", parts[2])):
        raise InvalidName(
            f"{quoted(filename)} is not a valid egg filename; "
            "it is name-version[-pyX.Y[-platform]].egg with a PEP 440 version."
        )
    return ParsedFilename(filename, normalize_name(parts[0]), parts[1], Kind.EGG)


def role_of(parsed: ParsedFilename) -> tuple[object, ...] | None:
    """The role of the file within its release: the sdist, or the wheel or egg for certain tags. None: not known.

    Installers treat the filenames of two files of one release alike when their roles are equal.
    """
    if parsed.kind is Kind.SDIST:
        return (Kind.SDIST,)
    if parsed.kind is Kind.WHEEL:
        try:
            _, _, build, tags = parse_wheel_filename(parsed.filename)
        except ValueError:
            return None
        return (Kind.WHEEL, build, tags)
    if parsed.kind is Kind.EGG:
        return (Kind.EGG, *parsed.filename.lower().removesuffix(".egg").split("-", 3)[2:])
    return None


# -- filenames in a directory: lenient --------------------------------------------------------------------------------

_SUFFIX = re.compile(
    r"\.(?:whl|egg|exe|msi|dmg|rpm|deb|zip|tgz|tbz2?|txz|tar(?:\.(?:gz|bz2|xz|lzma|z))?)\Z",
    re.I,
)
_RPM = re.compile(r"(.+-[^-]+)-[^-]+\.[a-z0-9_]+", re.I)  # name-version-release.architecture
_DEB = re.compile(r"([^_]+)_(?:\d+:)?([^_]+?)(?:-[^-_]+)?_[a-z0-9-]+", re.I)  # name_epoch:version-revision_architecture
# The target that `bdist_wininst`, `bdist_msi` and `bdist_egg` put behind the version. People add further text behind it
# (`-py2.7-pg9.4.exe`).
_MADE_FOR = re.compile(r"(?:\.win(?:32|-amd64|-arm32|-arm64|-ia64)(?:-py\d[\d.]*)?|-py\d\.\d+)(?=-|\Z)", re.I)

# The start of the version, and in it that of the platform, which `bdist_dumb` and `bdist_egg` append. These two decide
# as pypiserver decides, so that a directory served by it shows the same projects here.
_VERSION_BEGINS = re.compile(r"-(?=\d+[a-z_.!+])", re.I)
_PLATFORM_BEGINS = re.compile(r"[.-](?=cp\d|py\d|macosx|linux|sunos|solaris|irix|aix|cygwin|win)", re.I)


def guess_filename(filename: str) -> ParsedFilename | None:
    """The probable meaning of the name of a file in a directory; None when it is not the name of a distribution.

    Knows wheels, eggs, all archives that sdists and `bdist_dumb` were ever made as, and Windows installers, disk
    images, RPM and Debian packages by the names distutils, stdeb and people gave them. Project and version are those
    that pypiserver reads, except where docs/pypiserver.md says so. A version need not be a PEP 440 one; it is empty
    when the name of an archive holds none (`tool.zip`), which no installer can use but people download.
    """
    if filename.startswith(".") or not filename.isprintable() or "/" in filename or "\\" in filename:
        return None
    if len(filename.encode()) > _MAX_GUESSED_BYTES:
        return None
    found = _guess(filename)
    if found is None:
        return None
    name, version, kind = found
    try:
        return ParsedFilename(filename, normalize_name(name), version, kind)
    except InvalidName:
        return None


def _guess(filename: str) -> tuple[str, str, Kind] | None:
    suffix = _SUFFIX.search(filename)
    if suffix is None:
        return None
    stem, kind = filename[: suffix.start()], suffix[0].lower()
    if kind == ".whl":
        return _guess_wheel(filename, stem)
    if kind == ".deb":
        match = _DEB.fullmatch(stem)
        return None if match is None else (match[1], match[2], Kind.OTHER)
    if kind in (".exe", ".msi", ".dmg", ".rpm"):
        return _guess_installer(stem, kind)
    if kind == ".egg":
        return _guess_egg(filename, stem)
    name, version, has_platform = _split_stem(stem)
    return name, version, Kind.OTHER if has_platform else Kind.SDIST


def _guess_installer(stem: str, kind: str) -> tuple[str, str, Kind] | None:
    """Name and version stand before the platform; without one an `.exe` is any program."""
    if kind == ".rpm":
        match = _RPM.fullmatch(stem)
        built = None if match is None else match[1]
    else:
        mark = _MADE_FOR.search(stem)
        built = None if mark is None else stem[: mark.start()]
    return None if built is None else (*_split_where_version_begins(built)[:2], Kind.OTHER)


def _guess_wheel(filename: str, stem: str) -> tuple[str, str, Kind] | None:
    """As PEP 427 has it; else the first part that begins with a digit is the version, and three tags must follow."""
    parts = stem.split("-")
    try:
        _parse_wheel(filename)
        return parts[0], parts[1], Kind.WHEEL
    except InvalidName:
        pass
    for index in range(1, len(parts) - 3):
        if parts[index][:1].isdigit():
            return "-".join(parts[:index]), parts[index], Kind.WHEEL
    return None


def _guess_egg(filename: str, stem: str) -> tuple[str, str, Kind]:
    """As setuptools names them: `a-140-py3.11.egg` is version 140 of `a`, not version `py3.11` of `a-140`."""
    try:
        parsed = _parse_egg(filename)
    except InvalidName:
        mark = _MADE_FOR.search(stem)
        return (*_split_where_version_begins(stem if mark is None else stem[: mark.start()])[:2], Kind.EGG)
    return parsed.project, parsed.version, parsed.kind


def _split_stem(stem: str) -> tuple[str, str, bool]:
    """Name, version, and whether a platform followed, of the stem of an archive, in which dashes may stand anywhere.

    `a-b-1.0-1` is version `1.0-1` of `a-b`, but `python-3.8-tools-1.0` is version `1.0` of `python-3.8-tools`: the
    first place where a version can begin wins if what follows is one, else the last dash if what follows that is one.
    Installers and `parse_filename` read sdists so. With a platform it is no sdist, and the first place wins.
    """
    name, version, has_platform = _split_where_version_begins(stem)
    if not (version and has_platform) and _version(version) is None:
        last_name, _, last_version = stem.rpartition("-")
        if last_name and _version(last_version) is not None:
            return last_name, last_version, False
    return name, version, has_platform


def _split_where_version_begins(stem: str) -> tuple[str, str, bool]:
    """Name, version, and whether a platform followed, by the first place where a version can begin.

    For all that is built for a platform, as installers take no name and version from it: `cx_Oracle-5.2-12c` is version
    `5.2-12c` of `cx_Oracle`, although PEP 440 takes `12c` for a version. Without such a place the last dash decides.
    """
    if "-" not in stem:
        return stem, "", False
    if stem.count("-") == 1:
        name, _, rest = stem.partition("-")
    elif "." not in stem:
        name, _, rest = stem.rpartition("-")
    else:
        name, *following = _VERSION_BEGINS.split(stem, maxsplit=1)
        if not following:
            name, _, last = stem.rpartition("-")
            following = [last]
        rest = following[0]
    version, *platform = _PLATFORM_BEGINS.split(rest, maxsplit=1)
    return name, version, bool(platform)


_HIDDEN = re.compile(r"[._~#]+")
_SUFFIX_WITHIN = re.compile(_SUFFIX.pattern.removesuffix(r"\Z") + r"(?![a-z0-9])", re.I)


def guess_project(filename: str) -> str | None:
    """The normalized name of the project that a file belongs to, by what is left of a distribution's name in its name.

    For files that are no distributions: those that copying programs write to before they rename (rsync's
    `.a-1.0-py3-none-any.whl.Xy12Zz`, `a-1.0.tar.gz.part`), companions (`a-1.0.tar.gz.asc`), and wheels or installers
    whose name lacks parts, or has characters beside the project that cannot be printed. None when the name contains no
    project.
    """
    found = _SUFFIX_WITHIN.search(filename)
    if found is None:
        return None
    hidden = _HIDDEN.match(filename)
    begin = min(hidden.end() if hidden is not None else 0, found.start())
    parsed = guess_filename(filename[begin : found.end()])
    if parsed is not None:
        return parsed.project
    try:
        return normalize_name(_split_stem(filename[begin : found.start()])[0])
    except InvalidName:
        return None


# -- names in a directory, as text -------------------------------------------------------------------------------------

SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half of a pair, which no UTF-8 has. Python puts one in the place of each byte of a filename that is no UTF-8."""


def encodable(text: str) -> str:
    """The text with each byte that is no UTF-8 as `\\xe9`, so that it can be encoded."""
    return SURROGATE.sub(_as_byte, text)


def printable(path: str) -> str:
    """A path in one line that can be printed: as `encodable`, and the other characters that cannot be are escapes."""
    if path.isprintable():
        return path
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in encodable(path))


def _as_byte(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"
