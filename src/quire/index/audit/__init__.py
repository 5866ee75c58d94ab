"""The audit log: each change with its user, time, origin and revision.

Theory of operation
-------------------
An entry that is written before its change may describe a change that never happened; one that is written after it may
be lost. So change and entry are one write: a project's record carries the entries of its latest changes, and each
change adds its entry to the document that it swaps in. A deletion leaves no document; its note carries the entries.
There is no change without its entry, no entry without its change, and no additional write.

A record must not grow without bound. When it carries MOST_CARRIED entries, the next change first appends the oldest of
them to the project's archive, an append-only record of its own, and then leaves them out of its document. A crash in
between leaves entries in both places, which does no harm: an entry has an id, and appending and reading count an id
once. Before entries are archived the record is made durable (`confirm`), so that the archive holds no entry of a change
that a power cut undoes.

When the archive cannot be written, changes go on: the record then keeps its entries.

A quire without the log keeps the entries, as every unknown field. Its own changes are missing from the log; the gap
shows in the revision numbers.
"""
