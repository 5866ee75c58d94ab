"""A recorded index: what ordinary clients fetched of the public one for three resolutions, served again on loopback.

Theory of operation. `record` runs a logging proxy, and lets uv resolve through it and download what it resolved. The
proxy asks the public index for what uv asks for and nothing else, keeps each answer once, and writes the paths into
`asked.txt`. Pages are kept with URLs of files that begin at the root of the host, so that they are true on any port.
Which further versions uv looks at depends on the order in which answers arrive, so the resolution that is measured has
the recorded versions as constraints. A public index that offers no metadata beside its wheels gets it here, made of the
wheels that were fetched: that is how nearly all clients use the public one. `playing` serves the folder by nginx, with
the headers that the public index gives: a validator, and ten minutes of freshness. The folder is in the cache of the
benchmarks, not in the repository.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpx
from packaging.utils import parse_wheel_filename
from tests.clients.environments import uv
from tests.serving import environment, free_port

from benchmarks.environments import CACHE, program
from benchmarks.processes import Unavailable, started, wait_for
from benchmarks.progress import lasting, say
from quire.config.settings import DEFAULT_FALLBACK_URL
from quire.domain.names import normalize_name

FOLDER = CACHE / "recorded"
REQUIREMENTS = ("jupyterlab", "pandas", "apache-airflow")
PYTHON = "3.12"
"""The version that uv resolves for, whatever this machine has."""
JSON = "application/vnd.pypi.simple.v1+json"
ANSWER_SECONDS = 120
"""How long uv waits for a mirror that is silent: some take longer for a large page than the 30 seconds of uv."""
RUN_SECONDS = 240.0
"""How long uv may take in all."""
_DONE = "complete"
_PROJECT = "everything-recorded"
CONSTRAINTS = "constraints.txt"

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log {log};
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    types {{ application/vnd.pypi.simple.v1+json json; text/html html; application/zip whl; }}
    default_type application/octet-stream;
    map $http_accept $form {{ default html; "~application/vnd.pypi.simple.v1\\+json" json; }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        root {folder};
        gzip_static on;
        gzip_vary on;
        location ~ ^/simple/(?<project>[a-z0-9-]+)/$ {{
            add_header Cache-Control "max-age=600, public";
            try_files /simple/$project/index.$form =404;
        }}
        location = /simple/ {{ try_files /simple/index.$form =404; }}
        location /simple/ {{ return 404; }}
        location /packages/ {{
            limit_rate {rate};
            add_header Cache-Control "max-age=365000000, immutable, public";
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Playing:
    """The recorded index, served."""

    port: int
    log: Path | None
    """One line for each request: its path and the bytes sent."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple/"

    def asked(self, part: str) -> int:
        """The number of requests so far with this in their line."""
        return sum(part in line for line in self.log.read_text().splitlines()) if self.log is not None else 0


def recorded() -> Path:
    """The folder of the recording, made if there is none. Raises Unavailable."""
    if not (FOLDER / _DONE).exists():
        with lasting("recording what uv asks the public index for"):
            record(FOLDER, os.environ.get("UV_DEFAULT_INDEX", DEFAULT_FALLBACK_URL))
    return FOLDER


def record(folder: Path, index: str) -> None:
    """Record the resolutions and the downloads of uv. `index`: URL of the public index's Simple API."""
    (folder / "simple").mkdir(parents=True, exist_ok=True)
    locked = folder / "requirements.txt"
    with _recording(folder, index) as port:
        resolve(f"http://127.0.0.1:{port}/simple/", locked)
        download(f"http://127.0.0.1:{port}/simple/", locked)
    lines = locked.read_text().splitlines()
    (folder / CONSTRAINTS).write_text("".join(f"{line.split()[0]}\n" for line in lines if "==" in line))
    _offer_metadata(folder)
    (folder / _DONE).touch()


