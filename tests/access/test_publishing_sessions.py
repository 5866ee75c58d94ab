"""Publishing sessions in the access document: how they are stored, and the names that they reserve."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from quire.access import publishing_sessions as definitions
from quire.access.decisions import AccessState
from quire.access.document import EMPTY, AccessDocument, decode_access, encode_access
from quire.access.principals import ANONYMOUS, Principal
from quire.domain.publishing_sessions import OpenSession

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
TOKEN = f"s-{'0' * 48}"


def with_session(by: str | None = "user:ann", *, is_first: bool = True) -> AccessDocument:
    session = OpenSession(project="alpha", version="1.0", by=by, is_first=is_first)
    ends = NOW + timedelta(days=7)
    return definitions.with_session(EMPTY, TOKEN, "main", session, "main", now=NOW, expires=ends)


def test_a_document_with_sessions_has_a_format_of_its_own() -> None:
    """A server that does not know them would not keep their names; fields of a later version stay."""
    stored = json.loads(encode_access(with_session()))
    assert stored["format"] == 4
    stored["indexes"][TOKEN]["session"]["later"] = 7
    document = decode_access(json.dumps(stored).encode())
    session = document.indexes[TOKEN].session
    assert session is not None
    assert session.unknown == {"later": 7}
    assert json.loads(encode_access(document)) == stored


def test_a_new_name_is_reserved_until_the_session_ends() -> None:
    """For its sender; no sender without a login can reserve one."""
    ann, bob, after = Principal("ann"), Principal("bob"), NOW + timedelta(days=7)

    def refused(document: AccessDocument, principal: Principal, project: str = "alpha", now: datetime = NOW) -> bool:
        return AccessState(document).is_reserved_against(principal, "main", project, now)

    assert refused(with_session(), bob)
    assert refused(with_session(), ANONYMOUS)
    assert not refused(with_session(), ann)
    assert not refused(with_session(), bob, "beta")
    assert not refused(with_session(), bob, now=after)
    assert not refused(with_session(is_first=False), bob)
    assert not refused(with_session(by=None), bob)


def test_the_stage_of_a_session_is_read_as_its_index() -> None:
    """And every other index as itself."""
    state = AccessState(with_session())
    assert [state.reads_as(name) for name in (TOKEN, "main", "other")] == ["main", "main", "other"]
