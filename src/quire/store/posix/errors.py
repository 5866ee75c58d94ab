"""From errno to the errors of the contract, each with its sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from quire.domain.errors import StoreError, StoreFull, StoreReadOnly
from quire.store.posix.directory import GONE

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
PASSING = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.EINTR, errno.EAGAIN, errno.ETIMEDOUT, errno.EBUSY),
        *(errno.ENOMEM, errno.ENFILE, errno.EMFILE),
    }
)
"""Errors that may be over a moment later: of a network, a server that restarts, a system short of something."""

_READING = ("read", "list", "open")


def reason(error: OSError) -> str:
    """The errno in words, without the path."""
    return os.strerror(error.errno) if error.errno else "unknown error"


def is_vanishing(error: OSError, root: str) -> bool:
    """Whether a name was pruned or replaced between being listed and being opened, so that asking again answers.

    Not so when the root itself is gone: then nothing will ever answer.
    """
    return error.errno in GONE and os.path.isdir(root)


@contextmanager
def if_there() -> Iterator[None]:
    """Pass over a name that is gone by the time that it is come to. For one of many, never for a whole directory."""
    try:
        yield
    except OSError as error:
        if error.errno not in GONE | {errno.ENOTDIR}:
            raise


class StoreErrors:
    """A context that raises StoreFull, StoreReadOnly or StoreError instead of OSError.

    The errno's text is part of the sentence, the path is not: clients see it. (A class, since a generator takes three
    times as long, and an upload enters ten such contexts.)
    """

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        """`doing`: completes "The store cannot ..."."""
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, OSError):
            raise _store_error(self._doing, error) from error


store_errors = StoreErrors


def _store_error(doing: str, error: OSError) -> StoreError:
    reading = doing.startswith(_READING)  # "nothing was written" is for writers
    if error.errno in FULL and not reading:
        return StoreFull(f"The store cannot {doing}: the disk or the quota is full. Free space and repeat.")
    if error.errno in READ_ONLY and not reading:
        return StoreReadOnly(
            f"The store cannot {doing}: it is read-only for the server ({os.strerror(error.errno or 0)})."
        )
    return StoreError(f"The store cannot {doing}: {reason(error)}. Repeat later, or ask the operator of the index.")


@contextmanager
def after_commit(subject: str) -> Iterator[None]:
    """Raise a plain StoreError instead of OSError: the change is visible, so the error must not deny it."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{subject} was written, but the store failed before it was certain to last: {reason(error)}. "
            f"Repeat the change."
        ) from error
