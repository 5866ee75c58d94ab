"""What a container does besides quire: look at its volumes, make its password file, answer its health check.

It is installed into the image only. Order of events: dumb-init is PID 1 and starts `__main__`, which resolves the
settings exactly as quire will, checks what the container was given (`volumes`), writes what it was handed as
environment variables to a private folder (`credentials`, `private`), and goes on as quire in the same process.
"""
