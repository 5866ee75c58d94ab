"""The files of a publishing session: begun, sent, completed, deleted."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.access.publishing_sessions import check_open
from quire.catalog.hosted import record_of
from quire.domain import publishing_sessions as documents
from quire.domain.errors import (
    DigestMismatch,
    InvalidRequest,
    NotFound,
    SessionConflict,
    StoreError,
    TooLarge,
)
from quire.domain.names import parse_filename, same_version
from quire.domain.publishing_sessions import ENDED, FileStatus, PublishingSession, SessionFile
from quire.domain.quotas import Quotas, index_is_full, project_is_full, size_of
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of
from quire.http.sessions.found import Found, allowed, find
from quire.http.sessions.handlers import extended
from quire.http.sessions.messages import (
    MECHANISM,
    Extension,
    Message,
    NewFile,
    answered,
    deleted,
    file_document,
    media_type_of,
    received,
)
from quire.http.simple.forms import Content, body_chunks, too_large
from quire.http.simple.quotas import quotas_of, room_of
from quire.http.simple.uploads import LARGE_BYTES, facts_of_upload
from quire.index.commits import Change
from quire.index.upload import examine, upload_key
from quire.operations import changing
from quire.operations.session_files import attest, check_staged, put_back, remove_staged
from quire.store.contracts import Staged

_WRITE_BYTES: Final = 1024 * 1024
_CHUNK: Final = 1024 * 1024
_WEAK: Final = frozenset({"md5", "sha1"})


async def add_file(request: Request) -> Response:
    """POST files of a session: an upload is begun."""
    body = await received(request, NewFile)
    found = await find(request)
    session = found.session
    documents.check_editable(session)
    file = _file(body, session)
    if body.size > found.worker.settings.max_upload_size:
        raise too_large(found.worker)
    view = found.index.own(await found.index.project(session.project))
    if file.filename in view.every:
        raise SessionConflict(f"The file {file.filename} already exists in {session.project}; publish a new version.")
    quotas, left = quotas_of(request, found.index), None
    if quotas.index is not None:
        left = await room_of(found.worker, found.index, quotas.index, session.bytes_announced + file.size)
    identity = secrets.token_hex(8)

    def begin() -> PublishingSession:
        used = size_of(record_of(view))
        check = _room_check(found, file, quotas, used, left)

        def transition(known: PublishingSession) -> PublishingSession:
            after = documents.with_file(known, identity, file)
            check(known.bytes_announced, after.bytes_announced)
            return after

        session = found.sessions.change(found.token, transition)
        try:
            # Of two sessions that begin an upload at once, at least the later one finds the other one's here.
            after = session.bytes_announced
            _room_check(found, file, quotas, used, left)(after - file.size, after)
        except SessionConflict:
            found.sessions.change(found.token, lambda known: documents.without_file(known, identity))
            raise
        return session

    session = await found.worker.in_writer(begin)
    return _answer(found.with_session(session), identity, 202, retry=True, is_new=True)


async def file_status(request: Request) -> Response:
    """GET of an upload."""
    return _answer(await find(request), _identity(request), retry=True)


async def take_bytes(request: Request) -> Response:
    """POST of the bytes of a file: checked as an upload is, and put into the stage."""
    found = await find(request)
    identity = _identity(request)
    file = documents.check_pending(found.session, identity)
    if media_type_of(request).startswith(("multipart/", "application/x-www-form")):
        raise HttpError(415, "The body is the file itself, as application/octet-stream; this is a form.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) != file.size:
        raise DigestMismatch(f"{file.filename} was announced with {file.size} bytes, and {length[:20]} are sent.")
    algorithms = found.index.policy.further_algorithms
    content = Content(lambda: found.index.store.blobs.stage(upload_key(file.filename), algorithms))
    try:
        async for chunk in body_chunks(request, found.worker.settings.body_timeout):
            content.add(chunk)
            if content.size > file.size:
                raise TooLarge(f"{file.filename} was announced with {file.size} bytes, and more are sent.")
            if content.pending_bytes >= _WRITE_BYTES:
                await found.worker.in_writer(content.write, content.take_pending())
        if content.size != file.size:
            raise DigestMismatch(f"{file.filename} was announced with {file.size} bytes, and {content.size} arrived.")
        _, state = await allowed(request, found.index, found.session.project)  # the body may have taken long
        check_open(state.document, found.token, datetime.now(UTC))
        run = found.worker.in_writer if content.size <= LARGE_BYTES else found.worker.for_large_upload
        session = await run(_stage, found, identity, file, content, context_of(request.scope).user)
    finally:
        if not content.is_discarded:
            await found.worker.in_writer(content.give_up)
    return _answer(found.with_session(session), identity, retry=True)


async def complete(request: Request) -> Response:
    """POST complete of an upload. One whose bytes did not arrive is in error from then on."""
    await received(request, Message)
    found = await find(request)
    identity = _identity(request)
    has_bytes = found.session.find(identity).sha256 is not None
    is_repeated = found.session.find(identity).status is FileStatus.COMPLETED
    file = documents.check_pending(found.session, identity) if has_bytes and not is_repeated else None

    def work() -> PublishingSession:
        provenance = None
        if file is not None and file.provenance is not None:
            provenance = file.provenance
            attest(found.stage, found.session.project, file, provenance.encode())
        elif file is not None:
            check_staged(found.stage, found.session.project, file.filename, file.sha256)
        return found.sessions.change(found.token, lambda known: documents.completed(known, identity, provenance))

    is_large = file is not None and file.provenance is not None and file.size > LARGE_BYTES
    session = await (found.worker.for_large_upload if is_large else found.worker.in_writer)(work)
    file = session.find(identity)
    if file.status is FileStatus.ERROR:
        raise InvalidRequest(f"{file.filename}: {file.notices[0]}")
    return _answer(found.with_session(session), identity, 201, is_new=True)


async def extend_file(request: Request) -> Response:
    """POST extend of an upload: it expires with its session, which is what ends later."""
    body = await received(request, Extension)
    found, identity = await find(request), _identity(request)
    documents.check_live(found.session, identity)
    return _answer(await extended(found, body), identity, retry=True)


async def delete_file(request: Request) -> Response:
    """DELETE of an upload, completed or not."""
    found = await find(request)
    identity = _identity(request)

    def work() -> None:
        session = found.sessions.change(found.token, lambda known: documents.without_file(known, identity))
        _clear(found, session, session.find(identity))

    await found.worker.in_writer(work)
    return deleted()


def _room_check(
    found: Found, file: SessionFile, quotas: Quotas, used: int, left: int | None
) -> Callable[[int, int], None]:
    """The check that refuses a file that does not fit, by the bytes that its session has announced before and with it.

    It is made in the very step that begins the upload, so that of several at once no more pass than fit, and raises
    SessionConflict. The bytes that other open sessions have announced count as they are now: so it is made again after
    that step. `used`: bytes of the project. `left`: those that the quota of the index leaves; None for any number.
    Raises StoreError.
    """
    project, index = found.session.project, found.index.name
    others = 0 if quotas.project is None else found.sessions.announced(index, project, found.token)
    of_index = 0 if left is None else found.sessions.announced(index, None, found.token)

    def check(before: int, after: int) -> None:
        if after <= before:
            return
        if quotas.project is not None and used + others + after > quotas.project:
            raise SessionConflict(str(project_is_full(project, used + others + before, after - before, quotas.project)))
        if left is not None and quotas.index is not None and of_index + after > left:
            taken = quotas.index - left + of_index + before
            raise SessionConflict(str(index_is_full(index, taken, after - before, quotas.index)))

    return check


def _stage(found: Found, identity: str, file: SessionFile, content: Content, user: str | None) -> PublishingSession:
    """All that waits for the disk, in one thread; a request that is cancelled meanwhile does not stop it."""
    content.own()
    try:
        staged, session = content.finish(), found.session
        _check_hashes(staged, file)
        upload = examine(
            staged,
            file.filename,
            name=session.project,
            version=session.version,
            uploader=user,
            job=found.origin.job,
        )
        if found.index.policies is not None:
            found.index.policies.check_upload(facts_of_upload(upload))
        documents.check_pending(_current(found), identity)
        # The stage is the session's alone: what it has under this name was replaced, or deleted.
        change = changing.publish(found.stage, [upload], overwrite=True, origin=found.origin)
        sha256 = staged.digests.sha256
        found.sessions.check_stage(found.token, found.origin)
        try:
            session = found.sessions.change(found.token, lambda known: documents.arrived(known, identity, sha256))
        except (SessionConflict, NotFound):  # canceled meanwhile, or forgotten
            _withdraw(found, msgspec.structs.replace(file, sha256=sha256), change)
            raise
        found.stage.remove_blobs(change.removed)
        # An upload of the same content may have been withdrawn meanwhile, which had stored it for both.
        check_staged(found.stage, session.project, file.filename, sha256)
        return session
    finally:
        content.discard()


def _current(found: Found) -> PublishingSession:
    return found.sessions.read(found.token) or found.session


def _withdraw(found: Found, file: SessionFile, change: Change) -> None:
    """Take the bytes of an upload that was canceled out of the stage; where the `change` replaced those of a file that
    is still one of the session, these are put back.

    Where the bytes of another upload are there by now, which may have to give way, too, the file is put aside for it.
    Each of both first writes what it did, and then asks what the other one did: so one of them puts the file back.
    """
    session = _current(found)
    digests = _digests(session, file.filename)
    back = [each for each in change.unlisted if each.sha256 in digests]
    if not back or file.sha256 in digests:
        _clear(found, session, file)
        found.stage.remove_blobs(change.removed)
    elif not put_back(found.stage, session.project, file, back, _wanted(found, file)):
        for each in back:
            found.sessions.change(found.token, partial(documents.put_aside, file=each))
    _put_aside_back(found, file)
    for each in back:
        _clear(found, _current(found), msgspec.structs.replace(file, sha256=each.sha256))  # deleted since


def _put_aside_back(found: Found, file: SessionFile) -> None:
    session = _current(found)
    aside = session.aside.get(file.filename)
    if aside is not None and aside.sha256 in _digests(session, file.filename):
        put_back(found.stage, session.project, file, [aside], _wanted(found, file))


def _clear(found: Found, session: PublishingSession, file: SessionFile) -> None:
    """Take the bytes of an upload that was canceled out of the stage, unless another upload has the same."""
    if file.sha256 is not None and file.sha256 not in _digests(session, file.filename):
        remove_staged(found.stage, session.project, file, found.origin, _wanted(found, file))


def _wanted(found: Found, file: SessionFile) -> Callable[[], bool]:
    """Whether an upload of the session has the bytes of a file, as its record is when that is asked."""
    return lambda: file.sha256 in _digests(_current(found), file.filename)


def _digests(session: PublishingSession, filename: str) -> frozenset[str]:
    """Of the bytes of all uploads of a file that are not canceled: while one is being replaced there are two."""
    if session.status in ENDED:
        return frozenset()
    uploads = (each for each in session.files.values() if each.is_live and each.filename == filename)
    return frozenset(each.sha256 for each in uploads if each.sha256 is not None)


def _file(body: NewFile, session: PublishingSession) -> SessionFile:
    """The upload that a body announces. Raises InvalidName, InvalidRequest, HttpError 422."""
    if body.mechanism != MECHANISM:
        raise HttpError(422, f"The mechanism {body.mechanism[:50]!r} is not supported; {MECHANISM} is.")
    parsed = parse_filename(body.filename)
    if parsed.project != session.project or not same_version(parsed.version, session.version):
        raise InvalidRequest(f"{parsed.filename} is no file of {session.project} {session.version}.")
    if body.size <= 0:
        raise InvalidRequest("size is the number of bytes of the file, more than 0.")
    if not (body.hashes.keys() & hashlib.algorithms_guaranteed) - _WEAK:
        raise InvalidRequest("hashes needs the digest of a secure algorithm; use sha256.")
    for name, digest in body.hashes.items():
        if len(digest) != 2 * _hash(name).digest_size:
            raise InvalidRequest(f"The {name} digest of {parsed.filename} has not the length of one in hex.")
    return SessionFile(
        filename=parsed.filename, size=body.size, hashes={name: each.lower() for name, each in body.hashes.items()}
    )


def _hash(name: str) -> hashlib._Hash:
    """Of any algorithm that hashlib has here, and of which a digest has one length. Raises InvalidRequest."""
    with contextlib.suppress(ValueError):  # one that is available may still be switched off
        found = hashlib.new(name, usedforsecurity=False) if name in hashlib.algorithms_available else None
        if found is not None and found.digest_size:
            return found
    raise InvalidRequest(f"The hash algorithm {name[:50]!r} is not known here; use sha256.")


def _check_hashes(staged: Staged, file: SessionFile) -> None:
    """Raises DigestMismatch, StoreError."""
    known = {"sha256": staged.digests.sha256, "md5": staged.digests.md5, **staged.digests.other}
    rest = {name: _hash(name) for name in file.hashes if name not in known}
    if rest:
        try:
            with staged.open() as stream:
                while chunk := stream.read(_CHUNK):
                    for each in rest.values():
                        each.update(chunk)
        except OSError as error:
            raise StoreError("The upload cannot be read back from the store; repeat later.") from error
    actual = known | {name: each.hexdigest() for name, each in rest.items()}
    for name, claim in file.hashes.items():
        if not hmac.compare_digest(claim.encode(), actual[name].encode()):
            raise DigestMismatch(
                f"The {name} digest of {file.filename} is {actual[name]} here, but {claim} was announced; it was "
                "damaged on its way, or another file was announced."
            )


def _identity(request: Request) -> str:
    identity: str = request.path_params["file"]
    return identity


def _answer(found: Found, identity: str, status: int = 200, *, retry: bool = False, is_new: bool = False) -> Response:
    document = file_document(found.links, identity, found.session.find(identity), found.expires)
    return answered(document, status, location=found.links.file(identity) if is_new else None, retry=retry)
