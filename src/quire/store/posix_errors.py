"""From errno to the errors of the contract, each with its sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from quire.errors import StoreError, StoreFull, StoreReadOnly

_FULL = {errno.ENOSPC, errno.EDQUOT}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_READING = ("read", "list", "open")


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Raise StoreFull, StoreReadOnly or StoreError instead of OSError. `doing` completes "The store cannot ...".

    The errno's text is part of the sentence, the path is not: clients see it.
    """
    try:
        yield
    except OSError as error:
        reading = doing.startswith(_READING)  # "nothing was written" is for who writes
        if error.errno in _FULL and not reading:
            raise StoreFull(
                f"The store cannot {doing}: the disk or the quota is full. Free space and repeat."
            ) from error
        if error.errno in _READ_ONLY and not reading:
            raise StoreReadOnly(
                f"The store cannot {doing}: it is read-only for the server ({os.strerror(error.errno or 0)})."
            ) from error
        text = os.strerror(error.errno) if error.errno else "unknown error"
        raise StoreError(
            f"The store cannot {doing}: {text}. Repeat later, or ask the operator of the index."
        ) from error


@contextmanager
def after_commit(subject: str) -> Iterator[None]:
    """Raise a plain StoreError instead of OSError: the change is visible, nobody may be told that it was not made."""
    try:
        yield
    except OSError as error:
        text = os.strerror(error.errno) if error.errno else "unknown error"
        raise StoreError(
            f"{subject} was written, but the store failed before it was certain to last: {text}. Repeat the change."
        ) from error
