"""X-Accel-Redirect: the peers that get the header, the files it is sent for, and paths it never names."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.config.resolving import resolve
from quire.domain.errors import ConfigurationError
from quire.http.simple.accel import internal_location
from tests.asking import OPEN, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name

ACCEL = ("--accel-redirect", "/_files/")


def test_off_by_default(tmp_path: Path) -> None:
    """A trusted proxy alone gets the bytes, whatever headers come with the request."""
    with serve(tmp_path, *OPEN, "--trusted-proxies", "127.0.0.1") as site:
        filename = publish_wheel(site, "demo")
        answer = site.get(site.file_url("demo", filename), x_accel_redirect="/_files/x", x_sendfile_type="X-Accel")
        assert "x-accel-redirect" not in answer.headers
        assert answer.content == make_wheel("demo", "1.0")


def test_only_trusted_proxies_get_it(tmp_path: Path) -> None:
    """A client that is no proxy gets the bytes: an empty answer would be useless."""
    with serve(tmp_path, *OPEN, "--trusted-proxies", "192.0.2.1", *ACCEL) as site:
        filename = publish_wheel(site, "demo")
        answer = site.get(site.file_url("demo", filename), x_forwarded_for="192.0.2.1")
        assert "x-accel-redirect" not in answer.headers
        assert answer.content == make_wheel("demo", "1.0")


def test_what_is_handed_over(tmp_path: Path) -> None:
    """GETs of hosted and of dropped-in files, in each directory that has a location; quire says all the rest itself."""
    second, third = tmp_path / "second", tmp_path / "third"
    for folder, name in ((second, "two"), (third, "three")):
        folder.mkdir()
        (folder / wheel_name(name, "1.0")).write_bytes(make_wheel(name, "1.0"))
    flags = ("--trusted-proxies", "127.0.0.1", "--accel-redirect", "/one,/old/two/")
    with serve(tmp_path, *OPEN, *flags, f"{tmp_path}/packages", second, third) as site:
        filename = publish_wheel(site, "demo")
        url = site.file_url("demo", filename)
        told = site.get(url)
        location = told.headers["x-accel-redirect"]
        assert location.startswith("/one/quire/blobs/demo/")
        assert (site.root / unquote(location).removeprefix("/one/")).read_bytes() == make_wheel("demo", "1.0")
        assert (told.content, told.headers["content-type"]) == (b"", "application/zip")
        assert "immutable" in told.headers["cache-control"]
        etag = told.headers["etag"]

        head = site.client.head(url)
        assert "x-accel-redirect" not in head.headers
        assert head.headers["content-length"] == str(len(make_wheel("demo", "1.0")))
        assert site.get(url, if_none_match=etag).status_code == 304
        assert site.get(url, range="bytes=999999999-").status_code == 416
        assert site.get(url, range="bytes=0-9").headers["x-accel-redirect"] == location

        dropped = site.get(site.file_url("two", wheel_name("two", "1.0")))
        assert dropped.headers["x-accel-redirect"] == f"/old/two/{wheel_name('two', '1.0')}"
        unnamed = site.get(site.file_url("three", wheel_name("three", "1.0")))
        assert "x-accel-redirect" not in unnamed.headers
        assert unnamed.content == make_wheel("three", "1.0")


def test_what_may_not_be_had_has_no_address(tmp_path: Path) -> None:
    """Without the login there is a 401, without the file a 404, and neither names anything."""
    flags = ("-a", "download,update", "-P", tmp_path / "users", "--trusted-proxies", "127.0.0.1", *ACCEL)
    (tmp_path / "users").write_text("")
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / wheel_name("demo", "1.0")).write_bytes(make_wheel("demo", "1.0"))
    with serve(tmp_path, *flags) as site:
        answer = site.get(f"/packages/{wheel_name('demo', '1.0')}")
        assert answer.status_code == 401
        assert "x-accel-redirect" not in answer.headers
    with serve(tmp_path, *OPEN, *flags[4:]) as site:
        for path in ("/packages/../users", "/packages/%2e%2e/users", "/packages/quire/format", "/packages/nothing.whl"):
            answer = site.get(path)
            assert answer.status_code in {303, 404}
            assert "x-accel-redirect" not in answer.headers


@given(
    root=st.sampled_from(["/srv/packages", "/"]),
    parts=st.lists(
        st.binary(min_size=1, max_size=20).filter(lambda part: part not in {b".", b".."} and not set(part) & {0, 47}),
        min_size=1,
        max_size=4,
    ),
)
def test_every_name_survives(root: str, parts: list[bytes]) -> None:
    """Decoded once, as nginx does, the address is the file's own path, whatever bytes it has; it is ASCII."""
    inside = b"/".join(parts)
    path = os.fsdecode(os.path.join(os.fsencode(root), inside))
    location = internal_location(path, [root], ["/_files/"])
    assert location is not None
    assert location.isascii()
    assert not set(location) & set(" ?#%\r\n\"'<>\\") - {"%"}
    assert os.fsencode(unquote(location, errors="surrogateescape")) == b"/_files/" + inside


@pytest.mark.parametrize(
    "path", [None, "/etc/passwd", "/srv/packages", "/srv/packages-secret/a.whl", "/srv/packages/../a.whl"]
)
def test_a_file_outside_the_directories_has_no_address(path: str | None) -> None:
    """Only what is inside a served directory can be named."""
    assert internal_location(path, ["/srv/packages"], ["/_files/"]) is None


@pytest.mark.parametrize(
    ("value", "directories", "sentence"),
    [
        ("_files", ("a",), "--accel-redirect: '_files' is no internal location"),
        ("/", ("a",), "--accel-redirect: '/' is no internal location"),
        ("/a/../b/", ("a",), "--accel-redirect: '/a/../b/' is no internal location"),
        ("/a\r\nX-Evil: 1", ("a",), "is no internal location"),
        ("/a,/b", ("a",), "more locations than there are directories"),
    ],
)
def test_wrong_settings(value: str, directories: tuple[str, ...], sentence: str) -> None:
    """One sentence for each."""
    with pytest.raises(ConfigurationError, match=sentence):
        resolve({"accel_redirect": value, "directories": directories, "trusted_proxies": "*"}, {})


def test_settings() -> None:
    """A slash at the end may be left out; nothing means off; it is nothing without a trusted proxy."""
    given = {"accel_redirect": "/_files, /old/", "directories": ("a", "b"), "trusted_proxies": "::1"}
    assert resolve(given, {}).accel_redirect == ("/_files/", "/old/")
    assert resolve({"accel_redirect": ""}, {}).accel_redirect == ()
    with pytest.raises(ConfigurationError, match="name them with --trusted-proxies"):
        resolve({"accel_redirect": "/_files/"}, {})
