"""Moving a folder of distributions into the store, while servers go on serving both; `stores` copies another store.

Theory of operation
-------------------
A folder of pypiserver holds the files of years, so an import takes all that a drop-in folder serves: every complete
file whose name can be read as that of a distribution, with all metadata that can be relied on. The rules of uploads are
for new files.

*Atomic.* The files of one project are staged first, then published in one step, or in several when they are many or
large (`BATCH_FILES`, `BATCH_BYTES`): staged bytes are swept when they are old, so they must not wait for long.

*Never overwriting.* A file that is published already with the same content is left alone; with other content it is a
conflict, reported, and nothing is changed. The same holds for drop-in files that are served beside the store.
So an import may be stopped at any time and repeated: it goes on where it was.

**Moving.* A source file is removed only after its project's record is durable, after the stored bytes were read back
and found to have the digest, and while the source still has the size, mtime and inode it was read with. Readers read
the folder before the record (see `quire.catalog.views`), so no answer misses a file that moves.

*Copy or link.* By default the bytes are copied. A hard link would cost neither time nor space, but then the store and
the folder share one inode, and a program that overwrites the file in place (pypiserver's `--overwrite`, `cp` onto it)
changes bytes that are published as immutable. Together with moving, a link is a rename: the other name is gone a
moment later. So `link` is for folders that are no longer written, and for moving tens of gigabytes at once.

The upload time is the source's mtime, the best known time of its publication.
"""

from __future__ import annotations

from quire.operations.importing.importer import Importer
from quire.operations.importing.outcome import Outcome, Report, Result
from quire.operations.importing.stores import StoreImporter

__all__ = ["Importer", "Outcome", "Report", "Result", "StoreImporter"]
