"""The examination of an imported file: it was served before, so fewer rules apply than for an upload."""

from __future__ import annotations

from quire.archives.metadata import is_complete_archive
from quire.domain.errors import InvalidName
from quire.domain.names import ParsedFilename, normalize_name
from quire.dropin.facts import offered_metadata
from quire.index.upload import Upload
from quire.operations.importing.source import Refused
from quire.store.contracts import Staged


def as_served(staged: Staged, parsed: ParsedFilename) -> Upload:
    """Staged bytes as an upload, as a drop-in folder would describe them. Raises Refused."""
    with staged.open() as file:
        if not is_complete_archive(file, parsed):
            raise Refused("It is not a complete archive: damaged, or still being copied.")
        file.seek(0)
        document, core = offered_metadata(file, parsed)
    return Upload(
        parsed=parsed,
        staged=staged,
        project_name=core.name if core is not None and _is_name_of(core.name, parsed.project) else parsed.project,
        metadata=document,
        requires_python=core.requires_python if core is not None else None,
    )


def _is_name_of(spelled: str, name: str) -> bool:
    try:
        return normalize_name(spelled) == name
    except InvalidName:
        return False
