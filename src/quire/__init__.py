"""quire: a private Python package index whose every worker tells the truth at once."""

__version__ = "1.0.0"
DISTRIBUTION = "quire-index"
"""The name to install it by. On the public index `quire` is a program for other things."""
VERSION_LINE = f"quire {__version__} (to install: {DISTRIBUTION})"
"""The answer to `--version`."""
