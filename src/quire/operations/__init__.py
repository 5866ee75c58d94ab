"""The operations on an index, the same for every interface: import, update, check."""
