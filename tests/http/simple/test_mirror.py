"""A server with an upstream: pages and files of another index behind its own, and no local name asked there."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from quire.upstream.server import CONNECTIONS
from tests.asking import JSON_V1, OPEN, Site, publish_wheel, serve
from tests.distributions import make_wheel, sdist_name, wheel_name
from tests.serving import free_port, run_quire, until
from tests.upstreams import JSON, Answer, FakeIndex, page, serving_index

NAME = wheel_name("far", "1.0")
CONTENT = make_wheel("far", "1.0")
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PLACE = f"{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST[4:]}/{NAME}"
"""As PyPI has them."""
UNKNOWN_PROVENANCE = "/integrity/unknown/1.0/unknown-1.0.tar.gz/provenance"
METADATA = b"Metadata-Version: 2.1\nName: far\nVersion: 1.0\n"
ENTRY = {
    "filename": NAME,
    "url": f"../../packages/{PLACE}",
    "hashes": {"sha256": DIGEST},
    "size": len(CONTENT),
    "requires-python": ">=3.8",
    "upload-time": "2024-01-02T03:04:05.678901Z",
    "yanked": "broken",
    "core-metadata": {"sha256": hashlib.sha256(METADATA).hexdigest()},
}


@contextmanager
def mirror(folder: Path, upstream: FakeIndex, *flags: object, place: str = "") -> Iterator[Site]:
    folder.mkdir(exist_ok=True)
    with serve(folder, *OPEN, "--upstream", upstream.url, *flags, place=place, NO_PROXY="*") as site:
        yield site


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeIndex]:
    with serving_index() as index:
        index.at("/simple/far/", page([ENTRY]))
        index.at(f"/packages/{PLACE}", Answer(CONTENT))
        index.at(f"/packages/{PLACE}.metadata", Answer(METADATA))
        yield index


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, upstream: FakeIndex, place: str) -> Iterator[Site]:
    with mirror(tmp_path_factory.mktemp("mirror"), upstream, "--local", "acme-*", place=place) as served:
        yield served


def asked(upstream: FakeIndex, word: str) -> list[str]:
    """The requests that the upstream got for a name."""
    return [path for path in upstream.paths if word in path]


def test_a_page_says_what_the_upstream_says(site: Site) -> None:
    """All of it, at the path that the file has there; one request serves all that follow."""
    (file,) = site.listing("far")["files"]
    assert file["url"] == f"../../packages/{PLACE}"
    assert {name: file[name] for name in ENTRY if name != "url"} == {
        name: ENTRY[name] for name in ENTRY if name != "url"
    }
    page = site.get("/simple/far/")
    assert f'href="../../packages/{PLACE}#sha256={DIGEST}"' in page.text
    assert site.get("/simple/far/", if_none_match=page.headers["etag"]).status_code == 304


def test_a_file_comes_whole_in_parts_and_with_its_metadata(site: Site, upstream: FakeIndex) -> None:
    """It is fetched once; a request for its headers alone fetches nothing."""
    name, content, metadata = wheel_name("whole", "1.0"), make_wheel("whole", "1.0"), METADATA.replace(b"far", b"whole")
    digest = hashlib.sha256(content).hexdigest()
    path = f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{name}"
    entry = {"filename": name, "url": f"../..{path}", "hashes": {"sha256": digest}, "size": len(content)}
    entry["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()}
    upstream.at("/simple/whole/", page([entry]))
    upstream.at(path, Answer(content))
    upstream.at(f"{path}.metadata", Answer(metadata))
    before = asked(upstream, name)  # by the server on a store of another kind
    head = site.client.head(path)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))
    assert asked(upstream, name) == before
    for _ in range(2):
        answer = site.get(path)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["etag"] == f'"{digest}"'
    part = site.get(path, range="bytes=5-9")
    assert (part.status_code, part.content) == (206, content[5:10])
    assert site.get(f"{path}.metadata").content == metadata
    assert asked(upstream, name) == [*before, path, f"{path}.metadata"]


def test_no_cache_keeps_a_part_that_was_not_verified(site: Site, upstream: FakeIndex) -> None:
    """A part of a file that is not here has no digest of its own: wrong bytes would stand under that of the whole."""
    name, content = wheel_name("parts", "1.0"), b"0123456789"
    upstream.has("parts", {name: content})
    upstream.at(f"/files/{name}", Answer(content, takes_ranges=True))
    path = site.file_url("parts", name)
    part = site.client.get(path, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content, part.headers["cache-control"]) == (206, b"56789", "no-store")
    assert site.client.get(path).headers["cache-control"] == "no-cache"
    part = site.client.get(path, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.headers["cache-control"]) == (206, "no-cache")


def test_a_mirrored_file_is_no_drop_in(site: Site, tmp_path: Path) -> None:
    """The API and the commands tell files that were published here from those of the upstream."""
    publish_wheel(site, "near-kind", "1.0")
    assert site.get("/simple/far/").status_code == 200
    kinds = {}
    for project in ("far", "near-kind"):
        (file,) = site.get(f"/-/api/v1/indexes/-/projects/{project}").json()["files"]
        kinds[project] = file["drop_in"], file["mirrored"], file["place"]
    assert kinds == {"far": (False, True, None), "near-kind": (False, False, None)}
    for command in ("show", "ls"):
        told = run_quire(command, "far", "--url", site.base, cwd=tmp_path)
        assert told.returncode == 0, told.stderr
        assert "mirrored" in told.stdout
        assert "drop-in" not in told.stdout


def test_lines_of_the_log_name_the_project_of_a_mirrored_file(tmp_path: Path, upstream: FakeIndex) -> None:
    """Not the folder of the upstream: when it is fetched, in an answer of the fast path, and of its metadata; and so
    for a drop-in. The log tells the downloads of it by its digest."""
    folder = tmp_path / "packages"
    dropped = folder / "packages" / "sub" / wheel_name("near", "1.0")
    dropped.parent.mkdir(parents=True)
    dropped.write_bytes(make_wheel("near", "1.0"))
    lines = tmp_path / "requests.log"
    with mirror(folder, upstream, "-v", "--log-file", lines) as site:
        site.get("/simple/far/")
        for path in (PLACE, PLACE, PLACE, f"{PLACE}.metadata", f"sub/{dropped.name}"):
            assert site.get(f"/packages/{path}").status_code == 200
        until(lambda: lines.read_text().count("path=/packages/") >= 5)
    found = [line for line in lines.read_text().splitlines() if "path=/packages/" in line]
    assert [re.findall(r"project=(\S*)", line) for line in found] == [["far"]] * 4 + [["near"]]
    told = run_quire("log", "far", "--downloads", DIGEST, "--from", lines, "-d", site.root, cwd=tmp_path)
    assert told.stdout.count(NAME) == 3, told.stdout + told.stderr


def test_a_project_that_the_upstream_lacks_is_missing(site: Site, upstream: FakeIndex) -> None:
    """It is asked once in a while, however often clients ask."""
    before = len(asked(upstream, "/unknown/"))
    for _ in range(3):
        assert site.get("/simple/unknown/").status_code == 404
    assert len(asked(upstream, "/unknown/")) == before + 1


def test_the_list_of_projects_is_that_of_this_index(site: Site) -> None:
    """The names of the upstream are too many, and most of them are of no interest here."""
    publish_wheel(site, "near", "1.0")
    assert site.get("/simple/far/").status_code == 200
    assert "near" in site.projects()
    assert "far" not in site.projects()


def test_no_local_name_is_asked_upstream(site: Site, upstream: FakeIndex) -> None:
    """Reserved, hosted under any spelling, or deleted. The first upload of a name that is not reserved asks once."""
    publish_wheel(site, "Mine.Tool", "1.0")
    publish_wheel(site, "mine-gone", "1.0")
    before = len(upstream.paths)
    answer = site.client.post("/", data={":action": "remove_pkg", "name": "mine-gone", "version": "1.0"})
    assert answer.status_code == 200, answer.text
    for name in ("acme-private", "ACME.Private", "mine-tool", "Mine_Tool", "mine-gone"):
        site.client.get(f"/simple/{name}/", headers={"Accept": JSON_V1}, follow_redirects=True)
        site.get(f"/pypi/{name}/json")
        site.get(f"/packages/{name}/{'0' * 64}/{wheel_name('mine_tool', '9.0')}")
    assert site.filenames("mine-tool") == [wheel_name("Mine.Tool", "1.0")]
    assert upstream.paths[before:] == []
    assert asked(upstream, "acme") == []


def test_a_name_that_is_published_here_is_no_longer_the_upstreams(site: Site, upstream: FakeIndex) -> None:
    """At once, with none of its files; also when the upstream has such a project later, or was slow to say so."""
    content = make_wheel("taken", "9.0")
    name = wheel_name("taken", "9.0")
    entry = {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": hashlib.sha256(content).hexdigest()}}
    upstream.at("/simple/taken/", Answer(status=404))
    assert site.get("/simple/taken/").status_code == 404
    upstream.at("/simple/taken/", page([entry]))
    publish_wheel(site, "taken", "1.0")
    assert site.filenames("taken") == [wheel_name("taken", "1.0")]
    assert site.get(f"/packages/taken/{entry['hashes']['sha256']}/{name}").status_code == 404  # type: ignore[index]


def test_bytes_with_another_digest_never_arrive_whole(site: Site, upstream: FakeIndex) -> None:
    """The connection ends before the announced length, each time."""
    name, content = wheel_name("liar", "1.0"), make_wheel("liar", "1.0")
    entry = {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": "0" * 64}, "size": len(content)}
    upstream.at("/simple/liar/", page([entry]))
    upstream.at(f"/files/{name}", Answer(content))
    path = site.file_url("liar", name).removeprefix(str(site.client.base_url))
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match=f"received {len(content) - 1} bytes"):
            site.client.get(path)


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        (Answer(b"<h1>Log in</h1>", "text/html"), 502, "of a login"),
        (Answer(b"gone wild", JSON), 502, "no page of the Simple API"),
        (Answer(status=403), 502, "give a login"),
        (Answer(status=302, headers={"Location": "http://169.254.169.254/simple/x/"}), 502, "not public"),
        (Answer(status=302, headers={"Location": "http://10.0.0.1/x/"}), 502, "its name in the log, for --"),
    ],
)
def test_an_answer_that_is_no_page_is_an_error_with_a_sentence(
    site: Site, upstream: FakeIndex, answer: Answer, status: int, sentence: str
) -> None:
    """Not an empty project, which a resolver would believe."""
    name = f"odd-{abs(hash((answer.body, answer.status)))}"
    upstream.at(f"/simple/{name}/", answer)
    found = site.get(f"/simple/{name}/")
    assert (found.status_code, sentence in found.text) == (status, True), found.text


def test_odd_numbers_and_types_of_an_upstream(site: Site, upstream: FakeIndex) -> None:
    """All other files are listed, and every page is there."""
    large = {**ENTRY, "filename": "far_away-2.0.tar.gz", "url": "/files/far_away-2.0.tar.gz", "size": 10**400}
    small = {**ENTRY, "filename": "far_away-1.0.tar.gz", "url": "/files/far_away-1.0.tar.gz", "size": 7}
    answer = page([large, small])
    upstream.at("/simple/far-away/", Answer(answer.body, f"{JSON}; a*=x; a*0=y"))
    assert site.filenames("far-away") == ["far_away-1.0.tar.gz"]
    for path in ("/simple/far-away/", "/project/far-away/", "/pypi/far-away/json"):
        assert site.get(path).status_code == 200, path


@pytest.mark.on_disk("the files of a drop-in folder")
def test_a_drop_in_that_is_being_copied_keeps_its_name(site: Site, upstream: FakeIndex) -> None:
    """A half-copied file shows nothing, and its name is not asked upstream."""
    (site.root / f".{wheel_name('dropped', '1.0')}.Ab12Cd").write_bytes(b"half")
    assert site.filenames("dropped") == []
    assert asked(upstream, "dropped") == []


@pytest.mark.on_disk("two servers on one directory")
def test_workers_share_what_one_of_them_was_told(tmp_path: Path) -> None:
    """Pages and files outlive a restart, and an upstream that is away; a page that it changes is seen by all."""
    with serving_index() as upstream:
        upstream.has("far", {NAME: CONTENT})
        with mirror(tmp_path, upstream, "--upstream-max-age", 0) as one, mirror(tmp_path, upstream) as two:
            url = one.file_url("far", NAME)
            assert one.client.get(url).content == CONTENT
            until(lambda: any(NAME in path for path in one.blobs()))
            before = len(asked(upstream, "far"))
            assert two.filenames("far") == [NAME]
            assert two.client.get(two.file_url("far", NAME)).content == CONTENT
            assert len(asked(upstream, "far")) == before
            later = wheel_name("far", "2.0")
            upstream.has("far", {NAME: CONTENT, later: b"later"})
            until(lambda: later in one.filenames("far"))
            assert later in two.filenames("far")
            upstream.at("/simple/far/", Answer(status=503))
        with mirror(tmp_path, upstream, "--upstream-max-age", 0) as again:
            before = len(asked(upstream, "/files/"))
            assert again.filenames("far") == [NAME, later]
            assert again.client.get(again.file_url("far", NAME)).content == CONTENT
            assert len(asked(upstream, "/files/")) == before


@pytest.mark.on_disk("several servers on one directory")
def test_an_upstream_that_gives_no_page_is_a_warning(tmp_path: Path) -> None:
    """With its URL and the reason, at its first answer, once; none where a page is kept, nor after one."""
    with serving_index() as upstream:
        upstream.has("far", {NAME: CONTENT})
        upstream.at("/login/far/", Answer(b"<h1>Log in</h1>", "text/html"))
        for url, status, reason in (
            (f"{upstream.base}/", 404, "does not know this project"),
            (f"{upstream.base}/login/", 502, "of a login"),
            (f"http://127.0.0.1:{free_port()}/simple/", 503, "cannot be reached"),
        ):
            with serve(tmp_path, *OPEN, "--upstream", url, NO_PROXY="*") as wrong:
                assert {wrong.get(f"/simple/{name}/").status_code for name in ("far", "far", "other")} <= {status, 404}
                (line,) = (each for each in wrong.served.output().splitlines() if "gives no page yet" in each)
                assert all(each in line for each in (url, reason, "mostly ends in /simple/")), line
        for name in ("far", "unknown"):
            with mirror(tmp_path, upstream, "--upstream-max-age", 0) as right:
                right.get(f"/simple/{name}/")
                right.get("/simple/acme/")
                assert "gives no page yet" not in right.served.output()


@pytest.mark.on_disk("two servers on one directory")
def test_a_server_that_is_offline_serves_what_is_kept(tmp_path: Path) -> None:
    """However old it is; it asks for nothing, and says what is not here."""
    with serving_index() as upstream:
        later = wheel_name("far", "2.0")
        upstream.has("far", {NAME: CONTENT, later: b"later"})
        flags = ("--upstream-max-age", 0, "--upstream-max-stale", 0)
        with mirror(tmp_path, upstream, *flags) as one:
            assert one.client.get(one.file_url("far", NAME)).content == CONTENT
            until(lambda: any(NAME in path for path in one.blobs()))
        with mirror(tmp_path, upstream, *flags, "--upstream-offline") as alone:
            before = len(upstream.paths)
            assert alone.filenames("far") == [NAME, later]
            assert alone.client.get(alone.file_url("far", NAME)).content == CONTENT
            missing = alone.client.get(alone.file_url("far", later))
            assert missing.status_code == 404
            assert missing.text == (
                f"The file {later} is not here, and this server asks no other index (--upstream-offline).\n"
            )
            place = "/packages/unknown-1.0.tar.gz"
            for path in ("/simple/unknown/", "/pypi/unknown/json", place, f"{place}.metadata", UNKNOWN_PROVENANCE):
                unknown = alone.get(path)
                assert unknown.status_code == 404
                assert "is not here, and this server asks no other index (--upstream-offline)." in unknown.text, path
            assert "which no setting names" not in alone.served.output()
            publish_wheel(alone, "own", "1.0")
            assert alone.get("/packages/own-2.0.tar.gz").text == "The file own-2.0.tar.gz does not exist.\n"
            assert len(upstream.paths) == before
        flags_of = {
            "WARNING": (("--upstream", upstream.base, "--upstream-offline"), ("--upstream", upstream.base)),
            "INFO": ((),),
        }
        for level, every in flags_of.items():
            for each in every:
                with serve(tmp_path, *OPEN, "-v", *each, NO_PROXY="*") as wrong:
                    (line,) = (line for line in wrong.served.output().splitlines() if "keeps pages of" in line)
                    assert re.search(r"keeps pages of 127-0-0-1-[0-9a-f-]+, which no setting names", line)
                    assert level in line


@pytest.mark.on_disk("commands on the store")
def test_check_and_gc_leave_the_mirror_alone(site: Site, upstream: FakeIndex) -> None:
    """Its pages and files belong to the store, although no project lists them."""
    assert site.client.get(site.file_url("far", NAME)).content == CONTENT
    until(lambda: any(NAME in path for path in site.blobs()))
    before = len(asked(upstream, "far"))
    done = run_quire("check", "-d", site.root, cwd=site.root)
    assert "mirror" not in done.stdout, done.stdout
    gone = run_quire("gc", "--older-than", "0s", "--offline", "--json", "-d", site.root, cwd=site.root)
    assert gone.returncode == 0, gone.stderr
    assert site.client.get(site.file_url("far", NAME)).content == CONTENT
    assert len(asked(upstream, "far")) == before


def test_slow_downloads_keep_no_page_waiting(tmp_path: Path, upstream: FakeIndex) -> None:
    """Nor the metadata of a file: pages, documents and files have connections of their own."""
    held = threading.Event()
    slow = {sdist_name("slow", f"1.{each}"): b"x" * 1000 + bytes([each]) for each in range(CONNECTIONS)}
    upstream.has("slow", slow)
    for name, data in slow.items():
        upstream.at(f"/files/{name}", Answer(data, held=held))
    with mirror(tmp_path, upstream) as site, ExitStack() as streams:
        try:
            for name in slow:
                streams.enter_context(site.client.stream("GET", site.file_url("slow", name)))
            begun = time.monotonic()
            assert site.listing("far")["files"]
            metadata = site.get(f"{site.file_url('far', NAME)}.metadata")
            assert (metadata.status_code, metadata.content) == (200, METADATA)
            assert time.monotonic() - begun < 20
        finally:
            held.set()
