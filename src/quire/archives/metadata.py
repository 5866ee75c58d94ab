"""Core metadata: found in an archive, understood, and compared with the filename.

Sources: the core metadata specification, PEP 427 (wheels), PEP 517, 625, 643 (sdists).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import HeaderParser
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from quire.archives.compression import tar_chunks, uncompressed_chunks
from quire.archives.limits import MAX_METADATA_BYTES
from quire.archives.refusals import Unbounded
from quire.archives.tars import ForwardReader, read_tar_sdist, tar_members
from quire.archives.wheels import read_wheel
from quire.archives.zip_sdists import read_egg, read_zip_sdist
from quire.archives.zips import zip_members
from quire.domain.errors import InvalidDistribution, InvalidName
from quire.domain.names import Kind, ParsedFilename, normalize_name, quoted, same_version

if TYPE_CHECKING:
    from packaging.metadata import RawMetadata

_MAX_HEADER_LINES = 20_000  # of a metadata document, before its description
_MAX_FIELD_NAMES = 200  # different ones, see _split_document
_MAX_REQUIREMENTS_CHARS = 512 * 1024  # of all together: half a second of a processor
_MAX_MAJOR = 2  # of Metadata-Version
# The start of nearly every document: fields of one line each, or with further ones that are indented, too few of
# them to be counted; then an empty line, or the end.
_PLAIN_HEADER = re.compile(
    rf"(?:[A-Za-z][A-Za-z-]*: [^\r\n]*\n(?:[\t ][^\r\n]*\n){{0,50}}+){{1,{_MAX_FIELD_NAMES}}}+(?:\n|\Z)"
)
_PLAIN_FIELD = re.compile(r"([A-Za-z-]+): ([^\r\n]*)\n((?:[\t ][^\r\n]*\n)*)")
_METADATA_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")  # int() takes some thousand digits at most
_EMPTY_LINE = re.compile(r"(?:\A|\r\n|\r(?!\n)|\n)(?:\r\n?|\n)")


_UNKNOWN: Final = "UNKNOWN"
"""The value that distutils wrote for a missing field. PyPI drops it from uploads, so its JSON never has it."""
_USED: Final = frozenset(
    {"metadata-version", "name", "version", "requires-python", "summary", "requires-dist", "provides-extra"}
)
"""The fields that an index uses."""
_ESSENTIAL: Final = frozenset({"metadata_version", "name", "version"})


@dataclass(frozen=True)
class CoreMetadata:
    """The fields of a core metadata document that an index uses, and all of them."""

    metadata_version: str
    """Empty when a document that was parsed with strict=False states none."""
    name: str
    """As spelled in the document."""
    version: str
    """As spelled in the document."""
    requires_python: str | None
    """A valid PEP 440 specifier set on one line; None when absent."""
    summary: str | None
    _source: RawMetadata | str = field(repr=False, compare=False)
    """All fields, or the text that has them."""

    @cached_property
    def fields(self) -> RawMetadata:
        """All of them, raw."""
        return _known_fields(_parse_fields(self._source)[0] if isinstance(self._source, str) else self._source)


# -- the public functions ---------------------------------------------------------------------------------------------


def read_metadata(file: BinaryIO, parsed: ParsedFilename, *, strict: bool = False) -> bytes | None:
    """The core metadata document inside a distribution, byte for byte.

    A wheel's `<name>-<version>.dist-info/METADATA`, an sdist's `<root>/PKG-INFO`, an egg's `EGG-INFO/PKG-INFO`. None
    when an sdist or egg has none, or the file is of a kind or compression that is not read.
    An sdist is read to its end on the way, so that what returns is a sound archive without unsafe members.
    `strict` is for uploads: refuse also what pip or uv cannot install, and what PyPI refuses because archives are read
    in more than one way; then a wheel is read to its end, too.
    `file` must be seekable; its position before and after does not matter. Raises InvalidDistribution when the bytes
    are no such archive, are truncated or damaged, exceed a limit of `quire.archives`, or hold members that must not be
    extracted. OSError of the file itself passes through.
    """
    if parsed.kind is Kind.WHEEL:
        return read_wheel(file, parsed, strict=strict)
    if parsed.kind is Kind.EGG:
        return read_egg(file, parsed)
    if parsed.kind is Kind.SDIST:
        if parsed.filename.lower().endswith(".zip"):
            return read_zip_sdist(file, parsed, strict=strict)
        chunks = tar_chunks(file, parsed.filename, one_stream=strict)
        return None if chunks is None else read_tar_sdist(chunks, parsed, strict=strict)
    return None


def is_complete_archive(file: BinaryIO, parsed: ParsedFilename) -> bool:
    """Whether the file is all there, and not still being copied to where it lies.

    A zip needs its central directory at its very end and every member before it; a compressed tar must be readable to
    the end of its stream, a bare one to its end mark. True for formats that cannot be judged (installers, `.tar.Z`)
    and for archives beyond the limits of `quire.archives`. OSError of the file itself passes through.
    """
    filename = parsed.filename.lower()
    try:
        if filename.endswith((".whl", ".egg", ".zip")):
            zip_members(file, parsed)
        elif filename.endswith(".tar"):
            for _ in tar_members(ForwardReader(uncompressed_chunks(file)), parsed):
                pass
        else:
            for _ in tar_chunks(file, parsed.filename) or ():
                pass
    except Unbounded:
        return True
    except InvalidDistribution:
        return False
    return True


def is_static(metadata: CoreMetadata) -> bool:
    """Whether an sdist's metadata may stand for that of every wheel built from it (PEP 643).

    So it is from Metadata-Version 2.2 on, if no field is declared Dynamic. Another sdist's metadata must not be offered
    beside it (PEP 658): an installer that relied on it would miss dependencies that only the build finds.
    """
    version = _METADATA_VERSION.fullmatch(metadata.metadata_version)
    if version is None or (int(version[1]), int(version[2])) < (2, 2):
        return False
    return not metadata.fields.get("dynamic")


def check_agreement(parsed: ParsedFilename, metadata: CoreMetadata) -> None:
    """Raises InvalidDistribution when the metadata is of another project or version than the filename says.

    Names are compared normalized, versions as PEP 440 orders them; a filename without a version agrees with any.
    """
    try:
        agrees = normalize_name(metadata.name) == parsed.project
    except InvalidName:
        agrees = False
    if not agrees:
        raise InvalidDistribution(
            f"The metadata in {quoted(parsed.filename)} is of {quoted(metadata.name)}, but the filename says "
            f"{quoted(parsed.project)}; build the distribution again under one name."
        )
    if parsed.version and not same_version(metadata.version, parsed.version):
        raise InvalidDistribution(
            f"The metadata in {quoted(parsed.filename)} is of version {quoted(metadata.version)}, but the filename "
            f"says {quoted(parsed.version)}; build the distribution again with one version."
        )


def parse_metadata(document: bytes, *, strict: bool = True) -> CoreMetadata:
    """The fields of a core metadata document. Unknown fields and newer minor metadata versions are tolerated.

    Raises InvalidDistribution when it exceeds MAX_METADATA_BYTES or a limit on its lines, is not UTF-8, states no valid
    Metadata-Version, Name or Version, states Requires-Python, Requires-Dist or Provides-Extra and it is invalid, or
    repeats one of the fields that may stand only once and are used here.
    strict=False is for files that were published long ago: it makes the best of everything, taking the first of
    repeated fields and dropping an invalid Requires-Python as installers do, and raises only without Name or Version.
    """
    if len(document) > MAX_METADATA_BYTES:
        raise InvalidDistribution(f"The core metadata exceeds {MAX_METADATA_BYTES} bytes; shorten the description.")
    if strict and document.startswith(codecs.BOM_UTF8):
        raise InvalidDistribution(
            "The core metadata begins with a byte order mark, behind which installers find no fields; save it without."
        )
    try:
        text = document.decode("utf-8-sig", "strict" if strict else "replace")
    except UnicodeDecodeError:
        raise InvalidDistribution(
            "The core metadata is not UTF-8; build the distribution with current tools."
        ) from None
    source: RawMetadata | str = text
    values = _plain_values(text) if strict else None
    if values is None:
        source, leftover = _parse_fields(text)
        values = _values(source, leftover)

    def single(name: str) -> str | None:
        found = values.get(name.lower(), ())
        if strict and len(found) > 1:
            raise InvalidDistribution(f"The core metadata has {len(found)} {name} fields; it may have only one.")
        return " ".join(found[0].split()) or None if found else None

    metadata_version, name, version = single("Metadata-Version"), single("Name"), single("Version")
    requires_python, summary = single("Requires-Python"), single("Summary")
    if name is None:
        raise InvalidDistribution("The core metadata has no Name; build the distribution with current tools.")
    if version is None:
        raise InvalidDistribution("The core metadata has no Version; build the distribution with current tools.")
    if strict:
        _check_fields(metadata_version, name, version)
        _check_requirements(values.get("requires-dist", ()), values.get("provides-extra", ()))
    return CoreMetadata(
        metadata_version=metadata_version or "",
        name=name,
        version=version,
        requires_python=_requires_python(requires_python, strict=strict),
        summary=None if summary == _UNKNOWN else summary,
        _source=source,
    )


def _known_fields(fields: RawMetadata) -> RawMetadata:
    """Without the fields, and the values of lists, that say UNKNOWN; a project may have it for its name, though."""
    known: dict[str, object] = {}
    for name, value in cast("dict[str, object]", fields).items():
        if name in _ESSENTIAL:
            known[name] = value
        elif isinstance(value, list):
            if values := [each for each in value if each.strip() != _UNKNOWN]:
                known[name] = values
        elif not (isinstance(value, str) and value.strip() == _UNKNOWN):
            known[name] = value
    return cast("RawMetadata", known)


# -- the metadata document --------------------------------------------------------------------------------------------


def _plain_values(text: str) -> dict[str, list[str]] | None:
    """The values of the header fields, by their names in lower case, as the email package finds them, in a tenth of its
    time. None when the header is not plain, or a field that is used here goes on in further lines.
    """
    header = _PLAIN_HEADER.match(text)
    if header is None:
        return None
    values: dict[str, list[str]] = {}
    for spelled, value, further in _PLAIN_FIELD.findall(header[0]):
        name = spelled.lower()
        if further and name in _USED:
            return None
        values.setdefault(name, []).append(value.lstrip(" \t"))
    return values


def _values(fields: RawMetadata, leftover: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The values of those fields that are used here, by their names in lower case."""
    values: dict[str, list[str]] = {}
    for name in _USED:
        found = leftover.get(name) or cast("dict[str, str | list[str]]", fields).get(name.replace("-", "_"))
        if found is not None:
            values[name] = [found] if isinstance(found, str) else found
    return values


