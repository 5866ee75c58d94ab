"""Parsers and a mirror that other people wrote read the same things on our pages, in HTML and in JSON."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pypi_simple
import pytest
from benchmarks.environments import programs
from packaging.metadata import Metadata
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from quire.domain.changes import Selection
from quire.domain.project import Status
from tests.clients.servers import Servers, two_servers
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.serving import environment, free_port, running

REASON = 'eats <data> & "more" é'
LONG_AGO = 1_600_000_000


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers on one directory with a bit of everything in it."""
    with two_servers(tmp_path_factory.mktemp("parsed")) as both:
        _fill(both)
        yield both


def _fill(both: Servers) -> None:
    def wheel(name: str, version: str, requires_python: str = ">=3.8") -> tuple[str, bytes]:
        metadata = metadata_text(name, version, requires_python=requires_python, extra="Requires-Dist: plain[x]>1,<9\n")
        return wheel_name(name, version), make_wheel(name, version, metadata=metadata)

    both.uvicorn.publish(
        wheel("plain", "1.0"),
        (sdist_name("plain", "1.0"), make_sdist("plain", "1.0")),
        wheel("plain", "1.10", ">=3.8,<4,!=3.9.*"),
        wheel("plain", "1.9"),
        wheel("plain", "2.0rc1"),
        wheel("Odd.Name_here", "1!1.0+local.1"),
        wheel("yanked", "1.0"),
        wheel("yanked", "2.0"),
        wheel("yanked", "3.0"),
        wheel("archived", "1.0"),
        wheel("deprecated", "1.0"),
        wheel("quarantined", "1.0"),
    )
    index = both.index
    index.yank("yanked", Selection(version="2.0"), REASON)
    index.yank("yanked", Selection(version="3.0"))
    index.set_status("archived", Status.ARCHIVED)
    index.set_status("deprecated", Status.DEPRECATED, REASON)
    index.set_status("quarantined", Status.QUARANTINED)
    nested = both.root / "nested folder"
    nested.mkdir()
    for filename, content in (
        (wheel_name("dropped", "1.0"), make_wheel("dropped", "1.0", requires_python="<4")),
        (sdist_name("dropped", "0.9"), make_sdist("dropped", "0.9")),
        (wheel_name("plain", "0.1"), make_wheel("plain", "0.1")),
    ):
        (nested / filename).write_bytes(content)
        os.utime(nested / filename, (LONG_AGO, LONG_AGO))


PROJECTS = ["archived", "deprecated", "dropped", "odd-name-here", "plain", "quarantined", "yanked"]


def _facts(package: pypi_simple.DistributionPackage) -> dict[str, Any]:
    """The facts of a file that HTML and JSON both have."""
    return {
        "project": package.project,
        "version": package.version,
        "url": package.url,
        "sha256": package.digests.get("sha256"),
        "requires-python": package.requires_python,
        "yanked": package.is_yanked,
        "reason": package.yanked_reason or None,  # HTML has no way to tell an empty one from none
        "metadata": package.has_metadata,
        "metadata digests": package.metadata_digests,
    }


def test_pypi_simple_reads_the_same_projects_in_both_forms(servers: Servers) -> None:
    """The list of projects is the same in HTML and JSON, from both servers."""
    for server in (servers.uvicorn, servers.gunicorn):
        with pypi_simple.PyPISimple(server.simple) as client:
            for accept in (pypi_simple.ACCEPT_HTML_ONLY, pypi_simple.ACCEPT_JSON_ONLY):
                page = client.get_index_page(accept=accept)
                assert page.repository_version == "1.4"
                assert page.projects == PROJECTS


@pytest.mark.parametrize("project", PROJECTS)
def test_pypi_simple_reads_the_same_files_in_both_forms(servers: Servers, project: str) -> None:
    """Each file of a project has the same facts in HTML and in JSON, from both servers; their URLs have the bytes."""
    by_server = []
    for server in (servers.uvicorn, servers.gunicorn):
        with pypi_simple.PyPISimple(server.simple) as client:
            html = client.get_project_page(project, accept=pypi_simple.ACCEPT_HTML_ONLY)
            json = client.get_project_page(project, accept=pypi_simple.ACCEPT_JSON_ONLY)
            assert html.repository_version == json.repository_version == "1.4"
            assert (html.status or pypi_simple.ProjectStatus.ACTIVE) == json.status  # HTML leaves the usual one out
            assert html.status_reason == json.status_reason
            assert [each.filename for each in html.packages] == [each.filename for each in json.packages]
            assert [_facts(each) for each in html.packages] == [_facts(each) for each in json.packages]
            for package in json.packages:
                content = httpx.get(package.url, trust_env=False).content
                assert hashlib.sha256(content).hexdigest() == package.digests["sha256"]
                assert len(content) == package.size
                assert package.upload_time is not None
                if package.has_metadata:
                    document = client.get_package_metadata_bytes(package)  # verifies its digest
                    assert Metadata.from_email(document).name
            by_server.append([_facts(each) | {"url": ""} for each in json.packages])
    assert by_server[0] == by_server[1]
    assert bool(by_server[0]) == (project != "quarantined")


