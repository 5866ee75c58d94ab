"""The parts of the benchmarks that say what was measured: parsing, ratios, tables, plots. Nothing is measured here."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import xml.etree.ElementTree as ET
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import cast

import httpx
import pytest
from benchmarks.__main__ import SECTIONS, parser
from benchmarks.bare import BODY_BYTES, BareRawRequests
from benchmarks.burst import Answered, merged
from benchmarks.chart import Series, apart, chart
from benchmarks.corpora import HUGE_PROJECT, ROTATION, Corpus
from benchmarks.delayed import delayed
from benchmarks.kept import derived, save
from benchmarks.load import Load, parse, percentile
from benchmarks.measures import authenticated, burst, huge, memory, nfs, pages, servers, starting, uploads
from benchmarks.measures.questions import validator
from benchmarks.mirror_tables import keep, kept, made
from benchmarks.nfs_report import operations
from benchmarks.peers import BARE, BARE_ASGI, VARIANTS, Peer, Server, served
from benchmarks.processes import Running, Unavailable, client, family, proportional_set_size
from benchmarks.progress import lasting
from benchmarks.report import TARGETS_PAGE, write_report
from benchmarks.results import BASE, Figure, Missing, Results
from benchmarks.suite import CLOSE_SHOTS, Suite
from benchmarks.summary import beside_huge, other_servers, ratios, ratios_logged_in
from benchmarks.tables import rates, table, title
from benchmarks.targets import TARGETS, number

from quire.http.fast.raw_requests import RawDownload, ResponseBytes
from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests.asking import LoopbackConnection

_WRK = """Running 1s test @ http://127.0.0.1:8080/
  1 threads and 32 connections
BENCH {"requests": 5000, "microseconds": 2000000, "bytes": 1000000, "connect": 1, "read": 2, "write": 3, "status": 4, \
"timeout": 0, "p50": 1500, "p99": 9000, "max": 20000}
"""


def load(rate: float, errors: int = 0) -> Load:
    """One second of answers."""
    return Load(round(rate) + errors, 1.0, round(rate) * 1000, errors, 1.0, 2.0, 3.0)


def results(*shots: tuple[str, float], measure: str = pages.PAGE, corpus: str = "M") -> Results:
    """A group of shots in this order."""
    made = Results(started="2026-01-01 00:00 UTC")
    for order, (server, rate) in enumerate(shots):
        made.add(measure, corpus, server, order, load(rate))
    return made


# -- load -------------------------------------------------------------------------------------------------------------


def test_a_delayed_server_is_asked_later_and_counted(tmp_path: Path) -> None:
    """Each answer waits for its time, a new connection once more; pieces keep their order, and requests are counted."""
    (tmp_path / "file").write_bytes(content := os.urandom(3_000_000))
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with delayed(server.server_port, 0.05) as (port, delay):
            began = time.monotonic()
            assert httpx.get(f"http://127.0.0.1:{port}/file").content == content
            assert time.monotonic() - began >= 2 * 0.05
            assert httpx.head(f"http://127.0.0.1:{port}/missing").status_code == 404
            assert (dict(delay.requests), delay.connections) == ({"GET": 1, "HEAD": 1}, 2)
        server.shutdown()


def test_what_wrk_prints_is_read() -> None:
    """Rates count right answers only, latencies are milliseconds, and every kind of error counts."""
    found = parse(_WRK)
    assert found.errors == 10
    assert found.rate == (5000 - 10) / 2
    assert (found.p50, found.p99, found.max) == (1.5, 9.0, 20.0)


def test_a_wrk_that_printed_nothing_is_no_figure() -> None:
    """Whatever kept it from measuring is in the reason."""
    with pytest.raises(Unavailable, match="Connection refused"):
        parse("unable to connect: Connection refused\n")


def test_percentiles_are_values_that_occurred() -> None:
    """Nearest rank: no number is made up between two measured ones."""
    assert percentile([5, 1, 3], 0.5) == 3
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.5) == 0


# -- ratios -----------------------------------------------------------------------------------------------------------


def taken(
    suite: Suite, *lost: str, others: tuple[str, ...] = ("b", "c"), between: int = 1, closely: bool = False
) -> list[str]:
    """The servers of a group in the order of their shots, where these cannot be had."""

    def shoot(label: str, order: int) -> Load:
        del order
        if label in lost:
            raise Unavailable("it is not there")
        return load(100)

    shots = {label: partial(shoot, label) for label in (BASE, *others)}
    suite.take(pages.PAGE, "M", shots, between=between, closely=closely)
    return [shot.server for shot in suite.results.of(pages.PAGE, "M")]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Without corpora and peers."""
    return Suite(results(), [], [], 1.0, tmp_path, settle=lambda: None)  # no shot here is at a server


