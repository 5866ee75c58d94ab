"""The primitives of the store, tried one by one: hard links, exclusive creation, renaming, fsync, times that move."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator

from quire.doctor.findings import Finding, Weight
from quire.store.posix.directory import COARSE_RACY_SECONDS, Directories
from quire.store.posix.files import create_durable, is_same_file, sync_directory

_LONGEST_NAME = 249
"""Bytes: an upload's filename may have 240, and its metadata is stored with nine more."""
NEEDED = {"no-hard-links", "link-replaces", "no-exclusive-create", "rename-replaces", "no-fsync", "cannot-try"}
"""Findings after which nothing else can be tried."""
_CANNOT_LINK = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EXDEV, errno.EACCES}


def try_primitives(folder: str, directories: Directories) -> Iterator[Finding]:
    """The required operations that do not work. `folder` is empty and not used by others."""
    for trial in _TRIALS:
        place = f"{folder}/{trial.__name__}"
        try:
            os.mkdir(place)
            finding = trial(place, directories)
        except OSError as error:
            finding = Finding(
                "cannot-try",
                Weight.UNSURE if error.errno in {errno.ENOSPC, errno.EDQUOT} else Weight.BREAKS,
                f"The file system answered {trial.__name__.replace('_', ' ')} with an error: {error.strerror}.",
                "Free some space." if error.errno in {errno.ENOSPC, errno.EDQUOT} else "Use another file system.",
            )
        if finding is not None:
            yield finding


def syncing_a_file_and_a_directory(place: str, directories: Directories) -> Finding | None:
    """fsync must work, on directories as well: without it nothing acknowledged is durable."""
    create = os.open(f"{place}/file", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        os.write(create, b"x")
        os.fsync(create)
        sync_directory(place)
    except OSError as error:
        return Finding(
            "no-fsync",
            Weight.BREAKS,
            f"fsync fails ({error.strerror}): nothing can be made certain to survive a crash.",
            "Use another file system.",
        )
    finally:
        os.close(create)
    return None


def creating_a_name_that_is_there(place: str, directories: Directories) -> Finding | None:
    """O_EXCL and mkdir must refuse a name that is taken."""
    create_durable(f"{place}/name", b"first")
    try:
        create_durable(f"{place}/name", b"second")
    except FileExistsError:
        return None
    return Finding(
        "no-exclusive-create",
        Weight.BREAKS,
        "A file that exists can be created again (O_EXCL is ignored).",
        "Use another file system.",
    )


def linking(place: str, directories: Directories) -> Finding | None:
    """link() must work, give the same inode, and refuse a name that is taken: it is how a change is committed."""
    create_durable(f"{place}/one", b"1")
    create_durable(f"{place}/other", b"2")
    try:
        os.link(f"{place}/one", f"{place}/name")
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        return Finding(
            "no-hard-links",
            Weight.BREAKS,
            f"There are no hard links here ({error.strerror}); a change is committed by one.",
            "Use a file system that has hard links: any usual disk, NFS.",
        )
    refused = False
    try:
        os.link(f"{place}/other", f"{place}/name")
    except FileExistsError:
        refused = True
    fd = directories.open_file(place, "name")
    content = b""
    if fd is not None:
        with open(fd, "rb", buffering=0) as file:
            content = file.read(10)
    if not refused or content != b"1":
        return Finding(
            "link-replaces",
            Weight.BREAKS,
            "link() takes a name that is already there, so two changes at once cannot be distinguished.",
            "Use another file system.",
        )
    if not is_same_file(f"{place}/one", f"{place}/name"):
        return Finding(
            "link-inode",
            Weight.BREAKS,
            "Two names of one file have different inode numbers: a repeated request looks like another machine's.",
            "Mount it with the server's own inode numbers (CIFS: serverino; FUSE: use_ino).",
        )
    return None


def renaming_a_directory(place: str, directories: Directories) -> Finding | None:
    """A directory must move in one step, never onto one that has files: that is how a project appears."""
    for name in ("new", "taken"):
        os.mkdir(f"{place}/{name}")
        create_durable(f"{place}/{name}/file", name.encode())
    try:
        os.rename(f"{place}/new", f"{place}/taken")
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
    else:
        return Finding(
            "rename-replaces",
            Weight.BREAKS,
            "A directory can be renamed onto another one that has files in it.",
            "Use another file system.",
        )
    os.rename(f"{place}/new", f"{place}/free")
    if not os.path.isfile(f"{place}/free/file"):
        return Finding("rename-loses", Weight.BREAKS, "A renamed directory lost its file.", "Use another file system.")
    return None


def creating_a_long_name(place: str, directories: Directories) -> Finding | None:
    """Filenames of distributions may be long."""
    try:
        create_durable(f"{place}/{'n' * _LONGEST_NAME}", b"")
    except OSError as error:
        if error.errno not in {errno.ENAMETOOLONG, errno.EINVAL}:
            raise
        return Finding(
            "short-names",
            Weight.ADVICE,
            f"Names of {_LONGEST_NAME} bytes are refused, so files with very long names cannot be published.",
        )
    return None


def changing_the_times_of_a_directory(place: str, directories: Directories) -> Finding | None:
    """Adding a name must change the result of fstat after open of a directory, or no reader would read it again.

    Tried for as long as the coarsest clock may take; a usual one answers at once.
    """
    before = directories.identity(place)
    certain = before is not None
    until = time.monotonic() + COARSE_RACY_SECONDS
    number = 0
    while time.monotonic() < until:
        create_durable(f"{place}/{number}", b"")
        number += 1
        identity = directories.identity(place)
        certain = certain or identity is not None
        if certain and identity != before:
            return None
        time.sleep(0.01)
    if not certain:
        return Finding(
            "never-certain",
            Weight.ADVICE,
            "The kernel never stands by the times of a directory here, so every question lists the folder: right, but "
            "slower.",
        )
    return Finding(
        "still-times",
        Weight.BREAKS,
        f"A directory looks the same after {number} files were added in {COARSE_RACY_SECONDS} seconds: its times stand "
        f"still, or are answered from memory.",
        "Use another file system, or mount it without attribute caching.",
    )


Trial = Callable[[str, Directories], Finding | None]
_TRIALS: tuple[Trial, ...] = (
    syncing_a_file_and_a_directory,
    creating_a_name_that_is_there,
    linking,
    renaming_a_directory,
    creating_a_long_name,
    changing_the_times_of_a_directory,
)
