"""A real S3 server with conditional writes: Ceph's gateway over one monitor and one OSD in memory, on the loopback.

Debian's unstable release has Ceph 20, the first version whose gateway keeps all conditions that the store needs. Its
programs run in a root file system of their own, made once with mmdebstrap in `.cache/bucket/rootfs`. All data is in the
memory of the OSD and ends with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import platform
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.serving import free_port

PROJECT = Path(__file__).parent.parent.parent
CACHE = PROJECT / ".cache" / "bucket"
CEPH_20 = ("unstable", "rootfs")
"""A release of Debian, and the folder of its root file system."""
CEPH_18 = ("trixie", "rootfs-18")
"""Its gateway never replaces an object under a condition."""
PACKAGES = ("ceph-mon", "ceph-osd", "radosgw", "ceph-common")
ACCESS_KEY, SECRET_KEY, REGION = "test", "testsecret", "us-east-1"
LIMITED_KEY, LIMITED_SECRET = "limited", "limitedsecret"
"""Of a second user, `limited`, who may do what a bucket's policy grants and nothing else."""
_OLD_MIRRORS = 'Acquire::Check-Valid-Until "false"'
"""A mirror of unstable may be weeks behind. Its signature is checked all the same."""
_START_SECONDS = 90.0
_OSD_BYTES = 3 * 1024**3

_CONFIGURATION = """
[global]
fsid = {fsid}
mon initial members = a
mon host = v2:127.0.0.1:{monitor_port}
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 2
osd pool default pgp num = 2
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
run dir = {home}/run
log file = {home}/$name.log
admin socket = {home}/run/$name.asok
osd objectstore = memstore
osd class dir = /usr/lib/{machine}-linux-gnu/rados-classes
memstore device bytes = {bytes}
osd data = {home}/osd
mon data = {home}/mon
ms bind ipv6 = false
public addr = 127.0.0.1
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
"""


class RigError(Exception):
    """The server cannot be had on this machine."""


@dataclass(frozen=True)
class S3Server:
    """A server that runs, and how to reach it."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
        }

    def make_bucket(self) -> str:
        """A new bucket; its URL."""
        name = f"quire-{secrets.token_hex(6)}"
        response = httpx.put(f"http://127.0.0.1:{self.port}/{name}", headers=self._signed("PUT", f"/{name}"))
        response.raise_for_status()
        return f"s3://{name}"

    def _signed(self, method: str, path: str) -> dict[str, str]:
        """The headers of a request without a body (AWS Signature Version 4)."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        nothing = hashlib.sha256(b"").hexdigest()
        headers = {"host": f"127.0.0.1:{self.port}", "x-amz-content-sha256": nothing, "x-amz-date": now}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        asked = hashlib.sha256(f"{method}\n{path}\n\n{lines}\n{names}\n{nothing}".encode()).hexdigest()
        key = f"AWS4{SECRET_KEY}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{asked}".encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers


def prepare(ceph: tuple[str, str] = CEPH_20) -> Path:
    """The root file system, made now if it is not there. Raises RigError."""
    release, folder = ceph
    if sys.platform != "linux" or os.geteuid() != 0:
        raise RigError("The S3 server of the tests needs Linux and root, for a root file system of its own.")
    rootfs = CACHE / folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not rootfs.is_dir():
            _install_mmdebstrap()
            building = CACHE / f"{folder}.new"
            shutil.rmtree(building, ignore_errors=True)
            print(f"Making a root file system of Debian packages in {rootfs} (two minutes) ...", flush=True)
            _call(
                *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
                f"--aptopt={_OLD_MIRRORS}",
                *(release, building),
            )
            building.rename(rootfs)
    return rootfs


def _install_mmdebstrap() -> None:
    if shutil.which("mmdebstrap") is None:
        if shutil.which("apt-get") is None:
            raise RigError("The S3 server needs the program mmdebstrap, and there is no apt-get to install it with.")
        environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        _call("apt-get", "update", "--quiet", env=environ)
        _call("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "mmdebstrap", env=environ)


def _call(*command: object, env: dict[str, str] | None = None) -> None:
    arguments = [str(word) for word in command]
    done = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, env=env
    )
    if done.returncode != 0:
        raise RigError(f"{shlex.join(arguments)} failed with {done.returncode}: {done.stderr[-2000:]}")


