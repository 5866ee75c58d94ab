"""Publishing over HTTP: the forms of twine and uv, what is refused and with which words, and that nothing remains."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from quire.domain.project import Status
from tests.asking import (
    JSON_V1,
    OPEN,
    TWINE,
    Part,
    Site,
    content_type,
    multipart,
    nothing_changes,
    post,
    publish,
    publish_wheel,
    serve,
    twine_form,
)
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name

LIMIT = 2_000_000
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FILENAME, CONTENT = wheel_name("sample", "1.0"), make_wheel("sample", "1.0")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    """An index that takes files up to LIMIT bytes and has one project, `there`."""
    with serve(tmp_path_factory.mktemp("uploads"), *OPEN, "--max-upload-size", LIMIT, place=place) as site:
        publish_wheel(site, "there")
        yield site


def _form(**replaced: str | None) -> list[Part]:
    """twine's form for the sample wheel; `action` stands for `:action`."""
    fields = {":action" if name == "action" else name: value for name, value in replaced.items()}
    return twine_form(FILENAME, CONTENT, name="sample", version="1.0", replaced=fields)


# -- what is taken ----------------------------------------------------------------------------------------------------


ADDRESSES = [
    "/",
    *(f"/{word}{slash}" for word in ("legacy", "simple", "upload", "packages", "pypi") for slash in ("", "/")),
]


