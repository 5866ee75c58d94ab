"""The places of docs/sizing.md, with the constants that were measured."""

from __future__ import annotations

from benchmarks.sizing.model import Place, Times
from quire.store.bucket.store import BucketStore
from quire.store.posix.store import PACING

BY_VOLUME = Times(near=60e-6, request=40e-6, question=400e-6, render=1.4e-3, upload=6.7e-3)
BY_BUCKET = Times(near=60e-6, request=72e-6, question=640e-6, render=1.4e-3, upload=6.7e-3)
"""`python -m tests.bucket.rig python -m benchmarks.sizing measure`, 2026-11-30, on two processors of a virtual machine
that were slow that day: a page from a local disk took 18 us when docs/benchmarks.md was measured."""

LOCAL = Place("a local disk", BY_VOLUME)
VOLUME = Place("a volume, 1 ms away", BY_VOLUME, trip=0.001, changed=5, upload_trips=7, pacing=PACING)
BUCKET = Place("a bucket, 10 ms away", BY_BUCKET, trip=0.010, upload_trips=4, pacing=BucketStore.pacing)
PLACES = (LOCAL, VOLUME, BUCKET)
