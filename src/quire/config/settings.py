"""Settings: frozen, checked once, the same in every process.

A value comes from the first of these that has one: a flag, a `QUIRE_*` environment variable, `quire.toml` (in the
working directory, or named by `--config` or QUIRE_CONFIG), a variable that other programs use for it (PORT), the
command's default. An error is one sentence that names the source of the value.

Servers start worker processes, by fork or as new programs. They all build the application from the one environment
variable QUIRE_SETTINGS, which the command that started them filled: `Settings.dump` and `Settings.load`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from quire.config import network, values
from quire.config.sign_on import LOAD_BALANCER_HEADER
from quire.domain.errors import ConfigurationError
from quire.domain.structs import decode_as
from quire.store.opening import is_directory

DEFAULT_FALLBACK_URL = "https://pypi.org/simple/"
"""Where clients are sent for a project that is not here; pypiserver's default."""

SETTINGS_VARIABLE = "QUIRE_SETTINGS"
"""The environment variable by which worker processes get their settings."""

SERVERS = ("auto", "uvicorn", "gunicorn", "wsgiref")
UNSUPPORTED_SERVERS = (
    *("bjoern", "cgi", "cheroot", "cherrypy", "diesel", "eventlet", "fapws3", "flup", "gae", "gevent"),
    *("geventsocketio", "granian", "meinheld", "paste", "rocket", "tornado", "twisted", "waitress"),
)
"""Servers that pypiserver runs, and granian, which quire ran; understood, and uvicorn serves instead."""

DECLARED_TABLES = ("indexes", "grants", "groups")
"""The tables of a configuration file that are no settings: see `quire.operations.declaring`."""