def test_the_base_stands_around_each_other(suite: Suite) -> None:
    """A B A C A."""
    assert taken(suite) == [BASE, "b", BASE, "c", BASE]


def test_the_base_alone_is_measured_twice(suite: Suite) -> None:
    """So that there is something to say about the machine's noise."""
    assert taken(suite, others=()) == [BASE, BASE]


def test_a_missing_server_takes_no_time_of_the_base(suite: Suite) -> None:
    """The next one has the shot before; a missing server is noted once, with the reason."""
    assert taken(suite, "b") == [BASE, "c", BASE]
    assert [(each.server, each.reason) for each in suite.results.missing] == [("b", "it is not there")]


def test_the_base_can_stand_around_two_others(suite: Suite) -> None:
    """A B C A D A: each has it before and after, and a missing server does not count."""
    assert taken(suite, others=("b", "c", "d"), between=2) == [BASE, "b", "c", BASE, "d", BASE]
    assert suite.results.ratio(pages.PAGE, "M", "c") == 1


def test_a_missing_server_is_none_of_the_two(suite: Suite) -> None:
    """The base comes after two shots that could be had."""
    assert taken(suite, "b", others=("b", "c", "d"), between=2) == [BASE, "c", "d", BASE]


def test_close_results_are_measured_more_often(suite: Suite) -> None:
    """A B A C A B A B A: a difference of some percent takes several shots. A missing server is not asked again."""
    others = ("nginx", "simple-dir", "quire+bcrypt")
    assert taken(suite, "quire+bcrypt", others=others, closely=True) == [
        *(BASE, "nginx", BASE, "simple-dir", BASE),
        *(("nginx", BASE) * (CLOSE_SHOTS - 1)),
    ]


def test_a_slow_server_is_left_out_with_that_reason(suite: Suite) -> None:
    """But for the few questions that all servers are asked."""
    server = Server(Peer("b", "b", "none", lambda launch: [], frozenset()), cast("Running", None), 1)
    suite.slow["b", "M"] = "it takes a minute"
    suite.interleave(pages.ONE, "M", {"b": server}, lambda server: load(1))
    suite.interleave(pages.PAGE, "M", {"b": server}, lambda server: load(1), even_slow=True)
    assert suite.results.reason(pages.ONE, "M", "b") == "it takes a minute"
    assert [(shot.measure, shot.server) for shot in suite.results.shots] == [(pages.PAGE, "b")]


def test_a_client_asks_with_the_validator_that_it_got() -> None:
    """An entity tag, or else a date; without either there is nothing to ask with."""
    assert validator({"etag": '"x"', "last-modified": "today"}) == {"If-None-Match": '"x"'}
    assert validator({"last-modified": "today"}) == {"If-Modified-Since": "today"}
    with pytest.raises(Unavailable, match="never answers 304"):
        validator({"content-type": "text/html"})


def test_a_ratio_is_between_neighbours() -> None:
    """A machine that slows down to a half while it is measured does not change the ratios."""
    found = results(("quire", 100), ("nginx", 200), ("quire", 100), ("bare", 100), ("quire", 50))
    assert found.ratio(pages.PAGE, "M", "nginx") == 2
    assert found.ratio(pages.PAGE, "M", "bare") == pytest.approx(100 / 75)
    assert found.ratio(pages.PAGE, "M", "devpi") is None
    assert found.rate(pages.PAGE, "M", "quire") == pytest.approx(250 / 3)
    assert found.spread(pages.PAGE, "M") == pytest.approx(0.6)


