"""Requirements files with pins, as `uv pip compile`, `uv export`, `pip-compile` and `poetry export` write them.

Such a file is a lock only if each requirement names one version. Source: pip's reference of the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from packaging.requirements import Requirement

from quire.domain.errors import InvalidRequest
from quire.locks.locked import Lock, LockBuilder, digest_of, said

_COMMENT: Final = re.compile(r"(?:^|(?<!\s)\s+)#.*$")
_OPTION: Final = re.compile(r"\s--?[A-Za-z]")
_HASH: Final = re.compile(r"--hash[=\s]\s*(\S+)")
_LOCAL: Final = re.compile(r"(-e|--editable)[=\s]|\.{0,2}/|file:")
_OTHER_FILE: Final = re.compile(r"(-r|--requirement|-c|--constraint)[=\s]?\s*(.*)")


def read_requirements(text: str) -> Lock:
    """Raises InvalidRequest for a requirement without a version, with the line where it stands."""
    builder = LockBuilder("requirements.txt")
    for number, line in _lines(text):
        other = _OTHER_FILE.fullmatch(line)
        if other is not None:
            if line.startswith(("-r", "--r")):
                raise InvalidRequest(
                    f"line {number} includes {said(other[2])!r}: name that file on the command line, too"
                )
        elif _LOCAL.match(line):
            builder.elsewhere(line.removeprefix("-e").strip(), "a directory or file", is_local=True)
        elif not line.startswith("-"):
            _requirement(builder, number, line)
    return builder.lock()


def _requirement(builder: LockBuilder, number: int, line: str) -> None:
    option = _OPTION.search(line)
    words, options = (line[: option.start()], line[option.start() :]) if option is not None else (line, "")
    try:
        requirement = Requirement(words.strip())
    except (ValueError, RecursionError):
        raise InvalidRequest(f"line {number} is no requirement: {said(line)!r}") from None
    if requirement.url is not None:
        is_local = requirement.url.startswith("file:")
        builder.elsewhere(requirement.name, "a file" if is_local else "a URL", is_local=is_local)
        return
    pins = [each for each in requirement.specifier if each.operator in {"==", "==="}]
    if len(pins) != 1 or len(requirement.specifier) != 1 or pins[0].version.endswith(".*"):
        raise InvalidRequest(
            f"line {number} names no one version of {said(requirement.name)}; compile a lock of it first: "
            "uv pip compile --universal --generate-hashes requirements.in -o requirements.txt"
        )
    try:
        builder.release(requirement.name, pins[0].version, digests=map(digest_of, _HASH.findall(options)))
    except InvalidRequest as error:
        raise InvalidRequest(f"line {number}: {error}") from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The logical lines, with the number of the first line of each: joined at backslashes, without comments."""
    begun, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if begun else number
        if line.lstrip().startswith("#"):  # pip keeps a line that goes on behind a comment apart
            joined, goes_on = begun, False
        else:
            goes_on = line.endswith("\\")
            joined = begun + (line[:-1] if goes_on else line)
        if goes_on:
            begun = joined
            continue
        begun = ""
        stripped = _COMMENT.sub("", joined).strip()
        if stripped:
            yield first, stripped
    if begun.strip():
        yield first, _COMMENT.sub("", begun).strip()
