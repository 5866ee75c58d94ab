"""The parts of the benchmarks that say what was measured: parsing, ratios, tables, plots. Nothing is measured here."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
from benchmarks.__main__ import SECTIONS, parser
from benchmarks.burst import Answered, merged
from benchmarks.chart import Series, apart, chart
from benchmarks.corpora import ROTATION, Corpus
from benchmarks.load import Load, parse, percentile
from benchmarks.measures import burst, memory, nfs, pages, starting, uploads
from benchmarks.nfs_guest import operations
from benchmarks.processes import Unavailable, family, proportional_set_size
from benchmarks.report import write_report
from benchmarks.results import Figure, Missing, Results, order_of
from benchmarks.tables import rates, table, title
from benchmarks.targets import TARGETS, number

from quire.index import Index
from quire.store.posix import PosixStore

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


def test_the_base_stands_around_each_other() -> None:
    """A B A C A, and A twice when it is alone."""
    assert list(order_of("a", ["b", "c"])) == ["a", "b", "a", "c", "a"]
    assert list(order_of("a", [])) == ["a", "a"]


def test_a_ratio_is_between_neighbours() -> None:
    """A machine that slows down to a half while it is measured does not change who is how many times as fast."""
    found = results(("quire", 100), ("nginx", 200), ("quire", 100), ("bare", 100), ("quire", 50))
    assert found.ratio(pages.PAGE, "M", "nginx") == 2
    assert found.ratio(pages.PAGE, "M", "bare") == pytest.approx(100 / 75)
    assert found.ratio(pages.PAGE, "M", "devpi") is None
    assert found.rate(pages.PAGE, "M", "quire") == pytest.approx(250 / 3)
    assert found.spread(pages.PAGE, "M") == pytest.approx(0.6)


def test_results_are_kept_whole(tmp_path: Path) -> None:
    """What is read back is what was saved."""
    found = results(("quire", 100), ("nginx", 200))
    found.figures.append(Figure(measure="m", corpus="S", server="quire", value=1.5, unit="s", note="why"))
    found.missing.append(Missing(measure="*", corpus="S", server="devpi", reason="no"))
    found.save(tmp_path / "deep" / "results.json")
    assert Results.load(tmp_path / "deep" / "results.json") == found


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


def test_labels_have_names_for_people() -> None:
    """Also with a login, and with a store of another size."""
    assert title("quire+bcrypt") == "quire, with bcrypt"
    assert title("quire@XL") == "quire, XL"
    assert title(uploads.LOOP) == "the loop of system calls"


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
        assert judged(found, "NFS, 2,000 requests/s on one page") is expected


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
    assert "| project page, M, beside nginx | at least 0.5 | 0.67 | yes |" in text


def test_a_page_of_little_has_no_empty_sections(tmp_path: Path) -> None:
    """What was not measured is not spoken of."""
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


def test_a_rotation_is_spread_over_all_projects() -> None:
    """Each project at most once, the first one among them, the last ones too."""
    corpus = Corpus("L", 10_000, 10)
    assert len(corpus.asked) == ROTATION
    assert corpus.asked[0] == 0
    assert corpus.asked[-1] >= 10_000 - 10_000 // ROTATION
    assert len(Corpus("S", 100, 3).asked) == 100


def test_operations_of_one_mount_are_told_from_the_others() -> None:
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
    first.figures = [_figure("memory", 1.0), _figure("start", 2.0)]
    second = Results(started="two", took=30, arguments=["--only memory"], versions={"quire": "1"})
    second.figures = [_figure("memory", 3.0)]
    whole = Results.joined([first, second])
    assert (whole.started, whole.took, whole.arguments) == ("one and two", 90, ["--only pages", "--only memory"])
    assert {each.measure: each.value for each in whole.figures} == {"start": 2.0, "memory": 3.0}


def _figure(measure: str, value: float) -> Figure:
    return Figure(measure=measure, corpus="S", server="quire", value=value, unit="s")
