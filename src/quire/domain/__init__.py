"""Names, versions, project documents and their changes. Pure: no files, no sockets, no threads."""
