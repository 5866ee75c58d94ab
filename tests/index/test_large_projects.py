"""Projects of many thousand files: no one call works on all of them, so that a worker goes on answering others.

Replaced here: the sizes of slices, since their results must not depend on them, and the encoder, by one that records
its largest piece.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Sized
from typing import Any

import msgspec
import pytest

from quire.catalog.hosted import Hosted, HostedFile, HostedProject
from quire.catalog.views import ProjectView
from quire.domain import project as model
from quire.domain.errors import DamagedRecord
from quire.domain.project import File, Project, Status, decode_project, encode_project
from quire.index.index import Index
from quire.render import simple
from quire.render.negotiation import MediaType
from quire.store.contracts import Record
from quire.store.memory import MemoryStore

FILES = 3000
AT_ONCE = 500
"""Files that one call may work on: a millisecond."""
_TRICKY = '\n  },\n  "x": {\n  }\n }\n'
_ENDINGS = (
    b"\n  },\n",
    b"\n  }\n }",
    b"\n  }",
    b"\n",
    b",",
    b"}",
    b"{",
    b"[",
    b'"',
    b" ",
    b'"files": {}',
    b'"": null',
    b"\xff",
)


def a_file(number: int, **fields: Any) -> File:
    version = f"{number // 40}.{number // 4 % 10}"
    return File(
        filename=f"large-{version}-py{number}-none-any.whl",
        version=version,
        size=number,
        hashes={"sha256": f"{number:064x}", "md5": f"{number:032x}"},
        uploaded="2024-11-06T22:37:09.123456Z",
        metadata_sha256=f"{number:064x}",
        blob=f"large/{number}",
        **fields,
    )


def a_project(count: int, **fields: Any) -> Project:
    return Project(name="large", files={file.filename: file for file in map(a_file, range(count))}, **fields)


def _view(project: Project) -> ProjectView:
    store = MemoryStore()
    part = HostedProject(project.name, Record(f"main/projects/{project.name}", b"", "1"), project, store)
    return ProjectView(project.name, [(Hosted(Index(store)), part)])


def a_tricky_project() -> Project:
    """With all fields, strings that look like the document itself, and fields of the future in every place."""
    future = {"files": {"a": {_TRICKY: _TRICKY}}, "more": [_TRICKY, {"b": None}], "filename": "other"}
    files = [a_file(number) for number in range(20)]
    files[3] = a_file(3, yanked=_TRICKY, requires_python=">=3", unknown=future, signed=True, attested=True)
    files[19] = a_file(19, yanked=True, uploader="ann", unknown=future)
    named = {file.filename: file for file in files}
    named[_TRICKY] = msgspec.structs.replace(a_file(77, unknown={"deep": [[[future]]]}), filename=_TRICKY)
    return Project(
        name=_TRICKY,
        status=Status.ARCHIVED,
        status_reason=_TRICKY,
        files=named,
        unknown={"aliases": future, "also": {}},
    )


LOG: list[dict[str, Any]] = [{"id": "1", "files": [{"filename": _TRICKY}]}, {"id": "2", "files": {}}]


@pytest.fixture
def in_small_slices(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Switches between slices of one or two files, and none at all."""

    def switch(sliced: bool) -> None:
        monkeypatch.setattr(model, "LARGE_DOCUMENT", 0 if sliced else 1 << 40)
        monkeypatch.setattr(model, "SLICE_BYTES", 400 if sliced else 1 << 40)
        monkeypatch.setattr(model, "SLICE_FILES", 2 if sliced else 1 << 40)

    return switch


def outcome(data: bytes) -> Project | str:
    try:
        return decode_project(data, "a/key")
    except DamagedRecord as error:
        return str(error)


class Calls:
    """How much each call of a function got at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.largest = 0
        self.calls = 0
        call = getattr(msgspec.json, name)

        def counted(data: Any, *arguments: Any, **options: Any) -> Any:
            self.calls += 1
            self.largest = max(self.largest, _size(data))
            return call(data, *arguments, **options)

        monkeypatch.setattr(msgspec.json, name, counted)


def _size(data: object) -> int:
    """Of bytes their number; of other things the most entries in any one place."""
    if isinstance(data, bytes):
        return len(data)
    if isinstance(data, dict):
        return max(len(data), *map(_size, data.values())) if data else 0
    return len(data) if isinstance(data, Sized) and not isinstance(data, str) else 0


def test_no_call_of_the_decoder_gets_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is read some hundred files at a time."""
    project = a_project(FILES)
    data = encode_project(project, LOG)
    assert len(data) > 1_000_000
    decode = Calls(monkeypatch, "decode")
    assert decode_project(data) == project
    assert decode.calls > 10
    assert decode.largest < 100_000


def test_no_call_of_the_encoder_gets_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is written some hundred files at a time."""
    encode, form = Calls(monkeypatch, "encode"), Calls(monkeypatch, "format")
    data = encode_project(a_project(FILES), LOG)
    assert 0 < encode.largest <= AT_ONCE
    assert form.largest < len(data) / 10


@pytest.mark.parametrize("of", ["one project", "all projects"])
def test_no_page_is_encoded_in_one_call(monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    """The JSON of a project's files, and of many projects, is put together from slices."""
    view = _view(a_project(FILES))
    encode = Calls(monkeypatch, "encode")
    if of == "one project":
        view.page(MediaType.JSON_V1, None)
    else:
        simple.render_projects([f"project-{number}" for number in range(FILES)], MediaType.JSON_V1)
    assert 0 < encode.largest <= AT_ONCE


