"""The project pages of other indexes: what they offer of a project. Pure functions of the answer's bytes.

JSON is understood, and HTML as PEP 691 recommends. The answer is trusted no further than needed: a file counts only if
its name is that of a distribution of the project asked for, in characters that no URL, header or file system takes for
anything else, and its URL is http or https. An entry that is none of that is left out; a page that is none of the
Simple API's is refused.

Theory of operation of large pages. The largest public projects have 15,000 files, in some 10 MB of JSON. One call of
the decoder finds where each entry begins and ends, in three milliseconds; then each entry is decoded by itself, in less
than a microsecond, so that another thread never waits long, and a damaged entry costs no more than itself. Nearly all
entries are as plain as they can be: a URL of ordinary characters, absolute or from the root of the host, one SHA-256,
the project's name spelt as in the entry before. These are checked by one match of a pattern; only others take the slow
functions of the standard library.

Sources: PEP 503 (HTML, names), 592 (yanked), 629 (version of the API), 658 and 714 (core metadata), 691 (JSON), 700
(size, upload-time), 740 (provenance), 792 (status); the living text of all of them is the "Simple repository API"
specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

import httpx
import msgspec

from quire.domain.errors import InvalidName, UpstreamError
from quire.domain.names import ParsedFilename, guess_filename, normalize_name, parse_filename
from quire.domain.project import Status
from quire.upstream.markup import JSON_TYPE, check_version, kind_and_text, read_html

MAX_TEXT: Final = 500
"""Characters of a reason, a version or a specifier that is passed on; a longer one is left out, or cut."""
MOST_COMMAS: Final = 3_000_000
"""Of a page in JSON: they bound its entries, each of which takes far more memory than its bytes. The largest public
projects have a tenth of them."""
MOST_TAGS: Final = 1_000_000
"""Of a page in HTML, for the same reason."""

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,254}")
_PLAIN_ORIGIN: Final = r"https?://[A-Za-z0-9][A-Za-z0-9.-]{0,252}(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
_PLAIN_URL: Final = re.compile(rf"{_PLAIN_ORIGIN}/[A-Za-z0-9/._~+!%-]*")
_ORIGIN: Final = re.compile(rf"{_PLAIN_ORIGIN}(?=/)")
_PLAIN_PATH: Final = re.compile(r"/(?![/.])(?:[A-Za-z0-9._~+!%-]+/(?!\.))*[A-Za-z0-9._~+!%-]+")
"""A path from the root of the host, without segments that begin with a dot."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{32,256}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z")
_PLAIN_NAMES, _PLAIN_URLS, _PLAIN_PATHS, _SHA256S, _TIMES = (
    re.compile(rf"(?:{pattern.pattern}\n)*+") for pattern in (_PLAIN_NAME, _PLAIN_URL, _PLAIN_PATH, _SHA256, _TIME)
)
"""The same of any number of lines: none of them matches the end of a line."""
_BEYOND: Final = 1 << 63
"""No file has as many bytes; a number beyond all that a float can be fails where it is shown."""
_AT_ONCE: Final = 256
"""Entries that are checked in one step: a tenth of a millisecond, in which no other thread runs."""
_STATUSES: Final = frozenset(map(str, Status))
_PRINTABLE: Final = re.compile(r"[ -~]+")


class UpstreamFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One file that another index offers."""

    filename: str
    url: str
    """Absolute, http or https, without fragment."""
    version: str
    """As the filename spells it, probably (`guess_filename`)."""
    hashes: dict[str, str] = {}
    """Hex digests in lower case by hashlib name; may be empty."""
    yanked: bool | str = False
    """PEP 592: False, True, or the reason (never empty)."""
    size: int | None = None
    """Bytes; None when it does not say."""
    requires_python: str | None = None
    uploaded: str | None = None
    """RFC 3339, UTC."""
    metadata: bool | str = False
    """PEP 658: the SHA-256 of the metadata beside the file; True where it is offered without one."""
    provenance: str | None = None
    """Absolute URL of its provenance object (PEP 740)."""
    signed: bool = False
    """Whether it has an OpenPGP signature beside it."""

    @property
    def parsed(self) -> ParsedFilename:
        """The strict meaning of the name. Raises InvalidName for one that this index takes no upload of."""
        return parse_filename(self.filename)

    @property
    def is_upload(self) -> bool:
        """Whether this index would take an upload of that name."""
        try:
            return bool(self.parsed)
        except InvalidName:
            return False


class UpstreamPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The page of a project, as another index has it."""

    files: tuple[UpstreamFile, ...]
    """In its order."""
    status: Status = Status.ACTIVE
    """PEP 792."""
    status_reason: str | None = None
    serial: int | None = None
    """A number that only grows with the changes of the project, where the index has one."""


