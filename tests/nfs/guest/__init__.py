"""Programs that run inside the machine of the rig. Each module is one: `run(**arguments)` returns what it found."""
