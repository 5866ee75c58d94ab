"""The findings of `quire doctor` for a volume, alone on one client, or with both clients as the two machines.

Programs run beside the two clients, not in their network namespaces, so the two talk over this machine's loopback.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.nfs.guest.mounts import A, B, new_folder
from tests.serving import environment, free_port


def run(peer: bool, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """The exit codes and the documents of both (or of the one), and what they left in the directory.

    `settings`: QUIRE_* variables.
    """
    folder = new_folder()
    address = f"127.0.0.1:{free_port()}"
    examined = [(A, ["--listen", address]), (B, ["--peer", address])] if peer else [(A, [])]
    doctors = [
        subprocess.Popen(
            [sys.executable, "-m", "quire", "doctor", "--quick", "--json", *options, str(mount / folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**(settings or {})),
        )
        for mount, options in examined
    ]
    answers = [doctor.communicate() for doctor in doctors]
    for doctor, (_, errors) in zip(doctors, answers, strict=True):
        assert doctor.returncode in {0, 1, 2}, errors
    return {
        "codes": [doctor.returncode for doctor in doctors],
        "documents": [json.loads(output) for output, _ in answers],
        "left": [str(path) for path in sorted((A / folder).rglob("*"))],
    }
