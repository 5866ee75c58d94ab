"""Many threads that publish to one project at once, counting how often the store sent them back.

`python -m tests.faults.many_uploads DIR FIRST COUNT` publishes COUNT different versions, one thread each, when a line
comes in on standard input; prints a JSON object: {"published": int, "conflicts": int, "most": the most of one thread}.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter

from quire.domain.errors import Conflict
from quire.index.index import Index
from quire.store.contracts import Record
from quire.store.posix.records import PosixRecords
from quire.store.posix.store import PosixStore
from tests.faults.publisher import PROJECT, publish, wheel

conflicts: Counter[int] = Counter()
"""By thread."""


class CountingRecords(PosixRecords):
    """Counts the conflicts of each thread."""

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        try:
            return super().write(key, data, expected, note, durable=durable)
        except Conflict:
            conflicts[threading.get_ident()] += 1
            raise


def main() -> int:
    root, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = PosixStore.open(root)
    store.records.__class__ = CountingRecords
    index = Index(store)
    published: list[int] = []
    files = [wheel(f"1.{number}", project=PROJECT) for number in range(first, first + count)]

    def run(number: int) -> None:
        publish(index, files[number])
        published.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = {
        "published": len(published),
        "conflicts": conflicts.total(),
        "most": max(conflicts.values(), default=0),
    }
    print(json.dumps(result))
    return 0 if len(published) == count else 1


if __name__ == "__main__":
    sys.exit(main())