@pytest.mark.at_root("below the name of an index there are fewer addresses")
@pytest.mark.parametrize("path", ADDRESSES)
def test_takes_twines_form(site: Site, path: str) -> None:
    """At every address that people give as the repository's, and everything is recorded."""
    name = f"twine-{path.count(chr(47))}{path.strip(chr(47)) or 0}"
    filename, content = wheel_name(name, "1.0"), make_wheel(name, "1.0")
    answer = post(
        site, twine_form(filename, content, name=name, version="1.0"), path, **{"user-agent": TWINE["User-Agent"]}
    )
    assert (answer.status_code, answer.text) == (200, f"{filename} was published.\n")
    (file,) = site.listing(name)["files"]
    assert file["hashes"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert (file["size"], file["requires-python"], file["yanked"]) == (len(content), ">=3.8", False)
    assert site.client.get(site.file_url(name, filename)).content == content
    assert site.place or site.staged() == []


@pytest.mark.parametrize("path", ["/upload/x", "/nowhere/at/all", "/simple/there/", "/health"])
def test_another_address(site: Site, path: str) -> None:
    """Refused with the right one, and nothing is kept. The beginning of a path may be meant as the name of an index."""
    with nothing_changes(site):
        answer = post(site, _form(), path)
    is_missing = path in {"/upload/x", "/nowhere/at/all"} or (site.name != "main" and path == "/health")
    assert answer.status_code == (404 if is_missing else 405)
    if site.name != "main":
        assert answer.text.endswith(f", or to {site.base} if {site.name} is an index.\n")
    elif path == "/nowhere/at/all":
        assert answer.text.endswith(f"; publish to {site.base}, or to {site.base}nowhere/ if nowhere is an index.\n")
    else:
        assert answer.text.endswith(f"; publish to {site.base}.\n")


@pytest.mark.at_root("it is where links without the name of an index lead")
@pytest.mark.parametrize("link", ["/there", "/there/1.0/", "/there/1.0", "/project/There/", "/project/there/1.0/"])
@pytest.mark.parametrize("address", ["/", "/legacy/", "/upload/", "/simple/"])
def test_the_links_that_publishing_tools_print(site: Site, address: str, link: str) -> None:
    """Below the address that a person published to, with a doubled slash or one: all lead to the project."""
    for joined in {f"{address.rstrip('/')}{link}", f"{address}{link}"}:
        if link.startswith("/project") and address != "/":
            continue  # always at the top
        url = httpx.URL(site.base).copy_with(raw_path=joined.encode())
        page = f"/project/there/{'1.0/' if '1.0' in link else ''}"
        for accept, path in (("*/*", page if link.startswith("/project") else "/simple/there/"), (BROWSER, page)):
            answer = site.client.get(url, headers={"accept": accept}, follow_redirects=True)
            is_page = address == "/simple/" and link == "/there"  # an address of the simple API itself
            assert (answer.status_code, answer.url.path) == (200, "/simple/there/" if is_page else path), joined


def test_takes_uvs_form(site: Site) -> None:
    """uv sends the file first, a blake2 digest, no md5, and asks for problem details."""
    filename, content = sdist_name("from-uv", "1.0"), make_sdist("from-uv", "1.0")
    parts = twine_form(filename, content, name="from-uv", version="1.0", replaced={"md5_digest": None})
    answer = post(site, [parts[-1], *parts[:-1]], "/legacy/", accept="application/problem+json", user_agent="uv/0.9.7")
    assert answer.status_code == 200
    assert site.filenames("from-uv") == [filename]


def test_takes_a_form_with_no_more_than_the_file(site: Site) -> None:
    """The form of scripts with curl: the action and the file."""
    filename, content = wheel_name("curl", "1.0"), make_wheel("curl", "1.0")
    assert post(site, [(":action", "file_upload"), ("content", filename, content)]).status_code == 200
    assert site.filenames("curl") == [filename]


def test_the_same_again_changes_nothing(site: Site) -> None:
    """200, and the page is byte for byte the same, its upload time included."""
    filename = publish_wheel(site, "again")
    with nothing_changes(site):
        before = site.get("/simple/again/", accept=JSON_V1)
        answer = publish(site, filename, make_wheel("again", "1.0"), name="again", version="1.0")
        assert answer.status_code == 200
        assert answer.text == f"{filename} was already published with the same content; nothing changed.\n"
        assert site.get("/simple/again/", accept=JSON_V1).headers["etag"] == before.headers["etag"]


def test_takes_the_digest_that_distutils_calls_blake2_256(site: Site) -> None:
    """`setup.py upload` of Python 3.9 to 3.11 announces BLAKE2b of 512 bits under this name: compared as what it is."""
    filename, content = wheel_name("distutils", "1.0"), make_wheel("distutils", "1.0")
    right = hashlib.blake2b(content).hexdigest()
    for wrong in (right[::-1], right[:64], "0" * 64, right + "00"):
        form = twine_form(filename, content, name="distutils", version="1.0", replaced={"blake2_256_digest": wrong})
        with nothing_changes(site):
            answer = post(site, form)
            assert (answer.status_code, "digest of" in answer.text) == (400, True)
    for given in (right, right.upper()):
        form = twine_form(filename, content, name="distutils", version="1.0", replaced={"blake2_256_digest": given})
        assert post(site, form).status_code == 200


@pytest.mark.on_disk("a file is removed from the store's folder")
def test_uploading_a_lost_file_again_restores_it(site: Site) -> None:
    """Its bytes vanished from the disk: listed, and 404. The same upload again, and it can be had."""
    filename = publish_wheel(site, "lost")
    (stored,) = (site.root / "quire" / "blobs" / "lost").rglob(filename)
    stored.unlink()
    assert site.client.get(site.file_url("lost", filename)).status_code == 404
    content = make_wheel("lost", "1.0")
    answer = publish(site, filename, content, name="lost", version="1.0")
    assert (answer.status_code, answer.text) == (
        200,
        f"{filename} was damaged in the store; its content is restored.\n",
    )
    assert site.client.get(site.file_url("lost", filename)).content == content


@pytest.mark.parametrize(("agent", "status"), [(TWINE["User-Agent"], 400), ("uv/0.9.7", 409), ("curl/8", 409)])
def test_other_content_already_exists(site: Site, agent: str, status: int) -> None:
    """The words that twine's --skip-existing looks for, with the status it needs; 409 for all other clients."""
    with nothing_changes(site):
        other = make_wheel("there", "1.0", files={"more": b"other"})
        answer = publish(site, wheel_name("there", "1.0"), other, name="there", version="1.0", user_agent=agent)
        assert answer.status_code == status
        assert "already exists" in answer.text
        assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize("agent", [TWINE["User-Agent"], "uv/0.9.7", "curl/8"])
def test_a_removed_file_never_comes_back_with_other_content(site: Site, agent: str) -> None:
    """`remove_pkg`, then other content: refused for all clients, and not as a file that is there, which clients may
    skip; the same content is welcome."""
    name = f"removed-{agent[:2]}"
    filename = publish_wheel(site, name)
    assert post(site, [(":action", "remove_pkg"), ("name", name), ("version", "1.0")]).status_code == 200
    with nothing_changes(site):
        other = make_wheel(name, "1.0", files={"more": b"other"})
        answer = publish(site, filename, other, name=name, version="1.0", user_agent=agent)
        assert answer.status_code == 400
        assert f"The filename {filename} has been used before" in answer.text
        assert "already exist" not in answer.text
        assert len(answer.text.splitlines()) == 1
    assert publish_wheel(site, name) == filename
    assert site.filenames(name) == [filename]


@pytest.mark.at_root("the flag is for the index at the root; others have it in their definition")
def test_overwrite(tmp_path: Path, place: str) -> None:
    """With -o other content takes the name."""
    with serve(tmp_path, *OPEN, "-o", place=place) as site:
        filename = publish_wheel(site, "one")
        content = make_wheel("one", "1.0", files={"more": b"other"})
        assert publish(site, filename, content, name="one", version="1.0").status_code == 200
        (file,) = site.listing("one")["files"]
        assert file["hashes"]["sha256"] == hashlib.sha256(content).hexdigest()
        assert post(site, [(":action", "remove_pkg"), ("name", "one"), ("version", "1.0")]).status_code == 200
        assert publish_wheel(site, "one") == filename


@pytest.mark.at_root("drop-ins are of the index at the root")
def test_a_dropped_file_is_not_overwritten(site: Site) -> None:
    """A file of that name that lies in the directory is there already, and stays as it is."""
    content = make_wheel("dropped", "1.0")
    path = site.root / wheel_name("dropped", "1.0")
    path.write_bytes(content)
    with nothing_changes(site):
        other = make_wheel("dropped", "1.0", files={"more": b"other"})
        answer = publish(site, path.name, other, name="dropped", version="1.0")
        assert (answer.status_code, "already exists" in answer.text) == (409, True)
    assert path.read_bytes() == content


def test_an_unknown_metadata_version_is_accepted(site: Site) -> None:
    """A later minor version of the core metadata, with unknown fields."""
    metadata = metadata_text("future", "1.0", metadata_version="2.97", extra="Unheard-Of: yes\n")
    content = make_wheel("future", "1.0", metadata=metadata)
    assert publish(site, wheel_name("future", "1.0"), content, name="future", version="1.0").status_code == 200
    answer = site.client.get(f"{site.file_url('future', wheel_name('future', '1.0'))}.metadata")
    assert answer.text == metadata


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.on_disk("another process changes the store")
@pytest.mark.parametrize("status", [Status.ARCHIVED, Status.QUARANTINED])
def test_a_closed_project_takes_no_uploads(site: Site, status: Status) -> None:
    """PEP 792: 403 and why."""
    name = f"closed-{status}"
    publish_wheel(site, name)
    site.index().set_status(name, status, "no longer ours")
    with nothing_changes(site):
        answer = publish(site, wheel_name(name, "2.0"), make_wheel(name, "2.0"), name=name, version="2.0")
        assert (answer.status_code, str(status) in answer.text) == (403, True)


@pytest.mark.parametrize("field", ["sha256_digest", "blake2_256_digest", "md5_digest"])
@pytest.mark.parametrize("digest", ["0" * 64, "not hex", "ä"])
def test_a_wrong_digest(site: Site, field: str, digest: str) -> None:
    """Each of the three digests is checked; a right one in capitals is right."""
    with nothing_changes(site):
        answer = post(site, _form(**{field: digest}))
        assert answer.status_code == 400
        assert "digest of sample-1.0-py3-none-any.whl is" in answer.text
        assert len(answer.text.splitlines()) == 1


def test_digests_are_compared_in_any_case(site: Site) -> None:
    """Hex in capitals is the same digest."""
    content = make_wheel("capital", "1.0")
    digests = {"sha256_digest": hashlib.sha256(content).hexdigest().upper()}
    parts = twine_form(wheel_name("capital", "1.0"), content, name="capital", version="1.0", replaced=digests)
    assert post(site, parts).status_code == 200


WITHOUT_FILE: list[Part] = [(":action", "file_upload"), ("name", "sample")]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (_form(action=None), "The form field ':action' is missing"),
        (_form(action="mirror"), "The ':action' 'mirror' is not supported"),
        (_form(protocol_version="2"), "The upload protocol version '2' is not known"),
        (WITHOUT_FILE, "The form has no file"),
        ([*WITHOUT_FILE, ("content", "text instead of a file")], "must be a file with a filename"),
        ([], "The form field ':action' is missing"),
        ([*_form(), ("name", "other")], "The form field name was sent twice."),
        ([*_form(), (":action", "remove_pkg")], "The form field :action was sent twice."),
        ([*_form(), ("content", FILENAME, CONTENT)], "more than one file named 'content'"),
        (_form(name="other"), "says that it is the project other"),
        (_form(version="2.0"), "says that it is version 2.0"),
        (_form(name="-"), "not a valid"),
    ],
)
def test_a_form_that_is_wrong(site: Site, parts: list[Part], sentence: str) -> None:
    """Missing, doubled and contradicting fields: 400 and one sentence that says which."""
    with nothing_changes(site):
        answer = post(site, parts)
        assert answer.status_code == 400, answer.text
        assert sentence in answer.text
        assert len(answer.text.splitlines()) == 1


