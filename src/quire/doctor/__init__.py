"""Does this volume keep quire's promise? Everything behind `quire doctor`.

Whether what one worker acknowledged is in every other worker's next answer depends on the file system below: on how
it is mounted, on what its server stamps, and on what its clients answer from memory. So it is looked at (`volume`),
asked (`primitives`, `measures`), put through the store's conformance suite, and tested from two sides at once, best
from two machines (`two_nodes`), which talk over TCP (`pairing`, `channel`). All of it happens in a folder of its own
(`scratch`) that is removed afterwards; nothing that the store holds is read or touched. `doctor.examine` does
everything; `findings` says what follows.
"""
