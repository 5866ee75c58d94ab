"""Trusted publishing: CI jobs that may upload because of what their platform says of them. Pure; no I/O."""
