"""Every metric: its name, what it means, and which labels it has. The documentation is checked against this list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""The upper bounds of the histogram of durations of requests; one more bin is above all, as of any histogram."""
BUCKET_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The same of requests to a bucket, over a network."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """As it is exposed, a counter with its `_total`."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    merge: Callable[[Iterable[float]], float] = sum
    """How the values of the workers become one."""
    bounds: tuple[float, ...] = SECONDS
    """Of a histogram: the upper bounds of its bins, in seconds."""

    @property
    def family(self) -> str:
        """The name without the suffix of the kind."""
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name


def _first(times: Iterable[float]) -> float:
    """The earliest of times of which 0 is none."""
    return min((each for each in times if each), default=0.0)


NAMING = frozenset({"index", "upstream"})
"""The labels of which operators choose the values; a sender that may not read every index is told none of them."""

UPLOAD_RESULTS = ("published", "unchanged", "refused", "failed")
CHANGE_ACTIONS = (
    "publish",
    "delete",
    "yank",
    "unyank",
    "status",
    "amend",
    "import",
    "restore",
    "owner-add",
    "owner-remove",
)
TRASH_ACTIONS = ("empty", "expire")
"""Changes of the trash, which the audit log has and no counter: commands and the periodic sweep make them."""
LOGIN_RESULTS = ("remembered", "checked", "token", "proxy", "session", "wrong", "throttled", "busy")
WEBHOOK_RESULTS = ("delivered", "failed", "given-up")
REFUSAL_REASONS = ("login_needed", "forbidden", "rate_limited")
STORE_ERRORS = (
    *("StoreError", "Conflict", "OutcomeUnknown", "StoreReadOnly", "StoreFull"),
    *("UnknownLayout", "DamagedRecord", "BlobMissing", "other"),
)
CACHES = ("project", "projects", "access")
BUCKET_KINDS = ("get", "head", "put", "delete", "list")
BUCKET_OUTCOMES = ("answered", "refused", "forbidden", "failed")
UPSTREAM_OUTCOMES = ("answered", "unchanged", "missing", "redirected", "busy", "refused", "failed")
MIRROR_PAGES = ("kept", "asked", "stale", "missing", "failed")
MIRROR_KINDS = ("file", "metadata", "provenance")
MIRROR_FILES = ("kept", "fetched", "passed")
MAX_INDEXES = 100
"""Indexes that have series of their own, at the most."""
MAX_UPSTREAMS = 100
"""The same of upstreams."""
OTHER_UPSTREAMS = "other"
"""Further ones together."""
LEFT_OUT_REASONS = ("damaged", "unreadable", "directory")

