"""Backups of a whole store, and restoring one, while servers go on.

Theory of operation
-------------------
*A place of backups* is a store of its own, whose mark says so (`quire.store.purposes`), with blobs alone:
`objects/<two digits>/<sha256>`, the bytes of records and files, each once; and `manifests/<moment>.json.gz`, which
lists the keys of one backup with the digests of their bytes. The manifest is published last, in one step, so a backup
that was interrupted at any instant is none, and its objects are found by the next one.

*Consistency.* All records of one name (a project, its older log, its trash, how far its webhooks are) are read until
two readings agree: between the two there was a moment at which all of them were so. A pass over all names counts only
if no promotion began, was committed or ended meanwhile, since the journal of one decides about several projects; a
folder that is made meanwhile is left out. Then the bytes that the records name are copied. When some are gone by then,
their file was deleted meanwhile, and another pass reads what changed since; those that a record names although they
were gone before it was read are missing in the store itself. So each record is as it was at a moment after the start,
and all bytes that it names are in the backup, but for those that the store has lost, which the manifest lists.

*Sharing.* A backup relies on the objects of the newest one before it. Other objects that are there already (of an
interrupted backup, say) are made young and durable first. Objects that are read back damaged are removed and stored
again; one that the place does not give ends the backup, since it may be good, and older backups may name it.
A removal takes the manifests away first, and then the objects that no manifest names, if they are old: younger ones may
be of a backup that is under way. Each is durable before the next, so that a power cut brings no manifest back whose
objects are gone. A backup whose predecessor, or an object that it made young, is gone when its manifest was published
withdraws it. So no order of two commands leaves a manifest without its objects, unless a backup takes longer than
`UNNAMED_SECONDS`, or the removal of one object from before it is made young until the backup is there.

*Restoring* fills an empty store, which is marked until all is there: until then no server opens it. Keys that are there
already are made durable and left, so an interrupted one is repeated. A record that the backup does not have keeps the
mark, like other damage. When the rest is wanted all the same, the absence of a record must open nothing: a lost project
is written as a deleted one, whose name stays local, and lost access rules as damaged ones, which end every start.
"""

from __future__ import annotations

from quire.operations.backup.place import Backups
from quire.operations.backup.restoring import Restored, restore
from quire.operations.backup.taking import ReadBack, Taken, take

__all__ = ["Backups", "ReadBack", "Restored", "Taken", "restore", "take"]
