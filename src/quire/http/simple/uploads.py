"""POST of the legacy upload API: `file_upload`, and the other actions that old clients know."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from quire.access.authorization import NO_GRANTS, Right
from quire.archives.zips import has_zip_member
from quire.attestations.verification import AttestationVerifier
from quire.catalog.served import ServedIndex
from quire.domain.changes import Selection
from quire.domain.errors import (
    InvalidDistribution,
    InvalidName,
    InvalidRequest,
    NotFound,
    QuireError,
    StoreError,
    UpstreamError,
)
from quire.domain.names import Kind, ParsedFilename, normalize_name, parse_filename, same_version
from quire.domain.project import Project
from quire.domain.quotas import UNLIMITED, Quotas
from quire.domain.rulings import Facts
from quire.http.app.access import Permit
from quire.http.app.problems import HttpError
from quire.http.app.request_log import RequestContext, context_of, origin_of
from quire.http.app.worker import Worker, index_of, worker_of
from quire.http.simple.forms import Content, Form, received_form
from quire.http.simple.quotas import HEADER, nearly_used, quotas_of, room_of
from quire.index.audit.entries import Origin
from quire.index.commits import Change
from quire.index.upload import Upload, examine
from quire.operations import changing
from quire.operations.changing import FixedFile

log = structlog.get_logger(__name__)

LARGE_BYTES = 8 * 1024 * 1024
"""Up to this size the time to examine an archive is bounded by `limits.MIN_EXPANDED_LIMIT`, a second or two; beyond it,
it grows with the size, up to a minute."""


async def post(request: Request) -> Response:
    """POST /, /legacy/, /simple/: a form whose `:action` says what to do."""
    worker, index = worker_of(request), index_of(request)
    async with received_form(request, worker, index) as form:
        action = form.text(":action")
        if action is None:
            raise InvalidRequest("The form field ':action' is missing; to publish a file it is 'file_upload'.")
        if action == "file_upload":
            with _counted(worker):
                return await _file_upload(request, worker, index, form)
        if action == "remove_pkg":
            return await _remove_package(request, worker, index, form)
        if action == "doc_upload":
            return await _doc_upload(worker, form)
        if action in {"submit", "verify"}:
            # distutils' register: projects come to be by their first file, so there is nothing to do
            return PlainTextResponse("Nothing to register: publish a file.\n")
        raise InvalidRequest(f"The ':action' {action[:100]!r} is not supported; to publish a file it is 'file_upload'.")


@contextlib.contextmanager
def _counted(worker: Worker) -> Iterator[None]:
    """Count an upload that comes to nothing: by its client's fault, or by the store's."""
    try:
        yield
    except StoreError:
        worker.metrics.tally.uploads["failed"] += 1
        raise
    except QuireError:
        worker.metrics.tally.uploads["refused"] += 1
        raise


async def _file_upload(request: Request, worker: Worker, index: ServedIndex, form: Form) -> Response:
    if form.content is None or form.filename is None:
        raise InvalidRequest("The form has no file; send the distribution as the file field 'content'.")
    protocol = form.text("protocol_version")
    if protocol not in {None, "1"}:
        raise InvalidRequest(f"The upload protocol version {str(protocol)[:20]!r} is not known; this index speaks 1.")
    project = parse_filename(form.filename).project
    permit = await worker.access.check_change(request, Right.UPLOAD, index.name, project)
    quotas = quotas_of(request, index)
    if quotas.index is not None:
        await room_of(worker, index, quotas.index, form.content.size)
    context = context_of(request.scope)
    overwrite = _check_takes_uploads(worker, index, context)
    if index.is_mirroring:
        await check_name(index, project)
    user = context.user
    origin = origin_of(request, user, worker.proxies)
    publication = partial(
        _publish,
        index,
        form.content,
        form,
        quotas=quotas,
        context=context,
        origin=origin,
        permit=permit,
        overwrite=overwrite,
    )
    run = worker.in_writer if form.content.size <= LARGE_BYTES else worker.for_large_upload
    upload, change = await run(publication, user=user, verifier=worker.attestations)
    filename = upload.parsed.filename
    tally = worker.metrics.tally
    tally.uploads["published" if change.changed else "unchanged"] += 1
    headers, note = {}, ""
    if change.changed and quotas is not UNLIMITED and (nearly := nearly_used(index, change, quotas)):
        headers[HEADER] = ", ".join(f"{what}={used}" for what, used in nearly.items())
        note = "".join(f" The {what} has used {used} % of its quota." for what, used in nearly.items())
    if form.fields.get("attestations") and (reason := _not_kept(upload, change)):
        headers["Quire-Attestations"] = "not-kept"
        note += f" Its attestations were not kept: {reason}."
        log.warning("attestations not kept", project=upload.parsed.project, file=filename, request=context.request_id)
    if not change.changed:
        done = "was already published with the same content; nothing changed"
        return PlainTextResponse(f"{filename} {done}.{note}\n", headers=headers)
    tally.uploaded += upload.staged.size
    worker.remove_blobs_later(index.hosted, change.removed)
    done = "was published"
    if filename in change.restored:
        done = "was damaged in the store; its content is restored"
        if _provenance(change.before, filename) is None and upload.provenance is not None:
            done = "was already published with the same content; its attestations were added"
    return PlainTextResponse(f"{filename} {done}.{note}\n", headers=headers)


def _not_kept(upload: Upload, change: Change) -> str | None:
    """Why the attestations of an upload were not kept; None where they are those of the file now."""
    if upload.provenance is None:
        return "this server verifies none"
    if _provenance(change.after, upload.parsed.filename) != hashlib.sha256(upload.provenance).hexdigest():
        return "the file was published before, and keeps what it has"
    return None


def _provenance(project: Project | None, filename: str) -> str | None:
    """The digest of the provenance that a project has of a file."""
    file = None if project is None else project.files.get(filename)
    return None if file is None else file.provenance_sha256


def _check_takes_uploads(worker: Worker, index: ServedIndex, context: RequestContext) -> bool:
    """Whether an upload may replace a file, by the definition of the index that the rights were decided with.

    Raises NotFound for an index that was deleted meanwhile, and HttpError 403.
    """
    state = context.decided_by or NO_GRANTS
    if worker.served(index.name, state) is None:
        raise NotFound(f"There is no index {index.name!r} any more.")
    definition = state.definition(index.name)
    if not definition.uploads:
        raise HttpError(403, f"The index {index.name} takes no uploads.")
    return index.policy.overwrite or definition.overwrite


async def check_name(index: ServedIndex, project: str) -> None:
    """Refuse to take over the name of a project that an upstream has: its users would get other files than they know.

    Raises HttpError 403, and 503 where that cannot be known now.
    """
    try:
        is_mirrored = await index.is_mirrored(project)
    except UpstreamError as error:
        raise HttpError(
            503,
            f"It is not known whether {project} is a project of an index that is mirrored here: {error.told} Repeat "
            f"later, or have 'quire claim {project}' say that the name belongs to this index.",
            {"Retry-After": "30"},
        ) from error
    if is_mirrored:
        raise HttpError(
            403,
            f"The project {project} is of an index that is mirrored here. Choose another name; if this index shall "
            f"have the name for itself, an administrator says so with 'quire claim {project}'.",
        )


def _publish(
    index: ServedIndex,
    content: Content,
    form: Form,
    *,
    user: str | None,
    verifier: AttestationVerifier | None,
    quotas: Quotas,
    origin: Origin,
    context: RequestContext,
    permit: Permit,
    overwrite: bool,
) -> tuple[Upload, Change]:
    """All that waits for the disk, in one thread: handing over from one to the next costs more than a system call.

    A request that is cancelled meanwhile does not stop it: work that has begun is completed.
    """
    content.own()
    try:
        upload = _examine(content, form, user, origin.job)
        sent, file = form.fields.get("attestations"), upload.parsed.filename
        if sent and verifier is not None:
            provenance = verifier.verify(sent, file, upload.staged.digests.sha256, context.principal.publisher)
            upload = replace(upload, provenance=provenance)
        project = upload.parsed.project
        context.project, context.file, context.action = project, file, "publish"
        if index.policies is not None:
            index.policies.check_upload(facts_of_upload(upload))
        existing = index.existing_files(project)  # as they are now: this request came before
        change = changing.publish(
            index.hosted,
            [upload],
            overwrite=overwrite,
            existing=existing,
            quotas=quotas,
            origin=origin,
            guard=permit.guard,
            owner=permit.owner,
        )
        return upload, change
    finally:
        content.discard()


def facts_of_upload(upload: Upload) -> Facts:
    """The facts of an upload that a policy asks for."""
    parsed = upload.parsed
    return Facts(
        parsed.project, parsed.version, parsed.filename, upload.staged.digests.sha256, uploaded=None, is_upstream=False
    )


def _examine(content: Content, form: Form, user: str | None, job: Mapping[str, str] | None) -> Upload:
    return examine(
        content.finish(),
        form.filename or "",
        name=form.text("name"),
        version=form.text("version"),
        digests={
            algorithm: digest
            for algorithm, field in (
                ("sha256", "sha256_digest"),
                ("blake2b_256", "blake2_256_digest"),
                ("md5", "md5_digest"),
            )
            if (digest := form.text(field)) is not None
        },
        signature=form.fields.get("gpg_signature") or None,
        uploader=user,
        job=job,
    )


async def _remove_package(request: Request, worker: Worker, index: ServedIndex, form: Form) -> Response:
    """`remove_pkg`: delete a release. Every file of it, or none if one cannot be removed."""
    name, version = form.text("name"), form.text("version")
    if name is None or version is None:
        raise InvalidRequest("To remove a release the form needs the fields 'name' and 'version'.")
    try:
        project = normalize_name(name)
    except InvalidName as error:
        raise NotFound(str(error)) from error
    permit = await worker.access.check_change(request, Right.MANAGE, index.name, project)
    view = index.own(await index.project(project))
    files = [each for each in view.files.values() if same_version(each.file.version, version)]
    if not files:
        raise NotFound(f"The project {name} has no release {version}.")
    fixed = [
        FixedFile(
            each.file.filename, each.file.version, view.files[each.file.filename] is not each, each.removal_problem
        )
        for each in view.all_files()
        if each.removal_problem is not None
    ]
    origin = origin_of(request, context_of(request.scope).user, worker.proxies)
    deletion = partial(changing.delete, index.hosted, project, Selection(version=version), fixed, origin=origin)
    change: Change = await worker.in_writer(deletion, guard=permit.guard)
    worker.remove_blobs_later(index.hosted, change.removed)
    return PlainTextResponse(f"{name} {version} was deleted.\n")


async def _doc_upload(worker: Worker, form: Form) -> Response:
    """`doc_upload`: checked as pypiserver does, and like there not kept."""
    if form.content is None:
        raise InvalidRequest("The form has no file; send the documentation as the file field 'content'.")

    parsed = ParsedFilename(form.filename or "documentation.zip", "", "", Kind.OTHER)

    def has_index(content: Content) -> bool:
        with content.finish().open() as file:
            return has_zip_member(file, parsed, "index.html")

    complete = await worker.in_writer(has_index, form.content)
    if not complete:
        raise InvalidDistribution("The documentation has no index.html at its top.")
    return PlainTextResponse("This index does not serve documentation; nothing was kept.\n")
