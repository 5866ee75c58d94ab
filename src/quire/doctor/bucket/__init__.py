"""Does this bucket keep what a store in it relies on? What `quire doctor s3://...` does.

Whether what one worker acknowledged is in every other worker's next answer depends on the server of the bucket, and on
what is between: conditions that it ignores, and caches. So the examination asks through several connections at once,
below a folder of its own in the bucket (`doctor/<random>/`), which is emptied at the end. `examination` runs the
checks; each of `rights`, `conditions`, `visibility`, `transfers` and `settings` has a few.
"""
