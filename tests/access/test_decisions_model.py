"""The tables of `AccessState` give what a naive reading of the document gives.

The model asks every grant, group and token again for each decision, and matches patterns letter by letter.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from quire.access.authorization import ALLOWED, AccessRules, Right
from quire.access.decisions import AccessState, TokenFault
from quire.access.document import AccessDocument, Grant, Previous, Token, stamp
from quire.access.grants import Permission
from quire.access.principals import Principal

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
USERS, GROUPS, TOKENS = ("ann", "bob"), ("team", "ops"), ("t000000001", "t000000002")
INDEXES, PROJECTS = ("main", "other"), ("acme", "acme-tools", "tools")
PATTERNS = ("acme", "acme-*", "*-tools", "a*s")
DIGESTS = tuple(letter * 64 for letter in "abc")
WORDS = (*Permission, "fly")
"""The last one is of a later version, and gives nothing."""

words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True).map(tuple)
indexes = st.sampled_from(("*", *INDEXES))
projects = st.one_of(
    st.just(("*",)), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2, unique=True).map(tuple)
)
subjects = st.sampled_from(
    [
        "anonymous",
        "authenticated",
        *(f"user:{each}" for each in USERS),
        *(f"group:{each}" for each in GROUPS),
        *(f"token:{each}" for each in TOKENS),
        "publisher:ci",
        "planet:mars",
    ]
)
moments = st.sampled_from([None, *(stamp(NOW + timedelta(seconds=each)) for each in (-1, 0, 1))])
grants = st.builds(Grant, subject=subjects, permissions=words, index=indexes, projects=projects)
tokens = st.builds(
    Token,
    digest=st.sampled_from(DIGESTS),
    permissions=words,
    index=indexes,
    projects=projects,
    user=st.sampled_from((None, *USERS)),
    expires=moments,
    revoked=st.sampled_from((None, None, stamp(NOW))),
    previous=st.one_of(
        st.none(), st.builds(Previous, digest=st.sampled_from(DIGESTS), until=moments.filter(bool).map(str))
    ),
)
documents = st.builds(
    AccessDocument,
    grants=st.lists(grants, max_size=5).map(lambda each: {f"g{number}": grant for number, grant in enumerate(each)}),
    groups=st.dictionaries(st.sampled_from(GROUPS), st.lists(st.sampled_from(USERS), max_size=2).map(tuple)),
    tokens=st.dictionaries(st.sampled_from(TOKENS), tokens),
)
principals = st.one_of(
    st.just(Principal()),
    st.builds(Principal, st.sampled_from((*USERS, "eve")), st.sets(st.sampled_from(GROUPS)).map(frozenset)),
    st.sampled_from((*TOKENS, "t000000009")).map(lambda identity: Principal(token=identity)),
)


def pattern_matches(pattern: str, name: str) -> bool:
    if not pattern or not name:
        return pattern in {name, "*"}
    if pattern[0] == "*":
        return pattern_matches(pattern[1:], name) or pattern_matches(pattern, name[1:])
    return pattern[0] == name[0] and pattern_matches(pattern[1:], name[1:])


def gives(entry: Grant | Token, permission: Permission, index: str, project: str | None, *, whole: bool) -> bool:
    """Whether the words of an entry give a permission. `whole`: words for a whole index count on a whole index only."""
    is_whole = entry.projects == ("*",)
    counted = {each for each in entry.permissions if is_whole or not whole or each not in {"read", "admin"}}
    has = permission in counted or Permission.ADMIN in counted
    if not has or entry.index not in {"*", index}:
        return False
    if project is None or permission is Permission.READ:
        return True
    return any(pattern_matches(pattern, project) for pattern in entry.projects)


def permits(
    document: AccessDocument, principal: Principal, permission: Permission, index: str, project: str | None
) -> bool:
    def given_to(*receivers: str) -> bool:
        return any(
            grant.subject in receivers and gives(grant, permission, index, project, whole=True)
            for grant in document.grants.values()
        )

    def user_may(user: str | None, groups: frozenset[str]) -> bool:
        if user is None:
            return False
        member_of = groups | {group for group, users in document.groups.items() if user in users}
        return given_to("authenticated", f"user:{user}", *(f"group:{group}" for group in member_of))

    if given_to("anonymous"):
        return True
    if principal.token is None:
        return user_may(principal.username, principal.groups)
    token = document.tokens.get(principal.token)
    if token is None or token.revoked is not None:
        return False
    if given_to(f"token:{principal.token}"):
        return True
    return gives(token, permission, index, project, whole=False) and (
        token.user is None or user_may(token.user, frozenset())
    )


@given(documents, principals)
@settings(max_examples=400)
def test_the_tables_decide_as_the_document_says(document: AccessDocument, principal: Principal) -> None:
    """For every permission, index and project, known or not known yet; the rules ask for the same permissions."""
    state, rules = AccessState(document), AccessRules(("download", "list", "update"))
    for index in INDEXES:
        for project in (None, *PROJECTS):
            may = {each: permits(document, principal, each, index, project) for each in Permission}
            assert {each: state.permits(principal, each, index, project) for each in Permission} == may
            if state.decides:
                decided = {
                    right: rules.authorize(principal, right, index, project, state) is ALLOWED
                    for right in (Right.LIST, Right.DOWNLOAD, Right.UPLOAD, Right.MANAGE, Right.UPDATE)
                }
                assert decided == {
                    Right.LIST: may[Permission.READ],
                    Right.DOWNLOAD: may[Permission.READ],
                    Right.UPLOAD: may[Permission.UPLOAD],
                    Right.MANAGE: may[Permission.MANAGE],
                    Right.UPDATE: may[Permission.UPLOAD] or may[Permission.MANAGE],
                }


@given(documents, st.sampled_from((*TOKENS, "t000000009")), st.sampled_from((*DIGESTS, "d" * 64)))
@settings(max_examples=400)
def test_a_token_counts_by_its_secret_and_the_time(document: AccessDocument, identity: str, digest: str) -> None:
    """One that was revoked, has expired or was replaced tells so to its holder; a wrong secret is told nothing."""
    token, found = document.tokens.get(identity), AccessState(document).find_token(identity, digest, NOW)
    now = stamp(NOW)
    previous = token.previous if token is not None else None
    is_current = token is not None and token.digest == digest
    if token is None or not (is_current or (previous is not None and previous.digest == digest)):
        assert found is TokenFault.UNKNOWN
    elif token.revoked is not None:
        assert found is TokenFault.REVOKED
    elif token.expires is not None and token.expires <= now:
        assert found is TokenFault.EXPIRED
    elif not is_current and previous is not None and previous.until <= now:
        assert found is TokenFault.ROTATED
    else:
        assert found is token
