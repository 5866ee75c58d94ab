"""Downloads over HTTP: whole, in part, revalidated, with their companions, and what becomes of old addresses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain.changes import Selection
from quire.domain.project import Status
from quire.http.simple.files import content_type, single_range
from tests.asking import OPEN, Site, password_file, post, publish, publish_wheel, serve, twine_form
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.serving import until

SIZE = 700_000
"""Bytes of the big member: some chunks of a download, and an incompressible rest."""
BIG = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(SIZE // 32))
WHEEL = make_wheel("big", "1.0", files={"data": BIG})
DROPPED = make_wheel("dropped", "1.0", files={"data": BIG})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    """An index with a hosted wheel `big`, and the same kind of wheel `dropped` in a folder of the directory."""
    folder = tmp_path_factory.mktemp("files")
    with serve(folder, *OPEN, "-o", place=place) as site:
        publish(site, wheel_name("big", "1.0"), WHEEL, name="big", version="1.0")
        (site.root / "old one").mkdir()
        (site.root / "old one" / wheel_name("dropped", "1.0")).write_bytes(DROPPED)
        (site.root / "old one" / f"{wheel_name('dropped', '1.0')}.asc").write_bytes(b"a signature")
        until(lambda: "dropped" in site.projects())
        yield site


@pytest.fixture(params=["big", "dropped"])
def url(site: Site, request: pytest.FixtureRequest) -> str:
    """The URL of the hosted and of the dropped-in file; their contents are `_content(url)`."""
    return site.file_url(request.param, wheel_name(request.param, "1.0"))


def _content(url: str) -> bytes:
    return WHEEL if "big" in url else DROPPED


def test_serves_the_file(site: Site, url: str) -> None:
    """The bytes, their number and kind, and a validator; HEAD has the same headers."""
    answer = site.client.get(url)
    assert answer.status_code == 200
    assert answer.content == _content(url)
    assert answer.headers["content-length"] == str(len(_content(url)))
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{hashlib.sha256(_content(url)).hexdigest()}"'
    assert "content-encoding" not in answer.headers
    head = site.client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    of_each_answer = {"date": "", "x-request-id": ""}
    assert dict(head.headers) | of_each_answer == dict(answer.headers) | of_each_answer


def test_a_hosted_file_may_be_kept_for_ever(site: Site) -> None:
    """Its URL has its digest, so it is immutable; a drop-in file's has not, so it is revalidated."""
    hosted = site.client.get(site.file_url("big", wheel_name("big", "1.0")))
    assert hosted.headers["cache-control"] == "public, max-age=31536000, immutable"
    dropped = site.client.get(site.file_url("dropped", wheel_name("dropped", "1.0")))
    assert dropped.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(1)),
        ("bytes=0-99", slice(100)),
        ("bytes=100-499999", slice(100, 500_000)),
        ("bytes={last}-", slice(-1, None)),
        ("bytes={last}-{last}", slice(-1, None)),
        ("bytes=5-{beyond}", slice(5, None)),
        ("bytes=-22", slice(-22, None)),
        ("bytes=-{beyond}", slice(None)),
        ("bytes=0-", slice(None)),
        ("Bytes= 3-4", slice(3, 5)),
    ],
)
def test_serves_a_range(site: Site, url: str, asked: str, part: slice) -> None:
    """206 for the first, last, open and suffix ranges, cut to the file's end."""
    content = _content(url)
    answer = site.client.get(url, headers={"range": asked.format(last=len(content) - 1, beyond=len(content) * 2)})
    start, stop, _ = part.indices(len(content))
    assert answer.status_code == 206
    assert answer.content == content[part]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(content)}"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.headers["etag"] == site.client.head(url).headers["etag"]


