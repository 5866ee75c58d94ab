"""Record what a Python's own distutils sends: `python -m tests.clients.recorded.record PYTHON...`, of 3.6 to 3.11.

Writes NAME.http for `register` and `sdist upload` of each, the request as it came over the connection, beside this
file. tests/clients/test_distutils.py sends them again, so that clients of old Pythons are tested anywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.clients.servers import PASSWORD, USER

HERE = Path(__file__).parent
SETUP = """
from distutils.core import setup
setup(name="{name}", version="1.0", py_modules=["{name}"], author="A", author_email="a@example.org",
      url="http://example.org", description="d", long_description="One line.\\nAnother.\\n",
      classifiers=["Private :: A", "Private :: B"])
"""


class _Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    recorded = b""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "Authorization" not in self.headers:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="pypi"')
        else:
            self.send_response(200)
            head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            type(self).recorded = f"{self.requestline}\r\n{head}\r\n".encode("latin-1") + body
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _record(python: str, label: str, address: str) -> None:
    for action, commands in (("register", ["register"]), ("upload", ["sdist", "upload"])):
        name = f"distutils{label.replace('.', '')}"
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            (home / ".pypirc").write_text(
                f"[distutils]\nindex-servers = q\n[q]\nrepository: {address}\nusername: {USER}\npassword: {PASSWORD}\n"
            )
            (home / "setup.py").write_text(SETUP.format(name=name))
            (home / f"{name}.py").write_text("VERSION = '1.0'\n")
            (home / "README").write_text("\n")
            subprocess.run(
                [python, "-W", "ignore", "setup.py", *commands, "-r", "q"],
                cwd=home,
                env={"HOME": folder, "PATH": os.environ["PATH"], "SETUPTOOLS_USE_DISTUTILS": "stdlib"},
                check=True,
            )
        (HERE / f"{action}-{label}.http").write_bytes(_Recorder.recorded)


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for python in sys.argv[1:]:
        version = "import sys; print('%d.%d' % sys.version_info[:2])"
        label = subprocess.run([python, "-c", version], check=True, capture_output=True, text=True).stdout.strip()
        _record(python, label, f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()


if __name__ == "__main__":
    main()
