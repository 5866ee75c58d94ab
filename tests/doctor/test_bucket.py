"""`quire doctor s3://...` over buckets in memory: a good one, and one for each promise that a bucket can break.

Replaced here: the opening of a bucket by its URL, for the command.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from obstore.store import MemoryStore

from quire import cli
from quire.commands import doctor_bucket
from quire.doctor.bucket.checks import Result
from quire.doctor.bucket.examination import Report, Request, document, examine
from quire.doctor.bucket.settings import judge_lifecycle, judge_versioning
from quire.doctor.examination import QUICK_ROUNDS, ROUNDS
from quire.doctor.findings import Verdict
from quire.domain.errors import ConfigurationError, StoreError, StoreReadOnly
from quire.operations import opening
from quire.store.bucket.aws import LifecycleRule, NotAllowed, NotOffered, S3Control
from quire.store.bucket.client import ObjectBucket
from quire.store.bucket.objects import (
    BlobBucket,
    Forbidden,
    Listed,
    Object,
    Refused,
    Unchanged,
    Unclear,
    Upload,
    Version,
)
from quire.store.bucket.store import BucketStore
from tests.documents import DOCS
from tests.store.bucket.memory import MemoryBucket

URL = "s3://acme/python"


def report_on(
    connect: Callable[[], BlobBucket], *, control: S3Control | None = None, rounds: int = 20, quick: bool = True
) -> Report:
    return examine(Request(URL, connect, control, rounds, quick))


def results(report: Report) -> dict[str, Result]:
    """How each check ended; the worst where there are several of one code."""
    order = list(Result)
    found: dict[str, Result] = {}
    for each in report.checks:
        found[each.code] = max(found.get(each.code, Result.OK), each.result, key=order.index)
    return found


def bad(report: Report) -> dict[str, Result]:
    """Those that did not end well, without the settings, which a bucket in memory has none of."""
    return {code: result for code, result in results(report).items() if result is not Result.OK and code != "settings"}


# -- good buckets -----------------------------------------------------------------------------------------------------


def test_a_good_bucket_keeps_the_promise() -> None:
    """And has nothing in it afterwards but what was there; each check was made."""
    bucket = MemoryBucket()
    bucket.overwrite("format.json", b'{"quire": 1}')
    report = report_on(lambda: bucket)
    assert report.verdict is Verdict.KEEPS
    assert bad(report) == {}
    assert list(results(report)) == [
        *("rights", "changed", "read", "appeared", "deleted", "unchanged", "listed"),
        *("create", "create-race", "replace", "replace-race", "parts", "ranges", "abort", "clock", "settings"),
    ]
    assert report.has_store
    assert [each.key for each in bucket.list("")] == ["format.json"]


def test_leftovers_of_a_killed_examination_are_removed() -> None:
    """When they are a day old by the bucket's clock; another examination that is running is left alone."""
    bucket = DatedBucket({"doctor/old/a": -100_000.0, "doctor/now/b": -10.0, "blobs/doctor/old": -100_000.0})
    report_on(lambda: bucket)
    assert [each.key for each in bucket.list("")] == ["blobs/doctor/old", "doctor/now/b"]


class DatedBucket(MemoryBucket):
    """With objects of a given age."""

    def __init__(self, ages: dict[str, float]) -> None:
        super().__init__()
        self._ages = ages
        for key in ages:
            self.overwrite(key, b"")

    def list(self, prefix: str) -> Iterator[Listed]:
        for each in super().list(prefix):
            yield each._replace(modified=each.modified + self._ages.get(each.key, 0.0))


class Unreliable(MemoryBucket):
    """Every third write has an unclear end, before or after it took place, and every fifth meets a race."""

    def __init__(self) -> None:
        super().__init__()
        self._writes = itertools.count(1)

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        number = next(self._writes)
        if number == 1:  # the rights are tried once
            return super().put(key, data, expected)
        if number % 5 == 0:
            raise Refused
        if number % 6 == 0:
            raise Unclear("The connection was lost.")
        written = super().put(key, data, expected)
        if number % 3 == 0:
            raise Unclear("The connection was lost.")
        return written


def test_writes_with_an_unclear_end_are_no_fault_of_the_bucket() -> None:
    """Each is read again, as a server does."""
    report = report_on(partial(_same, Unreliable()), rounds=60)
    assert Result.FAILS not in results(report).values(), report.checks


def _same(bucket: MemoryBucket) -> MemoryBucket:
    return bucket