def _offer_metadata(folder: Path) -> None:
    """Put the metadata of wheels beside them, and name it on their pages."""
    for page in (folder / "simple").glob("*/index.json"):
        document = json.loads(page.read_bytes())
        changed = False
        for entry in document["files"]:
            wheel = folder / unquote(entry["url"]).removeprefix("/")
            if wheel.suffix == ".whl" and wheel.exists() and not isinstance(entry.get("core-metadata"), dict):
                with zipfile.ZipFile(wheel) as archive:
                    member = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
                    metadata = archive.read(member)
                Path(f"{wheel}.metadata").write_bytes(metadata)
                entry["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()}
                changed = True
        if changed:
            keep_page(page.parent, document)


def resolve(url: str, output: Path, *, constraints: Path | None = None) -> None:
    """`uv pip compile` of what is recorded, with an empty cache. Raises Unavailable."""
    wanted = output.with_suffix(".in")
    wanted.write_text("".join(f"{each}\n" for each in REQUIREMENTS))
    constraint = [] if constraints is None else ["--constraint", str(constraints)]
    shape = ("--no-header", "--no-annotate", "--generate-hashes", "-o", str(output))
    _uv("compile", url, *constraint, *shape, str(wanted))


def download(url: str, locked: Path) -> None:
    """All wheels of a resolution, with an empty cache, into a folder that is then removed. Raises Unavailable."""
    target = locked.with_suffix(".installed")
    try:
        _uv("install", url, "--no-deps", "--target", str(target), "-r", str(locked))
    finally:
        shutil.rmtree(target, ignore_errors=True)


def lock(url: str, folder: Path) -> None:
    """Write a project that needs all recorded wheels, with a lock file of this index that names them."""
    folder.mkdir(exist_ok=True)
    lines = (recorded() / "requirements.txt").read_text().splitlines()
    pins = {line.split()[0] for line in lines if "==" in line and not line.startswith(" ")}
    root = url.removesuffix("/simple/")
    packages, names = list[str](), list[str]()
    for path in sorted((recorded() / "packages").rglob("*.whl")):
        name, version, *_ = parse_wheel_filename(path.name)
        if f"{name}=={version}" not in pins or name in names:
            continue
        place, digest = path.relative_to(recorded()), hashlib.sha256(path.read_bytes()).hexdigest()
        names.append(name)
        packages.append(
            f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ registry = "{url}" }}\nwheels = [\n'
            f'    {{ url = "{root}/{quote(str(place))}", hash = "sha256:{digest}" }},\n]\n'
        )
    needed = "".join(f'    {{ name = "{name}" }},\n' for name in names)
    packages.append(
        f'[[package]]\nname = "{_PROJECT}"\nversion = "0"\nsource = {{ virtual = "." }}\ndependencies = [\n{needed}]\n'
    )
    (folder / "uv.lock").write_text(
        "\n".join([f'version = 1\nrevision = 3\nrequires-python = "=={PYTHON}.*"\n', *packages])
    )
    wanted = "".join(f'    "{name}",\n' for name in names)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{_PROJECT}"\nversion = "0"\nrequires-python = "=={PYTHON}.*"\n'
        f"dependencies = [\n{wanted}]\n"
    )


def synchronise(url: str, folder: Path) -> None:
    """`uv sync` of what `lock` wrote into this folder, with an empty cache, into an environment that is then removed.
    Raises Unavailable, also where there is no Python of the recorded version."""
    try:
        _run(
            [str(uv()), "sync", "--quiet", "--frozen", "--no-cache", "--python", _python(), "--project", str(folder)],
            {"UV_DEFAULT_INDEX": url},
        )
    finally:
        shutil.rmtree(folder / ".venv", ignore_errors=True)


def _python() -> str:
    """The interpreter that the recorded wheels are for. Raises Unavailable."""
    names = [sys.executable, f"python{PYTHON}", *map(str, Path.home().glob(f".pyenv/versions/{PYTHON}.*/bin/python"))]
    for name in names:
        said = "import sys; print('%d.%d' % sys.version_info[:2])"
        with suppress(OSError):
            found = subprocess.run([name, "-c", said], capture_output=True, text=True, check=False)
            if found.stdout.strip() == PYTHON:
                return name
    raise Unavailable(f"there is no Python {PYTHON} on this machine")


def _uv(command: str, url: str, *arguments: str) -> None:
    shared = ("--quiet", "--no-config", "--no-cache", "--only-binary", ":all:", "--index-url", url)
    python = ("--python", sys.executable, "--python-version", PYTHON)  # the former so that it searches for none
    whole = [str(uv()), "pip", command, *shared, *python, *arguments]
    _run(whole)


def _run(command: list[str], more: Mapping[str, str] = MappingProxyType({})) -> None:
    environ = environment() | {"UV_HTTP_TIMEOUT": str(ANSWER_SECONDS), **more}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"uv had not ended after {RUN_SECONDS:.0f} s") from error
    if done.returncode != 0:
        raise Unavailable(f"uv failed: {done.stderr.strip()[-400:]}")


