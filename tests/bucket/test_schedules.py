"""Servers without a safeguard of the store in a bucket, in an order of requests that needs it: the judge convicts them.

A proxy before each server holds the request that has to be late, until the others have done their part. So the order is
the same in each run, whatever the speed of the machine. The whole code passes the same orders.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.asking import OPEN, content_type, multipart, twine_form
from tests.bucket.proxy import Fault, Proxy, Script, faulty_proxy
from tests.bucket.sabotage import Safeguard, without
from tests.bucket.test_bucket import opened
from tests.distributions import make_wheel, wheel_name
from tests.linearizability import pages
from tests.linearizability.checker import Violation, check
from tests.linearizability.history import History
from tests.linearizability.http import Connection
from tests.linearizability.model import Delete, Listed, Missing, Publish
from tests.linearizability.recording import now
from tests.serving import environment, free_port, running

pytestmark = pytest.mark.bucket

RECORD, ROOT = r"/records/main/projects/acme\.json", r"/names/main/projects\.json"


class Server:
    """A server with a proxy between it and the bucket. One history for each project has the answers to its clients."""

    def __init__(self, port: int, script: Script, histories: dict[str, History]) -> None:
        self.script = script
        self._port = port
        self._histories = histories

    def publish(self, version: str, project: str = "acme") -> None:
        """A wheel, which the server has to accept."""
        filename, content = wheel_name(project, version), make_wheel(project, version)
        body = multipart(twine_form(filename, content, name=project, version=version))
        invoked = now()
        with self._connection() as connection:
            answer = connection.post("/", content_type(), body)
        assert answer.status == 200, answer.body
        digest = hashlib.sha256(content).hexdigest()
        self._history(project).add(Publish(((filename, digest),)), invoked, now())

    def delete(self, version: str, project: str = "acme") -> None:
        """A release; also where the server says that there is none."""
        body = urlencode({":action": "remove_pkg", "name": project, "version": version}).encode()
        names, invoked = frozenset({wheel_name(project, version)}), now()
        with self._connection() as connection:
            answer = connection.post("/", "application/x-www-form-urlencoded", body)
        assert answer.status in {200, 404}, answer.body
        self._history(project).add(Delete(names) if answer.status == 200 else Missing(names), invoked, now())

    def read(self, project: str = "acme") -> None:
        """The list of projects, and the project's page."""
        accept = b"Accept: application/vnd.pypi.simple.v1+json\r\n"
        invoked = now()
        with self._connection() as connection:
            answer = connection.get("/simple/", accept)
        assert answer.status == 200, answer.body
        listed = Listed(project in pages.names_json(answer.body))
        self._history(project).add(listed, invoked, now())
        invoked = now()
        with self._connection() as connection:
            answer = connection.get(f"/simple/{project}/", accept)
        assert answer.status in {200, 404}, answer.body
        shown = pages.project_json(answer.body) if answer.status == 200 else Listed(present=False)
        self._history(project).add(shown, invoked, now())

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with closing(Connection("127.0.0.1", self._port)) as connection:
            yield connection

    def _history(self, project: str) -> History:
        return self._histories.setdefault(project, History())


