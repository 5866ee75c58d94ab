"""How often the file server is asked: the price of an answer that is true."""

from __future__ import annotations

import pytest

from tests.nfs.conftest import Recorded


@pytest.mark.parametrize("file_system", ["ext4"])
@pytest.mark.parametrize(("flags", "most"), [((), 3), (("--no-drop-in",), 2)], ids=["drop-in", "no drop-in"])
def test_round_trips(machine: Recorded, flags: tuple[str, ...], most: int) -> None:
    """An unchanged page takes one question, one for the rights, and one for the drop-in folder; requests at once share
    theirs.

    Of sixty requests that all come before the first question is answered, one has the first validation and all others
    share the second.
    """
    report = machine.run("round_trips", flags=flags, most=most, burst=60)
    for page in ("page", "list"):
        assert report[page] == {"all": most, "GETATTR": most}, page
    assert report["burst"] == {"all": 2 * most, "GETATTR": 2 * most}
