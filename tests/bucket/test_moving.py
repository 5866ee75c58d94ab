"""docs/how-to/move-to-a-bucket.md, followed with real servers while a client reads: to a bucket, and back."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests import operating
from tests.asking import OPEN, Site, publish, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name
from tests.documents import DOCS, block
from tests.serving import DEADLINE, run_quire

pytestmark = pytest.mark.bucket

PAGE: Final = DOCS / "how-to" / "move-to-a-bucket.md"
ACCEPT: Final = {"Accept": "application/vnd.pypi.simple.v1+json"}


@dataclass
class Client:
    """Reads one project again and again, from the server that the load balancer leads to."""

    site: Site
    seen: list[frozenset[str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def switch(self, site: Site) -> None:
        """Lead all requests from now on to another server. None is under way at the old one when this returns."""
        with self.lock:
            self.site = site

    def read(self) -> frozenset[str]:
        """The versions that are listed now, whichever server answers."""
        address = self.site.client.base_url.join("/simple/acme-tools/")
        answer = httpx.get(address, headers=ACCEPT, timeout=DEADLINE, trust_env=False)
        assert answer.status_code == 200, answer.text
        return frozenset(answer.json()["versions"])

    def run(self) -> None:
        try:
            while not self.over.is_set():
                with self.lock:
                    self.seen.append(self.read())
        except Exception as error:  # noqa: BLE001 - the test shows it
            self.errors.append(repr(error))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Reads in a thread of its own. At the end no read has failed, and none had less than one before it."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join(DEADLINE)
        assert self.errors == []
        for before, after in zip(self.seen, self.seen[1:], strict=False):
            assert before <= after


def follow(mark: str, volume: Path, url: str, code: int = 0) -> str:
    """Run the commands of a block of the page on this volume and bucket; what they print."""
    text = block(PAGE, "sh", mark).replace("/data/packages", str(volume)).replace("s3://acme-packages/python", url)
    said = ""
    for line in text.splitlines():
        command, _, file = line.partition(" > ")
        _, *arguments = shlex.split(command)
        done = run_quire(*arguments, cwd=volume.parent)
        assert done.returncode == code, done.stdout + done.stderr
        if file:
            (volume.parent / file).write_text(done.stdout)
        said += done.stdout + done.stderr
    return said


def refused(site: Site, version: str) -> bool:
    wheel = make_wheel("acme-tools", version)
    answer = publish(site, wheel_name("acme-tools", version), wheel, name="acme-tools", version=version)
    return answer.status_code == 403


def test_a_volume_moves_to_a_bucket_and_back(tmp_path: Path, url: str) -> None:
    """Files published before the first copy and between the copies are in the bucket, with a yank and a claim; no read
    fails and none goes back; uploads are refused in between and taken after each switch; all files come back."""
    volume = tmp_path / "packages"
    for name in ("bucket", "bucket-again"):
        (tmp_path / name).mkdir()
    assert "--read-only" in shlex.split(block(PAGE, "sh", "read-only"))
    with ExitStack() as ends:
        stack = ExitStack()
        first = stack.enter_context(serve(tmp_path, *OPEN))
        publish_wheel(first, "acme-tools", "1.0")
        publish_wheel(first, "acme-tools", "1.1")
        assert (
            run_quire("yank", "-d", str(volume), "acme-tools", "1.0", "--reason", "broken", cwd=tmp_path).returncode
            == 0
        )
        assert run_quire("claim", "-d", str(volume), "acme-*", cwd=tmp_path).returncode == 0
        client = Client(first)
        with client.reading():
            assert "the definition of the index main" in follow("there", volume, url, 1)
            follow("definitions", volume, url)
            publish_wheel(first, "acme-tools", "1.2")
            publish_wheel(first, "acme-late", "1.0")

            silent = ends.enter_context(serve(tmp_path, *OPEN, "--read-only"))
            client.switch(silent)
            stack.close()  # the last writing server has ended
            assert refused(silent, "1.3")
            follow("there", volume, url)
            assert client.read() == {"1.0", "1.1", "1.2"}

            stack = ExitStack()
            moved = stack.enter_context(serve(tmp_path / "bucket", *OPEN, place=url))
            client.switch(moved)
            assert client.read() == {"1.0", "1.1", "1.2"}
            publish_wheel(moved, "acme-tools", "1.3")
            assert client.read() == {"1.0", "1.1", "1.2", "1.3"}
            assert moved.get("/simple/acme-late/").status_code == 200
            assert run_quire("claim", "-d", url, cwd=tmp_path).stdout == "acme-*\n"
            page = moved.get("/simple/acme-tools/").text
            assert page.count('data-yanked="broken"') == 1
            href = next(link for link in re.findall(r'href="([^"]+)"', page) if wheel_name("acme-tools", "1.2") in link)
            address = moved.client.base_url.join("/simple/acme-tools/").join(href.partition("#")[0])
            assert moved.client.get(address).content == make_wheel("acme-tools", "1.2")

            kept = ends.enter_context(serve(tmp_path / "bucket-again", *OPEN, "--read-only", place=url))
            client.switch(kept)
            stack.close()
            assert refused(kept, "1.4")
            follow("back", volume, url)
            returned = ends.enter_context(serve(tmp_path, *OPEN))
            client.switch(returned)
            assert client.read() == {"1.0", "1.1", "1.2", "1.3"}
            publish_wheel(returned, "acme-tools", "1.4")
            assert client.read() == {"1.0", "1.1", "1.2", "1.3", "1.4"}
    assert client.seen


def test_a_copy_of_a_bucket_is_a_backup(tmp_path: Path, url: str) -> None:
    """The commands of docs/operations.md, while a server goes on: what is restored into another prefix has all files
    from before, and its check is clean; so has what is restored into a directory."""
    with serve(tmp_path, *OPEN, place=url) as site:
        publish_wheel(site, "acme-tools", "1.0")
        publish_wheel(site, "acme-late", "1.0")
        text = operating.blocks()["bucket-backup"]
        places = {"s3://acme-packages/python": url, "s3://acme-packages/again": f"{url}-again"}
        places["s3://acme-backup/python"] = f"{url}-backups"
        for place, ours in places.items():
            text = text.replace(place, ours)
        (tmp_path / "restored").mkdir()
        text += f"quire restore {url}-backups -d restored\nquire check -d restored\nquire check -d {url}-again\n"
        for line in text.splitlines():
            done = run_quire(*shlex.split(line)[1:], cwd=tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
        refused = run_quire("ls", "-d", f"{url}-backups", cwd=tmp_path)
        assert "has backups, and is no index" in refused.stderr
    for place in (f"{url}-again", "restored"):
        listed = run_quire("ls", "-d", place, cwd=tmp_path)
        assert {line.split()[0] for line in listed.stdout.splitlines()} == {"acme-tools", "acme-late"}
