"""Looking into the files of a release through a real server: trees, texts, hostile archives, rights, mirrors."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from tests.asking import OPEN, Site, basic, password_file, publish, publish_wheel, serve
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.serving import until
from tests.upstreams import serving_index

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SCRIPT = b"<script>alert(1)</script>\n\xe2\x80\xae reversed\n"
WHEEL = wheel_name("acme", "1.0")
SDIST = sdist_name("acme", "1.0")


def inside(filename: str, path: str = "", project: str = "acme", version: str = "1.0") -> str:
    return f"/project/{project}/{version}/files/{filename}/{path}"


def look(site: Site, address: str, status: int = 200) -> str:
    """The text of a page for people, which is no active content of an archive whatever is in that."""
    answer = site.get(address, accept=BROWSER)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in answer.text
    assert re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f]", answer.text) is None
    return answer.text


def links(site: Site, page: str, filename: str) -> list[str]:
    """The addresses on a page that lead into the file, from the root of the index."""
    root = httpx.URL(site.base).path.rstrip("/")
    found = [unescape(href).removeprefix(root) for href in re.findall(r'href="([^"]*)"', page)]
    return [href for href in found if f"/files/{filename}/" in href]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("inside"), *OPEN, place=place) as served:
        files = {"acme_data/page.html": SCRIPT, "acme_data/logo.png": b"\x89PNG\r\n\x1a\n\0", "acme_data/empty": b""}
        publish_wheel(served, "acme", files=files)
        sdist = make_sdist("acme", "1.0")
        assert publish(served, SDIST, sdist, name="acme", version="1.0").status_code == 200
        yield served


def test_every_member_of_a_wheel_is_reached(site: Site) -> None:
    """The tree leads to each of them, and each page to the text, or says why there is none."""
    page = look(site, inside(WHEEL))
    found = links(site, page, WHEEL)
    assert inside(WHEEL, "acme_data/page.html") in found
    assert len(found) == 7
    for address in found:
        look(site, address)
    assert "VERSION = &#39;1.0&#39;" in look(site, inside(WHEEL, "acme.py"))
    assert "no text in UTF-8" in look(site, inside(WHEEL, "acme_data/logo.png"))
    assert "is empty" in look(site, inside(WHEEL, "acme_data/empty"))
    text = look(site, inside(WHEEL, "acme_data/page.html"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "[U+202E] reversed" in text
    folder = look(site, inside(WHEEL, "acme_data/"))
    assert len([each for each in links(site, folder, WHEEL) if each.startswith(inside(WHEEL, "acme_data/"))]) == 3


def test_an_sdist_is_looked_into(site: Site) -> None:
    """As a wheel; its only folder is open."""
    page = look(site, inside(SDIST))
    assert inside(SDIST, "acme-1.0/PKG-INFO") in links(site, page, SDIST)
    assert "Name: acme" in look(site, inside(SDIST, "acme-1.0/PKG-INFO"))


def test_a_page_is_sent_once(site: Site) -> None:
    """A browser that has it gets a 304."""
    first = site.get(inside(WHEEL), accept=BROWSER)
    assert site.get(inside(WHEEL), accept=BROWSER, if_none_match=first.headers["etag"]).status_code == 304


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (inside(WHEEL, "nothing.py"), "has no file"),
        (inside(WHEEL, "acme_data"), "has no file"),
        (inside(WHEEL, "nothing/"), "has no folder"),
        (inside(WHEEL, "acme.py/"), "has no folder"),
        (inside(WHEEL, "..%2f..%2fx"), ""),
        (inside(WHEEL, "%00"), "has no file"),
        (inside(WHEEL, "%ff"), "has no file"),
        (inside(WHEEL, version="2.0"), "The release 2.0 of acme has no file"),
        (inside(WHEEL, version="%3Cscript%3E"), "has no file"),
        (inside("acme-2.0.tar.gz"), "has no file"),
        (inside(WHEEL, project="nothing"), "has no file"),
        (inside(WHEEL, "a/" * 300), "so long a path"),
        (inside(WHEEL, "a" * 5000), "so long a path"),
    ],
)
def test_other_addresses_are_not_there(site: Site, address: str, words: str) -> None:
    """With a sentence that says what is missing."""
    assert words in look(site, address, 404)


def test_other_spellings_lead_to_the_page(site: Site) -> None:
    """Of the name by a redirect; of the version as they are."""
    answer = site.get(inside(WHEEL, "acme.py", project="Acme"), accept=BROWSER)
    assert (answer.status_code, answer.headers["location"].endswith(inside(WHEEL, "acme.py"))) == (301, True)
    assert "acme.py" in look(site, inside(WHEEL, version="1.0.0"))


@pytest.mark.at_root("the right is given for the root")
def test_looking_needs_the_right_to_download(tmp_path: Path) -> None:
    """For the content of a file is what a download has."""
    password_file(tmp_path, ann="secret")
    with serve(tmp_path, "-a", "download,update", "-P", "users") as site:
        publish_wheel(site, "acme", authorization=basic("ann", "secret"))
        assert site.get("/simple/acme/").status_code == 200
        for path in ("", "acme.py", "nothing"):
            assert site.get(inside(WHEEL, path), accept=BROWSER).status_code == 303, "to the login"
        assert site.get(inside(WHEEL), accept=BROWSER, authorization=basic("ann", "secret")).status_code == 200


def test_files_that_are_not_offered_are_not_shown(tmp_path: Path) -> None:
    """Those of a quarantined project."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme")
        body = {"status": "quarantined"}
        answer = site.client.post("/-/api/v1/indexes/-/projects/acme/status", json=body)
        assert answer.status_code == 200, answer.text
        look(site, inside(WHEEL), 404)
        look(site, inside(WHEEL, "acme.py"), 404)


