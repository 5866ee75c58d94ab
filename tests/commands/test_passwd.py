"""`quire passwd`: changing a password file without losing anything of it, while servers and others use it.

Replaced here: a system call, since no real disk is full on request.
"""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.access.htpasswd import Entry, entries, with_hash, without
from quire.access.password_changes import change
from quire.access.passwords import MAX_PASSWORD_FILE_BYTES, parse_users, verify_password
from quire.domain.errors import ConfigurationError, StoreError
from tests.asking import basic, serve
from tests.htpasswd import bcrypt_hash, sha1_hash, write
from tests.serving import DEADLINE, environment, quire_command, run_quire

STORED = "$2y$10$" + "." * 53


def passwd(folder: Path, *arguments: str, word: str | None = None, **variables: str) -> tuple[int, str]:
    """Run the command with a password on standard input; its exit code and what it printed."""
    flags = () if word is None else ("--stdin",)
    typed = "" if word is None else f"{word}\n"
    done = run_quire("passwd", *arguments, *flags, cwd=folder, environ=environment(**variables), typed=typed)
    return done.returncode, done.stdout + done.stderr


# -- lines ------------------------------------------------------------------------------------------------------------

LINES = st.lists(
    st.sampled_from(
        [
            *(b"ann:x", b"bob:{SHA}y:a note", b"  cid:z  ", b"# ann:comment", b"", b"no colon", b"j\xfcrgen:latin-1"),
            *("jürgen:x".encode(), b"ann:second", b":no name", b"\tdan:x"),
        ]
    ),
    max_size=7,
)


@given(
    LINES, st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.booleans(), st.sampled_from(["ann", "jürgen", "new"])
)
def test_a_change_touches_one_user(lines: list[bytes], end: bytes, closed: bool, bom: bool, user: str) -> None:
    """Whatever else is in the file stays, to the byte; the user has the new hash, or is gone."""
    data = (b"\xef\xbb\xbf" if bom else b"") + end.join(lines) + (end if closed and lines else b"")

    def others(content: bytes) -> list[tuple[str, bytes, str]]:
        return [(each.user, each.stored, each.fault) for each in entries(content) if each.user != user]

    changed = with_hash(data, user, STORED)
    first = next(each for each in entries(changed) if each.user == user)
    assert first.stored == STORED.encode()
    assert others(changed) == others(data)
    assert changed.startswith(b"\xef\xbb\xbf") == bom
    assert with_hash(changed, user, STORED) == changed
    removed = without(changed, user)
    assert [each.user for each in entries(removed)] == [each[0] for each in others(data)]
    assert others(removed) == others(data)
    kept = [line for line in lines if line.startswith(b"#")]
    assert [line for line in removed.removeprefix(b"\xef\xbb\xbf").splitlines() if line.startswith(b"#")] == kept


def test_a_note_stays() -> None:
    """Text behind a second colon, which Apache ignores, is kept."""
    assert with_hash(b"ann:old:Ann Example\r\n", "ann", "new") == b"ann:new:Ann Example\r\n"
    assert list(entries(b"ann:x:note")) == [Entry(1, "ann", b"x")]


# -- the file ---------------------------------------------------------------------------------------------------------


def test_what_the_file_is_stays(tmp_path: Path) -> None:
    """Mode, owner and a symbolic link; the file itself is a new one, so that no reader gets half of it."""
    path = write(tmp_path / "real", ann=sha1_hash("a"))
    path.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(path, 12, 34)
    link = tmp_path / "link"
    link.symlink_to("real")
    before = path.stat()
    assert change(str(link), lambda data: data + b"# more\n")
    after = path.stat()
    assert link.is_symlink()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert path.read_bytes().endswith(b"# more\n")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "real"]
    assert not change(str(link), bytes)
    assert path.stat().st_ino == after.st_ino


def test_a_file_with_several_names_is_rewritten_in_place(tmp_path: Path) -> None:
    """Else the other name would keep the old users; it works for shorter content too."""
    path, other = write(tmp_path / "htpasswd", ann=sha1_hash("a"), bob=sha1_hash("b")), tmp_path / "other"
    other.hardlink_to(path)
    inode = path.stat().st_ino
    for edit in (lambda data: without(data, "bob"), lambda data: data + b"# a longer line than any before\n" * 9):
        wanted = edit(path.read_bytes())
        assert change(str(path), edit)
        assert path.read_bytes() == other.read_bytes() == wanted
        assert path.stat().st_ino == inode


