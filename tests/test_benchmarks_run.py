"""The run of the benchmarks as a whole: its sections, the results that are kept, and the page that is made of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from benchmarks.__main__ import LATEST, PAGE, measured, parser
from benchmarks.corpora import Corpus
from benchmarks.load import single
from benchmarks.measures import bucket, mirror, pages
from benchmarks.overview import overview
from benchmarks.peers import PEERS, PERYX, served
from benchmarks.peers.filling import filled
from benchmarks.peers.server import Launch
from benchmarks.processes import Unavailable
from benchmarks.report import write_report
from benchmarks.results import BASE, Missing, Results, own_version, versions
from benchmarks.suite import Suite
from benchmarks.tables import rates
from benchmarks.targets import TARGETS


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Without corpora and peers."""
    return Suite(Results(started="2026-01-01 00:00 UTC"), [], [], 1.0, tmp_path, settle=lambda: None)


def _timed(*shots: tuple[str, float], measure: str = mirror.COLD, where: str = mirror.WHERE) -> Results:
    """Answers that took so many seconds, in this order."""
    found = Results(started="2026-01-01 00:00 UTC")
    for order, (server, seconds) in enumerate(shots):
        found.add(measure, where, server, order, single(seconds))
    return found


# -- sections ---------------------------------------------------------------------------------------------------------


