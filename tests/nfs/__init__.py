"""Tests over real NFS: a Linux kernel that is the server and two of its clients, booted as an ordinary process.

`rig.py` boots it (User-mode Linux, a process of `kernel.py`), `init.sh` sets it up, `guest/` are the programs that run
inside. Where the server's power is cut, it is in a kernel of its own. `make test-nfs` runs it all; it needs root and
the Debian package mmdebstrap, with which it makes `.cache/nfs` once (400 MB, half a minute).

    make test-nfs PYTEST_ARGS="--hammer 60"               six times as long under load
    make test-nfs PYTEST_ARGS="-k power"                  what is named so
    make test-nfs JOBS=1                                  one machine at a time instead of two

What each program reported is in `.cache/nfs/results` as JSON; the judged runs are a table at the end of the output.
"""
