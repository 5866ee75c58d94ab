"""Folders that people copy distributions into: served in place, read-only."""
