"""The runs, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

JUDGE = ("-m", "tests.linearizability", "torture")
MIRRORS = ("-m", "tests.linearizability.mirrors")
PROMOTIONS = ("-m", "tests.linearizability.promotions")
RIGHTS = ("--rights-alone", "--workers", "2", "--askers", "6", "--pause", "0.05", "--kill-every", "5")


@dataclass(frozen=True, slots=True)
class Run:
    """One of them."""

    name: str
    title: str
    """Of its line on the page."""
    arguments: Sequence[str]
    """Of Python; `{bucket}` stands for the URL of the bucket of the rig."""
    minutes: int
    """That it takes, about."""
    kind: Literal["judged", "nfs", "faults"] = "judged"
    """judged: a program that writes a report by `--report`; nfs, faults: a suite of pytest."""
    release: str = ""
    """Of Debian, for its kernel; see `tests.nfs.rig`."""
    bucket: bool = False
    """Whether it needs the rig's."""


def _nfs(name: str, title: str, release: str) -> Run:
    return Run(name, title, ("-m", "pytest", "tests/nfs", "-n", "2", "--dist", "loadgroup"), 30, "nfs", release)


def _local(number: int) -> Run:
    """Of servers that need no login to read: nothing but reads and changes of projects, as many as there can be."""
    words = ("--open", "--seconds", "1200", "--seed", str(number), "--workers", "2", "--kill-every", "4")
    return Run(f"local-{number}", f"judged load on a local directory, seed {number}", (*JUDGE, *words), 25)


RUNS: Final[Sequence[Run]] = (
    _local(31),
    _local(32),
    Run(
        "everything",
        "half an hour of everything at once: projects, drop-in files, rights, tokens; kills as fast as workers start",
        (*JUDGE, "--seconds", "1800", "--seed", "41"),
        33,
    ),
    Run(
        "bucket",
        "judged load over a bucket (Ceph), 50 of 1,000 requests to it fail",
        (
            *(*JUDGE, "--open", "--bucket", "{bucket}/judged", "--seconds", "1500", "--seed", "51"),
            *("--workers", "2", "--readers", "12", "--kill-every", "5", "--faults", "50"),
        ),
        28,
        bucket=True,
    ),
    Run(
        "everything-bucket",
        "everything at once over a bucket: projects, rights, tokens; 20 of 1,000 requests to it fail",
        (
            *(*JUDGE, "--bucket", "{bucket}/everything", "--seconds", "480", "--seed", "52", "--workers", "2"),
            *("--askers", "1", "--kill-every", "5", "--faults", "20"),
        ),
        11,
        bucket=True,
    ),
    _nfs("nfs", "all tests over real NFS", ""),
    _nfs("nfs-newer", "all tests over real NFS, a newer kernel", "trixie"),
    Run(
        "rights",
        "nothing but rights, on a local directory",
        (*JUDGE, *RIGHTS, "--seconds", "600", "--seed", "61", "--decisions", "100000"),
        3,
    ),
    Run(
        "rights-bucket",
        "nothing but rights, over a bucket, 20 of 1,000 requests to it fail",
        (
            *(*JUDGE, *RIGHTS, "--bucket", "{bucket}/rights", "--seconds", "600", "--seed", "62"),
            *("--decisions", "100000", "--faults", "20"),
        ),
        6,
        bucket=True,
    ),
    Run(
        "rights-nfs",
        "nothing but rights, over both NFS mounts",
        ("-m", "tests.nfs.rights", "--seconds", "600", "--seed", "63", "--decisions", "50000"),
        13,
    ),
    Run(
        "mirror",
        "mirrored pages and files of an upstream that changes, fails and lies, on a local directory",
        (*MIRRORS, "--seconds", "300", "--seed", "71", "--kill-every", "1.5"),
        7,
    ),
    Run(
        "mirror-bucket",
        "the same over a bucket",
        (
            *(*MIRRORS, "--bucket", "{bucket}/mirror", "--seconds", "120", "--seed", "72"),
            *("--workers", "2", "--processes", "1", "--kill-every", "3"),
        ),
        4,
        bucket=True,
    ),
    Run(
        "promotions",
        "stages: two to five projects promoted at once, on a local directory",
        (*PROMOTIONS, "--seconds", "180", "--seed", "81", "--kill-every", "1.5"),
        4,
    ),
    Run(
        "promotions-bucket",
        "the same over a bucket",
        (
            *(*PROMOTIONS, "--bucket", "{bucket}/promotions", "--seconds", "90", "--seed", "82"),
            *("--workers", "2", "--kill-every", "6"),
        ),
        3,
        bucket=True,
    ),
    Run(
        "faults",
        "every change killed at every system call, calls that fail, power cuts, whole servers killed",
        ("-m", "pytest", "tests/faults", "-m", "faults", "-n", "2"),
        15,
        "faults",
    ),
    Run(
        "faults-bucket",
        "every change killed before and after every request to the bucket, and each request failed in twelve ways",
        (
            *("-m", "pytest", "tests/store/bucket/test_kills.py", "tests/bucket/test_killed_processes.py"),
            *("tests/bucket/test_faults.py", "-m", "bucket or not bucket", "-n", "2"),
        ),
        10,
        "faults",
        bucket=True,
    ),
)
