"""A real S3 server with conditional writes: Ceph's gateway over one monitor and one OSD in memory, on the loopback.

Debian's unstable release has Ceph 20, the first version whose gateway keeps all conditions that the store needs. Its
programs run in a root file system of their own, made once with mmdebstrap in `.cache/bucket/rootfs`. All data is in the
memory of the OSD and ends with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import platform
import secrets
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import httpx

from tests.bucket.servers import CACHE, BucketServer, daemon, unused_port, wait_until_it_answers
from tests.rootfs import RigError, call, root_file_system

CEPH_20 = ("unstable", "rootfs")
"""A release of Debian, and the folder of its root file system."""
CEPH_18 = ("trixie", "rootfs-18")
"""Its gateway never replaces an object under a condition."""
PACKAGES = ("ceph-mon", "ceph-osd", "radosgw", "ceph-common")
ACCESS_KEY, SECRET_KEY, REGION = "test", "testsecret", "us-east-1"
LIMITED_KEY, LIMITED_SECRET = "limited", "limitedsecret"
"""Of a second user, `limited`, whose rights are those that a bucket's policy grants, and no others."""
_OLD_MIRRORS = 'Acquire::Check-Valid-Until "false"'
"""A mirror of unstable may be weeks behind. Its signature is checked all the same."""
_COMMAND_SECONDS = 120.0
"""Each takes a second on an idle machine."""
_OSD_BYTES = 8 * 1024**3
"""The OSD takes no more than its objects have."""

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


class S3Server(BucketServer):
    """A server that runs, and how to reach it."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
        }

    def make_bucket(self) -> str:
        name = f"quire-{secrets.token_hex(6)}"
        url = f"http://127.0.0.1:{self.port}/{name}"
        httpx.put(url, headers=self._signed("PUT", f"/{name}"), timeout=_COMMAND_SECONDS).raise_for_status()
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
    return root_file_system(CACHE / folder, release, PACKAGES, options=[f"--aptopt={_OLD_MIRRORS}"])


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
        call(*self.command(*words), seconds=_COMMAND_SECONDS)

    def daemon(self, *words: object) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """A program that runs until the end. Its objects are in its memory alone."""
        return daemon(self.command(*words), self.output(str(words[0])))

    def output(self, program: str) -> Path:
        return self._rootfs / self._home.lstrip("/") / f"{program}.out"


@contextmanager
def s3_server(ceph: tuple[str, str] = CEPH_20) -> Iterator[S3Server]:
    """A server on a free port. Raises RigError."""
    rootfs = prepare(ceph)
    port, monitor_port, fsid = unused_port(), unused_port(), str(uuid.uuid4())
    home = f"/srv/{fsid}"
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(rootfs, home))
        for name in ("mon", "osd", "run", "rgw"):
            (folder / name).mkdir()
        text = _CONFIGURATION.format(
            fsid=fsid, monitor_port=monitor_port, port=port, home=home, bytes=_OSD_BYTES, machine=platform.machine()
        )
        (folder / "ceph.conf").write_text(text)
        cluster = _Cluster(rootfs, home)
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
        wait_until_it_answers("The S3 server", port, gateway, cluster.output("radosgw"))
        user = ("--uid=test", "--display-name=test", f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}")
        cluster.run("radosgw-admin", "user", "create", *user)
        limited = (f"--access-key={LIMITED_KEY}", f"--secret-key={LIMITED_SECRET}")
        cluster.run("radosgw-admin", "user", "create", "--uid=limited", "--display-name=limited", *limited)
        yield S3Server(port)


@contextmanager
def _folder(rootfs: Path, home: str) -> Iterator[Path]:
    """A folder of one server. Those that servers left behind when they were killed are removed first."""
    folder = rootfs / home.lstrip("/")
    with ExitStack() as stack:
        with (CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for mark in folder.parent.glob("*/lock"):
                with mark.open("w") as other, suppress(BlockingIOError):
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(mark.parent, ignore_errors=True)
            folder.mkdir(parents=True)
            ours = stack.enter_context((folder / "lock").open("w"))
            fcntl.flock(ours, fcntl.LOCK_EX)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder
