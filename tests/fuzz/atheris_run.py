"""libFuzzer over one target, guided by the coverage of quire: `python -m tests.fuzz.atheris_run TARGET [flags]`.

Flags are libFuzzer's own (`-max_total_time=60`). Inputs with new coverage go to .cache/fuzz/TARGET; inputs that break
a target are left there too, as crash-..., and printed. `all` spreads the inputs over every target, by their first byte.
"""

from __future__ import annotations

import sys

import atheris

from tests.fuzz.atheris_flags import FOUND

with atheris.instrument_imports(include=["quire", "python_multipart"]):
    from tests.fuzz.targets import CORPUS, TARGETS


def main(name: str, flags: list[str]) -> None:
    """Fuzz until libFuzzer's own limits; leaves with its exit code."""
    targets = list(TARGETS.values())

    def every(data: bytes) -> None:
        if data:
            targets[data[0] % len(targets)](data[1:])

    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    folders = [str(found), *([str(CORPUS / name)] if name in TARGETS else [])]
    prefix = f"-artifact_prefix={found}/"
    atheris.Setup([sys.argv[0], "-max_len=8192", "-timeout=10", prefix, *flags, *folders], TARGETS.get(name, every))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
