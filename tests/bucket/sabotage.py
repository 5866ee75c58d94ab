"""The store in a bucket with one of its safeguards removed, to see that the judge convicts it.

`python -m tests.bucket.sabotage KIND run s3://...` is quire's command line without the safeguard; `none` leaves all of
them. With `--patient` before KIND requests to the bucket may take longer than a schedule of the tests does.

Replaced here: the safeguards, which no setting removes, and the patience of requests.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

from quire import cli
from quire.store.bucket import client, swaps
from quire.store.bucket.documents import Document, Verdict, judge
from quire.store.bucket.names import NameLists
from quire.store.bucket.patience import Patience
from quire.store.bucket.records import BucketRecords
from quire.store.contracts import Names

if TYPE_CHECKING:
    from collections.abc import Iterator

_STALE = "00000000"
_REMEMBERED = 0.5
"""Seconds for which a listing is believed: it has no validator, and is too dear for each request."""
_LONG = 300.0
"""Seconds that no schedule of the tests takes, on the slowest machine."""


class Safeguard(StrEnum):
    """The one that is removed."""

    NONCE = "nonce"
    """A writer that was refused takes what it finds for another one's, also its own document."""
    FENCE = "fence"
    """A sweep settles a name without stopping the writer that it takes for dead."""
    FRESH = "fresh"
    """All writers have the same token."""
    LIST = "list"
    """The bucket's listing is the list of names."""


def without_nonce(found: Document | None, written: Document) -> Verdict:
    """In the place of `judge`."""
    verdict = judge(found, written)
    return Verdict.CONFLICT if verdict is Verdict.WRITTEN else verdict


def without_fence(_records: BucketRecords, _key: str) -> None:
    """In the place of `fence`."""


def with_one_token(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of the list of names that gets a token, with the same one for each writer."""

    def changed(lists: NameLists, folder: str, name: str, _token: str, *arguments: Any, **more: Any) -> Any:
        return method(lists, folder, name, _STALE, *arguments, **more)

    return changed


class Listings:
    """In the place of `names`."""

    def __init__(self) -> None:
        self._remembered: dict[str, tuple[float, Names]] = {}

    def names(self, records: BucketRecords, prefix: str, _known: Names | None = None) -> Names:
        moment, names = self._remembered.get(prefix, (0.0, None))
        if names is None or time.monotonic() - moment > _REMEMBERED:
            moment, names = time.monotonic(), self._listed(records, prefix)
            self._remembered[prefix] = moment, names
        return names

    def _listed(self, records: BucketRecords, prefix: str) -> Names:
        keys = [each.key for each in records._bucket.list(f"records/{prefix}")]
        names = [key.rpartition("/")[2].removesuffix(".json") for key in keys]
        found = tuple(name for name in names if records.read(f"{prefix}/{name}").data is not None)
        return Names(prefix, found, " ".join(found))


@contextmanager
def without(safeguard: Safeguard) -> Iterator[None]:
    """The store without one of its safeguards, in this process and those that it forks."""
    with ExitStack() as stack:
        if safeguard is Safeguard.NONCE:
            stack.enter_context(mock.patch.object(swaps, "judge", without_nonce))
        elif safeguard is Safeguard.FENCE:
            stack.enter_context(mock.patch.object(BucketRecords, "fence", without_fence))
        elif safeguard is Safeguard.FRESH:
            for name in ("_add_token", "_leave"):
                method = with_one_token(getattr(NameLists, name))
                stack.enter_context(mock.patch.object(NameLists, name, method))
        else:
            listings = Listings()
            replaced = lambda records, prefix, known=None: listings.names(records, prefix, known)  # noqa: E731
            stack.enter_context(mock.patch.object(BucketRecords, "names", replaced))
        yield


@contextmanager
def patient() -> Iterator[None]:
    """Buckets whose requests may be held for minutes; listings are believed as long."""
    long = Patience(read=_LONG, request=_LONG, long_request=_LONG)
    opened = partial(client.open_bucket, patience=long)
    with mock.patch.object(client, "open_bucket", opened), mock.patch(f"{__name__}._REMEMBERED", _LONG):
        yield


def main() -> int:
    """Run a command of quire."""
    arguments = sys.argv[1:]
    with ExitStack() as stack:
        if arguments[0] == "--patient":
            stack.enter_context(patient())
            arguments = arguments[1:]
        if arguments[0] != "none":
            stack.enter_context(without(Safeguard(arguments[0])))
        return cli.main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