# -- buckets that break one promise -----------------------------------------------------------------------------------


class IgnoresCreation(MemoryBucket):
    """As Garage and s3rver."""

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        if expected is None:
            self.remove(key)
        return super().put(key, data, expected)


class RacesCreation(MemoryBucket):
    """Looks first, and then writes: eight at once all find nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._all_looked = threading.Barrier(8)

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        if "/races/" in key and expected is None and self.get(key) is None:
            self._all_looked.wait(60)
            self.remove(key)
        return super().put(key, data, expected)


class NeverReplaces(MemoryBucket):
    """As Ceph 18."""

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        if expected is not None:
            raise Refused
        return super().put(key, data, expected)


class IgnoresReplacement(MemoryBucket):
    """Replaces whatever is there."""

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        found = self.get(key)
        now = found.version if isinstance(found, Object) else None
        return super().put(key, data, None if expected is None else now)


class ReplacesNothing(MemoryBucket):
    """Takes a condition on an object that is gone for true."""

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        return super().put(key, data, None if self.get(key) is None else expected)


class LosesReplacement(MemoryBucket):
    """Acknowledges one of the racing changes without making it."""

    def __init__(self) -> None:
        super().__init__()
        self._appends = itertools.count(1)

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        if key.endswith("/appends") and expected is not None and next(self._appends) == 3:
            return expected
        return super().put(key, data, expected)


class AlwaysUnchanged(MemoryBucket):
    """Answers a conditional read without looking."""

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        found = super().get(key, known)
        return found if found is None or known is None else Unchanged.UNCHANGED


class NeverUnchanged(MemoryBucket):
    """Ignores the condition of reads."""

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        return super().get(key)


class Cached:
    """One connection, which answers the second read of a key with what the first one found, right or not."""

    def __init__(self, bucket: MemoryBucket, *, keeps: Callable[[Object | None], bool]) -> None:
        self._bucket = bucket
        self._keeps = keeps
        self._kept: dict[str, Object | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        if key in self._kept and known is None:
            return self._kept.pop(key)
        found = self._bucket.get(key)
        if not isinstance(found, Unchanged) and self._keeps(found):
            self._kept[key] = found
        return self._bucket.get(key, known)


class RemovesLate(MemoryBucket):
    """Shows an object once more after it was removed."""

    def __init__(self) -> None:
        super().__init__()
        self._gone: dict[str, Object] = {}

    def remove(self, key: str) -> None:
        found = self.get(key)
        super().remove(key)
        if isinstance(found, Object):
            self._gone[key] = found

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        return self._gone.pop(key, None) or super().get(key, known)


class ListsLate(MemoryBucket):
    """Does not list what was written last."""

    def list(self, prefix: str) -> Iterator[Listed]:
        return iter(sorted(super().list(prefix), key=lambda each: each.modified)[:-1])


class ShowsParts(MemoryBucket):
    """Has a part of an object before the rest is there."""

    def upload(self, key: str, part_size: int) -> Upload:
        whole = super().upload(key, part_size)
        if key.endswith("/object"):
            self.overwrite(key, b"a part")
        return whole


class KeepsGivenUp(MemoryBucket):
    """Makes an object of what was given up."""

    def upload(self, key: str, part_size: int) -> Upload:
        upload = super().upload(key, part_size)
        upload.abort = upload.finish  # type: ignore[method-assign]
        return upload


class IgnoresRanges(MemoryBucket):
    """Sends all of an object."""

    def read_at(self, key: str, offset: int, size: int) -> bytes | None:
        found = self.get(key)
        return found.data if isinstance(found, Object) else None


class EarlyClock(MemoryBucket):
    """Two minutes behind."""

    def head(self, key: str) -> Listed | None:
        found = super().head(key)
        return None if found is None else found._replace(modified=found.modified - 120)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (IgnoresCreation, {"create": Result.FAILS}),
        (RacesCreation, {"create-race": Result.FAILS}),
        (NeverReplaces, {"replace": Result.FAILS}),
        (IgnoresReplacement, {"replace": Result.FAILS}),
        (ReplacesNothing, {"replace": Result.FAILS}),
        (LosesReplacement, {"replace-race": Result.FAILS}),
        (AlwaysUnchanged, {"changed": Result.FAILS, "conditions": Result.UNKNOWN}),
        (RemovesLate, {"deleted": Result.FAILS, "conditions": Result.UNKNOWN}),
        (NeverUnchanged, {"unchanged": Result.WARNING}),
        (ListsLate, {"listed": Result.WARNING}),
        (ShowsParts, {"parts": Result.FAILS}),
        (KeepsGivenUp, {"abort": Result.WARNING}),
        (IgnoresRanges, {"ranges": Result.FAILS}),
        (EarlyClock, {"clock": Result.WARNING}),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else "",
)
def test_each_fault_is_found(make: type[MemoryBucket], expected: dict[str, Result]) -> None:
    """By its own check, and by no other; with what to change."""
    bucket = make()
    report = report_on(lambda: bucket)
    assert bad(report) == expected, report.checks
    assert report.verdict is (Verdict.BREAKS if Result.FAILS in expected.values() else Verdict.KEEPS)
    assert all(each.advice for each in report.checks if each.result in {Result.FAILS, Result.WARNING})


@pytest.mark.parametrize(
    ("keeps", "code"),
    [(lambda found: found is not None, "read"), (lambda found: found is None, "appeared")],
    ids=["objects", "absence"],
)
def test_a_cache_on_the_way_is_found(keeps: Callable[[Object | None], bool], code: str) -> None:
    """Of objects, and of the answer that there is none; what is read then decides nothing else."""
    bucket = MemoryBucket()
    found = results(report_on(lambda: Cached(bucket, keeps=keeps)))
    assert found[code] is Result.FAILS
    assert found["conditions"] is Result.UNKNOWN
    assert "create" not in found


# -- rights -----------------------------------------------------------------------------------------------------------


class Forbids(MemoryBucket):
    """One right is missing."""

    def __init__(self, right: str, said: str = "it answered 403 AccessDenied") -> None:
        super().__init__()
        self._right = right
        self._said = said

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        found = super().get(key, known)
        self._check("missing" if found is None else "read")
        return found

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        if self._right == "write":
            raise StoreReadOnly(f"The bucket cannot be written with these credentials: {self._said}.")
        return super().put(key, data, expected)

    def list(self, prefix: str) -> Iterator[Listed]:
        self._check("list")
        return super().list(prefix)

    def remove(self, key: str) -> None:
        self._check("remove")
        super().remove(key)

    def _check(self, right: str) -> None:
        if self._right == right:
            raise Forbidden(f"The bucket cannot be used with these credentials: {self._said}.")


@pytest.mark.parametrize(
    ("right", "named"),
    [
        ("write", "s3:PutObject"),
        ("read", "s3:GetObject"),
        ("missing", "s3:ListBucket"),
        ("list", "s3:ListBucket"),
        ("remove", "s3:DeleteObject"),
    ],
)
def test_a_missing_right_is_named(right: str, named: str) -> None:
    """As the policies of the cloud name it; nothing else is tried, and so nothing is said of the bucket."""
    bucket = Forbids(right)
    report = report_on(lambda: bucket)
    assert report.verdict is Verdict.UNKNOWN
    (check,) = [each for each in report.checks if each.code == "rights"]
    assert named in check.advice
    assert set(results(report)) == {"rights", "settings"}


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("SignatureDoesNotMatch", "The secret key is wrong."),
        ("InvalidAccessKeyId", "does not exist"),
        ("ExpiredToken", "log in again"),
        ("RequestTimeTooSkewed", "use NTP"),
        ("AuthenticationFailed", "SAS token"),
    ],
)
def test_credentials_that_are_not_accepted_are_no_missing_right(code: str, advice: str) -> None:
    """The report names their faults, and says nothing of the bucket."""
    bucket = Forbids("write", f"it answered 403 {code}")
    report = report_on(lambda: bucket)
    (check,) = [each for each in report.checks if each.code == "credentials"]
    assert report.verdict is Verdict.UNKNOWN
    assert advice in check.advice


def test_rights_have_the_names_of_each_cloud() -> None:
    """Google's permissions, Azure's roles."""
    for scheme, named in (("gs", "storage.objects.get"), ("az", "Storage Blob Data Contributor")):
        bucket = Forbids("read")
        report = examine(Request(f"{scheme}://acme/python", partial(_same, bucket), None, 20, True))
        assert named in report.checks[0].advice


# -- what breaks off --------------------------------------------------------------------------------------------------


class Ends(MemoryBucket):
    """A server that is gone after some reads."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self._reads = itertools.count(1)
        self._last = reads

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        if next(self._reads) > self._last:
            raise StoreError("The bucket cannot answer: the connection was refused.")
        return super().get(key, known)


