"""A store whose grants decide, before the servers of a run start: what they are started with, and what clients know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quire.access.grants import Permission
from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations import granting
from quire.store.opening import open_store
from tests.asking import password_file
from tests.distributions import make_wheel, wheel_name
from tests.tokens import make_token

PROJECT: Final = "judged"
"""The project that the holders' clients ask for. It never changes: the upload that they repeat is in it already."""
FILENAME: Final = wheel_name(PROJECT, "1.0")
_ORIGIN: Final = Origin(command="judge")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A prepared store."""

    flags: tuple[object, ...]
    """Of its servers."""
    holders: tuple[str, ...]
    """See `Plan.holders`."""
    token: str
    """See `Plan.token`."""
    admin: str
    """See `Plan.admin`."""


def content() -> bytes:
    """The bytes of the only file of `PROJECT`."""
    return make_wheel(PROJECT, "1.0")


def password_of(holder: str) -> str:
    return f"password of {holder}"


def guard(store: Path | str, folder: Path, holders: Sequence[str] = ("ash", "beech", "fir")) -> Guarded:
    """Give a store its first grants, which leave out the holders, a token for all the other clients, and one of
    an administrator.

    `folder`: for the password file.
    """
    opened = open_store(str(store))
    access = AccessRecords(opened)
    grants, _ = granting.begin(access, "root", ("download", "list", "update"), _ORIGIN)
    wide = {grant.subject for grant in grants} - {"user:root"}
    document = access.read().state.document
    granting.take_back(access, [each for each, grant in document.grants.items() if grant.subject in wide], _ORIGIN)
    token = _make_token(access, Permission.READ, Permission.UPLOAD, Permission.MANAGE)
    admin = _make_token(access, Permission.ADMIN)
    index = Index(opened)
    staging = opened.blobs.stage(upload_key(FILENAME))
    staging.write(content())
    index.publish([examine(staging.finish(), FILENAME)], overwrite=True)
    passwords = password_file(folder, **{holder: password_of(holder) for holder in holders})
    flags = ("-a", "download,list,update", "-P", passwords, "--disable-fallback")
    return Guarded(flags, tuple(holders), token, admin)


def _make_token(access: AccessRecords, *rights: Permission) -> str:
    return make_token(access, rights, origin=_ORIGIN).text
