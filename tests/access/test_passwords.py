"""The htpasswd file: what is read from it, what is refused, and when it is read again.

Replaced here: `os.open`, since root may read every file, and a test may run as root.
"""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from quire.access.authenticator import parse_basic
from quire.access.passwords import MAX_PASSWORD_FILE_BYTES, RACY_SECONDS, Passwords, parse_users, verify_password
from quire.domain.errors import ConfigurationError
from tests.clocks import Clock
from tests.htpasswd import SCHEMES, bcrypt_hash, sha1_hash, write


def test_known_answers_of_other_programs() -> None:
    """Hashes that `openssl` and crypt(3) made of the password "secret" verify."""
    for stored in (
        "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/",
        "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
        "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
        "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    ):
        assert dict(parse_users(f"alice:{stored}".encode(), "f").hashes) == {"alice": stored}
        assert verify_password("secret", stored)
        assert not verify_password("Secret", stored)


def test_comments_blank_lines_and_crlf_are_allowed() -> None:
    """Lines that Apache passes over are passed over; of two entries for a user the first counts."""
    first, second = sha1_hash("first"), sha1_hash("second")
    users = parse_users(f"# team\r\n\r\nalice:{first}\r\n  # more\nalice:{second}\njörg:{second}".encode(), "f")
    assert dict(users.hashes) == {"alice": first, "jörg": second}
    assert first not in repr(users)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (b"j\xfcrgen:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "Latin-1"),
        (b"no colon", "not of the form user:hash"),
        (b":{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "no user name"),
        (b"al\tice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "control character"),
        (b"a" * 300 + b":{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "longer than 255 bytes"),
        (b"bob:{SHA}5en6G6MezRroT3XKqkdPOmY", "cut off or damaged"),
        (b"ann:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "an earlier line has the same user"),
    ],
)
def test_one_bad_line_locks_out_no_other_user(odd: bytes, reason: str) -> None:
    """It is warned about once, by its number and without its content."""
    stored = sha1_hash("secret")
    with capture_logs() as logs:
        users = parse_users(f"ann:{stored}\n\n".encode() + odd + f"\ncid:{stored}\n".encode(), "f")
    latin1 = {"jürgen": sha1_hash("secret")} if reason == "Latin-1" else {}
    assert dict(users.hashes) == {"ann": stored, "cid": stored} | latin1
    assert [(log["log_level"], log["lines"], log["count"]) for log in logs] == [("warning", [3], 1)]
    assert reason in logs[0]["reason"]
    assert "SHA" not in str(logs)


def test_latin_1_users_log_in() -> None:
    """Name and password of a file that was made on a Latin-1 terminal, whichever charset the client speaks."""
    stored = bcrypt_hash("pä§".encode("latin-1"))
    with capture_logs():
        users = parse_users("jürgen:".encode("latin-1") + stored.encode(), "f")
    for charset in ("latin-1", "utf-8"):
        login = parse_basic("Basic " + b64encode("jürgen:pä§".encode(charset)).decode())
        assert login is not None
        assert verify_password(login.password, users.hashes[login.username])
    assert not verify_password("pä", stored)
    assert not verify_password("p\u0142", stored)


def test_byte_order_mark_and_notes() -> None:
    """A BOM is no part of the first name, and what follows a second colon no part of the hash, as in Apache."""
    stored = sha1_hash("secret")
    users = parse_users(f"\ufeffalice:{stored}:Alice Example\r\n  bob:{stored}  \r\n".encode(), "f")
    assert dict(users.hashes) == {"alice": stored, "bob": stored}


@pytest.mark.parametrize(
    "data",
    [
        b"alice",
        b"\x1f\x8b\x08garbage\n",
        b"alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n\0\0\0\0",
        b"alice:\0\0\0\0",
        "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n".encode("utf-16"),
        b"alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbob:{SHA}5en6G6Me",  # half of what is being written
        b"bob:{SHA}5en6G6Me\n",
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, data: bytes) -> None:
    """A file that is no htpasswd file stops the program at start with one sentence that quotes no secret."""
    path = tmp_path / "htpasswd"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"The password file .*htpasswd is malformed \(") as caught:
        Passwords(path)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_cut_through_a_hash_is_noticed(scheme: str) -> None:
    """A file that ends in the midst of a hash never yields a user with half a hash, which libpass would accept."""
    stored = SCHEMES[scheme]("secret")
    for cut in range(len(stored)):
        try:
            with capture_logs():
                users = parse_users(f"alice:{stored[:cut]}".encode(), "f")
        except ConfigurationError:
            continue
        assert not users.hashes  # cut so early that it is no supported hash at all


@given(st.binary(max_size=200))
def test_no_file_content_raises_anything_else(data: bytes) -> None:
    """Garbage is refused by ConfigurationError or read as users, nothing else."""
    try:
        with capture_logs():
            parse_users(data, "f")
    except ConfigurationError:
        pass


def test_unusable_files_stop_the_program_at_start(tmp_path: Path) -> None:
    """Missing, a folder, a FIFO, a link to itself, too large: one sentence each, and no waiting."""
    fifo, folder, loop, large = (tmp_path / name for name in ("fifo", "folder", "loop", "large"))
    os.mkfifo(fifo)
    folder.mkdir()
    loop.symlink_to(loop)
    large.write_bytes(b"#" * (MAX_PASSWORD_FILE_BYTES + 1))
    for path in (tmp_path / "missing", fifo, folder, loop, Path("a\0b")):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            Passwords(path)
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        Passwords(large)
    large.write_bytes(b"#" * MAX_PASSWORD_FILE_BYTES)
    assert not Passwords(large).current().hashes


def test_snapshot_stays_while_the_file_does(tmp_path: Path) -> None:
    """An unchanged file is not parsed again, be it settled or not."""
    clock = Clock()
    passwords = Passwords(write(tmp_path / "htpasswd", alice=sha1_hash("a")), clock=clock)
    first = passwords.current()
    for _ in range(3):
        assert passwords.current() is first
        clock.now += RACY_SECONDS


def test_change_within_one_tick_is_seen(tmp_path: Path) -> None:
    """A change that leaves time, size and inode as they were is seen while the file is young."""
    clock = Clock()
    path = write(tmp_path / "htpasswd", alice=sha1_hash("old"))
    passwords = Passwords(path, clock=clock)
    before, status = passwords.current(), path.stat()
    clock.now += RACY_SECONDS / 2
    path.write_text(f"alice:{sha1_hash('new')}\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (status.st_mtime_ns, status.st_ino)
    assert passwords.current() is not before


def test_rewritten_file_with_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    """Also long after it was read first: in place, as `cp -p` and `rsync --inplace -t` leave it."""
    clock = Clock()
    path = write(tmp_path / "htpasswd", alice=sha1_hash("old"))
    passwords = Passwords(path, clock=clock)
    clock.now += RACY_SECONDS
    before, status = passwords.current(), path.stat()
    while path.stat().st_ctime_ns == status.st_ctime_ns:  # until the file system's clock has moved on
        path.write_text(f"alice:{sha1_hash('new')}\n")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (status.st_mtime_ns, status.st_size, status.st_ino)
    assert passwords.current() is not before
    assert verify_password("new", passwords.current().hashes["alice"])


def test_file_that_comes_back_is_read_again(tmp_path: Path) -> None:
    """The very same file, moved away and back, and another one in its place meanwhile."""
    clock = Clock()
    path = write(tmp_path / "htpasswd", alice=sha1_hash("a"))
    passwords = Passwords(path, clock=clock)
    clock.now += RACY_SECONDS
    first = passwords.current()
    with capture_logs():
        path.rename(tmp_path / "away")
        assert passwords.current() is first
        write(path, bob=sha1_hash("b"))
        assert set(passwords.current().hashes) == {"bob"}
        (tmp_path / "away").replace(path)
        assert set(passwords.current().hashes) == {"alice"}


def test_a_file_past_the_racy_window_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the file is older than any tick, a look is one stat and no more."""
    clock = Clock()
    passwords = Passwords(write(tmp_path / "htpasswd", alice=sha1_hash("a")), clock=clock)
    clock.now += RACY_SECONDS
    users = passwords.current()

    def refuse(*_: object) -> int:
        raise AssertionError("the file was opened")

    monkeypatch.setattr(os, "open", refuse)
    assert passwords.current() is users


@pytest.mark.parametrize("what", ["missing", "folder", "garbage", "half", "large"])
def test_unusable_change_keeps_the_last_good_users(tmp_path: Path, what: str) -> None:
    """A file that is gone, no file, garbage or half written costs one warning; the repaired one counts."""
    clock = Clock()
    path = write(tmp_path / "htpasswd", alice=sha1_hash("a"))
    passwords = Passwords(path, clock=clock)
    good = passwords.current()
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what != "missing":
        contents = {
            "garbage": "no htpasswd file",
            "half": f"bob:{sha1_hash('b')}\nalice:{bcrypt_hash('secret')[:40]}",
            "large": "#" * (MAX_PASSWORD_FILE_BYTES + 1),
        }
        path.write_text(contents[what])
    with capture_logs() as logs:
        for _ in range(4):
            assert passwords.current() is good
            clock.now += RACY_SECONDS
    assert [log["event"] for log in logs] == ["passwords_not_loaded"]
    assert str(path) in logs[0]["reason"]
    if what == "folder":
        path.rmdir()
    write(path, bob=sha1_hash("b"))
    assert set(passwords.current().hashes) == {"bob"}


def test_each_unusable_change_is_warned_about(tmp_path: Path) -> None:
    """A second damaged file is a second warning, even with the same content."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("a"))
    passwords = Passwords(path)
    with capture_logs() as logs:
        for stamp in (1, 2):
            path.write_text("garbage")
            os.utime(path, ns=(stamp, stamp))
            for _ in range(3):
                passwords.current()
    assert len(logs) == 2


def test_file_without_permission_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions come back without a new time, size or inode; the file is then read all the same."""
    clock = Clock()
    path = write(tmp_path / "htpasswd", alice=sha1_hash("a"))
    passwords = Passwords(path, clock=clock)
    write(path, bob=sha1_hash("b"))

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(os, "open", denied)
        for _ in range(3):
            assert set(passwords.current().hashes) == {"alice"}
            clock.now += RACY_SECONDS
    assert len(logs) == 1
    assert set(passwords.current().hashes) == {"bob"}
