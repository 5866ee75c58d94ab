"""twine, uv and pip against an index at an address, as the tests of containers use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.clients.sandbox import Sandbox, imported, ok
from tests.distributions import make_wheel, wheel_name

LOGIN = ("alice", "open-sesame")


@dataclass(frozen=True)
class Clients:
    """Programs with a home of their own, and the login they use everywhere."""

    sandbox: Sandbox
    login: tuple[str, str] = LOGIN

    def twine(self, host: str, name: str, version: str = "1.0") -> None:
        """Publish a wheel of this project; it fails when twine does."""
        user, password = self.login
        flags = ("--non-interactive", "--username", user, "--password", password, "--disable-progress-bar", "--verbose")
        url = f"http://{host}/"
        ok(self.sandbox.twine("upload", "--repository-url", url, *flags, self._wheel(name, version)))

    def uv_publish(self, host: str, name: str, version: str = "1.0") -> None:
        """The same with uv."""
        user, password = self.login
        flags = ("--username", user, "--password", password, "--trusted-publishing", "never")
        ok(self.sandbox.uv("publish", "--publish-url", f"http://{host}/", *flags, self._wheel(name, version)))

    def pip_install(self, host: str, name: str, version: str = "1.0") -> None:
        """Install exactly this version with the newest pip, and import it."""
        target = self.sandbox.target()
        flags = ("--no-cache-dir", "--no-deps", "--target", target, "--index-url", self._simple(host))
        ok(self.sandbox.pip("pip-newest", "install", *flags, f"{name}=={version}"))
        assert imported(target, name) == version

    def uv_install(self, host: str, name: str, version: str = "1.0") -> None:
        """The same with uv."""
        target = self.sandbox.target()
        flags = ("--no-cache", "--no-deps", "--target", target, "--default-index", self._simple(host))
        ok(self.sandbox.uv("pip", "install", *flags, f"{name}=={version}"))
        assert imported(target, name) == version

    def _simple(self, host: str) -> str:
        user, password = self.login
        return f"http://{user}:{password}@{host}/simple/"

    def _wheel(self, name: str, version: str) -> Path:
        path = self.sandbox.home / wheel_name(name, version)
        path.write_bytes(make_wheel(name, version))
        return path


def clients(folder: Path) -> Clients:
    """Clients with a new home in the folder."""
    home = folder / "home"
    home.mkdir(parents=True)
    return Clients(Sandbox(home))