def parse_page(
    project: str, content_type: str, body: bytes, url: str, left_out: list[str] | None = None
) -> UpstreamPage:
    """The meaning of a project's page.

    `project`: normalized name; `content_type`: of the answer; `url`: where it came from, for relative links;
    `left_out`: gets the names of entries that do not count.
    Raises UpstreamError when this is no page of version 1 of the Simple API.
    """
    kind, text = kind_and_text(content_type, body)
    if kind == JSON_TYPE:
        return _parse_json(project, body, url, left_out)
    return _parse_html(project, text, url, left_out)


# -- JSON -------------------------------------------------------------------------------------------------------------


class _Meta(msgspec.Struct, rename="kebab"):
    api_version: str
    last_serial: Any = msgspec.field(default=None, name="_last-serial")


class _Page(msgspec.Struct, rename="kebab"):
    meta: _Meta
    files: list[msgspec.Raw]
    project_status: Any = None


class _Entry(msgspec.Struct, rename="kebab", gc=False):
    """Fields that decide about the fetching have types; an entry with others there is left out. All else is
    passed on if it has the right form."""

    filename: str
    url: str
    hashes: dict[str, str] = {}
    yanked: Any = False
    size: Any = None
    requires_python: Any = None
    upload_time: Any = None
    core_metadata: Any = None
    dist_info_metadata: Any = None
    provenance: Any = None
    gpg_sig: Any = None


_decode_page: Final = msgspec.json.Decoder(_Page).decode
_decode_entry: Final = msgspec.json.Decoder(_Entry).decode


def _parse_json(project: str, body: bytes, url: str, left_out: list[str] | None) -> UpstreamPage:
    if body.count(b",") > MOST_COMMAS:
        raise UpstreamError(f"The index answers with JSON that has more than {MOST_COMMAS} commas, which is not read.")
    try:
        page = _decode_page(body)
        status, reason = _status(page.project_status)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"The index answers with JSON that is no page of the Simple API ({error}).") from error
    check_version(page.meta.api_version)
    check = _Check(project, url, left_out)
    serial = page.meta.last_serial
    return UpstreamPage(
        files=check.all(_entries(page.files)),
        status=status,
        status_reason=reason,
        serial=serial if type(serial) is int and 0 < serial < _BEYOND else None,
    )


def _entries(files: Iterable[msgspec.Raw]) -> Iterable[_Entry]:
    for each in files:
        try:
            yield _decode_entry(each)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue


def _status(said: object) -> tuple[Status, str | None]:
    """The status that a page states; ACTIVE for none, and for words that PEP 792 does not know."""
    if isinstance(said, str):
        said = {"status": said}
    if not isinstance(said, dict):
        return Status.ACTIVE, None
    word = said.get("status")
    if not isinstance(word, str) or word not in _STATUSES:
        return Status.ACTIVE, None
    return Status(word), _text(said.get("reason"))


# -- HTML -------------------------------------------------------------------------------------------------------------


def _parse_html(project: str, text: str, url: str, left_out: list[str] | None) -> UpstreamPage:
    page = read_html(text, MOST_TAGS)
    try:
        base = urljoin(url, page.base) if page.base else url
    except ValueError as error:
        raise UpstreamError(f"The index answers with HTML that cannot be read ({error}).") from error
    check_version("1.0" if page.version is None else page.version)  # PEP 629: a page that states none has 1.0
    files = _Check(project, base, left_out).all(_entry_of(attributes) for attributes in page.links)
    if not files and page.version is None:
        raise UpstreamError(
            "The index answers with HTML that names no file of the project, nor a version of the Simple API; it may be "
            "the page of an error, or of a login."
        )
    status, reason = _status(page.status or None)
    return UpstreamPage(
        files=files,
        status=status,
        status_reason=reason,
    )


