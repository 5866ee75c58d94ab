"""The clients of a burst, in processes of their own.

`python -m benchmarks.burst` reads a plan, one line of JSON, prints READY, and begins when it reads another line.

Theory of operation. Hundreds of clients on one machine must not wait for each other, or it is them that is measured.
So each process drives its share of them in one event loop, over asyncio's streams on uvloop; answers are parsed no
further than status and length. A client does again and again what an installer does: connect, ask for the project by
a name without its slash, follow the redirect, ask for the page, fetch the wheel that it names, disconnect. Uploads
come at a steady pace from clients of their own. Every latency contains what the clients themselves added; how much
processor time they took is reported with it.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from tests.asking import content_type

from benchmarks.processes import READY
from benchmarks.uploading import Release

_FAILED = 0
"""In place of a status: the connection broke, or the time was over."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one process."""

    port: int
    seconds: float
    clients: int
    seed: int
    headers: dict[str, str]
    simple: str
    """The path of the project list."""
    wheels: list[tuple[str, str]]
    """Project, and path of its wheel."""
    timeout: float
    upload_path: str = "/"
    uploads_per_second: float = 0.0


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The results. Latencies in seconds; the connection's own time is in the first request's."""

    latencies: dict[str, list[float]]
    """By kind: redirect, page, wheel, upload."""
    errors: dict[str, int]
    """By kind and status."""
    cpu_seconds: float


class Client:
    """One connection after the other."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._latencies: dict[str, list[float]] = {"redirect": [], "page": [], "wheel": [], "upload": []}
        self._errors: dict[str, int] = {}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in plan.headers.items())

    async def install(self, choice: random.Random, deadline: float) -> None:
        """Install wheels by chance, until the deadline."""
        plan = self._plan
        while time.time() < deadline:
            project, wheel = choice.choice(plan.wheels)
            began = time.perf_counter()
            connection = None
            try:
                connection = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", plan.port), plan.timeout)
                page = f"{plan.simple}{project}/"
                for kind, path in (("redirect", page.rstrip("/")), ("page", page), ("page", page), ("wheel", wheel)):
                    status = await asyncio.wait_for(self._get(connection, path), plan.timeout)
                    self._note(kind, status, began, right=status in ({301, 302, 303} if kind == "redirect" else {200}))
                    began = time.perf_counter()
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
                self._note(type(error).__name__, _FAILED, began, right=False)
                await asyncio.sleep(0.05)
            finally:
                if connection is not None:
                    connection[1].close()

    async def upload(self, name: str, pace: float, deadline: float) -> None:
        """Publish releases at a steady pace, however long the one before took."""
        number = 0
        running: set[asyncio.Task[None]] = set()
        begin = time.time()
        while time.time() < deadline:
            release = Release(f"{name}-{number // 10}", f"1.{number % 10}", 10_000)
            number += 1
            task = asyncio.create_task(self._publish(release))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(max(0.0, begin + number * pace - time.time()))
        await asyncio.gather(*running)

    async def _publish(self, release: Release) -> None:
        plan = self._plan
        head = (
            f"POST {plan.upload_path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self._head}Content-Type: {content_type()}\r\n"
            f"Content-Length: {len(release.form)}\r\n\r\n"
        )
        began = time.perf_counter()
        connection = None
        try:
            connection = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", plan.port), plan.timeout)
            connection[1].write(head.encode() + release.form)
            status = await asyncio.wait_for(self._answer(connection[0]), plan.timeout)
            self._note("upload", status, began, right=status == 200)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
            self._note(f"upload {type(error).__name__}", _FAILED, began, right=False)
        finally:
            if connection is not None:
                connection[1].close()

    async def _get(self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], path: str) -> int:
        connection[1].write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self._head}\r\n".encode())
        return await self._answer(connection[0])

    @staticmethod
    async def _answer(reader: asyncio.StreamReader) -> int:
        """The status of the next answer, when all of it has come."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if b"transfer-encoding: chunked" in head:
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                await reader.readexactly(size + 2)
            await reader.readuntil(b"\r\n")
        elif status not in {204, 304}:
            length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length or b"0"))
        return status

    def _note(self, kind: str, status: int, began: float, *, right: bool) -> None:
        if right:
            self._latencies[kind].append(time.perf_counter() - began)
        else:
            label = f"{kind} {status}" if status else kind
            self._errors[label] = self._errors.get(label, 0) + 1

    def answered(self) -> Answered:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Answered(
            latencies=self._latencies,
            errors=self._errors,
            cpu_seconds=used.ru_utime + used.ru_stime,
        )


async def drive(plan: Plan) -> Answered:
    """All clients of a plan, from its beginning to its end."""
    client = Client(plan)
    deadline = time.time() + plan.seconds
    jobs = [client.install(random.Random(plan.seed * 10_000 + each), deadline) for each in range(plan.clients)]
    if plan.uploads_per_second:
        jobs.append(client.upload(f"burst-upload-{plan.seed}", 1 / plan.uploads_per_second, deadline))
    await asyncio.gather(*jobs)
    return client.answered()


def merged(parts: list[Answered]) -> Answered:
    """The results of several processes as one."""
    latencies: dict[str, list[float]] = {}
    errors: dict[str, int] = {}
    for part in parts:
        for kind, values in part.latencies.items():
            latencies.setdefault(kind, []).extend(values)
        for label, count in part.errors.items():
            errors[label] = errors.get(label, 0) + count
    return Answered(latencies=latencies, errors=errors, cpu_seconds=sum(part.cpu_seconds for part in parts))


def _loop() -> Any:
    try:
        import uvloop  # noqa: PLC0415 - faster where it is there
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    sys.stdin.buffer.readline()
    with asyncio.Runner(loop_factory=_loop) as runner:
        sys.stdout.buffer.write(msgspec.json.encode(runner.run(drive(plan))))


def described(errors: Mapping[str, int]) -> str:
    """Errors in words."""
    return json.dumps(dict(errors)) if errors else "none"


if __name__ == "__main__":
    main()