def test_results_are_kept_whole(tmp_path: Path) -> None:
    """The results read back are those that were saved."""
    found = results(("quire", 100), ("nginx", 200))
    found.figures.append(Figure(measure="m", corpus="S", server="quire", value=1.5, unit="s", note="why"))
    found.missing.append(Missing(measure="*", corpus="S", server="devpi", reason="no"))
    found.sections["pages"] = 60.0
    save(found, tmp_path / "deep" / "results.json")
    assert Results.load(tmp_path / "deep" / "results.json") == found


def test_what_follows_from_results_is_kept_beside_them(tmp_path: Path) -> None:
    """Ratios are quire's over the other's; each target has its verdict."""
    found = results(("quire", 100), ("nginx", 190), ("quire", 100))
    for server, value in (("quire", 0.5), ("nginx", 0.1)):
        found.figures.append(Figure(measure="start", corpus="M", server=server, value=value, unit="s"))
    save(found, tmp_path / "results.json")
    document = json.loads((tmp_path / "results.json").read_text())
    rates_, figures_ = document["ratios"]
    assert (rates_["server"], rates_["quire"], rates_["other"], rates_["unit"]) == ("nginx", 100, 190, "/s")
    assert rates_["ratio"] == pytest.approx(100 / 190)
    assert (figures_["measure"], figures_["ratio"], figures_["unit"]) == ("start", 5.0, "s")
    judged = {each["what"]: each["reached"] for each in document["targets"]}
    assert judged["project page, M, beside nginx"] is True
    assert judged["304, M, beside nginx"] is None
    assert len(judged) == len({each.what for each in derived(found).targets})


# -- tables -----------------------------------------------------------------------------------------------------------


def test_a_table_of_rates_has_reasons_for_its_gaps() -> None:
    """Each server has a row; what could not be measured has a footnote, and errors are told."""
    found = results(("quire", 100), ("nginx", 200), ("quire", 100))
    found.add(pages.PAGE, "M", "bare", 3, load(50, errors=7))
    found.missing.append(Missing(measure="*", corpus="M", server="devpi", reason="it is\nnot there"))
    text = rates(found, pages.PAGE, ["S", "M"])
    assert "| quire | 100 ±0% |" in text
    assert "| nginx, the same pages as static files | 200 (0.50x) |" in text
    assert "50, 7 errors" in text
    assert "| devpi-server | [1] |" in text
    assert "[1] it is not there" in text


def test_a_large_upload_is_shown_in_megabytes() -> None:
    """Its rates are megabytes per second in the table, and ratios are what they are."""
    found = results((BASE, 2), (uploads.LOOP, 5), (BASE, 2), measure=uploads.LARGE, corpus=uploads.EMPTY)
    text = rates(found, uploads.LARGE, [uploads.EMPTY])
    assert text.startswith("**Upload of a wheel of 100 MB, MB/s**")
    assert "| quire | 200 ±0% |" in text
    assert "| the loop of system calls | 500 (0.40x) |" in text


def test_labels_have_names_for_people() -> None:
    """Also with a login, and with a store of another size."""
    assert title("quire+bcrypt") == "quire, with bcrypt"
    assert title("quire@XL") == "quire, XL"
    assert title(uploads.LOOP) == "the loop of system calls"
    assert title(BARE_ASGI.name) == BARE_ASGI.title


def test_ratios_of_everything_are_one_table() -> None:
    """A row for each question, a column for each server that was asked any; with a login quire is told beside itself
    too, through the shots that stand between."""
    found = results(("quire", 100), ("nginx", 200), ("quire", 100))
    assert "| Project page, 200 in turn (M) | 0.50x |" in ratios(found)
    login = results(
        ("quire", 100), ("quire+bcrypt", 90), ("quire", 100), ("simple-dir+bcrypt", 30), measure=authenticated.PAGE
    )
    text = ratios_logged_in(login)
    assert "|  | quire without | pypiserver, simple-dir, bcrypt |" in text
    assert "everybody logs in (M) | 0.90x | 3x |" in text
    assert ratios(results()) == ratios_logged_in(results()) == ""


