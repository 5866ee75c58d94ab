"""All runs of docs/consistency.md by one commit: `python -m tests.proof run`, then `python -m tests.proof write`.

`run` starts one after the other, keeps the report of each in results/ beside this file, and leaves out those that this
commit has already: it may be stopped, and goes on where it was. `write` writes the tables of the page.
"""
