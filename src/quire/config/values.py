"""The values that settings take: from the text or TOML that a person wrote to checked, canonical Python.

Each parser takes the value of a flag, an environment variable (text) or quire.toml (text, number, boolean, list), and
raises ValueError whose message completes the sentence "<source>: ...".
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from quire.domain.errors import ConfigurationError
from quire.domain.reserved import STORE_WIDE, normalize_pattern
from quire.domain.sizes import UNITS
from quire.domain.trash import is_trash
from quire.store.opening import has_scheme, is_directory, parse_place

Raw = object
"""A value as its source gives it."""

_TRUE = {"1", "y", "yes", "t", "true", "on"}
_FALSE = {"0", "n", "no", "f", "false", "off"}
_RATE = re.compile(r"([0-9]{1,7})/([ms])")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)

ACTIONS = ("download", "list", "update")
"""The actions that can be made to need a login, by pypiserver's names."""

LOCAL_NAMES = "<local>"
"""Stands for every name without a dot, as in browsers' lists of hosts that need no proxy."""

LOOPBACK_NAMES = ("localhost", "*.localhost", LOCAL_NAMES, "127.0.0.1", "::1")
"""Names of this machine (RFC 6761, 6.3) or of its local network: no public name is without a dot."""

FORWARDING_HEADERS = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix", "forwarded")
"""Headers in which proxies report the client; the last one combines the first three."""


def text(raw: Raw) -> str:
    """Any text but an empty one."""
    if not isinstance(raw, str):
        raise ValueError(f"{raw!r} is not text")  # noqa: TRY004 - one class of error for every bad value
    if not raw.strip():
        raise ValueError("the value is empty")
    if "\0" in raw:
        raise ValueError("the value holds a NUL")
    return raw


def boolean(raw: Raw) -> bool:
    """True or false, or one of the words that mean it."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"{raw!r} is neither true nor false")


def integer(lowest: int, highest: int | None = None) -> Callable[[Raw], int]:
    """A parser of whole numbers from `lowest` to `highest`, both included; no upper limit when None."""
    bounds = f"at least {lowest}" if highest is None else f"from {lowest} to {highest}"

    def parse(raw: Raw) -> int:
        digits = str(raw).strip()
        if isinstance(raw, bool) or not re.fullmatch(r"[+-]?[0-9]{1,18}", digits):
            raise ValueError(f"{raw!r} is not a whole number")
        number = int(digits)
        if number < lowest or (highest is not None and number > highest):
            raise ValueError(f"{number} is out of range; it must be {bounds}")
        return number

    return parse


def _number(raw: Raw) -> float:
    """The number; NaN, which is in no range, for a value that is none."""
    try:
        return math.nan if isinstance(raw, bool) else float(str(raw))
    except ValueError:
        return math.nan


def seconds(raw: Raw) -> float:
    """A positive number of seconds."""
    number = _number(raw)
    if not (0 < number < math.inf):
        raise ValueError(f"{raw!r} is not a positive number of seconds")
    return number


def fraction(highest: float) -> Callable[[Raw], float]:
    """A parser of numbers from 0 to `highest`, both included."""

    def parse(raw: Raw) -> float:
        number = _number(raw)
        if not 0 <= number <= highest:
            raise ValueError(f"{raw!r} is not a number from 0 to {highest:g}")
        return number

    return parse


def tick(raw: Raw) -> float:
    """A number of seconds that every change may wait for: positive, and 10 at the most."""
    number = seconds(raw)
    if number > 10:
        raise ValueError(f"{raw!r} is more than 10 seconds; 20 milliseconds are 0.02")
    return number


def rate(raw: Raw) -> int:
    """Requests a minute: `600/m`, `10/s`; 0 for `none`."""
    text = "" if isinstance(raw, bool) else str(raw).strip().lower()
    if text == "none":
        return 0
    match = _RATE.fullmatch(text)
    number = int(match[1]) * (60 if match[2] == "s" else 1) if match else 0
    if not 1 <= number <= 1_000_000:
        raise ValueError(f"{raw!r} is not a number of requests; write 600/m (a minute), 10/s (a second) or none")
    return number


def size(raw: Raw) -> int:
    """A positive number of bytes: `1048576`, `500M`, `2G`, `2GiB`; units are powers of 1024."""
    match = None if isinstance(raw, bool) else _SIZE.fullmatch(str(raw).strip())
    number = float(match[1]) * UNITS[match[2].lower()] if match else 0
    if not (1 <= number < 2**62):
        raise ValueError(f"{raw!r} is not a size; write bytes, or a number with K, M, G or T such as 500M or 2G")
    return int(number)


def one_of(*choices: str) -> Callable[[Raw], str]:
    """A parser of one word of `choices`, in any case."""

    def parse(raw: Raw) -> str:
        word = text(raw).strip().lower()
        if word not in choices:
            raise ValueError(f"{raw!r} is none of {', '.join(choices)}")
        return word

    return parse


def path(raw: Raw) -> str:
    """A path, made absolute at once: servers may change their working directory before they use it."""
    try:
        return str(Path(text(raw)).expanduser().absolute())
    except RuntimeError as error:  # `~user` without a home
        raise ValueError(f"{raw!r}: {error}") from None


IMAGES = (".svg", ".png", ".jpg", ".jpeg", ".webp")
"""The suffixes of images that browsers show."""


def image(raw: Raw) -> str:
    """The path of an image."""
    found = path(raw)
    if not found.lower().endswith(IMAGES):
        raise ValueError(f"{raw!r} is no image that browsers show; its name ends in {', '.join(IMAGES)}")
    return found


def color(raw: Raw) -> str:
    """A colour as `#rrggbb`."""
    found = text(raw).strip().lower()
    if not re.fullmatch("#[0-9a-f]{6}", found):
        raise ValueError(f"{raw!r} is no colour; give red, green and blue as #rrggbb, e.g. #2f4a9e")
    return found


def places(raw: Raw) -> tuple[str, ...]:
    """A list of directories, of which the first may be another place for a store; or text: one URL, or paths with the
    system's separator between them."""
    if isinstance(raw, list | tuple):
        found = list(raw)
    else:
        found = [text(raw)] if has_scheme(text(raw)) else text(raw).split(os.pathsep)
    if not found:
        raise ValueError("it names no directory")
    try:
        parsed = [parse_place(text(item)) for item in found]
    except ConfigurationError as error:
        raise ValueError(str(error).removesuffix(".")) from None
    if not all(map(is_directory, parsed[1:])):
        raise ValueError("only the first place can be a store; name directories after it")
    return tuple(path(place) if is_directory(place) else place for place in parsed)