def test_a_bucket_that_cannot_be_reached_is_one_sentence() -> None:
    """No report."""
    bucket = Ends(0)
    with pytest.raises(ConfigurationError, match="the connection was refused"):
        report_on(lambda: bucket)


def test_a_server_that_goes_away_leaves_the_promise_open() -> None:
    """Earlier findings are reported, and the objects are removed as far as they can be."""
    bucket = Ends(40)
    report = report_on(lambda: bucket)
    assert report.verdict is Verdict.UNKNOWN
    assert results(report)["incomplete"] is Result.UNKNOWN
    assert results(report)["rights"] is Result.OK
    assert list(bucket.list("")) == []


# -- settings ---------------------------------------------------------------------------------------------------------


def rule(prefix: str = "", **fields: Any) -> LifecycleRule:
    nothing = LifecycleRule("tidy", prefix, needs_tags=False, expires=False, expires_versions=False, abort_days=None)
    return nothing._replace(**fields)


@pytest.mark.parametrize(
    ("prefix", "rules", "expected"),
    [
        ("python", (), {"expiry": Result.OK, "unfinished": Result.WARNING}),
        ("python", (rule(abort_days=1),), {"expiry": Result.OK, "unfinished": Result.OK}),
        ("", (rule(abort_days=1),), {"expiry": Result.OK, "unfinished": Result.OK}),
        ("", (rule("logs/", abort_days=1),), {"expiry": Result.OK, "unfinished": Result.WARNING}),
        ("python", (rule("other/", abort_days=1),), {"expiry": Result.OK, "unfinished": Result.WARNING}),
        ("python", (rule(expires=True),), {"expiry": Result.FAILS, "unfinished": Result.WARNING}),
        ("python", (rule("py", expires=True),), {"expiry": Result.FAILS, "unfinished": Result.WARNING}),
        ("python", (rule("python/blobs/", expires=True),), {"expiry": Result.FAILS, "unfinished": Result.WARNING}),
        ("", (rule("blobs/", expires=True),), {"expiry": Result.FAILS, "unfinished": Result.WARNING}),
        ("python", (rule("python/doctor/", expires=True),), {"expiry": Result.OK, "unfinished": Result.WARNING}),
        ("python", (rule("pythonic/", expires=True),), {"expiry": Result.OK, "unfinished": Result.WARNING}),
        ("python", (rule(expires=True, needs_tags=True),), {"expiry": Result.OK, "unfinished": Result.WARNING}),
    ],
)
def test_lifecycle_rules_are_judged_by_what_they_concern(
    prefix: str, rules: tuple[LifecycleRule, ...], expected: dict[str, Result]
) -> None:
    """A rule that removes objects of the store breaks the promise, whatever the length of its prefix."""
    assert {each.code: each.result for each in judge_lifecycle(rules, prefix, "doctor")} == expected


