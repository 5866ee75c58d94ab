"""The hosted files of one index: the only writer of project records, and what is written down of each change."""
