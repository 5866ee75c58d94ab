"""Settings: frozen, checked once, the same in every process.

A value comes from the first of these that has one: a flag, a `QUIRE_*` environment variable, `quire.toml` (in the
working directory, or named by `--config` or QUIRE_CONFIG), a variable that other programs use for it (PORT), the
command's default. An error is one sentence that names the source of the value.

Servers start worker processes, by fork or as new programs. They all build the application from the one environment
variable QUIRE_SETTINGS, which the command that started them filled: `Settings.dump` and `Settings.load`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from quire.config import values
from quire.config.sign_on import LOAD_BALANCER_HEADER, check_sign_on
from quire.config.suggestions import did_you_mean
from quire.domain.errors import ConfigurationError, reason_of
from quire.store.opening import BUCKETS, has_scheme, is_directory, is_in_memory

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
            return msgspec.json.decode(text, type=cls)
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
    Option("host", values.host, "--host"),
    Option("port", values.integer(0, 65535), "--port", ("PYPISERVER_PORT", "PORT")),
    Option("server", values.one_of(*SERVERS, *UNSUPPORTED_SERVERS), "--server"),
    Option("workers", values.integer(1, 1024), "--workers", ("GUNICORN_WORKERS", "WEB_CONCURRENCY")),
    Option("server_base_url", values.base_path, "--server-base-url"),
    Option("public_url", values.http_url, "--public-url"),
    Option("trusted_proxies", values.networks, "--trusted-proxies"),
    Option("trusted_headers", values.forwarding_headers, "--trusted-headers"),
    Option("allowed_hosts", values.host_names, "--allowed-hosts"),
    Option("accel_redirect", values.internal_locations, "--accel-redirect"),
    Option("downloads", values.one_of("stream", "redirect"), "--downloads"),
    Option("redirect_seconds", values.integer(1, 604_800), "--redirect-seconds"),
    Option("authenticate", values.actions, "--authenticate"),
    Option("rights", values.one_of("store", "settings"), "--rights"),
    Option("passwords", values.password_file, "--passwords"),
    Option("anonymous_uploads", values.boolean, "--anonymous-uploads"),
    Option("user_header", values.user_header, "--user-header"),
    Option("groups_header", values.user_header, "--groups-header"),
    Option("alb_arn", values.load_balancers, "--alb-arn"),
    Option("alb_keys_url", values.http_url, "--alb-keys-url"),
    Option("oidc_issuer", values.issuer, "--oidc-issuer"),
    Option("oidc_client_id", values.line, "--oidc-client-id"),
    Option("oidc_client_secret_file", values.path, "--oidc-client-secret-file"),
    Option("oidc_scopes", values.scopes, "--oidc-scopes"),
    Option("oidc_allowed_groups", values.groups, "--oidc-allowed-groups"),
    Option("session_seconds", values.integer(60, 86_400), "--session-seconds"),
    Option("oidc_user_claim", values.claim, "--oidc-user-claim"),
    Option("oidc_groups_claim", values.claim, "--oidc-groups-claim"),
    Option("disable_fallback", values.boolean, "--disable-fallback"),
    Option("fallback_url", values.http_url, "--fallback-url"),
    Option("upstream", values.http_url, "--upstream"),
    Option("upstream_hosts", values.host_names, "--upstream-hosts"),
    Option("upstream_max_age", values.integer(0, 86_400), "--upstream-max-age"),
    Option("upstream_max_stale", values.integer(0, 3650 * 86_400), "--upstream-max-stale"),
    Option("upstream_offline", values.boolean, "--upstream-offline"),
    Option("upstream_netrc", values.path, "--upstream-netrc"),
    Option("upstream_proxy", values.http_url, "--upstream-proxy"),
    Option("upstream_ca", values.path, "--upstream-ca"),
    Option("mirror_size", values.size, "--mirror-size"),
    Option("declared", values.path, "--declared"),
    Option("local", values.name_patterns, "--local"),
    Option("health_endpoint", values.health_path, "--health-endpoint"),
    Option("welcome", values.path, "--welcome"),
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
    Option("webhook_networks", values.ip_networks, "--webhook-networks"),
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

_FIELDS = {
    "hash_algo": "hash_algorithm",
    "verbose": "verbosity",
    "log_format": "log_style",
    "log_frmt": "log_format",
    "log_req_frmt": "log_request_format",
    "log_res_frmt": "log_response_format",
    "log_err_frmt": "log_error_format",
}
_PATHS = {
    *("directories", "drop_in", "passwords", "welcome", "log_file", "oidc_client_secret_file", "upstream_netrc"),
    *("upstream_ca", "declared"),
}
"""Paths, which are relative to the file that has them."""
_NOT_FIELDS = {"anonymous_uploads", "backend", "disable_fallback", "drop_in", "fallback_url", "passwords"}

RUN_DEFAULTS: Mapping[str, Any] = {"log_frmt": "%(asctime)s|%(name)s|%(levelname)s|%(thread)d|%(message)s"}
"""`quire run`: pypiserver's log lines; its other defaults are those of Settings."""

