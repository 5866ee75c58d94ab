"""The decision on rights, as the settings have them."""

from __future__ import annotations

from itertools import product

import pytest

from quire.access.authorization import ALLOWED, AccessRules, Forbidden, NeedsLogin, Right
from quire.access.principals import ANONYMOUS, Principal

ANN = Principal("ann")
CHANGES = (Right.UPDATE, Right.UPLOAD, Right.MANAGE)
WITH_UPDATE = (*CHANGES, Right.INSPECT)
"""A login is needed for all of them where it is for updates."""


def refused(rules: AccessRules, principal: Principal) -> dict[Right, type]:
    """The rights that a principal has not, whatever the project, and the kind of each refusal. The settings make no
    user an administrator, so that right is always refused, and left out here."""
    found = {
        right: {type(rules.authorize(principal, right, "main", project)) for project in (None, "acme")}
        for right in Right
    }
    assert all(len(kinds) == 1 for kinds in found.values())
    assert found.pop(Right.ADMIN) == {NeedsLogin if principal.is_anonymous else Forbidden}
    return {right: kind for right, (kind,) in found.items() if kind is not type(ALLOWED)}


def test_uploads_need_a_login_unless_told_otherwise() -> None:
    """The default is pypiserver's: update needs a login, reading does not."""
    assert refused(AccessRules(), ANONYMOUS) == dict.fromkeys(WITH_UPDATE, NeedsLogin)
    assert refused(AccessRules(()), ANONYMOUS) == {}


@pytest.mark.parametrize("needed", list(product([True, False], repeat=3)))
def test_a_login_gives_all_that_needs_one(needed: tuple[bool, ...]) -> None:
    """Exactly the named rights need a login; a user has all of them. Metrics are read with the right to list."""
    rights = [right for right, is_needed in zip(Right, needed, strict=False) if is_needed]
    also = [Right.METRICS] if Right.LIST in rights else []
    also += WITH_UPDATE if Right.UPDATE in rights else []
    rules = AccessRules([right.value for right in rights])
    assert refused(rules, ANONYMOUS) == dict.fromkeys([*rights, *also], NeedsLogin)
    assert refused(rules, ANN) == {}


@pytest.mark.parametrize("metrics", ["list", "open", "authenticated", "off"])
def test_no_user_changes_a_read_only_index(metrics: str) -> None:
    """Without a login that is asked for first, where one is needed."""
    closed = AccessRules((), read_only=True, metrics=metrics)
    assert refused(closed, ANN) == dict.fromkeys(CHANGES, Forbidden)
    assert refused(closed, ANONYMOUS)[Right.UPDATE] is Forbidden
    assert refused(AccessRules(read_only=True), ANONYMOUS)[Right.UPDATE] is NeedsLogin


def test_metrics_for_users_need_a_password_file() -> None:
    """A login that no user has is not asked for."""
    assert refused(AccessRules((), metrics="authenticated"), ANONYMOUS) == {Right.METRICS: NeedsLogin}
    rules = AccessRules((), metrics="authenticated", has_users=False)
    assert refused(rules, ANONYMOUS) == {Right.METRICS: Forbidden}
