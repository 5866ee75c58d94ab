"""`quire run` (pypiserver's flags and defaults) and `quire serve` (today's defaults)."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from quire import servers
from quire.commands.run_flags import add_flags
from quire.config.deprecations import in_use
from quire.config.resolving import resolve, unknown_variables
from quire.config.settings import RUN_DEFAULTS, SERVE_DEFAULTS, Settings
from quire.domain.errors import ConfigurationError, QuireError, StoreError, StoreReadOnly, UnknownLayout
from quire.observe import logs

if TYPE_CHECKING:
    from quire.store.contracts import Store

_OFFLINE = "No upstream is asked, and no client is sent to another index (--upstream-offline)."
_OFFLINE_BUT = "No upstream is asked (--upstream-offline), but clients are sent for other projects to"
_MAX_LOGO = 1_000_000
_log = structlog.stdlib.get_logger("quire.run")

_MORE = """\
Every setting is also an environment variable (--max-upload-size: QUIRE_MAX_UPLOAD_SIZE) and a line of quire.toml in
the working directory (max-upload-size = "500M"). A flag is stronger than the variable, the variable than the file.
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `run` and `serve`."""
    run_parser = subparsers.add_parser(
        "run",
        help="serve directories, with the flags and defaults of pypi-server run",
        description="Serve the packages in the directories, and take uploads into the first one. "
        "The flags and defaults are those of 'pypi-server run'.",
        epilog=_MORE,
    )
    run_parser.set_defaults(setting_defaults=RUN_DEFAULTS)
    add_flags(run_parser, host="0.0.0.0", hosts="any")  # noqa: S104 - a text in the help
    serve_parser = subparsers.add_parser(
        "serve",
        help="serve directories to this machine only",
        description="Like 'run', with other defaults: listens on 127.0.0.1, and logs what it does. Uploads need a user "
        "of the -P file; '-a . -P .' allows uploads without a login.",
        epilog=_MORE,
    )
    serve_parser.set_defaults(setting_defaults=SERVE_DEFAULTS)
    add_flags(serve_parser, host="127.0.0.1", hosts="those of this machine, at a loopback address without proxies")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it. Raises ConfigurationError when that cannot even begin."""
    flags = vars(arguments) | {"directories": arguments.directories or None}
    settings = resolve(flags, os.environ, arguments.setting_defaults, arguments.config)
    logs.configure(settings)
    for sentence in (*unknown_variables(os.environ), *in_use(settings)):
        _log.warning(sentence)
    settings, grants_decide = prepare(settings)
    return servers.run(settings, grants_decide=grants_decide)


def prepare(settings: Settings) -> tuple[Settings, bool]:
    """Check all files that the settings name; the same settings, read-only on a volume that is mounted so,
    and whether the store's grants decide.

    Raises ConfigurationError when a directory or file cannot be used, or not as the settings say.
    """
    # The flags' help needs no application. Workers import the first of these: forked, they have it already.
    import quire.http.entry  # noqa: F401, PLC0415 - see above
    from quire.http.app.application import create_application  # noqa: PLC0415 - as above
    from quire.http.app.building import blob_options_of  # noqa: PLC0415 - as above
    from quire.operations.declaring.reading import read_file  # noqa: PLC0415 - as above
    from quire.store.opening import open_store  # noqa: PLC0415 - as above
    from quire.store.posix.filesystem import filesystem_type, is_tested  # noqa: PLC0415 - as above
    from quire.store.posix.layout import check_directory  # noqa: PLC0415 - as above

    for directory in settings.folders:
        check_directory(directory)
        _check_directory(directory)
    for file, flag in (
        (settings.passwords, "--passwords"),
        (settings.welcome, "--welcome"),
        (settings.web_logo, "--web-logo"),
        (settings.oidc_client_secret_file, "--oidc-client-secret-file"),
        (settings.attestations_trust_root, "--attestations-trust-root"),
    ):
        if file is not None:
            _check_file(file, flag)
    try:
        store = open_store(
            settings.root,
            create=not settings.read_only,
            read_only=settings.read_only,
            coarse_changes=settings.coarse_changes,
            blob_options=blob_options_of(settings),
        )
        settings, has_tokens, grants_decide = _asked(settings, store)
        # Made once here, for the errors that it finds as much as for the workers: forked, they share its modules.
        # They find its warnings as well, and one of them logs these.
        logging.disable(logging.WARNING)
        create_application(settings)
        if settings.declared is not None:
            read_file(settings.declared)
    except QuireError as error:
        raise ConfigurationError(str(error)) from error
    finally:
        logging.disable(logging.NOTSET)
    if not (settings.read_only or store.writable):
        if not os.statvfs(settings.root).f_flag & os.ST_RDONLY:
            raise ConfigurationError(
                f"The directory {settings.root} cannot be written by this user (uid {os.geteuid()}), so no user could "
                "publish; give it the right to write there and in its folder quire/, or serve with --read-only."
            )
        _log.warning(f"The directory {settings.root} is mounted read-only; serving it so, without uploads.")
        settings = msgspec.structs.replace(settings, read_only=True)
    for directory in settings.folders:
        kind, _ = filesystem_type(directory)
        if not is_tested(kind):
            _log.warning(
                f"The directory {directory} is on a file system ({kind}) on which servers may not see each other's "
                f"changes; 'quire doctor {directory}' checks that."
            )
    if settings.upstream_offline:
        _log.info(_OFFLINE if settings.fallback_url is None else f"{_OFFLINE_BUT} {settings.fallback_url}.")
    if settings.authenticate and not (has_tokens or settings.user_headers or settings.oidc_issuer):
        _warn_of_no_logins(settings)
    return settings, grants_decide


