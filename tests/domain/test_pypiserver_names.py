"""A file in a served directory belongs to the project, and has the version, that pypiserver reads from its name.

So a directory that moves over shows the same projects, and the names that were local stay local. Differences are
listed here with its reason, and stands in docs/pypiserver.md.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

import pytest

from quire.domain.names import guess_filename
from tests.asking import publish_wheel, serve
from tests.serving import environment

PAGE = Path(__file__).parent.parent.parent / "docs" / "pypiserver.md"

NAMES = (
    *(
        "cx_Oracle",
        "MySQL-python",
        "zope.interface",
        "py2exe",
        "backports.ssl_match_hostname",
        "3to2",
        "pywin32",
        "PIL",
    ),
    *("foo-bar-2", "python-ldap", "Products.CMFCore", "collective.z3cform.datagridfield", "win-unicode-console"),
)
VERSIONS = (
    "1.0",
    "5.1.3-11g",
    "5.2-12c",
    "0.6c11",
    "2.0rc1",
    "1.0.post2",
    "1.0.dev-20110405",
    "1.2.3+local.4",
    "4.11.4-gpl",
)
BUILT_ENDINGS = (
    *(".win32-py2.7.exe", ".win-amd64-py2.6.exe", ".win-amd64-py3.9.exe", ".win32-py2.7.msi", ".win-amd64-py3.4.msi"),
    *(".WIN32-PY2.7.EXE", "-py2.7-linux-x86_64.egg", "-py2.7-macosx-10.9-x86_64.egg", "-py3.4-win32.egg", "-py2.7.egg"),
    *(".linux-x86_64.tar.gz", ".linux-i686.tar.bz2", ".macosx-10.6-intel.tar.gz", ".macosx-10.9-universal2.zip"),
    *("-py2.7-python.org-macosx10.6.dmg", "-py2.7-macosx10.7.mpkg.zip", ".win-amd64-py2.7-pg9.1.3-release.exe"),
)
# Not the versions that PEP 440 does not know: see Reason.LAST_DASH.
SOURCE_NAMES = [
    f"{name}-{version}{ending}"
    for name in NAMES
    for version in ("1.0", "0.6c11", "2.0rc1", "1.0-1", "1.0.dev-20110405", "1.2.3+local.4", "4.11.4-gpl")
    for ending in (".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz", ".ZIP")
]
# Names of files as they were published, or reported to pypiserver as misread.
PUBLISHED = (
    *("cx_Oracle-5.1.3-11g.win32-py2.7.msi", "cx_Oracle-5.2-12c.win-amd64-py3.4.exe", "pytz-2012b.tar.bz2"),
    *("PyQt4-4.11.4-gpl-Py3.4-Qt4.8.7-x64.exe", "psycopg2-2.4.5.win-amd64-py2.7-pg9.1.3-release.exe"),
    *(
        "gevent-1.0b1.win32-py2.6.exe",
        "greenlet-0.3.4-py3.1-win-amd64.egg",
        "numpy-1.6.1-py2.7-python.org-macosx10.6.dmg",
    ),
    *("pytz-2013b.zip", "setuptools-0.6c11-py2.7.egg", "A100-200-XYZ-1.2.3.zip", "flup-1.0.3.dev-20110405.tar.gz"),
    *("flup-123-1.0.3.dev-20110405.tar.gz", "package-v1.1-8.1.301.ga0df26f.zip", "package-123-v1.1_3-8.1.zip"),
    *("package-20000101.zip", "package-123-20000101.zip", "package.zip", "foo-latest.tar.gz", "foo.win32-py2.7.exe"),
    *("pywin32-217-cp27-none-win32.whl", "foo_bar-1.0-py3-none-any.whl", "foo-bar-1.0-py2.py3-none-any.whl"),
    *("numpy-1.8.0-win32-superpack-python2.7.exe", "python-3.12.1-amd64.exe", "setup.exe", "README.txt", "foo.whl"),
)


class Reason(StrEnum):
    """Why a name is read in another way; the words with which docs/pypiserver.md says so."""

    LAST_DASH = "the last dash"
    EGG = "setuptools names eggs"
    PLATFORM = "the platform is no part of the version"
    BUILD = "a wheel's build number"
    MORE = "not listed at all"
    ENDING = "any ending behind a Python version"
    NAME = "no valid project name"


DIFFERENT = {
    "python-3.8-tools-1.0.tar.gz": Reason.LAST_DASH,
    "ABC12-34_V1X-1.2.3.zip": Reason.LAST_DASH,
    "pyelasticsearch-0.5-brainbot-1-20130712.zip": Reason.LAST_DASH,
    "cx_Oracle-5.2-12c.tar.gz": Reason.LAST_DASH,
    "foo-3d-1.0.tar.gz": Reason.LAST_DASH,
    "foo-bar-v1.0.tar.gz": Reason.LAST_DASH,
    "foo-bar-r123.1.zip": Reason.LAST_DASH,
    "zope.app-ext-5.win32-py2.7.exe": Reason.LAST_DASH,
    "a-140-py3.11.egg": Reason.EGG,
    "a-b-140-py3.11.egg": Reason.EGG,
    "foo-1.0.win32.zip": Reason.PLATFORM,
    "psycopg2-2.6.1.win32-py2.7-pg9.4.4-release.exe": Reason.PLATFORM,
    "pywin32-217-55-cp27-none-win32.whl": Reason.BUILD,
    "foo-1.0.win32.exe": Reason.MORE,
    "foo-1.0.win-amd64.msi": Reason.MORE,
    "foo-1.0.win-amd64-py3.11.exe": Reason.MORE,
    "foo-1.0.win-arm64-py3.9.msi": Reason.MORE,
    "foo-1.0-1.noarch.rpm": Reason.MORE,
    "cx_Oracle-5.1.2-11g-py27-1.x86_64.rpm": Reason.MORE,
    "python3-foo_1.0-1_all.deb": Reason.MORE,
    "foo-1.0.tar": Reason.MORE,
    "foo-1.0.tar.Z": Reason.MORE,
    "foo-1.0.tbz2": Reason.MORE,
    "foo-1.0-py2.7-notes.txt": Reason.ENDING,
    "foo-1.0.win32-py2.7.exe.part": Reason.ENDING,
    "foo-1.0.tar.gz.asc": Reason.ENDING,
    "_foo-1.0.zip": Reason.NAME,
    "foo bar-1.0.zip": Reason.NAME,
}


def test_names_are_read_as_pypiserver_reads_them() -> None:
    """The same project and version for every name, but for those that are listed; and each of these does differ."""
    built = [
        "-".join((name, version)) + end for name, version, end in itertools.product(NAMES, VERSIONS, BUILT_ENDINGS)
    ]
    names = [*built, *SOURCE_NAMES, *PUBLISHED, *DIFFERENT]
    expected = read_by_pypiserver(names)
    different = {name for name in names if read_by_quire(name) != expected[name]}
    assert {name: (read_by_quire(name), expected[name]) for name in different - DIFFERENT.keys()} == {}
    assert DIFFERENT.keys() - different == set()
    assert len(names) > 1000


@pytest.mark.parametrize("reason", Reason)
def test_differences_are_documented(reason: Reason) -> None:
    """Each reason stands in the page about moving over."""
    assert str(reason) in PAGE.read_text()


@pytest.mark.parametrize(
    ("filename", "project", "version"),
    [
        ("cx_Oracle-5.2-12c.win32-py2.7.msi", "cx-oracle", "5.2-12c"),
        ("foo-1.0-11g-py2.7-macosx-10.9.egg", "foo", "1.0-11g"),
        ("foo-1.0-gpl.macosx-10.6.tar.gz", "foo", "1.0-gpl"),
        ("cx_Oracle-5.1.2-11g-py27-1.x86_64.rpm", "cx-oracle", "5.1.2-11g"),
        ("foo-bar-v1.0.win-amd64.exe", "foo-bar", "v1.0"),
        ("a-b-140-py3.11.egg", "a-b", "140"),
    ],
)
def test_what_is_built_for_a_platform(filename: str, project: str, version: str) -> None:
    """No dash within the version, and none of the platform's, makes a project that does not exist."""
    assert read_by_quire(filename) == (project, version)


