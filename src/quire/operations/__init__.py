"""What people do with an index, whichever way they ask: import, update, check."""