def _entry_of(attributes: Mapping[str, str | None]) -> _Entry:
    """The entry that the attributes of a link are, as JSON has it."""
    address, _, fragment = (attributes["href"] or "").partition("#")
    algorithm, _, digest = fragment.partition("&")[0].partition("=")
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    name, _, value = (metadata or "").partition("=")
    return _Entry(
        filename=unquote(address.partition("?")[0].rpartition("/")[2]),
        url=address,
        hashes={algorithm: digest} if digest else {},
        yanked=(attributes["data-yanked"] or True) if "data-yanked" in attributes else False,
        requires_python=attributes.get("data-requires-python"),
        core_metadata={name: value} if value else metadata == "true",
        provenance=attributes.get("data-provenance"),
        gpg_sig=attributes.get("data-gpg-sig") == "true",
    )


# -- entries ----------------------------------------------------------------------------------------------------------


class _Check:
    """Checks the entries of one page."""

    def __init__(self, project: str, base: str, left_out: list[str] | None) -> None:
        """`project`: normalized name; `base`: what relative URLs are relative to; `left_out`: see `parse_page`."""
        self._left_out = left_out
        self._project = project
        self._base = base
        origin = _ORIGIN.match(base)
        self._origin = None if origin is None else origin[0]
        """Scheme and host of an ordinary base."""
        self._spellings: dict[str, bool] = {}
        """Whether the first part of a wheel's name is the project's."""
        self._requirements: dict[str, str] = {}
        """Specifiers of Python versions as they are passed on; empty for none."""

    def all(self, entries: Iterable[_Entry]) -> tuple[UpstreamFile, ...]:
        """The files of those that count, the first of each name."""
        found: dict[str, UpstreamFile] = {}
        remaining = iter(entries)
        while some := list(islice(remaining, _AT_ONCE)):
            for file in self._files(some):
                found.setdefault(file.filename, file)
        return tuple(found.values())

    def _files(self, entries: list[_Entry]) -> Iterator[UpstreamFile]:
        """Those of the entries that count. All are checked together for what is alike in nearly all files."""
        columns = zip(
            entries,
            self._versions([entry.filename for entry in entries]),
            self._urls([entry.url for entry in entries]),
            _all_digests([entry.hashes for entry in entries]),
            _times([entry.upload_time for entry in entries]),
            strict=True,
        )
        for entry, version, url, hashes, uploaded in columns:
            size, provenance, python = entry.size, entry.provenance, entry.requires_python
            is_size = type(size) is int
            if version is None or url is None or (is_size and not 0 <= size < _BEYOND):
                if self._left_out is not None:
                    self._left_out.append(entry.filename)
                continue
            metadata = entry.dist_info_metadata if entry.core_metadata is None else entry.core_metadata
            yield UpstreamFile(
                filename=entry.filename,
                url=url,
                version=version,
                hashes=hashes,
                yanked=False if entry.yanked is False else _yanked(entry.yanked),
                size=size if is_size else None,
                requires_python=None if python is None else self._requirement(python),
                uploaded=uploaded,
                metadata=False if metadata is None or metadata is False else _metadata(metadata),
                provenance=None if provenance is None else self._provenance(provenance),
                signed=entry.gpg_sig is True,
            )

    def _versions(self, filenames: list[str]) -> list[str | None]:
        """The version in each name; None where it is not that of one of the project's distributions."""
        if not _match_all(_PLAIN_NAMES, filenames):
            return [self._version(name) if _PLAIN_NAME.fullmatch(name) else None for name in filenames]
        return [self._version(name) for name in filenames]

    def _urls(self, links: list[str]) -> list[str | None]:
        """The absolute URL of each link; None for one that a client cannot ask."""
        if _match_all(_PLAIN_URLS, links):
            return [*links]
        if self._origin is not None and _match_all(_PLAIN_PATHS, links):
            origin = self._origin
            return [f"{origin}{link}" for link in links]
        return [self._url(link) for link in links]

    def _requirement(self, said: object) -> str | None:
        """The text; a page has few different ones."""
        if not isinstance(said, str):
            return None
        known = self._requirements.get(said)
        if known is None:
            known = self._requirements[said] = _text(said) or ""
        return known or None

    def _url(self, link: str) -> str | None:
        """The absolute URL of a link; None for none that a client can ask."""
        if _PLAIN_URL.fullmatch(link):
            return link
        if self._origin is not None and _PLAIN_PATH.fullmatch(link):
            return f"{self._origin}{link}"
        return _absolute(self._base, link)

    def _version(self, filename: str) -> str | None:
        """The version in a distribution's name, of plain characters; None when it is not one of the project's."""
        if filename.endswith(".whl"):
            parts = filename.split("-")
            if 5 <= len(parts) <= 6:
                name = parts[0]
                is_spelling = self._spellings.get(name)
                if is_spelling is None:
                    is_spelling = self._spellings[name] = self._is_spelling(name)
                return parts[1] if is_spelling else None
        guessed = guess_filename(filename)
        return guessed.version[:MAX_TEXT] if guessed is not None and guessed.project == self._project else None

    def _is_spelling(self, name: str) -> bool:
        try:
            return normalize_name(name) == self._project
        except InvalidName:
            return False

    def _provenance(self, url: object) -> str | None:
        if not isinstance(url, str):
            return None
        return self._url(url)


