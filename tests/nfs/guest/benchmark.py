"""The part of `make bench` that runs over NFS; see benchmarks/nfs_guest.py."""

from __future__ import annotations

from benchmarks.nfs_guest import run

__all__ = ["run"]
