"""The sample of `make test-bucket BUCKET_SAMPLE=yes`, which CI runs.

On the S3 server it has all tests. On Azurite and on the double of GCS it has the tests of `tests/bucket` that run on
each server, the contract of stores among them, and the HTTP tests in CORE; the other HTTP tests are about requests more
than about stored files. The examination of servers that break the promise is left out: one of them has a root file
system of its own.
"""

from __future__ import annotations

import os
from typing import Final

VARIABLE: Final = "TESTS_BUCKET_SAMPLE"
CORE: Final = (
    *("tests.http.simple.test_pages", "tests.http.simple.test_files", "tests.http.simple.test_uploads"),
    *("tests.http.ui.test_project", "tests.http.ui.test_inside"),
)
"""Modules of the HTTP tests that read and write the most of a store: pages, downloads, uploads, members of files."""


def is_sample() -> bool:
    """Whether this run is one of the sample."""
    return os.environ.get(VARIABLE) == "1"
