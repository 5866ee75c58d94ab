"""quire: a private Python package index whose every worker tells the truth at once."""

__version__ = "0.1.0"
