"""The limits of reading an archive, which no figure in the archive can raise.

Used as `limits.NAME`, so that there is one place at which a test can lower them.
"""

from __future__ import annotations

MAX_METADATA_BYTES = 4 * 1024 * 1024
"""Largest core metadata document. The longest real ones hold a README of a few hundred KiB."""

MAX_MEMBERS = 100_000
"""Most members of an archive. The largest real sdists have about 60,000."""

MIN_EXPANDED_LIMIT = 512 * 1024 * 1024
MAX_EXPANSION = 50
"""An sdist may expand to MIN_EXPANDED_LIMIT bytes, or to MAX_EXPANSION times its size if that is more.

Source code shrinks to a fifth and test data to a twentieth, a bomb to a thousandth (bzip2: a millionth). The bound is
about time only, since nothing is kept: it lets a small upload cost a second or two of one core, and no more.
"""

MAX_ZIP_EXPANSION = 50
MIN_ZIP_EXPANDED_LIMIT = 64 * 1024 * 1024
"""As for sdists, with PyPI's figures: a zip states the sizes of its members before anything is expanded."""
MAX_EXPANDED_LIMIT = 16 * 1024 * 1024 * 1024
"""No archive expands to more, however large it is: a minute of one core."""

MAX_LOOKED_AT = 128 * 1024 * 1024
"""An sdist that a person looks into has at most so many bytes, and expands to at most so many."""
MAX_LOOK_SECONDS = 5
"""Of one core, until such an sdist is expanded: gzip takes a second, bzip2 ten times as long."""

CHUNK = 64 * 1024
MAX_DIRECTORY_BYTES = 16 * 1024 * 1024  # of a zip: 100,000 members with names of 120 bytes
MAX_NAME_BYTES = 16 * 1024 * 1024  # the names of all members, and of all folders above them: both are remembered
MAX_RECORD_BYTES = 32 * 1024 * 1024  # of a wheel's RECORD: a path, a digest and a size for each member
MAX_RECORD_ROW = 16 * 1024  # characters: a path and a digest, quoted; csv takes a row whole
MAX_SMALL_FILE_BYTES = 256 * 1024  # of a wheel's WHEEL and entry_points.txt, which have a few lines
MAX_BLANKS = 100  # in a row within a line of entry_points.txt: what it takes to parse them grows by their square
MAX_WHEEL_LINES = 2000  # of WHEEL: a line for each tag
MAX_PART_BYTES = 255  # of a member's path: NAME_MAX of every usual file system
MAX_DEPTH = 200  # folders in each other: pip makes them by recursion
MAX_HEADER_BYTES = 256 * 1024  # of a tar, before one member: tarfile takes long names and pax records whole
MAX_DIGITS = 120  # in a row in a header of a tar: a name there has 100 bytes, and the number behind it 8
MAX_GLOBAL_HEADERS = 100  # tarfile keeps the global pax records, each of which may have that size
MAX_PATH_CHARS = 4096  # PATH_MAX; no program could extract a longer one
MAX_LINKS = 10_000  # links are remembered, to refuse members beneath them
MAX_STREAMS = 100_000  # gzip and its like may be concatenated; each costs a new decoder
LZMA_MEMORY = 128 * 1024 * 1024  # `xz -9` needs 65 MiB; the format could ask for 4 GiB