def test_other_servers_are_reported_beside_the_chosen_one() -> None:
    """A row for each, with a reason in place of what could not be had."""
    found = results(("quire", 200), ("quire-gunicorn", 50), ("quire", 200), measure=servers.PAGE)
    found.missing.append(Missing(measure=servers.PAGE, corpus="M", server="quire-asyncio", reason="it ended"))
    text = other_servers(found)
    gunicorn, asyncio = VARIANTS["quire-gunicorn"].title, VARIANTS["quire-asyncio"].title
    assert f"| {gunicorn} | 50 (0.25x) |" in text
    assert f"| {asyncio} | it ended |" in text
    assert other_servers(results()) == ""


def test_results_of_servers_that_are_no_more_are_read(tmp_path: Path) -> None:
    """Without these servers: older results are rendered as if quire had never run in them."""
    found = results(("quire", 200), ("quire-granian", 50), ("quire", 200), measure=servers.PAGE)
    found.missing.append(Missing(measure=servers.PAGE, corpus="M", server="quire-asgi", reason="it ended"))
    found.versions = {"granian": "2.8.7", "uvicorn": "0.54.0"}
    save(found, tmp_path / "older.json")
    read = Results.load(tmp_path / "older.json")
    assert [shot.server for shot in read.shots] == ["quire", "quire"]
    assert (read.missing, read.versions) == ([], {"uvicorn": "0.54.0"})


def test_latencies_beside_a_huge_project_are_reported() -> None:
    """With and without work on it."""
    found = results((BASE, 100), (huge.CHANGED, 50), (BASE, 100), measure=huge.KEPT, corpus="huge")
    text = beside_huge(found)
    assert "| kept connections, nothing else goes on | 1 | 2 | 3 | 200 | 0 |" in text
    assert "| kept connections, the huge project is under work | 1 | 2 | 3 | 50 | 0 |" in text
    assert beside_huge(results()) == ""


def test_numbers_say_no_more_than_they_know() -> None:
    """Three digits or so."""
    assert [number(each) for each in (12345.6, 99.96, 3.14159, 0.5, 0.01234, 0)] == [
        "12,346",
        "100.0",
        "3.14",
        "0.50",
        "0.012",
        "0",
    ]


def test_tables_are_markdown() -> None:
    """A head, a rule, rows."""
    assert table(("", "a"), [("b", "1")]).splitlines() == ["|  | a |", "|---|---:|", "| b | 1 |"]


# -- targets ----------------------------------------------------------------------------------------------------------


def test_targets_are_judged_by_the_figures() -> None:
    """Each target says no for a figure that misses it, yes for one that reaches it, and nothing without one."""

    def judged(found: Results, what: str) -> bool | None:
        (target,) = (target for target in TARGETS if target.what == what)
        return target.judge(found)[1]

    beside_nginx = "project page, M, beside nginx"
    assert judged(results(("quire", 100), ("nginx", 190), ("quire", 100)), beside_nginx) is True
    assert judged(results(("quire", 100), ("nginx", 210), ("quire", 100)), beside_nginx) is False
    assert judged(results(), beside_nginx) is None
    for value, expected in ((149.0, True), (151.0, False)):
        found = results()
        found.figures.append(Figure(measure=memory.WORKER, corpus="XL", server="quire", value=value, unit="MiB"))
        assert judged(found, "memory of a worker, XL") is expected
    for rate, expected in ((1990.0, True), (900.0, False)):  # few round trips at a load that never came are no success
        found = results()
        for kind, value in ((nfs.TRIPS, 0.1), (nfs.RATE, rate)):
            found.figures.append(
                Figure(measure=f"{kind}: page, 2,000 a second", corpus=nfs.WHERE, server="quire", value=value, unit="")
            )
        assert judged(found, "NFS in the slow machine, 2,000 requests/s on one page") is expected


# -- the whole page ---------------------------------------------------------------------------------------------------


