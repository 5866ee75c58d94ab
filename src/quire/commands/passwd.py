"""`quire passwd`: the users of an htpasswd file.

JSON of --list: {"file": path, "users": [{"user": name, "line": int, "scheme": str or null, "fault": str or null}]}.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from typing import Any

from quire.access.htpasswd import MAX_NAME_BYTES, entries, with_hash, without
from quire.access.password_changes import change
from quire.access.passwords import BCRYPT_BYTES, parse_users, read_password_file, scheme_of, verify_password
from quire.commands.common import print_json, print_table
from quire.config.resolving import resolve
from quire.config.settings import RUN_DEFAULTS, Settings
from quire.domain.errors import ConfigurationError, InvalidRequest, NotFound
from quire.observe import logs

COST = 10
"""Of bcrypt: some 70 ms for each check, of which each worker makes one per user and five minutes."""
_LONGEST_LINE = 4096

_DESCRIPTION = """\
Add a user to the htpasswd file of a server, or change a password; hashes are bcrypt's. The password is asked for twice
on the terminal, or comes from --stdin or --password-file, never from the command line, which others can see. The file
is replaced in one step and keeps its owner and mode. Running servers read it at their next request: a new password
counts at once, and so does a removed user; no restart is needed.
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `passwd`."""
    parser = subparsers.add_parser(
        "passwd", help="add, change or remove users who can log in", description=_DESCRIPTION
    )
    add = parser.add_argument
    add("user", nargs="?", metavar="USER", help="the user whose password is set")
    add(
        "-P",
        "--passwords",
        metavar="FILE",
        help="the htpasswd file (default: that of the server, from QUIRE_PASSWORDS or quire.toml); "
        "made with the first user if it is not there",
    )
    add("--config", metavar="FILE", help="a configuration file (default: quire.toml in the working directory)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--remove", action="store_true", help="remove the user")
    what.add_argument("--verify", action="store_true", help="only say whether the password is right (exit code 0 or 1)")
    what.add_argument("--list", action="store_true", help="list the users and how their passwords are kept")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--stdin", action="store_true", help="read the password from the first line of standard input")
    where.add_argument("--password-file", metavar="FILE", help="read the password from the first line of FILE")
    add("--json", action="store_true", help="with --list: print JSON, for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises ConfigurationError, StoreError, NotFound, InvalidRequest."""
    path = _file(arguments)
    logs.configure(Settings(directories=(), log_stream="stderr", log_format="%(message)s"))
    if arguments.list:
        if arguments.user is not None:
            raise ConfigurationError("--list is about all users; leave the name out.")
        return _list(path, as_json=arguments.json)
    user = _user(arguments.user)
    if arguments.remove:
        return _remove(path, user)
    if arguments.verify:
        return _verify(path, user, _password(arguments, user, twice=False))
    return _set(path, user, _checked(_password(arguments, user, twice=True)))


def _file(arguments: argparse.Namespace) -> str:
    if arguments.passwords is None:
        found = resolve({}, os.environ, RUN_DEFAULTS, arguments.config).passwords
        if found is None:
            raise ConfigurationError("No password file is set; name one with -P.")
        return found
    if arguments.passwords == ".":
        raise ConfigurationError("-P: '.' means that there is no password file; name one.")
    return os.path.abspath(os.path.expanduser(str(arguments.passwords)))


