"""Is everything that the records promise really in the store, and what is in it that no record promises?

Theory of operation
-------------------
Both questions are asked of a store in use, where a file's bytes are stored before the record that lists them, and
removed after the record that no longer does. So whoever looks at one and then at the other may see a gap that nobody
made. Two rules keep such gaps out of the answers:

- What a record lacks is told only if the record, read again after the gap was seen, still promises it. The promise is
  taken back before the bytes are, so bytes missing under a promise that stands are really missing.
- What no record lists is told with its age, and is garbage only when it is older than a grace period, an hour unless
  somebody says otherwise. A publication links its blobs and then writes its record, seconds later; it can lose a blob
  to `collect_garbage` only if it stood still for the whole hour in between. Ages are by the clock that stamps the
  files, so it does not matter whose clock is wrong. Records are read after the blobs were listed, and once more right
  before each removal.

A third rule is for those who download. Over NFS a download breaks off when its file is removed, so a file stays for a
while after it was taken out of its record. The age counts for that as well: whoever is about to write a record that
lists a blob no longer, renews the blob's age first (`Index`), at most a minute before. An unlisted blob that is older
than the grace has therefore been unlisted for as long, but for that minute, or was never listed. Renewing comes before
the commit, so that no death in between leaves a blob both unlisted and old; one that stays listed has only become
younger, which nobody minds. And the collector asks for the age once more *after* the record no longer listed the blob:
the one it was told by the list may be from before the deletion.

A record that cannot be read promises something unknown; nothing of its project is ever called garbage.

A blob belongs to no index in particular, so the records of all indexes of a store count.
"""

from __future__ import annotations

from quire.operations.checking.check import Check
from quire.operations.checking.collect import GRACE, Collected, collect_garbage
from quire.operations.checking.findings import Checked, Finding, Severity

__all__ = ["GRACE", "Check", "Checked", "Collected", "Finding", "Severity", "collect_garbage"]
