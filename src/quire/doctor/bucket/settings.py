"""The settings of a bucket that concern a store in it: versions, lifecycle rules, retention, encryption."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from quire.doctor.bucket.checks import Check, Result
from quire.domain.errors import StoreError

if TYPE_CHECKING:
    from quire.store.bucket.aws import LifecycleRule, S3Control

_LOOK = "Look yourself whether a lifecycle rule of the bucket removes objects below the store, and remove such a rule."


_CEPH = "Ceph"
"""The names of Ceph's gateways begin so."""


def check_settings(control: S3Control | None, prefix: str, ours: str, server: str = "") -> Iterator[Check]:
    """`prefix`: of the store's keys in the bucket; `ours`: the folder of examinations in it, which may expire.
    `server`: the name that the server gives itself."""
    if control is None:
        yield Check(
            "settings",
            Result.WARNING,
            "The settings of the bucket were not asked for: versions, lifecycle rules, retention, encryption.",
            f"For S3 install quire-index[aws]. {_LOOK}",
        )
        return
    rules = _rules(control)
    if isinstance(rules, Check):
        yield rules
    else:
        yield from judge_lifecycle(rules, prefix, ours)
    expires_versions = not isinstance(rules, Check) and any(
        each.expires_versions and covers(each, prefix) for each in rules
    )
    yield _said(
        "versions", control.versioning, lambda status: judge_versioning(status, expires=expires_versions, server=server)
    )
    yield _said("retention", control.retention, _judge_retention)
    yield _said("encryption", control.encryption, _judge_encryption)


def covers(rule: LifecycleRule, prefix: str) -> bool:
    """Whether a rule is about all objects of a store."""
    return not rule.needs_tags and _below(prefix).startswith(rule.prefix)


def _below(prefix: str) -> str:
    """How the keys of a store begin."""
    return f"{prefix}/" if prefix else ""


def judge_lifecycle(rules: tuple[LifecycleRule, ...], prefix: str, ours: str) -> Iterator[Check]:
    """The effects of the rules on a store under a prefix."""
    below = _below(prefix)
    removing = [
        each
        for each in rules
        if each.expires
        and not each.needs_tags
        and (below.startswith(each.prefix) or each.prefix.startswith(below))
        and not each.prefix.startswith(f"{below}{ours}/")
    ]
    for rule in removing:
        where = f"objects whose keys begin with {rule.prefix}" if rule.prefix else "all objects of the bucket"
        yield Check(
            "expiry",
            Result.FAILS,
            f"The lifecycle rule '{rule.name}' removes {where} after some time: the store loses what was published.",
            "Remove the rule, or narrow it to other objects.",
        )
    if not removing:
        yield Check("expiry", Result.OK, "No lifecycle rule removes objects of the store.")
    days = [each.abort_days for each in rules if each.abort_days is not None and covers(each, prefix)]
    if days:
        yield Check("unfinished", Result.OK, f"A lifecycle rule aborts unfinished uploads ({min(days)} days).")
    else:
        yield Check(
            "unfinished",
            Result.WARNING,
            "No lifecycle rule aborts unfinished uploads: what a dying worker leaves behind is paid for until "
            "'quire gc' removes it.",
            "Add a rule with AbortIncompleteMultipartUpload after 1 day.",
        )


def judge_versioning(status: str, *, expires: bool, server: str = "") -> Check:
    """`status`: as the bucket says it. `expires`: whether a rule removes replaced versions."""
    if status and server.startswith(_CEPH):
        return Check(
            "versions",
            Result.UNKNOWN,
            "The bucket keeps versions, or did so, and in such a bucket Ceph's gateway lets several writers of a race "
            "win, also where this examination saw no race that was lost.",
            "Use a new bucket whose versions were never turned on.",
        )
    if status == "Enabled" and not expires:
        return Check(
            "versions",
            Result.WARNING,
            "The bucket keeps each replaced state of a record and each removed file, and no lifecycle rule removes "
            "them: they are paid for without end.",
            "Add a rule with NoncurrentVersionExpiration, say after 30 days.",
        )
    sentences = {
        "Enabled": "The bucket keeps what is replaced or removed for a time, so an operator's mistake can be undone.",
        "Suspended": "The bucket keeps old versions of before, and makes no new ones.",
    }
    otherwise = "The bucket keeps no versions: what an operator removes by mistake is gone."
    return Check("versions", Result.OK, sentences.get(status, otherwise))


def _judge_retention(kept: str) -> Check:
    if not kept:
        return Check("retention", Result.OK, "No retention keeps objects against removal.")
    return Check(
        "retention",
        Result.WARNING,
        f"Each new object is kept against removal ({kept}): deleted files, and each state of a record, are paid for "
        "until then.",
        "Use a bucket without a default retention, unless an auditor wants it.",
    )


def _judge_encryption(algorithm: str) -> Check:
    return Check(
        "encryption",
        Result.OK,
        f"Objects are encrypted by default ({algorithm})." if algorithm else "Objects are not encrypted by default.",
    )


def _rules(control: S3Control) -> tuple[LifecycleRule, ...] | Check:
    try:
        return control.lifecycle()
    except StoreError as error:
        return Check("lifecycle", Result.WARNING, f"The lifecycle rules could not be asked for. {error}", _LOOK)


def _said(code: str, ask: Callable[[], str], judge: Callable[[str], Check]) -> Check:
    """The check of an answer; a missing answer is no fault of the bucket."""
    try:
        return judge(ask())
    except StoreError as error:
        return Check(code, Result.WARNING, f"The {code} of the bucket could not be asked for. {error}")
