"""A real export of devpi-server in `export/`, and `make.py`, which made it."""
