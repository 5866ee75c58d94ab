"""The fast path: answers from memory, before any parser."""