def test_an_installer_joins_its_project(tmp_path: Path) -> None:
    """It is listed beside what was published, which stays as it is; and alone it keeps the name of its project here."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "cx_Oracle-5.1.3-11g.win32-py2.7.msi").write_bytes(b"an installer")
    with serve(tmp_path, "-a", ".", "-P", ".", "--fallback-url", "http://fallback.invalid/simple/") as site:
        assert [file["filename"] for file in site.listing("cx-oracle")["files"]] == [
            "cx_Oracle-5.1.3-11g.win32-py2.7.msi"
        ]
        assert site.get("/simple/cx-oracle-5-1-3/").status_code == 303
        publish_wheel(site, "cx_Oracle", "6.0")
        (published,) = (file for file in site.listing("cx-oracle")["files"] if file["filename"].endswith(".whl"))
        (packages / "cx_Oracle-6.0-12c.win-amd64-py3.4.exe").write_bytes(b"another one")
        files = site.listing("cx-oracle")["files"]
        assert published in files
        assert len(files) == 3
        assert site.get(published["url"]).status_code == 200


def read_by_quire(filename: str) -> tuple[str, str] | None:
    parsed = guess_filename(filename)
    return None if parsed is None else (parsed.project, parsed.version)


_READ = """
import json, sys
from pypiserver.pkg_helpers import guess_pkgname_and_version, normalize_pkgname
for name in json.load(sys.stdin):
    found = guess_pkgname_and_version(name)
    print(json.dumps(found and [normalize_pkgname(found[0]), found[1]]))
"""


def read_by_pypiserver(filenames: list[str]) -> dict[str, tuple[str, str] | None]:
    """In a process of its own, for pypiserver changes how Python imports."""
    if importlib.util.find_spec("pypiserver") is None:
        pytest.skip("pypiserver is not installed")
    lines = subprocess.run(
        [sys.executable, "-c", _READ],
        input=json.dumps(filenames),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    return {name: None if each is None else tuple(each) for name, each in zip(filenames, found, strict=True)}
