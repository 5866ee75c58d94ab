"""Warnings of names in grants, tokens and groups that are not known here.

They are no errors: an index or a group can be made later, and users can come from a proxy or an identity provider.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable

from quire.access.grants import ANY
from quire.access.passwords import parse_users, read_password_file
from quire.access.unmatched import unknown_subject
from quire.administration.contract import Administration
from quire.commands.common import plain


def add_passwords_flag(parser: argparse.ArgumentParser) -> None:
    """The flag with which users are looked for."""
    text = "the password file of the servers: warn of users that it has not"
    parser.add_argument("-P", "--passwords", metavar="FILE", help=text)


def users_of(passwords: str | None) -> Collection[str] | None:
    """The users of a password file; None without one. Raises ConfigurationError for one that cannot be read."""
    return None if passwords is None else parse_users(read_password_file(passwords), passwords).hashes


def warn_of_unknown(
    administration: Administration, subjects: Iterable[str], users: Collection[str] | None, *, index: str = ANY
) -> None:
    """Print a line for each name that is not known. `subjects`: such as `user:ann`; `users`: as `users_of`.

    Raises StoreError, UpstreamError.
    """
    subjects = tuple(subjects)
    groups = administration.grants().groups if any(each.startswith("group:") for each in subjects) else {}
    found = [unknown_subject(each, groups, users) for each in subjects]
    if index != ANY:
        known = [each.name for each in administration.indexes()]
        found.append(None if index in known else f"No index {index} is known here, only {', '.join(known)}.")
    for sentence in filter(None, found):
        print(f"quire: warning: {plain(sentence)}", file=sys.stderr)
