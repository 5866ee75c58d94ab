"""Does this volume keep quire's promise? Everything behind `quire doctor`.

Whether what one worker acknowledged is in every other worker's next answer depends on the file system below: on the
mount options, on the server's timestamps, and on the client's cache. So the doctor reads the facts (`volume`), tries
single operations (`primitives`, `measures`), runs the store's conformance suite, and runs a test from two sides at
once, best on two machines (`two_nodes`), which talk over TCP (`pairing`, `channel`). All files of the tests are in a
scratch folder (`scratch`) that is removed afterwards; the store's own files are neither read nor written.
`doctor.examine` runs everything; `findings` holds the conclusions.
"""
