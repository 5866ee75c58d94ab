"""The environment with the tools that check the Terraform module: checkov, and the schema of Terraform's AWS provider.

It is `.venvs/deploy`, made from requirements/deploy.txt with the digests checked, and kept as long as that file is the
same. It is apart from the tests' own environment, as checkov asks for old versions of what that has.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.clients.environments import FOLDER, locked

PROJECT = Path(__file__).parent.parent.parent
LOCK = PROJECT / "requirements" / "deploy.txt"
_ENVIRONMENT = FOLDER / "deploy"
_DEADLINE = 600.0
"""Seconds that the installation may take: it is large."""


def programs() -> Path:
    """The folder with `python` and `checkov`, installed first if need be."""
    return locked("deploy", LOCK, _DEADLINE)


def provider_package() -> Path:
    """The archive within cdktf-cdktf-provider-aws that describes the provider."""
    (archive,) = _ENVIRONMENT.glob("lib/python3.*/site-packages/cdktf_cdktf_provider_aws/_jsii/*.tgz")
    return archive


def run(script: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a Python script in that environment, with a text as its input."""
    command = [str(programs() / "python"), "-c", script]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=_DEADLINE, check=False)
