"""A server with a bound for its mirror: clients get every file, the upstream is asked again for those that were
removed, and a process that dies while it removes does no harm."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
from pathlib import Path

from tests.asking import OPEN, Site, serve
from tests.serving import environment, quire_command, run_quire, until
from tests.upstreams import FakeIndex, serving_index

SIZE = 10_000
FILES = {f"far-{number}.tar.gz": random.Random(number).randbytes(SIZE) for number in range(20)}


def fetch(site: Site, *names: str) -> None:
    page = site.client.build_request("GET", "/simple/far/").url
    urls = {file["filename"]: page.join(file["url"]) for file in site.listing("far")["files"]}
    for name in names:
        answer = site.client.get(urls[name])
        assert (answer.status_code, answer.content) == (200, FILES[name])


def sample(page: str, series: str) -> float:
    """The value of a series on a page of metrics, whatever its upstream; infinite for none."""
    lines = (re.sub(r',?upstream="[^"]*"', "", line).replace("{}", "") for line in page.splitlines())
    found = (line.rpartition(" ")[2] for line in lines if line.startswith(f"{series} "))
    return float(next(found, math.inf))


def metrics(site: Site) -> str:
    return site.client.get("/metrics").text


def kept(site: Site) -> int:
    """The number of kept files, while others may remove them."""
    return sum(len(files) for _, _, files in os.walk(site.root / "quire" / "blobs"))


def asked(upstream: FakeIndex) -> int:
    """Requests for files."""
    return sum(path.startswith("/files/") for path in upstream.paths)


def test_a_server_keeps_within_its_bound(tmp_path: Path, place: str) -> None:
    """Each file is right; the files that are wanted again and again are kept."""
    chance = random.Random(1)
    with serving_index() as upstream:
        upstream.has("far", FILES)
        flags = ("--upstream", upstream.url, "--mirror-size", 8 * SIZE)
        with serve(tmp_path, *OPEN, *flags, place=place, NO_PROXY="*") as site:
            wanted = [f"far-{min(chance.randrange(20) for _ in range(2))}.tar.gz" for _ in range(40)]
            fetch(site, *wanted)
            # Files are kept and removed beside the requests: on a bucket all requests may end before the first removal.
            surplus = len(set(wanted)) - 8
            assert surplus > 0
            until(lambda: surplus <= sample(metrics(site), "quire_mirror_removed_files_total") < math.inf)
            fetch(site, *FILES)
            wanted += FILES
            assert len(set(wanted)) < asked(upstream) < len(wanted)
            if not place:
                # A file is there before it is counted.
                until(lambda: kept(site) <= 8 and sample(metrics(site), "quire_mirror_kept_bytes") <= 8 * SIZE)
                page = metrics(site)
                removed = sample(page, "quire_mirror_removed_files_total")
                assert removed >= asked(upstream) - 10
                assert sample(page, "quire_mirror_removed_bytes_total") == removed * SIZE
                assert sample(page, "quire_mirror_bound_bytes") == 8 * SIZE
                fetched = sample(page, 'quire_mirror_files_total{kind="file",result="fetched"}')
                assert asked(upstream) <= fetched  # the next request may come before the file is kept
                assert sample(page, 'quire_mirror_files_total{kind="file",result="kept"}') == len(wanted) - fetched
                assert sample(page, "quire_mirror_sent_bytes_total") == len(wanted) * SIZE
                assert sample(page, "quire_upstream_received_bytes_total") > asked(upstream) * SIZE
                assert sample(page, 'quire_upstream_requests_total{outcome="answered"}') == asked(upstream) + 1
                assert sample(page, 'quire_mirror_pages_total{result="asked"}') == 1
                status = json.loads(run_quire("mirror", "status", "-d", site.root, "--json", cwd=tmp_path).stdout)
                assert status["bound"] == 8 * SIZE
                assert status["bytes"] <= 8 * SIZE
                assert status["oldest_use"] is not None


def test_a_process_that_is_killed_while_it_removes_does_no_harm(tmp_path: Path) -> None:
    """The store is whole, a page names all files, and each of them is served; the next run ends the work."""
    with serving_index() as upstream:
        upstream.has("far", FILES)
        with serve(tmp_path, *OPEN, "--upstream", upstream.url, "--workers", 2, NO_PROXY="*") as site:
            fetch(site, *FILES)
            until(lambda: kept(site) == len(FILES))
            gc = quire_command("gc", "-d", site.root, "--mirror-size", 1)
            with subprocess.Popen(gc, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as process:
                while process.poll() is None and kept(site) == len(FILES):
                    pass
                process.kill()
            assert run_quire("check", "-d", site.root, cwd=tmp_path).returncode == 0
            assert sorted(site.filenames("far")) == sorted(FILES)
            fetch(site, *FILES)
            until(lambda: kept(site) == len(FILES))
            said = run_quire("gc", "-d", site.root, "--mirror-size", 10 * SIZE, cwd=tmp_path).stdout
            assert said.startswith("11 files of mirrored indexes removed, 110.0 kB; 90.0 kB kept.\n"), said
            assert kept(site) == 9
            planned = run_quire("gc", "-d", site.root, "--mirror-size", "1K", "-n", "--json", cwd=tmp_path).stdout
            assert json.loads(planned)["mirror"] == {"bound": 1024, "removed": 9, "bytes": 90_000, "kept": 0}
            assert kept(site) == 9
