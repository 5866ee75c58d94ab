"""The settings that flags, environment, configuration file and defaults make together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from quire.config import network, values
from quire.config.settings import (
    DECLARED_TABLES,
    DEFAULT_FALLBACK_URL,
    OPTIONS,
    RUN_DEFAULTS,
    SERVE_DEFAULTS,
    SETTINGS_VARIABLE,
    Option,
    Settings,
)
from quire.config.sign_on import check_sign_on
from quire.config.suggestions import did_you_mean
from quire.domain.errors import ConfigurationError, reason_of
from quire.store.opening import BUCKETS, has_scheme, is_in_memory

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
    *(
        "directories",
        "drop_in",
        "passwords",
        "welcome",
        "web_logo",
        "log_file",
        "oidc_client_secret_file",
        "upstream_netrc",
    ),
    *("upstream_ca", "declared"),
}
"""Paths, which are relative to the file that has them."""
_NOT_FIELDS = {"anonymous_uploads", "backend", "disable_fallback", "drop_in", "fallback_url", "passwords"}
_OF_OTHERS = {"anonymous_uploads", "backend", "disable_fallback", "drop_in"}
"""Options that are no fields; `backend` has no effect."""


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
    sources: list[tuple[str, str]] = []
    for option in OPTIONS:
        source = _strongest(option, flags, environ, file, table)
        if source is None:
            continue
        given[option.name] = _parsed(option, source)
        sources.append((option.name, source.name))
        if option.name == "workers":
            given["workers_chosen"] = not source.borrowed
    return msgspec.structs.replace(_combine(given, defaults), sources=tuple(sources))


_SERVICE_LINK = re.compile(
    r"QUIRE_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
OTHER_VARIABLES = (
    "QUIRE_CONFIG",
    "QUIRE_OIDC_CLIENT_SECRET",  # a secret, and settings are shown
    *("QUIRE_URL", "QUIRE_TOKEN"),  # of commands that work over the API of a server
    # the image reads these
    *("QUIRE_HTPASSWD", "QUIRE_USER", "QUIRE_PASSWORD", "QUIRE_PASSWORD_FILE"),
)
"""Variables of the environment that are read, and are no settings."""
_OF_COMPOSE = ("QUIRE_BACKUPS", "QUIRE_BUCKET", "QUIRE_IMAGE", "QUIRE_LISTEN", "QUIRE_TMP_SIZE")
"""The files of deploy/compose read these, from the shell in which people use quire as well."""
_OWN_VARIABLES = (*OTHER_VARIABLES, *_OF_COMPOSE, SETTINGS_VARIABLE, "QUIRE_RUNTIME")
"""Those that need no warning: also the ones by which processes of quire speak with each other."""


def in_force(settings: Settings) -> dict[str, Any]:
    """The value of each option, by its name: of one that is a part of other settings, what they say."""
    fields = {option.name: _FIELDS.get(option.name, option.name) for option in OPTIONS if option.name not in _OF_OTHERS}
    return {name: getattr(settings, field) for name, field in fields.items()} | {
        "drop_in": settings.directories[1:],
        "disable_fallback": settings.fallback_url is None,
        "anonymous_uploads": bool(settings.authenticate) and "update" not in settings.authenticate,
    }


def own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what Kubernetes puts there for services called `quire`, `quire-...` or `pypiserver`, in
    every container that starts after them (kubernetes.io, Service, Discovering services). Two such names are those of a
    setting: QUIRE_PORT and PYPISERVER_PORT, there an address such as tcp://10.0.0.1:8080.
    """
    return {name: value for name, value in environ.items() if not _is_service_link(name, value)}


def _is_service_link(name: str, value: str) -> bool:
    if name in {"QUIRE_PORT", "PYPISERVER_PORT"}:
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
        if name.startswith("QUIRE_") and name not in _OWN_VARIABLES and name not in settings:
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


def _parsed(option: Option, source: _Source) -> Any:
    """The value of an option. Raises ConfigurationError."""
    if isinstance(source.raw, dict):
        hint = did_you_mean(option.name, DECLARED_TABLES)
        raise ConfigurationError(f"{source.name}: it is a table, and no setting is one{hint}.")
    try:
        return option.parse(source.raw)
    except ValueError as error:
        raise ConfigurationError(f"{source.name}: {error}.") from None


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
    _, table = _read_config_file(file, {})
    for option in OPTIONS:  # a table that is misspelt as a setting must not be taken for nothing: --prune acts on it
        if option.name in table:
            _parsed(option, _Source(f"{option.name} in {file}", table[option.name]))
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
        own = network.is_loopback(fields["host"]) and not fields.get("trusted_proxies")
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
    default = None if given.get("upstream_offline") else DEFAULT_FALLBACK_URL
    fields["fallback_url"] = None if disabled else given.get("fallback_url", default)
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