def _parse_fields(text: str) -> tuple[RawMetadata, dict[str, list[str]]]:
    """All fields, and what packaging made nothing of: unknown ones, and repeated ones that may stand only once."""
    from packaging.metadata import parse_email  # noqa: PLC0415 - with all licences' names, and not for serving pages

    try:
        header, body = _split_document(text)
        fields, leftover = parse_email(header)
    except InvalidDistribution:
        raise
    except Exception as error:  # noqa: BLE001 - the email package promises to raise nothing, and does on odd input
        raise InvalidDistribution(
            f"The core metadata cannot be parsed ({type(error).__name__}); build the distribution with current tools."
        ) from None
    if body and "description" not in fields:
        fields["description"] = body
    if repeated := leftover.pop("project-url", None):
        fields["project_urls"] = _project_urls(repeated)
    return fields, leftover


def _project_urls(values: list[str]) -> dict[str, str]:
    """URLs by label when a label repeats, for which packaging gives up the whole field. The first of each counts."""
    urls: dict[str, str] = {}
    for value in values:
        label, _, url = value.partition(",")
        urls.setdefault(label.strip(), url.strip())
    return urls


def _split_document(text: str) -> tuple[str, str]:
    """The header fields, and the body below them, which is the description.

    They are parsed apart because the email package would look for MIME parts in the body, within parts, without bound.
    And lines and names are bounded: the email package takes microseconds and a kilobyte for a line that it wonders
    about, so four megabytes of them cost ten seconds; and parse_email searches all fields once for every name.
    """
    if plain := _PLAIN_HEADER.match(text):
        return plain[0], text[plain.end() :]
    end = _EMPTY_LINE.search(text)  # none of the header is beyond it, and perhaps some of the description before it
    head = text[: end.end()] if end is not None else text
    lines = head.count("\n") + head.count("\r") - head.count("\r\n")
    if lines > _MAX_HEADER_LINES:
        raise InvalidDistribution(
            f"The core metadata has {lines} lines before its description; it may have {_MAX_HEADER_LINES}."
        )
    message = HeaderParser().parsestr(head)
    names = {name.lower() for name in message}
    if len(names) > _MAX_FIELD_NAMES:
        raise InvalidDistribution(
            f"The core metadata has fields of {len(names)} different names; it may have {_MAX_FIELD_NAMES}."
        )
    body = message.get_payload()
    assert isinstance(body, str)  # HeaderParser does not look for parts
    begin = len(head) - len(body)
    return text[:begin], text[begin:]


