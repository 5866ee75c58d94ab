"""The audit log: who changed what, when, from where, and which revision came of it.

Theory of operation
-------------------
An entry that is written before its change may tell of something that never happened; one that is written after it may
be lost. So it is written neither before nor after, but with it: a project's record carries the entries of its latest
changes, and the write that makes a change adds the entry of that change to the very document that it swaps in. A
deletion, which leaves no document, carries them in the note that stays in its place. There is no change without its
entry, no entry without its change, and no write more than without a log.

A record must not grow for ever. When it carries MOST_CARRIED entries, whoever changes it next first appends the oldest
of them to the project's archive, a record of its own that is only ever appended to, and then leaves them out of the
document that it writes. A death in between leaves entries in both places, which does no harm: an entry has an id, and
whoever appends or reads counts an id once. Before they are archived the record is made certain to last (`confirm`), so
that the archive cannot remember what a power cut takes back.

An archive that cannot be written stops no change: the record then simply goes on carrying its entries.

A quire that does not know of the log keeps the entries as it keeps every field that it does not know; its own changes
are then missing from the log, and the numbers of the revisions show the gap nowhere but in the record's file name.
"""
