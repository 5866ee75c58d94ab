"""The judge over mirrored pages: an upstream that changes, fails and lies, workers that are killed, and readers.

`python -m tests.linearizability.mirrors` is a run of it; `judge` has the rules, and why they are enough.
"""
