"""`quire run` (pypiserver's flags and defaults) and `quire serve` (today's defaults)."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from quire import __version__, servers
from quire.config.settings import (
    DEFAULT_FALLBACK_URL,
    RUN_DEFAULTS,
    SERVE_DEFAULTS,
    SERVERS,
    Settings,
    resolve,
    unknown_variables,
)
from quire.domain.errors import ConfigurationError, QuireError, StoreError, StoreReadOnly, UnknownLayout
from quire.observe import logs

if TYPE_CHECKING:
    from quire.store.contracts import Store

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
    _add_flags(run_parser, host="0.0.0.0", hosts="any")  # noqa: S104 - a text in the help
    serve_parser = subparsers.add_parser(
        "serve",
        help="serve directories to this machine only",
        description="Like 'run', with other defaults: listens on 127.0.0.1, and logs what it does. Uploads need a user "
        "of the -P file; '-a . -P .' allows uploads without a login.",
        epilog=_MORE,
    )
    serve_parser.set_defaults(setting_defaults=SERVE_DEFAULTS)
    _add_flags(serve_parser, host="127.0.0.1", hosts="those of this machine, at a loopback address without proxies")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it. Raises ConfigurationError when that cannot even begin."""
    flags = vars(arguments) | {"directories": arguments.directories or None}
    settings = resolve(flags, os.environ, arguments.setting_defaults, arguments.config)
    logs.configure(settings)
    for sentence in unknown_variables(os.environ):
        _log.warning(sentence)
    return servers.run(prepare(settings))