@pytest.mark.parametrize(
    ("status", "expires", "expected"),
    [
        ("Enabled", False, Result.WARNING),
        ("Enabled", True, Result.OK),
        ("Suspended", False, Result.OK),
        ("", False, Result.OK),
    ],
)
def test_versions_that_are_kept_for_ever_are_worth_a_warning(status: str, expires: bool, expected: Result) -> None:
    """The sentence says what versions cost, and what they protect from."""
    assert judge_versioning(status, expires=expires).result is expected


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_versions_on_ceph_leave_the_promise_open(status: str) -> None:
    """They take the conditions away in races, which an examination may not lose."""
    answers = {"versioning": status, "lifecycle": (rule(abort_days=1, expires_versions=True),)}
    for server, expected in (("Ceph Object Gateway (tentacle)", Verdict.UNKNOWN), ("AmazonS3", Verdict.KEEPS)):
        control = Settings({**answers, "server": server})
        assert report_on(partial(_same, MemoryBucket()), control=control).verdict is expected


def test_the_page_has_the_numbers_of_requests() -> None:
    """Within its bounds, which allow for lost races."""
    page = (DOCS / "how-to" / "doctor.md").read_text()
    found = re.search(r"makes ([\d,]+) to ([\d,]+) requests, (\d+) to (\d+) of which write", page)
    quick = re.search(r"`--quick` makes (\d+) to (\d+)\.", page)
    assert found is not None
    assert quick is not None
    least, most, least_writes, most_writes = (int(each.replace(",", "")) for each in found.groups())
    requests = report_on(partial(ObjectBucket, MemoryStore(), URL, {}), rounds=ROUNDS, quick=False).requests
    assert least <= sum(requests.values()) <= most
    assert least_writes <= requests["put"] <= most_writes
    requests = report_on(partial(ObjectBucket, MemoryStore(), URL, {}), rounds=QUICK_ROUNDS).requests
    assert int(quick[1]) <= sum(requests.values()) <= int(quick[2])


