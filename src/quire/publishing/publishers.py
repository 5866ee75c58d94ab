"""Trusted publishers: which job of which repository may upload, and whether a token's claims are of it.

Theory of operation. A publisher has the words that an operator gave (its `settings`, such as the repository and the
workflow), an issuer, and perhaps further claims that a token must have. Claims match when every one of these does, by
the rules of the platform. Names can change hands: a repository that was renamed or deleted leaves its name to others.
So the ids that a platform gives beside the names are remembered at the first use, and compared ever after: the same
name with another id is another repository. An operator can name the ids from the beginning, as further claims.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quire.domain.errors import InvalidRequest, without_shown_login
from quire.publishing.platforms import PLATFORMS, Claims, Platform, text_of

MAX_SETTING: Final = 300
"""Characters."""
MAX_CLAIMS: Final = 20
_CLAIM: Final = re.compile(r"[A-Za-z0-9_./:-]{1,100}")
_RESERVED: Final = {"iss", "aud", "exp", "iat", "nbf", "jti"}


class Publisher(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trusted publisher, as the access document has it."""

    platform: str
    """A word of PLATFORMS."""
    issuer: str
    """Its URL, as tokens name it (`iss`)."""
    settings: dict[str, str]
    """By the words of its platform."""
    claims: dict[str, str] = {}
    """Further claims that a token must have."""
    index: str
    projects: tuple[str, ...]
    """Names and patterns; see `quire.access.grants.Scope`."""
    remembered: dict[str, str] = {}
    """The ids that the first token had, by claim."""
    created: str | None = None
    """RFC 3339, UTC."""
    by: str | None = None
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""

    @property
    def kind(self) -> Platform | None:
        """None for a platform of a newer version: it matches nothing."""
        return PLATFORMS.get(self.platform)

    @property
    def name(self) -> str:
        """For people, such as `GitHub acme/tools release.yml`."""
        title = self.kind.title if self.kind is not None else self.platform
        words = [*self.settings.values(), *(f"{name}={value}" for name, value in self.claims.items())]
        return " ".join([title, *words])


def make_publisher(
    platform: str,
    settings: Mapping[str, str],
    claims: Mapping[str, str],
    *,
    issuer: str | None,
    index: str,
    projects: tuple[str, ...],
    created: str,
    by: str | None,
) -> Publisher:
    """A publisher of these words, checked. Raises InvalidRequest."""
    kind = PLATFORMS.get(platform)
    if kind is None:
        raise InvalidRequest(f"{platform[:50]!r} is no platform; use {', '.join(PLATFORMS)}.")
    for name in settings:
        if name not in kind.words:
            known = ", ".join(f"--{each.replace('_', '-')}" for each in kind.words)
            raise InvalidRequest(f"{kind.title} has no --{name.replace('_', '-')}; it takes {known or '--claim'}.")
    missing = [f"--{name.replace('_', '-')}" for name in kind.needed if not settings.get(name)]
    if issuer is None and kind.issuer is None:
        missing.append("--issuer")
    if missing:
        raise InvalidRequest(f"A publisher of {kind.title} needs {' and '.join(missing)}.")
    for name, value in [*settings.items(), *claims.items()]:
        if not value or len(value) > MAX_SETTING or not value.isprintable() or value != value.strip():
            raise InvalidRequest(f"The value of {name[:100]} is empty, too long, or has spaces or control characters.")
    for name in claims:
        if not _CLAIM.fullmatch(name) or name in _RESERVED:
            raise InvalidRequest(f"{name[:100]!r} is no claim that a publisher can ask for.")
    if len(claims) > MAX_CLAIMS or (not kind.needed and not claims):
        raise InvalidRequest(f"A publisher of {kind.title} needs --claim NAME=VALUE, {MAX_CLAIMS} at most.")
    fault = kind.fault(settings)
    if fault is not None:
        raise InvalidRequest(fault)
    return Publisher(
        platform=platform,
        issuer=_issuer(kind, issuer),
        settings={name: settings[name] for name in kind.words if name in settings},
        claims=dict(claims),
        index=index,
        projects=projects,
        created=created,
        by=by,
    )


def _issuer(kind: Platform, issuer: str | None) -> str:
    """The issuer as tokens name it: without a slash at its end, unless the operator wrote one."""
    url = issuer or kind.issuer or ""
    if not re.fullmatch(r"(https://[^\s/?#@]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)(/[^\s?#]*)?", url):
        shown = without_shown_login(url)[:100]
        raise InvalidRequest(f"{shown!r} is no URL of an issuer; give one that begins with https://.")
    return kind.complete_issuer(url)


def mismatch(publisher: Publisher, claims: Claims) -> str | None:
    """Why a token's claims are not of this publisher, for the log; None when they are. `claims`: verified."""
    kind = publisher.kind
    if kind is None:
        return f"the platform {publisher.platform[:50]!r} is not known to this version"
    if claims.get("iss") != publisher.issuer:
        return "another issuer"
    found = kind.mismatch(publisher.settings, claims)
    if found is not None:
        return found
    for name, value in publisher.claims.items():
        if not _has(claims, name, value):
            return f"{name} is {text_of(claims.get(name))!r}, not {value!r}"
    for name, value in publisher.remembered.items():
        if text_of(claims.get(name)) != value:
            return f"{name} is {text_of(claims.get(name))!r}, and was {value!r} when this publisher was first used"
    return None


def remember(publisher: Publisher, claims: Claims) -> Publisher:
    """The publisher with the ids that these claims have; the very object when it has them already."""
    ids = {name: text_of(claims.get(name)) for name in (publisher.kind.ids if publisher.kind is not None else ())}
    remembered = {name: value for name, value in ids.items() if value} | publisher.remembered
    if remembered == publisher.remembered:
        return publisher
    changed: Publisher = msgspec.structs.replace(publisher, remembered=remembered)
    return changed


def facts(title: str, claims: Claims, issuer: str = "") -> dict[str, str]:
    """The platform, repository, workflow, run and commit of a job, as far as its platform says them, and the address of
    the run where `issuer` is one whose addresses are known; for the log and the record of a file.

    `title`: of its platform (`Platform.title`).
    """
    from quire.publishing.addresses import run_address  # noqa: PLC0415 - few servers have publishers

    names = next((kind.facts for kind in PLATFORMS.values() if kind.title == title), {})
    found = {word: text_of(claims.get(name))[:MAX_SETTING] for word, name in names.items()}
    found["url"] = run_address(title, issuer, claims) or ""
    return {"platform": title, **{word: text for word, text in found.items() if text}}


def _has(claims: Claims, name: str, value: str) -> bool:
    found = claims.get(name)
    if isinstance(found, list):
        return value in [text_of(each) for each in found]
    return text_of(found) == value