def folders(raw: Raw) -> tuple[str, ...]:
    """Directories: a list, or text with the system's separator between them; each item of a list is one path."""
    found = [text(item) for item in (raw if isinstance(raw, list | tuple) else text(raw).split(os.pathsep))]
    if any(map(has_scheme, found)) or (isinstance(raw, str) and has_scheme(raw)):
        raise ValueError(f"{raw!r} is no directory; drop-in files are in directories alone")
    return tuple(map(path, found))


def words(raw: Raw) -> list[str]:
    """The items of a list, or of text with commas between them."""
    items = raw if isinstance(raw, list | tuple) else str(raw).split(",")
    return [str(item).strip() for item in items]


def name_patterns(raw: Raw) -> tuple[str, ...]:
    """Patterns of project names: text with commas between them, or a list of such."""
    items = [word for item in raw for word in words(item)] if isinstance(raw, list | tuple) else words(raw)
    return tuple(dict.fromkeys(normalize_pattern(item) for item in items if item))


def actions(raw: Raw) -> tuple[str, ...]:
    """The actions that need a login; `.` alone means none."""
    found = sorted({word.lower() for word in words(raw)})
    if found == ["."]:
        return ()
    if "." in found:
        raise ValueError("'.' (no authentication) must stand alone")
    if not found or any(word not in ACTIONS for word in found):
        raise ValueError(f"{raw!r} is no list of actions; use download, list and update with commas, or '.' for none")
    return tuple(found)


def password_file(raw: Raw) -> str:
    """The absolute path of an htpasswd file, or `.` itself."""
    return "." if raw == "." else path(raw)


RESERVED_PATHS = frozenset(
    {
        "",
        "RPC2",
        "favicon.ico",
        "integrity",
        "legacy",
        "metrics",
        "namespace",
        "namespaces",
        "openapi.json",
        "packages",
        "project",
        "pypi",
        "ready",
        "simple",
    }
    | {"upload", "-", "_", ".well-known"}
)
"""First segments of the paths that the index needs for itself, with anything after them."""


def health_path(raw: Raw) -> str:
    """A path of letters, digits, `/`, `_` and `-` that nothing else is served at."""
    if not isinstance(raw, str) or not re.fullmatch(r"/[A-Za-z0-9/_-]+", raw):
        raise ValueError(f"{raw!r} is no path for the health check; use / and then letters, digits, '/', '_' and '-'")
    if raw.split("/")[1] in RESERVED_PATHS or "//" in raw or raw.endswith("/json"):
        raise ValueError(f"{raw!r} is an address of the index itself; choose one like /health or /health/live")
    return raw


