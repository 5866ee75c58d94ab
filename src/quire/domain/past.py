"""A hosted project as it was at a moment, as far as is known. Pure.

Theory of operation. Three things are known of a project's past: its record, which has what is listed now; its trash,
which has what was deleted lately; and the audit log, which names the files of each change. The bytes of a file are
there as long as the record or the trash has it. So each file that they have is asked: was this content listed under
this name at the moment? The last change before the moment that names the file says so; if there is none, the first one
after it says what there was before it; if the log does not name it at all, its upload time does.

Where nothing is known, a file is left out. No file is ever shown that was uploaded at the moment or later: its upload
time, or the log, has to prove that it was there.

- A file that an import brought counts from its upload time on, not from the import: that time is when it was published
  in the place that it comes from.
- The files of a promotion count from its beginning on, which is their upload time: so it is seen as a whole or not at
  all, though the records of its projects get their entries one after the other.
- A project that is quarantined now was quarantined then: files that are not to be installed are not offered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

from quire.domain.changes import is_empty
from quire.domain.moments import canonical, is_before
from quire.domain.project import File, Project, Status
from quire.domain.trash import TrashedFile


class Past(NamedTuple):
    """A project at a moment."""

    files: Mapping[str, File]
    """By filename, as they were; each is one whose bytes the record or the trash still has."""
    status: Status = Status.ACTIVE
    status_reason: str | None = None


class _Kind(Enum):
    ADDED = "added"
    IMPORTED = "imported"
    """Added, with an upload time that says since when it counts."""
    DELETED = "deleted"
    YANKED = "yanked"
    UNYANKED = "unyanked"
    KEPT = "kept"
    """It was there before and after."""


_KINDS: Final = {
    "publish": _Kind.ADDED,
    "restore": _Kind.ADDED,
    "import": _Kind.IMPORTED,
    "delete": _Kind.DELETED,
    "yank": _Kind.YANKED,
    "unyank": _Kind.UNYANKED,
}
"""By action; each other one changes what is there."""
_IMPORTING: Final = "quire import"
"""The beginning of the command of an import, whose action can be a publication."""


class _Mention(NamedTuple):
    """A file as one entry of the log names it."""

    kind: _Kind
    action: str
    at: str
    sha256: str
    replaced: str | None
    reason: str | None


@dataclass(slots=True)
class _Log:
    """The entries that name a file, on both sides of the moment."""

    before: list[_Mention]
    after: list[_Mention]


def past_of(
    project: Project | None, log: Sequence[Mapping[str, Any]], trashed: Iterable[TrashedFile], moment: str
) -> Past:
    """The project at a moment (as `parse_moment` has it). `project`, `log`: what its record has now, and the entries of
    all of its changes, the oldest first; `trashed`: its trash."""
    cut = next((place for place, entry in enumerate(log) if _text(entry, "at") >= moment), len(log))
    logs = _by_filename(log, cut)
    kept = {each.file.filename: each for each in trashed}
    listed = project.files if project is not None else {}
    files = {}
    for filename in dict.fromkeys((*listed, *kept)):
        known = logs.get(filename) or _Log([], [])
        file = _file_then(known, listed.get(filename), kept.get(filename), moment)
        if file is not None:
            files[filename] = file
    return Past(files, *_status_then(project, log[:cut], log[cut:]))


def _by_filename(log: Sequence[Mapping[str, Any]], cut: int) -> dict[str, _Log]:
    found: dict[str, _Log] = {}
    for place, entry in enumerate(log):
        action, command = _text(entry, "action"), _text(entry, "command")
        kind = _KINDS.get(action, _Kind.KEPT)
        if kind is _Kind.ADDED and (command.startswith(_IMPORTING) or "promotion" in entry):
            kind = _Kind.IMPORTED
        named = entry.get("files")
        for each in named if isinstance(named, list) else ():
            if isinstance(each, Mapping):
                is_same = each.get("same") is True  # it was listed before
                mention = _Mention(
                    _Kind.KEPT if is_same else kind,
                    "" if is_same else action,
                    _text(entry, "at"),
                    _text(each, "sha256"),
                    _text(each, "replaced") or None,
                    _text(entry, "reason") or None,
                )
                of_file = found.setdefault(_text(each, "filename"), _Log([], []))
                (of_file.before if place < cut else of_file.after).append(mention)
    return found


def _file_then(log: _Log, listed: File | None, kept: TrashedFile | None, moment: str) -> File | None:
    sha256 = _content_then(log, listed, kept, moment)
    known = (listed, kept.file if kept is not None else None)
    copies = [each for each in known if each is not None and each.sha256 == sha256]
    if not copies:
        return None
    uploaded = next((each.uploaded for each in copies if is_before(each.uploaded, moment)), None)
    if uploaded is None:  # the same content was published again since
        uploaded = next((each.at for each in reversed(log.before) if each.kind is _Kind.ADDED and each.at), None)
    if uploaded is None:
        return None
    file, yanked = copies[0], _yanked_then(log, copies[0], kept, moment)
    if (file.uploaded, file.yanked) == (uploaded, yanked):
        return file
    return msgspec.structs.replace(file, uploaded=uploaded, yanked=yanked)


def _content_then(log: _Log, listed: File | None, kept: TrashedFile | None, moment: str) -> str | None:
    """The sha256 of the file that had this name at the moment; None for none, and where it is not known."""
    was_kept = kept is not None and canonical(kept.deleted) >= moment
    if log.before:
        last = log.before[-1]
        # An entry of many files names only the first ones, so a deletion may be missing.
        is_gone = not log.after and listed is None and not was_kept
        return None if last.kind is _Kind.DELETED or is_gone else last.sha256
    if log.after:
        first = log.after[0]
        return first.replaced or (None if first.kind is _Kind.ADDED else first.sha256)
    found = kept.file if kept is not None and was_kept else listed
    return found.sha256 if found is not None else None


def _yanked_then(log: _Log, file: File, kept: TrashedFile | None, moment: str) -> bool | str:
    for each in reversed(log.before):
        if each.kind is _Kind.YANKED:
            return each.reason or True
        if each.kind is _Kind.UNYANKED:
            return False
        if each.action == "publish" or each.kind is _Kind.IMPORTED:
            break
    is_deleted = False
    for each in log.after:
        if each.kind in {_Kind.YANKED, _Kind.UNYANKED}:
            return each.kind is _Kind.UNYANKED
        if each.replaced is not None or (is_deleted and each.action == "publish"):
            return False  # what follows is of another publication, and this one had no mark
        is_deleted = is_deleted or each.kind is _Kind.DELETED
        if kept is not None and each.kind is _Kind.DELETED and moment <= canonical(kept.deleted) <= each.at:
            return kept.file.yanked  # it is of this deletion
    is_earlier = kept is not None and file is kept.file and canonical(kept.deleted) < moment
    return False if is_earlier else file.yanked


def _status_then(
    project: Project | None, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> tuple[Status, str | None]:
    status = project.status if project is not None else Status.ACTIVE
    reason = project.status_reason if project is not None else None
    is_gone = project is None or is_empty(project)  # then it has no status any more
    if status is Status.QUARANTINED or not (is_gone or any(map(_sets_status, after))):
        return status, reason
    last = next(filter(_sets_status, reversed(before)), None)
    if last is None or last.get("status") not in {*Status}:
        return Status.ACTIVE, None
    return Status(last["status"]), _text(last, "reason") or None


def _sets_status(entry: Mapping[str, Any]) -> bool:
    """Whether a project got a status by a change. One that names none was of a project that is gone by it: it had no
    files, and became active."""
    return "status" in entry or entry.get("action") == "status"


def _text(entry: Mapping[str, Any], field: str) -> str:
    value = entry.get(field)
    return value if isinstance(value, str) else ""
