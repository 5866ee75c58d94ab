"""How this server reaches other indexes: logins, proxies, and the authorities that certificates are verified with.

Logins are in a file of this server, by host, in the form that `curl` and `pip` read (netrc): so no definition of an
index has a secret, and a login is for the host that the file names, whichever index is defined by it. The file is read
again when it has changed. Its `default` entry is not used: it would be sent to any host.

Proxies are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), or one for all requests but those to
hosts of `NO_PROXY`. Certificates are verified with the system's authorities and those of `certifi`, or with
`SSL_CERT_FILE` alone; a further file adds to them.
"""

from __future__ import annotations

import netrc
import os
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from quire.domain.errors import ConfigurationError, UpstreamError, reason_of

_Stamp = tuple[int, int, int]
_MOST_HOSTS: Final = 1000
"""Of which it is remembered whether they are asked without a proxy: pages name hosts as they like."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, without the login."""

    url: str
    login: str | None
    """The value of Proxy-Authorization; None for none."""


@dataclass(slots=True)
class Reach:
    """How one server reaches other indexes."""

    logins: str | None = None
    """The path of a netrc file; None for none."""
    proxy: str | None = None
    """The URL of the proxy, perhaps with a login; None: as the environment says."""
    authorities: str | None = None
    """The path of a PEM file with further authorities."""
    offline: bool = False
    """Whether it asks none of them."""
    _known: tuple[_Stamp, dict[str, str]] | None = field(default=None, init=False)
    _proxies: dict[str, str] | None = field(default=None, init=False)
    _direct: dict[str, bool] = field(default_factory=dict, init=False)
    """Whether a host with its port is asked without a proxy."""

    def check(self) -> None:
        """Raises ConfigurationError for files that cannot be used."""
        setting = "--upstream-netrc"
        try:
            if self.logins is not None:
                self._read(self.logins)
            setting = "SSL_CERT_FILE" if self.authorities is None else "--upstream-ca"
            self.tls()
        except (UpstreamError, OSError, ValueError) as error:
            said = reason_of(error).rstrip(".")
            raise ConfigurationError(f"Other indexes cannot be asked with the file of {setting}: {said}.") from error

    def login(self, host: str) -> str | None:
        """The value of Authorization for a host; None for none. Raises UpstreamError for an unreadable file."""
        if self.logins is None:
            return None
        try:
            found = os.stat(self.logins)
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
            if self._known is None or self._known[0] != stamp:
                self._known = stamp, self._read(self.logins)
        except OSError as error:
            raise UpstreamError(f"The file of --upstream-netrc cannot be read ({error.strerror}).") from error
        return self._known[1].get(host)

    def proxy_for(self, url: str) -> Proxy | None:
        """The proxy of a request; None for none."""
        if self._proxies is None:
            self._proxies = getproxies()
        parts = urlsplit(url)
        proxy = self.proxy or self._proxies.get(parts.scheme)
        if not proxy or self._is_direct(parts.netloc.rpartition("@")[2], parts.hostname or ""):
            return None
        found = urlsplit(_with_scheme(proxy))
        host = found.netloc.rpartition("@")[2]
        login = basic(unquote(found.username or ""), unquote(found.password or ""))
        return Proxy(urlunsplit((found.scheme, host, found.path, "", "")), login if "@" in found.netloc else None)

    def _is_direct(self, place: str, host: str) -> bool:
        is_direct = self._direct.get(place)  # to ask the environment takes longer than to ask another index
        if is_direct is None:
            if len(self._direct) >= _MOST_HOSTS:
                self._direct.clear()
            is_direct = self._direct[place] = bool(proxy_bypass(place) or proxy_bypass(host))
        return is_direct

    def is_proxy(self, host: str, port: int) -> bool:
        """Whether a proxy has this place. Another port of its host is as any other server's."""
        proxies = (self.proxy or "", *(self._proxies or {}).values())
        return any((host, port) == _place(url) for url in proxies if url)

    def tls(self) -> ssl.SSLContext:
        """Raises OSError and ValueError (of which ssl.SSLError is one) for files that are none of certificates."""
        named = os.environ.get("SSL_CERT_FILE")
        if named:
            context = ssl.create_default_context(cafile=named)
        else:
            context = ssl.create_default_context()
            context.load_verify_locations(certifi.where())
        if self.authorities is not None:
            context.load_verify_locations(self.authorities)
        return context

    @staticmethod
    def _read(path: str) -> dict[str, str]:
        """By host. Raises OSError, and UpstreamError without the text of the file."""
        try:
            hosts = netrc.netrc(path).hosts
        except netrc.NetrcParseError as error:
            raise UpstreamError(f"Line {error.lineno} of the file of --upstream-netrc is not understood.") from None
        except UnicodeDecodeError:
            raise UpstreamError("The file of --upstream-netrc is no text.") from None
        return {
            host.lower(): basic(login, password or "")
            for host, (login, _, password) in hosts.items()
            if host != "default"
        }


def basic(user: str, password: str) -> str:
    """The value of a header with a login (RFC 7617)."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


AS_THE_ENVIRONMENT_SAYS: Final = Reach()
"""Without a login; with the proxies and certificates of the environment."""


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _place(proxy: str) -> tuple[str | None, int] | None:
    """Host and port; None for a text without them, by which no request can go."""
    parts = urlsplit(_with_scheme(proxy))
    try:
        return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