def _everything() -> Results:
    found = Results(started="2026-01-01 00:00 UTC", took=60, machine={"memory": "1 GiB"}, versions={"quire": "0"})
    for corpus, factor in (("S", 1.0), ("M", 0.9), ("L", 0.8), ("XL", 0.7)):
        for measure in (pages.PAGE, pages.LIST):
            for order, (server, rate) in enumerate(
                (("quire", 20000), ("nginx", 30000), ("quire", 20000), ("simple-dir", 2), ("quire", 20000))
            ):
                found.add(measure, corpus, server, order, load(rate * factor))
        for figure, value in ((starting.FIRST_PAGE, 0.5), (memory.LOADED, 100.0)):
            found.figures.append(Figure(measure=figure, corpus=corpus, server="quire", value=value, unit="s"))
    for figure in (burst.RATE, burst.P50, burst.P95, burst.P99, burst.ERRORS):
        found.figures.append(
            Figure(measure=figure, corpus=burst.WHERE, server="quire+bcrypt", value=0, unit="s", note="")
        )
    return found


def test_the_page_is_written_with_its_plots(tmp_path: Path) -> None:
    """Every image that it shows is there; every section of it has something in it."""
    page = tmp_path / "benchmarks.md"
    write_report(_everything(), page)
    text = page.read_text()
    shown = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(shown) == 4
    for image in shown:
        ET.parse(page.parent / image)
    sections = text.split("\n## ")[1:]
    assert all(len(section.splitlines()) > 2 for section in sections), sections
    assert "| Project page | 18,000/s | 0.67x nginx |" in text
    assert "Not measured in this run: 304 for a page; " in text
    assert "| project page, M, beside nginx | at least 0.5 | 0.67 | yes |" in page.with_name(TARGETS_PAGE).read_text()


def test_a_page_of_little_has_no_empty_sections(tmp_path: Path) -> None:
    """The page has no section for missing measures."""
    page = tmp_path / "benchmarks.md"
    write_report(results(("quire", 100), ("nginx", 200), ("quire", 100)), page)
    assert "## The burst" not in page.read_text()
    assert "## Uploads" not in page.read_text()
    assert "## Listings" in page.read_text()


def test_a_plot_is_readable_in_either_theme() -> None:
    """A document with a line and a name for each series, and with rules for a dark page."""
    text = chart(
        "Requests", "files", [Series("quire", [(300, 9000), (1e6, 8000)], strong=True), Series("it", [(300, 7)])], "all"
    )
    root = ET.fromstring(text)
    names = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"quire", "it", "Requests", "files", "1,000,000"} <= set(names)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    assert "prefers-color-scheme: dark" in text
    with pytest.raises(ValueError, match="nothing to draw"):
        chart("Requests", "files", [Series("quire", [(300, 0)])], "")


def test_labels_do_not_lie_on_each_other() -> None:
    """They keep their order and their distance, and stay inside."""
    moved = apart([10, 12, 300, 301, 302], 20, 0, 310)
    assert moved[:2] == [10, 30]
    assert moved == sorted(moved)
    assert all(later - earlier >= 20 for earlier, later in pairwise(moved))
    assert max(moved) <= 310
    assert apart([5.0, 5.0], 20, 10, 100) == [10, 30]


# -- what figures are made of -----------------------------------------------------------------------------------------


def test_a_corpus_is_what_quire_reads(tmp_path: Path) -> None:
    """Its store, written without the index, lists its projects and files, and the same files lie in the other forms."""
    corpus = Corpus("tiny", 3, 2, cache=tmp_path)
    index = Index(PosixStore.open(corpus.store))
    assert list(index.names()) == [corpus.project(number) for number in range(3)]
    project = index.project(corpus.project(2))
    assert project is not None
    file = project.files[corpus.filename(2, 1)]
    stored = (corpus.store / "quire" / "blobs" / str(file.blob) / file.filename).read_bytes()
    assert stored == (corpus.flat / file.filename).read_bytes()
    assert stored == (corpus.tree / corpus.project(2) / file.filename).read_bytes()
    assert len(stored) == file.size