REQUESTS = Metric("quire_requests_total", "counter", "Requests that were answered.", ("route", "status"))
DURATION = Metric(
    "quire_request_duration_seconds", "histogram", "From the head of a request to the end of its answer.", ("route",)
)
SENT = Metric("quire_sent_bytes_total", "counter", "Bytes of bodies that were sent.", ("route",))
RECEIVED = Metric("quire_received_bytes_total", "counter", "Bytes of bodies that were received.")
BARRIER_REQUESTS = Metric(
    "quire_barrier_requests_total", "counter", "Questions for a fresh page that the read barrier answered.", ("cache",)
)
VALIDATIONS = Metric(
    "quire_validations_total", "counter", "Times that the store was asked whether a page is still true.", ("cache",)
)
LOADS = Metric("quire_loads_total", "counter", "Validations that ran in a thread, to load if need be.", ("cache",))
UPLOADS = Metric("quire_uploads_total", "counter", "Uploads, by result.", ("result",))
UPLOADED = Metric("quire_uploaded_bytes_total", "counter", "Bytes of the files that were published.")
CHANGES = Metric("quire_changes_total", "counter", "Changes that were made to projects.", ("action",))
CONFLICTS = Metric(
    "quire_conflicts_total", "counter", "Writes of a record that lost against another writer; they are repeated."
)
IN_DOUBT = Metric("quire_writes_in_doubt_total", "counter", "Writes of a record whose outcome the store did not know.")
STORE_FAILURES = Metric("quire_store_errors_total", "counter", "Requests that the store failed.", ("error",))
BUCKET_REQUESTS = Metric("quire_bucket_requests_total", "counter", "Requests to the bucket.", ("kind", "outcome"))
BUCKET_SECONDS = Metric(
    "quire_bucket_request_seconds_total", "counter", "Time until the answers to these requests.", ("kind",)
)
BUCKET_DURATION = Metric(
    "quire_bucket_request_duration_seconds",
    "histogram",
    "Time until the answers to requests to the bucket, but for listings and parts of large files.",
    ("kind",),
    bounds=BUCKET_BOUNDS,
)
BUCKET_RETRIES = Metric("quire_bucket_retries_total", "counter", "Requests to the bucket that were tried again.")
BUCKET_RECEIVED = Metric("quire_bucket_received_bytes_total", "counter", "Bytes of objects that were read.")
BUCKET_SENT = Metric("quire_bucket_sent_bytes_total", "counter", "Bytes of objects that were written.")
UPSTREAM_REQUESTS = Metric(
    "quire_upstream_requests_total", "counter", "Requests to upstreams.", ("upstream", "outcome")
)
UPSTREAM_RECEIVED = Metric(
    "quire_upstream_received_bytes_total", "counter", "Bytes of bodies that upstreams sent.", ("upstream",)
)
UPSTREAM_PAUSES = Metric(
    "quire_upstream_pauses_total",
    "counter",
    "Times that a worker began to ask an upstream nothing for a while.",
    ("upstream",),
)
UPSTREAM_ANSWERED = Metric(
    "quire_upstream_last_answer_timestamp_seconds",
    "gauge",
    "When an upstream gave the last answer that was no failure.",
    ("upstream",),
    max,
)
UPSTREAM_FAILED = Metric(
    "quire_upstream_last_failure_timestamp_seconds",
    "gauge",
    "When a request to an upstream failed last.",
    ("upstream",),
    max,
)
UPSTREAM_FAILING = Metric(
    "quire_upstream_failing_since_timestamp_seconds",
    "gauge",
    "The first failure after the last answer; 0 while the upstream answers.",
    ("upstream",),
    _first,
)
UPSTREAM_PAUSED = Metric(
    "quire_upstream_paused_until_timestamp_seconds",
    "gauge",
    "Until when a worker asks an upstream nothing, since it failed; 0 for none.",
    ("upstream",),
    max,
)
MIRROR_PAGE_LOOKS = Metric(
    "quire_mirror_pages_total", "counter", "Looks at mirrored pages, by the result.", ("upstream", "result")
)
MIRROR_STALE = Metric(
    "quire_mirror_oldest_stale_timestamp_seconds",
    "gauge",
    "When the oldest page was confirmed that was served of late though the upstream fails; 0 for none.",
    ("upstream",),
    _first,
)
MIRROR_FILE_LOOKS = Metric(
    "quire_mirror_files_total", "counter", "Requests for files of upstreams.", ("upstream", "kind", "result")
)
MIRROR_REFUSED = Metric(
    "quire_mirror_refused_files_total",
    "counter",
    "Files of upstreams whose bytes were refused, since they are not those that the page announces.",
    ("upstream", "kind"),
)
MIRROR_SENT = Metric(
    "quire_mirror_sent_bytes_total",
    "counter",
    "Bytes of files of upstreams that clients were given by this server.",
    ("upstream",),
)
MIRROR_REMOVED = Metric("quire_mirror_removed_files_total", "counter", "Kept files that were removed for space.")
MIRROR_REMOVED_BYTES = Metric("quire_mirror_removed_bytes_total", "counter", "Bytes of these files.")
MIRROR_BYTES = Metric(
    "quire_mirror_kept_bytes", "gauge", "Bytes that are kept of upstreams, as counted last.", merge=max
)
MIRROR_BOUND = Metric("quire_mirror_bound_bytes", "gauge", "The bound of these bytes.", merge=max)
LOGINS = Metric("quire_logins_total", "counter", "Credentials, by the result of their check.", ("result",))
REFUSED = Metric("quire_access_refused_total", "counter", "Requests refused by the access rules.", ("reason",))
TOKENS_EXPIRING = Metric(
    "quire_tokens_expiring", "gauge", "Tokens that expire soon, but for those of trusted publishing.", merge=max
)
WEBHOOK_DELIVERIES = Metric(
    "quire_webhook_deliveries_total", "counter", "Attempts to deliver an event to a webhook.", ("result",)
)
LOG_LINES_LOST = Metric(
    "quire_log_lines_lost_total", "counter", "Log lines that could not be written: no reader took them, or a full disk."
)
LEFT_OUT = Metric(
    "quire_drop_ins_left_out_total",
    "counter",
    "Drop-in files and directories that were found unfit to serve.",
    ("reason",),
)
CACHE_BYTES = Metric("quire_cache_bytes", "gauge", "Memory of the caches.", ("cache",))
CACHE_ENTRIES = Metric("quire_cache_entries", "gauge", "Projects (or lists) in the caches.", ("cache",))
WORKERS = Metric("quire_workers", "gauge", "Workers that are alive.")
STARTED = Metric("quire_worker_start_time_seconds", "gauge", "When the youngest worker began.", merge=max)
IN_FLIGHT = Metric("quire_requests_in_flight", "gauge", "Requests that are being answered beside the fast path.")
READY = Metric("quire_ready", "gauge", "1 when the last check of every worker found the store usable.", merge=min)
DRAINING = Metric("quire_draining", "gauge", "1 while the server is being stopped.", merge=max)
LOOP_LAG = Metric(
    "quire_loop_lag_seconds", "gauge", "The last delay of the event loop of the slowest worker.", merge=max
)
MEMORY = Metric("quire_resident_bytes", "gauge", "Memory of the workers.")
CPU = Metric("quire_cpu_seconds_total", "counter", "Processor time of the workers.")
INDEX_BYTES = Metric(
    "quire_index_bytes", "gauge", "Bytes of the files of an index with a quota, as counted last.", ("index",), max
)
INDEX_QUOTA = Metric("quire_index_quota_bytes", "gauge", "The quota of an index.", ("index",), max)
DECLARED = Metric(
    "quire_declared_differences",
    "gauge",
    "Settings of indexes that are not in the store as the server's configuration file declares them.",
    merge=max,
)
BACKUP = Metric(
    "quire_backup_last_timestamp_seconds",
    "gauge",
    "When the newest whole backup by quire backup began; 0 for none.",
    merge=max,
)
INFO = Metric("quire_info", "gauge", "Always 1; the labels are the version and the server.", ("version", "server"), max)

