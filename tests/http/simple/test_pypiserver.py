"""Side by side with a real pypiserver on the same files: the same statuses and destinations, or a reason why not."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import quire
from tests.asking import Site, content_type, multipart, password_file, publish_wheel, serve
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.serving import DEADLINE, environment, free_port, running, until

FALLBACK = "http://fallback.invalid/simple/"
CLIENT = "http://index.test"


def _fill(root: Path) -> None:
    """An old directory: flat files, nested ones, an odd spelling, and things that are no packages."""
    (root / "sub").mkdir(parents=True)
    (root / wheel_name("foo-bar", "1.0")).write_bytes(make_wheel("foo-bar", "1.0"))
    (root / sdist_name("foo-bar", "1.0")).write_bytes(make_sdist("foo-bar", "1.0"))
    (root / sdist_name("foo-bar", "1.0").replace("foo_bar", "Foo.Bar")).write_bytes(make_sdist("foo-bar", "1.0"))
    for name in ("nested", "doomed"):
        (root / "sub" / wheel_name(name, "2.0")).write_bytes(make_wheel(name, "2.0"))
    (root / "README.txt").write_text("no package")
    (root / ".hidden-1.0.tar.gz").write_bytes(b"no package either")


class Both:
    """quire and pypiserver, each on a copy of the same directory."""

    def __init__(self, quire_url: str, pypiserver_url: str) -> None:
        addresses = {"quire": quire_url, "pypiserver": pypiserver_url}
        self.clients = {name: httpx.Client(base_url=url, timeout=DEADLINE) for name, url in addresses.items()}

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None, auth: tuple[str, str] | None = None
    ) -> dict[str, tuple[int, str]]:
        """(status, absolute destination) by server; addresses of the server itself begin with CLIENT."""
        answers = {}
        for name, client in self.clients.items():
            body = multipart(list(form.items())) if form is not None else b""
            headers = {"content-type": content_type()} if form is not None else {}
            answer = client.request(method, path, content=body, headers=headers, auth=auth or httpx.USE_CLIENT_DEFAULT)
            location = answer.headers.get("location", "")
            where = str(answer.url.join(location)).replace(str(client.base_url).rstrip("/"), CLIENT) if location else ""
            answers[name] = (answer.status_code, where)
        return answers


@pytest.fixture(scope="module", params=["", "/python"], ids=["plain", "prefixed"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Both with the same flags: uploads need a login, unknown projects fall back; at the root, and under a prefix."""
    folder = tmp_path_factory.mktemp("parity")
    _fill(folder / "packages")
    shutil.copytree(folder / "packages", folder / "old")
    flags = ["-a", "update", "-P", str(password_file(folder, ann="secret")), "--fallback-url", FALLBACK]
    if request.param:
        flags += ["--server-base-url", request.param]
    port = free_port()
    pypiserver = [sys.executable, "-m", "pypiserver", "run", "-p", str(port), "-i", "127.0.0.1"]
    command = [*pypiserver, "--server", "wsgiref", *flags, str(folder / "old")]
    with serve(folder, *flags) as site, running(command, port, cwd=folder, environ=environment()):
        both = Both(site.base, f"http://127.0.0.1:{port}{request.param}/")
        yield both
        for client in both.clients.values():
            client.close()


SAME = [
    *("/", "/simple", "/simple/", "/simple/foo-bar", "/simple/foo-bar/", "/simple/foo_bar/", "/simple/Foo.Bar/"),
    *("/simple/nested/", "/simple/unknown/", "/simple/Un_known/", "/packages", "/packages/"),
    *(f"/packages/{wheel_name('foo-bar', '1.0')}", f"/packages/sub/{wheel_name('nested', '2.0')}"),
    *(f"/packages/{wheel_name('nested', '2.0')[:-4]}", "/packages/README.txt", "/packages/.hidden-1.0.tar.gz"),
    *("/packages/unknown-1.0.tar.gz", "/packages/../packages/", "/foo-bar/json", "/foo_bar/json", "/unknown/json"),
    *("/foo-bar", "/foo-bar/", "/Foo_Bar", "/unknown", "/health", "/favicon.ico", "/a/b/c/d"),
]