def _user(user: str | None) -> str:
    if user is None:
        raise ConfigurationError("Name the user, or give --list.")
    problem = ""
    if not user or user.strip() != user or user.startswith("#"):
        problem = "is empty, begins or ends with a space, or begins with '#'"
    elif ":" in user or not user.isprintable():
        problem = "holds a ':' or a character that cannot be printed"
    elif len(user.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        problem = f"is longer than {MAX_NAME_BYTES} bytes"
    if problem:
        raise ConfigurationError(f"{user[:MAX_NAME_BYTES]!r} is no user name: it {problem}.")
    return user


def _password(arguments: argparse.Namespace, user: str, *, twice: bool) -> str:
    """The password, from where the flags say. Raises ConfigurationError, InvalidRequest."""
    if arguments.stdin:
        return _first_line(sys.stdin.buffer.readline(_LONGEST_LINE + 1), "Standard input")
    if arguments.password_file is not None:
        try:
            with open(arguments.password_file, "rb") as file:
                return _first_line(file.readline(_LONGEST_LINE + 1), f"The file {arguments.password_file}")
        except OSError as error:
            raise ConfigurationError(
                f"--password-file: {arguments.password_file} cannot be read ({error.strerror})."
            ) from error
    if not sys.stdin.isatty():
        raise ConfigurationError("There is no terminal to ask for the password; give --stdin or --password-file.")
    try:
        password = getpass.getpass(f"Password of {user}: ")
        if twice and getpass.getpass("The same again: ") != password:
            raise InvalidRequest("The two passwords differ; nothing was changed.")
    except EOFError:  # Ctrl-D
        raise InvalidRequest("No password was given; nothing was changed.") from None
    return password


def _first_line(line: bytes, where: str) -> str:
    try:
        if len(line) <= _LONGEST_LINE:
            return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        pass
    raise InvalidRequest(f"{where} does not hold a password on its first line, in UTF-8.")


def _checked(password: str) -> str:
    """A new password. Raises InvalidRequest, without the password in it."""
    if not password:
        raise InvalidRequest("The password is empty; nothing was changed.")
    if any(character < " " or character == "\x7f" for character in password):
        raise InvalidRequest("The password holds a control character, which no client can send (RFC 7617).")
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        raise InvalidRequest("The password is not text in UTF-8.") from None
    if size > BCRYPT_BYTES:
        raise InvalidRequest(
            f"The password is longer than {BCRYPT_BYTES} bytes, and bcrypt ignores the rest; choose a shorter one."
        )
    return password


def _set(path: str, user: str, password: str) -> int:
    import bcrypt  # noqa: PLC0415 - only to make a hash

    # Apache knows the same hash as $2y$ only
    stored = bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode().replace("$2b$", "$2y$", 1)
    was_there = False

    def edit(data: bytes) -> bytes:
        nonlocal was_there
        if data:
            parse_users(data, path)  # raises for a file of another kind, which must not be overwritten
        was_there = any(entry.user == user for entry in entries(data))
        return with_hash(data, user, stored)

    change(path, edit, create=True)
    done = f"The password of {user} is changed" if was_there else f"{user} is added"
    print(f"{done} in {path}; running servers take it from their next request on.")
    return 0


def _remove(path: str, user: str) -> int:
    def edit(data: bytes) -> bytes:
        after = without(data, user)
        if after == data:
            raise NotFound(f"{path} has no user {user}.")
        return after

    change(path, edit)
    print(f"{user} is removed from {path}; running servers refuse this user from their next request on.")
    return 0


def _verify(path: str, user: str, password: str) -> int:
    stored = parse_users(read_password_file(path), path).hashes.get(user)
    if stored is None:
        raise NotFound(f"{path} has no user {user} who can log in.")
    if not verify_password(password, stored):
        raise InvalidRequest(f"That is not the password of {user}.")
    print(f"That is the password of {user}.")
    return 0


def _list(path: str, *, as_json: bool) -> int:
    seen: set[str] = set()
    users: list[dict[str, str | int | None]] = []
    rows = []
    for entry in entries(read_password_file(path)):
        scheme, fault = scheme_of(entry.stored), entry.fault
        if not fault and entry.user in seen:
            fault = "an earlier line has the same user, and that one counts"
        elif not fault and scheme is None:
            fault = "the hash is damaged or of an unsupported kind; set the password again"
        seen.add(entry.user)
        users.append({"user": entry.user, "line": entry.number, "scheme": scheme, "fault": fault or None})
        rows.append((entry.user or f"line {entry.number}", f"cannot log in: {fault}" if fault else str(scheme)))
    if as_json:
        print_json({"file": path, "users": users})
    else:
        print_table(("User", "Password"), rows)
    return 0
