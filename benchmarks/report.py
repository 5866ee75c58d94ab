"""docs/benchmarks.md and its plots, from results."""

from __future__ import annotations

from pathlib import Path

from benchmarks.corpora import BIG, CORPORA
from benchmarks.measures import (
    authenticated,
    bucket,
    burst,
    files,
    growth,
    logging,
    memory,
    mirror,
    network,
    pages,
    starting,
    uploads,
    visible,
)
from benchmarks.nfs_tables import over_network, over_nfs
from benchmarks.overview import overview, reached
from benchmarks.plots import FOLDER, plots
from benchmarks.results import BASE, Results
from benchmarks.suite import BCRYPT_COST
from benchmarks.summary import beside_huge, other_servers, ratios, ratios_logged_in
from benchmarks.tables import figures, rates, servers_of, table, targets

_INTRODUCTION = """# Benchmarks

<!-- Written by `python -m benchmarks`; edit benchmarks/report.py instead. -->

quire's answers a second in one run on one machine, and how many times as fast it is as others there (0.5x is half as
fast).
"""
_READING = """quire has two workers, an index of 1,000 projects with 10 files each, a mirror of an index that nginx
serves on loopback, and a bucket of an S3 server on the same machine. `uv pip compile` is in seconds. **The limit** is
what is possible at most: nginx with the same answers as static files, bare system calls that write the same bytes, the
mirrored index without a mirror, or quire itself with the files on its own disk. Empty: the other has nothing of the
kind.
"""
_TARGETS = """# Targets of the benchmarks

<!-- Written by `python -m benchmarks`; edit benchmarks/report.py and benchmarks/results/explanations.md instead. -->

For developers of quire: the targets, what [the last whole run](benchmarks.md) measured, and profiles that explain what
misses.
"""
_METHOD = """## How it was measured

- Everything runs on one machine, the load too: one thread of wrk with 32 connections that stay open. A server has
  two workers, nginx as well.
- A, B, A, C, A: in loads quire is measured before and after each other server, and a ratio is between neighbours.
  What disturbs the machine disturbs both. No shot begins before the machine is idle: a server that cannot keep up goes
  on with requests whose clients have gone. "±" is how far quire's own shots lie apart. The servers of a table
  run all the time, idle while another one is asked. Starts, memory, the burst and NFS are measured one server after
  the other.
  With files of 20 MB in other servers quire is measured around each two of them.
- A start is the better one of two, so its files are in the system's memory, as they are for all others here.
  What a server is started on is there already: nginx's pages are rendered, devpi-server's database is filled.
- Growth is measured between stores whose pages have as many files: M and larger ones.
- "Flat" memory grows by 32 MiB at most. At 2,000 requests a second 1,800 must be answered; how
  long a connection waits before its next request is random each time.
- Before a load, answers are checked: the page must list the last file, the archive must be the archive. A server
  that answers too slowly for wrk is asked by as many clients as it has workers, one request after the other. One that
  takes over 5 s for a page is measured once, with pages in turn, the list and a cold start.
- Each server is asked for every form of an answer. A form that it does not have is a footnote.
- Corpora: S 100 projects with 3 files each, M 1,000 with 10, L 10,000 with 10, XL 100,000 with 10. Their files are
  wheels of 1 KB. Uploads go to an empty index unless said otherwise. Passwords are hashed by bcrypt with cost {cost}.
- Resolutions through a mirror are single shots, each through a mirror of its own, so quire's are of as many mirrors.
- pypiserver runs in gunicorn with two gevent workers. All others have one process.
- Latencies are what clients saw while all their connections were at work on the same processors.
"""
_RATIOS = """## Everything, as ratios

How many times as fast quire is as each of the others, in the same run; 0.5x is half as fast. With 1,000 projects of 10
files (M) unless said otherwise. Where there is nothing, the other has nothing of the kind; the tables below say why.
The bare handler is one in the same Python server that always returns the same 4 KB: nothing in Python is faster.
"""
_LOGIN = """## With a login

Everything needs a login (`-a download,list,update`), with a password hashed by bcrypt. First, how many
times as fast quire is then: beside itself without a login, and beside pypiserver with the same one. Cold starts, first
pages and memory with a login are in the tables of these.
"""
_HUGE = """## Beside a huge project

What others notice while a project of 20,000 files is published into, and its page asked for, without a pause. A client
asks for the page of another project of 10 files, one request after the other. All of it shares the processors.
"""
_LOGGING = """## With an access log

`quire serve`, as the README starts it, writes a line for each request; `quire run`, which all other figures of this
page are of, writes none. All lines here go to a file.
"""
_SERVERS = """## In other servers

quire in other servers than the one that it chooses, or with one worker; in brackets beside what it chooses.
"""
_LISTINGS = """## Listings

Requests per second; in brackets, how many times as fast quire is.
"""
_SIZES = """## The size of the store

The same questions to quire with stores of several sizes, one between two of the other. Pages of S have 3 files, all
others have 10.
"""
_UPLOADS = """## Uploads

The loop is bare system calls that write the same bytes under as many names and fsync each file and each
directory.
"""
_BURST = """## The burst

{wheels} wheels; {clients} clients at once, each with a password. Each asks for /simple/X, follows the redirect, asks
for /simple/X/ once more and fetches the wheel, on a new connection each time, from the moment the server is up.
{uploads:g} uploads a second go on meanwhile. Latencies are of single requests. (The deployment of pypiserver that wore
out under such a burst had 48 workers on 8 processors: 20 requests a second, a p95 of 14 s, 0.05% errors.)
"""
_NFS = """## NFS

1,000 projects with 10 files each on NFSv4.1, in a machine of its own that is slow and has one processor: its round
trips per request count, not its times. pypiserver has a tenth of these files.
"""
_NETWORK = """## A network of one millisecond

The processors of this machine, and in place of NFS a file system (FUSE) that answers each question after {delay:g} ms.
It asks as an NFS client does: folders, and names that do not exist, are remembered for {names} s, and to open a folder
is one GETATTR all the same. A page takes three: for its record, for the rights and for the drop-in folder; two with
`--no-drop-in`. Where nothing is remembered, each folder of a path is one question more.
"""
_MIRROR = """## A mirror

`uv pip compile` of jupyterlab, pandas and apache-airflow (193 projects, whose pages list 108,432 files), with an empty
cache of uv's: seconds, and in brackets how many times as fast quire is. Then pages and a small file that the mirrors
have: requests per second. "Without quire" is nginx with the mirrored index itself. [Mirrors](benchmarks-mirror.md) has
more: where the time goes, large files, `uv sync`, 10,000 projects.
"""
_BUCKET = """## A bucket

quire over a bucket of Ceph, whose disk is in memory, beside the same server over a local directory. "Without quire" are
bare requests to the same S3 server: for a page a conditional GET of its record, for an upload three PUTs. All of it
shares two processors. [How fast a bucket is](bucket.md#how-fast-it-is) explains the figures.
"""
_REPEAT = """## How to repeat it

```sh
make bench                                                       # everything
make bench BENCH_ARGS="--resume"                                 # the sections that an interrupted run lacks
make bench BENCH_ARGS="--only pages --corpora S,M --seconds 2"   # a part, into .cache/bench/partial
```

After `--minutes` no section begins any more. One that breaks off, or has no time, says so, and `--resume` measures it.

It installs what it needs: the peers from locks with digests into `.venvs/bench-*`, and, as root on Debian, nginx and
wrk. The corpora go to `.cache/bench`; XL takes about 10 GB and 2 million inodes there. All figures of this page are
in `benchmarks/results/latest.json`.
"""