class _Cluster:
    """The programs of one server, each in the root file system, with mounts of its own."""

    def __init__(self, rootfs: Path, home: str) -> None:
        self._rootfs = rootfs
        self._home = home

    def command(self, *words: object) -> list[str]:
        """In a mount namespace of its own, so that nothing stays mounted here."""
        mounts = "mount -t proc proc {0}/proc; mount --rbind /dev {0}/dev; exec chroot {0} /usr/bin/env -i".format(
            shlex.quote(str(self._rootfs))
        )
        inner = [
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            f"CEPH_CONF={self._home}/ceph.conf",
            *map(str, words),
        ]
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{mounts} {shlex.join(inner)}"]

    def run(self, *words: object) -> None:
        _call(*self.command(*words))

    @contextmanager
    def daemon(self, *words: object) -> Iterator[subprocess.Popen[bytes]]:
        """A program that runs until the end."""
        output = self._rootfs / self._home.lstrip("/") / f"{words[0]}.out"
        with output.open("wb") as log:
            process = subprocess.Popen(
                self.command(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            yield process
        finally:
            # What it holds is in its memory alone: nothing is lost by ending it at once.
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def s3_server(ceph: tuple[str, str] = CEPH_20) -> Iterator[S3Server]:
    """A server on a free port. Raises RigError."""
    rootfs = prepare(ceph)
    port, monitor_port, fsid = free_port(), free_port(), str(uuid.uuid4())
    home = f"/srv/{fsid}"
    folder = rootfs / home.lstrip("/")
    for name in ("mon", "osd", "run", "rgw"):
        (folder / name).mkdir(parents=True)
    text = _CONFIGURATION.format(
        fsid=fsid, monitor_port=monitor_port, port=port, home=home, bytes=_OSD_BYTES, machine=platform.machine()
    )
    (folder / "ceph.conf").write_text(text)
    cluster = _Cluster(rootfs, home)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        monitor = f"[v2:127.0.0.1:{monitor_port}]"
        cluster.run("monmaptool", "--create", "--clobber", "--addv", "a", monitor, "--fsid", fsid, f"{home}/monmap")
        cluster.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{home}/monmap")
        stack.enter_context(cluster.daemon("ceph-mon", "-i", "a", "-f"))
        disk = str(uuid.uuid4())
        cluster.run("ceph", "--connect-timeout", 60, "osd", "new", disk)
        cluster.run("ceph-osd", "-i", 0, "--mkfs", "--osd-uuid", disk)
        stack.enter_context(cluster.daemon("ceph-osd", "-i", 0, "-f"))
        keyring = f"{home}/keyring"
        cluster.run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "client.admin")
        names = ("-n", "client.admin", "--ms-mon-client-mode=crc", f"--keyring={keyring}", f"--rgw-data={home}/rgw")
        gateway = stack.enter_context(cluster.daemon("radosgw", *names, "-f"))
        _wait_for(port, gateway)
        user = ("--uid=test", "--display-name=test", f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}")
        cluster.run("radosgw-admin", "user", "create", *user)
        limited = (f"--access-key={LIMITED_KEY}", f"--secret-key={LIMITED_SECRET}")
        cluster.run("radosgw-admin", "user", "create", "--uid=limited", "--display-name=limited", *limited)
        yield S3Server(port)


def _wait_for(port: int, gateway: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and gateway.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/")
            return
        time.sleep(0.2)
    raise RigError("The S3 server did not start.")


def main() -> int:
    """Run a command beside a server: its environment leads there, and TESTS_BUCKET is the URL of a new bucket."""
    if len(sys.argv) == 1:
        prepare()
        return 0
    with s3_server() as server:
        environ = os.environ | server.environment | {"TESTS_BUCKET": server.make_bucket()}
        return subprocess.run(sys.argv[1:], env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
