"""The sdist and the wheel: the same bytes each time, with all that belongs to them and nothing else."""

from __future__ import annotations

import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import quire
from tests.release.building import build, from_source, tracked


def test_another_day_another_folder_and_other_modes_give_the_same_bytes(built: dict[str, Path], tmp_path: Path) -> None:
    again = build(tmp_path, mtime=1_800_000_000.0, umask=0o077)
    assert sorted(again) == sorted(built) == ["sdist", "wheel"]
    for kind, path in built.items():
        assert again[kind].name == path.name
        assert again[kind].read_bytes() == path.read_bytes(), kind


def test_the_sdist_builds_both_again(built: dict[str, Path], tmp_path: Path) -> None:
    """The same bytes: what a distributor makes of it is what was published."""
    with tarfile.open(built["sdist"]) as sdist:
        sdist.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = from_source(source, tmp_path / "dist")
    assert {kind: path.read_bytes() for kind, path in again.items()} == {
        kind: path.read_bytes() for kind, path in built.items()
    }


def test_the_wheel_has_each_file_of_the_package_and_no_other(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = {name for name in wheel.namelist() if not name.startswith("quire_index-")}
    assert names == {path.removeprefix("src/") for path in tracked() if path.startswith("src/")}


def test_the_metadata_names_the_distribution_and_the_command(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        folder = f"quire_index-{quire.__version__}.dist-info"
        metadata = message_from_bytes(wheel.read(f"{folder}/METADATA"))
        scripts = wheel.read(f"{folder}/entry_points.txt").decode()
        assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    assert (metadata["Name"], metadata["Version"]) == (quire.DISTRIBUTION, quire.__version__)
    assert metadata["License-Expression"] == "MIT"
    assert "quire = quire.cli:main" in scripts


def test_the_sdist_has_the_tests_and_the_locks(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    left_out = {path for path in tracked() if path not in names}
    assert all(each.startswith(".") for each in left_out)  # of git, editors and services
    assert {"Makefile", "requirements/dev.txt", "tests/release/building.py", "src/quire/cli.py"} <= names