EXPLANATIONS = Path(__file__).parent / "results" / "explanations.md"
RIGHTS = Path(__file__).parent / "results" / "rights.md"


TARGETS_PAGE = "benchmarks-targets.md"
"""Beside the page of the figures."""


def write_report(results: Results, page: Path) -> None:
    """Write the page of the figures and, beside it, that of the targets, and the plots."""
    page.parent.mkdir(parents=True, exist_ok=True)
    folder = page.parent / FOLDER
    folder.mkdir(exist_ok=True)
    page_plot, list_plot, start_plot, memory_plot = plots(results, folder)
    everywhere = list(CORPORA)
    places = [*everywhere, BIG.name, uploads.EMPTY, mirror.WHERE, bucket.WHERE]

    def by_size(*measures: str) -> list[str]:
        return [figures(results, [measure], everywhere, servers_of(results, measure)) for measure in measures]

    def rated(*measures: str) -> list[str]:
        return [rates(results, measure, places) for measure in measures]

    seen = [visible.MEDIAN, visible.LONGEST, visible.STALE]
    storm = [burst.RATE, burst.P50, burst.P95, burst.P99, burst.UPLOADS, burst.UPLOAD_P95, burst.ERRORS, burst.CLIENT]
    sections = (
        ("", [_INTRODUCTION, _first_screen(results), page_plot]),
        (_RATIOS, [ratios(results)]),
        (
            _LISTINGS,
            [
                *rated(pages.PAGE, pages.LIST),
                list_plot,
                *rated(pages.ONE, pages.UNCHANGED, pages.JSON, pages.LIST_JSON, pages.GZIP),
            ],
        ),
        (_LOGGING, rated(*logging.MEASURES)),
        (_SIZES, rated(growth.PAGE, growth.FILE, uploads.GROWTH)),
        (_HUGE, [beside_huge(results)]),
        (
            "## Downloads\n",
            [
                *rated(files.SMALL, files.LARGE),
                figures(results, [files.MEMORY], [BIG.name], servers_of(results, files.MEMORY)),
                *rated(files.PART),
            ],
        ),
        (
            _UPLOADS,
            [
                *rated(uploads.ONE, uploads.EIGHT, uploads.LARGE),
                figures(results, seen, [uploads.EMPTY], servers_of(results, visible.MEDIAN)),
            ],
        ),
        (
            _MIRROR,
            [
                *rated(*mirror.RESOLUTIONS),
                figures(results, [mirror.CPU], [mirror.WHERE], servers_of(results, mirror.CPU)),
                *rated(*mirror.RATES),
            ],
        ),
        (_BUCKET, [*rated(*bucket.RATES), figures(results, bucket.FIGURES, [bucket.WHERE], [BASE])]),
        (
            _LOGIN,
            [
                ratios_logged_in(results),
                *rated(*authenticated.LISTINGS, authenticated.SMALL),
                *rated(authenticated.LARGE, authenticated.PART, authenticated.UPLOAD, authenticated.UPLOADS),
            ],
        ),
        ("## By token and by grant\n", [_by_rights()]),
        (
            "## Cold start\n",
            [
                start_plot,
                *by_size(starting.FIRST_PAGE, starting.FIRST_LIST),
                *by_size(starting.COLD_MEDIAN, starting.COLD, starting.WARM_MEDIAN),
            ],
        ),
        ("## Memory\n", [memory_plot, *by_size(memory.IDLE, memory.LOADED, memory.WORKER)]),
        (
            _BURST.format(wheels=burst.WHEELS, clients=burst.CLIENTS, uploads=burst.UPLOADS_PER_SECOND),
            [figures(results, storm, [burst.WHERE], servers_of(results, burst.RATE))],
        ),
        (_SERVERS, [other_servers(results)]),
        (_NFS, [over_nfs(results)]),
        (_NETWORK.format(delay=network.MILLISECONDS, names=network.NAMES), [over_network(results)]),
        (_METHOD.format(cost=BCRYPT_COST), [_circumstances(results)]),
    )
    parts: list[str] = []
    for heading, contents in sections:
        if any(contents):  # what was not measured is not spoken of
            parts += filter(None, [heading, *contents])
    page.write_text("\n".join(parts).rstrip() + "\n")
    page.with_name(TARGETS_PAGE).write_text("\n".join([_TARGETS, targets(results), _explained()]).rstrip() + "\n")


def _first_screen(results: Results) -> str:
    rows = overview(results)
    if not rows:
        return ""
    verdict = f"{reached(results)} [Their page]({TARGETS_PAGE}) says what misses, and why."
    return f"{rows}\n{_READING}\n{verdict}\n"


def _explained() -> str:
    """Explanations of the missed targets; written by hand, for the run that is published."""
    return f"{EXPLANATIONS.read_text()}" if EXPLANATIONS.exists() else ""


def _by_rights() -> str:
    """The ratios that `benchmarks.rights` printed, in a run of its own."""
    return RIGHTS.read_text() if RIGHTS.exists() else ""


def _circumstances(results: Results) -> str:
    facts = results.machine | results.versions
    told = table(("", ""), list(facts.items()))
    broken = [f"{each.measure}: {each.reason}" for each in results.missing if (each.corpus, each.server) == ("*", "*")]
    if broken:
        told += "\nA section broke off: " + "; ".join(broken) + ".\n"
    arguments = "`, `".join(results.arguments)
    return f"## The run\n\n{results.started}, {results.took / 60:.0f} minutes, `{arguments}`.\n\n{told}\n{_REPEAT}"
