"""`python -m benchmarks.sizing [measure|check|write]`; without a word it prints the tables of docs/sizing.md."""

from __future__ import annotations

import sys

from benchmarks.sizing import measured, pages


def main() -> int:
    match sys.argv[1:]:
        case []:
            print(pages.tables(), end="")
        case ["write"]:
            pages.write()
        case ["measure"]:
            for each in measured.times():
                print(each)
        case ["check"]:
            for place, found in measured.predictions():
                print(f"\n| {place} | measured | modelled |\n|---|---|---|")
                for row in found:
                    print(f"| {row.what} | {row.measured:.3g} | {row.modelled:.3g} |")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
