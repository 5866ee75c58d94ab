"""Having the C library give memory back to the system.

Theory of operation. glibc serves large blocks by mmap and gives them back when they are freed, but after the first such
block it takes blocks of that size for usual, and from then on keeps them, up to 32 MiB (mallopt(3), "dynamic mmap
threshold"). A worker that renders the list of a large index now and then has such blocks for a moment: rendered and
compressed pages of megabytes. Between them come the small objects that it remembers, so what was freed stays with the
process, in pieces. With 100,000 projects, whose list changed and was fetched again and again among requests for single
projects, a worker grew to 182 MiB; with fixed thresholds, to 140. Nothing smaller than the threshold is affected.
"""

from __future__ import annotations

from collections.abc import Mapping

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE = 512 * 1024
"""Bytes. More than any piece of a download, which come too often for a system call each; an upload's come with one to
the disk anyway."""


def release_large_blocks(environ: Mapping[str, str]) -> bool:
    """Fix both thresholds of this process's allocator; whether that was done.

    Not where the operator tunes it (MALLOC_..., GLIBC_TUNABLES), and not where the C library has no such knobs (musl).
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environ):
        return False
    try:
        import ctypes  # noqa: PLC0415 - for this alone

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE) and mallopt(_M_TRIM_THRESHOLD, _LARGE))
