"""Tests over real NFS: a Linux kernel that is the server and two of its clients, booted as an ordinary process.

`rig.py` boots it (User-mode Linux), `init.sh` sets it up, `guest/` are the programs that run inside. `make test-nfs`
runs it all; it needs root and the Debian package mmdebstrap, with which it makes `.cache/nfs` once (400 MB, half a
minute).
"""