@pytest.mark.parametrize("path", SAME)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_same_answer(both: Both, method: str, path: str) -> None:
    """Status and destination are pypiserver's."""
    answers = both.ask(method, path)
    assert answers["quire"] == answers["pypiserver"]


ANN = ("ann", "secret")


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"name": "foo-bar"},
        {":action": "unsupported"},
        {":action": "verify", "name": "foo-bar"},
        {":action": "submit", "name": "foo-bar"},
        {":action": "doc_upload"},
        {":action": "file_upload"},
        {":action": "remove_pkg"},
        {":action": "remove_pkg", "name": "foo-bar"},
        {":action": "remove_pkg", "name": "unknown", "version": "1.0"},
        {":action": "remove_pkg", "name": "foo-bar", "version": "9.9"},
    ],
)
def test_the_same_answer_to_a_form(both: Both, form: dict[str, str]) -> None:
    """Actions, known and not, with and without what they need."""
    answers = both.ask("POST", "/", form, ANN)
    assert answers["quire"] == answers["pypiserver"]
    assert both.ask("POST", "/", form)["quire"][0] == 401 == both.ask("POST", "/", form)["pypiserver"][0]


def test_deliberate_differences(both: Both) -> None:
    """Each with its reason."""
    # One hop instead of two: the slash and the normalized name at once.
    answers = both.ask("GET", "/simple/Foo_Bar")
    assert answers["pypiserver"] == (301, f"{CLIENT}/simple/Foo_Bar/")
    assert answers["quire"] == (301, f"{CLIENT}/simple/foo-bar/")
    # 401 makes a client ask for the password again; 403 made it give up.
    answers = both.ask("POST", "/", {":action": "verify"}, ("ann", "wrong"))
    assert (answers["pypiserver"][0], answers["quire"][0]) == (403, 401)
    # A project that no name can be is not looked for at the public index.
    answers = both.ask("GET", "/simple/-x-/")
    assert answers["quire"] == (404, "")
    # A dropped-in file is removed where it lies; pypiserver deletes it.
    answers = both.ask("POST", "/", {":action": "remove_pkg", "name": "doomed", "version": "2.0"}, ANN)
    assert (answers["pypiserver"][0], answers["quire"][0]) == (200, 409)
    # People give these addresses as the repository's too.
    for path in ("/legacy/", "/simple/"):
        answers = both.ask("POST", path, {":action": "verify"}, ANN)
        assert (answers["pypiserver"][0] in {404, 405}, answers["quire"][0]) == (True, 200)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    """An index with a template for its home page, one drop-in file and no hosted one."""
    folder = tmp_path_factory.mktemp("welcome")
    template = "<p>{{URL}}|{{VERSION}}|{{NUMPKGS}}|{{PACKAGES}}|{{SIMPLE}}|{{!URL}}|{{unknown}}</p>"
    (folder / "home.html").write_text(template)
    (folder / "packages").mkdir()
    (folder / "packages" / wheel_name("dropped", "1.0")).write_bytes(make_wheel("dropped", "1.0"))
    flags = ("--welcome", folder / "home.html", "--health-endpoint", "/alive", "--server-base-url", "/py")
    with serve(folder, "-a", ".", "-P", ".", *flags, place=place) as site:
        yield site


def test_a_welcome_template(site: Site) -> None:
    """pypiserver's variables, its `{{!...}}` too; what is unknown is empty, and what a client sends is escaped."""
    port = site.served.port
    url = f"http://127.0.0.1:{port}/py/"
    assert site.get("/").text == f"<p>{url}|{quire.__version__}|1|/py/packages/|/py/simple/|{url}|</p>"
    assert "<script>" not in site.get("/", host="<script>").text


