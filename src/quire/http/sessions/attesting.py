"""The attestations of a file of a publishing session: verified when they are sent, or refused."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from quire.domain import publishing_sessions as documents
from quire.domain.errors import NotFound, SessionConflict
from quire.domain.publishing_sessions import PublishingSession
from quire.http.api.messages import body_of
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of
from quire.http.app.worker import worker_of
from quire.http.sessions.found import find
from quire.http.sessions.messages import answered, check_served, file_document, media_type_of


async def take_attestations(request: Request) -> Response:
    """POST of the attestations of a file, which is pending: those of the publisher that sends them. They replace those
    that were sent before, and are put beside the bytes when the upload is completed."""
    check_served(request)
    verifier = worker_of(request).attestations
    if verifier is None:
        raise NotFound("This server verifies no attestations, and keeps none; complete the upload without them.")
    if media_type_of(request) != "application/json":
        raise HttpError(415, "The body is a JSON array of attestations, as application/json.")
    body = await body_of(request)
    found = await find(request)  # after the body, which may have taken long
    identity: str = request.path_params["file"]
    file = documents.check_pending(found.session, identity)
    sha256 = file.digest
    if sha256 is None:
        raise SessionConflict(
            f"What the attestations of {file.filename} are compared with is not known: its sha256 was not announced. "
            "Send its bytes first."
        )
    sender = context_of(request.scope).principal

    def work() -> PublishingSession:
        provenance = verifier.verify(body, file.filename, sha256, sender.publisher).decode()
        return found.sessions.change(found.token, lambda known: documents.attested(known, identity, sha256, provenance))

    session = await found.worker.for_large_upload(work)  # the verifier may have to be loaded
    return answered(file_document(found.links, identity, session.find(identity), found.expires), retry=True)