def test_a_corpus_can_have_a_huge_project(tmp_path: Path) -> None:
    """Beside the small ones, in the store."""
    corpus = Corpus("tiny", 2, 2, cache=tmp_path, huge_files=50)
    index = Index(PosixStore.open(corpus.store))
    project = index.project(HUGE_PROJECT)
    assert project is not None
    assert len(project.files) == 50
    assert len(index.names()) == 3
    assert corpus.files == 54


def test_a_rotation_is_spread_over_all_projects() -> None:
    """Each project at most once, the first one among them, the last ones too."""
    corpus = Corpus("L", 10_000, 10)
    assert len(corpus.asked) == ROTATION
    assert corpus.asked[0] == 0
    assert corpus.asked[-1] >= 10_000 - 10_000 // ROTATION
    assert len(Corpus("S", 100, 3).asked) == 100


def test_operations_are_counted_by_mount() -> None:
    """The kernel's table has all mounts in one text; what keeps the lease alive does not count."""
    text = (
        "device proc mounted on /proc with fstype proc\n"
        "device 10.0.1.1:/ mounted on /run/a with fstype nfs4 statvers=1.1\n\tper-op statistics\n"
        "\t        NULL: 1 1 0 44 24 0 0 0 0\n\t     GETATTR: 25 25 0 100 200 0 1 2 0\n"
        "\t    SEQUENCE: 9 9 0 1 2 0 1 2 0\n"
        "\t        READ: 0 0 0 0 0 0 0 0 0\n\n"
        "device 10.0.2.1:/ mounted on /run/b with fstype nfs4 statvers=1.1\n\tper-op statistics\n"
        "\t     GETATTR: 7 7 0 100 200 0 1 2 0\n"
    )
    assert operations("/run/a", text) == {"NULL": 1, "GETATTR": 25}
    assert operations("/run/b", text) == {"GETATTR": 7}


def test_what_several_processes_got_is_one_answer() -> None:
    """Latencies are joined, errors and processor time added."""
    one = Answered(latencies={"page": [0.1]}, errors={"page 500": 1}, cpu_seconds=1.0)
    other = Answered(latencies={"page": [0.2], "wheel": [0.3]}, errors={"page 500": 2, "OSError": 1}, cpu_seconds=2.0)
    both = merged([one, other])
    assert both.latencies == {"page": [0.1, 0.2], "wheel": [0.3]}
    assert both.errors == {"page 500": 3, "OSError": 1}
    assert both.cpu_seconds == 3.0


def test_memory_is_read_of_living_processes() -> None:
    """This process has some; one that does not exist has none."""
    (own, *_) = family(int(Path("/proc/self").readlink().name))
    assert proportional_set_size(own) > 1_000_000
    assert proportional_set_size(2**22 + 1) == 0


def test_progress_has_the_time_of_day(capsys: pytest.CaptureFixture[str]) -> None:
    """Long work is reported when it begins and when it ends, also when it fails."""
    with pytest.raises(Unavailable), lasting("making something"):
        raise Unavailable("no")
    began, ended = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[\d\d:\d\d:\d\d\]   making something \.\.\.", began)
    assert re.fullmatch(r"\[\d\d:\d\d:\d\d\]   making something: \d+ s", ended)


# -- the bare handlers ------------------------------------------------------------------------------------------------


class _Waiter:
    """Keeps the responses that it gets."""

    has_request = True

    def __init__(self) -> None:
        self.delivered: list[ResponseBytes | RawDownload | None] = []

    def deliver_queued(self, response: ResponseBytes | RawDownload | None) -> None:
        self.delivered.append(response)


