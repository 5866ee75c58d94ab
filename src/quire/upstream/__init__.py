"""Other indexes, which files come from."""
