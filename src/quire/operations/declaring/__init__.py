"""Declared configurations: TOML files that say how the indexes, grants and groups of a store are to be."""
