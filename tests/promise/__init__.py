"""The parts of the interface that no minor version removes or renames: docs/stability.md has the promise in words."""