@contextmanager
def under_way(step: Callable[[str], None], version: str) -> Iterator[None]:
    """A change that runs beside the block, and has ended after it."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            step(version)
        except BaseException as error:  # noqa: BLE001 - raised in the test
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


@contextmanager
def servers(
    number: int, url: str, folder: Path, removed: Safeguard | None
) -> Iterator[tuple[Sequence[Server], Callable[[], list[Violation]]]]:
    """So many servers, without a safeguard, and the judge of what their clients saw."""
    histories: dict[str, History] = {}

    def judge() -> list[Violation]:
        verdicts = [check(history) for history in histories.values()]
        assert not any(verdict.undecided for verdict in verdicts)
        return [violation for verdict in verdicts for violation in verdict.violations]

    with ExitStack() as stack:
        found = []
        for _ in range(number):
            script, port = Script(), free_port()
            proxy: Proxy = stack.enter_context(faulty_proxy(os.environ["AWS_ENDPOINT_URL"], script))
            program = ("-m", "tests.bucket.sabotage", "--patient", removed or "none")
            flags = ("run", "-p", port, "-i", "127.0.0.1", "--workers", 1, *OPEN, url)
            command = [sys.executable, *map(str, (*program, *flags))]
            variables = environment(AWS_ENDPOINT_URL=proxy.url)
            stack.enter_context(running(command, port, cwd=folder, environ=variables))
            stack.callback(script.release_all)
            found.append(Server(port, script, histories))
        yield found, judge


def without_if(safeguard: Safeguard, removed: Safeguard | None) -> AbstractContextManager[object]:
    """In this process, where it is the one that is removed."""
    return without(safeguard) if removed is safeguard else nullcontext()


def stalled_writer(url: str, folder: Path, removed: Safeguard | None) -> list[Violation]:
    """A writer stops between its token and its commit, a sweep settles the name, and the writer goes on."""
    with servers(2, url, folder, removed) as ((writer, reader), judge):
        writer.publish("1.0", "other")
        held = writer.script.hold("PUT", RECORD)
        with under_way(writer.publish, "1.0"):
            held.wait()
            with without_if(Safeguard.FENCE, removed):
                assert opened(url).sweep(older_than=0, thorough=True) == 1
            reader.read()
            held.release()
        reader.read()
        writer.read()
        return judge()


def two_writers(url: str, folder: Path, removed: Safeguard | None) -> list[Violation]:
    """A writer that read an old state leaves without a commit while another is between its token and its commit."""
    with servers(2, url, folder, removed) as ((late, first), judge):
        first.publish("1.0", "other")
        token_of_late = late.script.hold("PUT", ROOT)
        with under_way(late.publish, "1.0"):
            token_of_late.wait()  # it has read that there is no record
            first.publish("2.0")
            first.delete("2.0")
            commit = first.script.hold("PUT", RECORD)
            with under_way(first.publish, "3.0"):
                commit.wait()
                # its token is refused once and added by a second swap; its commit is refused; it leaves by a third one
                again = late.script.hold("GET", RECORD, after=("PUT", ROOT, 3))
                token_of_late.release()
                again.wait()
                commit.release()
            first.read()
            again.release()
        first.read()
        late.read()
        return judge()


def answer_that_lies(url: str, folder: Path, removed: Safeguard | None) -> list[Violation]:
    """The bucket answers 500 to a write that took place, and refuses the repetition."""
    with servers(1, url, folder, removed) as ((writer,), judge):
        writer.publish("1.0")
        writer.script.add(Fault.FAILED_AFTER, "PUT", RECORD)
        writer.delete("1.0")
        writer.read()
        return judge()


def list_of_the_bucket(url: str, folder: Path, removed: Safeguard | None) -> list[Violation]:
    """The list of names is asked for just before and just after the first upload to a project."""
    with servers(1, url, folder, removed) as ((server,), judge):
        server.read()
        server.publish("1.0")
        server.read()
        return judge()


SCHEDULES = {
    Safeguard.FENCE: stalled_writer,
    Safeguard.FRESH: two_writers,
    Safeguard.NONCE: answer_that_lies,
    Safeguard.LIST: list_of_the_bucket,
}


@pytest.mark.parametrize("safeguard", Safeguard)
def test_servers_without_a_safeguard_are_convicted(safeguard: Safeguard, url: str, tmp_path: Path) -> None:
    """Each of them, in the order of requests that it is for."""
    assert SCHEDULES[safeguard](url, tmp_path, safeguard)


@pytest.mark.parametrize("safeguard", Safeguard)
def test_the_whole_code_passes_the_same_orders(safeguard: Safeguard, url: str, tmp_path: Path) -> None:
    """Nothing is wrong, and no token is left."""
    assert SCHEDULES[safeguard](url, tmp_path, None) == []
    assert opened(url).sweep(older_than=0, thorough=True) == 0
