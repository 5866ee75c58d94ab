"""The images of the tests: a base made from Debian's packages, since no registry is asked, and quire's on top.

The base is made once and kept. It has nginx too, and is under another name the image of nginx, as making one takes a
minute. quire's image is built by every test run, mostly from podman's own cache, which is images without a name. The
last one of the build stage gets a name too, so that all others, of earlier checkouts, can be removed.
"""

from __future__ import annotations

import platform
import subprocess
import tempfile
from pathlib import Path

from tests.deploy.image_podman import PROJECT, Podman, PodmanError, locked

IMAGE = "localhost/quire-tests"
_BUILDER = "localhost/quire-tests-builder"
NGINX = "localhost/quire-tests-nginx"

BASE = "localhost/quire-tests-base"
_PACKAGES = ("python3", "python3-venv", "nginx-light")
_SETTINGS = {BASE: ('CMD ["python3"]',), NGINX: ('CMD ["nginx", "-g", "daemon off;"]', "STOPSIGNAL SIGQUIT")}
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_BUILD_TIMEOUT = 1200.0


def quire_image(podman: Podman) -> str:
    """The image of this checkout, built as scripts/image builds it. Raises PodmanError."""
    base = base_image(podman, BASE)
    with locked(podman):
        _build(podman, "--tag", _BUILDER, "--base", base, "--target", "builder")
        _build(podman, "--tag", IMAGE, "--base", base)
        podman("image", "prune", "--force")
    return IMAGE


def _build(podman: Podman, *arguments: str) -> None:
    done = subprocess.run(
        [str(PROJECT / "scripts" / "image"), *arguments, "--network", "host"],
        env=podman.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_BUILD_TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise PodmanError(f"The image cannot be built: {done.stdout[-3000:]}{done.stderr[-3000:]}")


def base_image(podman: Podman, name: str) -> str:
    """The base, or what is nginx's image; both are made now when they are not there. Raises PodmanError."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    with locked(podman), tempfile.TemporaryDirectory() as folder:
        if not all(map(podman.has, _SETTINGS)):
            archive = Path(folder, "base.tar")
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}"]
            command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
            done = subprocess.run([*command, release, archive], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise PodmanError(f"mmdebstrap cannot make the base: {done.stderr[-3000:]}")
            for image, settings in _SETTINGS.items():
                changes = [word for setting in settings for word in ("--change", setting)]
                podman("import", *changes, archive, image, timeout=300)
    return name