@contextmanager
def playing(work: Path, *, folder: Path | None = None, logs: bool = False, rate: int = 0) -> Iterator[Playing]:
    """The recording, or another folder like it, on a free port. `work`: for nginx's own files; `rate`: bytes a second
    of each file, 0 for as many as it can. Raises Unavailable."""
    folder = recorded() if folder is None else folder
    work.mkdir(exist_ok=True)
    _list_projects(folder)
    port, log = free_port(), work / "access.log"
    configuration = work / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",
            work=work,
            log=log if logs else "off",
            port=port,
            folder=folder,
            rate=rate,
        )
    )
    command = [program("nginx"), "-c", str(configuration), "-p", str(work), "-e", "stderr"]
    with started(command, work / "output", environ=environment(), cwd=work) as running:
        wait_for(running, lambda: httpx.get(f"http://127.0.0.1:{port}/").status_code > 0, 20)
        yield Playing(port, log if logs else None)


def _list_projects(folder: Path) -> None:
    """Write the list of the recorded projects, which some mirrors want first."""
    names = sorted(page.parent.name for page in (folder / "simple").glob("*/index.json"))
    document = {"meta": {"api-version": "1.4"}, "projects": [{"name": name} for name in names]}
    links = "".join(f'<a href="/simple/{name}/">{name}</a><br>\n' for name in names)
    (folder / "simple" / "index.json").write_text(json.dumps(document))
    (folder / "simple" / "index.html").write_text(f"<!DOCTYPE html>\n<html><body>\n{links}</body></html>\n")


# -- recording --------------------------------------------------------------------------------------------------------


@contextmanager
def _recording(folder: Path, index: str) -> Iterator[int]:
    """The logging proxy on a port."""
    hosts: dict[str, str] = {}
    lock = threading.Lock()

    with httpx.Client(follow_redirects=True, timeout=120) as public, (folder / "asked.txt").open("a") as asked:

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = unquote(self.path)
                with lock:
                    asked.write(f"{path}\n")
                    asked.flush()
                parts = path.split("/")
                if path.startswith("/simple/") and len(parts) == 4 and normalize_name(parts[2]) == parts[2]:
                    kept = self._page(parts[2])
                elif path.startswith("/packages/") and ".." not in parts:
                    kept = self._file(path)
                else:
                    kept = None
                self.send_response(404 if kept is None else 200)
                self.send_header("Content-Type", JSON if path.startswith("/simple/") else "application/octet-stream")
                self.send_header("Content-Length", str(0 if kept is None else kept.stat().st_size))
                self.end_headers()
                if kept is not None and self.command == "GET":
                    with kept.open("rb") as source:
                        shutil.copyfileobj(source, self.wfile)

            def do_HEAD(self) -> None:
                self.do_GET()

            def _page(self, name: str) -> Path | None:
                kept = folder / "simple" / name / "index.json"
                if not kept.exists():
                    answer = public.get(f"{index}{name}/", headers={"Accept": JSON})
                    if answer.status_code != 200:
                        return None
                    keep_page(kept.parent, _at_root(answer.json(), str(answer.url), hosts))
                return kept

            def _file(self, path: str) -> Path | None:
                kept = folder / path.removeprefix("/")
                if not kept.exists():
                    host = hosts.get(path.rpartition("/")[0])
                    if host is None:
                        return None
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    part = kept.with_name(f"{kept.name}.{threading.get_ident()}")
                    with public.stream("GET", f"{host}{self.path}") as answer, part.open("wb") as target:
                        if answer.status_code != 200:
                            return None
                        for piece in answer.iter_raw():
                            target.write(piece)
                    part.rename(kept)
                return kept

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                pass

        if (known := folder / "hosts.json").exists():
            hosts.update(json.loads(known.read_bytes()))
        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()
                known.write_text(json.dumps(hosts))
    say(f"recorded in {folder}")


def _at_root(page: dict[str, list[dict[str, str]]], url: str, hosts: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    """A page whose files are on its own host. `hosts`: gets their hosts, by folder."""
    for entry in page["files"]:
        parts = urlsplit(urljoin(url, entry["url"]))
        hosts[unquote(parts.path).rpartition("/")[0]] = f"{parts.scheme}://{parts.netloc}"
        entry["url"] = parts.path
    return page


def keep_page(folder: Path, page: dict[str, list[dict[str, str]]]) -> None:
    """Write a page as JSON and HTML, plain and compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    links = (
        f'<a href="{html.escape(each["url"])}#sha256={each["hashes"]["sha256"]}"'  # type: ignore[index]
        + (f' data-requires-python="{html.escape(each["requires-python"])}"' if each.get("requires-python") else "")
        + f">{html.escape(each['filename'])}</a><br>\n"
        for each in page["files"]
    )
    forms = {
        "index.html": "<!DOCTYPE html>\n<html><head><meta name='pypi:repository-version' content='1.0'></head><body>\n"
        + "".join(links)
        + "</body></html>\n",
        "index.json": json.dumps(page, separators=(",", ":")),
    }
    for name, text in forms.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode(), 6))
        (folder / name).write_text(text)
