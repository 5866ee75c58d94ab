"""pip: the newest, the oldest that supports Python 3.11, and the last that only knows HTML pages."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest

from quire.domain.changes import Selection
from tests.clients.matrix import PIPS, first_of
from tests.clients.releases import FULL, sdist, wheel
from tests.clients.sandbox import Sandbox, imported, installed, ok, refused
from tests.clients.servers import Server, Servers
from tests.distributions import make_wheel, wheel_name
from tests.serving import until

pytestmark = pytest.mark.clients

every_pip = pytest.mark.parametrize("pip", PIPS)


@every_pip
@pytest.mark.parametrize("direction", first_of("uvicorn to gunicorn", "gunicorn to uvicorn"))
def test_a_wheel_goes_through_one_port_and_comes_out_of_the_other(
    servers: Servers, sandbox: Sandbox, pip: str, direction: str
) -> None:
    """pip installs from one server a file that the other one has just accepted, and the reverse."""
    name = f"crossing-{pip}-{direction.replace(' ', '-')}"
    there, here = servers.uvicorn, servers.gunicorn
    if direction == "gunicorn to uvicorn":
        there, here = here, there
    there.publish(wheel(name, "1.0"))
    target = sandbox.target()
    ok(sandbox.pip(pip, "install", "--index-url", here.simple, "--target", target, name))
    assert imported(target, name.replace("-", "_")) == "1.0"


@every_pip
def test_an_sdist_is_built_and_installed(servers: Servers, sandbox: Sandbox, pip: str) -> None:
    """An sdist with an in-tree build backend installs with nothing else to be fetched."""
    name = f"source-{pip}"
    servers.uvicorn.publish(sdist(name, "1.0"))
    target = sandbox.target()
    ok(sandbox.pip(pip, "install", "--index-url", servers.gunicorn.simple, "--target", target, name))
    assert imported(target, name.replace("-", "_")) == "1.0"


@every_pip
def test_extras_of_projects_that_need_each_other(servers: Servers, sandbox: Sandbox, pip: str) -> None:
    """Requires-Dist leads from one private project to the next and back, with extras and a version bound."""
    one, two, three = (f"ring-{number}-{pip}" for number in ("one", "two", "three"))
    servers.uvicorn.publish(
        wheel(one, "1.0", FULL.format(f"{two}[full]>=2")),
        wheel(two, "1.0"),
        wheel(two, "2.0", FULL.format(f"{one}<2") + f'Requires-Dist: {three} ; extra == "full"\n'),
        wheel(three, "1.0"),
    )
    target = sandbox.target()
    ok(sandbox.pip(pip, "install", "--index-url", servers.gunicorn.simple, "--target", target, f"{one}[full]"))
    expected = {one: "1.0", two: "2.0", three: "1.0"}
    assert installed(target) == {name.replace("-", "_"): version for name, version in expected.items()}


@every_pip
def test_required_hashes(servers: Servers, sandbox: Sandbox, pip: str) -> None:
    """--require-hashes installs with the right hash, and refuses with another one."""
    name = f"hashed-{pip}"
    published = wheel(name, "1.0")
    servers.uvicorn.publish(published)
    requirements = sandbox.home / "requirements.txt"
    command = ("install", "--index-url", servers.gunicorn.simple, "--require-hashes", "-r", requirements)
    requirements.write_text(f"{name}==1.0 --hash=sha256:{'0' * 64}\n")
    assert "DO NOT MATCH THE HASHES" in refused(sandbox.pip(pip, *command, "--target", sandbox.target()))
    requirements.write_text(f"{name}==1.0 --hash=sha256:{hashlib.sha256(published[1]).hexdigest()}\n")
    ok(sandbox.pip(pip, *command, "--target", sandbox.target()))


@every_pip
def test_download_keeps_the_published_bytes(servers: Servers, sandbox: Sandbox, pip: str) -> None:
    """`pip download` ends with the very bytes that were published."""
    name = f"fetched-{pip}"
    binary, source = wheel(name, "1.0"), sdist(name, "1.0")
    servers.uvicorn.publish(binary, source)
    for (filename, content), kind in ((binary, "--only-binary"), (source, "--no-binary")):
        arguments = ("--index-url", servers.gunicorn.simple, "--no-deps", kind, ":all:", "-d", sandbox.home, name)
        ok(sandbox.pip(pip, "download", *arguments))
        assert (sandbox.home / filename).read_bytes() == content


@every_pip
def test_index_versions(servers: Servers, sandbox: Sandbox, pip: str) -> None:
    """`pip index versions` lists the releases, newest first, pre-releases only when asked for."""
    name = f"listed-{pip}"
    servers.uvicorn.publish(*(wheel(name, version) for version in ("1.0", "1.10", "1.9", "2.0rc1")))
    command = ("index", "versions", "--index-url", servers.gunicorn.simple, name)
    assert "Available versions: 1.10, 1.9, 1.0" in ok(sandbox.pip(pip, *command))
    assert "Available versions: 2.0rc1, 1.10, 1.9, 1.0" in ok(sandbox.pip(pip, *command, "--pre"))


@every_pip
def test_an_unknown_project_is_a_clear_failure(servers: Servers, sandbox: Sandbox, pip: str) -> None:
    """An unpublished name is pip's own sentence about it, at once."""
    result = sandbox.pip(pip, "install", "--index-url", servers.uvicorn.simple, "--target", sandbox.target(), "nobody")
    assert "No matching distribution found for nobody" in refused(result)


