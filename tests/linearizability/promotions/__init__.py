"""The judge over promotions: stages are promoted over HTTP and by processes that are killed, and read meanwhile.

`python -m tests.linearizability.promotions` is a run of it.
"""
