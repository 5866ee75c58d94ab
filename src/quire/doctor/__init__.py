"""The examinations of `quire doctor`: whether a volume keeps quire's promise.

A change that one worker acknowledged must be in every other worker's next answer. Whether it is depends on the file
system below: on the mount options, on the server's timestamps, and on the client's cache. So the examination reads the
facts (`volume`), tries single operations (`primitives`, `measures`), runs the store's conformance suite, and runs a
test from two sides at once, best on two machines (`two_nodes`), connected by TCP (`pairing`, `channel`). All files of
the tests are in a scratch folder (`scratch`) that is removed afterwards; the store's own files are neither read nor
written.
`doctor.examine` runs everything; `findings` holds the conclusions.
"""