def base_path(raw: Raw) -> str:
    """The path prefix of every route, without its last slash: the empty text for none."""
    if not isinstance(raw, str) or not re.fullmatch(r"[A-Za-z0-9/_.~-]*", raw) or ".." in raw.split("/"):
        raise ValueError(f"{raw!r} is no path prefix; write something like /python")
    prefix = "/".join(part for part in raw.split("/") if part)
    return f"/{prefix}" if prefix else ""


def internal_locations(raw: Raw) -> tuple[str, ...]:
    """Path prefixes such as /_files/, each begun and ended by a slash; nothing means none."""
    found = []
    for word in words(raw):
        if not word:
            continue
        if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?", word):
            raise ValueError(f"{word!r} is no internal location of a proxy; write something like /_files/")
        found.append(f"{word.rstrip('/')}/")
    return tuple(found)


def http_url(raw: Raw) -> str:
    """An absolute http or https URL, ended by one slash."""
    url = text(raw).strip()
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError(f"{raw!r} is not a plain http or https URL")
    return url.rstrip("/") + "/"


def hash_algorithm(raw: Raw) -> str | None:
    """A hashlib algorithm whose digest can be put into a URL's fragment; None when switched off."""
    name = str(raw).strip()
    if name.lower() in _FALSE:
        return None
    if name in hashlib.algorithms_available:
        try:
            # digest_size is 0 for the shake family: their digests have no length of their own
            if hashlib.new(name, usedforsecurity=False).digest_size:
                return name
        except ValueError:  # listed by OpenSSL, but refused by its policy
            pass
    raise ValueError(f"{raw!r} is no usable hash algorithm; take sha256, another one of hashlib's, or 'off'")


def networks(raw: Raw) -> tuple[str, ...]:
    """IP addresses and networks in CIDR notation; `unix` stands for the peers at a Unix socket, `*` for every peer;
    nothing means none."""
    found = []
    for word in words(raw):
        if not word:
            continue
        if word not in {"*", "unix"}:
            try:
                word = str(_network(word))  # noqa: PLW2901 - the canonical form of the same
            except ValueError:
                raise ValueError(
                    f"{word!r} is neither an IP address nor a network such as 10.0.0.0/8, nor 'unix' or '*'"
                ) from None
        found.append(word)
    return tuple(found)


def ip_networks(raw: Raw) -> tuple[str, ...]:
    """IP addresses and networks in CIDR notation; nothing means none."""
    found = networks(raw)
    for word in found:
        if word in {"*", "unix"}:
            raise ValueError(f"{word!r} is no network; write it like 10.0.0.0/8")
    return found


