"""The URLs of the upstreams of which a store keeps something. The store itself has their names in keys only."""

from __future__ import annotations

from collections.abc import Sequence

from quire.access.records import AccessRecords
from quire.commands.common import Opened
from quire.config import network
from quire.domain.errors import ConfigurationError
from quire.domain.upstreams import without_login


def upstream_urls(opened: Opened, further: Sequence[str] = ()) -> dict[str, str]:
    """By their names in keys, without logins: those of the definitions of all indexes, that of the settings here, and
    `further` ones, as they were typed. Raises ConfigurationError, StoreError."""
    from quire.catalog.mirroring import mirror_name  # noqa: PLC0415 - with the client of other indexes

    definitions = AccessRecords(opened.store).read().state.document.indexes.values()
    urls = [upstream.url for each in definitions for upstream in each.upstreams]
    if opened.settings.upstream is not None:
        urls.append(without_login(opened.settings.upstream))
    for each in further:
        try:
            urls.append(without_login(network.http_url(each)))
        except ValueError as error:
            raise ConfigurationError(f"--upstream: {error}.") from None
    return {mirror_name(url): url for url in urls}