def test_the_built_in_home_page(tmp_path: Path) -> None:
    """It tells how to install from here and how to publish to here."""
    with serve(tmp_path, "-a", ".", "-P", ".") as site:
        text = site.get("/").text
        assert f"pip install --index-url {site.base}simple/" in text
        assert f"twine upload --repository-url {site.base}" in text
        assert "The first package in three steps" in text


def test_another_health_endpoint(site: Site) -> None:
    """`--health-endpoint` moves it."""
    assert site.get("/alive").text == "Ok"
    assert site.get("/health").status_code == 303


def test_json_of_a_project(site: Site) -> None:
    """pypiserver's keys are there: info.version, and by release the URLs, absolute and right."""
    document = site.get("/dropped/json").json()
    assert document["info"]["version"] == "1.0"
    (file,) = document["releases"]["1.0"]
    assert file["url"] == f"{site.base}packages/{wheel_name('dropped', '1.0')}"
    assert site.client.get(file["url"]).status_code == 200
    assert site.get("/pypi/dropped/1.0/json").json()["urls"][0]["url"] == file["url"]
    assert site.get("/pypi/dropped/9.9/json").status_code == 404


def test_removing_a_release(site: Site) -> None:
    """`remove_pkg` deletes every file of a release in any spelling of its name and version, and nothing else."""
    for version in ("1.0", "2.0"):
        publish_wheel(site, "remove-me", version)
    form = multipart([(":action", "remove_pkg"), ("name", "Remove_Me"), ("version", "1.0.0")])
    answer = site.client.post("/", content=form, headers={"content-type": content_type()})
    assert (answer.status_code, answer.text) == (200, "Remove_Me 1.0.0 was deleted.\n")
    assert site.filenames("remove-me") == [wheel_name("remove-me", "2.0")]
    urlencoded = {":action": "remove_pkg", "name": "remove-me", "version": "2.0"}
    assert site.client.post("/", data=urlencoded).status_code == 200
    assert "remove-me" not in site.projects()
    assert site.client.post("/", data=urlencoded).status_code == 404


@pytest.mark.parametrize(("name", "status"), [("index.html", 200), ("other.html", 400)])
def test_documentation_is_checked_and_not_kept(site: Site, name: str, status: int) -> None:
    """`doc_upload` as pypiserver has it: a zip with an index.html is accepted and forgotten."""
    for content, expected in ((_zip(name), status), (b"no zip", 400)):
        form = multipart([(":action", "doc_upload"), ("name", "dropped"), ("content", "docs.zip", content)])
        answer = site.client.post("/", content=form, headers={"content-type": content_type()})
        assert (answer.status_code, len(answer.text.splitlines())) == (expected, 1)
        assert site.place or site.staged() == []


def _zip(name: str) -> bytes:
    return make_wheel("x", "1", files={name: b"<html></html>"})


def test_log_formats(tmp_path: Path) -> None:
    """`--log-req-frmt`, `-res-` and `-err-` with pypiserver's names; without them one line a request."""
    formats = ("--log-req-frmt", "REQ %(REQUEST_METHOD)s %(PATH_INFO)s", "--log-res-frmt", "RES %(status)s")
    with serve(tmp_path, "-a", ".", "-P", ".", "-v", *formats, "--log-err-frmt", "ERR %(body)s") as site:
        assert site.get("/simple/-/").status_code == 404
        until(lambda: "ERR" in site.served.output())
        output = site.served.output()
    assert "REQ GET /simple/-/" in output
    assert "RES 404 Not Found" in output
    assert re.search("ERR '-' .*", output)
    with serve(tmp_path, "-a", ".", "-P", ".", "-v") as site:
        site.get("/simple/?a=b")
        line = r"request method=GET path=/simple/ status=200 milliseconds=\S+ client=127.0.0.1"
        until(lambda: re.search(line, site.served.output()) is not None)