def test_pypi_simple_reads_statuses_and_yanks(servers: Servers) -> None:
    """The facts arrive as they were set, with every awkward character."""
    with pypi_simple.PyPISimple(servers.gunicorn.simple) as client:
        for accept in (pypi_simple.ACCEPT_HTML_ONLY, pypi_simple.ACCEPT_JSON_ONLY):
            deprecated = client.get_project_page("deprecated", accept=accept)
            assert (deprecated.status, deprecated.status_reason) == ("deprecated", REASON)
            assert client.get_project_page("archived", accept=accept).status == "archived"
            yanked = {each.version: each for each in client.get_project_page("yanked", accept=accept).packages}
            assert {version for version, each in yanked.items() if each.is_yanked} == {"2.0", "3.0"}
            assert yanked["2.0"].yanked_reason == REASON


@pytest.mark.parametrize("project", PROJECTS)
def test_packaging_reads_every_name_version_and_specifier(servers: Servers, project: str) -> None:
    """Filenames, versions, Requires-Python and the metadata documents are what `packaging` accepts, and agree."""
    page = httpx.get(f"{servers.uvicorn.simple}{project}/?format=application/vnd.pypi.simple.v1+json", trust_env=False)
    document = page.json()
    assert document["name"] == canonicalize_name(document["name"]) == project
    found = set()
    for file in document["files"]:
        if file["filename"].endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(file["filename"])
        else:
            name, version = parse_sdist_filename(file["filename"])
        assert name == project
        found.add(version)
        SpecifierSet(file["requires-python"])
        address = page.url.join(f"{file['url']}.metadata")
        metadata = Metadata.from_email(httpx.get(address, trust_env=False).content)
        assert (canonicalize_name(metadata.name), metadata.version) == (name, version)
        assert str(metadata.requires_python or "") == str(SpecifierSet(file["requires-python"]))
    versions = {Version(each) for each in document["versions"]}
    assert versions == found or (versions > found and project == "quarantined")  # PEP 700: a release may have no files


@pytest.mark.clients
def test_a_mirror_serves_the_same_list(servers: Servers, tmp_path: Path) -> None:
    """simple-repository-server in front of ours repeats every project and file, to the byte and digest."""
    port = free_port()
    program = programs("simple-repository-server") / "simple-repository-server"
    command = [str(program), "--host", "127.0.0.1", "--port", str(port), servers.uvicorn.simple]
    environ = {name: value for name, value in environment().items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    with (
        running(command, port, cwd=tmp_path, environ=environ),
        httpx.Client(trust_env=False, follow_redirects=True) as client,
    ):
        mirror = f"http://127.0.0.1:{port}/simple/"

        def page(url: str) -> dict[str, Any]:
            answer = client.get(url, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
            assert answer.status_code == 200, answer.text
            document: dict[str, Any] = answer.json()
            return document

        assert sorted(each["name"] for each in page(mirror)["projects"]) == PROJECTS
        for project in PROJECTS:
            theirs, own = page(f"{mirror}{project}/"), page(f"{servers.uvicorn.simple}{project}/")
            assert [_of_file(each) for each in theirs["files"]] == [_of_file(each) for each in own["files"]]
            assert sorted(theirs["versions"]) == sorted(own["versions"])
            for file, original in zip(theirs["files"], own["files"], strict=True):
                if "%" in original["url"]:
                    continue  # this mirror quotes once more what is quoted, and asks us for something else
                answer = client.get(f"{mirror}{project}/{file['url']}")
                assert hashlib.sha256(answer.content).hexdigest() == file["hashes"]["sha256"]


def _of_file(file: dict[str, Any]) -> dict[str, Any]:
    """The facts of a file that a mirror repeats: all but its address; times in whole seconds."""
    kept = {key: file.get(key) for key in ("filename", "hashes", "requires-python", "core-metadata", "yanked", "size")}
    return kept | {"upload-time": file["upload-time"][:19]}
