"""quire's own release: the distributions, and their way through an index to a user."""
