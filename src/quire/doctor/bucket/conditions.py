"""The conditions of writes: create only where no object is, replace only the expected version."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final

from quire.doctor.bucket.checks import Check, Count, Result
from quire.doctor.bucket.site import Outcome, Site, attempt, content, create, nonce, together
from quire.store.bucket.objects import BlobBucket, Object

_PATIENCE: Final = 300
"""Tries of one append under a race."""
_WRITERS: Final = 6
_TRIES: Final = 3
_LOSES = (
    "Two writers can both succeed, so changes are lost. Use a server with conditional writes: AWS S3, GCS, Azure, Ceph "
    "from version 20 on. Garage, s3rver and others ignore the conditions, and so does Ceph in a bucket with versions, "
    "also when they are suspended."
)


def check_creation(site: Site, rounds: int, advance: Callable[[int], object]) -> Iterator[Check]:
    """Whether an object is created once only, first by one writer, then in races."""
    alone = Count()
    first, key = site.connections[0], site.key("create")
    alone.add(_creates(first, key, b"first"), "a new object was refused")
    for connection in site.connections[:2]:
        outcome, _ = attempt(connection, key, b"second", None)
        alone.add(outcome is not Outcome.WRITTEN, "an object that was there was created again")
    alone.add(content(first, key) == b"first", "the second content replaced the first")
    first.remove(key)
    alone.add(_creates(first, key, b"third"), "an object that was removed could not be created again")
    yield alone.check("create", "An object is created only if there is none", _LOSES)
    if not alone.wrong:
        raced = Count()
        for number in range(rounds):
            _race_creation(site, site.key(f"races/{number}"), raced)
            advance(number + 1)
        yield raced.check(
            "create-race", f"Of {len(site.connections)} that create one object at once, one succeeds", _LOSES
        )


def _creates(connection: BlobBucket, key: str, data: bytes) -> bool:
    """Whether an object that is not there can be created. The end of a try may be unclear."""
    for _ in range(_TRIES):
        attempt(connection, key, data, None)
        if content(connection, key) == data:
            return True
    return False


def _race_creation(site: Site, key: str, count: Count) -> None:
    contents = [nonce() for _ in site.connections]

    def created(connection: BlobBucket, data: bytes) -> Callable[[], Outcome]:
        return lambda: attempt(connection, key, data, None)[0]

    outcomes = together([created(*each) for each in zip(site.connections, contents, strict=True)])
    stored = content(site.connections[0], key)
    written = [data for data, outcome in zip(contents, outcomes, strict=True) if outcome is Outcome.WRITTEN]
    if stored is None and not written:  # S3 may refuse all of a race; then the next one alone must succeed
        outcome, _ = attempt(site.connections[0], key, contents[0], None)
        count.add(outcome is not Outcome.REFUSED, "all were refused, and there is no object")
        return
    count.add(
        all(data == stored for data in written),
        f"{len(written)} succeeded" if len(written) > 1 else "an object has other content than was acknowledged",
    )


def check_replacement(site: Site, appends: int, advance: Callable[[int], object]) -> Iterator[Check]:
    """Whether an object is replaced only if it is as expected, first by one writer, then in a race."""
    key = site.key("replace")
    question = "An object is replaced only if it is as expected"
    writer = site.connections[0]
    old = create(writer, key, b"first")
    for _ in range(_TRIES):
        _, new = attempt(writer, key, b"second", old)
        found = writer.get(key)
        if new is None and isinstance(found, Object) and found.data == b"second":
            new = found.version  # the end was unclear
        if new is not None:
            break
    if new is None:
        yield Check(
            "replace",
            Result.FAILS,
            f"{question}: it is refused each time, also when it is as expected.",
            "quire could publish the first file of a project, and nothing more. Ceph is so before version 20: update "
            "it, or use another server.",
        )
        return
    alone = Count()
    alone.add(content(writer, key) == b"second", "an acknowledged replacement did not take place")
    outcome, _ = attempt(site.connections[1], key, b"third", old)
    alone.add(outcome is not Outcome.WRITTEN, "an earlier state was taken for the present one")
    alone.add(content(writer, key) == b"second", "a refused replacement took place")
    writer.remove(key)
    outcome, _ = attempt(writer, key, b"fourth", new)
    alone.add(outcome is not Outcome.WRITTEN, "an object that is gone was replaced")
    yield alone.check("replace", question, _LOSES)
    if not alone.wrong:
        yield _race_replacement(site, appends, advance)


def _race_replacement(site: Site, appends: int, advance: Callable[[int], object]) -> Check:
    """Several writers append to one list at once: each acknowledged word must be in it, once."""
    key = site.key("appends")
    create(site.connections[0], key, b"[]")
    each = max(1, appends // _WRITERS)
    done: list[str] = []

    def append(connection: BlobBucket) -> Callable[[], list[str]]:
        def run() -> list[str]:
            words = []
            for _ in range(each):
                word = nonce().decode()
                if _append(connection, key, word):
                    words.append(word)
                done.append(word)
                advance(len(done))
            return words

        return run

    acknowledged = [
        word for words in together([append(each) for each in site.connections[:_WRITERS]]) for word in words
    ]
    stored: list[str] = json.loads(content(site.connections[-1], key) or b"[]")
    count = Count()
    for word in acknowledged:
        count.add(stored.count(word) == 1, "an acknowledged change is lost")
    return count.check(
        "replace-race",
        f"No change of {_WRITERS} writers to one object is lost",
        _LOSES,
        unasked=", because every one of them was refused or had an unclear end",
    )


def _append(connection: BlobBucket, key: str, word: str) -> bool:
    """Whether the word is known to be in the list."""
    for _ in range(_PATIENCE):
        found = connection.get(key)
        if not isinstance(found, Object):
            return False
        words = json.loads(found.data)
        if word in words:  # an unclear try of before
            return True
        if attempt(connection, key, json.dumps([*words, word]).encode(), found.version)[0] is Outcome.WRITTEN:
            return True
    return False
