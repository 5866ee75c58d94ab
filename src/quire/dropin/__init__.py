"""Drop-in folders: distributions copied into them are served in place, read-only."""