def _absolute(base: str, link: str) -> str | None:
    """The URL of a link without its fragment; None unless it is http or https, and one that a client can ask."""
    try:
        url = urljoin(base, link).partition("#")[0]
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        httpx.URL(url)  # it is stricter than urllib, and must not fail later
    except (ValueError, httpx.InvalidURL):
        return None
    return url if usable else None


def _match_all(pattern: re.Pattern[str], texts: list[str]) -> bool:
    """Whether each text, with the end of a line, matches the pattern, which is that of any number of lines."""
    lines = "\n".join(texts) + "\n"
    return lines.count("\n") == len(texts) and pattern.fullmatch(lines) is not None


def _all_digests(hashes: list[dict[str, str]]) -> list[dict[str, str]]:
    """The digests of each file that can be passed on."""
    plain = [each["sha256"] for each in hashes if len(each) == 1 and "sha256" in each]
    if len(plain) == len(hashes) and _match_all(_SHA256S, plain):
        return hashes
    return [_digests(each) for each in hashes]


def _times(said: list[Any]) -> list[str | None]:
    """The time of each upload; None for what is no time."""
    plain = [each for each in said if isinstance(each, str)]
    if len(plain) == len(said) and _match_all(_TIMES, plain):
        return said
    return [each if isinstance(each, str) and _TIME.fullmatch(each) else None for each in said]


def _digests(hashes: dict[str, str]) -> dict[str, str]:
    if len(hashes) == 1 and _SHA256.fullmatch(hashes.get("sha256", "")):
        return hashes
    return {
        name.lower(): digest.lower()
        for name, digest in hashes.items()
        if _DIGEST.fullmatch(digest) and _PLAIN_NAME.fullmatch(name)
    }


def _yanked(said: object) -> bool | str:
    """By the specification a reason is never empty; a server that sends an empty one did not mean False."""
    if said is None or said is False:
        return False
    return (_text(said) or True) if isinstance(said, str) else True


def _metadata(said: object) -> bool | str:
    if isinstance(said, dict):
        digest = said.get("sha256")
        return digest if isinstance(digest, str) and _SHA256.fullmatch(digest) else True
    return said is True


def _text(said: object) -> str | None:
    """A text that may stand on a page: one line, not too long."""
    if not isinstance(said, str):
        return None
    if len(said) > MAX_TEXT or not _PRINTABLE.fullmatch(said):
        said = "".join(character for character in said[:MAX_TEXT] if character.isprintable())
    return said or None
