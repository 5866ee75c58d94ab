"""The filename of a distribution in words: for which Python it is, and for which system.

Sources: PEP 425 and the platform compatibility tags specification (manylinux, musllinux, macOS, iOS, Android), PEP 384
(abi3), PEP 703 (free-threaded CPython), PEP 783 (Pyodide).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from quire.domain.names import Kind, guess_filename

_MOST_TAGS: Final = 24
"""Of one sort, in one filename. Of more, the first ones are told."""
_SPELLED: Final = {
    "py": "Python",
    "cp": "CPython",
    "pp": "PyPy",
    "graalpy": "GraalPy",
    "ip": "IronPython",
    "jy": "Jython",
}
_OLD_MANYLINUX: Final = {"manylinux1": "2_5", "manylinux2010": "2_12", "manylinux2014": "2_17"}
_ARCHITECTURES: Final = {
    "x86_64": "x86-64",
    "amd64": "x86-64",
    "i686": "x86, 32 bit",
    "i386": "x86, 32 bit",
    "aarch64": "ARM64",
    "arm64": "ARM64",
    "armv7l": "ARMv7",
    "armv6l": "ARMv6",
    "ppc64le": "POWER",
    "s390x": "IBM Z",
    "riscv64": "RISC-V",
    "loongarch64": "LoongArch",
    "wasm32": "WebAssembly",
}
_MAC: Final = {
    "arm64": "Apple silicon",
    "x86_64": "Intel",
    "universal2": "Apple silicon and Intel",
    "intel": "Intel",
    "i386": "Intel, 32 bit",
}
_SYSTEMS: Final = {"linux": "Linux", "win": "Windows"}
_WHOLE: Final = {
    "any": "any system",
    "win32": "Windows x86, 32 bit",
    **dict.fromkeys(("pyodide", "emscripten", "wasi"), "WebAssembly"),
}
_INTERPRETER: Final = re.compile(r"([a-z]+)(\d*)(?:_(\d+))?")
_LINUX: Final = re.compile(r"(manylinux|musllinux)_(\d{1,4})_(\d{1,4})_(\w+)")
_APPLE: Final = re.compile(r"macosx_(\d+)_(\d+)_(\w+)")
_MOBILE: Final = re.compile(r"(ios_(\d+)_(\d+)|android_(\d+))_(\w+)")


@dataclass(frozen=True, slots=True)
class Purpose:
    """The purpose of a file in words."""

    kind: str
    """`wheel`, `source`, `egg` or `other`."""
    python: str
    """Such as `CPython 3.12`."""
    systems: tuple[str, ...]
    """Such as `Linux x86-64 (glibc 2.17 or newer)`; it is for each of them."""

    @property
    def words(self) -> str:
        """Both."""
        return ", ".join(filter(None, (self.python, "; ".join(self.systems))))


def purpose_of(filename: str) -> Purpose:
    """The purpose of a file by its name."""
    parsed = guess_filename(filename)
    kind = Kind.OTHER if parsed is None else parsed.kind
    if kind is Kind.SDIST:
        return Purpose("source", "", ("any system, after a build",))
    if kind is not Kind.WHEEL:
        return Purpose("egg" if kind is Kind.EGG else "other", "", ())
    pythons, abis, systems = (
        part.lower().split(".")[:_MOST_TAGS] for part in filename.removesuffix(".whl").split("-")[-3:]
    )
    return Purpose("wheel", _pythons(pythons, abis), _systems(systems))


def _pythons(interpreters: Iterable[str], abis: Iterable[str]) -> str:
    abis = list(abis)
    found = [_python(interpreter, abis) for interpreter in interpreters]
    if set(found) == {"any Python 2", "any Python 3"}:
        return "any Python 2 or 3"
    return " or ".join(dict.fromkeys(found))


def _python(tag: str, abis: list[str]) -> str:
    match = _INTERPRETER.fullmatch(tag)
    if match is None or match[1] not in _SPELLED:
        return tag
    name, digits, minor = _SPELLED[match[1]], match[2], match[3]
    if not digits:
        return name
    version = digits if len(digits) == 1 and minor is None else f"{digits[0]}.{minor or digits[1:]}"
    if match[1] == "py" and "." not in version:
        return f"any Python {version}"
    is_stable = match[1] == "py" or not {"abi3", "abi3t"}.isdisjoint(abis)
    is_free = "abi3t" in abis or any(re.fullmatch(rf"cp{digits}d?t", abi) for abi in abis)
    return f"{name} {version}{' or newer' if is_stable else ''}{', free-threaded' if is_free else ''}"


def _systems(tags: Iterable[str]) -> tuple[str, ...]:
    """Of several versions of one C library for the same machine the oldest counts."""
    oldest: dict[tuple[str, str], tuple[int, int]] = {}
    found: dict[str | tuple[str, str], None] = {}
    for tag in tags:
        old, _, machine = tag.partition("_")
        match = _LINUX.fullmatch(f"manylinux_{_OLD_MANYLINUX[old]}_{machine}" if old in _OLD_MANYLINUX else tag)
        if match is None:
            found[_system(tag)] = None
            continue
        key, version = (match[1], match[4]), (int(match[2]), int(match[3]))
        oldest[key] = min(version, oldest.get(key, version))
        found[key] = None
    return tuple(each if isinstance(each, str) else _linux(each, oldest[each]) for each in found)


def _linux(key: tuple[str, str], version: tuple[int, int]) -> str:
    library = "glibc" if key[0] == "manylinux" else "musl"
    return f"Linux {_machine(key[1])} ({library} {version[0]}.{version[1]} or newer)"


def _system(tag: str) -> str:
    if apple := _APPLE.fullmatch(tag):
        return f"macOS {apple[1]}.{apple[2]} or newer, {_MAC.get(apple[3], apple[3])}"
    if mobile := _MOBILE.fullmatch(tag):
        system = f"iOS {mobile[2]}.{mobile[3]} or newer" if mobile[2] else f"Android, API {mobile[4]} or newer"
        return f"{system}, {mobile[5].replace('_', ' ')}"
    system, _, machine = tag.partition("_")
    if system in _WHOLE:
        return _WHOLE[system]
    return f"{_SYSTEMS[system]} {_machine(machine)}" if system in _SYSTEMS and machine else tag


def _machine(name: str) -> str:
    return _ARCHITECTURES.get(name, name)
