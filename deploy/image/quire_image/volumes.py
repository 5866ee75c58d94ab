"""Whether the container's user may do with its directories and files what it has to: else one sentence says why not.

quire itself would start read-only on a directory that it may not write, or say "Permission denied". In a container
the reason is nearly always that the volume belongs to another uid, so the sentence names both.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from quire.config.settings import Settings
from quire.domain.errors import ConfigurationError

_STORE = ("quire", "quire/records", "quire/blobs", "quire/incoming")
"""Folders of the store under the first directory; left by another uid, the first upload would fail."""


def check_home() -> None:
    """Raise ConfigurationError when the home, which is the working directory too, may not be entered.

    To be asked before the settings are read, as quire.toml is looked for there.
    """
    _check_reachable(Path.home() / "packages")


def check(settings: Settings) -> None:
    """Raise ConfigurationError, a sentence, when a directory or the password file cannot be used."""
    home = Path.home() / "packages"
    for directory in settings.directories:
        path = Path(directory)
        if path == home and not path.exists():
            _make(path)
        _check_readable(path)
    if not settings.read_only:
        for folder in (Path(settings.root), *(Path(settings.root, name) for name in _STORE)):
            _check_writable(folder)
    if settings.passwords is not None:
        _check_password_file(Path(settings.passwords))


def _make(path: Path) -> None:
    """Make the default directory, which is not there when a volume without it is mounted at /data."""
    try:
        path.mkdir()
    except OSError as error:
        raise ConfigurationError(
            f"The directory {path} does not exist, and {_me()} cannot make it ({error.strerror}){_owner(path.parent)}; "
            f"mount a volume at {path}, or {_remedy(path.parent)}."
        ) from error


def _check_readable(path: Path) -> None:
    _check_reachable(path)
    if not path.is_dir():
        return  # quire has a sentence for it, and nothing about it is particular to a container
    if not os.access(path, os.R_OK | os.X_OK):
        raise ConfigurationError(f"The directory {path} cannot be read by {_me()}{_owner(path)}; {_remedy(path)}.")


def _check_reachable(path: Path) -> None:
    """Raise when a folder above the path may not be passed through: the path itself then looks as if it were absent."""
    for above in reversed(path.parents):
        if above.is_dir() and not os.access(above, os.X_OK):
            raise ConfigurationError(
                f"{path} cannot be reached by {_me()}, because {above} may not be entered{_owner(above)}; "
                f"{_remedy(above)}."
            )


def _check_writable(path: Path) -> None:
    if not path.is_dir() or os.access(path, os.W_OK | os.X_OK):
        return
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return  # mounted so on purpose: quire serves it, and says that it takes no uploads
    raise ConfigurationError(
        f"The directory {path} cannot be written by {_me()}{_owner(path)}; {_remedy(path)}, "
        "or serve it without uploads (--read-only)."
    )


def _check_password_file(path: Path) -> None:
    _check_reachable(path)
    if not path.exists():
        raise ConfigurationError(
            f"The password file {path} does not exist; "
            "mount it, or set QUIRE_USER and QUIRE_PASSWORD, or QUIRE_HTPASSWD."
        )
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"The password file {path} cannot be read by {_me()}{_owner(path)}; {_remedy(path)}.")


def _me() -> str:
    return f"uid {os.geteuid()} (gid {os.getegid()})"


def _owner(path: Path) -> str:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    return f": it belongs to uid {status.st_uid} (gid {status.st_gid}) and has the mode {mode:04o}"


def _remedy(path: Path) -> str:
    """Advice for its owner, or the user that starts the container. Root's own files are a reason to give them away
    only."""
    status = path.stat()
    recursively = "-R " if path.is_dir() else ""
    give = f"give it away (chown {recursively}{os.geteuid()}:{os.getegid()} on the volume)"
    if status.st_uid == os.geteuid():
        return f"let its owner use it (chmod {recursively}u+rwX on the volume)"
    if status.st_uid == 0:
        return give
    return f"{give}, or start the container as its owner (--user {status.st_uid}:{status.st_gid})"