def test_a_full_disk_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is rewritten in place."""
    path = write(tmp_path / "htpasswd", ann=sha1_hash("a"))
    (tmp_path / "other").hardlink_to(path)
    before, real = path.read_bytes(), os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        room = len(before) - offset
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[:room], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreError, match="No space left on device"):
        change(str(path), lambda data: b"x" * 100 + data)
    monkeypatch.undo()
    assert path.read_bytes() == before


def test_a_change_by_others_is_not_overwritten(tmp_path: Path) -> None:
    """An editor takes no lock: the change is made again on top of what the editor left."""
    path = write(tmp_path / "htpasswd", ann=sha1_hash("a"))
    seen: list[bytes] = []

    def edit(data: bytes) -> bytes:
        if not seen:
            write(path, eve=sha1_hash("e"))
        seen.append(data)
        return with_hash(data, "bob", STORED)

    assert change(str(path), edit)
    assert [each.user for each in entries(path.read_bytes())] == ["eve", "bob"]
    assert len(seen) == 2


def test_a_lock_that_is_held_is_waited_for(tmp_path: Path) -> None:
    """Not for ever: then one sentence, and nothing is changed."""
    path = write(tmp_path / "htpasswd", ann=sha1_hash("a"))
    before = path.read_bytes()

    def edit(data: bytes) -> bytes:
        with pytest.raises(StoreError, match="is being changed by another program"):
            change(str(path), lambda inner: inner + b"# lost\n", lock_seconds=0.0)
        return data + b"# kept\n"

    assert change(str(path), edit)
    assert path.read_bytes() == before + b"# kept\n"


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    """Missing, a folder, a FIFO, too large for servers: one sentence each, and no waiting."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing", "folder", "fifo", "missing/file"):
        with pytest.raises(ConfigurationError):
            change(str(tmp_path / name), lambda data: data + b"x")
    with pytest.raises(ConfigurationError, match="folder of the password file"):
        change(str(tmp_path / "missing" / "file"), bytes, create=True)
    path = write(tmp_path / "htpasswd", ann=sha1_hash("a"))
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        change(str(path), lambda data: data + b"#" * MAX_PASSWORD_FILE_BYTES)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount")
def test_a_file_that_is_mounted_alone(tmp_path: Path) -> None:
    """As into a container: its name cannot be replaced there, and the container sees the change."""
    (tmp_path / "etc").mkdir()
    source, target = write(tmp_path / "source", ann=sha1_hash("a")), tmp_path / "etc" / "htpasswd"
    target.write_text("")
    inode = source.stat().st_ino
    command = " ".join(quire_command("passwd", "-P", target, "bob", "--stdin"))
    script = f"mount --bind {source} {target} && echo secret | {command}"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip("this container may not mount")
    assert done.returncode == 0, done.stderr
    assert source.stat().st_ino == inode
    assert list(parse_users(source.read_bytes(), "f").hashes) == ["ann", "bob"]
    assert sorted(each.name for each in (tmp_path / "etc").iterdir()) == ["htpasswd"]


# -- the command ------------------------------------------------------------------------------------------------------


