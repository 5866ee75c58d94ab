"""Real clients (pip, uv, twine, poetry, pdm) against real servers: two ports, one directory."""
