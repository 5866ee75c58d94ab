"""Work on the mirrors of a store: fetching the files of locks, and carrying what is kept to another store."""
