"""The constants of the simulation, measured on real servers, and its predictions beside what real servers do.

A volume is a directory behind a file system of one millisecond (`benchmarks.slow_files`), a bucket is Ceph's gateway
behind a proxy of ten (`benchmarks.delayed`): so this takes root and FUSE, and for the bucket the rig of the tests.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import bucket
from benchmarks.counted import Counter, idle, loaded
from benchmarks.load import ask_quickly, paced
from benchmarks.measures.network import ANSWER, MILLISECONDS, NAMES, away
from benchmarks.peers import Server
from benchmarks.sizing.model import Demand, Place, Times, simulate
from benchmarks.sizing.places import BUCKET, VOLUME
from benchmarks.uploading import FILES_EACH, Uploader, releases

_PROJECTS = 200
_SECONDS = 4.0
_ONE, _ALL = [1], list(range(_PROJECTS))
_CONNECTIONS = 128
_UPLOADS = 400
_VALIDATIONS = "quire_validations_total{"
RATES = (500, 2000)
_SETTINGS = ("--rights", "settings")
"""The constants and the predictions are of pages that ask nothing about rights; `Place.grants` adds that question."""


@dataclass(frozen=True)
class Predicted:
    """A figure of the model beside the same of a real server."""

    what: str
    measured: float
    modelled: float


def page(number: int) -> str:
    return f"/simple/sized-{number}/"


def fill(server: Server) -> None:
    """200 projects with ten files each."""
    uploader = Uploader(server.port, "/", {})
    for release in releases("sized", _PROJECTS * FILES_EACH):
        uploader.send(release)


@contextmanager
def volume() -> Iterator[tuple[Path, Counter]]:
    """A filled directory, seen from behind a network, and the questions that went there."""
    with tempfile.TemporaryDirectory(prefix="bench-") as local:
        with bucket.serving(local, workers=1) as (server, _):
            fill(server)
        with away(Path(local), MILLISECONDS, NAMES) as found:
            yield found


@contextmanager
def far_bucket() -> Iterator[tuple[str, Counter]]:
    """A filled place in the bucket of the environment, ten milliseconds away, and the questions that went there."""
    place = bucket.new_place()
    with bucket.serving(place, workers=1) as (server, _):
        fill(server)
    with bucket.far_away(bucket.LATENCY) as delay:
        yield place, Counter(lambda: dict(delay.requests))


# -- constants --------------------------------------------------------------------------------------------------------


def near_times() -> tuple[float, float, float]:
    """Processor seconds of a page from a local disk, of the first page of a project, and of an upload."""
    with tempfile.TemporaryDirectory(prefix="bench-") as local, bucket.serving(local, workers=1) as (server, _):
        fill(server)
        uploader, made = Uploader(server.port, "/", {}), releases("more", _UPLOADS)
        before = server.running.cpu_seconds
        for release in made:
            uploader.send(release)
        upload = (server.running.cpu_seconds - before) / _UPLOADS
        before = server.running.cpu_seconds
        for number in _ALL:
            server.ask(page(number))
        first = (server.running.cpu_seconds - before) / _PROJECTS
        before = server.running.cpu_seconds
        for number in _ALL:
            server.ask(page(number))
        again = (server.running.cpu_seconds - before) / _PROJECTS
        cpu, requests, _ = _spent(server, _ALL, 32)
    return cpu / requests, max(first - again, 0.0), upload


def shared_times(server: Server) -> tuple[float, float]:
    """Processor seconds of a request beside its question, and of a question: by two loads that share differently."""
    (cpu, requests, questions), (other_cpu, other_requests, other_questions) = (
        _spent(server, each, _CONNECTIONS) for each in (_ONE, _ALL)
    )
    determinant = requests * other_questions - other_requests * questions
    request = (cpu * other_questions - other_cpu * questions) / determinant
    return request, (requests * other_cpu - other_requests * cpu) / determinant


def _spent(server: Server, numbers: list[int], connections: int) -> tuple[float, float, float]:
    """Processor seconds, requests, and questions of the read barriers to the store."""
    paths = [page(number) for number in numbers]
    ask_quickly(server, paths, server.headers(), 1.0, connections=connections)
    cpu, questions = server.running.cpu_seconds, bucket.metric(server, _VALIDATIONS)
    load = ask_quickly(server, paths, server.headers(), _SECONDS, connections=connections)
    return server.running.cpu_seconds - cpu, load.requests, bucket.metric(server, _VALIDATIONS) - questions


def times() -> tuple[Times, Times | None]:
    """Over a volume, and over a bucket if the environment names one."""
    near, render, upload = near_times()
    flags = ("--metrics", "open")
    with volume() as (root, _), bucket.serving(root, *flags, *_SETTINGS, workers=1) as (server, _):
        request, question = shared_times(server)
    by_volume = Times(near, request, question, render, upload)
    if "TESTS_BUCKET" not in os.environ:
        return by_volume, None
    with far_bucket() as (place, _), bucket.serving(place, *flags, workers=1) as (server, _):
        request, question = shared_times(server)
    return by_volume, replace(by_volume, request=request, question=question)


# -- predictions ------------------------------------------------------------------------------------------------------


def predicted(root: object, counter: Counter, place: Place, *flags: str) -> Iterator[Predicted]:
    """One page at two rates, two workers: what they ask of the store, and how long an answer takes."""
    with bucket.serving(root, *flags, workers=2) as (server, _):
        for _ in range(40):
            server.ask(page(1))
        alone = idle(counter, partial(server.ask, page(1)))
        here = replace(
            place, trip=alone["p50"] / 1000 / place.page - place.times.request - place.times.question, steady=1
        )
        yield Predicted("a round trip, ms", here.trip * 1000, here.trip * 1000)
        for rate in RATES:
            connections, pace = paced(rate, ANSWER)
            found = loaded(counter, server, [page(1)], _SECONDS, rate=pace, connections=connections)
            model = simulate(here, Demand(projects=1, rate=found["rate"], workers=2), seconds=_SECONDS)
            what = f"{found['rate']:,.0f}/s"
            yield Predicted(f"{what}, questions for each", found["all"], model.questions)
            yield Predicted(f"{what}, p50 in ms", found["p50"], model.p50)
            yield Predicted(f"{what}, p99 in ms", found["p99"], model.p99)


def predictions() -> Iterator[tuple[str, list[Predicted]]]:
    """Of each place that can be had."""
    with volume() as (root, counter):
        without_grants = replace(VOLUME, grants=0, name=f"{VOLUME.name}, `--rights settings`")
        yield without_grants.name, list(predicted(root, counter, without_grants, *_SETTINGS))
    if "TESTS_BUCKET" in os.environ:
        with far_bucket() as (place, counter):
            yield BUCKET.name, list(predicted(place, counter, BUCKET))
