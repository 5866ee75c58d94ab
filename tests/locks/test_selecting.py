"""The choice among the files of a release."""

from __future__ import annotations

import pytest

from quire.domain.errors import InvalidRequest
from quire.locks.selecting import Sdists, Selection

SDIST = "far-1.0.tar.gz"
LINUX = "far-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
MUSL = "far-1.0-cp312-cp312-musllinux_1_2_x86_64.whl"
ARM = "far-1.0-cp312-cp312-manylinux_2_17_aarch64.whl"
MAC = "far-1.0-cp312-cp312-macosx_10_13_universal2.whl"
WINDOWS = "far-1.0-cp312-cp312-win_amd64.whl"
STABLE = "far-1.0-cp39-abi3-manylinux_2_17_x86_64.whl"
FREE = "far-1.0-cp314-cp314t-manylinux_2_17_x86_64.whl"
PURE = "far-1.0-py3-none-any.whl"
ALL = [SDIST, LINUX, MUSL, ARM, MAC, WINDOWS, STABLE, FREE, PURE]
WHEELS = ALL[1:]


@pytest.mark.parametrize(
    ("platforms", "pythons", "chosen"),
    [
        ([], [], WHEELS),
        (["linux-x86_64"], [], [LINUX, STABLE, FREE, PURE]),
        (["musllinux-x86_64"], [], [MUSL, PURE]),
        (["macos-arm64", "windows-amd64"], [], [MAC, WINDOWS, PURE]),
        (["manylinux_2_17_aarch64"], [], [ARM, PURE]),
        ([], ["3.12"], [LINUX, MUSL, ARM, MAC, WINDOWS, STABLE, PURE]),
        (["linux-x86_64"], ["3.8"], [PURE]),
        (["linux-x86_64"], ["3.10"], [STABLE, PURE]),
        (["linux-x86_64"], ["3.14t"], [FREE, PURE]),
        (["linux-x86_64"], ["3.12", "3.14t"], [LINUX, STABLE, FREE, PURE]),
    ],
)
def test_platforms_and_pythons(platforms: list[str], pythons: list[str], chosen: list[str]) -> None:
    assert Selection(platforms, pythons).choose(ALL) == chosen


def test_source_archives() -> None:
    """By default those of releases without a wheel that fits."""
    far = ["windows-arm64"]
    assert Selection(far).choose([SDIST, LINUX]) == [SDIST]
    assert Selection(far, sdists=Sdists.NONE).choose([SDIST, LINUX]) == []
    assert Selection(sdists=Sdists.ALL).choose([SDIST, PURE]) == [PURE, SDIST]
    assert Selection().choose([SDIST, PURE]) == [PURE]


@pytest.mark.parametrize(
    ("platform", "python"), [("Linux!", "3.12"), ("../x", "3.12"), ("win_amd64", "2.7"), ("any", "x")]
)
def test_choices_that_mean_nothing(platform: str, python: str) -> None:
    with pytest.raises(InvalidRequest):
        Selection([platform], [python])
