"""The work that a worker does now and then, beside requests: it sweeps the store, writes the uses of tokens, delivers
to webhooks, reads the rights, looks for grants that it would not obey and for the time of the last backup, and
compares the store with the declared configuration.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import structlog

from quire.access.settings_alone import SECONDS as LOOK_SECONDS
from quire.domain.errors import StoreError
from quire.http.app.periodic_sweep import sweep_periodically
from quire.http.app.worker import Worker

if TYPE_CHECKING:
    from quire.operations.sweeping import Sweeper

USES_SECONDS = 60.0
"""Seconds, at the most, after which the use of a token is written; see `quire.access.uses`."""
DECLARED_SECONDS = 60.0
"""Between two comparisons with the declared configuration: each is a read of the record that every request validates.
"""
BACKUP_SECONDS = 300.0
"""Between two looks for the time of the last backup; each is a validation."""
RIGHTS_SECONDS = 300.0
"""Between two looks at the rights, each a validation: a worker that gets no requests would go on to report tokens that
were replaced long ago."""

log = structlog.get_logger(__name__)


class PeriodicWork:
    """That of one worker. A server that may not write, or that reads no definitions, does less of it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def start(self) -> list[asyncio.Task[None]]:
        """Begin; the tasks to cancel at the end."""
        worker, writes = self._worker, not self._worker.default.read_only
        alone = worker.settings_alone
        tasks = [worker.webhooks.start(worker.default)]
        if writes:
            tasks.append(asyncio.create_task(sweep_periodically(lambda age: worker.in_writer(self._sweep, age))))
        if writes and alone is None:
            tasks.append(_repeat(self.write_uses, USES_SECONDS))
        tasks.append(_repeat(self._look_for_backup, BACKUP_SECONDS, at_once=True))
        if alone is None:
            tasks.append(_repeat(self._read_rights, RIGHTS_SECONDS))
        if alone is not None:
            tasks.append(_repeat(self._look_for_grants, LOOK_SECONDS, at_once=True))
        if alone is None and worker.declared is not None:
            tasks.append(_repeat(self._compare_declared, DECLARED_SECONDS, at_once=True))
        return [task for task in tasks if task is not None]

    async def end(self) -> None:
        """Write what was noted, and let deliveries end. After the tasks were cancelled."""
        await self.write_uses()
        await self._worker.webhooks.stop()

    @cached_property
    def _sweeper(self) -> Sweeper:
        from quire.operations.sweeping import Sweeper  # noqa: PLC0415 - rare

        return Sweeper(self._worker.default.hosted, ends_stages=self._worker.settings_alone is None)

    def _sweep(self, older_than: float) -> int:
        return self._sweeper.sweep(older_than)

    async def write_uses(self) -> None:
        """Write the uses of tokens that this worker has noted; those that cannot be written stay noted."""
        uses = self._worker.access.uses
        day, identities = uses.take(datetime.now(UTC))
        if not identities or self._worker.default.read_only:
            return
        try:
            tokens = (await self._worker.access.state()).document.tokens
            await self._worker.in_writer(uses.write, day, identities, tokens)
        except StoreError as error:
            uses.give_back(identities)
            log.warning("uses of tokens not written", error=str(error))
        except BaseException:  # a defect, or the end of the worker, which writes them once more
            uses.give_back(identities)
            raise

    async def _read_rights(self) -> None:
        try:
            await self._worker.access.state()
        except StoreError as error:
            log.warning("rights not read", error=str(error))

    async def _look_for_grants(self) -> None:
        """Look whether the store has grants that this server would not obey."""
        assert self._worker.settings_alone is not None
        try:
            await self._worker.in_reader(self._worker.settings_alone.look)
        except StoreError as error:
            log.warning("grants not looked for", error=str(error))

    async def _look_for_backup(self) -> None:
        try:
            await self._worker.in_reader(self._worker.last_backup.look)
        except StoreError as error:
            log.warning("time of the last backup not read", error=str(error))

    async def _compare_declared(self) -> None:
        assert self._worker.declared is not None
        try:
            document = (await self._worker.access.state()).document
            await self._worker.in_reader(self._worker.declared.compare, document)
        except StoreError as error:
            log.warning("store not compared with what is declared", error=str(error))


def _repeat(step: Callable[[], Awaitable[None]], seconds: float, *, at_once: bool = False) -> asyncio.Task[None]:
    """A task that makes a step every so many seconds, at the most, until it is cancelled. `at_once`: also now. A step
    that fails does not end it."""

    async def try_step() -> None:
        try:
            await step()
        except Exception:
            log.exception("periodic work failed")

    async def repeat() -> None:
        if at_once:
            await try_step()
        while True:
            await asyncio.sleep(seconds * random.uniform(0.5, 1))  # noqa: S311 - spreads the workers
            await try_step()

    return asyncio.create_task(repeat())
