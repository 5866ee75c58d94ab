"""Password files for tests: hashes of every scheme, the file itself, and a clock that obeys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bcrypt
from passlib import hash as libpass


def bcrypt_hash(password: str | bytes, ident: str = "2b") -> str:
    secret = password.encode() if isinstance(password, str) else password
    return "$" + ident + bcrypt.hashpw(secret[:72], bcrypt.gensalt(4)).decode()[3:]


def sha1_hash(password: str) -> str:
    return str(libpass.ldap_sha1.hash(password))


SCHEMES: dict[str, Callable[[str], str]] = {
    "bcrypt-2y": lambda password: bcrypt_hash(password, "2y"),
    "bcrypt-2b": bcrypt_hash,
    "bcrypt-2a": lambda password: bcrypt_hash(password, "2a"),
    "bcrypt-libpass": lambda password: str(libpass.bcrypt.using(rounds=4).hash(password)),
    "apr1": lambda password: str(libpass.apr_md5_crypt.hash(password)),
    "sha1": sha1_hash,
    "sha256-crypt": lambda password: str(libpass.sha256_crypt.using(rounds=1000).hash(password)),
    "sha512-crypt": lambda password: str(libpass.sha512_crypt.using(rounds=1000).hash(password)),
}


def write(path: Path, **users: str) -> Path:
    """An htpasswd file that is a new file every time, as editors and deployments leave one."""
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(f"{user}:{stored}\n" for user, stored in users.items()))
    fresh.replace(path)
    return path
