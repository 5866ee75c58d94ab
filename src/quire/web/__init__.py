"""The former place of `quire.http`."""
