"""`quire` with a bucket in its memory: `python -m tests.bucket_in_memory run ... s3://memory/python`.

The bucket is obstore's own, behind the client that talks to the clouds. It is one of a process, so a server has one
worker, and what the check before its start writes is written once more by the worker.
"""

from __future__ import annotations

import sys

from quire.cli import main
from tests.store.bucket.counted import counted_bucket

if __name__ == "__main__":
    with counted_bucket():
        sys.exit(main(sys.argv[1:]))
