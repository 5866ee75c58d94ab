"""Hostile clients: what is sent to break the index, and what must hold while it is."""
