"""Reading the files of an import's source: whole and unchanged, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from quire.dropin.files import MAX_SIGNATURE_BYTES, FileStat, Fingerprint, open_regular, private_name
from quire.dropin.listing import Candidate

_CHUNK = 1024 * 1024
_CHANGED = "The source changed meanwhile, so it was left; import it again."


class Refused(Exception):
    """This file cannot be taken; the message is a sentence that says why."""


def read_unchanged(file_stat: FileStat, take: Callable[[bytes], object], notify: Callable[[int], object]) -> None:
    """Hand the file's bytes to `take`. Its fingerprint must be that of `file_stat`, before and after.

    Raises Refused when it is not, or cannot be read; errors of `take` and `notify` pass.
    """
    try:
        with open(open_regular(file_stat.path), "rb", buffering=0) as file:
            if Fingerprint.of(os.fstat(file.fileno())) != file_stat.fingerprint:
                raise Refused("It changed while it was examined; import it again when it is complete.")
            size = 0
            while size <= file_stat.fingerprint.size and (chunk := file.read(_CHUNK)):
                take(chunk)  # raises the store's errors, none of the disk's
                size += len(chunk)
                notify(len(chunk))
            if size != file_stat.fingerprint.size or Fingerprint.of(os.fstat(file.fileno())) != file_stat.fingerprint:
                raise Refused("It changed while it was read; import it again when it is complete.")
    except OSError as error:
        raise Refused(f"It cannot be read ({error.strerror or error}).") from error


def stat_again(file_stat: FileStat) -> FileStat:
    """A file that was given another name, or lost it, which changes its ctime. Raises Refused when more has changed."""
    try:
        fingerprint = Fingerprint.of(os.stat(file_stat.path, follow_symlinks=False))
    except OSError:
        fingerprint = None
    if fingerprint is None or not fingerprint.is_same_but_for_links(file_stat.fingerprint):
        raise Refused("It changed while it was read; import it again when it is complete.")
    return file_stat._replace(fingerprint=fingerprint)


def read_signature(candidate: Candidate) -> tuple[bytes | None, str | None]:
    """The detached signature beside a file; None when there is none. If one had to be left out, a sentence why."""
    if not candidate.is_signed:
        return None, None
    try:
        signature = _read_signature(f"{candidate.path}.asc")
    except OSError as error:
        return None, f"Its signature could not be read ({error.strerror}), and was left."
    if not 0 < len(signature) <= MAX_SIGNATURE_BYTES:
        return None, "What lies beside it as its signature is none, and was left."
    return signature, None


def _read_signature(path: str) -> bytes:
    """The bytes of the file, as far as it may be a signature; none when it is no regular file. Raises OSError."""
    with open(open_regular(path), "rb") as file:
        return file.read(MAX_SIGNATURE_BYTES + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""


def remove(candidate: Candidate, file_stat: FileStat, *, linked: bool) -> str | None:
    """Remove a source file that is safe in the store (of a symbolic link: the link); the reason when it stays.

    `linked`: the file in the store is this very file, under another name.
    """
    try:
        # Held open until it is judged: as long as it is, no other file gets its inode.
        with open(open_regular(file_stat.path), "rb", buffering=0) as held:
            fingerprint = Fingerprint.of(os.fstat(held.fileno()))
            if not (
                fingerprint.is_same_but_for_links(file_stat.fingerprint)
                if linked
                else fingerprint == file_stat.fingerprint
            ):
                return _CHANGED

            def is_source(path: str) -> bool:
                with held:  # closed then: NFS keeps an open file that is removed under another name
                    return _leads_to(path, file_stat, is_link=candidate.is_link)

            return _remove_if(candidate.path, is_source)
    except FileNotFoundError:
        return _CHANGED
    except OSError as error:
        return f"The source could not be removed ({error.strerror})."


def remove_signature(candidate: Candidate, stored: bytes | None) -> str | None:
    """Remove the signature beside a source if it is the one in the store; a sentence when it stays.

    `stored`: None when the store has none.
    """
    path = f"{candidate.path}.asc"
    try:
        if _read_signature(path) == stored:
            reason = _remove_if(path, lambda private: _read_signature(private) == stored)
            if reason != _CHANGED:
                return reason
    except OSError as error:
        return f"Its signature could not be removed ({error.strerror})."
    return "The signature beside it is not the published one, and was left."


def _remove_if(path: str, is_right: Callable[[str], bool]) -> str | None:
    """Remove a file for which `is_right` holds; the reason when it stays. Raises OSError when it cannot be removed.

    The file may be replaced between its stat and its removal, and the new file be lost. So the file is renamed first,
    to an unused name that is not served. `is_right` is called for that name; then the file is removed, or gets its name
    back, unless a newer one has taken it.
    """
    folder, name = os.path.split(path)
    private = os.path.join(folder, private_name(name))
    os.rename(path, private)
    try:
        if is_right(private):
            os.unlink(private)
            return None
    except BaseException:
        _put_back(private, path)
        raise
    return _put_back(private, path)


def _put_back(private: str, path: str) -> str:
    """Give a file its name back; the reason why it was not removed. Raises OSError."""
    try:
        os.link(private, path, follow_symlinks=False)
    except FileExistsError:
        pass  # the file that is there now would have replaced it
    except OSError as error:
        return f"The source changed meanwhile. It is {os.path.basename(private)} now ({error.strerror}); rename it."
    os.unlink(private)
    return _CHANGED


def _leads_to(path: str, file_stat: FileStat, *, is_link: bool) -> bool:
    """Whether the examined file is (by a symbolic link: its target) still at the path that it was moved to."""
    try:
        if is_link and not (os.path.islink(path) and os.path.realpath(path) == file_stat.path):
            return False
        descriptor = open_regular(file_stat.path if is_link else path)
        try:
            return Fingerprint.of(os.fstat(descriptor)).is_same_but_for_links(file_stat.fingerprint)
        finally:
            os.close(descriptor)
    except OSError:
        return False
