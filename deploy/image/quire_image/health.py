"""The image's HEALTHCHECK: ask quire's health endpoint, exit with 0 when it answers 200.

It runs twice a minute for as long as the container lives, on fractions of a processor: so it imports next to nothing,
and reads where quire listens from the note that the entry point left.
"""

from __future__ import annotations

import os
import socket
import sys

from quire_image import private

NOTE = "health"
"""Name of the note in the private folder: host, port and path, a line each."""

TIMEOUT = 4.0
"""Seconds; less than the HEALTHCHECK's own, so that there is an answer."""


def target() -> tuple[str, int, str]:
    """Host, port and path to ask: what the note says, else quire's defaults."""
    note = private.find(os.environ, NOTE)
    if note is not None:
        host, port, path = note.read_text(encoding="utf-8").splitlines()
        return host, int(port), path
    # Kubernetes sets QUIRE_PORT=tcp://... where there is a service called quire
    numbers = (os.environ.get(name, "") for name in ("QUIRE_PORT", "PYPISERVER_PORT", "PORT"))
    port = next((number for number in numbers if number and "://" not in number), "8080")
    return "127.0.0.1", int(port), "/health"


def status(host: str, port: int, path: str) -> int:
    """The status code of the answer. Raises OSError or ValueError when there is none."""
    with socket.create_connection((host, port), timeout=TIMEOUT) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        first = b""
        while b"\r\n" not in first and len(first) < 1024 and (more := connection.recv(1024)):
            first += more
    version, code = first.split(None, 2)[:2]
    if not version.startswith(b"HTTP/"):
        raise ValueError("no HTTP")
    return int(code)


def main() -> int:
    """Exit code 0 for healthy, 1 for anything else, with a line that says why."""
    try:
        host, port, path = target()
        code = status(host, port, path)
    except (OSError, ValueError) as error:
        print(f"quire does not answer: {error}")
        return 1
    if code != 200:
        print(f"quire answers {code} to GET {path}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