_LEVELS = {0: "WARNING", 1: "INFO", 2: "DEBUG"}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set. Paths are absolute."""

    directories: tuple[str, ...]
    """The served directories; the first one carries the store and takes uploads, the others are drop-in folders.
    The first may also be another place for a store; see `quire.store.opening`."""
    index: str = "main"

    host: str = "0.0.0.0"  # noqa: S104 - a server in a container needs it; pypiserver's default
    port: int = 8080
    """0 lets the system choose a free one."""
    server: str = "auto"
    workers: int = 1
    workers_chosen: bool = False
    """Whether `workers` was set for quire; else a gunicorn configuration may set another number."""
    server_base_url: str = ""
    """A path prefix such as `/python` under which everything is served; never ends with a slash."""
    public_url: str | None = None
    """The absolute URL under which clients reach this server, the prefix included, ended by a slash; None where that is
    not known."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose forwarding headers are believed; `unix` for peers at a Unix socket, `*` for all."""
    trusted_headers: tuple[str, ...] = ("x-forwarded-for", "x-forwarded-proto")
    """The forwarding headers that are believed, which trusted proxies must set or clear; lower-case names."""
    allowed_hosts: tuple[str, ...] = ()
    """The names that a Host may have, in lower case, `*.` before those with subdomains; none: any."""
    accel_redirect: tuple[str, ...] = ()
    """The proxy's names for the directories, in their order, to send downloads itself; none: quire sends them."""

    downloads: str = "stream"
    """`stream`: quire sends files; `redirect`: clients get them from the bucket, by signed URLs."""
    redirect_seconds: int = 600
    """How long such a URL is valid."""

    authenticate: tuple[str, ...] = ("update",)
    """The actions (download, list, update) that need a login, until the store has grants."""
    rights: str = "store"
    """`store`: the grants and tokens of the store count; `settings`: `authenticate` and `passwords` alone do."""
    passwords: str | None = None
    """An htpasswd file; None when there is none: then no user can log in."""

    user_header: str | None = None
    """The header in which trusted proxies name the user, in lower case; None when they name none."""
    groups_header: str | None = None
    """The same of the user's groups."""
    alb_arn: tuple[str, ...] = ()
    """The AWS Application Load Balancers whose signed header names the user."""
    alb_keys_url: str | None = None
    """Where their keys are; None for the address that AWS has for the region."""
    oidc_issuer: str | None = None
    """The OpenID provider at which people log in to the web interface; None for no such login."""
    oidc_client_id: str | None = None
    """The id that this server has there."""
    oidc_client_secret_file: str | None = None
    """The file with the secret that goes with it; None where the environment has the secret, or there is none."""
    oidc_scopes: tuple[str, ...] = ("profile", "email")
    """The scopes that are asked for, beside `openid`."""
    oidc_allowed_groups: tuple[str, ...] = ()
    """The groups that may log in; none for all users of the provider."""
    session_seconds: int = 3600
    """How long a login to the web interface lasts."""
    oidc_user_claim: str = "email"
    """The claim of an identity provider that is the user's name."""
    oidc_groups_claim: str = "groups"
    """The claim with the user's groups."""

    fallback_url: str | None = None
    """The simple API of the index that has the projects this one lacks, ended by a slash; None for a 404."""
    upstream: str | None = None
    """The simple API of the index that is mirrored behind this one, ended by a slash, perhaps with a login; None for
    none."""
    upstream_hosts: tuple[str, ...] = ()
    """Hosts of its files that may have addresses which are not public."""
    upstream_max_age: int = 600
    """Seconds for which a page of it is served without asking."""
    upstream_max_stale: int = 30 * 86_400
    """Seconds for which a page of it is served while it cannot be asked."""
    upstream_offline: bool = False
    """Whether no upstream is asked: what is kept of them is served."""
    upstream_netrc: str | None = None
    """The file with the logins of all upstreams, by host; None for none."""
    upstream_proxy: str | None = None
    """The proxy of requests to upstreams, perhaps with a login; None: as the environment says."""
    upstream_ca: str | None = None
    """The file with further authorities for the certificates of upstreams."""
    mirror_size: int | None = None
    """The most bytes that the files of all mirrors of the store may have together; None for any number."""
    declared: str | None = None
    """The file with the declared indexes that the store is compared with; None for none."""
    local: tuple[str, ...] = ()
    """Patterns of names for which clients are never sent to another index; see `quire.domain.reserved`."""
    health_endpoint: str = "/health"
    welcome: str | None = None
    """The file with the home page; None for the built-in one."""
    web_title: str = "Python packages"
    """The name of the site in the web interface."""
    web_logo: str | None = None
    """The file with the image beside that name; None for quire's."""
    web_color: str | None = None
    """The colour of links and buttons, `#rrggbb`; None for quire's."""
    cache_control: int | None = None
    """Seconds for `Cache-Control: max-age` of downloads; None leaves it to quire."""
    hash_algorithm: str | None = "sha256"
    """The hash in the fragment of HTML file links; None for no fragment."""

    attestations: str = "auto"
    """Of uploads (PEP 740): `verify` them or refuse the upload, `ignore` them, or `auto`: verify with the extra."""
    attestations_trust_root: str | None = None
    """The file with the keys that attestations are verified with; None for those of the public Sigstore instance."""

    no_drop_in: bool = False
    """Serve the files that were published to the store, and none of those that lie in the directory beside it."""
    overwrite: bool = False
    read_only: bool = False
    experimental: bool = False
    """Whether it serves what follows drafts of standards: publishing sessions (PEP 694)."""
    token_rate: int = 0
    """Requests a minute that a token may make of each worker, if it has no rate of its own; 0: any number."""
    trash_days: float = 7.0
    webhook_networks: tuple[str, ...] = ()
    """Networks to which webhooks are delivered though they are of the server itself; see
    `quire.webhooks.addresses`."""
    webhook_search_seconds: int | None = None
    """Between two searches for events that are not delivered; None: by the kind of the store."""
    """How long deleted files can be restored; 0: not at all."""
    max_upload_size: int = 2 * 1024**3
    """Bytes."""
    body_timeout: float = 60.0
    """Seconds of silence after which an upload is given up."""
    coarse_changes: float = 0.0
    """Seconds in which the file server's change attribute moves on; 0 where it counts changes, as most do."""
    no_fast_path: bool = False
    """Have the general application answer every request."""
    spool_size: int = 256 * 1024**2
    """Bytes of uploads to a bucket that a worker keeps in the temporary directory, all of them together."""
    cache_size: int = 64 * 1024**2
    """Bytes that everything a worker remembers may take together."""

    keep_alive_seconds: int = 75
    """How long a connection may be idle between two requests: longer than load balancers keep theirs, most for 60."""
    drain_seconds: float = 0.0
    """Seconds that the server goes on after SIGTERM, with /ready answering 503, before it stops."""
    metrics: str = "list"
    """Access to /metrics: as for `list`, without login (`open`), with any login (`authenticated`), none (`off`)."""

    verbosity: int = 0
    log_file: str | None = None
    log_stream: str = "stdout"
    """`stdout`, `stderr` or `none`."""
    log_style: str = "human"
    """`human`, in `log_format`, or `json`: an object a line."""
    log_sample: float = 1.0
    """The share, 0 to 1, of the quick and successful downloads and listings that is logged."""
    log_format: str = "%(asctime)s %(levelname)s %(message)s"
    log_request_format: str = "%(bottle.request)s"
    log_response_format: str = "%(status)s"
    log_error_format: str = "%(body)s: %(exception)s \n%(traceback)s"

    sources: tuple[tuple[str, str], ...] = ()
    """The options that were set, each with where, in words; all others have their defaults."""

    @property
    def root(self) -> str:
        """The place of the store: nearly always the directory that carries it."""
        return self.directories[0]

    @property
    def has_logins(self) -> bool:
        """Whether a user can log in: by a password, or by a proxy."""
        return self.passwords is not None or bool(self.user_headers)

    @property
    def user_headers(self) -> tuple[str, ...]:
        """The headers by which trusted proxies identify users, in lower case."""
        signed = LOAD_BALANCER_HEADER if self.alb_arn else None
        return tuple(name for name in (self.user_header, self.groups_header, signed) if name is not None)

    @property
    def folders(self) -> tuple[str, ...]:
        """Those of `directories` that are directories."""
        return self.directories if is_directory(self.root) else self.directories[1:]

    @property
    def drop_in_roots(self) -> tuple[str, ...]:
        """The directories whose files are served in place."""
        return () if self.no_drop_in else self.folders

    @property
    def trash_seconds(self) -> float:
        """`trash_days`, in seconds."""
        return self.trash_days * 86_400

    @property
    def log_level(self) -> str:
        """The name of logging's level; everything is logged from `-vvv` on."""
        return _LEVELS.get(self.verbosity, "NOTSET")

    def dump(self) -> str:
        """The settings as JSON, for QUIRE_SETTINGS."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def load(cls, text: str) -> Settings:
        """The settings that `dump` wrote. Raises ConfigurationError for anything else."""
        try:
            return decode_as(text, cls)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"{SETTINGS_VARIABLE} is not what this version of quire writes ({error}); unset it."
            ) from error


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can be set, and how its value is read."""

    name: str
    """In quire.toml; in upper case after `QUIRE_` the environment variable; argparse's dest."""
    parse: Callable[[object], Any]
    flag: str
    """As error messages name it."""
    borrowed: tuple[str, ...] = ()
    """Other programs' environment variables, weaker than quire.toml."""


