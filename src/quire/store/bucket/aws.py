"""Requests to an S3 bucket that obstore lacks, through botocore: unfinished uploads, versions, lifecycle rules, etc.

botocore is the extra `aws`, and takes a third of a second to import. So nothing here is imported before it is needed,
and the client is made by the first request: to look for credentials can be a request as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import botocore.config
import botocore.exceptions
import botocore.session

from quire.domain.errors import StoreError
from quire.store.bucket import addresses

_CONNECT_SECONDS: Final = 5
_REQUEST_SECONDS: Final = 60
_DENIED: Final = {"AccessDenied", "AllAccessDisabled", "403", "SignatureDoesNotMatch", "InvalidAccessKeyId"}
_UNKNOWN: Final = {"NotImplemented", "MethodNotAllowed", "InvalidRequest", "501", "405"}
T = TypeVar("T")


class NotAllowed(StoreError):
    """The credentials lack a right. `action` is its name in AWS' policies, as in `s3:GetBucketVersioning`."""

    def __init__(self, sentence: str, action: str) -> None:
        super().__init__(sentence)
        self.action = action


class NotOffered(StoreError):
    """The server does not know this request. Many servers know a part of S3's only."""


class UnfinishedUpload(NamedTuple):
    """An upload in parts that was neither completed nor aborted. Its parts are paid for, and no listing shows them."""

    key: str
    upload_id: str
    started: float
    """Seconds since the epoch, by the bucket's clock."""


class LifecycleRule(NamedTuple):
    """An enabled rule by which the bucket removes objects by itself."""

    name: str
    prefix: str
    """Of the keys in the bucket that it is about; empty for all."""
    needs_tags: bool
    """Whether it is about objects with certain tags only. Those of a store have none."""
    expires: bool
    """Whether it removes objects as they are now."""
    expires_versions: bool
    """Whether it removes versions that were replaced."""
    abort_days: int | None
    """Days after which it aborts unfinished uploads; None: it does not."""


