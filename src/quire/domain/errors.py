"""Every error that quire raises on purpose.

Each carries one sentence that says what is wrong and what to do; the web maps the class to a status code, the
command line prints the sentence and exits. No other layer turns errors into text.
"""

from __future__ import annotations

import re

_MOST_CAUSES = 10
_MOST_SAID = 200

_CONNECTING = re.compile("Connect call failed|Multiple exceptions:")
"""Words of asyncio that go on with the addresses of a host, which are not for clients."""
_LOGIN = re.compile(r"\A([^@/]*//)?.*@", re.DOTALL)


class QuireError(Exception):
    """Base of all errors raised on purpose. `str(error)` is a sentence for people."""


# -- the request cannot be fulfilled ----------------------------------------------------------------------------------


class InvalidRequest(QuireError):
    """The request itself is malformed: a missing field, a bad parameter."""


class InvalidName(InvalidRequest):
    """A project name, version or filename that no specification allows."""


class InvalidDistribution(InvalidRequest):
    """The bytes are not the distribution that the filename promises, or its metadata disagrees with it."""


class DigestMismatch(InvalidRequest):
    """The bytes that arrived do not have the digest or size that the client announced."""


class TooLarge(QuireError):
    """More bytes than the configured limit."""


class QuotaExceeded(QuireError):
    """The files do not fit into the quota of their project or index."""


class FileExists(QuireError):
    """The filename is taken by other content, and overwriting is off. The sentence contains "already exists"."""


class FilenameUsed(FileExists):
    """A file of this name was published with other content and deleted; a filename never comes back with other bytes.

    No reason for a client to go on as if the file were there: the sentence does not contain "already exists".
    """


class NamespaceReserved(QuireError):
    """The name of an upload is below a namespace that was granted to others (PEP 752)."""


class NameReserved(QuireError):
    """The name of a new project is reserved for the publishing session of another sender."""


class SessionConflict(QuireError):
    """The state of a publishing session, or what is published by now, does not allow it."""


class ProjectClosed(QuireError):
    """The project's status (PEP 792: archived, quarantined) refuses uploads."""


class HeldBack(QuireError):
    """The policy of an index holds a file back (`quire.domain.rulings`)."""


class NotFound(QuireError):
    """No such project, release or file."""


class NoSuchProject(NotFound):
    """No project has this name."""

    def __init__(self, project: str, hint: str = "") -> None:
        """`hint`: for the end of the sentence, such as ` (did you mean NAME?)`."""
        super().__init__(f"The project {project} does not exist{hint}.")
        self.project = project


class ChangedMeanwhile(QuireError):
    """The project is no longer as the client has seen it, and it asked for a change of that only."""


class ReadOnlyFile(QuireError):
    """A drop-in file cannot be changed through the index; it is changed where it lies, or imported first."""


# -- the store cannot do it -------------------------------------------------------------------------------------------


class StoreError(QuireError):
    """The store failed; what was asked may or may not have happened."""


class Conflict(StoreError):
    """The stored record is no longer the expected one; nothing was written."""


class OutcomeUnknown(StoreError):
    """Not known whether the change was written; repeat it, it is then found done or is done."""


class StoreReadOnly(StoreError):
    """The store cannot be written: a read-only file system or missing permission. Nothing was written."""


class StoreFull(StoreError):
    """No space or quota left. Nothing was written."""


class UnknownLayout(StoreError):
    """The store was written by a newer quire, or is not a store at all."""


class DamagedRecord(StoreError):
    """A record that cannot be understood: garbage, or a newer format."""


class BlobMissing(StoreError):
    """No blob is stored under that key (any more)."""


class UpstreamError(QuireError):
    """Another index cannot be reached, refuses, or gives an answer that is not understood.

    Its sentence names a server as "The server HOST", and in no other way.
    """

    @property
    def told(self) -> str:
        """The sentence for clients, without the name of the server that a mirror asks."""
        return re.sub(r"\bThe server \S+", "A server of an index that is mirrored here", str(self))


class UpstreamBusy(UpstreamError):
    """Another index cannot give an answer now, and may at the next attempt.

    `wait`: seconds after which it asked to be asked again; 0.0 if it did not say.
    """

    def __init__(self, sentence: str, wait: float = 0.0) -> None:
        super().__init__(sentence)
        self.wait = wait


class UpstreamMismatch(UpstreamError):
    """Another index gives other bytes than its page announces."""


class ConfigurationError(QuireError):
    """A setting, a flag or a file named by one is wrong; the program cannot start."""


def reason_of(error: BaseException) -> str:
    """The cause of an error of the system or the network, for a sentence: in words, without the system's number.

    Libraries raise their own errors from those of the system, whose words say more. For any other error its own text,
    or its class where it has none. One line without a full stop.
    """
    text, cause = str(error), error
    for _ in range(_MOST_CAUSES):
        if isinstance(cause, OSError):
            refused, reason = getattr(cause, "verify_message", None), getattr(cause, "reason", None)
            if isinstance(refused, str):  # a certificate that is not believed
                text = f"the certificate is refused ({refused})"
            elif isinstance(reason, str):  # TLS fails: a name such as WRONG_VERSION_NUMBER
                text = f"TLS fails ({reason.replace('_', ' ').lower()})"
            elif _CONNECTING.match(cause.strerror or text):
                is_refused = isinstance(cause, ConnectionRefusedError)
                text = "Connection refused" if is_refused else "no connection comes about"
            elif cause.strerror:
                text = cause.strerror
        further = cause.__cause__ or cause.__context__
        if further is None:
            break
        cause = further
    return " ".join(text.split())[:_MOST_SAID].rstrip(".") or type(error).__name__


def without_shown_login(url: str) -> str:
    """A URL as an error may quote it. All up to the last @ is left out: in a URL that is refused a password may have a
    / or # as it is."""
    return _LOGIN.sub(r"\1***@", url)