def test_errors_as_problem_details(site: Site) -> None:
    """RFC 9457 for clients that accept it; never for others."""
    answer = post(site, _form(sha256_digest="0" * 64), accept="application/json;q=0.9, application/problem+json")
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (document["status"], document["title"]) == (400, "Bad Request")
    assert document["detail"].startswith("The sha256 digest of sample-1.0")
    assert post(site, _form(sha256_digest="0" * 64)).headers["content-type"].startswith("text/plain")


def test_too_large_by_content_length(site: Site) -> None:
    """413 before the body is sent, from the announcement alone."""
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type()}\r\nContent-Length: 99000000000\r\n\r\n"
    with nothing_changes(site):
        answer = site.raw(head.encode())
        assert answer.status == 413
        assert answer.body.decode().startswith(f"The file is larger than this index takes ({LIMIT:,} bytes)")


@pytest.mark.parametrize("chunked", [True, False])
def test_too_large_on_its_way(site: Site, chunked: bool) -> None:
    """A client that sends all of it before it looks still gets to read the sentence, not a broken connection."""
    body = multipart(twine_form(FILENAME, b"x" * (20 * LIMIT), name="sample", version="1.0"))
    pieces = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    with nothing_changes(site):
        connection = http.client.HTTPConnection("127.0.0.1", site.served.port, timeout=30)
        headers = {"Content-Type": content_type()} | ({} if chunked else {"Content-Length": str(len(body))})
        connection.request("POST", "/", pieces, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        assert answer.status == 413
        assert b"is larger than this index takes" in answer.read()
        connection.close()


def test_the_limit_itself_is_taken(tmp_path: Path, place: str) -> None:
    """A file of exactly the limit is published, one byte less of a limit refuses it."""
    content = make_wheel("exact", "1.0", files={"data": bytes(range(256)) * 40})
    for spare, status in ((0, 200), (-1, 413)):
        folder = tmp_path / f"limit{spare}"
        folder.mkdir()
        with serve(folder, *OPEN, "--max-upload-size", len(content) + spare, place=place) as site:
            answer = publish(site, wheel_name("exact", "1.0"), content, name="exact", version="1.0")
            assert answer.status_code == status


def test_read_only(tmp_path: Path) -> None:
    """403 and where to go; what is there is served."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "there")
    with serve(tmp_path, *OPEN, "--read-only") as site:
        for parts in (_form(), [(":action", "remove_pkg"), ("name", "there"), ("version", "1.0")]):
            answer = post(site, parts)
            assert answer.status_code == 403
            assert answer.text == "This index is served read-only; publish to the server that takes uploads.\n"
        assert site.filenames("there") == [wheel_name("there", "1.0")]