class S3Control:
    """One bucket. May be used from any thread. Keys are relative to the store's prefix, as in `objects.Bucket`.

    Each method raises NotAllowed, NotOffered, or another StoreError.
    """

    def __init__(self, url: str, environ: Mapping[str, str], *, page_size: int = 1000) -> None:
        """`url`: of the store, `s3://bucket/prefix`. `page_size`: unfinished uploads for which one request asks."""
        self._address = addresses.address_of(url)
        self._environ = environ
        self._page_size = page_size
        self._lock = threading.Lock()
        self._made: Any = None

    # -- unfinished uploads -------------------------------------------------------------------------------------------

    def unfinished_uploads(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """Those to keys that begin with this text; "" for all of the store."""
        asked: dict[str, Any] = {"Prefix": self._key(prefix), "MaxUploads": self._page_size}
        while True:
            with self._errors("s3:ListBucketMultipartUploads"):
                page = self._client.list_multipart_uploads(Bucket=self._address.bucket, **asked)
            for each in page.get("Uploads", ()):
                yield UnfinishedUpload(
                    each["Key"].removeprefix(self._key("")), each["UploadId"], each["Initiated"].timestamp()
                )
            if not page.get("IsTruncated"):
                return
            asked |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Remove the parts of an upload; one that is finished or aborted already is no error."""
        with self._errors("s3:AbortMultipartUpload"):
            try:
                self._client.abort_multipart_upload(Bucket=self._address.bucket, Key=self._key(key), UploadId=upload_id)
            except botocore.exceptions.ClientError as error:
                if _code(error) not in {"NoSuchUpload", "404"}:
                    raise

    def abort_uploads_to(self, key: str) -> int:
        """Abort each upload to this key that is neither finished nor aborted; their number."""
        found = [each for each in self.unfinished_uploads(key) if each.key == key]
        for each in found:
            self.abort_upload(each.key, each.upload_id)
        return len(found)

    # -- settings of the bucket ---------------------------------------------------------------------------------------

    def versioning(self) -> str:
        """`Enabled`, `Suspended`, or "" where the bucket never kept versions."""
        answer = self._ask("s3:GetBucketVersioning", lambda s3, bucket: s3.get_bucket_versioning(Bucket=bucket))
        return str(answer.get("Status", ""))

    def lifecycle(self) -> tuple[LifecycleRule, ...]:
        """The rules that are enabled."""
        answer = self._ask(
            "s3:GetLifecycleConfiguration",
            lambda s3, bucket: s3.get_bucket_lifecycle_configuration(Bucket=bucket),
            nothing={"NoSuchLifecycleConfiguration"},
        )
        return tuple(_rule(each) for each in answer.get("Rules", ()) if each.get("Status") == "Enabled")

    def location(self) -> str:
        """The region of the bucket."""
        answer = self._ask("s3:GetBucketLocation", lambda s3, bucket: s3.get_bucket_location(Bucket=bucket))
        return str(answer.get("LocationConstraint") or "us-east-1")  # the oldest region has no name here

    def encryption(self) -> str:
        """How objects are encrypted by default, `AES256` or `aws:kms`; "" when they are not."""
        answer = self._ask(
            "s3:GetEncryptionConfiguration",
            lambda s3, bucket: s3.get_bucket_encryption(Bucket=bucket),
            nothing={"ServerSideEncryptionConfigurationNotFoundError"},
        )
        rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [{}])
        return str(rules[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", ""))

    def retention(self) -> str:
        """How long each new object is kept against removal, as in `GOVERNANCE, 30 days`; "" when it is not."""
        answer = self._ask(
            "s3:GetBucketObjectLockConfiguration",
            lambda s3, bucket: s3.get_object_lock_configuration(Bucket=bucket),
            nothing={"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"},
        )
        kept = answer.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
        unit = "Days" if "Days" in kept else "Years"
        return f"{kept.get('Mode', '')}, {kept.get(unit)} {unit.lower()}" if kept else ""

    def server(self) -> str:
        """The name that the server gives itself, as in `AmazonS3`; "" when it gives none."""
        answer = self._ask("s3:ListBucket", lambda s3, bucket: s3.head_bucket(Bucket=bucket))
        return str(answer["ResponseMetadata"]["HTTPHeaders"].get("server", ""))

    # -- requests -----------------------------------------------------------------------------------------------------

    def _key(self, key: str) -> str:
        return f"{self._address.prefix}/{key}" if self._address.prefix else key

    def _ask(
        self, action: str, ask: Callable[[Any, str], Mapping[str, Any]], nothing: set[str] | None = None
    ) -> Mapping[str, Any]:
        """The answer to one request; an empty one for the errors that say that nothing is set."""
        with self._errors(action):
            try:
                return ask(self._client, self._address.bucket)
            except botocore.exceptions.ClientError as error:
                if _code(error) not in (nothing or ()):
                    raise
                return {}

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Any:
        environ = self._environ
        session = botocore.session.Session(profile=environ.get("AWS_PROFILE"))
        region = addresses.s3_region(environ) or session.get_config_variable("region") or "us-east-1"
        authorities = addresses.certificates(environ, is_s3=True)
        style = "virtual" if addresses.is_virtual_hosted(self._address.bucket, environ) else "path"
        config = botocore.config.Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_REQUEST_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 3},
            s3={"addressing_style": style},
        )
        return session.create_client(
            "s3",
            region_name=region,
            aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environ.get("AWS_SESSION_TOKEN"),
            endpoint_url=addresses.s3_endpoint(environ),
            verify=None if authorities is None else authorities[1],
            config=config,
        )

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except botocore.exceptions.ClientError as error:
            code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            sentence = f"The bucket answered {status} {code} to {error.operation_name}."
            if code in _DENIED:
                raise NotAllowed(f"{sentence} Give the credentials the right {action}.", action) from error
            if code in _UNKNOWN or status in {405, 501}:
                raise NotOffered(sentence) from error
            raise StoreError(sentence) from error
        except botocore.exceptions.BotoCoreError as error:
            words = str(error).partition("\n")[0].rstrip(".")[:200]
            raise StoreError(f"The bucket cannot be asked: {words}.") from error


def _code(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _rule(rule: Mapping[str, Any]) -> LifecycleRule:
    chosen = rule.get("Filter") or {}
    both = chosen.get("And") or chosen
    prefix = both.get("Prefix") or rule.get("Prefix") or ""
    expiration = rule.get("Expiration") or {}
    abort = rule.get("AbortIncompleteMultipartUpload") or {}
    return LifecycleRule(
        str(rule.get("ID") or "without a name"),
        str(prefix),
        bool(both.keys() & {"Tag", "Tags"}),
        "Days" in expiration or "Date" in expiration,
        "NoncurrentVersionExpiration" in rule,
        abort.get("DaysAfterInitiation"),
    )
