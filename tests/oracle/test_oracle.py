"""Accepted files can be installed, and files that can be installed are accepted: quire's decisions against real
installers.

The rule: an upload is accepted if and only if pip and uv install it and PyPI would take it. The tables of cases say
what each of the three does; pip and uv are really asked, PyPI's part was read in its source. Where quire decides
otherwise, the case says why. (So a new version of pip or uv that decides otherwise fails these tests, too.)
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quire.domain.errors import InvalidDistribution, InvalidName
from quire.index.upload import examine, upload_key
from quire.store.memory import MemoryStore
from tests.oracle.cases import Case
from tests.oracle.installers import Installers, pages
from tests.oracle.real import real_cases
from tests.oracle.sdists import sdist_cases
from tests.oracle.wheels import wheel_cases


def decide(case: Case) -> str | None:
    """Why quire refuses the archive; None when it accepts it."""
    staging = MemoryStore().blobs.stage(upload_key(case.filename))
    staging.write(case.data)
    try:
        examine(staging.finish(), case.filename)
    except (InvalidDistribution, InvalidName) as error:
        return str(error)
    return None


@pytest.mark.parametrize("case", [*wheel_cases(), *sdist_cases()], ids=lambda case: ascii(case.name)[1:-1][:60])
def test_quire_decides_as_the_table_says(case: Case) -> None:
    """By the rule, or otherwise for a stated reason; and with one sentence."""
    sentence = decide(case)
    assert (sentence is None) == case.decision, sentence
    assert bool(case.why) == (case.decision != case.rule), "a decision against the rule needs a reason, no other one"
    if sentence is not None:
        assert sentence.isprintable()
        assert sentence.endswith(".")
        assert len(sentence) < 400


@pytest.mark.proofs
@pytest.mark.parametrize("table", [wheel_cases, sdist_cases])
def test_pip_and_uv_do_what_the_table_says(table: Callable[[], list[Case]], tmp_path: Path) -> None:
    """Each archive is offered on a page of its own and installed by both; any other outcome than the table's fails."""
    _compare(table(), tmp_path)


def test_real_build_backends(tmp_path: Path) -> None:
    """Their files are installed by both, and accepted."""
    cases = real_cases(tmp_path)
    for case in cases:
        assert decide(case) is None, case.name
    _compare(cases, tmp_path)


def _compare(cases: list[Case], folder: Path) -> None:
    with pages(cases) as url, ThreadPoolExecutor() as pool:
        installers = Installers(folder, cases, url)
        futures = pool.submit(installers.pip), pool.submit(installers.uv)
        by_pip, by_uv = (future.result() for future in futures)
    disagreements = [
        f"{case.name}: {installer} {'installed it' if outcome is None else f'failed: {outcome}'}"
        for case, *outcomes in zip(cases, by_pip, by_uv, strict=True)
        for installer, expected, outcome in zip(("pip", "uv"), (case.pip, case.uv), outcomes, strict=True)
        if (outcome is None) != expected
    ]
    assert not disagreements, "\n".join(disagreements)