OPTIONS = (
    Option("directories", values.places, "the directory"),
    Option("index", values.index_name, "--index"),
    Option("host", network.host, "--host"),
    Option("port", values.integer(0, 65535), "--port", ("PYPISERVER_PORT", "PORT")),
    Option("server", values.one_of(*SERVERS, *UNSUPPORTED_SERVERS), "--server"),
    Option("workers", values.integer(1, 1024), "--workers", ("GUNICORN_WORKERS", "WEB_CONCURRENCY")),
    Option("server_base_url", network.base_path, "--server-base-url"),
    Option("public_url", network.http_url, "--public-url"),
    Option("trusted_proxies", network.networks, "--trusted-proxies"),
    Option("trusted_headers", network.forwarding_headers, "--trusted-headers"),
    Option("allowed_hosts", network.host_names, "--allowed-hosts"),
    Option("accel_redirect", network.internal_locations, "--accel-redirect"),
    Option("downloads", values.one_of("stream", "redirect"), "--downloads"),
    Option("redirect_seconds", values.integer(1, 604_800), "--redirect-seconds"),
    Option("authenticate", values.actions, "--authenticate"),
    Option("rights", values.one_of("store", "settings"), "--rights"),
    Option("passwords", values.password_file, "--passwords"),
    Option("anonymous_uploads", values.boolean, "--anonymous-uploads"),
    Option("user_header", network.user_header, "--user-header"),
    Option("groups_header", network.user_header, "--groups-header"),
    Option("alb_arn", network.load_balancers, "--alb-arn"),
    Option("alb_keys_url", network.http_url, "--alb-keys-url"),
    Option("oidc_issuer", network.issuer, "--oidc-issuer"),
    Option("oidc_client_id", values.line, "--oidc-client-id"),
    Option("oidc_client_secret_file", values.path, "--oidc-client-secret-file"),
    Option("oidc_scopes", network.scopes, "--oidc-scopes"),
    Option("oidc_allowed_groups", network.groups, "--oidc-allowed-groups"),
    Option("session_seconds", values.integer(60, 86_400), "--session-seconds"),
    Option("oidc_user_claim", network.claim, "--oidc-user-claim"),
    Option("oidc_groups_claim", network.claim, "--oidc-groups-claim"),
    Option("disable_fallback", values.boolean, "--disable-fallback"),
    Option("fallback_url", network.http_url, "--fallback-url"),
    Option("upstream", network.http_url, "--upstream"),
    Option("upstream_hosts", network.host_names, "--upstream-hosts"),
    Option("upstream_max_age", values.integer(0, 86_400), "--upstream-max-age"),
    Option("upstream_max_stale", values.integer(0, 3650 * 86_400), "--upstream-max-stale"),
    Option("upstream_offline", values.boolean, "--upstream-offline"),
    Option("upstream_netrc", values.path, "--upstream-netrc"),
    Option("upstream_proxy", network.http_url, "--upstream-proxy"),
    Option("upstream_ca", values.path, "--upstream-ca"),
    Option("mirror_size", values.size, "--mirror-size"),
    Option("declared", values.path, "--declared"),
    Option("local", values.name_patterns, "--local"),
    Option("health_endpoint", network.health_path, "--health-endpoint"),
    Option("welcome", values.path, "--welcome"),
    Option("web_title", values.line, "--web-title"),
    Option("web_logo", values.image, "--web-logo"),
    Option("web_color", values.color, "--web-color"),
    Option("cache_control", values.integer(0), "--cache-control"),
    Option("hash_algo", values.hash_algorithm, "--hash-algo"),
    Option("attestations", values.one_of("auto", "verify", "ignore"), "--attestations"),
    Option("attestations_trust_root", values.path, "--attestations-trust-root"),
    Option("backend", values.one_of("auto", "simple-dir", "cached-dir"), "--backend"),
    Option("drop_in", values.folders, "--drop-in"),
    Option("no_drop_in", values.boolean, "--no-drop-in"),
    Option("overwrite", values.boolean, "--overwrite"),
    Option("read_only", values.boolean, "--read-only"),
    Option("experimental", values.boolean, "--experimental"),
    Option("token_rate", values.rate, "--token-rate"),
    Option("trash_days", values.fraction(3650), "--trash-days"),
    Option("webhook_networks", network.ip_networks, "--webhook-networks"),
    Option("webhook_search_seconds", values.integer(1, 86_400), "--webhook-search-seconds"),
    Option("max_upload_size", values.size, "--max-upload-size"),
    Option("body_timeout", values.seconds, "--body-timeout"),
    Option("coarse_changes", values.tick, "--coarse-changes"),
    Option("no_fast_path", values.boolean, "--no-fast-path"),
    Option("spool_size", values.size, "--spool-size"),
    Option("cache_size", values.size, "--cache-size"),
    Option("keep_alive_seconds", values.integer(1, 86_400), "--keep-alive-seconds"),
    Option("drain_seconds", values.fraction(3600), "--drain-seconds"),
    Option("metrics", values.one_of("list", "open", "authenticated", "off"), "--metrics"),
    Option("verbose", values.integer(0, 9), "--verbose"),
    Option("log_file", values.path, "--log-file"),
    Option("log_stream", values.one_of("stdout", "stderr", "none"), "--log-stream"),
    Option("log_format", values.one_of("human", "json"), "--log-format"),
    Option("log_sample", values.fraction(1), "--log-sample"),
    Option("log_frmt", values.log_format, "--log-frmt"),
    Option("log_req_frmt", values.message_format, "--log-req-frmt"),
    Option("log_res_frmt", values.message_format, "--log-res-frmt"),
    Option("log_err_frmt", values.message_format, "--log-err-frmt"),
)
"""By pypiserver's names, so that its users need not change their commands."""

RUN_DEFAULTS: Mapping[str, Any] = {"log_frmt": "%(asctime)s|%(name)s|%(levelname)s|%(thread)d|%(message)s"}
"""`quire run`: pypiserver's log lines; its other defaults are those of Settings."""

SERVE_DEFAULTS: Mapping[str, Any] = {"host": "127.0.0.1", "verbose": 1, "allowed_hosts": network.LOOPBACK_NAMES}
"""`quire serve`: only this machine reaches it, by this machine's own names, and the log says what happens.

The names are for a loopback host without a proxy before it: else the host has others, which only its operator knows."""
