"""Core metadata as a page shows it: every text visible, every address safe, every list of a length that fits.

Pure. A publisher wrote all of it, so nothing is taken for more than text until it was parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email import utils
from typing import Any, Final
from urllib.parse import urlsplit

from quire.archives.metadata import CoreMetadata
from quire.domain.errors import InvalidName
from quire.domain.foreign_text import one_line, visible
from quire.domain.names import normalize_name
from quire.domain.requirements import read_requirement

MOST_ENTRIES: Final = 300
"""Of each list."""
MOST_CHARS: Final = 400
"""Of each text, but of the license and the description."""
_MOST_LICENSE: Final = 4000
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_URL: Final = re.compile(r"[!-~]{1,2000}")
_NOT_OF_LICENSES: Final = re.compile(r"\b(?:the|licen[sc]e)\b|[\W_]")
"""Words and signs by which two names of one license differ."""
_LENIENT: Final = {"strict": False} if getattr(utils, "supports_strict_parsing", False) else {}
"""Newer Pythons else find no one in a text with a comma in a comment, nor in any that is not right to its end."""
_OF_EXTRA: Final = re.compile(r"(?:(?P<rest>.*) and )?extra == \"(?P<extra>[A-Za-z0-9._-]+)\"")

Exists = Callable[[str], bool]
"""Whether a project (normalized name) is here, for the reader of a page."""


@dataclass(frozen=True, slots=True)
class Link:
    """An address with its label."""

    label: str
    url: str | None
    """Of http or https; None for what is neither, which is shown as text."""
    text: str
    """The address as it is shown."""


@dataclass(frozen=True, slots=True)
class Person:
    """An author or a maintainer."""

    name: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Dependency:
    """A project that a release needs."""

    name: str
    """Normalized; empty for a requirement that cannot be read."""
    shown: str
    """The name, with extras, as it is written."""
    constraint: str
    """Its versions, or the address that it comes from."""
    condition: str
    """The marker, without the extra that the group is of."""
    is_here: bool


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Those of one extra, or of none."""

    extra: str | None
    entries: tuple[Dependency, ...]


@dataclass(frozen=True, slots=True)
class Classifiers:
    """Those of one topic."""

    topic: str
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """The metadata of a release."""

    summary: str
    requires_python: str
    license: str
    keywords: tuple[str, ...]
    classifiers: tuple[Classifiers, ...]
    links: tuple[Link, ...]
    authors: tuple[Person, ...]
    maintainers: tuple[Person, ...]
    dependencies: tuple[Dependencies, ...]
    omitted: int
    """Dependencies beyond those that are shown."""


NOT_DESCRIBED: Final = Described("", "", "", (), (), (), (), (), (), 0)


def described(metadata: CoreMetadata, exists: Exists) -> Described:
    """The metadata of a release."""
    fields: Mapping[str, Any] = metadata.fields
    requirements = fields.get("requires_dist") or ()
    terms = _license(fields)
    return Described(
        summary=_short(metadata.summary),
        requires_python=_short(metadata.requires_python),
        license=terms,
        keywords=tuple(dict.fromkeys(_texts(fields.get("keywords")))),
        classifiers=_classifiers(text for text in _texts(fields.get("classifiers")) if not _repeats(text, terms)),
        links=tuple(_links(fields))[:MOST_ENTRIES],
        authors=_people(fields.get("author"), fields.get("author_email")),
        maintainers=_people(fields.get("maintainer"), fields.get("maintainer_email")),
        dependencies=dependencies(requirements[:MOST_ENTRIES], exists),
        omitted=max(len(requirements) - MOST_ENTRIES, 0),
    )


def dependencies(requirements: Iterable[str], exists: Exists) -> tuple[Dependencies, ...]:
    """The requirements by extra, those of none first."""
    groups: dict[str | None, list[Dependency]] = {None: []}
    for requirement in requirements:
        extra, found = _dependency(requirement, exists)
        groups.setdefault(extra, []).append(found)
    return tuple(Dependencies(extra, tuple(found)) for extra, found in groups.items() if found)


def link(label: str, address: str) -> Link:
    """An address, with the label that a publisher gave it."""
    shown = _short(address)
    return Link(_short(label) or shown, _safe(address.strip()), shown)


