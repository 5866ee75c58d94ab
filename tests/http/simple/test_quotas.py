"""Quotas of a project and of an index, as uploading clients meet them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from quire.access.document import with_fields
from quire.access.records import AccessRecords
from quire.domain.changes import Selection
from quire.domain.indexes import IndexDefinition
from quire.http.simple.forms import MAX_OTHER_BYTES
from quire.index.audit.entries import Origin
from quire.store.posix.store import PosixStore
from tests.asking import (
    OPEN,
    TWINE,
    Site,
    content_type,
    multipart,
    nothing_changes,
    publish,
    raw_answer,
    serve,
    twine_form,
)
from tests.distributions import make_wheel, wheel_name
from tests.index.test_index import staged_wheel
from tests.serving import until

SIZE = len(make_wheel("alder", "1.0")) + 20
"""Bytes that hold one wheel of these tests, and no two."""


def limit(site: Site, *, index: int | None = None, project: int | None = None) -> None:
    """Set the quotas of the index, as `quire index set` does; None for none."""
    AccessRecords(PosixStore.open(site.root)).change(
        lambda document: with_fields(document, indexes={"main": IndexDefinition(quota=index, project_quota=project)}),
        "index-set",
        {},
        Origin(),
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("quotas"), *OPEN, "--overwrite", "-v") as site:
        yield site


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Site]:
    """A server whose worker has counted nothing, since no other process changes what it counts."""
    with serve(tmp_path, *OPEN, "-v") as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """Without quotas at its beginning, and without files."""
    yield shared
    limit(shared)
    for name in shared.index().names():
        shared.index().delete(name, Selection(), to_trash=False)


def upload(site: Site, name: str, version: str = "1.0", *, more: bytes = b"", **headers: str) -> httpx.Response:
    """A wheel; `more`: what makes it larger, and another one."""
    content = make_wheel(name, version, files={"more": more} if more else None)
    return publish(site, wheel_name(name, version), content, name=name, version=version, **headers)


def test_a_project_takes_what_its_quota_allows(site: Site) -> None:
    """One file too many is refused with a sentence that has the numbers and says what to do; the same file once more
    is no new one, and after a deletion there is room again. Other projects have a quota of their own."""
    limit(site, project=2 * SIZE)
    assert upload(site, "alder").status_code == 200
    assert upload(site, "alder", "2.0").status_code == 200
    with nothing_changes(site):
        refused = upload(site, "alder", "3.0")
        assert refused.status_code == 400
        assert re.fullmatch(
            r"The project alder has used 9\d % of its quota of \d+ bytes, and \d+ B more do not fit; delete old "
            r"releases, or let an administrator raise the quota \('quire index set --project-quota'\)\.\n",
            refused.text,
        ), refused.text
        assert upload(site, "alder", "2.0").status_code == 200
    assert upload(site, "birch").status_code == 200
    site.index().delete("alder", Selection(version="1.0"))
    assert upload(site, "alder", "3.0").status_code == 200


def test_twine_and_uv_get_the_sentence_where_they_show_it(site: Site) -> None:
    """In the reason phrase, which is all that twine prints, and as the detail of a problem, which uv prints."""
    limit(site, project=10)
    refused = upload(site, "alder", user_agent=TWINE["User-Agent"])
    assert refused.reason_phrase == refused.text.strip()
    problem = upload(site, "alder", accept="application/json").json()
    assert (problem["status"], problem["detail"]) == (400, refused.text.strip())


def test_a_replaced_file_counts_once(site: Site) -> None:
    """The new one in place of the old one; one that is no larger passes also where the quota was lowered since."""
    limit(site, project=SIZE + 400)
    assert upload(site, "alder", more=bytes(range(100))).status_code == 200
    assert upload(site, "alder", more=bytes(range(100, 200))).status_code == 200
    assert upload(site, "alder", more=bytes(range(256)) * 3).status_code == 200  # it is compressed
    limit(site, project=100)
    assert upload(site, "alder").status_code == 200
    assert upload(site, "alder", more=bytes(range(100))).status_code == 400


def test_files_in_the_trash_do_not_count_and_drop_ins_neither(counted: Site) -> None:
    """So a deletion makes room at once. A drop-in is not hosted."""
    (counted.root / wheel_name("alder", "0.1")).write_bytes(make_wheel("alder", "0.1"))
    try:
        limit(counted, project=SIZE, index=SIZE)
        assert upload(counted, "alder").status_code == 200
        assert upload(counted, "alder", "2.0").status_code == 400
        deleted = counted.client.post("/", data={":action": "remove_pkg", "name": "alder", "version": "1.0"})
        assert deleted.status_code == 200, deleted.text
        assert upload(counted, "alder", "2.0").status_code == 200
        restore = "/-/api/v1/indexes/main/projects/alder/trash/restore"
        refused = counted.client.post(restore, json={"version": "1.0"})
        assert refused.status_code == 400
        assert "of its quota of" in refused.json()["detail"]
        limit(counted)
        assert counted.client.post(restore, json={"version": "1.0"}).status_code == 200
    finally:
        (counted.root / wheel_name("alder", "0.1")).unlink()


def test_a_quota_counts_for_the_next_upload(site: Site) -> None:
    """Set, raised and removed by another process."""
    limit(site, project=SIZE - 100)
    assert upload(site, "alder").status_code == 400
    limit(site, project=SIZE)
    assert upload(site, "alder").status_code == 200
    assert upload(site, "alder", "2.0").status_code == 400
    limit(site)
    assert upload(site, "alder", "2.0").status_code == 200


def test_an_index_takes_what_its_quota_allows(counted: Site) -> None:
    """Of the files of all projects together, those from before the quota was set included; the worker knows its own
    changes at once, and those of others at its next count."""
    assert upload(counted, "alder").status_code == 200
    limit(counted, index=2 * SIZE)
    assert upload(counted, "birch").status_code == 200
    with nothing_changes(counted):
        refused = upload(counted, "cedar")
        assert refused.status_code == 400
        assert re.match(
            r"The index main has used 9\d % of its quota of \d+ bytes, and \d+ B more do not fit; ", refused.text
        )
        assert refused.text.endswith("('quire index set --quota').\n")
    removed = counted.client.post("/", data={":action": "remove_pkg", "name": "alder", "version": "1.0"})
    assert removed.status_code == 200, removed.text
    assert upload(counted, "cedar").status_code == 200
    counted.index().delete("birch", Selection())  # by another process
    until(lambda: upload(counted, "birch").status_code == 200)


def test_uploads_of_other_servers_count_from_the_next_count_on(counted: Site) -> None:
    """A worker is behind by what others have uploaded since its last count, and no more."""
    limit(counted, index=3 * SIZE)
    assert upload(counted, "alder").status_code == 200
    others = [staged_wheel(counted.index().store, name, "1.0") for name in ("birch", "cedar", "elm")]
    for each in others:
        counted.index().publish([each])
    versions = (f"{number}.0" for number in range(2, 1000))
    until(lambda: upload(counted, "alder", next(versions)).status_code == 400)


def test_little_that_is_left_is_said_in_the_answer_and_once_in_the_log(counted: Site) -> None:
    """From nine tenths of a quota on."""
    limit(counted, project=2 * SIZE, index=4 * SIZE)
    first, second = upload(counted, "alder"), upload(counted, "alder", "2.0")
    assert "Quire-Quota" not in first.headers
    assert second.headers["Quire-Quota"] == "project=97"
    assert second.text.endswith("was published. The project has used 97 % of its quota.\n")
    assert upload(counted, "birch").status_code == 200
    last = upload(counted, "cedar", accept="application/json")
    assert re.fullmatch(r"index=9\d", last.headers["Quire-Quota"])
    lines = [line for line in counted.served.output().splitlines() if "quota nearly used" in line]
    assert len([line for line in lines if "project=alder" in line]) == 1, lines


def test_a_file_that_cannot_fit_is_refused_before_it_is_sent(site: Site) -> None:
    """By the length of the request alone, if that is more than a quota."""
    limit(site, project=1024**2)
    with site.connect() as connection:
        length = 2_000_000 + MAX_OTHER_BYTES
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type()}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode())
        answer = raw_answer(connection)
    assert answer.status == 400
    assert answer.body.startswith(b"The file has 2.0 MB or more, and the quota is 1M; ")


@pytest.mark.parametrize("quota", ["project", "index"])
def test_a_file_that_does_not_fit_any_more_is_refused_when_its_name_has_arrived(counted: Site, quota: str) -> None:
    """Then its project is known, and with it what is left."""
    limit(counted, **{quota: 3 * MAX_OTHER_BYTES // 2 + 500})
    assert upload(counted, "alder").status_code == 200
    form = multipart(twine_form(wheel_name("alder", "2.0"), b"PK", name="alder", version="2.0"))
    begun = form[: form.index(b"PK")]
    with counted.connect() as connection:
        length = 5 * MAX_OTHER_BYTES // 2
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type()}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode() + begun + b"PK")
        answer = raw_answer(connection)
    assert answer.status == 400
    assert b"more do not fit" in answer.body
    assert upload(counted, "alder").status_code == 200  # the same once more


def test_of_uploads_to_two_servers_at_one_time_one_fits(tmp_path: Path, site: Site) -> None:
    """Two workers of two servers on one directory: the quota of a project is decided by the record that is replaced."""
    limit(site, project=SIZE)
    with serve(site.root.parent, *OPEN, "--overwrite") as second, ThreadPoolExecutor(2) as pool:
        for number in range(15):
            barrier = threading.Barrier(2)

            def send(site: Site, version: str, number: int = number, barrier: threading.Barrier = barrier) -> int:
                barrier.wait()
                return upload(site, f"race-{chr(97 + number)}", version).status_code

            answers = [pool.submit(send, site, "1.0"), pool.submit(send, second, "2.0")]
            assert sorted(answer.result() for answer in answers) == [200, 400], number