def prepare(settings: Settings) -> Settings:
    """Check all files that the settings name; the same settings, read-only on a volume that is mounted so.

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
        settings, has_tokens = _asked(settings, store)
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
    if settings.authenticate and not (has_tokens or settings.user_headers or settings.oidc_issuer):
        _warn_of_no_logins(settings)
    return settings


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


def _asked(settings: Settings, store: Store) -> tuple[Settings, bool]:
    """The same settings, read-only where the credentials for the bucket only allow to read it, and whether the store
    has tokens or trusted publishers that count.

    Asks the store what opening it did not; in a process of its own where a library would start threads.
    Raises ConfigurationError, StoreError.
    """
    from quire.operations.opening import has_tokens, rules_of_grants  # noqa: PLC0415 - as in `prepare`
    from quire.process.apart import run_apart  # noqa: PLC0415 - as in `prepare`
    from quire.store.opening import is_directory  # noqa: PLC0415 - as in `prepare`

    if is_directory(settings.root):
        _log_rules(rules_of_grants(store, settings))
        return settings, has_tokens(store, settings)

    def ask() -> tuple[str | None, bool, StoreReadOnly | None]:
        read_only = None
        try:
            store.probe()
        except StoreReadOnly as error:
            read_only = error
        return rules_of_grants(store, settings), has_tokens(store, settings), read_only

    try:
        rules, are_tokens, read_only = run_apart(ask)  # in one process, as each one pays for its connections
    except UnknownLayout:
        raise
    except StoreError as error:
        raise ConfigurationError(f"{error} To examine the bucket, run 'quire doctor {settings.root}'.") from error
    if read_only is not None:
        _log.warning(f"{read_only} Until then {settings.root} is served read-only, without uploads.")
        settings = msgspec.structs.replace(settings, read_only=True)
    _log_rules(rules)
    return settings, are_tokens


def _log_rules(sentence: str | None) -> None:
    if sentence is not None:
        _log.info(sentence)


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
            opened.read(1)
    except OSError as error:
        raise ConfigurationError(
            f"{flag}: the file {file} cannot be read ({os.strerror(error.errno or 0)})."
        ) from error


def _add_upstream_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--upstream",
        metavar="URL",
        help="mirror this index behind the projects of this one: its pages and files are fetched when a client asks "
        "for them, verified, and kept in the store; a name that is or ever was local is never asked there",
    )
    add(
        "--upstream-hosts",
        metavar="HOST",
        help="hosts of the upstream's files, with commas, that may have addresses which are not public",
    )
    add(
        "--upstream-max-age",
        metavar="SECONDS",
        help="serve a page of the upstream so long without asking (default: 600)",
    )
    add(
        "--upstream-max-stale",
        metavar="SECONDS",
        help="serve a page of the upstream so long while it cannot be asked (default: 2592000, 30 days)",
    )
    add(
        "--upstream-offline",
        action="store_const",
        const=True,
        help="ask no upstream: serve what is kept of them, and nothing else",
    )
    add(
        "--upstream-netrc",
        metavar="FILE",
        help="a netrc file with the logins of upstreams, by host; read again when it has changed",
    )
    add(
        "--declared",
        metavar="FILE",
        help="a configuration file with indexes; differences from the store are reported (log, metrics, /ready), never "
        "applied: 'quire apply' does that (default: the configuration file, if it declares indexes)",
    )
    add(
        "--upstream-proxy",
        metavar="URL",
        help="ask upstreams through this proxy, but for hosts of NO_PROXY (default: HTTPS_PROXY and HTTP_PROXY)",
    )
    add(
        "--upstream-ca",
        metavar="FILE",
        help="a PEM file with further authorities that sign the certificates of upstreams",
    )
    add(
        "--mirror-size",
        metavar="SIZE",
        help="keep at most so many bytes of files of upstreams, e.g. 50G; those that were not used longest are removed "
        "first (default: no bound)",
    )


def _add_flags(parser: argparse.ArgumentParser, host: str, hosts: str) -> None:
    """All flags. Each one is text or absent here; `resolve` reads it, as it reads the variable and the file."""
    add = parser.add_argument
    add(
        "directories",
        nargs="*",
        metavar="DIRECTORY",
        help="directories to serve (default: ~/packages); the first one, or a bucket in its place "
        "(s3://bucket/prefix), carries the store, in its folder quire/, and takes uploads",
    )
    add("--config", metavar="FILE", help="a configuration file (default: quire.toml in the working directory)")
    add("--version", action="version", version=f"quire {__version__}")
    listening = parser.add_argument_group("listening")
    add = listening.add_argument
    add("-p", "--port", help="listen on PORT (default: 8080); 0 takes a free one")
    add("-i", "-H", "--interface", "--host", dest="host", metavar="ADDRESS", help=f"listen on ADDRESS ({host})")
    add(
        "--server",
        metavar="METHOD",
        help=f"the HTTP server: {', '.join(SERVERS)} (default: auto, which is uvicorn); gunicorn.conf.py and "
        "GUNICORN_CMD_ARGS are honoured by gunicorn; pypiserver's other values, and granian, mean auto",
    )
    add("--workers", metavar="N", help="worker processes (default: the processors that may be used)")
    _add_address_flags(parser)
    add(
        "--trusted-proxies",
        metavar="NETWORKS",
        help="addresses and networks of proxies, whose --trusted-headers are believed; 'unix': peers connected "
        "by a Unix socket, '*': everything",
    )
    add(
        "--trusted-headers",
        metavar="NAMES",
        help="the headers that these proxies set or clear, with commas: x-forwarded-for, x-forwarded-proto, "
        "x-forwarded-host, x-forwarded-prefix, forwarded (default: the first two)",
    )
    add(
        "--allowed-hosts",
        metavar="NAMES",
        help="answer to these names of the server only, with commas, '*.' before a name for all below it: protects "
        f"from pages that lead a name of theirs to this address (default: {hosts})",
    )
    add(
        "--accel-redirect",
        metavar="LOCATIONS",
        help="let a trusted proxy send downloads, by X-Accel-Redirect: its internal location for the directory, "
        "e.g. /_files/; with commas for several directories (default: none)",
    )
    add(
        "--downloads",
        metavar="HOW",
        help="with a bucket: stream (the default: quire sends the files) or redirect (it sends clients to the bucket, "
        "by signed URLs)",
    )
    add(
        "--redirect-seconds",
        metavar="SECONDS",
        help="how long such a URL is valid, also for others that learn it (default: 600)",
    )
    add(
        "--keep-alive-seconds",
        metavar="SECONDS",
        help="keep idle connections for so long: longer than a load balancer before it does (default: 75)",
    )
    add(
        "--drain-seconds",
        metavar="SECONDS",
        help="after SIGTERM go on serving for so long, while /ready answers 503, so that load balancers notice "
        "(default: 0)",
    )
    access = parser.add_argument_group("access")
    add = access.add_argument
    add(
        "-a",
        "--authenticate",
        metavar="ACTIONS",
        help="what needs a login: download, list, update, with commas (default: update); '-a . -P .' for nothing; "
        "where the store has grants, they decide",
    )
    add(
        "-P",
        "--passwords",
        metavar="FILE",
        help="an htpasswd file, as 'quire passwd' makes it; it is read again when it changes",
    )
    add(
        "--rights",
        metavar="FROM",
        help="store (the default: the grants and tokens of the store count, and each request reads them) or settings "
        "(-a and -P alone decide: fewer requests to a bucket, and no tokens)",
    )
    add(
        "--anonymous-uploads",
        action="store_const",
        const=True,
        help="allow uploads without a login although -a protects other actions; without this flag -a must have "
        "update, unless the server is read-only",
    )
    _add_change_flags(parser)
    add(
        "--metrics",
        metavar="WHO",
        help="access to /metrics: list (as the list of projects; the default), open (without a login), "
        "authenticated (any login) or off",
    )
    add(
        "--spool-size",
        metavar="SIZE",
        help="with a bucket: keep no more of all uploads under way in the temporary directory, for each worker "
        "(default: 256M)",
    )
    add("--body-timeout", metavar="SECONDS", help="give an upload up after this much silence (default: 60)")
    add(
        "--coarse-changes",
        metavar="SECONDS",
        help="for file servers whose change attribute is as coarse as their clock: wait so long around each change, so "
        "that other machines notice it; 'quire doctor' on two machines finds the time (default: off)",
    )
    _add_trust_flags(parser)
    pages = parser.add_argument_group("pages")
    add = pages.add_argument
    add(
        "--disable-fallback",
        action="store_const",
        const=True,
        help="answer 404 for unknown projects; by default clients are sent to the public index for them",
    )
    add(
        "--fallback-url",
        metavar="URL",
        help=f"send clients there for unknown projects (default: {DEFAULT_FALLBACK_URL})",
    )
    _add_upstream_flags(parser)
    add(
        "--local",
        action="append",
        metavar="PATTERN",
        help="names that belong to this index, e.g. 'acme-*': no client is sent to another index for them, whether "
        "they exist here or not; repeat it, or use commas",
    )
    add("--health-endpoint", metavar="PATH", help="the path that answers Ok while the service is up (default: /health)")
    add("--welcome", metavar="HTML_FILE", help="a template for the home page")
    add("--cache-control", metavar="SECONDS", help="send Cache-Control: max-age=SECONDS with downloads")
    add("--hash-algo", metavar="NAME", help="the hash in file links (default: sha256); 'off' for none")
    add(
        "--backend",
        metavar="NAME",
        help="auto, simple-dir or cached-dir: all three mean the same engine, which is always consistent and fast",
    )
    add("--index", metavar="NAME", help="the index of the store to serve (default: main)")
    add(
        "--drop-in",
        action="append",
        metavar="DIR",
        help="serve the files of this directory, too, as they lie there, beside a store in a directory or in a bucket; "
        "repeat it for several, which is the same as to name them after the first directory",
    )
    add(
        "--no-drop-in",
        action="store_const",
        const=True,
        help="serve only what was published or imported, not the files that people copy into the directory; on a "
        "network volume an unchanged page then costs one question less",
    )
    add(
        "--cache-size",
        metavar="SIZE",
        help="what each worker may remember in all: projects, pages, lists (default: 64M)",
    )
    add(
        "--no-fast-path",
        action="store_const",
        const=True,
        help="parse every request with the HTTP server's own parser, and answer it with the general application: "
        "several times slower, and the same answers; for looking into a fault",
    )
    _add_log_flags(parser)


def _add_address_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server-base-url", metavar="PATH", help="serve everything under this path prefix")
    parser.add_argument(
        "--public-url",
        metavar="URL",
        help="the URL under which clients reach this server, prefix included, as https://packages.acme.dev/; with it "
        "pages name the provenance of files, whose URLs are absolute (PEP 740)",
    )


def _add_trust_flags(parser: argparse.ArgumentParser) -> None:
    """The flags for trust in others: proxies that name users, Sigstore instances."""
    _add_sign_on_flags(parser)
    _add_attestation_flags(parser)


def _add_change_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--token-rate",
        metavar="RATE",
        help="requests that a token may make of each worker, if it has no rate of its own: 600/m, 10/s (default: none)",
    )
    add("-o", "--overwrite", action="store_const", const=True, help="let an upload replace a file of the same name")
    add("--read-only", action="store_const", const=True, help="refuse every change")
    add(
        "--experimental",
        action="store_const",
        const=True,
        help="serve what follows drafts of standards, too: publishing sessions (PEP 694), which may change",
    )
    add(
        "--trash-days",
        metavar="DAYS",
        help="how long deleted files can be restored, by `quire trash restore` (default: 7; 0: not at all)",
    )
    add(
        "--webhook-networks",
        metavar="NETWORKS",
        help="deliver webhooks to these networks, too, though they are of this machine or link-local, e.g. "
        "127.0.0.0/8 for a receiver beside the server; with commas",
    )
    add(
        "--webhook-search-seconds",
        metavar="SECONDS",
        help="how often a worker searches for events that are not delivered, as of changes by commands (default: 60 "
        "where the store is on a local disk, else 900)",
    )
    add("--max-upload-size", metavar="SIZE", help="refuse larger files, e.g. 500M (default: 2G)")


def _add_sign_on_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("single sign-on").add_argument
    add(
        "--user-header",
        metavar="NAME",
        help="believe the user that a trusted proxy names in this header, e.g. X-Auth-Request-User; the proxy must "
        "set or clear it in every request",
    )
    add("--groups-header", metavar="NAME", help="the same for the user's groups, with commas, for grants to groups")
    add(
        "--alb-arn",
        metavar="ARN",
        help="believe the user in the signed header of this AWS Application Load Balancer (x-amzn-oidc-data), which "
        "is a trusted proxy; with commas for several",
    )
    add(
        "--alb-keys-url",
        metavar="URL",
        help="read the keys of load balancers below this address (default: AWS's own, of the region)",
    )
    add("--oidc-issuer", metavar="URL", help="have people log in to the web interface at this OpenID provider")
    add("--oidc-client-id", metavar="ID", help="the id that this server has there")
    add(
        "--oidc-client-secret-file",
        metavar="FILE",
        help="the file with the client's secret (default: the environment variable QUIRE_OIDC_CLIENT_SECRET)",
    )
    add("--oidc-scopes", metavar="SCOPES", help="ask for these beside openid, with commas (default: profile,email)")
    add("--oidc-allowed-groups", metavar="GROUPS", help="let only users of these groups log in, with commas")
    add("--session-seconds", metavar="SECONDS", help="how long such a login lasts (default: 3600)")
    add("--oidc-user-claim", metavar="NAME", help="the claim with the name of the user (default: email)")
    add("--oidc-groups-claim", metavar="NAME", help="the claim with the groups of the user (default: groups)")


def _add_attestation_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("attestations").add_argument
    add(
        "--attestations",
        metavar="WHAT",
        help="attestations of uploads (PEP 740): 'verify' them, or refuse the upload; 'ignore' them; 'auto' (default) "
        "verifies where the extra 'attestations' is installed",
    )
    add(
        "--attestations-trust-root",
        metavar="FILE",
        help="the trusted_root.json of the Sigstore instance that signs them, or several, one a line (default: the "
        "public instance, as the installed sigstore has it)",
    )


def _add_log_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("logging").add_argument
    add("-v", "--verbose", action="count", help="log more; repeat for yet more")
    add("--log-file", metavar="FILE", help="log to FILE as well")
    add("--log-stream", metavar="STREAM", help="log to stdout (the default), stderr or none")
    add(
        "--log-format",
        metavar="NAME",
        help="human (the default: lines as --log-frmt says) or json (an object a line, with all fields)",
    )
    add(
        "--log-sample",
        metavar="SHARE",
        help="log this share of quick successful reads, e.g. 0.01 (default: 1); errors, changes and slow requests "
        "are always logged",
    )
    add("--log-frmt", metavar="FORMAT", help="the format of log lines, of logging.LogRecord's attributes")
    add("--log-req-frmt", metavar="FORMAT", help="what to log of a request; '%%s' for everything")
    add("--log-res-frmt", metavar="FORMAT", help="what to log of a response; '%%s' for everything")
    add("--log-err-frmt", metavar="FORMAT", help="what to log of an error; '%%s' for everything")
