"""The one place where a store is opened, by a path or a URL.

The place of a store is a directory (a path, or `file:///srv/packages`), a bucket (`s3://bucket/prefix`, `gs://`,
`az://`), or `memory:NAME`: a store in the memory of this process, one per name, which ends with the process. NAME may
be empty.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from quire.domain.errors import ConfigurationError
from quire.store.contracts import DEFAULT_BLOB_OPTIONS, BlobOptions
from quire.store.purposes import Purpose

if TYPE_CHECKING:
    from quire.observe.metrics.tally import Counts
    from quire.store.bucket.client import ObjectBucket
    from quire.store.bucket.name_repairs import NameRepairs
    from quire.store.contracts import Store
    from quire.store.posix.inspector import PosixInspector

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|memory:")
BUCKETS = ("s3", "gs", "az")
"""The schemes of buckets."""
_BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_MEMORY = re.compile(r"memory:([A-Za-z0-9._-]{0,100})")


def has_scheme(place: str) -> bool:
    """Whether this is a URL and no path. A relative path of the form of a URL needs a `./` before it."""
    return _SCHEME.match(place) is not None


def is_in_memory(place: str) -> bool:
    """Whether a place that was parsed is the memory of a process."""
    return _MEMORY.fullmatch(place) is not None


def is_directory(place: str) -> bool:
    """Whether a place that was parsed is the path of a directory."""
    return not has_scheme(place)


def parse_place(place: str) -> str:
    """The path of a directory as it was written or as a `file://` URL names it; the URL of a bucket; `memory:NAME`.

    Raises ConfigurationError for any other URL.
    """
    if not has_scheme(place) or is_in_memory(place):
        return place
    if place.startswith("memory:"):
        raise ConfigurationError(f"{place!r} has a name that cannot be used; use letters, digits, '.', '_' and '-'.")
    try:
        url = urlsplit(place)
    except ValueError as error:
        raise ConfigurationError(f"{_shown(place)} is no URL ({error}).") from error
    if url.scheme in BUCKETS:
        example = f"{url.scheme}://bucket/prefix"
        if "@" in url.netloc or url.query:
            raise ConfigurationError(
                f"The URL of the bucket has credentials or parameters in it; write it like {example}, and give "
                "credentials by the variables of the cloud, which no other user of the machine sees."
            )
        if not _BUCKET_NAME.fullmatch(url.netloc) or url.fragment or ".." in url.path.split("/"):
            raise ConfigurationError(f"{_shown(place)} is no URL of a bucket; write it like {example}.")
        return place.rstrip("/")
    if url.scheme != "file":
        raise ConfigurationError(
            f"{_shown(place)} cannot be served: a store is in a directory or a bucket; give a path, or s3://, gs://, az://."
        )
    path = unquote(url.path)
    if url.netloc not in {"", "localhost"} or not path.startswith("/") or "\0" in path or url.query or url.fragment:
        raise ConfigurationError(
            f"{_shown(place)} names no directory of this machine; write it like file:///srv/packages."
        )
    return path


def _shown(place: str) -> str:
    """A URL for a sentence, unless it may have a password in it."""
    return "It" if "@" in place or "?" in place else repr(place)


def open_store(
    place: str | Path,
    *,
    create: bool = True,
    read_only: bool = False,
    coarse_changes: float = 0.0,
    blob_options: BlobOptions = DEFAULT_BLOB_OPTIONS,
    purpose: Purpose = Purpose.INDEX,
) -> Store:
    """The store at a place. Each worker opens it for itself.

    `create`: make the store when there is none and it can be made; without it, an empty store is served. `read_only`:
    never write. A store that cannot be written is opened all the same, with `writable` False.
    `coarse_changes`: see `quire.store.posix.changes`; other stores need none. `purpose`: see `quire.store.purposes`.
    Raises ConfigurationError when this is no place for a store; StoreError, UnknownLayout when it cannot be opened.
    """
    # Only the store that is opened is imported.
    place = parse_place(str(place))
    if is_in_memory(place):
        from quire.store.memory import MemoryStore  # noqa: PLC0415 - see above

        return MemoryStore.named(place, writable=not read_only)
    if not is_directory(place):
        return _open_bucket(place, create=create, read_only=read_only, options=blob_options, purpose=purpose)
    from quire.store.posix.store import PosixStore  # noqa: PLC0415 - see above

    return PosixStore.open(place, create=create, read_only=read_only, coarse_changes=coarse_changes, purpose=purpose)


def open_objects(place: str) -> ObjectBucket:
    """The objects of the bucket at a place, below the store. Raises ConfigurationError."""
    try:
        from quire.store.bucket.client import open_bucket  # noqa: PLC0415 - see `open_store`
    except ImportError as error:
        raise ConfigurationError("A store in a bucket needs obstore; install quire-index[bucket].") from error
    return open_bucket(place, os.environ)


def _open_bucket(place: str, *, create: bool, read_only: bool, options: BlobOptions, purpose: Purpose) -> Store:
    from quire.store.bucket.store import BucketStore  # noqa: PLC0415 - see `open_store`

    return BucketStore(
        open_objects(place), place, writable=not read_only, create=create, options=options, purpose=purpose
    )


def requests_of(store: Store) -> Counts | None:
    """The requests to the bucket of a store, counted; None for a store in none."""
    if is_directory(store.place) or is_in_memory(store.place):
        return None
    from quire.store.bucket.store import BucketStore  # noqa: PLC0415 - see `open_store`

    return store.bucket.counts if isinstance(store, BucketStore) else None


def name_repairs_of(store: Store) -> NameRepairs | None:
    """Repairs of the lists of names of a store in a bucket; None for another one. Raises StoreReadOnly."""
    if is_directory(store.place) or is_in_memory(store.place):
        return None
    from quire.store.bucket.store import BucketStore  # noqa: PLC0415 - see `open_store`

    return store.records.repairs() if isinstance(store, BucketStore) else None


def inspector_of(store: Store) -> PosixInspector | None:
    """The inspector of the store's own folders; None for a store without folders."""
    from quire.store.posix.inspector import PosixInspector  # noqa: PLC0415 - see `open_store`
    from quire.store.posix.store import PosixStore  # noqa: PLC0415 - see `open_store`

    return PosixInspector(store) if isinstance(store, PosixStore) else None
