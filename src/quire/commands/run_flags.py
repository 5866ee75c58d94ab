"""The flags of `quire run` and `quire serve`."""

from __future__ import annotations

import argparse

from quire import VERSION_LINE
from quire.config.settings import DEFAULT_FALLBACK_URL, SERVERS


def add_flags(parser: argparse.ArgumentParser, host: str, hosts: str) -> None:
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
    add("--version", action="version", version=VERSION_LINE)
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
    _add_web_flags(parser)
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
    add("--session-seconds", metavar="SECONDS", help="how long a login to the web interface lasts (default: 3600)")
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


def _add_web_flags(parser: argparse._ActionsContainer) -> None:
    add = parser.add_argument
    add("--welcome", metavar="HTML_FILE", help="a template for the home page")
    add("--web-title", metavar="TEXT", help="the name of the site in the web interface (default: Python packages)")
    add("--web-logo", metavar="IMAGE", help="the image beside that name: .svg, .png, .jpg or .webp, at most 1 MB")
    add("--web-color", metavar="#RRGGBB", help="the colour of its links and buttons (default: #2f4a9e)")


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
        help="ask no upstream: serve what is kept of them, and nothing else; no client is sent to another index "
        "(but to that of --fallback-url)",
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
        help="keep at most so many bytes of upstreams, e.g. 50G: files, large pages, and metadata that was made here; "
        "files that were not used longest are removed first (default: no bound)",
    )