def test_a_bare_handler_answers_heads_that_are_whole() -> None:
    """One GET in one piece; everything else is for the parser. The server's own headers are in it, as they are now."""
    plain, asker = BareRawRequests(), LoopbackConnection([(b"date", b"today")])
    head = b"GET /simple/x/ HTTP/1.1\r\nHost: x\r\n\r\n"
    waiter = _Waiter()

    def ask() -> ResponseBytes:
        request = plain.read(head)
        assert request is not None
        plain.enqueue(*request, asker, waiter)
        answer = waiter.delivered[-1]
        assert answer is not None
        assert not isinstance(answer, RawDownload)
        return answer

    lines, _, body = b"".join(ask()).partition(b"\r\n\r\n")
    assert lines.split(b"\r\n")[:2] == [b"HTTP/1.1 200 OK", b"date: today"]
    assert len(body) == BODY_BYTES
    assert ask() is waiter.delivered[0]
    asker.further = [(b"date", b"tomorrow")]
    assert b"date: tomorrow" in b"".join(ask())
    for other in (head[:-1], head + b"x", head + head, head.replace(b"GET", b"PUT")):
        assert plain.read(other) is None


@pytest.mark.parametrize(("peer", "begins"), [(BARE, b"plain"), (BARE_ASGI, b"ASGI")], ids=["plain", "asgi"])
def test_a_bare_handler_runs_where_it_says(peer: Peer, begins: bytes) -> None:
    """In the server's workers: one before the parser, the other one as an ASGI application."""
    with served(peer, None) as server:
        answer = server.ask(server.path())
    assert answer.status == 200
    assert answer.body.startswith(begins)
    assert len(answer.body) == BODY_BYTES


def test_a_client_process_that_fails_says_why() -> None:
    """In place of what it was to report."""
    reason = r"^the client failed: (?s:.*)expected 5"
    with client("the client", "benchmarks.churn") as failing, pytest.raises(Unavailable, match=reason):
        failing.wait_until_ready()


def test_a_selection_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """Names that there are not are refused, with those that there are."""
    assert parser().parse_args(["run", "--only", "pages,nfs", "--corpora", "S"]).only == ["pages", "nfs"]
    assert parser().parse_args(["run"]).only == list(SECTIONS)
    with pytest.raises(SystemExit):
        parser().parse_args(["run", "--only", "pages,weather"])
    assert "weather" in capsys.readouterr().err


def test_parts_make_a_whole() -> None:
    """Runs that each measured a part are told as one; what two of them measured is the later one's."""
    first = Results(started="one", took=60, arguments=["--only pages"], versions={"quire": "1"})
    first.sections = {"pages": 40.0, "memory": 20.0}
    first.figures = [_figure("memory", 1.0), _figure("start", 2.0)]
    second = Results(started="two", took=30, arguments=["--only memory"], versions={"quire": "1"})
    second.figures = [_figure("memory", 3.0)]
    second.sections = {"memory": 30.0}
    whole = Results.joined([first, second])
    assert (whole.started, whole.took, whole.arguments) == ("one and two", 90, ["--only pages", "--only memory"])
    assert {each.measure: each.value for each in whole.figures} == {"start": 2.0, "memory": 3.0}
    assert whole.sections == {"pages": 40.0, "memory": 50.0}
    assert first.sections == {"pages": 40.0, "memory": 20.0}


def _figure(measure: str, value: float) -> Figure:
    return Figure(measure=measure, corpus="S", server="quire", value=value, unit="s")


# -- mirrors ----------------------------------------------------------------------------------------------------------


def test_tables_of_mirrors_are_kept_row_by_row(tmp_path: Path) -> None:
    """A later run replaces the rows that it measured; a server that was not measured is named with the reason."""
    first, second = made("pages", ("rate", "ms")), made("pages", ("rate", "ms"))
    for value in (1.0, 3.0, 2.5):
        first.add("quire", "rate", value)
    first.add("peer", "rate", 1234.5)
    second.add("quire", "ms", 7.0)
    with second.row("other"):
        parse("")
    keep({"pages": first}, path := tmp_path / "mirrors.json")
    assert "| quire | 2.50 |  |" in str(kept(path)["pages"])
    keep({"pages": second}, path)
    assert str(kept(path)["pages"]).splitlines() == [
        "| pages | rate | ms |",
        "|---|---|---|",
        "| quire |  | 7 |",
        "| peer | 1,234 |  |",
        "| other |  |  |",
        "",
        "Not measured: other, wrk printed no result:.",
    ]
