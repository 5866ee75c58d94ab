"""Advisories in the store: `reading.py` reads what operators give, `packed.py` is the form in which they are kept, and
`known.py` is what a worker knows of them."""