def test_a_user_comes_changes_and_goes(tmp_path: Path) -> None:
    """Under a server: each change is in its next answer, and the command says so."""
    users = write(tmp_path / "users", root=bcrypt_hash("secret"))
    with serve(tmp_path, "-P", users, "-a", "list,update", "--disable-fallback") as site:

        def status(user: str, password: str) -> int:
            return site.get("/simple/", authorization=basic(user, password)).status_code

        code, said = passwd(tmp_path, "-P", "users", "ann", word="pä ss:wort")
        assert (code, status("ann", "pä ss:wort")) == (0, 200), said
        assert "running servers take it from their next request on" in said
        assert passwd(tmp_path, "-P", "users", "ann", word="changed")[0] == 0
        assert (status("ann", "changed"), status("ann", "pä ss:wort")) == (200, 401)
        assert passwd(tmp_path, "-P", "users", "--remove", "ann")[0] == 0
        assert (status("ann", "changed"), status("root", "secret")) == (401, 200)


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    """A dozen processes add a user each to a file that none of them finds."""
    names = [f"user{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda name: passwd(tmp_path, "-P", "users", name, word=f"of {name}"), names))
    assert [code for code, _ in done] == [0] * len(names), done
    hashes = parse_users((tmp_path / "users").read_bytes(), "f").hashes
    assert sorted(hashes) == sorted(names)
    assert all(stored.startswith("$2y$10$") for stored in hashes.values())
    assert verify_password("of user3", hashes["user3"])
    assert (tmp_path / "users").stat().st_mode & 0o027 == 0
    assert [each.name for each in tmp_path.iterdir()] == ["users"]


def test_the_password_is_asked_for_twice(tmp_path: Path) -> None:
    """On a terminal, without showing it; two different ones change nothing."""
    for words, code in (((b"secret", b"secret"), 0), ((b"secret", b"other"), 1)):
        terminal, process_end = os.openpty()
        with subprocess.Popen(
            quire_command("passwd", "-P", "users", "ann"),
            cwd=tmp_path,
            env=environment(),
            stdin=process_end,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            said = b""
            for word, prompt in zip(words, (b"Password of ann: ", b"The same again: "), strict=True):
                while not said.endswith(prompt):  # what is typed before it asks is thrown away
                    piece = os.read(process.stdout.fileno(), 4096)
                    assert piece, said
                    said += piece
                os.write(terminal, word + b"\n")
            said += process.stdout.read()
            assert process.wait(DEADLINE) == code, said
            assert b"secret" not in said
            echoed = os.read(terminal, 4096) if select.select([terminal], [], [], 0)[0] else b""
            assert b"secret" not in echoed
        os.close(process_end)
        os.close(terminal)
    assert verify_password("secret", parse_users((tmp_path / "users").read_bytes(), "f").hashes["ann"])


def test_verify_and_list(tmp_path: Path) -> None:
    """The file is the server's, from its setting; what is wrong with a line is said without its content."""
    lines = [f"ann:{bcrypt_hash('secret')}", "bob:plain", f"ann:{sha1_hash('x')}", "no colon"]
    (tmp_path / "users").write_text("\n".join(lines))
    settings = {"QUIRE_PASSWORDS": "users"}
    assert passwd(tmp_path, "ann", "--verify", word="secret", **settings)[0] == 0
    code, said = passwd(tmp_path, "ann", "--verify", word="wrong", **settings)
    assert (code, said.splitlines()[-1]) == (1, "quire: error: That is not the password of ann.")
    code, said = passwd(tmp_path, "--list", **settings)
    assert code == 0
    rows = [line.split("\t") for line in said.splitlines()]
    assert [row[0] for row in rows] == ["ann", "bob", "ann", "line 4"]
    assert [row[1].startswith("cannot log in") for row in rows] == [False, True, True, True]
    users = json.loads(passwd(tmp_path, "--list", "--json", **settings)[1])["users"]
    assert users[0] == {"user": "ann", "line": 1, "scheme": "bcrypt", "fault": None}
    assert "plain" not in said


@pytest.mark.parametrize(
    ("arguments", "word", "code", "sentence"),
    [
        (["a:b"], "secret", 2, "'a:b' is no user name"),
        (["a\nb"], "secret", 2, "is no user name"),
        (["#ann"], "secret", 2, "is no user name"),
        ([" ann"], "secret", 2, "is no user name"),
        (["x" * 256], "secret", 2, "longer than 255 bytes"),
        ([], "secret", 2, "Name the user"),
        (["ann"], None, 2, "There is no terminal"),
        (["ann"], "", 1, "The password is empty"),
        (["ann"], "tab\there", 1, "control character"),
        (["ann"], "é" * 37, 1, "longer than 72 bytes"),
        (["ann", "--password-file", "missing"], None, 2, "missing cannot be read"),
        (["--remove", "nobody"], None, 1, "has no user nobody"),
        (["--verify", "nobody"], "x", 1, "has no user nobody"),
        (["--list", "ann"], None, 2, "leave the name out"),
        (["--list", "--remove"], None, 2, "not allowed with"),
        (["ann", "word"], None, 2, "unrecognized arguments"),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], word: str | None, code: int, sentence: str) -> None:
    """One sentence, the right exit code, and the file is as it was."""
    path = write(tmp_path / "users", bob=sha1_hash("b"))
    before = path.read_bytes()
    ended, said = passwd(tmp_path, "-P", "users", *arguments, word=word)
    assert (ended, said.count("\n")) == (code, 1), said
    assert sentence in said
    assert "secret" not in said
    assert path.read_bytes() == before


def test_a_file_that_is_none_is_not_touched(tmp_path: Path) -> None:
    """The wrong file on the command line loses nothing."""
    path = tmp_path / "setup.py"
    path.write_text("from setuptools import setup\n")
    code, said = passwd(tmp_path, "-P", "setup.py", "ann", word="secret")
    assert code == 2
    assert "is malformed" in said
    assert path.read_text() == "from setuptools import setup\n"
    assert run_quire("passwd", "-P", ".", "--list", cwd=tmp_path).returncode == 2
