"""Publishing sessions (PEP 694, draft): the files of one release that are published together. Pure.

Theory of operation. The files of a session are in a stage, an index of its own that is in front of the one where they
are going to be published. Two documents say how far it is:

- The definition of the stage (`OpenSession`, a part of the store's access document) is there as long as the session is
  open. It says of which release it is, and when it expires; a session without it, or after that, is canceled.
- The session's record (`PublishingSession`) has the files and the status. It stays for some days after the end.

A publication is begun by a swap of the record from an editable status to `processing`: from here on nothing of the
session changes. Then the files are promoted, in one step, and the record says `published`; a refusal, or a failure
before the promotion began, puts the status back that it had. A worker that dies in between leaves `processing`, which
others resolve: when the target has all files with these digests, or its log says that it got them, the session is
published; when it has not, and no promoter can go on any more, it is in `error`. That one cannot go on is no matter of
time, as clocks differ and a worker may stand still for long. A promoter looks at the record once the journal has its
promotion, and gives up when the attempt is not its own. So a worker that resolves it takes the attempt over first
(`taken_over`): a promotion that is not open in the journal then can be none any more.

Each change gives back the very object that it got when there is nothing to do: it is repeated after a write of which
the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from quire.domain.errors import DamagedRecord, NotFound, SessionConflict
from quire.domain.project import File
from quire.domain.structs import decode_as
from quire.domain.times import moment

FORMAT: Final = 2
"""Of records with attestations that are not in the stage yet, which earlier versions would lose; of others 1."""
MOST_ATTESTED_BYTES: Final = 1024 * 1024
"""Of the provenance objects that wait in a session's record."""
MOST_FILES: Final = 500
"""File upload sessions of one publishing session, also canceled ones."""


TOKEN_PREFIX: Final = "s-"  # noqa: S105 - the beginning of each
TOKEN_BYTES: Final = 24
"""Random ones of a token, in hex after its beginning."""


def is_token(text: str) -> bool:
    """Whether a text has the form of a session's token, which is the name of its stage."""
    digits = text.removeprefix(TOKEN_PREFIX)
    has_length = len(digits) == 2 * TOKEN_BYTES and len(text) == len(TOKEN_PREFIX) + 2 * TOKEN_BYTES
    return has_length and not digits.strip("0123456789abcdef")


class Status(StrEnum):
    """How far a session is, by the names of the PEP."""

    OPEN = "open"
    PROCESSING = "processing"
    PUBLISHED = "published"
    ERROR = "error"
    """Open, and the last publication failed after its client could be told."""
    CANCELED = "canceled"


EDITABLE: Final = frozenset({Status.OPEN, Status.ERROR})
ENDED: Final = frozenset({Status.PUBLISHED, Status.CANCELED})


class FileStatus(StrEnum):
    """How far the upload of a file is, by the names of the PEP; nothing here takes `processing`."""

    PENDING = "pending"
    COMPLETED = "completed"
    ERROR = "error"
    CANCELED = "canceled"


class OpenSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of a stage's definition that makes it the stage of a session."""

    project: str
    """Normalized."""
    version: str
    by: str | None = None
    """The subject that created it (`quire.access.grants.parse_owner`); None for a sender without a login."""
    is_first: bool = False
    """Whether its project had no release: then the name is reserved for `by` until the session ends."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""


class SessionFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The upload of one file."""

    filename: str
    size: int
    """Bytes, as its client announced them."""
    hashes: dict[str, str]
    """Hex digests by algorithm of hashlib, as announced."""
    status: FileStatus = FileStatus.PENDING
    sha256: str | None = None
    """Of the bytes that are in the stage; None until they arrived."""
    provenance: str | None = None
    """The provenance object (PEP 740) of attestations that were verified, until the upload is completed."""
    notices: tuple[str, ...] = ()

    @property
    def digest(self) -> str | None:
        """The sha256 of its bytes, as they arrived or are going to; None where that was not announced."""
        return self.sha256 or self.hashes.get("sha256")

    @property
    def is_live(self) -> bool:
        """Whether it is a file of the session."""
        return self.status is not FileStatus.CANCELED


class PublishingSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of a session. Immutable: a change makes a new one."""

    index: str
    """The index where it is published."""
    project: str
    """Normalized."""
    version: str
    created: str
    """RFC 3339, UTC, as the other times."""
    expires: str
    """As it was when the session was created, and when it ended; meanwhile its stage's definition decides."""
    status: Status = Status.OPEN
    files: dict[str, SessionFile] = {}
    """By the id of their upload."""
    attempt: str | None = None
    """The id of the publication under way; None without one."""
    since: str | None = None
    """When that was begun."""
    before: Status = Status.OPEN
    """The status before that."""
    ended: str | None = None
    notices: tuple[str, ...] = ()
    """Sentences for people."""
    aside: dict[str, File] = {}
    """By filename, files of the session that the stage listed before an upload that was deleted took their place, and
    that could not be put back since the bytes of another upload were there."""

    @property
    def live(self) -> dict[str, tuple[str, SessionFile]]:
        """The files of the session by filename, each with the id of its upload; of a file that is being replaced the
        upload that replaces it."""
        return {file.filename: (identity, file) for identity, file in self.files.items() if file.is_live}

    @property
    def bytes_announced(self) -> int:
        """Of all files of the session together."""
        return sum(file.size for _, file in self.live.values())

    @property
    def is_attested(self) -> bool:
        """Whether attestations wait in this record."""
        return any(file.provenance is not None for file in self.files.values())

    def find(self, identity: str) -> SessionFile:
        """The upload of this id. Raises NotFound."""
        file = self.files.get(identity)
        if file is None:
            raise NotFound("There is no such file upload session.")
        return file


class _Document(msgspec.Struct, frozen=True):
    format: int
    session: PublishingSession


def encode_session(session: PublishingSession) -> bytes:
    """The record's bytes."""
    version = FORMAT if session.is_attested else 1
    return msgspec.json.format(msgspec.json.encode(_Document(version, session)), indent=1) + b"\n"


def decode_session(data: bytes | None) -> PublishingSession | None:
    """The session of a record; None without one. Raises DamagedRecord."""
    if data is None:
        return None
    try:
        document = decode_as(data, _Document)
        _check_times(document.session)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DamagedRecord(f"The record of a publishing session cannot be read ({error}).") from error
    if document.format > FORMAT:
        raise DamagedRecord("The record of a publishing session was written by a newer quire; upgrade this one.")
    return document.session


def _check_times(session: PublishingSession) -> None:
    """Raises ValueError for one that is none."""
    for text in (session.created, session.expires, session.since, session.ended):
        if text is not None:
            moment(text)


def check_editable(session: PublishingSession) -> None:
    """Raises SessionConflict for a session that takes no changes now."""
    if session.status is Status.PROCESSING:
        raise SessionConflict("The session is being published and takes no changes; ask for its status.")
    if session.status not in EDITABLE:
        raise SessionConflict(f"The session is {session.status} and takes no changes; create another one.")


def with_file(session: PublishingSession, identity: str, file: SessionFile) -> PublishingSession:
    """With the upload of one more file. A completed one of the same name stays until the new bytes are there
    (`arrived`): it is a file of the session again when the new upload is deleted before. Raises SessionConflict."""
    if identity in session.files:
        return session
    check_editable(session)
    there = session.live.get(file.filename)
    if there is not None and there[1].status is not FileStatus.COMPLETED:
        raise SessionConflict(
            f"The upload of {file.filename} is {there[1].status}; delete it before you begin another one."
        )
    if len(session.files) >= MOST_FILES:
        raise SessionConflict(f"A session has at most {MOST_FILES} uploads of files; publish it, or create another.")
    return msgspec.structs.replace(session, files={**session.files, identity: file})


def arrived(session: PublishingSession, identity: str, sha256: str) -> PublishingSession:
    """The bytes of an upload are in the stage, where they replaced those of an earlier one. Raises NotFound,
    SessionConflict."""
    file = check_pending(session, identity)
    if file.sha256 == sha256:
        return session
    if file.provenance is not None and file.sha256 is not None:
        raise SessionConflict(
            f"The attestations of {file.filename} are of other bytes; delete the upload and repeat it."
        )
    files = {
        each: msgspec.structs.replace(other, status=FileStatus.CANCELED, provenance=None)
        if other.is_live and other.filename == file.filename
        else other
        for each, other in session.files.items()
    }
    changed = msgspec.structs.replace(file, sha256=sha256)
    aside = {name: each for name, each in session.aside.items() if name != file.filename}
    return msgspec.structs.replace(session, files={**files, identity: changed}, aside=aside)


def put_aside(session: PublishingSession, file: File) -> PublishingSession:
    """With a file as the stage listed it, for the next upload of its name that gives way; unchanged where the session
    has it no more, or takes no changes."""
    is_live = any(each.is_live and each.sha256 == file.sha256 for each in session.files.values())
    if session.status not in EDITABLE or not is_live or session.aside.get(file.filename) == file:
        return session
    return msgspec.structs.replace(session, aside={**session.aside, file.filename: file})


def attested(session: PublishingSession, identity: str, sha256: str, provenance: str) -> PublishingSession:
    """With the provenance object of an upload, which is of these bytes. Raises NotFound, SessionConflict."""
    file = check_pending(session, identity)
    if file.digest != sha256:
        raise SessionConflict(f"Other bytes of {file.filename} arrived meanwhile; send its attestations again.")
    files = {**session.files, identity: msgspec.structs.replace(file, provenance=provenance)}
    if sum(len(each.provenance or "") for each in files.values()) > MOST_ATTESTED_BYTES:
        raise SessionConflict("Too many attestations wait in this session; complete uploads that have theirs first.")
    return msgspec.structs.replace(session, files=files)


