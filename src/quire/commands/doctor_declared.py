"""The finding of `quire doctor` about a store that is not as a configuration file declares it."""

from __future__ import annotations

from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.doctor.findings import Finding, Weight
from quire.domain.errors import ConfigurationError, StoreError
from quire.index.audit.entries import Origin
from quire.operations.declaring.applying import compared
from quire.operations.opening import open_index

_SHOWN = 3


def undeclared(settings: Settings) -> Finding | None:
    """The differences of the store from the declared configuration; None where there is none, or nothing is declared.

    None too where the store cannot be read, which the examination itself finds. Blocks.
    """
    file = settings.declared
    if file is None or settings.rights == "settings":  # such servers read no definitions
        return None
    try:
        index = open_index(settings, Origin(), writes=False)
        if not index.store.exists:
            return None
        document = AccessRecords(index.store).read().state.document
    except (ConfigurationError, StoreError):
        return None
    found = compared(document, file, settings.index)
    if not found:
        return None
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return Finding(
        "not-as-declared",
        Weight.ADVICE,
        f"The store is not as {file} declares it: {'; '.join(each.rstrip('.') for each in found[:_SHOWN])}{more}.",
        f"'quire apply {file} --check' shows all differences, without --check it applies the file.",
    )