SERVE_DEFAULTS: Mapping[str, Any] = {"host": "127.0.0.1", "verbose": 1, "allowed_hosts": values.LOOPBACK_NAMES}
"""`quire serve`: only this machine reaches it, by this machine's own names, and the log says what happens.

The names are for a loopback host without a proxy before it: else the host has others, which only its operator knows."""


def resolve(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    defaults: Mapping[str, Any] = RUN_DEFAULTS,
    config_file: str | None = None,
) -> Settings:
    """The settings that flags, environment, configuration file and defaults make together.

    `flags` and `defaults` are by option name; a flag that is None was not given. `config_file` is the one named by
    `--config`; when None, QUIRE_CONFIG and then ./quire.toml are tried.
    Raises ConfigurationError for the first value that is wrong, and for values that do not fit together.
    """
    environ = own_variables(environ)
    file, table = _read_config_file(config_file, environ)
    given: dict[str, Any] = {}
    for option in OPTIONS:
        source = _strongest(option, flags, environ, file, table)
        if source is None:
            continue
        try:
            given[option.name] = option.parse(source.raw)
        except ValueError as error:
            raise ConfigurationError(f"{source.name}: {error}.") from None
        if option.name == "workers":
            given["workers_chosen"] = not source.borrowed
    return _combine(given, defaults)


