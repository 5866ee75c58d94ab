"""Trusted publishing as clients call it: discovery, and the exchange of a CI job's token for one of the index."""
