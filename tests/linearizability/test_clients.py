"""Clients record the answers that they got, and a seed repeats their requests.

Replaced here: the connection, by one whose answers are chosen, since a correct server does not give the wrong ones.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from quire.domain.project import File, Status
from quire.render.negotiation import MediaType
from quire.render.simple import ProjectListing, render_project, render_projects
from tests.linearizability import pages, readers, writers
from tests.linearizability.checker import check
from tests.linearizability.history import NEVER, History
from tests.linearizability.http import Answer, NoAnswer
from tests.linearizability.model import Entry, Lacks, Page, Publish
from tests.linearizability.plan import Plan, all_filenames
from tests.linearizability.readers import Reader
from tests.linearizability.recording import Recording
from tests.linearizability.torture import in_words
from tests.linearizability.writers import Uploader

PLAN = Plan(seed=3, seconds=0.0, servers=(("127.0.0.1", 1), ("127.0.0.1", 2)))


class Told:
    """In place of a connection: gives the same answer to everything, and knows what it was asked."""

    order: ClassVar[list[str]] = []
    answer: ClassVar[Answer | None] = None

    def __init__(self, host: str, port: int) -> None:
        """It connects to nothing."""

    def connect(self) -> None:
        """It is always connected."""

    def close(self) -> None:
        """There is nothing to close."""

    def get(self, path: str, headers: bytes = b"") -> Answer:
        return self._answer(f"GET {path} {headers!r}")

    def post(self, path: str, content_type: str, body: bytes, headers: bytes = b"") -> Answer:
        return self._answer(f"POST {path} {body!r}")

    def _answer(self, asked: str) -> Answer:
        Told.order.append(asked)
        if Told.answer is None:
            raise NoAnswer("on purpose")
        return Told.answer


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "Connection", Told)
    monkeypatch.setattr(writers, "Connection", Told)
    monkeypatch.setattr(Told, "order", [])
    monkeypatch.setattr(Told, "answer", None)


def test_both_forms_of_a_page_say_the_same() -> None:
    """HTML and JSON of one listing are one observation, with digests, reasons and marks without one."""
    digests = [f"{number:064x}" for number in range(3)]
    marks: list[bool | str] = [False, 'a "reason" & <more>', True]
    filenames = all_filenames("alder")[:3]
    files = tuple(
        (File(filename=name, version="1.0", size=1, hashes={"sha256": digest}, yanked=mark), f"../../packages/{name}")
        for name, digest, mark in zip(filenames, digests, marks, strict=True)
    )
    listing = ProjectListing(name="alder", status=Status.ACTIVE, status_reason=None, files=files)
    expected = Page(
        frozenset(
            Entry(name, digest, reason)
            for name, digest, reason in zip(filenames, digests, (None, 'a "reason" & <more>', ""), strict=True)
        )
    )
    assert pages.project_json(render_project(listing, MediaType.JSON_V1).body) == expected
    assert pages.project_html(render_project(listing, MediaType.HTML_V1).body) == expected
    for media_type, read in ((MediaType.JSON_V1, pages.names_json), (MediaType.HTML, pages.names_html)):
        assert read(render_projects(("alder", "birch"), media_type).body) == {"alder", "birch"}


def test_half_a_page_is_no_observation() -> None:
    """A page that breaks off is not taken for one with fewer files."""
    whole = render_projects(("alder", "birch"), MediaType.HTML).body
    with pytest.raises(ValueError, match="not complete"):
        pages.names_html(whole[:-9])


def test_a_seed_repeats_what_is_asked() -> None:
    """The same seed asks for the same things in the same order whatever is answered; another seed does not."""

    def asked(seed: int, answer: Answer | None) -> list[str]:
        Told.order.clear()
        Told.answer = answer
        plan = Plan(seed=seed, seconds=0.0, servers=PLAN.servers)
        uploader = Uploader(plan, "uploader 0", 0, Recording(plan))
        reader = Reader(plan, "reader 0", 1, Recording(plan))
        for _ in range(40):
            uploader.step()
            reader.step()
        return list(Told.order)

    refused, lost = asked(3, Answer(404, None, b"")), asked(3, None)
    assert refused == lost
    assert len(refused) > 60
    assert asked(4, None) != lost


def test_a_lost_answer_is_in_doubt() -> None:
    """A change whose answer is lost is recorded as one that may have happened; a refused one as an observation."""
    recording = Recording(PLAN)
    uploader = Uploader(PLAN, "uploader 0", 0, recording)
    for _ in range(20):
        uploader.step()
    operations = [history[index] for history in recording.histories.values() for index in range(len(history))]
    assert len(operations) == 20
    assert not any(each.certain for each in operations)
    assert all(each.invoked < each.ended < NEVER for each in operations)


def test_an_impossible_answer_is_reported() -> None:
    """It is no observation, and it is not forgotten."""
    Told.answer = Answer(500, None, b"a defect")
    recording = Recording(PLAN)
    reader = Reader(PLAN, "reader 0", 1, recording)
    for _ in range(20):
        reader.step()
    assert not any(map(len, recording.histories.values()))
    assert sum(recording.odd.values()) >= 15


@pytest.mark.parametrize("of_dropped", [True, False], ids=["drop-in files", "published files"])
def test_a_refusal_tells_nothing_of_files_that_change(of_dropped: bool) -> None:
    """Where nothing but clients of quire changes the files, the same answer is one that no client should get."""
    refusal = b"The files of pine change faster than they can be read; ask again when they rest.\n"
    Told.answer = Answer(503, None, refusal)
    plan = Plan(seed=1, seconds=0.0, servers=PLAN.servers, dropped=PLAN.every_project if of_dropped else ())
    recording = Recording(plan)
    Reader(plan, "reader 0", 1, recording).look_at_everything()
    assert not any(map(len, recording.histories.values()))
    pages = {what: number for what, number in recording.odd.items() if what.startswith("page")}
    assert bool(pages) != of_dropped
    assert bool(recording.counts["unsettled"]) == of_dropped


def test_an_unchanged_page_is_the_page_of_its_validator() -> None:
    """304 is recorded as another sight of what the validator stands for."""
    listing = ProjectListing(name="alder", status=Status.ACTIVE, status_reason=None, files=())
    page = render_project(listing, MediaType.JSON_V1)
    plan = Plan(seed=3, seconds=0.0, servers=PLAN.servers, projects=("alder",))
    recording = Recording(plan)
    reader = Reader(plan, "reader 0", 1, recording)
    Told.answer = Answer(200, page.etag.encode(), page.body)
    reader.page("alder", is_json=True)
    Told.answer = Answer(304, page.etag.encode(), b"")
    reader.page("alder", is_json=True)
    history = recording.histories["alder"]
    assert [history[index].action for index in (0, 1)] == [Page(frozenset())] * 2
    assert page.etag in Told.order[1]


def test_the_final_check_finds_listed_files_that_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both lists, both forms of the page, and every file on it once: the one that cannot be had is the violation."""
    filename, digest = all_filenames("alder")[0], "0" * 64
    file = File(filename=filename, version="1.0", size=1, hashes={"sha256": digest})
    listing = ProjectListing(name="alder", status=Status.ACTIVE, status_reason=None, files=((file, f"../{filename}"),))

    def answer(_: Told, asked: str) -> Answer:
        Told.order.append(asked)
        media_type = MediaType.JSON_V1 if "json" in asked else MediaType.HTML
        if asked.startswith("GET /simple/ "):
            return Answer(200, None, render_projects(("alder",), media_type).body)
        if asked.startswith("GET /simple/alder/ "):
            return Answer(200, None, render_project(listing, media_type).body)
        return Answer(404, None, b"")

    monkeypatch.setattr(Told, "_answer", answer)
    plan = Plan(seed=3, seconds=0.0, servers=PLAN.servers, projects=("alder",))
    recording = Recording(plan)
    Reader(plan, "last reader", 1, recording).look_at_everything()
    history = History(frozenset({Entry(filename, digest, None)}))
    history.extend(recording.histories["alder"])
    (violation,) = check(history).violations
    assert violation.operation.action == Lacks(filename, digest)
    assert len(Told.order) == 5


def test_a_violation_is_described_in_words() -> None:
    """The question, the possible answers, and the operations before."""
    history = History()
    history.add(Publish((("a.whl", "x"),)), 1_000_000, 2_000_000, client=1)
    history.add(Page(frozenset()), 3_000_000, 4_000_000, client=2)
    (violation,) = check(history).violations
    text = in_words("alder", violation)
    assert "alder: no order explains" in text
    assert "[-1.000, 0.000] client 2: Page" in text
    assert "[-3.000, -2.000] client 1: Publish" in text