@pytest.mark.parametrize("media_type", list(MediaType))
def test_pages_do_not_depend_on_slices(monkeypatch: pytest.MonkeyPatch, media_type: MediaType) -> None:
    """Slices of any size make the same bytes."""
    names = [f"project-{number}" for number in range(10)]
    pages = []
    for size in (1, 3, 10, 1000):
        monkeypatch.setattr(simple, "_AT_ONCE", size)  # as no setting does
        view = _view(a_project(10))
        pages.append((view.page(media_type, "sha256").body, simple.render_projects(names, media_type).body))
    assert len(set(pages)) == 1
    for body in pages[0]:
        if media_type is MediaType.JSON_V1:
            document = msgspec.json.decode(body)
            assert len(document.get("files", document.get("projects"))) == 10


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
def test_records_do_not_depend_on_slices(in_small_slices: Callable[[bool], None], count: int) -> None:
    """The document has the same bytes, and says the same, however it was put together and taken apart."""
    for project in (a_project(count), a_tricky_project()):
        for log in ([], LOG):
            in_small_slices(False)
            whole = encode_project(project, log)
            assert decode_project(whole) == project
            in_small_slices(True)
            assert encode_project(project, log) == whole
            again = decode_project(whole)
            assert again == project
            assert list(again.files) == list(project.files)


@pytest.mark.parametrize("first", [300, 500, 700, 900, 1100])
def test_a_large_record_is_taken_apart(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """Slices of any size are found, wherever in a file they end; the whole is never decoded."""
    project = a_tricky_project()
    data = encode_project(project, LOG)
    monkeypatch.setattr(model, "LARGE_DOCUMENT", 0)
    decode = Calls(monkeypatch, "decode")
    for size in range(first, first + 200):
        monkeypatch.setattr(model, "SLICE_BYTES", size)
        assert decode_project(data) == project
        assert decode.largest < len(data) / 2, size


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"format": 1', b'"format": 2'),
        (b'"format": 1', b'"format": true'),
        (b'"format": 1', b'"format": 0'),
        (b'"format": 1', b'"format": "1"'),
        (b'"format": 1,', b""),
        (b'"status": "archived"', b'"status": "gone"'),
        (b'"sha256"', b'"sha255"'),
        (b'"size": 19', b'"size": "19"'),
        (b"\n  },\n", b"\n  },,\n"),
        (b"\n  },\n", b"\n  },\n  },\n"),
        (b"\n  },\n", b"\n  },\n  \n"),
        (b"\n  }\n }", b"\n  },\n }"),
        (b"\n  }\n }", b"\n  }\n ]"),
        (b"\n  }\n }", b"\n  }\n }\n }"),
        (b'\n "files": {', b'\n "files": {},\n "files": {'),
        (b'\n "files": {', b'\n "older": {\n "files": {'),
        (b'\n "aliases"', b'\n "files": 0,\n "aliases"'),
        (b'\n "aliases"', b'\n "files": 1,\n "aliases"'),
        (b'\n "aliases"', b'\n "files": {},\n "aliases"'),
        (b'\n "aliases"', b'\n "files": 5,\n "aliases"'),
        (b"}\n", b"}\n}\n"),
        (b"\n", b"\r\n"),
        (b"\n ", b"\n  "),
        (b"\n", b""),
    ],
)
def test_damage_does_not_depend_on_slices(in_small_slices: Callable[[bool], None], old: bytes, new: bytes) -> None:
    """A document edited by hand is read, or refused with the same sentence, as if there were no slices."""
    data = encode_project(a_tricky_project(), LOG)
    head, _, tail = data.rpartition(old)
    for edited in (data.replace(old, new), data.replace(old, new, 1), head + new + tail):
        assert edited != data
        in_small_slices(False)
        expected = outcome(edited)
        in_small_slices(True)
        assert outcome(edited) == expected


def test_random_damage_does_not_depend_on_slices(in_small_slices: Callable[[bool], None]) -> None:
    """Nor what happened to it by chance, most of all where slices begin and end."""
    chance = random.Random(20)
    data = encode_project(a_tricky_project(), LOG)
    places = [place for place in range(len(data)) if data.startswith((b"\n  }", b'\n  "', b'\n "'), place)]
    refused = 0
    for _ in range(1500):
        edited = data
        for _ in range(chance.randrange(1, 3)):
            place = max(0, chance.choice(places) + chance.randrange(-8, 9))
            edited = edited[:place] + chance.choice(_ENDINGS) + edited[place + chance.randrange(9) :]
        in_small_slices(False)
        expected = outcome(edited)
        in_small_slices(True)
        assert outcome(edited) == expected, edited
        refused += isinstance(expected, str)
    assert 100 < refused < 1500


def test_the_garbage_collector_does_not_go_through_files() -> None:
    """A view of many thousand files is nothing to the collector, whose every round would take as long as decoding."""
    project = decode_project(encode_project(a_project(FILES)))
    view = _view(project)
    before = len(gc.get_objects())
    kept = [decode_project(encode_project(a_project(FILES))), _view(project)]
    dicts = 2 * FILES if sys.version_info >= (3, 14) else 0  # which goes through those that hold strings alone as well
    assert len(gc.get_objects()) - before < dicts + FILES / 10
    assert not any(map(gc.is_tracked, view.files.values()))
    assert isinstance(next(iter(view.files.values())), HostedFile)
    assert len(kept) == 2
