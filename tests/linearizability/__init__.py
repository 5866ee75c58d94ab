"""Does some order explain everything that clients were told? Real servers, many clients, faults, and a judge.

`model` says what a project is, `checker` judges a history, `recording` keeps one, `clients` makes one against servers,
`torture` puts all of it together: `python -m tests.linearizability --help`.
"""
