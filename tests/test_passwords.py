"""The htpasswd file: what is read from it, what is refused, and when it is read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from quire.errors import ConfigurationError
from quire.passwords import MAX_PASSWORD_FILE_BYTES, SETTLE_SECONDS, Passwords, parse_users, verify_password
from tests.htpasswd import SCHEMES, Clock, bcrypt_hash, sha1_hash, write


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
    """What Apache reads over is read over; of two entries for a user the first counts."""
    first, second = sha1_hash("first"), sha1_hash("second")
    users = parse_users(f"# team\r\n\r\nalice:{first}\r\n  # more\nalice:{second}\njörg:{second}".encode(), "f")
    assert dict(users.hashes) == {"alice": first, "jörg": second}
    assert first not in repr(users)


@pytest.mark.parametrize(
    "data",
    [
        b"alice",
        b"alice:secret:more\n",
        b"\x1f\x8b\x08garbage\n",
        b"al\xffice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n",
        b"al\tice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n",
        b"a" * 300 + b":{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n",
        b"alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n\0\0\0\0",
        b"alice:\0\0\0\0",
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
        clock.now += SETTLE_SECONDS


def test_change_within_one_tick_is_seen(tmp_path: Path) -> None:
    """A change that leaves time, size and inode as they were is seen while the file is young."""
    clock = Clock()
    path = write(tmp_path / "htpasswd", alice=sha1_hash("old"))
    passwords = Passwords(path, clock=clock)
    before, status = passwords.current(), path.stat()
    clock.now += SETTLE_SECONDS / 2
    path.write_text(f"alice:{sha1_hash('new')}\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (status.st_mtime_ns, status.st_ino)
    assert passwords.current() is not before


def test_settled_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the file is older than any tick, a look is one stat and no more."""
    clock = Clock()
    passwords = Passwords(write(tmp_path / "htpasswd", alice=sha1_hash("a")), clock=clock)
    clock.now += SETTLE_SECONDS
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
            clock.now += SETTLE_SECONDS
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
        for stamp in (1, 1, 2):
            path.write_text("garbage")
            os.utime(path, ns=(stamp, stamp))
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
            clock.now += SETTLE_SECONDS
    assert len(logs) == 1
    assert set(passwords.current().hashes) == {"bob"}
