"""A real bucket, through obstore: S3, GCS, Azure Blob Storage, and what speaks the protocol of one of them.

obstore runs its requests in threads of its own, which a fork does not copy, and refuses to work in a process that was
forked after its first request. So nothing here asks the bucket before the first call of a method.

Requests are tried again here, and not in obstore: a write that is repeated has to be judged (see
`quire.store.bucket.swaps`), and every request is counted. The parts of large objects alone are repeated by obstore.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import obstore
import structlog
from obstore import exceptions
from obstore.store import from_url

from quire.domain.errors import ConfigurationError, StoreError, StoreReadOnly
from quire.observe.metrics.tally import Counts
from quire.store.bucket.connecting import connection_to
from quire.store.bucket.failures import (
    DENIED,
    check_bucket,
    is_denied,
    is_out_of_range,
    may_pass,
    no_right,
    reason_of,
    refused_write,
    sentence_of,
)
from quire.store.bucket.objects import Forbidden, Listed, Object, Refused, Unchanged, Unclear, Upload, Version
from quire.store.bucket.patience import DEFAULT, Failures, Patience
from quire.store.bucket.uploading import ObjectUpload

if TYPE_CHECKING:
    from obstore import Attributes, ObjectMeta, SignCapableStore
    from obstore.store import ObjectStore, RetryConfig

    from quire.store.bucket.aws import S3Control

SLOW_SECONDS: Final = 5.0
"""A request that takes so long is logged."""
_LOG_PAUSE: Final = 1.0
_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_NO_RETRIES: Final[RetryConfig] = {"max_retries": 0}
_PART_RETRIES: Final[RetryConfig] = {"max_retries": 5, "retry_timeout": timedelta(seconds=90)}
"""For the parts of a large object: to send one twice does no harm. A client waits no longer for an answer."""
_MARK: Final = "quirewrite"
"""Letters alone: Azure takes only the names of variables, and proxies drop headers with underscores."""

_LEFT: Final = "unfinished uploads are left to a lifecycle rule of the bucket that aborts them"

_QUICK_BYTES: Final = 256 * 1024
"""A larger document may take as long as a file."""

log = structlog.stdlib.get_logger("quire.store.bucket")
T = TypeVar("T")


def open_bucket(url: str, environ: Mapping[str, str], patience: Patience = DEFAULT) -> ObjectBucket:
    """The bucket at a URL as in `s3://bucket/prefix`, with the credentials that the environment has or leads to.

    Raises ConfigurationError.
    """
    config, options, provider = connection_to(url, environ)

    def store(seconds: float, retries: RetryConfig) -> ObjectStore:
        how: Any = {"config": config, "credential_provider": provider, "retry_config": retries}
        how["client_options"] = options | {"timeout": timedelta(seconds=seconds)}
        return from_url(url, **how)

    try:
        return ObjectBucket(
            store(patience.request, _NO_RETRIES),
            url,
            environ,
            for_files=store(patience.long_request, _NO_RETRIES),
            for_parts=store(patience.long_request, _PART_RETRIES),
            patience=patience,
        )
    except (exceptions.BaseError, ValueError) as error:
        raise ConfigurationError(f"The bucket {url} cannot be used: {sentence_of(error)}.") from error


class ObjectBucket:
    """Fulfils `objects.Bucket`, and has what blobs need besides. May be used from any thread."""

    def __init__(
        self,
        store: ObjectStore,
        url: str,
        environ: Mapping[str, str],
        *,
        for_files: ObjectStore | None = None,
        for_parts: ObjectStore | None = None,
        patience: Patience = DEFAULT,
    ) -> None:
        """`for_files`: the same bucket, with the time that a file takes. `for_parts`: as this, and asked again by
        obstore itself. None: as `store`."""
        self._store = store
        self._for_files = for_files or store
        self._for_parts = for_parts or store
        self._patience = patience
        self._failures = Failures(patience.failure_holds)
        self._environ = environ
        self.url = url
        self.counts = Counts()
        self._logged = float("-inf")

    @cached_property
    def control(self) -> S3Control | None:
        """The client for requests that obstore lacks; None where the bucket is no S3 bucket, or botocore
        (`quire-index[aws]`) is missing. Sends no request yet.
        """
        if not self.url.startswith("s3:"):
            return None
        try:
            from quire.store.bucket.aws import S3Control  # noqa: PLC0415 - only its users wait for the import
        except ImportError:
            return None
        return S3Control(self.url, self._environ)

    # -- documents ----------------------------------------------------------------------------------------------------

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        """See `objects.Bucket`."""

        def load() -> Object | Unchanged | None:
            with self._request("get", key):
                try:
                    result = obstore.get(self._store, key, options=_condition(known))
                    data = bytes(result.bytes())
                except FileNotFoundError as error:
                    check_bucket(self.url, error)
                    return None
                except exceptions.NotModifiedError:
                    return Unchanged.UNCHANGED
                self.counts.received += len(data)
                return Object(data, Version(result.meta["e_tag"], result.meta["version"]))

        return self._patiently(load, key)

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        """See `objects.Bucket`."""
        mode: Any = "create"
        if expected is not None:
            mode = {name: value for name, value in expected._asdict().items() if value is not None}
        return self._put(self._store if len(data) <= _QUICK_BYTES else self._for_files, key, data, mode)

    def _put(
        self, store: ObjectStore, key: str, data: bytes, mode: Any, attributes: Attributes | None = None
    ) -> Version:
        self._failures.forget(key)  # a writer has to find out whether its write took place
        with self._request("put", key):
            try:
                result = obstore.put(store, key, data, mode=mode, attributes=attributes, use_multipart=False)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                raise Refused from None
            except FileNotFoundError as error:  # a condition on an object that is not there
                check_bucket(self.url, error)
                raise Refused from None
            except exceptions.BaseError as error:
                unclear = Unclear(f"The bucket cannot be written: {sentence_of(error)}.")
                raise refused_write(self.url, error) or unclear from error
        self.counts.sent += len(data)
        return Version(result["e_tag"], result["version"])

    def remove(self, key: str) -> None:
        """See `objects.Bucket`."""

        def remove() -> None:
            with self._request("delete", key):
                try:
                    obstore.delete(self._store, key)
                except FileNotFoundError as error:
                    check_bucket(self.url, error)
                    return

        self._patiently(remove, done="deleted")

    def list(self, prefix: str) -> Iterator[Listed]:
        """See `objects.Bucket`."""
        folder, last = f"{prefix}/" if prefix else None, ""

        def begin() -> Iterator[Sequence[ObjectMeta]]:
            self.counts.add("list")
            return iter(obstore.list(self._for_files, folder, offset=last or None, chunk_size=1000))

        pages = begin()

        def load() -> Sequence[ObjectMeta] | None:
            nonlocal pages
            try:
                return next(pages, None)
            except exceptions.BaseError as error:
                self.counts.fail("list", is_forbidden=is_denied(error))
                pages = begin()  # behind the last one that came
                raise

        while (page := self._patiently(load, done="listed")) is not None:
            for each in page:
                yield Listed(each["path"], each["size"], each["last_modified"].timestamp())
                last = each["path"]

    # -- blobs --------------------------------------------------------------------------------------------------------

    def head(self, key: str) -> Listed | None:
        """The object without its bytes; None when there is none. Raises StoreError."""

        def ask() -> Listed | None:
            with self._request("head", key):
                try:
                    found = obstore.head(self._store, key)
                except FileNotFoundError as error:
                    check_bucket(self.url, error)
                    return None
            return Listed(key, found["size"], found["last_modified"].timestamp())

        return self._patiently(ask, key)

    def read_at(self, key: str, offset: int, size: int) -> bytes | None:
        """A part of an object, not beyond its end; None when there is none. Raises StoreError."""

        def load() -> bytes | None:
            with self._request("get", key):
                try:
                    data = bytes(obstore.get_range(self._store, key, start=offset, length=size))
                except FileNotFoundError as error:
                    check_bucket(self.url, error)
                    return None
            self.counts.received += len(data)
            return data

        return self._patiently(load, key)

    def begin_reading(self, key: str, size: int) -> tuple[int, bytes] | None:
        """See `objects.BlobBucket`."""

        def load() -> tuple[int, bytes] | None:
            with self._request("get", key):
                try:
                    result = obstore.get(self._store, key, options={"range": (0, size)})
                    data = bytes(result.bytes())
                except FileNotFoundError as error:
                    check_bucket(self.url, error)
                    return None
            self.counts.received += len(data)
            return result.meta["size"], data

        try:
            return self._patiently(load, key)
        except _OutOfRange:
            found = self.head(key)
            if found is None:
                return None
            if found.size:
                raise
            return 0, b""  # an object without bytes has no first ones (RFC 9110, 15.5.17)

    def create(self, key: str, data: bytes, mark: str) -> None:
        """See `objects.BlobBucket`. The mark is in the object's user metadata."""
        self._put(self._for_files, key, data, "create", {_MARK: mark})

    def mark_of(self, key: str) -> str | None:
        """See `objects.BlobBucket`."""

        def ask() -> str | None:
            with self._request("head", key):
                try:
                    found = obstore.get(self._store, key, options={"head": True})
                except FileNotFoundError as error:
                    check_bucket(self.url, error)
                    return None
            return found.attributes.get(_MARK, "")

        return self._patiently(ask, key)

    def overwrite(self, key: str, data: bytes) -> None:
        """See `objects.BlobBucket`."""

        def write() -> None:
            with self._request("put", key):
                try:
                    obstore.put(self._store, key, data, use_multipart=False)
                except exceptions.BaseError as error:
                    if (refusal := refused_write(self.url, error)) is not None:
                        raise refusal from error
                    raise
            self.counts.sent += len(data)

        self._patiently(write)

    def sign(self, key: str, seconds: int) -> str:
        """See `objects.BlobBucket`."""
        try:
            return obstore.sign(cast("SignCapableStore", self._store), "GET", key, timedelta(seconds=seconds))
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise StoreError(
                f"URLs of the bucket {self.url} cannot be signed with these credentials: {sentence_of(error)}. S3 "
                "needs an access key or a role, GCS a service account with the right to sign, Azure the key of the "
                "account or the right to delegate; or serve with --downloads stream."
            ) from error

    def upload(self, key: str, part_size: int) -> Upload:
        """See `objects.BlobBucket`."""
        return ObjectUpload(self, self._for_parts, key, part_size)

    def abort_unfinished(self, prefix: str, is_old: Callable[[float], bool]) -> int:
        """See `objects.BlobBucket`. Azure removes them by itself."""
        if not self.url.startswith(("s3:", "gs:")):
            return 0
        if self.control is None:
            why = "they can be listed in S3 alone" if self.url.startswith("gs:") else "this takes quire-index[aws]"
            log.warning(_LEFT, reason=why)
            return 0
        aborted = 0
        try:
            self.counts.add("list")
            for each in self.control.unfinished_uploads(prefix):
                if is_old(each.started):
                    self.counts.add("delete")
                    self.control.abort_upload(each.key, each.upload_id)
                    aborted += 1
        except StoreError as error:
            log.warning(_LEFT, reason=str(error))
        return aborted

    # -- requests -----------------------------------------------------------------------------------------------------

    def _patiently(self, ask: Callable[[], T], key: str | None = None, done: str = "read") -> T:
        """Ask again while the bucket fails in a way that may pass. `key`: what it is asked about; None for more than
        one object. `done`: what a refusal says that cannot be done."""
        if key is not None and (known := self._failures.of(key)) is not None:
            raise StoreError(known)
        ends, pause = time.monotonic() + self._patience.read, _PAUSE
        while True:
            try:
                return ask()
            except FileNotFoundError as error:
                check_bucket(self.url, error)
                raise StoreError(f"The bucket has no such object: {sentence_of(error)}.") from error
            except exceptions.BaseError as error:
                if is_denied(error):
                    raise Forbidden(no_right(self.url, done, error)) from error
                if is_out_of_range(error):
                    raise _OutOfRange(f"The bucket cannot answer: {sentence_of(error)}.") from error
                if time.monotonic() + pause >= ends or not may_pass(error):
                    sentence = f"The bucket cannot answer: {sentence_of(error)}."
                    if key is not None:
                        self._failures.add(key, sentence)
                    raise StoreError(sentence) from error
            self.counts.retries += 1
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    @contextmanager
    def _request(self, kind: str, key: str) -> Iterator[None]:
        """Count a request, and log one that fails or takes long."""
        begun = time.monotonic()
        outcome, reason = "answered", None
        try:
            yield
        except Refused:
            outcome = "refused"
            raise
        except (StoreReadOnly, *DENIED) as error:
            outcome, reason = "forbidden", reason_of(error)
            raise
        except BaseException as error:
            if not is_out_of_range(error):
                outcome, reason = "failed", reason_of(error)
            raise
        finally:
            seconds = time.monotonic() - begun
            self.counts.add_timed(kind, outcome, seconds)
            if reason is not None or seconds >= SLOW_SECONDS:
                self._log_request(kind, key, seconds, reason)

    def _log_request(self, kind: str, key: str, seconds: float, reason: str | None) -> None:
        """Log a failed or slow request; at most one a second, since a bucket that is away fails them all. An error that
        comes of it is logged, and told, by itself."""
        now = time.monotonic()
        if now - self._logged < _LOG_PAUSE:
            return
        self._logged = now
        event = "request to the bucket failed" if reason is not None else "request to the bucket was slow"
        log.info(event, kind=kind, path=key, seconds=round(seconds, 3), reason=reason)


def _condition(known: Version | None) -> Any:
    if known is None or known.e_tag is None:
        return None
    return {"if_none_match": known.e_tag}


class _OutOfRange(StoreError):
    """A range begins behind the end of its object."""