def hostile_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in (
            '"><script>alert(1)</script>.py',
            "\u202egpj.exe",
            "a\nb\x1b[31m",
            "%2e%2e%2fx",
            "?q=1#f",
            "a//./b",
        ):
            archive.writestr(name, SCRIPT)
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def hostile_tar(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", encoding="utf-8", errors="surrogateescape") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


def test_hostile_drop_ins_break_no_page(tmp_path: Path) -> None:
    """Names with markup, control and bidi characters, or in no encoding, are shown and lead to their member."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / WHEEL).write_bytes(hostile_zip())
    (folder / SDIST).write_bytes(hostile_tar("b\udc82", "x\u202e", "a/" * 150 + "b"))
    (folder / sdist_name("acme", "2.0")).write_bytes(hostile_tar("../../x"))
    with serve(tmp_path, *OPEN) as site:
        for filename, number in ((WHEEL, 6), (SDIST, 3)):
            found = links(site, look(site, inside(filename)), filename)
            members = [each for each in found if not each.endswith("/")]
            for address in members:
                look(site, address)
            while len(members) < number:  # deep folders have pages of their own
                (deeper,) = [each for each in found if each.endswith("/")][-1:]
                found = links(site, look(site, deeper), filename)
                members += [each for each in found if not each.endswith("/") and each not in members]
            assert len(members) == number
            assert "a link" in look(site, inside(filename))
            assert "it is a link" in look(site, inside(filename, "link"))
        page = look(site, inside(sdist_name("acme", "2.0"), version="2.0"))
        assert "cannot be looked into" in page
        assert "has &#39;..&#39; in its name" in page


def test_a_mirrored_file_is_not_fetched_for_a_look(tmp_path: Path) -> None:
    """The page says so; once a client has downloaded it, it is shown."""
    content = make_wheel("far", "1.0")
    name = wheel_name("far", "1.0")
    with serving_index() as upstream:
        upstream.has("far", {name: content})
        with serve(tmp_path, *OPEN, "--upstream", upstream.url, NO_PROXY="*") as site:
            address = inside(name, project="far")
            assert "is not here yet" in look(site, address)
            assert "is not here yet" in look(site, address + "far.py")
            assert f"/files/{name}" not in upstream.paths
            (file,) = site.listing("far")["files"]
            assert site.get(str(httpx.URL("/simple/far/").join(file["url"]))).content == content
            until(lambda: "far.py" in look(site, address))  # it is kept behind the answer
            assert "VERSION" in look(site, address + "far.py")
            assert upstream.paths.count(f"/files/{name}") == 1
