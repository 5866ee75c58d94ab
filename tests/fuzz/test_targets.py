"""The fuzz targets in the test suite: the kept corpus, bytes near it drawn by hypothesis, and a short run of atheris.

`make fuzz` lets atheris work for minutes on each target.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from tests.fuzz.atheris_flags import FOUND
from tests.fuzz.budget import seconds
from tests.fuzz.targets import CORPUS, TARGETS
from tests.serving import environment

EXAMPLES = {"store": 40, "form": 40, "archives": 60, "tokens": 50, "keys": 50, "users": 50}


def _kept(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus(target: str) -> None:
    """Valid inputs, and those that once broke a target."""
    kept = _kept(target)
    assert kept
    for data in kept:
        TARGETS[target](data)


@st.composite
def _near(draw: st.DrawFn, kept: list[bytes]) -> bytes:
    """One of the corpus with some bytes replaced, removed, doubled, cut off or taken from another."""
    data = bytearray(draw(st.sampled_from(kept)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 2, 4, 16, 10_000]))
        other = draw(st.sampled_from(kept))
        start = draw(st.integers(0, len(other)))
        new = draw(st.one_of(st.binary(max_size=4), st.just(other[start : start + length]), st.just(data[at:])))
        data[at : at + length] = new
    return bytes(data[:20_000])


@pytest.mark.parametrize("target", TARGETS)
def test_bytes_near_the_corpus(target: str) -> None:
    """Damaged in a few places, or nothing like it: refused, or taken with the properties that the target asserts."""

    @given_settings(max_examples=EXAMPLES.get(target, 100))
    @given(st.one_of(_near(_kept(target)), st.binary(max_size=200)))
    def run(data: bytes) -> None:
        TARGETS[target](data)

    run()


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not made for this Python")
@pytest.mark.parametrize("target", [*TARGETS] if "FUZZ_SECONDS" in os.environ else ["all"])
def test_atheris(target: str, tmp_path: Path) -> None:
    """Guided by coverage, for the time that there is."""
    command = [sys.executable, "-m", "tests.fuzz.atheris_run", target, f"-max_total_time={seconds(3)}"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        ended = subprocess.run(
            command,
            cwd=Path(__file__).parent.parent.parent,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=seconds(3) + 120,
            check=False,
        )
    text = log.read_text(errors="replace")
    assert ended.returncode == 0, f"{text[-4000:]}\nSee {FOUND / target}; add the input to {CORPUS}."
