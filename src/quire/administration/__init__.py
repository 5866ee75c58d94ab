"""Administration of a store, on the store itself or through a server's JSON API: the documents of both."""