def _check_fields(metadata_version: str | None, name: str, version: str) -> None:
    if metadata_version is None:
        raise InvalidDistribution(
            "The core metadata has no Metadata-Version; build the distribution with current tools."
        )
    found = _METADATA_VERSION.fullmatch(metadata_version)
    if found is None:
        raise InvalidDistribution(f"The Metadata-Version {quoted(metadata_version)} is not a number like 2.4.")
    if int(found[1]) > _MAX_MAJOR:
        # the specification: tools warn about a newer minor version, and must fail for a newer major one
        raise InvalidDistribution(
            f"The Metadata-Version {quoted(metadata_version)} is of a generation that no installer of today reads; "
            f"build the distribution with Metadata-Version {_MAX_MAJOR}.x."
        )
    try:
        normalize_name(name)
    except InvalidName as error:
        raise InvalidDistribution(f"The core metadata has no valid Name: {error}") from None
    try:
        if len(version) > 200:
            raise InvalidVersion
        Version(version)
    except ValueError:
        raise InvalidDistribution(
            f"The Version {quoted(version)} in the core metadata is not a PEP 440 version; use one like 1.2.3."
        ) from None


def _check_requirements(requirements: Sequence[str], extras: Sequence[str]) -> None:
    """Without valid ones pip installs nothing, and no client can ask for an extra that is no name."""
    from quire.domain.requirements import read_requirement  # noqa: PLC0415 - not for serving pages

    if sum(map(len, requirements)) > _MAX_REQUIREMENTS_CHARS:
        raise InvalidDistribution(
            f"The core metadata has more than {_MAX_REQUIREMENTS_CHARS} characters of Requires-Dist; it needs fewer."
        )
    for text in requirements:
        if read_requirement(text) is None:
            raise InvalidDistribution(
                f"The Requires-Dist {quoted(text)} in the core metadata is not a requirement; use one like "
                "'requests >=2.31; python_version < \"3.13\"'."
            )
    for extra in extras:
        try:
            normalize_name(extra)
        except InvalidName:
            raise InvalidDistribution(
                f"The Provides-Extra {quoted(extra)} in the core metadata is not a valid name of an extra."
            ) from None


def _requires_python(value: str | None, *, strict: bool) -> str | None:
    if value is None:
        return None
    try:
        if len(value) > 1000:
            raise InvalidSpecifier
        SpecifierSet(value)
    except ValueError:
        if not strict:
            return None
        raise InvalidDistribution(
            f"The Requires-Python {quoted(value)} in the core metadata is not a version specifier; use one like >=3.11."
        ) from None
    return value