def _safe(address: str) -> str | None:
    """The address, if it is one of http or https without a login: `https://bank.example@evil.example` is none."""
    if not _URL.fullmatch(address):
        return None
    try:
        parts = urlsplit(address)
        is_safe = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return None
    return address if is_safe else None


def _short(text: str | None, most: int = MOST_CHARS) -> str:
    line = one_line((text or "")[: most + 1])
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _texts(values: Sequence[str] | None) -> list[str]:
    return [text for value in (values or ())[:MOST_ENTRIES] if (text := _short(value))]


def _license(fields: Mapping[str, Any]) -> str:
    """The expression (PEP 639), else the free text, of which some have all of a license."""
    text = fields.get("license_expression") or fields.get("license") or ""
    shown = visible(text[: _MOST_LICENSE + 1]).strip()
    return shown if len(shown) <= _MOST_LICENSE else f"{shown[: _MOST_LICENSE - 1]}…"


def _repeats(classifier: str, terms: str) -> bool:
    """Whether a classifier names the license that the field names already."""
    topic, _, rest = classifier.partition(" :: ")
    named = _NOT_OF_LICENSES.sub("", terms[:MOST_CHARS].casefold())
    return topic == "License" and _NOT_OF_LICENSES.sub("", rest.rpartition(" :: ")[2].casefold()) == named


def _classifiers(values: Iterable[str]) -> tuple[Classifiers, ...]:
    topics: dict[str, dict[str, None]] = {}
    for value in values:
        topic, _, rest = value.partition(" :: ")
        topics.setdefault(topic, {})[rest or topic] = None
    return tuple(Classifiers(topic, tuple(entries)) for topic, entries in sorted(topics.items()))


def _links(fields: Mapping[str, Any]) -> Iterable[Link]:
    """The links by label, with Home-page and Download-URL where no label has their address already."""
    labelled: Mapping[str, str] = fields.get("project_urls") or {}
    for label, field in (("Homepage", "home_page"), ("Download", "download_url")):
        address = fields.get(field)
        if address and address not in labelled.values():
            yield link(label, address)
    for label, address in labelled.items():
        yield link(label, address)


def _people(names: str | None, addresses: str | None) -> tuple[Person, ...]:
    """Those of both fields; the addresses have names, too, by the newer way to write them."""
    found = [
        Person(_short(name) or _short(address), address if _ADDRESS.fullmatch(address) else None)
        for name, address in _addresses((addresses or "")[: 10 * MOST_CHARS])
        if name or address
    ]
    if names and (name := _short(names)) and not any(each.name == name for each in found):
        if len(found) == 1 and found[0].name == found[0].email:
            return (Person(name, found[0].email),)
        found.insert(0, Person(name, None))
    return tuple(found[:MOST_ENTRIES])


def _addresses(text: str) -> list[tuple[str, str]]:
    """Names with addresses; a text at which the parser fails is a name."""
    try:
        return utils.getaddresses([text], **_LENIENT)
    except Exception:  # noqa: BLE001 - it promises to raise nothing, and does for comments within comments
        return [(text, "")]


def _versions(specifiers: Iterable[str]) -> str:
    """As people write them, the lower bound first."""
    return ", ".join(sorted(specifiers, reverse=True))


def _dependency(text: str, exists: Exists) -> tuple[str | None, Dependency]:
    """A requirement with the extra that it is of; one that cannot be read, or names no project, as it is written."""
    requirement = read_requirement(text)
    if requirement is None or not requirement.project:
        return None, Dependency("", _short(text), "", "", False)
    extra, condition = _by_extra(requirement.condition)
    extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
    return extra, Dependency(
        name=requirement.project,
        shown=_short(f"{requirement.name}{extras}"),
        constraint=_short(f"@ {requirement.url}" if requirement.url else _versions(requirement.versions)),
        condition=_short(condition),
        is_here=exists(requirement.project),
    )


def _by_extra(condition: str) -> tuple[str | None, str]:
    """The only extra that a marker asks for, if there is one and it is a name, and the rest of the marker."""
    of_extra = _OF_EXTRA.fullmatch(condition)
    if of_extra is None:
        return None, condition
    try:
        extra = normalize_name(of_extra["extra"])
    except InvalidName:
        return None, condition
    rest = of_extra["rest"] or ""
    if rest.startswith("(") and rest.endswith(")") and rest.count("(") == 1:
        rest = rest[1:-1]
    return extra, rest