def check_live(session: PublishingSession, identity: str) -> SessionFile:
    """The upload, which is a file of the session. Raises NotFound, SessionConflict."""
    file = session.find(identity)
    if not file.is_live:
        raise SessionConflict(f"The upload of {file.filename} is {file.status}; begin another one.")
    return file


def check_pending(session: PublishingSession, identity: str) -> SessionFile:
    """The upload, which takes bytes now. Raises NotFound, SessionConflict."""
    check_editable(session)
    file = session.find(identity)
    if file.status is not FileStatus.PENDING:
        raise SessionConflict(f"The upload of {file.filename} is {file.status}; begin another one.")
    return file


def completed(session: PublishingSession, identity: str, provenance: str | None = None) -> PublishingSession:
    """The upload is completed, or in error where no bytes that fit have arrived. `provenance`: that which the stage has
    by now. Raises NotFound, SessionConflict."""
    if session.find(identity).status is FileStatus.COMPLETED:
        return session
    file = check_pending(session, identity)
    if file.sha256 is not None and file.provenance != provenance:
        raise SessionConflict(f"Attestations of {file.filename} arrived meanwhile; complete it again.")
    if file.sha256 is not None:
        return msgspec.structs.replace(session, files=_with_status(session.files, identity, FileStatus.COMPLETED))
    notice = "It was completed before its bytes had arrived; delete it and upload it again."
    failed = msgspec.structs.replace(file, status=FileStatus.ERROR, provenance=None, notices=(notice,))
    return msgspec.structs.replace(session, files={**session.files, identity: failed})


def without_file(session: PublishingSession, identity: str) -> PublishingSession:
    """With an upload canceled. Raises NotFound, SessionConflict."""
    if not session.find(identity).is_live:
        return session
    check_editable(session)
    return msgspec.structs.replace(session, files=_with_status(session.files, identity, FileStatus.CANCELED))


def begun(session: PublishingSession, attempt: str, at: str) -> PublishingSession:
    """Being published. `attempt`: the id of this publication; of a session that another one publishes, or has
    published, nothing changes. Raises SessionConflict."""
    if session.status in {Status.PROCESSING, Status.PUBLISHED}:
        return session
    check_editable(session)
    open_files = [f"{name} ({file.status})" for name, (_, file) in session.live.items() if not _is_completed(file)]
    if open_files:
        raise SessionConflict(
            f"Not all files of the session are completed: {', '.join(open_files[:20])}; complete or delete them, and "
            "publish again."
        )
    return msgspec.structs.replace(
        session, status=Status.PROCESSING, attempt=attempt, since=at, before=session.status, notices=()
    )


def taken_over(session: PublishingSession, attempt: str, by: str) -> PublishingSession:
    """With another attempt `by` in the place of this one, of which nothing was published yet: it must not go on."""
    return session if session.attempt != attempt else msgspec.structs.replace(session, attempt=by)


def given_back(session: PublishingSession, attempt: str, notice: str | None = None) -> PublishingSession:
    """Editable again after a publication that failed; in `error` with a notice where its client could not be told."""
    if session.attempt != attempt:
        return session
    status = session.before if notice is None else Status.ERROR
    notices = session.notices if notice is None else (notice,)
    return msgspec.structs.replace(session, status=status, attempt=None, since=None, notices=notices)


def published(session: PublishingSession, attempt: str, at: str, expires: str) -> PublishingSession:
    """Published by this attempt."""
    return session if session.attempt != attempt else _ended(session, Status.PUBLISHED, at, expires, session.notices)


def canceled(session: PublishingSession, at: str, expires: str, notice: str | None = None) -> PublishingSession:
    """Canceled. Raises SessionConflict while it is being published, and after that."""
    if session.status is Status.CANCELED:
        return session
    check_editable(session)
    return _ended(session, Status.CANCELED, at, expires, () if notice is None else (notice,))


def _ended(
    session: PublishingSession, status: Status, at: str, expires: str, notices: tuple[str, ...]
) -> PublishingSession:
    return msgspec.structs.replace(
        session, status=status, ended=at, expires=expires, attempt=None, since=None, notices=notices
    )


def _is_completed(file: SessionFile) -> bool:
    return file.status is FileStatus.COMPLETED


def _with_status(files: Mapping[str, SessionFile], identity: str, status: FileStatus) -> dict[str, SessionFile]:
    return {**files, identity: msgspec.structs.replace(files[identity], status=status, provenance=None)}