EPOCH, FAR = "Thu, 01 Jan 1970 00:00:01 GMT", "Fri, 31 Dec 2100 23:59:59 GMT"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"if-match": "{etag}"}, 200),
        ({"if-match": '"x", {etag}'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": '"x"'}, 412),
        ({"if-match": "W/{etag}"}, 412),  # a strong comparison
        ({"if-match": ""}, 412),
        ({"if-match": "{etag}", "if-none-match": "{etag}"}, 304),
        ({"if-match": '"x"', "if-none-match": "{etag}"}, 412),
        ({"if-match": '"x"', "range": "bytes=0-1"}, 412),
        ({"if-match": "{etag}", "range": "bytes=0-1"}, 206),
        ({"if-match": "{etag}", "if-unmodified-since": EPOCH}, 200),
        ({"if-unmodified-since": FAR}, 200),
        ({"if-unmodified-since": "yesterday"}, 200),
        ({"if-unmodified-since": FAR, "if-none-match": "{etag}"}, 304),
        ({"if-modified-since": FAR}, 200),  # a date does not show that a file is the same
        ({"if-range": FAR, "range": "bytes=0-1"}, 200),
        ({"if-range": "W/{etag}", "range": "bytes=0-1"}, 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_preconditions(site: Site, url: str, method: str, asked: dict[str, str], status: int) -> None:
    """In the order of RFC 9110, 13.2.2."""
    etag = site.client.head(url).headers["etag"]
    headers = {name: value.replace("{etag}", etag) for name, value in asked.items()}
    answer = site.client.request(method, url, headers=headers)
    assert answer.status_code == (200 if (method, status) == ("HEAD", 206) else status)
    if status == 412 and method == "GET":
        assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "stamp", "said"),
    [("dated", 1_000_000_000.9, "Sun, 09 Sep 2001 01:46:40 GMT"), ("early", -5.0, None), ("ahead", 2**33, None)],
)
def test_the_date_of_a_drop_in_file(site: Site, name: str, stamp: float, said: str | None) -> None:
    """Last-Modified is the file's. One that is in the future, or before all dates, is not told."""
    filename = wheel_name(name, "1.0")
    path = site.root.parent / filename
    path.write_bytes(make_wheel(name, "1.0"))
    os.utime(path, (stamp, stamp))
    path.rename(site.root / filename)
    until(lambda: name in site.projects())
    url = site.file_url(name, filename)
    assert site.client.get(url).headers.get("last-modified") == said
    for date, status in ((EPOCH, 412 if said else 200), (said or FAR, 200)):
        assert site.client.get(url, headers={"if-unmodified-since": date}).status_code == status


def test_a_stored_file_has_no_date(site: Site) -> None:
    """Its URL never means other bytes, so If-Unmodified-Since is ignored (RFC 9110, 13.1.4)."""
    url = site.file_url("big", wheel_name("big", "1.0"))
    answer = site.client.get(url, headers={"if-unmodified-since": EPOCH})
    assert (answer.status_code, "last-modified" in answer.headers) == (200, False)


@pytest.mark.parametrize("asked", ["bytes={size}-", "bytes=999999999-", "bytes=-0"])
def test_a_range_beyond_the_end(site: Site, url: str, asked: str) -> None:
    """416 with the length, one sentence, and nothing that a cache would keep for a year."""
    answer = site.client.get(url, headers={"range": asked.format(size=len(_content(url)))})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(_content(url))}"
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize(
    "asked", ["bytes=", "bytes=9-1", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", f"bytes={'9' * 40}-", "-5"]
)
def test_ignores_an_invalid_range(site: Site, url: str, asked: str) -> None:
    """A Range header without a valid range, or with several, gets the whole file."""
    answer = site.client.get(url, headers={"range": asked})
    assert (answer.status_code, answer.content == _content(url)) == (200, True)
    assert "content-range" not in answer.headers


def test_head_has_no_range(site: Site, url: str) -> None:
    """Ranges are defined for GET alone (RFC 9110, 14.2)."""
    answer = site.client.head(url, headers={"range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(_content(url))))


def test_if_range(site: Site, url: str) -> None:
    """The part if the client's other part is of this very file, else the whole; a date or a weak tag never matches."""
    etag = site.client.head(url).headers["etag"]
    assert site.client.get(url, headers={"range": "bytes=0-9", "if-range": etag}).status_code == 206
    for other in ('"other"', f"W/{etag}", "Mon, 02 Feb 2026 10:00:00 GMT", ""):
        answer = site.client.get(url, headers={"range": "bytes=0-9", "if-range": other})
        assert (answer.status_code, len(answer.content)) == (200, len(_content(url))), other


def test_revalidates(site: Site, url: str) -> None:
    """304 with its headers; it counts before a range does (RFC 9110, 13.2.2)."""
    answer = site.client.get(url)
    for headers in ({}, {"range": "bytes=0-9"}, {"range": "bytes=9999999-"}):
        again = site.client.get(url, headers={"if-none-match": answer.headers["etag"], **headers})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
        assert again.headers["cache-control"] == answer.headers["cache-control"]


def test_companions(site: Site) -> None:
    """`.metadata` is the document whose digest the page tells, `.asc` the signature; else they are missing."""
    for project in ("big", "dropped"):
        (file,) = site.listing(project)["files"]
        metadata = site.client.get(f"{site.file_url(project, file['filename'])}.metadata")
        assert hashlib.sha256(metadata.content).hexdigest() == file["core-metadata"]["sha256"]
        assert metadata.text.startswith("Metadata-Version: 2.4\n")
        assert metadata.headers["content-type"] == "text/plain; charset=utf-8"
        assert site.client.get(metadata.url, headers={"range": "bytes=0-3"}).content == metadata.content[:4]
    assert site.client.get(f"{site.file_url('dropped', wheel_name('dropped', '1.0'))}.asc").content == b"a signature"
    assert site.client.get(f"{site.file_url('big', wheel_name('big', '1.0'))}.asc").status_code == 404


def test_a_published_signature(site: Site) -> None:
    """An upload's `gpg_signature` is served beside the file, and the page says so."""
    filename, content = wheel_name("signed", "1.0"), make_wheel("signed", "1.0")
    form = twine_form(filename, content, name="signed", version="1.0")
    assert post(site, [*form, ("gpg_signature", f"{filename}.asc", b"-----PGP")]).status_code == 200
    assert site.listing("signed")["files"][0]["gpg-sig"] is True
    answer = site.client.get(f"{site.file_url('signed', filename)}.asc")
    assert (answer.content, answer.headers["content-type"]) == (b"-----PGP", "application/pgp-signature")


def test_another_signature_of_the_same_file(site: Site) -> None:
    """A release that was deleted and uploaded again: nothing takes the new signature for the former one."""
    filename, content = wheel_name("resigned", "1.0"), make_wheel("resigned", "1.0")
    form = twine_form(filename, content, name="resigned", version="1.0")
    answers = []
    for signature in (b"-----PGP one", b"-----PGP two"):
        assert post(site, [*form, ("gpg_signature", f"{filename}.asc", signature)]).status_code == 200
        url = f"{site.file_url('resigned', filename)}.asc"
        answers.append(site.client.get(url))
        assert answers[-1].content == signature
        etag = answers[-1].headers["etag"]
        assert site.client.get(url, headers={"if-none-match": etag}).status_code == 304
        if len(answers) == 1:
            form_of_removal = {":action": "remove_pkg", "name": "resigned", "version": "1.0"}
            assert site.client.post("/", data=form_of_removal).status_code == 200
    before, after = answers
    assert before.url == after.url
    assert before.headers["etag"] != after.headers["etag"]
    assert site.client.get(after.url, headers={"if-none-match": before.headers["etag"]}).status_code == 200
    assert before.headers["cache-control"] == "no-cache"


def test_there_is_no_drop_in_at_another_address(site: Site) -> None:
    """Not under its former folder, nor where it would be hosted; and to ask for it is no error of the store."""
    name, digest = wheel_name("dropped", "1.0"), hashlib.sha256(DROPPED).hexdigest()
    failures = [line for line in site.get("/metrics").text.splitlines() if "store_errors" in line]
    for place in ("", "another/", f"dropped/{digest}/", f"dropped/{'0' * 64}/"):
        for companion in ("", ".metadata"):
            answer = site.get(f"/packages/{place}{name}{companion}")
            assert (answer.status_code, answer.text) == (404, f"The file {name} does not exist.\n"), place
    assert failures == [line for line in site.get("/metrics").text.splitlines() if "store_errors" in line] != []


def test_a_drop_in_in_folders_that_look_like_an_address(site: Site) -> None:
    """As a recursive download of an index makes them: it is at its place, like every other one."""
    wheel, name = make_wheel("fetched", "1.0"), wheel_name("fetched", "1.0")
    folder = site.root / "fetched" / hashlib.sha256(wheel).hexdigest()
    folder.mkdir(parents=True)
    (folder / name).write_bytes(wheel)
    url = site.file_url("fetched", name)
    assert url.endswith(f"/packages/fetched/{folder.name}/{name}")
    answer = site.client.get(url)
    assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (200, wheel, "no-cache")
    assert site.client.get(f"{url}.metadata").text == metadata_text("fetched", "1.0")


def test_old_address_of_an_imported_file(site: Site) -> None:
    """pypiserver's /packages/<filename>, with and without its folder, still leads to a file that is hosted now."""
    for path in (wheel_name("big", "1.0"), f"some/folder/{wheel_name('big', '1.0')}"):
        answer = site.get(f"/packages/{path}")
        assert (answer.status_code, answer.content) == (200, WHEEL)
        assert answer.headers["cache-control"] == "no-cache"
        assert site.get(f"/packages/{path}.metadata").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "nothing-1.0.tar.gz",
        "big/../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "quire/format",
        "quire/records/main/projects/big/00000001.json",
        "/etc/passwd",
        "a%00b.whl",
        f"big/{'0' * 64}/{wheel_name('big', '1.0')}",
        f"other/{hashlib.sha256(WHEEL).hexdigest()}/{wheel_name('big', '1.0')}",
        f"big/{hashlib.sha256(WHEEL).hexdigest()}/other-1.0-py3-none-any.whl",
        "x" * 5000,
        "%ff%fe",
    ],
)
def test_there_is_nothing_else(site: Site, path: str) -> None:
    """404 and one sentence for whatever is not listed; no path of a request reaches the file system."""
    answer = site.raw(f"GET /packages/{path} HTTP/1.0\r\n\r\n".encode())
    assert answer.status == 404
    assert len(answer.body.splitlines()) == 1
    assert len(answer.body) < 500


@pytest.mark.on_disk("another process changes the store")
def test_overwritten_and_deleted(site: Site) -> None:
    """Other content has another URL; the old one is missing at once, and both are after the deletion."""
    filename = publish_wheel(site, "replaced")
    old = site.file_url("replaced", filename)
    publish_wheel(site, "replaced", files={"more": b"content"})
    new = site.file_url("replaced", filename)
    assert old != new
    assert (site.client.get(old).status_code, site.client.get(new).status_code) == (404, 200)
    site.index().delete("replaced", Selection(filename=filename))
    assert (site.client.get(new).status_code, site.client.get(f"{new}.metadata").status_code) == (404, 404)
    assert site.filenames("replaced") == []


@pytest.mark.on_disk("another process changes the store")
def test_quarantined(site: Site) -> None:
    """PEP 792: the files of a quarantined project are not offered under any address, and are again afterwards."""
    filename = publish_wheel(site, "suspect")
    url = site.file_url("suspect", filename)
    site.index().set_status("suspect", Status.QUARANTINED, "found malware")
    assert [site.client.get(address).status_code for address in (url, f"{url}.metadata")] == [404, 404]
    assert site.get(f"/packages/{filename}").status_code == 404
    assert site.listing("suspect")["files"] == []
    site.index().set_status("suspect", Status.ACTIVE)
    assert site.client.get(url).status_code == 200


def test_a_dropped_file_that_changes(site: Site) -> None:
    """Replaced, it is served as it is now, and described as it is now; removed, it is gone at once."""
    path = site.root / wheel_name("moving", "1.0")
    for content in (make_wheel("moving", "1.0"), make_wheel("moving", "1.0", files={"more": b"x"})):
        staging = site.root.parent / "staging"
        staging.write_bytes(content)
        os.replace(staging, path)
        (file,) = site.listing("moving")["files"]
        assert file["hashes"]["sha256"] == hashlib.sha256(content).hexdigest()
        assert site.client.get(site.file_url("moving", path.name)).content == content
    path.unlink()
    assert site.get(f"/packages/{path.name}").status_code == 404
    assert "moving" not in site.projects()


def test_a_link_out_of_the_directory_is_not_followed(site: Site, tmp_path: Path) -> None:
    """A link in the directory to a file outside is not served."""
    (tmp_path / "secret").write_bytes(make_wheel("leak", "1.0"))
    path = site.root / wheel_name("leak", "1.0")
    path.symlink_to("/etc/passwd")
    assert site.get(f"/packages/{path.name}").status_code == 404
    path.unlink()


def test_an_sdist_and_its_kind(site: Site) -> None:
    """An sdist is gzip by type, and never unpacked on its way by a Content-Encoding."""
    content = make_sdist("source", "1.0")
    publish(site, sdist_name("source", "1.0"), content, name="source", version="1.0")
    answer = site.client.get(site.file_url("source", sdist_name("source", "1.0")))
    assert (answer.content, answer.headers["content-type"]) == (content, "application/gzip")
    assert "content-encoding" not in answer.headers


def test_metadata_of_an_sdist_only_when_it_is_static(site: Site) -> None:
    """PEP 658 data of an sdist is offered from metadata 2.2 on without Dynamic; Requires-Python always."""
    dynamic = metadata_text("stale", "1.0", extra="Dynamic: Requires-Dist\n")
    old = metadata_text("stale", "2.0", metadata_version="2.1")
    for version, metadata in (("1.0", dynamic), ("2.0", old), ("3.0", metadata_text("stale", "3.0"))):
        content = make_sdist("stale", version, metadata=metadata)
        assert publish(site, sdist_name("stale", version), content, name="stale", version=version).status_code == 200
    files = site.listing("stale")["files"]
    assert [file["core-metadata"] is not False for file in files] == [False, False, True]
    assert [file["requires-python"] for file in files] == [">=3.8"] * 3
    assert site.client.get(f"{site.file_url('stale', sdist_name('stale', '1.0'))}.metadata").status_code == 404


@pytest.mark.on_disk("the files of a drop-in folder")
def test_an_sdist_with_an_odd_version_of_its_metadata(site: Site) -> None:
    """A number of more digits than Python reads: the file is listed, without metadata, and so are all others."""
    metadata = metadata_text("digits", "1.0", metadata_version=f"2.{'9' * 5000}")
    (site.root / sdist_name("digits", "1.0")).write_bytes(make_sdist("digits", "1.0", metadata=metadata))
    (file,) = site.listing("digits")["files"]
    assert file["core-metadata"] is False
    for path in ("/packages/", "/project/digits/"):
        assert site.get(path).status_code == 200, path


def test_private_when_a_login_is_needed(tmp_path: Path, place: str) -> None:
    """No shared cache may keep what needs a login."""
    with serve(tmp_path, "-a", "download,update", "-P", password_file(tmp_path, ann="secret"), place=place) as site:
        site.client.auth = ("ann", "secret")
        filename = publish_wheel(site, "closed")
        answer = site.client.get(site.file_url("closed", filename))
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"


def test_cache_control_flag_is_for_addresses_without_digest(tmp_path: Path, place: str) -> None:
    """`--cache-control` sets max-age where quire would revalidate, and shortens nothing that is immutable."""
    with serve(tmp_path, *OPEN, "--cache-control", 60, place=place) as site:
        filename = publish_wheel(site, "one")
        assert site.get(f"/packages/{filename}").headers["cache-control"] == "public, max-age=60"
        assert "immutable" in site.client.get(site.file_url("one", filename)).headers["cache-control"]


@given(st.text("bytes= 0123456789-,", max_size=30), st.integers(0, 10**6))
def test_no_range_leads_out_of_the_file(header: str, size: int) -> None:
    """Whatever is asked: ignored, unsatisfiable, or within the file."""
    chosen = single_range(f"bytes={header}", size)
    if chosen is not None and chosen[0] < chosen[1]:
        assert 0 <= chosen[0] < chosen[1] <= size


@pytest.mark.parametrize("name", ["a.html-1.0.zip", "a-1.0.tar.bz2", "a-1.0.svg", "a-1.0.js"])
@pytest.mark.parametrize("companion", ["", ".metadata", ".asc"])
def test_nothing_is_served_that_a_browser_runs(name: str, companion: str) -> None:
    """Published files are data, with any name."""
    assert not {"html", "xml", "javascript"} & set(content_type(name, companion).replace("/", " ").split())


def test_another_hash_in_links(tmp_path: Path, place: str) -> None:
    """`--hash-algo` names the hash of links, of hosted and dropped-in files; JSON has all; `off` leaves it out."""
    with serve(tmp_path, *OPEN, "--hash-algo", "sha512", place=place) as site:
        publish_wheel(site, "hosted")
        (site.root / wheel_name("dropped", "1.0")).write_bytes(DROPPED)
        for project in ("hosted", "dropped"):
            (file,) = site.listing(project)["files"]
            content = site.client.get(site.file_url(project, file["filename"])).content
            digest = hashlib.sha512(content).hexdigest()
            assert f"#sha512={digest}" in site.get(f"/simple/{project}/").text
            assert (file["hashes"]["sha512"], len(file["hashes"]["sha256"])) == (digest, 64)
    with serve(tmp_path, *OPEN, "--hash-algo", "off", place=place) as site:
        assert "#" not in site.get("/simple/hosted/").text


def test_without_drop_in_folders(tmp_path: Path) -> None:
    """`--no-drop-in` serves what was published, and nothing of what lies in the directory: not its name, nor its bytes.

    The same name may be published, and what proxies are told of published files is the same.
    """
    flags = ("--no-drop-in", "--trusted-proxies", "127.0.0.1", "--accel-redirect", "/_files/")
    with serve(tmp_path, *OPEN, *flags) as site:
        filename = wheel_name("dropped", "1.0")
        (site.root / filename).write_bytes(DROPPED)
        (site.root / wheel_name("hosted", "2.0")).write_bytes(make_wheel("hosted", "2.0"))
        published = publish_wheel(site, "hosted")
        assert site.projects() == ["hosted"]
        assert site.filenames("hosted") == [published]
        assert site.client.get("/simple/dropped/").status_code == 404
        assert site.client.get(f"/packages/{filename}").status_code == 404
        assert filename not in site.client.get("/packages/").text
        assert site.client.get(site.file_url("hosted", published)).headers["x-accel-redirect"].startswith("/_files/")
        publish_wheel(site, "dropped")
        assert site.projects() == ["dropped", "hosted"]
