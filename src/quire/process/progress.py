"""The progress of long work, which a command shows."""

from __future__ import annotations


class Progress:
    """Receives progress. Shows nothing; see `quire.commands.progress`. Thread-safe."""

    def step(self, title: str, total: int) -> None:
        """Something begins that has about `total` parts, or bytes."""

    def advance(self, amount: int) -> None:
        """So many more of them are done."""

    def reach(self, done: int) -> None:
        """So many of them are done in all."""

    def say(self, sentence: str) -> None:
        """Something that the user should know while the work goes on."""
