"""The images of the tests: bases made from Debian's packages, since no registry is asked, and quire's on top.

A base is made once and kept; quire's image is built by every test run, mostly from podman's own cache.
"""

from __future__ import annotations

import platform
import subprocess
import tempfile
from pathlib import Path

from tests.deploy.image_podman import PROJECT, Podman, PodmanError, locked

IMAGE = "localhost/quire-tests"
NGINX = "localhost/quire-tests-nginx"

_BASES = {
    # name: packages, settings of the image
    "localhost/quire-tests-base": (("python3", "python3-venv"), ('CMD ["python3"]',)),
    NGINX: (("nginx-light",), ('CMD ["nginx", "-g", "daemon off;"]', "STOPSIGNAL SIGQUIT")),
}
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_BUILD_TIMEOUT = 1200.0


def quire_image(podman: Podman) -> str:
    """The image of this checkout, built as scripts/image builds it. Raises PodmanError."""
    base = base_image(podman, "localhost/quire-tests-base")
    command = [str(PROJECT / "scripts" / "image"), "--tag", IMAGE, "--base", base, "--network", "host"]
    with locked(podman):
        done = subprocess.run(
            command,
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
    return IMAGE


def base_image(podman: Podman, name: str) -> str:
    """One of the bases, made now (about a minute) when it is not there. Raises PodmanError."""
    packages, settings = _BASES[name]
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    with locked(podman), tempfile.TemporaryDirectory() as folder:
        if not podman.has(name):
            archive = Path(folder, "base.tar")
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
            command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
            done = subprocess.run([*command, release, archive], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise PodmanError(f"mmdebstrap cannot make {name}: {done.stderr[-3000:]}")
            changes = [word for setting in settings for word in ("--change", setting)]
            podman("import", *changes, archive, name, timeout=300)
    return name