_SERVICE_LINK = re.compile(
    r"QUIRE_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
_OTHER_VARIABLES = {
    *("QUIRE_CONFIG", SETTINGS_VARIABLE, "QUIRE_RUNTIME"),
    "QUIRE_OIDC_CLIENT_SECRET",  # a secret, and settings are shown
    *("QUIRE_URL", "QUIRE_TOKEN"),  # of commands that work over the API of a server
    # the image reads these
    *("QUIRE_HTPASSWD", "QUIRE_USER", "QUIRE_PASSWORD", "QUIRE_PASSWORD_FILE"),
}


def own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what Kubernetes puts there for services called `quire` or `quire-...`, in every container
    that starts after them (kubernetes.io, Service, Discovering services). One such name is that of a setting:
    QUIRE_PORT, there an address such as tcp://10.0.0.1:8080.
    """
    return {name: value for name, value in environ.items() if not _is_service_link(name, value)}


def _is_service_link(name: str, value: str) -> bool:
    if name == "QUIRE_PORT":
        return value.startswith(("tcp://", "udp://", "sctp://"))
    return _SERVICE_LINK.fullmatch(name) is not None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that is named like a setting and is none: most likely it is misspelt.

    No error, unlike an unknown name in quire.toml: the environment belongs to others too, and a variable that appears
    in it must not keep a server from starting.
    """
    settings = [f"QUIRE_{option.name.upper()}" for option in OPTIONS]
    sentences = []
    for name in sorted(own_variables(environ)):
        if name.startswith("QUIRE_") and name not in _OTHER_VARIABLES and name not in settings:
            hint = did_you_mean(name, settings)
            sentences.append(f"The environment variable {name} is no setting of quire and has no effect{hint}.")
    return sentences


def from_environment(environ: Mapping[str, str]) -> Settings:
    """The settings of a process that no command of ours started, or that one did: QUIRE_SETTINGS if it is there.

    Without it, `QUIRE_*` and quire.toml are read as `quire serve` reads them. Raises ConfigurationError.
    """
    dumped = environ.get(SETTINGS_VARIABLE)
    if dumped:
        return Settings.load(dumped)
    # the server is not ours: where it listens is not known
    return resolve({}, environ, {**SERVE_DEFAULTS, "allowed_hosts": ()})


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a value was found, and the value as it stands there."""

    name: str
    raw: object
    borrowed: bool = False


def _strongest(
    option: Option, flags: Mapping[str, object], environ: Mapping[str, str], file: str, table: Mapping[str, object]
) -> _Source | None:
    """The source that decides the option; None when it is set nowhere."""
    if flags.get(option.name) is not None:
        return _Source(option.flag, flags[option.name])
    if (variable := f"QUIRE_{option.name.upper()}") in environ:
        return _Source(f"The environment variable {variable}", environ[variable])
    if option.name in table:
        return _Source(f"{option.name} in {file}", table[option.name])
    for variable in option.borrowed:
        if environ.get(variable):  # an empty PORT= is how compose files spell "not set"
            return _Source(f"The environment variable {variable}", environ[variable], borrowed=True)
    return None


def _read_config_file(named: str | None, environ: Mapping[str, str]) -> tuple[str, dict[str, object]]:
    """The configuration file's name and its table, empty when there is no file. Paths in it are relative to it."""
    file = named or environ.get("QUIRE_CONFIG")
    if file is None and not Path("quire.toml").exists():
        return "quire.toml", {}
    file = file or "quire.toml"
    table = {key.replace("-", "_"): value for key, value in _read_toml(file).items()}
    if [name for name in DECLARED_TABLES if table.pop(name, None)]:
        table.setdefault("declared", str(Path(file).expanduser().absolute()))
    if unknown := sorted(table.keys() - {option.name for option in OPTIONS}):
        raise ConfigurationError(
            f"{file} sets {unknown[0]!r}, which is no setting of quire"
            f"{did_you_mean(unknown[0], [option.name for option in OPTIONS])}; the settings are "
            f"{', '.join(sorted(option.name for option in OPTIONS))}."
        )
    folder = Path(file).expanduser().absolute().parent
    for name in ("directories", "drop_in"):
        if isinstance(table.get(name), str):
            table[name] = [table[name]]  # TOML has lists; a colon in its text is part of the path
    for name in table.keys() & _PATHS:
        table[name] = _relative_to(folder, table[name])
    return file, table


def _read_toml(file: str) -> dict[str, Any]:
    """The tables of a configuration file. Raises ConfigurationError."""
    import tomllib  # noqa: PLC0415 - a parser, only for configuration files

    try:
        return tomllib.loads(Path(file).expanduser().read_bytes().decode())
    except FileNotFoundError:
        raise ConfigurationError(f"The configuration file {file} does not exist.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The configuration file {file} is not TOML: {error}.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"The configuration file {file} cannot be read: {reason_of(error)}.") from error


def read_declared(file: str) -> dict[str, Any]:
    """The tables of a configuration file that declare something (`quire.operations.declaring`), by name; its settings
    must be right, too.

    Raises ConfigurationError.
    """
    _read_config_file(file, {})
    return {name: value for name, value in _read_toml(file).items() if name in DECLARED_TABLES}


def _relative_to(folder: Path, raw: object) -> object:
    """A path of the configuration file, made absolute; any other value stays as it is, for its parser to refuse."""
    if isinstance(raw, list):
        return [_relative_to(folder, item) for item in raw]
    if not isinstance(raw, str) or not raw.strip() or raw == "." or raw.startswith("~") or has_scheme(raw):
        return raw
    return str(folder / raw)


def _combine(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Settings:
    """Settings from parsed values; the rules between settings are here."""
    merged = {**defaults, **given}
    fields = {_FIELDS.get(name, name): value for name, value in merged.items() if name not in _NOT_FIELDS}
    if "directories" not in fields:
        try:
            fields["directories"] = (values.path("~/packages"),)
        except ValueError:  # a user id without a name, and no HOME: there is no home to look in
            raise ConfigurationError("This user has no home, where ~/packages would be; name the directory.") from None
    fields["directories"] = tuple(dict.fromkeys((*fields["directories"], *merged.get("drop_in", ()))))
    fields.setdefault("workers", 1 if is_in_memory(fields["directories"][0]) else usable_cores())
    check_workers(fields["directories"][0], fields["workers"])
    if "allowed_hosts" not in given and fields.get("allowed_hosts"):
        own = values.is_loopback(fields["host"]) and not fields.get("trusted_proxies")
        fields["allowed_hosts"] = (*fields["allowed_hosts"], fields["host"].lower()) if own else ()
    prefix, health = str(fields.get("server_base_url", "")), str(fields.get("health_endpoint", ""))
    if prefix and f"{health}/".startswith(f"{prefix}/"):
        raise ConfigurationError(
            f"--health-endpoint is below --server-base-url already; leave {prefix} out of {health} or choose another."
        )
    authenticate, passwords = fields.get("authenticate", ("update",)), given.get("passwords")
    # pypiserver's rule: switching off authentication must be said twice, so that it does not happen by mistake
    if (passwords == ".") != (authenticate == ()):
        raise ConfigurationError(
            "To serve without any authentication give both '-a .' and '-P .'; "
            "to authenticate give neither, but actions to -a and an htpasswd file to -P."
        )
    fields["passwords"] = None if passwords == "." else passwords
    _check_uploads(
        authenticate, anonymous=given.get("anonymous_uploads", False), read_only=fields.get("read_only", False)
    )
    check_sign_on(fields)
    if fields.get("rights") == "settings" and fields.get("oidc_issuer") is not None:
        raise ConfigurationError(
            "The login page (--oidc-issuer) keeps its key beside the grants of the store, which --rights settings does "
            "not read; leave one of them out."
        )
    if fields.get("attestations") == "ignore" and fields.get("attestations_trust_root"):
        raise ConfigurationError(
            "--attestations-trust-root is for verifying attestations, and --attestations ignore verifies none; leave "
            "one of them out."
        )
    if fields.get("no_drop_in") and len(fields["directories"]) > 1:
        raise ConfigurationError(
            "--no-drop-in serves the store alone, which is in the first directory; name no further directories "
            "(--drop-in), or serve drop-in files."
        )
    if len(fields.get("accel_redirect", ())) > len(fields["directories"]):
        raise ConfigurationError(
            "--accel-redirect names more locations than there are directories; give at most one for each directory."
        )
    if fields.get("accel_redirect") and not fields.get("trusted_proxies"):
        raise ConfigurationError(
            "--accel-redirect is for trusted proxies only, and there are none; name them with --trusted-proxies."
        )
    if fields.get("downloads") == "redirect" and urlsplit(fields["directories"][0]).scheme not in BUCKETS:
        raise ConfigurationError(
            "--downloads redirect sends clients to a bucket, and this store is in none; leave it out, or have a proxy "
            "send the files of a directory (--accel-redirect)."
        )
    disabled = given.get("disable_fallback", False) or "upstream" in given
    fields["fallback_url"] = None if disabled else given.get("fallback_url", DEFAULT_FALLBACK_URL)
    return Settings(**fields)


def check_workers(place: str, workers: int) -> None:
    """Refuse several workers over a store that each of them would have for itself. Raises ConfigurationError."""
    if is_in_memory(place) and workers > 1:
        raise ConfigurationError(
            f"{place} is a store in the memory of one process, and {workers} workers would have {workers} different "
            "ones; serve it with one worker, or name a directory."
        )


def _check_uploads(authenticate: tuple[str, ...], *, anonymous: bool, read_only: bool) -> None:
    """Refuse logins that protect reading and leave publishing open, unless that was asked for in so many words.

    pypiserver reads `-a download,list` as "uploads need no login", which few people mean when they write it.
    """
    if not authenticate or read_only:
        return
    if "update" not in authenticate and not anonymous:
        raise ConfigurationError(
            f"With '-a {','.join(authenticate)}' uploads would need no login; add 'update' to -a, or give "
            "--anonymous-uploads if that is what you want, or --read-only to refuse all uploads."
        )
    if "update" in authenticate and anonymous:
        raise ConfigurationError(
            "--anonymous-uploads contradicts --authenticate, which asks for a login to update; leave 'update' out of "
            "-a, or leave --anonymous-uploads out."
        )


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processors this process may use: those it may run on, and no more than a container's quota, rounded up.

    A container with a quota of half a processor still runs on all of its machine's, half a processor's time in all.
    `cgroup`: where cpu.max (cgroups v2, see cgroups(7)) or cpu/cpu.cfs_quota_us and its period (v1) are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = map(int, " ".join((cgroup / file).read_text() for file in files).split())
        except (OSError, ValueError):  # no such cgroups, or "max": no quota
            continue
        if quota > 0 and period > 0:
            cores = min(cores, -(-quota // period))
    return max(1, cores)