def _network(word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network; one of IPv4 addresses that are mapped into IPv6 is a network of IPv4. Raises ValueError."""
    network = ipaddress.ip_network(word, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")


def forwarding_headers(raw: Raw) -> tuple[str, ...]:
    """The names of forwarding headers, in lower case; nothing means none."""
    found = tuple(dict.fromkeys(word.lower() for word in words(raw) if word))
    for word in found:
        if word not in FORWARDING_HEADERS:
            raise ValueError(f"{word!r} is none of {', '.join(FORWARDING_HEADERS)}")
    if "forwarded" in found and set(found) & set(FORWARDING_HEADERS[:3]):
        raise ValueError(
            f"forwarded and {', '.join(FORWARDING_HEADERS[:3])} report the same; name what your proxies set"
        )
    return found


_OTHER_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "authorization", "connection", "content-length", "content-type"}
    | {"cookie", "date", "expect", "from", "host", "origin", "proxy-authorization", "range", "referer"}
    | {"sec-fetch-site", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via", "x-request-id"}
    | {*FORWARDING_HEADERS}
)
"""Headers of a meaning of their own, which name no user."""


def user_header(raw: Raw) -> str:
    """The name of a header that is free for a proxy to name a user in, in lower case."""
    name = text(raw).strip().lower()
    if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", name) or len(name) > 100:
        raise ValueError(f"{raw!r} is no name of a header; use letters, digits and '-', as in X-Forwarded-User")
    if name in _OTHER_HEADERS or name.startswith("if-"):
        raise ValueError(f"{raw!r} has another meaning; name the header that the proxy sets, as X-Forwarded-User")
    return name


_ARN = re.compile(
    r"arn:(?:aws|aws-cn|aws-us-gov):elasticloadbalancing:[a-z0-9-]{1,40}:[0-9]{12}:"
    r"loadbalancer/app/[A-Za-z0-9-]{1,32}/[0-9a-f]{1,32}"
)


def load_balancers(raw: Raw) -> tuple[str, ...]:
    """ARNs of AWS Application Load Balancers."""
    found = tuple(dict.fromkeys(word for word in words(raw) if word))
    for word in found:
        if not _ARN.fullmatch(word):
            raise ValueError(
                f"{word!r} is no ARN of an Application Load Balancer, as "
                "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/quire/0123456789abcdef"
            )
    if not found:
        raise ValueError("it names no load balancer")
    return found


def claim(raw: Raw) -> str:
    """The name of a claim of an identity provider."""
    name = text(raw).strip()
    if not name.isprintable() or len(name) > 200:
        raise ValueError(f"{raw!r} is no name of a claim")
    return name


def issuer(raw: Raw) -> str:
    """The URL of an OpenID provider, as it has it itself: with or without a slash at its end."""
    url = text(raw).strip()
    parsed = urlsplit(http_url(url))
    if parsed.scheme != "https" and not is_loopback(parsed.hostname or ""):
        raise ValueError(f"{raw!r} is not an https URL")
    if "/.well-known/" in url:
        raise ValueError(f"{raw!r} is the address of the provider's metadata; leave /.well-known/... out")
    return url


def line(raw: Raw) -> str:
    """One line of text."""
    found = text(raw).strip()
    if not found.isprintable() or len(found) > 500:
        raise ValueError(f"{raw!r} is not one line of text")
    return found


def scopes(raw: Raw) -> tuple[str, ...]:
    """Scopes of OAuth 2.0 (RFC 6749, 3.3)."""
    found = tuple(word for item in words(raw) for word in item.split())
    for word in found:
        if not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}", word):
            raise ValueError(f"{word!r} is no scope")
    return found


def groups(raw: Raw) -> tuple[str, ...]:
    """Names of groups; nothing means none."""
    return tuple(dict.fromkeys(line(word) for word in words(raw) if word))


IDENTITY_HEADERS = (
    *("x-auth-request-user", "x-auth-request-groups", "x-auth-request-email", "x-auth-request-preferred-username"),
    *("x-forwarded-user", "x-forwarded-groups", "x-forwarded-email", "x-forwarded-preferred-username"),
    *("remote-user", "remote-groups", "x-amzn-oidc-data"),
)
"""The usual names of such headers, which the examples of proxies clear."""


def host_names(raw: Raw) -> tuple[str, ...]:
    """Host names and IP addresses, `*.` before a name for all below it, `<local>` for those without a dot.

    `*` or nothing means any.
    """
    found = []
    for word in words(raw):
        if not word:
            continue
        name = word.lower().removesuffix(".")
        try:
            name = str(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
        except ValueError:
            if name not in {"*", LOCAL_NAMES} and not re.fullmatch(
                r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", name
            ):
                raise ValueError(f"{word!r} is no host name such as pypi.example.org, without a port") from None
        found.append(name)
    return () if "*" in found else tuple(dict.fromkeys(found))


def is_loopback(name: str) -> bool:
    """Whether a host to listen on is reached by this machine only."""
    try:
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def index_name(raw: Raw) -> str:
    """The name of an index, which is a folder in the store."""
    name = text(raw)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", name):
        raise ValueError(f"{raw!r} is no index name; use up to 100 lower-case letters, digits, '-' and '_'")
    if is_trash(name):
        raise ValueError(f"{raw!r} is where the trash of an index is kept; choose another name")
    if name in STORE_WIDE:
        raise ValueError(f"{raw!r} cannot be the name of an index: the store keeps its grants and tokens there")
    return name


def host(raw: Raw) -> str:
    """An address or host name, IPv6 with or without brackets."""
    name = text(raw).strip()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]{1,253}", name):
        raise ValueError(f"{raw!r} is neither an IP address nor a host name")
    return name


def log_format(raw: Raw) -> str:
    """A %-format of logging's LogRecord attributes."""
    try:
        logging.Formatter(str(raw)).format(logging.LogRecord("", 0, "", 0, "", None, None))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{raw!r} is no logging format ({error})") from None
    return str(raw)


def message_format(raw: Raw) -> str:
    """A %-format of a request's, response's or error's properties."""
    try:
        str(raw) % Anything()
    except (ValueError, TypeError) as error:
        raise ValueError(f"{raw!r} is no %-format ({error})") from None
    return str(raw)


class Anything(dict[str, object]):
    """A mapping that has a `-` for every key it lacks."""

    def __missing__(self, key: str) -> str:
        return "-"
