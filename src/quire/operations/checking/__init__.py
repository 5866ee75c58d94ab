"""Find files that records list and the store lacks, and files in the store that no record lists.

Theory of operation
-------------------
The store is in use: a file's bytes are stored before the record that lists them, and removed after the record that
unlists them. So reading one after the other may show a gap that does not exist. Two rules exclude such gaps:

- Missing bytes are reported only if the record, read again after the gap was seen, still lists them. A file is unlisted
  before its bytes are removed, so the bytes of a listed file are really missing.
- Unlisted bytes are reported with their age, and are garbage only when they are older than a grace period, an hour by
  default. A publication links its blobs and then writes its record, seconds later; it can lose a blob to
  `collect_garbage` only if it stops for the whole hour in between. Ages are by the clock of the files' times, so wrong
  clocks of machines do not matter. Records are read after the blobs were listed, and once more right
  before each removal.

A third rule is for downloads. Over NFS a download fails when its file is removed, so a file stays for a while after it
was unlisted. Its age measures that, too: a writer that unlists a blob renews the blob's age first (`Index`), at most a
minute before. So an unlisted blob that is older than the grace period has been unlisted for that long, but for the
minute, or was never listed. The age is renewed before the commit, so that no crash in between leaves a blob both
unlisted and old; a blob that stays listed is only younger, which is harmless. And the collector reads the age again
*after* the record unlisted the blob: the age in the list may be from before the deletion.

A record that cannot be read may list anything; no blob of its project is garbage.

A blob belongs to no index in particular, so the records of all indexes of a store count.
"""

from __future__ import annotations

from quire.operations.checking.check import Check
from quire.operations.checking.collect import GRACE, Collected, collect_garbage, noting_damage
from quire.operations.checking.findings import Checked, Finding, Severity

__all__ = ["GRACE", "Check", "Checked", "Collected", "Finding", "Severity", "collect_garbage", "noting_damage"]
