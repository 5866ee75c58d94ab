"""`quire mirror`: what is kept of another index, after clients have asked a real server for it."""

from __future__ import annotations

import json
from pathlib import Path

from quire.domain.sizes import in_words
from tests.asking import OPEN, serve
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.serving import environment, run_quire
from tests.upstreams import serving_index


def test_status_compares_the_bytes_that_the_bound_counts(tmp_path: Path) -> None:
    """Those of files and of large pages; and only with a bound of servers, which that of one `gc` is not."""
    name, content = wheel_name("far", "1.0"), make_wheel("far", "1.0")
    many = {wheel_name("far", f"2.{number}"): content for number in range(3000)}
    with serving_index() as upstream:
        upstream.has("far", {name: content} | many)
        with serve(tmp_path, *OPEN, "--upstream", upstream.url, NO_PROXY="*") as site:
            assert site.client.get(site.file_url("far", name)).content == content
        assert run_quire("gc", "--mirror-size", "10M", "-d", site.root, cwd=tmp_path).returncode == 0
        told = run_quire("mirror", "status", "-d", site.root, cwd=tmp_path).stdout
        found = json.loads(run_quire("mirror", "status", "-d", site.root, "--json", cwd=tmp_path).stdout)
        assert (found["bound"], "bound" in told) == (None, False), told
        assert found["page_bytes"] > 0
        both = found["bytes"] + found["page_bytes"]
        more = environment(QUIRE_MIRROR_SIZE=str(2 * both))
        told = run_quire("mirror", "status", "-d", site.root, cwd=tmp_path, environ=more).stdout
        assert f"Together they have {in_words(both)} of {in_words(2 * both)} (50%)" in told
        assert run_quire("gc", "-d", site.root, cwd=tmp_path, environ=more).returncode == 0
        assert run_quire("gc", "--mirror-size", "10M", "-d", site.root, cwd=tmp_path).returncode == 0
        found = json.loads(run_quire("mirror", "status", "-d", site.root, "--json", cwd=tmp_path).stdout)
        assert found["bound"] == 2 * both


def test_status_counts_files_and_pages(tmp_path: Path) -> None:
    """By upstream and together; a store without a mirror has none."""
    files = {wheel_name("far", "1.0"): make_wheel("far", "1.0"), sdist_name("far", "1.0"): make_sdist("far", "1.0")}
    with serving_index() as upstream:
        upstream.has("far", files)
        with serve(tmp_path, *OPEN, "--upstream", upstream.url, NO_PROXY="*") as site:
            assert run_quire("mirror", "status", "-d", site.root, cwd=tmp_path).stdout == "0 files, 0 B; 0 pages.\n"
            for filename, content in files.items():
                assert site.client.get(site.file_url("far", filename)).content == content
        found = json.loads(run_quire("mirror", "status", "-d", site.root, "--json", cwd=tmp_path).stdout)
    size = sum(map(len, files.values()))
    (one,) = found.pop("upstreams")
    assert one.pop("name").startswith(f"127-0-0-1-{upstream.url.split(':')[2].split('/')[0]}-")
    assert one.pop("url") is None  # it is of the settings of the server, which has ended
    assert one.pop("page_bytes") == found.pop("page_bytes")  # perhaps of metadata, which is made behind the answers
    assert one == {"files": 2, "bytes": size, "pages": 1}
    used = (found.pop("oldest_use") is not None, found.pop("unused"))
    assert used == (True, 0), site.served.output()  # the server writes them when it ends
    assert found == {"store": str(site.root / "quire"), "bound": None, **one}
