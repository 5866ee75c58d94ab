"""Names of upstreams: an upload takes none of them over, until a claim says that it may."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.asking import JSON_V1, OPEN, Site, publish, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire
from tests.upstreams import Answer, serving_index

FRESH = {"accept": JSON_V1, "connection": "close"}


def send(site: Site, name: str, version: str = "1.0") -> httpx.Response:
    return publish(site, wheel_name(name, version), make_wheel(name, version), name=name, version=version)


def claim(site: Site, *words: str) -> str:
    done = run_quire("claim", *words, "-d", site.root, cwd=site.root.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pages(site: Site, name: str) -> set[tuple[int, int]]:
    """The status of a page on every worker, and the number of its files."""
    found = [site.client.get(f"/simple/{name}/", headers=FRESH) for _ in range(5)]
    return {(each.status_code, len(each.json()["files"]) if each.status_code == 200 else 0) for each in found}


def test_a_name_of_the_upstream_is_taken_over_by_a_claim_alone(tmp_path: Path) -> None:
    """On every worker from the next request on; also before the first upload, and no longer asked for then."""
    with serving_index() as upstream:
        for name in ("far", "later", "acme-tools"):
            upstream.has(name, {wheel_name(name, "9.0"): make_wheel(name, "9.0")})
        with serve(tmp_path, *OPEN, "--workers", 2, "--upstream", upstream.url, NO_PROXY="*") as site:
            refused = send(site, "Far")
            assert refused.status_code == 403
            assert refused.text == (
                "The project far is of an index that is mirrored here. Choose another name; if this index shall have "
                "the name for itself, an administrator says so with 'quire claim far'.\n"
            )
            assert pages(site, "far") == {(200, 1)}
            assert send(site, "near").status_code == 200
            assert claim(site, "Far", "acme-*") == "The index main keeps Far, acme-* for itself.\n"
            before = len(upstream.paths)
            assert pages(site, "far") == pages(site, "acme-tools") == {(200, 0)}
            assert {send(site, "far").status_code, send(site, "acme-tools").status_code} == {200}
            assert pages(site, "far") == {(200, 1)}
            assert len(upstream.paths) == before
            assert claim(site) == "far\nacme-*\n"
            claim(site, "later")
            assert pages(site, "later") == {(200, 0)}
            assert claim(site, "--remove", "later", "far") == (
                "The index main does not keep later, far for itself.\n"
                "These stay with the index main, since it has them: far.\n"
            )
            assert pages(site, "later") == {(200, 1)}
            assert site.filenames("far") == [wheel_name("far", "1.0")]  # a name that was ever local stays so


def test_claims_of_a_named_index(tmp_path: Path) -> None:
    """They are of that index, which stays when its last setting goes, and with another index behind it."""
    with serve(tmp_path, *OPEN, "--disable-fallback") as site:
        for flags in ((), ("--behind", "main")):
            done = run_quire("index", "create", f"team{len(flags)}", *flags, "-d", site.root, cwd=site.root.parent)
            assert done.returncode == 0, done.stderr
            name = f"team{len(flags)}"
            assert claim(site, "acme-*", "--index", name) == f"The index {name} keeps acme-* for itself.\n"
            assert claim(site, "--index", name) == "acme-*\n"
            assert site.get(f"/{name}/simple/acme-tools/").status_code == 200
            claim(site, "--remove", "acme-*", "--index", name)
            assert site.get(f"/{name}/simple/").status_code == 200
            assert site.get(f"/{name}/simple/acme-tools/").status_code == 404
        assert claim(site) == ""


def test_an_upstream_that_is_away_makes_no_name_free(tmp_path: Path) -> None:
    """The first upload of a project waits until it is known, or claimed; later ones ask for nothing."""
    with serving_index() as upstream:
        upstream.at("/simple/new/", Answer(status=503))
        with serve(tmp_path, *OPEN, "--upstream", upstream.url, NO_PROXY="*") as site:
            assert send(site, "known").status_code == 200
            refused = send(site, "new")
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
            assert "It is not known whether new is a project of an index that is mirrored here" in refused.text
            assert "'quire claim new'" in refused.text
            before = len(upstream.paths)
            assert send(site, "known", "2.0").status_code == 200
            claim(site, "new")
            assert send(site, "new").status_code == 200
            assert len(upstream.paths) == before
