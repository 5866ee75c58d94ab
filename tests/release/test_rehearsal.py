"""A release, rehearsed: from a clean clone to an installed wheel and a running image, by the commands of the pages.

`make test-rehearsal` runs it, since it makes an environment and an image. The pages are CONTRIBUTING.md and
docs/releasing.md; what differs here is where the clone comes from, the base of the image (no registry is asked) and the
port.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

import quire
from tests.deploy import image_build
from tests.deploy.image_podman import Podman
from tests.documents import DOCS, ROOT, block
from tests.serving import free_port

pytestmark = pytest.mark.rehearsal

_SECONDS = 3000.0


def ran(script: str, folder: Path, podman: Podman) -> str:
    """The output of a script that ends well, on a machine that knows nothing of this checkout."""
    kept = {name: value for name, value in podman.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(
        ["sh", "-euxc", script],
        cwd=folder,
        env=kept | {"PATH": os.defpath + os.pathsep + os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


def test_from_a_clean_clone_to_a_wheel_and_an_image(tmp_path: Path, podman: Podman) -> None:
    """The test of a contributor is green, the build is the same twice, the wheel runs, the image takes and gives it."""
    first = block(ROOT / "CONTRIBUTING.md", "sh", "first-test")
    said = ran(first.replace("git clone URL", f"git clone --quiet {ROOT}"), tmp_path, podman)
    assert " passed" in said

    clone = tmp_path / "quire"
    assert f"{quire.VERSION_LINE}\n" in ran(block(DOCS / "releasing.md", "sh", "distributions"), clone, podman)
    (wheel,) = clone.glob("dist/quire_index-*.whl")

    base, port = image_build.base_image(podman, image_build.BASE), free_port()
    script = block(DOCS / "releasing.md", "sh", "image").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    script = script.replace("scripts/image", f"scripts/image --base {base} --network host")
    try:
        assert f"{quire.VERSION_LINE}\n" in ran(script, clone, podman)
    finally:
        podman.try_("rm", "--force", "--time", 0, "rehearsal")
    (fetched,) = clone.glob("fetched/quire_index-*.whl")
    assert hashlib.sha256(fetched.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()