def test_a_section_that_breaks_loses_its_own_figures_only(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are measured, and the reason is in the results."""

    def breaks(_: Suite) -> None:
        raise RuntimeError("the disk is full")

    def works(this: Suite) -> None:
        this.figure("start", "S", BASE, 1.0, "s")

    assert list(measured(suite, {"pages": breaks, "files": works}, 60)) == ["pages", "files"]
    assert suite.results.reason("pages", "*", "*") == "the disk is full"
    assert list(suite.results.sections) == ["files"]
    assert suite.results.value("start", "S") == 1.0
    assert "section files, 2 of 2, after 0 minutes" in capsys.readouterr().out


def test_no_section_begins_when_the_time_is_over(suite: Suite) -> None:
    """It is noted as one that was not measured."""
    begun: list[str] = []
    sections: dict[str, Callable[[Suite], None]] = {"pages": lambda _: begun.append("pages")}
    assert list(measured(suite, sections, -1)) == ["pages"]
    assert begun == []
    assert suite.results.reason("pages", "*", "*") == "the time was over after 0 minutes"


def test_a_resumed_run_forgets_why_a_section_was_missing() -> None:
    """The reason stays while nothing was measured, and goes with the first figures."""
    before = _timed((BASE, 1.0))
    before.missing = [Missing(measure=name, corpus="*", server="*", reason="no time") for name in ("files", "mirror")]
    before.missing.append(Missing(measure=mirror.HOT, corpus=mirror.WHERE, server="proxpi", reason="it ended"))
    after = _timed((BASE, 2.0), ("proxpi", 3.0), measure=mirror.HOT)
    after.sections = {"mirror": 1.0}
    whole = Results.joined([before, after])
    assert [(each.measure, each.reason) for each in whole.missing] == [("files", "no time")]


def test_all_peers_can_be_chosen() -> None:
    """Those that only mirror as well."""
    assert parser().parse_args(["run", "--peers", "peryx,proxpi"]).peers == ["peryx", "proxpi"]


# -- peers that are filled by uploads ---------------------------------------------------------------------------------


def test_a_server_is_filled_once(tmp_path: Path) -> None:
    """A folder that is there is taken as it is; a refusal is remembered, and not tried again."""
    made: list[Corpus | None] = []

    def make(folder: Path, corpus: Corpus | None) -> None:
        made.append(corpus)
        if corpus is not None and corpus.name == "much":
            raise Unavailable("it would take an hour")
        folder.mkdir()

    def launch(corpus: Corpus | None) -> Launch:
        return Launch(tmp_path, corpus, 1, tmp_path, None)

    little, much = Corpus("little", 1, 1, cache=tmp_path), Corpus("much", 1, 1, cache=tmp_path)
    assert filled(launch(None), "it", make) == tmp_path / "it"
    assert filled(launch(little), "it", make) == filled(launch(little), "it", make) == little.home / "it"
    for _ in range(2):
        with pytest.raises(Unavailable, match="an hour"):
            filled(launch(much), "it", make)
    assert made == [None, little, much]


def test_a_server_that_only_mirrors_is_no_peer_for_hosted_files() -> None:
    """It is left out of all questions about these, with a reason for one that asks in spite of it."""
    assert not PEERS["proxpi"].offers
    with pytest.raises(Unavailable, match="hosts no files"), served(PEERS["proxpi"], None):
        pass


def test_versions_of_the_measured_are_known() -> None:
    """Of this version of quire with its commit, and of the libraries that it runs on."""
    assert versions(own_version())["quire"].startswith(version("quire-index"))
    assert {"Python", "uvicorn"} <= set(versions("1"))


# -- the first screen -------------------------------------------------------------------------------------------------


def test_the_first_screen_compares_all_kinds() -> None:
    """Seconds of resolutions, rates of the rest, each beside its limit; of two servers the faster one."""
    found = Results.joined(
        [
            _timed((BASE, 4.0), ("direct", 1.0), (BASE, 4.0), ("proxpi", 8.0), (BASE, 4.0)),
            _timed(
                (BASE, 0.1),
                ("simple-dir", 10),
                (BASE, 0.1),
                ("cached-dir", 1),
                (BASE, 0.1),
                measure=pages.PAGE,
                where="M",
            ),
            _timed((BASE, 0.2), (bucket.DISK, 0.1), (BASE, 0.2), measure=bucket.page(512), where=bucket.WHERE),
        ]
    )
    lines = overview(found).splitlines()
    assert "| Project page | 10/s |  | 10x |  |  |  |  |" in lines
    assert "| Mirror: `uv pip compile`, cold | 4 s | 0.25x no mirror |  |  |  | 2x |  |" in lines
    assert "| Bucket: page, 512 connections | 5/s | 0.50x a disk |  |  |  |  |  |" in lines
    assert "Upload, 1 client" in lines[-1].removeprefix("Not measured in this run: ").split("; ")
    assert overview(Results(started="")) == ""


def test_resolutions_are_shown_in_seconds() -> None:
    """With the ratio that all tables have, and attempts that failed before."""
    found = _timed((BASE, 4.0), (mirror.DIRECT, 1.0), (BASE, 4.0))
    found.add(mirror.COLD, mirror.WHERE, PERYX.name, 3, single(20.0, failed=1))
    text = rates(found, mirror.COLD, [mirror.WHERE])
    assert text.startswith("**Mirror: uv pip compile, cold, seconds**")
    assert "| quire | 4 ±0% |" in text
    assert "| without quire | 1 (0.25x) |" in text
    assert "| peryx | 20, 1 errors (5x) |" in text


def test_targets_of_mirrors_and_buckets_are_judged() -> None:
    """A time is beside that without a mirror, a rate beside that of a local directory."""

    def judged(found: Results, what: str) -> bool | None:
        (target,) = (target for target in TARGETS if target.what == what)
        return target.judge(found)[1]

    cold = "mirror: time of a cold `uv pip compile`, beside no mirror"
    assert judged(_timed((BASE, 1.2), (mirror.DIRECT, 1.0), (BASE, 1.2)), cold) is True
    assert judged(_timed((BASE, 1.4), (mirror.DIRECT, 1.0), (BASE, 1.4)), cold) is False
    few = "bucket: page, 32 connections, beside a local directory"
    shots = (BASE, 0.3), (bucket.DISK, 0.1), (BASE, 0.3)
    assert judged(_timed(*shots, measure=bucket.page(32), where=bucket.WHERE), few) is False
    assert judged(Results(started=""), few) is None


def test_the_published_page_is_made_of_the_published_results(tmp_path: Path) -> None:
    """Nothing is written into the page by hand: it would be lost with the next run. Its pictures, too."""
    page = tmp_path / PAGE.name
    write_report(Results.load(LATEST), page)
    assert page.read_text() == PAGE.read_text()
    for picture in (tmp_path / "images").iterdir():
        assert picture.read_text() == (PAGE.parent / "images" / picture.name).read_text()


def test_the_first_screen_is_one_screen() -> None:
    """Title, table and picture of the published page are its first 45 lines."""
    head = PAGE.read_text().partition("\n## ")[0].splitlines()
    assert len(head) <= 45
    assert sum(line.startswith("![") for line in head) == 1
