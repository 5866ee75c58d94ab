"""The meaning of a failed request to a bucket, by the errors of obstore: may it be tried again; the sentence for it.

obstore has few classes of errors. Their text begins with one line for people, which names no cause where no answer
came, and goes on with the chain of causes as Rust prints it. Neither has credentials in it. Both have the object's URL,
and the bucket's answer can repeat its key, which users choose: so nothing is searched for in the whole text.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from obstore import exceptions

from quire.domain.errors import StoreError, StoreFull, StoreReadOnly

DENIED: Final = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
_NO_BUCKET: Final = {"NoSuchBucket", "ContainerNotFound"}
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_NO_ROLE: Final = ("169.254.169.254", "169.254.170.", "metadata.google.internal", "fd00:ec2::254")
"""Where a machine of a cloud is asked for the credentials of its role."""
_FROM_LIBRARY: Final = "credential provider: "
"""Precedes the error of botocore or google-auth, which says more than the request that failed for it."""
_PASSING: Final = {408, 409, 423, 425, 429}
_PASSING_CODES: Final = {"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "Md5Mismatch"}
"""With the status 400: the body came late, in part, or damaged."""
_FULL: Final = ("QuotaExceeded", "StorageFull")
"""How the codes of servers end for which a bucket, an account or the disks are full."""
_RATES: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
"""With these a quota is one of requests."""
_PATH: Final = re.compile(r"(?<=://)([^\s/?,()]+)[^\s,()]*")
"""Of a URL, behind its server."""
_SERVER: Final = re.compile(r"Error performing [A-Z]+ (https?://[^\s?]+)")
_WORDS: Final = re.compile(r"(?:error|message): \"([^\"]{1,200})\"|hyper::Error\(\s*(\w+)")
_UNANSWERED: Final = "error sending request"
_CAUSES: Final = {
    re.compile(pattern): sentence
    for pattern, sentence in {
        "dns error": "the name {name} does not resolve; check the address of the server, the region, and DNS",
        "ConnectionRefused": "{server} refuses connections; check that the server runs, and its address and port",
        r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w+)": "the certificate of {server} is not trusted "
        "({cause[1]}); name the certificate of its authority in AWS_CA_BUNDLE (S3) or SSL_CERT_FILE",
        "InvalidContentType": "{server} does not speak TLS; give its address with http://, or the port that does",
        r"Connect,\s*TimedOut": "no connection to {server} in time; check its address, the route and the firewalls",
        "kind: Timeout": "{server} did not answer in time",
        "kind: Interrupted|IncompleteMessage|ConnectionReset": "{server} closed the connection before its answer was "
        "complete",
    }.items()
}
"""Of a request without an answer: what its text has, and the sentence for it."""
_RANGE_IN_MEMORY: Final = "Generic InMemory error: Invalid range"
"""The beginning of the text of the library's store in memory, which has no status."""
_WRONG_CREDENTIALS: Final = {"SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthenticationFailed"}


def check_bucket(url: str, error: Exception) -> None:
    """Distinguish a missing bucket from a missing object. Raises StoreError."""
    if _code_of(error) in _NO_BUCKET:
        raise StoreError(f"The bucket {url} does not exist; create it, or name another one.") from error


def is_out_of_range(error: BaseException) -> bool:
    """Whether a range begins behind the end of its object."""
    is_told = _status_of(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    return is_told or str(error).startswith(_RANGE_IN_MEMORY)


def is_denied(error: Exception) -> bool:
    """Whether the credentials do not allow it. obstore has no class of its own for that in listings and uploads."""
    return isinstance(error, DENIED) or _status_of(error) in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def may_pass(error: exceptions.BaseError) -> bool:
    """Whether the same request may be answered a moment later: a server error, a lost connection, a timeout."""
    if not isinstance(error, exceptions.GenericError):
        return False
    status = _status_of(error)
    return status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR or _is_passing(status, _code_of(error))


def refused_write(url: str, error: Exception) -> StoreError | None:
    """The error for a write that the bucket at a URL does not take, and would not take a moment later: nothing was
    written. None where that is not known, or another try may succeed."""
    status, code = _status_of(error), _code_of(error)
    if status == HTTPStatus.INSUFFICIENT_STORAGE or ((code or "").endswith(_FULL) and status not in _RATES):
        return StoreFull(f"The bucket {url} is full: {sentence_of(error)}. Free space, or raise its quota, and repeat.")
    if is_denied(error):
        return StoreReadOnly(no_right(url, "written", error))
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR or _is_passing(status, code):
        return None
    return StoreError(f"The bucket does not take what is written: {sentence_of(error)}.")


def _is_passing(status: int, code: str | None) -> bool:
    """Whether it is an answer to how the request arrived, or to what else is under way."""
    return status in _PASSING or (status == HTTPStatus.BAD_REQUEST and code in _PASSING_CODES)


def sentence_of(error: Exception) -> str:
    """The failure in a few words: the answer's status and the bucket's own code for it, or the library's words.

    Neither names credentials. Without a full stop.
    """
    text = str(error)
    first = text.partition("\n")[0]
    if any(words in _PATH.sub(r"\1", first) for words in _NO_ROLE):
        return "no credentials were found in the environment, and this machine has no role that gives some"
    if _FROM_LIBRARY in first:
        said = first.partition(_FROM_LIBRARY)[2].partition(": ")[2].rstrip(".")[:300]
        return f"{said}; run 'aws sso login'" if "SSO" in said else said
    if "incorrectly configured region" in first:
        return "it is in another region; set AWS_REGION"
    status, code = _status_of(error), _code_of(error)
    if status is not None:
        return f"it answered {status}{f' {code}' if code is not None else ''}"
    if _UNANSWERED in first:
        return _unanswered(_PATH.sub(r"\1", text))
    return first.rpartition(" - ")[2].strip().rstrip(".")[:200]


def _status_of(error: BaseException) -> int | None:
    """The status of the bucket's answer; None where none came."""
    found = _STATUS.search(str(error))
    return None if found is None else int(found[1])


def _code_of(error: BaseException) -> str | None:
    """The bucket's own word for its refusal, which precedes all that its answer repeats of the request."""
    found = _CODE.search(str(error))
    return None if found is None else found[1]


def _unanswered(text: str) -> str:
    """The same where no answer came: which server, the cause, and what to look at."""
    found = _SERVER.search(text)
    address = urlsplit(found[1] if found is not None else "")
    server = f"{address.scheme}://{address.netloc}" if address.netloc else "the server"
    for pattern, sentence in _CAUSES.items():
        if (cause := pattern.search(text)) is not None:
            return sentence.format(server=server, name=address.hostname, cause=cause)
    words = [error or kind for error, kind in _WORDS.findall(text)]
    return f"{server} gave no answer{f' ({words[-1]})' if words else ''}"


def reason_of(error: BaseException) -> str:
    """As `sentence_of`, of the library's error where there is one."""
    found = error if error.__cause__ is None else error.__cause__
    return sentence_of(found) if isinstance(found, Exception) else "it was broken off"


def no_right(url: str, done: str, error: Exception) -> str:
    """The sentence for a request that the bucket at a URL refuses to the credentials. `done`: as in `be written`."""
    is_known = _code_of(error) in _WRONG_CREDENTIALS
    advice = " They are wrong: the key is not known, or its secret is another one." if is_known else ""
    if not is_known and _FROM_LIBRARY not in str(error):
        advice = " They need the right to do that."
    return f"Objects of the bucket {url} cannot be {done} with these credentials: {sentence_of(error)}.{advice}"
