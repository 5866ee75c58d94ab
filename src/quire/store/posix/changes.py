"""Changes that every client notices, also where the server's change attribute is as coarse as its clock.

Theory of operation
-------------------
An NFS client keeps the listing of a directory, and its lookups in it, for as long as the directory's change
attribute is the one that came with them (RFC 8881, 5.8.1.4). Good servers count changes. Some make the attribute from
the change time, which moves in ticks of the server's clock, 1 to 10 ms: xfs of format 4, ext4 on older kernels, file
systems of other makes. There this happens within one tick:

1. W links revision 17; the attribute is now that of this tick.
2. B opens the directory and lists it: up to 17. Its kernel keeps the list, with the attribute.
3. V links revision 18; the attribute stays as it is. V acknowledges.
4. B opens the directory. The attribute is the one it has, so its kernel lists from memory: up to 17. B is wrong, not
   for a moment but until the next change of the directory. B cannot do more: it did open the directory again.

So the writer must act. `publish_change`: when the change is durable, wait out one tick and touch the
directory. No client can have listed the directory without the change under the new attribute; only then the
change is acknowledged. It covers every directory in which a name came or went that matters to others: those of records,
of names and their intent markers, of blobs, and the new directories above them. (What is removed in passing, old
revisions and withdrawn intent markers, may be seen for longer: a higher revision counts, and an intent marker only
makes readers ask the record.) A writer that is refused because of an existing name touches the directory as well: the
refusal reveals the name, and its maker may still be waiting for its tick.

Between the link and the touch a reader that listed in the same tick would still be behind another one that did not. For
records that is excluded by `await_tick`: a writer waits out a tick between reading what it replaces and its link. As
one revision is linked only upon the one before, no two links of one record share a tick. In a directory that many
projects share, the list of names, two creations can share a tick: there one reader may be ahead of another until the
touch, a tick later, and if the creator dies in between, until the next change of the list.

Rejected: made-up times (a later change within the tick brings the old one back), waiting before changes only (writers
of different projects do not wait for each other), asking twice (the client has no reason to go to the server).
"""

from __future__ import annotations

import contextlib
import os
import time


class Changes:
    """Makes the changes of one store visible to all clients."""

    def __init__(self, tick: float = 0.0) -> None:
        """`tick`: seconds in which the server's change attribute moves on; 0 where it counts changes."""
        self.tick = tick

    def await_tick(self) -> None:
        """Before a change that replaces what was just read."""
        if self.tick:
            time.sleep(self.tick)

    def publish_change(self, *directories: str) -> None:
        """After durable changes in these directories, before they are acknowledged. Raises OSError."""
        if not self.tick:
            return
        time.sleep(self.tick)
        for directory in directories:
            with contextlib.suppress(FileNotFoundError):  # it went with its last name
                os.utime(directory)
