"""One release, one meaning: a release has one sdist, and one wheel for given tags, however their names are spelled."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain import changes
from quire.domain.errors import FileExists, InvalidRequest
from quire.domain.names import guess_filename, may_be_same_version, same_version
from quire.domain.project import File, Project
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.store.memory import MemoryStore
from quire.store.posix.store import PosixStore
from tests.asking import OPEN, content_type, multipart, serve, twine_form
from tests.distributions import make_sdist, make_wheel, metadata_text


def file(filename: str, digest: str = "0") -> File:
    parsed = guess_filename(filename)
    assert parsed is not None
    return File(filename=filename, version=parsed.version, size=1, hashes={"sha256": digest})


SECOND = [
    ("foo-1.0.tar.gz", "foo-1.0.zip"),
    ("Foo-1.0.tar.gz", "foo-1.0.tar.gz"),
    ("foo_bar-1.0.tar.gz", "foo-bar-1.0.tar.gz"),
    ("foo.bar-1.0.tar.gz", "foo_bar-1.0.tar.gz"),
    ("foo-1.0.tar.gz", "foo-1.0.0.tar.gz"),
    ("foo-1.0.post1.tar.gz", "foo-1.0-1.tar.gz"),
    ("foo-1.0a1.tar.gz", "foo-1.0.alpha1.zip"),
    ("foo-1.0.tar.bz2", "foo-1.0.tar.gz"),
    ("foo-1.0-py3-none-any.whl", "Foo-1.0-py3-none-any.whl"),
    ("foo_bar-1.0-py3-none-any.whl", "foo.bar-1.0-py3-none-any.whl"),
    ("foo-1.0-py3-none-any.whl", "foo-1.0.0-py3-none-any.whl"),
    ("foo-1.0-py3-none-any.whl", "foo-1.0-PY3-none-any.whl"),
    ("foo-1.0-py2.py3-none-any.whl", "foo-1.0-py3.py2-none-any.whl"),
    ("foo-1.0+a.1-py3-none-any.whl", "foo-1.0+a_1-py3-none-any.whl"),
    ("foo-1.0-1-py3-none-any.whl", "foo-1.0-01-py3-none-any.whl"),
    ("foo-1.0-py3.11.egg", "Foo-1.0-py3.11.egg"),
]
BESIDE = [
    ("foo-1.0.tar.gz", "foo-1.0-py3-none-any.whl"),
    ("foo-1.0.tar.gz", "foo-1.1.tar.gz"),
    ("foo-1.0.tar.gz", "foo-10.tar.gz"),
    ("foo-1.0.tar.gz", "foo-1.0.post1.tar.gz"),
    ("foo-1.0.tar.gz", "foo-1.0+local.tar.gz"),
    ("foo-1.0-py3-none-any.whl", "foo-1.0-1-py3-none-any.whl"),
    ("foo-1.0-cp311-abi3-linux_x86_64.whl", "foo-1.0-cp312-abi3-linux_x86_64.whl"),
    ("foo-1.0-py3-none-any.whl", "foo-1.0-py2.py3-none-any.whl"),
    ("foo-1.0-py3.11.egg", "foo-1.0-py3.12.egg"),
    ("foo-1.0-py3.11.egg", "foo-1.0-py3.11-linux-x86_64.egg"),
]


@pytest.mark.parametrize(("first", "second"), [*SECOND, *(pair[::-1] for pair in SECOND)])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_file_for_the_same_purpose_is_refused(first: str, second: str, overwrite: bool) -> None:
    """Whether the first is in the record, beside it, or in the same publication; the sentence names both."""
    there = changes.publish(None, "foo", [file(first)])
    attempts: list[tuple[Project | None, list[File], dict[str, File]]] = [
        (there, [file(second, "1")], {}),
        (there, [file(second)], {}),
        (None, [file(second, "1")], {first: file(first)}),
        (None, [file(first), file(second, "1")], {}),
    ]
    for project, files, existing in attempts:
        with pytest.raises(InvalidRequest) as caught:
            changes.publish(project, "foo", files, overwrite=overwrite, existing=existing)
        assert first in str(caught.value)
        assert second in str(caught.value)
        assert "already exists" not in str(caught.value), "twine --skip-existing would take it for success"


@pytest.mark.parametrize(("first", "second"), [*BESIDE, *(pair[::-1] for pair in BESIDE)])
def test_files_for_different_purposes_stand_side_by_side(first: str, second: str) -> None:
    """Other versions, tags, build numbers, and the sdist beside its wheels."""
    there = changes.publish(None, "foo", [file(first)])
    assert set(changes.publish(there, "foo", [file(second, "1")], existing={first: file(first)}).files) == {
        first,
        second,
    }


@pytest.mark.parametrize(("first", "second"), SECOND)
def test_imported_files_are_kept_as_they_are(first: str, second: str) -> None:
    """A directory that was served for years may hold both; nothing of it is lost when it moves into the store."""
    there = changes.publish(None, "foo", [file(first)])
    merged = changes.publish(there, "foo", [file(second, "1")], imported=True)
    assert set(merged.files) == {first, second}
    again = changes.publish(merged, "foo", [file(second, "1")])
    assert again is merged, "the same file again is no second one"
    with pytest.raises(FileExists):
        changes.publish(merged, "foo", [file(second, "2")])
    assert changes.publish(merged, "foo", [file(second, "2")], overwrite=True).files[second].sha256 == "2"


def test_deleting_the_one_makes_room_for_the_other() -> None:
    """As the sentence says."""
    there = changes.publish(None, "foo", [file("Foo-1.0.tar.gz")])
    gone = changes.delete(there, changes.Selection(filename="Foo-1.0.tar.gz"))
    assert set(changes.publish(gone, "foo", [file("foo-1.0.tar.gz", "1")]).files) == {"foo-1.0.tar.gz"}


_VERSIONS = st.from_regex(
    r"v?(0*\d!)?0*\d{1,2}(\.0*\d){0,3}([-._]?(a|alpha|b|rc|c|pre)[-._]?\d?)?(-\d|[-._]?(post|rev|r)[-._]?\d?)?(\.dev\d?)?(\+[a0]1)?",
    fullmatch=True,
)


@given(_VERSIONS, _VERSIONS)
def test_equal_versions_pass_the_cheap_test(a: str, b: str) -> None:
    """No two spellings of one version are told apart by it."""
    assert may_be_same_version(a, b) or not same_version(a, b)


def test_of_two_that_are_published_at_once_one_is_refused(tmp_path: Path) -> None:
    """The rule is part of the compare-and-swap: spellings of one sdist and of one wheel, from many writers."""
    sdists = ["Foo-1.0.tar.gz", "foo-1.0.tar.gz", "foo-1.0.0.tar.gz", "FOO-1.tar.gz"]
    wheels = ["Foo-1.0-py3-none-any.whl", "foo-1.0-py3-none-any.whl", "foo-1-py3-none-any.whl"]
    outcomes: dict[str, bool] = {}
    barrier = threading.Barrier(len(sdists) + len(wheels))
    first = Index(PosixStore.open(tmp_path))
    uploads = {filename: _upload(first, filename) for filename in (*sdists, *wheels)}

    def publish(filename: str) -> None:
        index = Index(PosixStore.open(tmp_path))
        upload = uploads[filename]
        barrier.wait()
        try:
            index.publish([upload])
            outcomes[filename] = True
        except InvalidRequest:
            outcomes[filename] = False

    threads = [threading.Thread(target=publish, args=(filename,)) for filename in (*sdists, *wheels)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcomes[filename] for filename in sdists) == 1
    assert sum(outcomes[filename] for filename in wheels) == 1
    project = Index(PosixStore.open(tmp_path)).project("foo")
    assert project is not None
    assert set(project.files) == {filename for filename, published in outcomes.items() if published}


def _upload(index: Index, filename: str) -> Upload:
    staging = index.store.blobs.stage(upload_key(filename))
    name, version = filename.removesuffix(".tar.gz").split("-")[:2]
    make = make_wheel if filename.endswith(".whl") else make_sdist
    staging.write(make(name, version))
    return examine(staging.finish(), filename)


def test_a_refused_second_file_leaves_nothing_in_the_store() -> None:
    """Neither a blob nor staged bytes."""
    index = Index(MemoryStore())
    index.publish([_upload(index, "foo-1.0.tar.gz")])
    before = {blob.key for blob in index.store.blobs.list()}
    with pytest.raises(InvalidRequest):
        index.publish([_upload(index, "Foo-1.0.tar.gz")])
    assert {blob.key for blob in index.store.blobs.list()} == before


def test_an_upload_beside_a_drop_in_file(tmp_path: Path) -> None:
    """The drop-in sdist is served as it is; a second sdist of its release is a 400 with one sentence for people."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "Foo.Bar-1.0.tar.gz").write_bytes(make_sdist("foo-bar", "1.0"))
    (folder / "foo-bar-1.0.tar.gz").write_bytes(make_sdist("foo-bar", "1.0"))
    with serve(tmp_path, *OPEN) as site:
        assert site.get("/simple/foo-bar/").text.count("<a ") == 2
        for filename, content, status in (
            ("foo_bar-1.0.tar.gz", make_sdist("foo-bar", "1.0", metadata=metadata_text("foo-bar", "1.0")), 400),
            ("foo_bar-1.0-py3-none-any.whl", make_wheel("foo-bar", "1.0"), 200),
            ("foo_bar-1.1.tar.gz", make_sdist("foo-bar", "1.1"), 200),
        ):
            form = twine_form(filename, content, name="foo-bar", version=filename.split("-")[1].removesuffix(".tar.gz"))
            answer = site.client.post("/", content=multipart(form), headers={"content-type": content_type()})
            assert answer.status_code == status, answer.text
            assert len(answer.text.splitlines()) == 1
        assert "Foo.Bar-1.0.tar.gz" in site.get("/simple/foo-bar/").text
