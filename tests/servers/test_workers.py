"""Many workers over one directory: what one acknowledged, all of them serve in their very next answer."""

from __future__ import annotations

import http.client
import os
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.asking import JSON_V1, OPEN, TWINE, content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, Served, free_port, quire_command, running, until

GUNICORN_AS_DEPLOYED = """
preload_app = True
worker_class = "gevent"
workers = 1
"""


@dataclass
class Cluster:
    """Two servers with four workers each, over one directory."""

    root: Path
    servers: tuple[Served, Served]

    def publish(self, name: str, version: str, *, variant: str = "", port: int | None = None) -> int:
        """Upload a wheel to one of the servers; the status."""
        content = make_wheel(name, version, files={"variant.txt": variant.encode()})
        body = multipart(twine_form(wheel_name(name, version), content, name=name, version=version))
        return self.ask("POST", "/", body=body, headers={"Content-Type": content_type(), **TWINE}, port=port)[0]

    def listed(self, project: str) -> list[tuple[int, set[str]]]:
        """(status, the page's JSON text as a set of quoted words) from 24 fresh connections, both servers in turn."""
        answers = []
        for number in range(24):
            status, text = self.ask(
                "GET", f"/simple/{project}/", headers={"Accept": JSON_V1}, port=self.servers[number % 2].port
            )
            answers.append((status, set(text.split('"'))))
        return answers

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        port: int | None = None,
    ) -> tuple[int, str]:
        """One request on a connection of its own. A worker that dies under it is no answer, so a read is repeated."""
        port = port or random.choice(self.servers).port
        for attempt in range(5):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            try:
                connection.request(method, path, body, headers or {})
                response = connection.getresponse()
                return response.status, response.read().decode()
            except (OSError, http.client.HTTPException):
                if attempt == 4:
                    raise
            finally:
                connection.close()
        raise AssertionError("not reached")


def workers_of(server: Served) -> list[int]:
    """The pids of the processes below the main process, resource trackers left out."""
    found = []
    for pid in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split():
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"resource_tracker" not in command:
            found.append(int(pid))
    return found


@contextmanager
def cluster(tmp_path: Path, first: Sequence[str], second: Sequence[str]) -> Iterator[Cluster]:
    root = tmp_path / "packages"
    root.mkdir()
    ports = free_port(), free_port()
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    (folders[1] / "gunicorn.conf.py").write_text(GUNICORN_AS_DEPLOYED)
    with (
        running(_command(ports[0], first, root), ports[0], cwd=folders[0]) as one,
        running(_command(ports[1], second, root), ports[1], cwd=folders[1]) as two,
    ):
        until(lambda: len(workers_of(one)) >= 4)
        until(lambda: len(workers_of(two)) >= 4)
        yield Cluster(root, (one, two))


def _command(port: int, flags: Sequence[str], root: Path) -> list[str]:
    return quire_command("run", "-p", port, "-H", "127.0.0.1", *OPEN, "-o", "--workers", 4, *flags, root)


@pytest.fixture(scope="module")
def eight_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("workers"), (), ("--server", "gunicorn")) as made:
        yield made


def test_a_published_file_is_in_every_next_listing(eight_workers: Cluster) -> None:
    """Ten uploads, each to any worker: all eight list each of them at once, also those that had just listed."""
    for number in range(10):
        version = f"1.{number}"
        assert eight_workers.publish("everywhere", version) == 200
        for status, words in eight_workers.listed("everywhere"):
            assert status == 200
            assert wheel_name("everywhere", version) in words
        status, page = eight_workers.ask("GET", "/simple/")
        assert ">everywhere<" in page


def test_an_unknown_project_appears_where_it_was_just_missing(eight_workers: Cluster) -> None:
    """Every worker has just answered 404, and remembers it; that does not outlive the first upload."""
    assert {status for status, _ in eight_workers.listed("late-comer")} == {404}
    assert eight_workers.publish("late-comer", "1.0") == 200
    assert {status for status, _ in eight_workers.listed("late-comer")} == {200}


def test_an_overwritten_file_is_everywhere_the_new_one(eight_workers: Cluster) -> None:
    """Equal name, other content: every worker gives the new digest, and its old URL is gone."""
    assert eight_workers.publish("replaced", "1.0") == 200
    before = {url for _, words in eight_workers.listed("replaced") for url in _urls(words)}
    for variant in ("a", "b", "c"):
        assert eight_workers.publish("replaced", "1.0", variant=variant) == 200
        urls = {url for _, words in eight_workers.listed("replaced") for url in _urls(words)}
        assert len(urls) == 1
        assert not urls & before
        for old in before:
            assert eight_workers.ask("GET", old.removeprefix("../.."))[0] == 404
        before |= urls


def _urls(words: set[str]) -> set[str]:
    return {word for word in words if word.startswith("../../packages/")}


def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    """Workers are killed between an upload and the reading of it: nothing acknowledged is lost, nothing goes back."""
    with cluster(tmp_path, (), ("--server", "gunicorn")) as eight:
        for number in range(6):
            version = f"2.{number}"
            assert eight.publish("survivor", version) == 200
            # the oldest one: a server takes a worker that dies again right after its restart for a crash loop
            os.kill(min(workers_of(eight.servers[number % 2])), signal.SIGKILL)
            for status, words in eight.listed("survivor"):
                assert status == 200
                assert wheel_name("survivor", version) in words
        until(lambda: all(len(workers_of(server)) >= 4 for server in eight.servers))


def test_many_uploads_at_once_all_stay(eight_workers: Cluster) -> None:
    """Sixteen clients publish files of one project through all workers; every one is acknowledged and listed."""
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda version=f"3.{number}": statuses.append(eight_workers.publish("crowd", version)))
        for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 16
    expected = {wheel_name("crowd", f"3.{number}") for number in range(16)}
    for _, words in eight_workers.listed("crowd"):
        assert expected <= words


def test_one_content_wins(eight_workers: Cluster, tmp_path: Path) -> None:
    """Different contents of one filename at once, without overwriting: one is taken, the others are told so."""
    port = free_port()
    command = quire_command("run", "-p", port, "-H", "127.0.0.1", *OPEN, "--workers", 4, eight_workers.root)
    with running(command, port, cwd=tmp_path):
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda variant=str(number): statuses.append(
                    eight_workers.publish("contested", "1.0", variant=variant, port=port)
                )
            )
            for number in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [200] + [400] * 11
    digests = {url for _, words in eight_workers.listed("contested") for url in _urls(words)}
    assert len(digests) == 1


def test_the_deployed_configuration_is_honoured_and_explained(eight_workers: Cluster) -> None:
    """preload_app and gevent in gunicorn.conf.py break nothing; one line says what is overridden."""
    log = eight_workers.servers[1].output()
    assert log.count("overrides") == 1
    assert "gevent" in log
