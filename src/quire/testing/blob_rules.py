"""The rules for the blobs of a store."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

from quire.domain.errors import BlobMissing, Conflict, InvalidName, StoreError
from quire.store.contracts import Digests, Staged, Store
from quire.testing.helpers import THREADS, content_of, create, document, race, refused, require
from quire.testing.sandbox import CENTURY, Rule, Sandbox


def staged_bytes_have_their_digests(sandbox: Sandbox) -> None:
    """Size and digests are those of the bytes, however they came, with the further algorithms that were asked for."""
    worker = sandbox.worker()
    for chunks in ([], [b"hello"], [b"", b"he", b"", b"llo"], [bytes(range(256)) * 4096] * 3 + [b"tail"]):
        content = b"".join(chunks)
        staged = sandbox.staged(worker, sandbox.blob(), *chunks, algorithms=("sha512", "sha3_256"))
        require(staged.size == len(content), f"size is {staged.size} for {len(content)} bytes.")
        digests = staged.digests
        for name, found, digest in (
            ("sha256", digests.sha256, hashlib.sha256(content)),
            ("md5", digests.md5, hashlib.md5(content, usedforsecurity=False)),
            ("blake2b_256", digests.blake2b_256, hashlib.blake2b(content, digest_size=32)),
            ("sha512", digests.other.get("sha512"), hashlib.sha512(content)),
            ("sha3_256", digests.other.get("sha3_256"), hashlib.sha3_256(content)),
        ):
            require(found == digest.hexdigest(), f"{name} of {len(content)} staged bytes is {found}.")
    none = sandbox.staged(worker, sandbox.blob(), b"hello", algorithms=None)
    require(none.size == 5 and none.digests == Digests("", "", "", {}), f"unwanted digests are {none.digests}.")
    staging = sandbox.staging(worker, sandbox.blob())
    chunk = bytearray(b"reused by the caller")
    descriptor = staging.descriptor()
    staging.write(memoryview(chunk)[:6])
    staging.write(chunk)
    if descriptor is not None:
        seen = os.pread(descriptor, 100, 0)
        os.close(descriptor)
        require(seen == b"reusedreused by the caller", f"a descriptor of staged bytes has {seen!r}.")
    chunk[:] = bytes(len(chunk))
    staged = staging.finish()
    with staged.open() as file:
        require(file.read() == b"reusedreused by the caller", "staged bytes change with the caller's buffer.")


def staged_bytes_can_be_read_but_not_found(sandbox: Sandbox) -> None:
    """The worker that staged bytes can open them, seekable, any number of times; no key and no list shows them."""
    worker, other = sandbox.worker(), sandbox.worker()
    content = bytes(range(256)) * 300
    staged = sandbox.staged(worker, sandbox.blob(), content)
    require(staged.key == sandbox.blob(), "Staged.key is not the key that the bytes were staged for.")
    with staged.open() as file, staged.open() as second:
        require(file.seekable(), "Staged.open must give a seekable file.")
        file.seek(-10, 2)
        require(file.read() == content[-10:], "the end of staged bytes is wrong.")
        file.seek(1000)
        require(file.read(500) == content[1000:1500], "the middle of staged bytes is wrong.")
        require(second.read() == content, "a second reader of staged bytes must have its own position.")
    for observer in (worker, other):
        require(content_of(observer, sandbox.blob()) is None, "staged bytes are found under a key.")
        require(not list(observer.blobs.list(sandbox.folder)), "staged bytes are listed.")


def a_published_blob_is_open_to_all_at_once(sandbox: Sandbox) -> None:
    """After publish returned every worker opens the blob, also one that had just seen it missing."""
    worker, other, fresh = (sandbox.worker() for _ in range(3))
    names = [
        "file",
        "file.metadata",
        "new folder/f-1.0+local!.tar.gz",
        "a/b/c/d",
        "a/b/ü",
        "a/b/" + "x" * 255,
        "a/b/%2e%2e",
    ]
    for number, name in enumerate(names):
        key, content = sandbox.blob(name), b"content %d" % number * 1000 * number
        for observer in (worker, other):
            with refused(BlobMissing, "opening what was never published"):
                observer.blobs.open(key).close()
        worker.blobs.publish(sandbox.staged(worker, key, content), durable=number % 2 == 0)
        for observer in (other, worker, fresh):
            require(content_of(observer, key) == content, f"{name!r} is missing or wrong right after it was published.")
        with other.blobs.open(key) as opened:
            if opened.path is not None:
                require(Path(opened.path).read_bytes() == content, "OpenBlob.path is not where the bytes are.")
            if opened.descriptor is not None:
                found = os.pread(opened.descriptor, len(content) + 1, 0)
                require(found == content, "OpenBlob.descriptor is not of a file with the bytes.")


def a_taken_key_keeps_its_bytes(sandbox: Sandbox) -> None:
    """Publishing under a key that is taken raises Conflict; the first bytes stay."""
    worker, other = sandbox.worker(), sandbox.worker()
    key, elsewhere = sandbox.blob("taken"), sandbox.blob("elsewhere")
    worker.blobs.publish(sandbox.staged(worker, key, b"first"))
    for late in (worker, other):
        for content in (b"second", b"first"):
            with refused(Conflict, "publish under a key that is taken"):
                late.blobs.publish(sandbox.staged(late, key, content))
            require(content_of(late, key) == b"first", "a key got other bytes.")
    worker.blobs.publish(sandbox.staged(worker, elsewhere, b"second"))
    require(content_of(other, elsewhere) == b"second", "the same bytes must be publishable under another key.")


def documents_are_published_with_the_bytes(sandbox: Sandbox) -> None:
    """publish with documents publishes them all, also with bytes that were to be made durable by it; a taken key keeps
    its bytes."""
    worker, other = sandbox.worker(), sandbox.worker()
    file, content = sandbox.blob("together/file"), b"file" * 1000
    documents = {sandbox.blob(f"together/file.{name}"): name.encode() * 1000 for name in ("metadata", "asc")}

    def unfinished(key: str, content: bytes) -> Staged:
        staging = sandbox.staging(worker, key)
        staging.write(content)
        return sandbox.kept(staging.finish(durable=False))

    for key in (file, *documents):
        require(content_of(other, key) is None, "a blob was there before it was published.")
    worker.blobs.publish(unfinished(file, content), documents)
    for observer in (other, worker, sandbox.worker()):
        for key, expected in {file: content, **documents}.items():
            require(content_of(observer, key) == expected, "a blob is missing or wrong after it was published.")
    taken = sandbox.blob("together/taken")
    worker.blobs.publish(sandbox.staged(worker, taken, b"first"))
    with refused(Conflict, "publish under a key that is taken, with a document"):
        worker.blobs.publish(unfinished(taken, b"second"), {sandbox.blob("together/taken.asc"): b"new"})
    with refused(Conflict, "publish of a document under a key that is taken"):
        worker.blobs.publish(unfinished(sandbox.blob("together/newer"), b"new"), {taken: b"document"})
    require(content_of(other, taken) == b"first", "publish gave a key other bytes.")
    staged = unfinished(sandbox.blob("together/discarded"), b"discarded")
    staged.discard()
    with refused(StoreError, "publishing what was discarded"):
        worker.blobs.publish(staged)


def a_removed_blob_is_missing_at_once(sandbox: Sandbox) -> None:
    """After remove returned no worker opens the blob; a reader that has it open gets its bytes or an error."""
    worker, other = sandbox.worker(), sandbox.worker()
    key, content = sandbox.blob("folder/file"), b"content" * 50_000
    for _ in range(3):
        worker.blobs.publish(sandbox.staged(worker, key, content))
        opened = other.blobs.open(key)
        with opened:
            begin = opened.read_at(0, 10)
            worker.blobs.remove(key)
            for observer in (other, worker):
                with refused(BlobMissing, "opening what was removed"):
                    observer.blobs.open(key).close()
            with suppress(StoreError):
                require(begin + opened.read_at(10, len(content)) == content, "a removed blob has other bytes.")
        require(not list(other.blobs.list(sandbox.folder)), "a removed blob is listed.")
        worker.blobs.remove(key)
        other.blobs.remove(key, durable=True)
    worker.blobs.remove(sandbox.blob("never/there"))


def discarding_is_harmless(sandbox: Sandbox) -> None:
    """Discard drops bytes that were not published, is idempotent, and never touches a published blob."""
    worker = sandbox.worker()
    key = sandbox.blob("discarded")
    unfinished = sandbox.staging(worker, key)
    unfinished.write(b"half")
    unfinished.discard()
    unfinished.discard()
    staged = sandbox.staged(worker, key, b"whole")
    staged.discard()
    staged.discard()
    with refused(StoreError, "publishing what was discarded"):
        worker.blobs.publish(staged)
    require(content_of(worker, key) is None, "discarded bytes were published.")
    staging = sandbox.staging(worker, key)
    staging.write(b"kept")
    staged = staging.finish()
    worker.blobs.publish(staged)
    for _ in range(2):
        staged.discard()
        staging.discard()
    require(content_of(sandbox.worker(), key) == b"kept", "discard after publish removed the published blob.")


def only_old_blobs_are_removed_by_age(sandbox: Sandbox) -> None:
    """`remove_old` takes a blob that is old enough and says so, and leaves a younger one; `renew` changes no bytes."""
    worker, other = sandbox.worker(), sandbox.worker()
    key = sandbox.blob("folder/file")
    require(not worker.blobs.remove_old(key, 0), "remove_old says that it removed what was never there.")
    worker.blobs.renew(key)
    require(content_of(other, key) is None, "renew made a blob.")
    worker.blobs.publish(sandbox.staged(worker, key, b"content"))
    for observer in (worker, other):
        observer.blobs.renew(key)
        require(not observer.blobs.remove_old(key, CENTURY), "remove_old removed a young blob.")
        require(content_of(worker, key) == b"content", "renew or remove_old changed a blob that is to stay.")
    require(other.blobs.remove_old(key, 0), "remove_old left a blob that is old enough.")
    for observer in (worker, other):
        require(content_of(observer, key) is None, "a blob is there after remove_old removed it.")
    for hostile in ("..", "a/../b", "/abs", "a\0b"):
        with refused(InvalidName, f"renew({hostile!r})"):
            worker.blobs.renew(hostile)
        with refused(InvalidName, f"remove_old({hostile!r})"):
            worker.blobs.remove_old(hostile, 0)


def a_confirmed_blob_is_as_it_was(sandbox: Sandbox) -> None:
    """confirm changes neither a blob that is there nor one that is not."""
    worker, other = sandbox.worker(), sandbox.worker()
    key = sandbox.blob("folder/file")
    worker.blobs.confirm(key)
    require(content_of(other, key) is None, "confirm made a blob.")
    worker.blobs.publish(sandbox.staged(worker, key, b"content"))
    for observer in (worker, other):
        observer.blobs.confirm(key)
        require(content_of(worker, key) == b"content", "confirm changed a blob.")
    with refused(InvalidName, "confirm('a/../b')"):
        worker.blobs.confirm("a/../b")


def a_file_is_adopted_or_not(sandbox: Sandbox) -> None:
    """adopt stages the bytes of a file and leaves the file alone, or it says that it cannot."""
    worker, other = sandbox.worker(), sandbox.worker()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        content = b"adopted" * 10_000
        path.write_bytes(content)
        path.chmod(0o600)
        read: list[int] = []
        staged = worker.blobs.adopt(str(path), sandbox.blob(), read.append)
        require(path.read_bytes() == content, "adopt changed the file.")
        if staged is None:
            return
        sandbox.kept(staged)
        require(sum(read) == len(content), "adopt did not tell how much it read.")
        require(staged.digests.sha256 == hashlib.sha256(content).hexdigest(), "adopt found another digest.")
        worker.blobs.publish(staged)
    require(content_of(other, sandbox.blob()) == content, "adopted bytes did not stay when the file was removed.")


def blobs_are_listed(sandbox: Sandbox) -> None:
    """`list` has every blob in the folder and below, with key, size and an age that is not negative; no others."""
    worker, other = sandbox.worker(), sandbox.worker()
    sizes = {"pro/a.whl": 3, "pro/deep/er/b.whl": 0, "pro-2/c.whl": 70_000, "pro2/d.whl": 5, "top": 1}
    for name, size in sizes.items():
        worker.blobs.publish(sandbox.staged(worker, sandbox.blob(name), b"x" * size))
    for prefix, expected in (("", set(sizes)), ("/pro", {"pro/a.whl", "pro/deep/er/b.whl"}), ("/nowhere", set())):
        found = list(other.blobs.list(sandbox.folder + prefix))
        names = sorted(blob.key.removeprefix(sandbox.folder + "/") for blob in found)
        require(names == sorted(expected), f"list of {prefix!r} has {names}, not {sorted(expected)}.")
        for blob in found:
            require(blob.size == sizes[blob.key.removeprefix(sandbox.folder + "/")], f"list has a wrong size: {blob}.")
            require(0 <= blob.age < CENTURY, f"list has an impossible age: {blob}.")
    everything = {blob.key for blob in other.blobs.list()}
    require(everything >= {sandbox.blob(name) for name in sizes}, "list without a prefix leaves blobs out.")


def blob_keys_cannot_escape(sandbox: Sandbox) -> None:
    """A key that could leave its folder is refused as InvalidName by every operation, and nothing is published."""
    worker = sandbox.worker()
    bystander = sandbox.blob("bystander")
    worker.blobs.publish(sandbox.staged(worker, bystander, b"content"))
    inside = sandbox.folder
    hostile = ["", "..", ".", "../x", "a/../b", "a/..", "/abs", "a/", "a//b", "./a", "a\0b", "a" * 300, "ü" * 128]
    for key in [*hostile, f"{inside}/../../x", f"{inside}/\0", f"{inside}/" + "a" * 256]:
        with refused(InvalidName, f"stage({key!r})"):
            worker.blobs.stage(key)
        with refused(InvalidName, f"publish with the document {key!r}"):
            worker.blobs.publish(sandbox.staged(worker, sandbox.blob(), b"content"), {key: b"document"})
        with refused(InvalidName, f"open({key!r})"):
            worker.blobs.open(key).close()
        with refused(InvalidName, f"remove({key!r})"):
            worker.blobs.remove(key)
    require(content_of(worker, bystander) == b"content", "an operation with a bad key changed another blob.")
    require(content_of(worker, sandbox.blob()) is None, "bytes were published with a document under a bad key.")


def racing_publishers_have_one_winner(sandbox: Sandbox) -> None:
    """Of several workers that publish under one key one wins; no reader ever opens a part of a blob."""
    published = threading.Event()

    def publish(worker: Store, staged: Staged) -> bool:
        try:
            worker.blobs.publish(staged)
        except Conflict:
            return False
        finally:
            published.set()
        return True

    def read(worker: Store, contents: list[bytes], key: str) -> bool:
        finished = False
        while not finished:
            finished = published.is_set()
            content = content_of(worker, key)
            require(content is None or content in contents, "a reader opened a part of a blob.")
            require(content is not None or not finished, "a blob is missing though it was published.")
        return False

    for turn in range(4):
        published.clear()
        key = sandbox.blob(f"folder{turn}/file")
        contents = [b"%d" % (number * (turn % 2)) * 400_000 for number in range(THREADS)]
        jobs = []
        for content in contents:
            worker = sandbox.worker()
            jobs.append(partial(publish, worker, sandbox.staged(worker, key, content)))
        won = race([*jobs, partial(read, sandbox.worker(), contents, key)])
        require(won.count(True) == 1, f"{won.count(True)} of {THREADS} workers that published under one key won.")
        require(content_of(sandbox.worker(), key) == contents[won.index(True)], "the blob is not the winner's.")


def neighbours_do_not_disturb_each_other(sandbox: Sandbox) -> None:
    """While others publish into one folder and empty it, each worker finds what it published, and only that."""

    def come_and_go(worker: Store, name: str) -> None:
        key = sandbox.blob(f"folder/below/{name}")
        for turn in range(8):
            content = f"{name} {turn}".encode()
            worker.blobs.publish(sandbox.staged(worker, key, content))
            require(content_of(worker, key) == content, "a blob is missing while others in its folder come and go.")
            worker.blobs.remove(key)
            require(content_of(worker, key) is None, "a removed blob is there while others in its folder come and go.")

    race([partial(come_and_go, sandbox.worker(), f"file{number}") for number in range(THREADS)])
    require(not list(sandbox.worker().blobs.list(sandbox.folder)), "a removed blob is listed.")


def a_sweep_spares_the_young(sandbox: Sandbox) -> None:
    """A sweep leaves alone what was touched within the given time: staged bytes, complete or not, and blobs."""
    worker, other = sandbox.worker(), sandbox.worker()
    staging = sandbox.staging(worker, sandbox.blob())
    staging.write(b"first ")
    key = sandbox.blob("staged")
    staged = sandbox.staged(worker, key, b"staged")
    other.blobs.sweep(CENTURY)
    other.sweep(CENTURY)
    staging.write(b"second")
    worker.blobs.publish(staged)
    worker.blobs.publish(staging.finish())
    other.blobs.sweep(CENTURY)
    other.sweep(CENTURY, thorough=True)
    require(content_of(other, key) == b"staged", "a sweep removed a young staging or a blob.")
    require(content_of(other, sandbox.blob()) == b"first second", "a sweep removed bytes that were still coming in.")


def a_sweep_spares_the_published(sandbox: Sandbox) -> None:
    """A sweep of everything removes all that is staged, says how many, and touches no blob and no record.

    Staged bytes that are not in the store (`keeps_staged`) are not for its sweep.
    """
    worker, other = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    record = create(worker, key, document(1))
    deleted = create(worker, sandbox.record("deleted"), document(1))
    worker.records.write(deleted.key, None, deleted)
    worker.blobs.publish(sandbox.staged(worker, sandbox.blob("published"), b"published"))
    other.sweep(0, thorough=True)
    for sweep in (other.blobs.sweep, other.sweep):
        sandbox.staging(worker, sandbox.blob("half")).write(b"half")
        staged = sandbox.staged(worker, sandbox.blob("swept"), b"whole")
        swept = sweep(0)
        require(swept == 2 * worker.blobs.keeps_staged, f"a sweep of two stagings says {swept}.")
        require(sweep(0) == 0, "a second sweep found something left.")
        if not worker.blobs.keeps_staged:
            staged.discard()
        with refused(StoreError, "publishing what was swept"):
            worker.blobs.publish(staged)
        require(content_of(worker, sandbox.blob("swept")) is None, "swept bytes were published.")
        require(content_of(other, sandbox.blob("published")) == b"published", "a sweep removed a published blob.")
        require(worker.records.read(key, record) is record, "a sweep changed a record.")
        require(other.records.names(sandbox.folder).names == ("record",), "a sweep changed the names.")


RULES: tuple[Rule, ...] = (
    staged_bytes_have_their_digests,
    staged_bytes_can_be_read_but_not_found,
    a_published_blob_is_open_to_all_at_once,
    a_taken_key_keeps_its_bytes,
    documents_are_published_with_the_bytes,
    a_removed_blob_is_missing_at_once,
    discarding_is_harmless,
    only_old_blobs_are_removed_by_age,
    a_confirmed_blob_is_as_it_was,
    a_file_is_adopted_or_not,
    blobs_are_listed,
    blob_keys_cannot_escape,
    racing_publishers_have_one_winner,
    neighbours_do_not_disturb_each_other,
    a_sweep_spares_the_young,
)
"""Safe on a store in use."""

EXCLUSIVE_RULES: tuple[Rule, ...] = (a_sweep_spares_the_published,)
"""These disturb other users of the store: uploads under way would fail."""
