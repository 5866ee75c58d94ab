"""The values of settings about the network: hosts, networks, paths and URLs; headers of proxies, and the words of
identity providers.

The parsers are as those of `quire.config.values`.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from quire.config.values import Raw, line, text, words
from quire.domain.errors import without_shown_login

LOCAL_NAMES = "<local>"
"""Stands for every name without a dot, as in browsers' lists of hosts that need no proxy."""

LOOPBACK_NAMES = ("localhost", "*.localhost", LOCAL_NAMES, "127.0.0.1", "::1")
"""Names of this machine (RFC 6761, 6.3) or of its local network: no public name is without a dot."""

FORWARDING_HEADERS = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix", "forwarded")
"""Headers in which proxies report the client; the last one combines the first three."""

RESERVED_PATHS = frozenset(
    {
        "",
        "RPC2",
        "favicon.ico",
        "index",
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
        "search",
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
        hint = "; in a login write # as %23, / as %2F and ? as %3F" if "@" in url else ""
        raise ValueError(f"{without_shown_login(url)!r} is not a plain http or https URL{hint}")
    return url.rstrip("/") + "/"


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


IDENTITY_HEADERS = (
    *("x-auth-request-user", "x-auth-request-groups", "x-auth-request-email", "x-auth-request-preferred-username"),
    *("x-forwarded-user", "x-forwarded-groups", "x-forwarded-email", "x-forwarded-preferred-username"),
    *("remote-user", "remote-groups", "x-amzn-oidc-data"),
)
"""The usual names of headers that name users, which the examples of proxies clear."""


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
        raise ValueError(f"{without_shown_login(url)!r} is not an https URL")
    if "/.well-known/" in url:
        raise ValueError(
            f"{without_shown_login(url)!r} is the address of the provider's metadata; leave /.well-known/... out"
        )
    return url


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


def host(raw: Raw) -> str:
    """An address or host name, IPv6 with or without brackets."""
    name = text(raw).strip()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]{1,253}", name):
        raise ValueError(f"{raw!r} is neither an IP address nor a host name")
    return name