class Settings(S3Control):
    """A bucket's settings, or the error that each question ends with."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__(URL, {})
        self._answers = answers

    def _answer(self, name: str) -> Any:
        answer = self._answers.get(name, "")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def versioning(self) -> str:
        return str(self._answer("versioning"))

    def lifecycle(self) -> tuple[LifecycleRule, ...]:
        return tuple(self._answer("lifecycle") or ())

    def encryption(self) -> str:
        return str(self._answer("encryption"))

    def retention(self) -> str:
        return str(self._answer("retention"))

    def server(self) -> str:
        return str(self._answer("server"))

    def unfinished_uploads(self, prefix: str = "") -> Iterator[Any]:
        return iter(self._answer("unfinished_uploads") or ())

    def abort_upload(self, key: str, upload_id: str) -> None:
        self._answer("abort_upload")


def test_the_settings_of_the_bucket_are_part_of_the_report() -> None:
    """Each with its own line."""
    answers = {
        "versioning": "Enabled",
        "lifecycle": (rule(abort_days=1, expires_versions=True),),
        "encryption": "aws:kms",
        "retention": "GOVERNANCE, 30 days",
        "server": "AmazonS3",
    }
    report = report_on(partial(_same, MemoryBucket()), control=Settings(answers))
    assert bad(report) == {"retention": Result.WARNING}
    assert report.server == "AmazonS3"
    sentences = " ".join(each.sentence for each in report.checks)
    assert "GOVERNANCE, 30 days" in sentences
    assert "aws:kms" in sentences


def test_settings_that_cannot_be_asked_for_are_no_fault() -> None:
    """A server has no need of these rights, and many servers do not know the requests."""
    denied = NotAllowed("The bucket answered 403 AccessDenied. Give the right s3:GetBucketVersioning.", "s3:...")
    unknown = NotOffered("The bucket answered 501 NotImplemented to it.")
    names = ("versioning", "lifecycle", "encryption", "retention", "server")
    for error in (denied, unknown):
        control = Settings({**dict.fromkeys(names, error), "unfinished_uploads": error})
        report = report_on(partial(_same, MemoryBucket()), control=control)
        assert report.verdict is Verdict.KEEPS
        assert set(bad(report)) == {"tidy", "lifecycle", "versions", "retention", "encryption"}


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_document_for_scripts_has_every_check() -> None:
    """And findings in the form that those of a volume have."""
    written = json.loads(json.dumps(document(report_on(partial(_same, IgnoresRanges())))))
    assert (written["bucket"], written["verdict"]) == (URL, "breaks")
    assert {each["result"] for each in written["checks"]} == {"ok", "warning", "fails"}
    assert {(each["code"], each["weight"]) for each in written["findings"]} == {
        ("ranges", "breaks"),
        ("settings", "advice"),
    }
    assert {"read_ms", "read_p99_ms", "write_ms", "write_p99_ms", "clock_skew_s"} == set(written["measures"])


def test_a_bucket_that_is_not_as_declared_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict does not depend on it."""
    bucket = MemoryBucket()
    store = BucketStore(bucket, "memory:")
    assert store.exists
    monkeypatch.setattr(doctor_bucket, "open_objects", lambda _: SimpleNamespace(control=None))
    monkeypatch.setattr(doctor_bucket, "examine", lambda request, _: Report(request.url, 1, True))
    monkeypatch.setattr(opening, "open_store", lambda *_, **__: store)
    file = tmp_path / "quire.toml"
    file.write_text("[indexes.main]\nuploads = false\n")
    assert cli.main(["doctor", "s3://acme/python", "--config", str(file), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["checks"]
    assert (found["code"], found["result"]) == ("not-as-declared", "warning")
    assert "main: uploads = false, in the store true" in found["sentence"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--listen", "7000", "s3://acme/python"), "--listen and --peer are for volumes"),
        (("--peer", "host:7000", "s3://acme/python"), "--listen and --peer are for volumes"),
        (("memory:",), "which commands cannot reach"),
    ],
)
def test_what_a_bucket_cannot_be_asked_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the exit code of a wrong command line."""
    assert cli.main(["doctor", "--config", str(_empty(tmp_path)), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def _empty(folder: Path) -> Path:
    path = folder / "quire.toml"
    path.touch()
    return path