METRICS = (
    *(REQUESTS, DURATION, SENT, RECEIVED, BARRIER_REQUESTS, VALIDATIONS, LOADS, UPLOADS, UPLOADED, CHANGES, CONFLICTS),
    *(BUCKET_REQUESTS, BUCKET_SECONDS, BUCKET_DURATION, BUCKET_RETRIES, BUCKET_RECEIVED, BUCKET_SENT),
    *(IN_DOUBT, STORE_FAILURES, LOGINS, CACHE_BYTES, CACHE_ENTRIES, WORKERS, READY, DRAINING, LOOP_LAG, MEMORY, CPU),
    *(UPSTREAM_REQUESTS, UPSTREAM_RECEIVED, UPSTREAM_PAUSES, MIRROR_PAGE_LOOKS, MIRROR_FILE_LOOKS, MIRROR_SENT),
    *(MIRROR_REFUSED, MIRROR_STALE, TOKENS_EXPIRING),
    *(UPSTREAM_ANSWERED, UPSTREAM_FAILED, UPSTREAM_FAILING, UPSTREAM_PAUSED, STARTED, IN_FLIGHT),
    *(MIRROR_REMOVED, MIRROR_REMOVED_BYTES, MIRROR_BYTES, MIRROR_BOUND),
    *(LOG_LINES_LOST, LEFT_OUT, INFO, REFUSED, WEBHOOK_DELIVERIES, INDEX_BYTES, INDEX_QUOTA, DECLARED, BACKUP),
)
