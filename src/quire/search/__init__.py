"""Search: a catalog of all projects, made from the store. It may be deleted at any time, and is made again."""
