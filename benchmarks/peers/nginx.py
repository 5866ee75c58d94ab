"""nginx, serving quire's answers as static files: what the machine can do at most.

The pages are what quire answered when they were made; they are made again when quire answers otherwise.
"""

from __future__ import annotations

import gzip
import http.client
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.corpora import Corpus
from benchmarks.environments import program
from benchmarks.peers.ours import QUIRE
from benchmarks.peers.server import ACCEPT, WORKERS, Form, Launch, Peer, served
from benchmarks.processes import Unavailable
from benchmarks.progress import lasting

_CONFIGURATION = """
{user}
daemon off;
worker_processes {workers};
pid {work}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log {log};
    sendfile on;
    tcp_nopush on;
    open_file_cache off;
    keepalive_requests 1000000000;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    types {{
        text/html html;
        application/vnd.pypi.simple.v1+json json;
        application/zip whl;
    }}
    server {{
        listen 127.0.0.1:{port} reuseport backlog=2048;
        root {pages};
        location /simple/ {{ index index.html; }}
        location /json/ {{ index index.json; }}
        location /gzip/ {{ index index.html; gzip_static on; }}
        location /files/ {{ alias {files}/; }}
    }}
}}
"""
_THREADS = 4


def _command(launch: Launch, *, logs: bool = False) -> list[str]:
    if launch.corpus is None:
        raise Unavailable("nginx takes no uploads")
    nginx = program("nginx")
    pages = prerendered(launch.corpus)
    configuration = launch.work / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",
            workers=WORKERS,
            work=launch.work,
            log=launch.work / "access.log" if logs else "off",
            port=launch.port,
            pages=pages,
            files=launch.corpus.flat,
        )
    )
    return [nginx, "-c", str(configuration), "-p", str(launch.work), "-e", "stderr"]


def prerendered(corpus: Corpus) -> Path:
    """The directory with the pages of a corpus, made if there is none, or if quire's page is another one now.

    Every project's HTML; JSON and gzip of those that loads ask for.
    """
    pages = corpus.home / "pages"
    with served(QUIRE, corpus) as quire:
        kept = pages / "simple" / corpus.project(corpus.one) / "index.html"
        if kept.exists() and kept.read_bytes() == quire.ask(quire.path(corpus.project(corpus.one))).body:
            return pages
        with lasting(f"making corpus {corpus.name} as static pages"):
            building = corpus.home / "pages.new"
            shutil.rmtree(pages, ignore_errors=True)
            shutil.rmtree(building, ignore_errors=True)
            _render(quire.port, corpus, building)
            os.sync()
            building.rename(pages)
    return pages


def _render(port: int, corpus: Corpus, building: Path) -> None:
    every = [None, *map(corpus.project, range(corpus.projects))]
    asked = [None, *map(corpus.project, {*corpus.asked, corpus.one})]
    for folder, form, projects in (("simple", "html", every), ("json", "json", asked), ("gzip", "html", asked)):
        for project in projects:
            (building / folder / (project or "")).mkdir(parents=True, exist_ok=True)
        _fetch(port, building / folder, "json" if form == "json" else "html", projects)
    for page in (building / "gzip").rglob("index.html"):
        page.with_name("index.html.gz").write_bytes(gzip.compress(page.read_bytes(), 6))


def _fetch(port: int, folder: Path, form: Form, projects: Sequence[str | None]) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        shares = [projects[start::_THREADS] for start in range(_THREADS)]
        for _ in pool.map(partial(_fetch_share, port, folder, form), shares):
            pass


def _fetch_share(port: int, folder: Path, form: Form, projects: Sequence[str | None]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for project in projects:
        connection.request("GET", "/simple/" if project is None else f"/simple/{project}/", headers=ACCEPT[form])
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise Unavailable(f"quire answered {response.status} for {project}, which cannot be a static page")
        (folder / (project or "") / f"index.{form}").write_bytes(body)
    connection.close()


NGINX = Peer(
    "nginx",
    "nginx, the same pages as static files",
    "pages",
    _command,
    frozenset({"list", "page", "file", "json", "gzip", "conditional", "range"}),
    simple={"json": "/json/", "gzip": "/gzip/"},
    files="/files/",
    short="nginx, static files",
)
NGINX_LOGGING = replace(
    NGINX, name="nginx-logging", title="nginx with its access log, the same pages", command=partial(_command, logs=True)
)