def _warn_of_no_logins(settings: Settings) -> None:
    """Where neither tokens nor others identify users: warn if the password file does not, either."""
    from quire.access.passwords import has_users  # noqa: PLC0415 - as in `prepare`

    denied = f"No user can {' or '.join(settings.authenticate)}"
    if settings.passwords is None:
        takes_tokens = settings.rights == "store"
        nor, way = (
            (", and the store has no token", ", make a token with 'quire token create'") if takes_tokens else ("", "")
        )
        _log.warning(
            f"{denied}: that needs a login, and there is no password file{nor}. "
            f"Make one with 'quire passwd' and give it with -P{way}, or give '-a . -P .' for no authentication."
        )
    elif not has_users(settings.passwords):
        _log.warning(
            f"{denied} yet: that needs a login, and no user of {settings.passwords} can log in. Add one with "
            "'quire passwd'; no restart is needed."
        )


def _asked(settings: Settings, store: Store) -> tuple[Settings, bool, bool]:
    """The same settings, read-only where the credentials for the bucket only allow to read it, whether the store has
    tokens or trusted publishers that count, and whether its grants decide.

    Asks the store what opening it did not; in a process of its own where a library would start threads.
    Raises ConfigurationError, StoreError.
    """
    from quire.operations.opening import has_tokens, rules_of_grants, unnamed_mirrors  # noqa: PLC0415 - as in `prepare`
    from quire.process.apart import run_apart  # noqa: PLC0415 - as in `prepare`
    from quire.store.opening import is_directory  # noqa: PLC0415 - as in `prepare`

    if is_directory(settings.root):
        _log_mirrors(unnamed_mirrors(store, settings), settings)
        rules = rules_of_grants(store, settings)
        return settings, has_tokens(store, settings), _log_rules(rules, settings)

    def ask() -> tuple[str | None, str | None, bool, StoreReadOnly | None]:
        read_only = None
        try:
            store.probe()
        except StoreReadOnly as error:
            read_only = error
        mirrors = unnamed_mirrors(store, settings)
        return rules_of_grants(store, settings), mirrors, has_tokens(store, settings), read_only

    try:
        rules, mirrors, are_tokens, read_only = run_apart(ask)  # in one process, as each one pays for its connections
    except UnknownLayout:
        raise
    except StoreError as error:
        raise ConfigurationError(f"{error} To examine the bucket, run 'quire doctor {settings.root}'.") from error
    if read_only is not None:
        _log.warning(f"{read_only} Until then {settings.root} is served read-only, without uploads.")
        settings = msgspec.structs.replace(settings, read_only=True)
    _log_mirrors(mirrors, settings)
    return settings, are_tokens, _log_rules(rules, settings)


def _log_mirrors(sentence: str | None, settings: Settings) -> None:
    """Log what `unnamed_mirrors` says: a warning where a mirror is meant to be served."""
    if sentence is None:
        return
    if settings.upstream is not None or settings.upstream_offline:
        _log.warning(sentence)
    else:
        _log.info(sentence)


def _log_rules(sentence: str | None, settings: Settings) -> bool:
    """Log what `rules_of_grants` says; whether grants decide."""
    if sentence is not None:
        _log.info(sentence)
    return sentence is not None and settings.rights == "store"


def _check_directory(directory: str) -> None:
    try:
        with os.scandir(directory) as entries:
            next(entries, None)
        os.stat(f"{directory}/.")  # fails where names can be listed, but not reached
    except OSError as error:
        raise ConfigurationError(
            f"The directory {directory} cannot be served: {os.strerror(error.errno or 0)}; "
            "create it, give this user the right to read it, or name another one."
        ) from error


def _check_file(file: str, flag: str) -> None:
    try:
        with Path(file).open("rb") as opened:
            size = len(opened.read(_MAX_LOGO + 1))
    except OSError as error:
        raise ConfigurationError(
            f"{flag}: the file {file} cannot be read ({os.strerror(error.errno or 0)})."
        ) from error
    if flag == "--web-logo" and size > _MAX_LOGO:
        raise ConfigurationError(f"{flag}: the file {file} has more than {_MAX_LOGO:,} bytes; give a smaller image.")
