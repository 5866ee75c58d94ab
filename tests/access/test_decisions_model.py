"""The tables of `AccessState` give what a naive reading of the document gives.

The model asks every grant, group and token again for each decision, and matches patterns letter by letter.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.access.authorization import ALLOWED, AccessRules, Right
from quire.access.decisions import AccessState, TokenFault
from quire.access.document import AccessDocument, Grant, Previous, Token
from quire.access.grants import Permission
from quire.access.principals import Principal
from quire.domain.indexes import IndexDefinition, NewProjects
from quire.domain.times import stamp

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
    indexes=st.dictionaries(st.just("main"), st.builds(IndexDefinition, new_projects=st.sampled_from(NewProjects))),
)
owners = st.lists(
    st.sampled_from(["user:ann", "user:bob", "group:team", "token:t000000001", "user:nobody"]), max_size=2, unique=True
).map(tuple)
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
    document: AccessDocument,
    principal: Principal,
    permission: Permission,
    index: str,
    project: str | None,
    owners: tuple[str, ...] = (),
) -> bool:
    definition = document.indexes.get(index, IndexDefinition())
    is_owned = (
        definition.new_projects is NewProjects.OWNED
        and owners != ()
        and permission in {Permission.UPLOAD, Permission.MANAGE}
    )

    def given_to(*receivers: str) -> list[Grant]:
        return [grant for grant in document.grants.values() if grant.subject in receivers]

    def of_user(user: str | None, groups: frozenset[str]) -> list[Grant]:
        if user is None:
            return []
        member_of = groups | {group for group, users in document.groups.items() if user in users}
        return given_to("authenticated", f"user:{user}", *(f"group:{group}" for group in member_of))

    def enough(entries: list[Grant], token: Token | None = None) -> bool:
        """Of an owned project: an entry that names it counts, and one of all projects if all are managed as well."""
        every = [(each, True) for each in entries] + ([(token, False)] if token is not None else [])
        giving = [each for each, whole in every if gives(each, permission, index, project, whole=whole)]
        if not is_owned or project is None:
            return giving != []
        manages = any(
            each.projects == ("*",) and gives(each, Permission.MANAGE, index, project, whole=whole)
            for each, whole in every
        )
        return any(each.projects != ("*",) or manages for each in giving)

    for_all = given_to("anonymous")
    if enough(for_all):
        return True
    if principal.token is None:
        groups = {group for group, users in document.groups.items() if principal.username in users} | principal.groups
        subjects = (
            {f"user:{principal.username}", *(f"group:{each}" for each in groups)} if principal.username else set()
        )
        rights = of_user(principal.username, principal.groups)
        return enough(for_all + rights) or (is_owned and bool(subjects & set(owners)))
    token = document.tokens.get(principal.token)
    if token is None or token.revoked is not None:
        return False
    own = given_to(f"token:{principal.token}")
    is_in_scope = gives(token, permission, index, project, whole=False) or any(
        gives(each, permission, index, project, whole=True) for each in own
    )
    if not is_in_scope:
        return False
    if enough(own, None if token.user is not None else token):
        return True
    if enough(for_all + of_user(token.user, frozenset())):
        return True
    subjects = {f"token:{principal.token}"}
    if token.user is not None:
        subjects = {f"user:{token.user}"}
        subjects |= {f"group:{group}" for group, users in document.groups.items() if token.user in users}
    return is_owned and bool(subjects & set(owners))


@given(documents, principals, owners)
@settings(max_examples=400)
def test_the_tables_decide_as_the_document_says(
    document: AccessDocument, principal: Principal, owned_by: tuple[str, ...]
) -> None:
    """For every permission, index and project, known or not known yet; the rules ask for the same permissions."""
    state, rules = AccessState(document), AccessRules(("download", "list", "update"))
    for index in INDEXES:
        for project in (None, *PROJECTS):
            may = {each: permits(document, principal, each, index, project, owned_by) for each in Permission}
            assert {each: state.permits(principal, each, index, project, owned_by) for each in Permission} == may
            if state.decides:
                decided = {
                    right: rules.authorize(principal, right, index, project, state, owners=owned_by) is ALLOWED
                    for right in (Right.LIST, Right.DOWNLOAD, Right.UPLOAD, Right.MANAGE, Right.INSPECT, Right.UPDATE)
                }
                assert decided == {
                    Right.LIST: may[Permission.READ],
                    Right.DOWNLOAD: may[Permission.READ],
                    Right.UPLOAD: may[Permission.UPLOAD],
                    Right.MANAGE: may[Permission.MANAGE],
                    Right.INSPECT: may[Permission.MANAGE],
                    Right.UPDATE: may[Permission.UPLOAD] or may[Permission.MANAGE],
                }


@given(documents, principals, owners, st.booleans())
@settings(max_examples=400)
def test_owners_only_take_from_others(
    document: AccessDocument, principal: Principal, owned_by: tuple[str, ...], grants_decide: bool
) -> None:
    """With grants and by the settings: owners count in an index of owned projects alone, take no right from an owner,
    and give no right to another principal. A caller that does not know the owners gets the decision for others."""
    if not grants_decide:
        document = msgspec.structs.replace(document, grants={})
    state, rules = AccessState(document), AccessRules(("update",))
    for index in INDEXES:
        is_owned = document.indexes.get(index, IndexDefinition()).new_projects is NewProjects.OWNED
        for project, right in product(PROJECTS, Right):

            def allowed(of: tuple[str, ...], index: str = index, right: Right = right, project: str = project) -> bool:
                return rules.authorize(principal, right, index, project, state, owners=of) is ALLOWED

            free, by_others, owned = allowed(()), allowed(("user:nobody",)), allowed(owned_by)
            unknown = rules.authorize(principal, right, index, project, state) is ALLOWED
            assert unknown == by_others
            if not is_owned or right not in {Right.UPLOAD, Right.MANAGE, Right.INSPECT, Right.UPDATE}:
                assert owned == free == by_others
                continue
            assert free >= by_others
            assert owned == (
                allowed(tuple(state.may_own(principal)))
                if state.may_own(principal) & {*owned_by}
                else by_others
                if owned_by
                else free
            )
            if principal.is_anonymous:
                assert owned == (by_others if owned_by else free)


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
