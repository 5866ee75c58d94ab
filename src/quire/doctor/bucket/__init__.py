"""The examination of `quire doctor s3://...`: whether a bucket behaves as a store in it needs.

A change that one worker acknowledged must be in every other worker's next answer. Whether it is depends on the server
of the bucket, which may ignore conditions, and on the caches in between. So the examination asks through several
connections at once, below a folder of its own in the bucket (`doctor/<random>/`), which is emptied at the end.
`examination` runs the checks; each of `rights`, `conditions`, `visibility`, `transfers` and `settings` has a few.
"""
