"""Which files of a locked release are wanted: those of some platforms and Pythons, and which source archives."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from quire.domain.errors import InvalidRequest

PLATFORMS: Final = {
    "linux-x86_64": ("manylinux*_x86_64", "linux_x86_64"),
    "linux-aarch64": ("manylinux*_aarch64", "linux_aarch64"),
    "musllinux-x86_64": ("musllinux_*_x86_64",),
    "musllinux-aarch64": ("musllinux_*_aarch64",),
    "macos-arm64": ("macosx_*_arm64", "macosx_*_universal2"),
    "macos-x86_64": ("macosx_*_x86_64", "macosx_*_universal2", "macosx_*_intel"),
    "windows-amd64": ("win_amd64",),
    "windows-arm64": ("win_arm64",),
}
"""The patterns of platform tags that a name stands for."""
_PYTHON: Final = re.compile(r"3\.(\d{1,2})(t?)")
_PATTERN: Final = re.compile(r"[a-z0-9_*?]{2,100}")


class Sdists(StrEnum):
    """Which source archives are wanted."""

    NEEDED = "needed"
    """Those of releases without a wanted wheel."""
    ALL = "all"
    NONE = "none"


class Selection:
    """Immutable."""

    def __init__(
        self, platforms: Iterable[str] = (), pythons: Iterable[str] = (), sdists: Sdists = Sdists.NEEDED
    ) -> None:
        """`platforms`: names of PLATFORMS, or patterns of platform tags; none for all. `pythons`: versions of CPython
        such as 3.12 or 3.14t; none for all. Raises InvalidRequest for others."""
        patterns = [pattern for each in platforms for pattern in _patterns(each)]
        self._patterns = tuple(dict.fromkeys(patterns))
        self._kinds: set[tuple[str, str]] = set()
        """Interpreter and ABI of the wheels that one of the Pythons takes."""
        for python in pythons:
            self._kinds |= _kinds_of(python)
        self._any_python = not self._kinds
        self._sdists = sdists

    def choose(self, filenames: Collection[str]) -> list[str]:
        """Of the files of one release those that are wanted."""
        wheels = [each for each in filenames if each.endswith(".whl")]
        wanted = [each for each in wheels if self._takes(each)]
        takes_sdists = self._sdists is Sdists.ALL or (self._sdists is Sdists.NEEDED and not wanted)
        return [*wanted, *(each for each in filenames if takes_sdists and not each.endswith(".whl"))]

    def _takes(self, wheel: str) -> bool:
        if self._any_python and not self._patterns:
            return True
        try:
            tags = parse_wheel_filename(wheel)[3]
        except InvalidWheelFilename:
            return False
        return any(self._takes_tag(tag) for tag in tags)

    def _takes_tag(self, tag: Tag) -> bool:
        if not self._any_python and (tag.interpreter, tag.abi) not in self._kinds:
            return False
        platform = tag.platform
        return platform == "any" or not self._patterns or any(fnmatchcase(platform, each) for each in self._patterns)


def _patterns(platform: str) -> tuple[str, ...]:
    if platform in PLATFORMS:
        return PLATFORMS[platform]
    if not _PATTERN.fullmatch(platform):
        raise InvalidRequest(
            f"{platform[:100]!r} is no platform; take {', '.join(PLATFORMS)}, or a pattern of tags such as "
            "'manylinux*_ppc64le'."
        )
    return (platform,)


def _kinds_of(python: str) -> set[tuple[str, str]]:
    match = _PYTHON.fullmatch(python)
    if match is None:
        raise InvalidRequest(
            f"{python[:100]!r} is no version of Python such as 3.12, or 3.14t without the global lock."
        )
    version = (3, int(match[1]))
    tag = f"cp3{match[1]}"
    tags = {
        *cpython_tags(version, abis=[f"{tag}{match[2]}"], platforms=["x"]),
        *compatible_tags(version, interpreter=tag, platforms=["x"]),
    }
    return {(each.interpreter, each.abi) for each in tags}
