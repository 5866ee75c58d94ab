"""Drop-in files that change under a running server, in every way in which people and programs change them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.asking import OPEN, Site, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, run_quire

TURNS = 150


def content(number: int, name: str = "alpha") -> bytes:
    """A wheel with a content of its own; all have one length up to number 999."""
    return make_wheel(
        name, "1.0", metadata=f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nKeywords: {number:03}\n"
    )


@contextmanager
def asking(site: Site, *questions: Callable[[httpx.Client], str]) -> Iterator[Counter[str]]:
    """Ask these questions all the time, each with a connection of its own; what was wrong with the answers."""
    wrong: Counter[str] = Counter()
    is_over, have_begun = threading.Event(), threading.Barrier(len(questions) + 1)

    def ask(question: Callable[[httpx.Client], str]) -> None:
        with httpx.Client(base_url=site.client.base_url, timeout=DEADLINE) as client:
            found = question(client)
            have_begun.wait()
            while not is_over.is_set():
                found = question(client)
                if found:
                    wrong[found] += 1

    threads = [threading.Thread(target=ask, args=(question,)) for question in questions]
    for thread in threads:
        thread.start()
    try:
        have_begun.wait()
        yield wrong
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def of_file(path: str) -> Callable[[httpx.Client], str]:
    """Whether a file is there, and is what its ETag says."""

    def ask(client: httpx.Client) -> str:
        answer = client.get(path)
        digest = f'"{hashlib.sha256(answer.content).hexdigest()}"'
        if answer.status_code != 200 or answer.headers["etag"] != digest:
            return f"{answer.status_code} for {path}, ETag {answer.headers.get('etag')} of {digest}"
        return ""

    return ask


def of_page(project: str, filename: str) -> Callable[[httpx.Client], str]:
    """Whether a page lists a file, and its link leads to one."""

    def ask(client: httpx.Client) -> str:
        page = client.get(f"/simple/{project}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
        files = {file["filename"]: file["url"] for file in page.json()["files"]}
        if filename not in files:
            return f"{page.status_code}, and {filename} is not on the page"
        answer = client.get(str(page.url.join(files[filename])))
        return "" if answer.status_code == 200 else f"{answer.status_code} for what the page links"

    return ask


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serve(tmp_path, *OPEN) as site:
        yield site


def test_a_file_that_is_replaced_is_never_missing(site: Site) -> None:
    """A rename over it: neither its page nor the file nor its metadata is ever without it, and a body fits its ETag."""
    name = wheel_name("alpha", "1.0")
    (site.root / name).write_bytes(content(0))
    path = f"/packages/{name}"
    with asking(site, of_file(path), of_page("alpha", name), of_file(f"{path}.metadata")) as wrong:
        for turn in range(1, TURNS):
            (site.root / ".new").write_bytes(content(turn))
            (site.root / ".new").rename(site.root / name)
            (listed,) = site.listing("alpha")["files"]
            assert listed["hashes"]["sha256"] == hashlib.sha256(content(turn)).hexdigest()
    assert wrong == {}


def test_equal_size_and_mtime(site: Site) -> None:
    """`cp -p` over a file and `rm; cp -p`: page, ETag and body follow the bytes, in the very next answer."""
    path = site.root / wheel_name("alpha", "1.0")
    etags = set()
    for turn in range(20):
        if turn % 2:
            path.unlink()
        path.write_bytes(content(turn))
        os.utime(path, (1_700_000_000, 1_700_000_000))
        digest = hashlib.sha256(content(turn)).hexdigest()
        (listed,) = site.listing("alpha")["files"]
        assert listed["hashes"]["sha256"] == digest
        answer = site.get(f"/packages/{path.name}")
        assert (answer.content, answer.headers["etag"]) == (content(turn), f'"{digest}"')
        etags.add(site.get("/simple/alpha/").headers["etag"])
    assert len(etags) == 20


def test_a_signature_that_is_replaced(site: Site) -> None:
    """Its ETag is that of its own bytes: a client that has the old one gets the new one."""
    path = site.root / wheel_name("alpha", "1.0")
    path.write_bytes(content(0))
    signature = path.with_name(f"{path.name}.asc")
    signature.write_text("old")
    old = site.get(f"/packages/{signature.name}")
    assert (old.status_code, old.text) == (200, "old")
    signature.write_text("new")
    new = site.get(f"/packages/{signature.name}", if_none_match=old.headers["etag"])
    assert (new.status_code, new.text) == (200, "new")


@pytest.mark.parametrize("flags", [(), ("--link",)], ids=["copied", "linked"])
def test_files_that_are_moved_into_the_store_are_never_missing(site: Site, tmp_path: Path, flags: tuple[str]) -> None:
    """`quire import --move` under a running server: the old addresses and the listed ones work at every instant."""
    names = [f"alpha{number}" for number in range(60)]
    for name in names:
        (site.root / "sub").mkdir(exist_ok=True)
        (site.root / "sub" / wheel_name(name, "1.0")).write_bytes(content(0, name))

    def of_all(of_one: Callable[[str], Callable[[httpx.Client], str]]) -> Callable[[httpx.Client], str]:
        return lambda client: next(filter(None, (of_one(name)(client) for name in names)), "")

    files = of_all(lambda name: of_file(f"/packages/sub/{wheel_name(name, '1.0')}"))
    pages = of_all(lambda name: of_page(name, wheel_name(name, "1.0")))
    with asking(site, files, files, files, pages) as wrong:
        done = run_quire("import", "--move", *flags, site.root, "--into", site.root, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert wrong == {}
    assert list((site.root / "sub").iterdir()) == []