@every_pip
def test_requires_python_is_respected(servers: Servers, sandbox: Sandbox, pip: str) -> None:
    """A release for another Python is passed over."""
    name = f"pythons-{pip}"
    servers.uvicorn.publish(wheel(name, "1.0"), wheel(name, "2.0", requires_python=">=4"))
    target = sandbox.target()
    ok(sandbox.pip(pip, "install", "--index-url", servers.gunicorn.simple, "--target", target, name))
    assert imported(target, name.replace("-", "_")) == "1.0"


@every_pip
def test_pre_releases_only_when_asked_for(servers: Servers, sandbox: Sandbox, pip: str) -> None:
    """The newest final release is installed, with --pre the release candidate."""
    name = f"candidate-{pip}"
    servers.uvicorn.publish(wheel(name, "1.0"), wheel(name, "2.0rc1"))
    for flags, expected in (((), "1.0"), (("--pre",), "2.0rc1")):
        target = sandbox.target()
        ok(sandbox.pip(pip, "install", "--index-url", servers.gunicorn.simple, "--target", target, *flags, name))
        assert imported(target, name.replace("-", "_")) == expected


@every_pip
def test_yanked_releases_are_installed_only_when_pinned(servers: Servers, sandbox: Sandbox, pip: str) -> None:
    """A release yanked while the servers run is skipped at once, installed with its reason shown when pinned."""
    name = f"yanked-{pip}"
    servers.uvicorn.publish(wheel(name, "1.0"), wheel(name, "2.0"))
    install = ("install", "--index-url", servers.gunicorn.simple)
    before, after, pinned = sandbox.target(), sandbox.target(), sandbox.target()
    ok(sandbox.pip(pip, *install, "--target", before, name))
    assert imported(before, name.replace("-", "_")) == "2.0"
    servers.index.yank(name, Selection(version="2.0"), "eats <data> & more")
    ok(sandbox.pip(pip, *install, "--target", after, name))
    assert imported(after, name.replace("-", "_")) == "1.0"
    said = sandbox.pip(pip, *install, "--target", pinned, f"{name}==2.0")
    ok(said)
    assert imported(pinned, name.replace("-", "_")) == "2.0"
    assert "eats <data> & more" in said.text


def _asked(server: Server, method: str, ending: str, status: int) -> bool:
    return any(each[0] == method and each[1].endswith(ending) and each[2] == status for each in server.requests())


def test_newest_pip_resolves_from_the_metadata_alone(servers: Servers, sandbox: Sandbox) -> None:
    """PEP 658: resolving fetches `.metadata`, not the wheels."""
    servers.uvicorn.publish(wheel("lazy", "1.0", "Requires-Dist: lazy-needs\n"), wheel("lazy-needs", "1.0"))
    arguments = ("--index-url", servers.gunicorn.simple, "--use-feature=fast-deps", "lazy")
    said = ok(sandbox.pip("pip-newest", "install", "--dry-run", "--ignore-installed", *arguments))
    assert "Would install lazy-1.0 lazy-needs-1.0" in said
    for filename in (wheel_name("lazy", "1.0"), wheel_name("lazy-needs", "1.0")):
        until(partial(_asked, servers.gunicorn, "GET", f"/{filename}.metadata", 200))
        assert not _asked(servers.gunicorn, "GET", f"/{filename}", 200)


def test_oldest_pip_resolves_from_ranges_of_the_wheel(servers: Servers, sandbox: Sandbox) -> None:
    """fast-deps before PEP 658: the metadata is read out of the wheel by Range requests."""
    filename = wheel_name("ranged", "1.0")
    padding = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(20_000))
    servers.uvicorn.publish((filename, make_wheel("ranged", "1.0", files={"padding.bin": padding})))
    arguments = ("--dry-run", "--index-url", servers.gunicorn.simple, "--use-feature=fast-deps", "ranged")
    assert "Would install ranged-1.0" in ok(sandbox.pip("pip-oldest", "install", *arguments))
    until(partial(_asked, servers.gunicorn, "GET", f"/{filename}", 206))


@pytest.mark.parametrize("path", ["pypi", "RPC2"])
@pytest.mark.parametrize("pip", PIPS[:2])
def test_search(servers: Servers, sandbox: Sandbox, pip: str, path: str) -> None:
    """`pip search` finds a project by a part of its name, and says so when there is none."""
    servers.uvicorn.publish(wheel("needle", "1.0"), wheel("needle", "1.2"), wheel("straw", "1.0"))
    said = ok(sandbox.pip(pip, "search", "--index", f"{servers.gunicorn.url}{path}", "needl"))
    assert "needle (1.2)" in said
    assert "straw" not in said
    assert sandbox.pip(pip, "search", "--index", f"{servers.gunicorn.url}{path}", "nowhere").code == 23  # pip's "none"


def test_ten_releases_each_seen_at_once(servers: Servers, sandbox: Sandbox) -> None:
    """Publish to one server, download from the other, ten times, with pip's cache on and no retry."""
    ports = [servers.uvicorn, servers.gunicorn]
    for number in range(10):
        there, here = ports[number % 2], ports[1 - number % 2]
        filename, content = wheel("tenfold", f"1.{number}")
        there.publish((filename, content))
        arguments = ("--index-url", here.simple, "--no-deps", "-d", sandbox.home, "tenfold")
        ok(sandbox.pip("pip-newest", "download", *arguments))
        assert (sandbox.home / filename).read_bytes() == content
