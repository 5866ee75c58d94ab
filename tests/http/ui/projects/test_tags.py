"""Filenames in words."""

from __future__ import annotations

import pytest

from quire.http.ui.projects.tags import Purpose, purpose_of


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("py3-none-any", "any Python 3, any system"),
        ("py2.py3-none-any", "any Python 2 or 3, any system"),
        ("py38-none-any", "Python 3.8 or newer, any system"),
        ("cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64", "CPython 3.12, Linux x86-64 (glibc 2.17 or newer)"),
        ("cp312-cp312-manylinux2014_aarch64.manylinux_2_28_aarch64", "CPython 3.12, Linux ARM64 (glibc 2.17 or newer)"),
        ("cp36-cp36m-manylinux1_i686", "CPython 3.6, Linux x86, 32 bit (glibc 2.5 or newer)"),
        ("cp39-abi3-musllinux_1_2_x86_64", "CPython 3.9 or newer, Linux x86-64 (musl 1.2 or newer)"),
        ("cp313-cp313t-linux_x86_64", "CPython 3.13, free-threaded, Linux x86-64"),
        ("cp315-abi3t-win_arm64", "CPython 3.15 or newer, free-threaded, Windows ARM64"),
        ("pp310-pypy310_pp73-win_amd64", "PyPy 3.10, Windows x86-64"),
        ("cp311-cp311-win32", "CPython 3.11, Windows x86, 32 bit"),
        ("cp312-cp312-macosx_11_0_arm64", "CPython 3.12, macOS 11.0 or newer, Apple silicon"),
        ("cp312-cp312-macosx_10_13_universal2", "CPython 3.12, macOS 10.13 or newer, Apple silicon and Intel"),
        ("cp313-cp313-ios_13_0_arm64_iphoneos", "CPython 3.13, iOS 13.0 or newer, arm64 iphoneos"),
        ("cp313-cp313-android_21_arm64_v8a", "CPython 3.13, Android, API 21 or newer, arm64 v8a"),
        ("cp312-cp312-pyodide_2024_0_wasm32", "CPython 3.12, WebAssembly"),
        ("graalpy311-graalpy242_311_native-linux_x86_64", "GraalPy 3.11, Linux x86-64"),
        ("cp311.cp312-none-any", "CPython 3.11 or CPython 3.12, any system"),
        ("strange-odd-unheard", "strange, unheard"),
        (
            "py3-none-macosx_11_0_arm64.manylinux_2_17_x86_64.musllinux_1_1_x86_64.win_amd64",
            (
                "any Python 3, macOS 11.0 or newer, Apple silicon; Linux x86-64 (glibc 2.17 or newer); "
                "Linux x86-64 (musl 1.1 or newer); Windows x86-64"
            ),
        ),
    ],
)
def test_tags_of_wheels_in_words(tags: str, words: str) -> None:
    """Which Python, which implementation, which system."""
    assert purpose_of(f"demo-1.0-{tags}.whl").words == words


@pytest.mark.parametrize(
    ("filename", "purpose"),
    [
        ("demo-1.0.tar.gz", Purpose("source", "", ("any system, after a build",))),
        ("demo-1.0.zip", Purpose("source", "", ("any system, after a build",))),
        ("demo-1.0-py3.8.egg", Purpose("egg", "", ())),
        ("demo-1.0.win-amd64-py3.8.exe", Purpose("other", "", ())),
        ("no distribution", Purpose("other", "", ())),
    ],
)
def test_other_files(filename: str, purpose: Purpose) -> None:
    assert purpose_of(filename) == purpose


def test_thousands_of_tags_are_not_told() -> None:
    """A filename cannot make a page long."""
    tags = ".".join(f"t{number}" for number in range(60))
    assert purpose_of(f"demo-1.0-{tags}-none-any.whl").python.count(" or ") == 23
