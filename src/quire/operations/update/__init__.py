"""`quire update`: newer files of the projects in a folder."""
