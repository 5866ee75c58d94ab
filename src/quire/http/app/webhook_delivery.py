"""The delivery of events to webhooks, by one worker: those of its own changes at once, those of others when it searches
for events that are not delivered. It imports the deliverer when there is something to deliver.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from quire.access.document import AccessDocument
from quire.catalog.served import ServedIndex
from quire.config.settings import Settings
from quire.domain.errors import StoreError
from quire.process.in_thread import in_thread
from quire.store.contracts import Store

if TYPE_CHECKING:
    from quire.webhooks.deliverer import Deliverer
    from quire.webhooks.sending import Sender

SEARCH_SECONDS = 60.0
"""Seconds between two searches for events that are not delivered, where the store is on a local disk."""
SEARCH_FAR_SECONDS = 900.0
"""The same where each project takes a round trip."""

log = structlog.get_logger(__name__)


class InWriter(Protocol):
    """Runs a blocking function in a thread."""

    async def __call__(self, function: Callable[..., Any], /, *args: Any) -> Any: ...


class WebhookDelivery:
    """Delivers the events of a store's changes. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        definitions: Callable[[], Awaitable[AccessDocument]],
        *,
        validated: Callable[[], AccessDocument | None],
        in_writer: InWriter,
        tally: dict[str, int],
    ) -> None:
        """`definitions`: reads those of webhooks, and raises StoreError; `validated`: those that the last request of
        this worker found; `tally`: the attempts by result."""
        self._store = store
        self._settings = settings
        self._definitions = definitions
        self._validated = validated
        self._in_writer = in_writer
        self._tally = tally
        self._loop: asyncio.AbstractEventLoop | None = None
        """None until it delivers."""
        self._searched_for: AccessDocument | None = None
        """The definitions by which events were searched for last."""

    @cached_property
    def sender(self) -> Sender:
        """Sends to the receivers of webhooks."""
        from quire.webhooks.sending import Sender  # noqa: PLC0415 - most stores have no webhook

        return Sender(self._settings.webhook_networks)

    @cached_property
    def deliverer(self) -> Deliverer:
        """Delivers events."""
        from quire.webhooks.deliverer import Deliverer  # noqa: PLC0415 - as above

        return Deliverer(self._store, self.sender, self._tally)

    def start(self, default: ServedIndex) -> asyncio.Task[None] | None:
        """Deliver the events of changes; the task to cancel at the end. None when the store cannot be written: such a
        server delivers nothing, as it could not remember it."""
        if default.read_only:
            return None
        self._loop = asyncio.get_running_loop()
        self.listen_to(default)
        every = self._settings.webhook_search_seconds or (
            SEARCH_SECONDS if self._store.validates_inline else SEARCH_FAR_SECONDS
        )

        async def search_periodically() -> None:
            spread = random.uniform(0, 1)  # noqa: S311 - spreads the workers
            await asyncio.sleep(min(every, 60.0) * spread)
            while True:
                # The worker that searches comes back a little earlier than the others look whether it has.
                was_turn = await self._search()
                await asyncio.sleep(every * (0.9 if was_turn else 1.1 + 0.3 * spread))

        return asyncio.create_task(search_periodically())

    def listen_to(self, index: ServedIndex) -> None:
        """Deliver the events of changes that this worker makes in an index, where it delivers at all."""
        if self._loop is not None:
            index.hosted.commits.listener = partial(self._tell, self._loop, index.name)

    async def _search(self) -> bool:
        """Search for events that are not delivered, if it is this worker's turn; whether it was."""
        try:
            self._searched_for = found = await self._definitions()
            if not found.webhooks:
                return False
            was_turn: bool = await self._in_writer(self.deliverer.search)
        except StoreError as error:
            log.warning("events of webhooks not searched for", error=str(error))
            return False
        except Exception:  # a defect, or too many threads: the next search may pass
            log.exception("events of webhooks not searched for")
            return False
        return was_turn

    def _tell(self, loop: asyncio.AbstractEventLoop, index: str, project: str, action: str) -> None:
        """A change was made, by another thread. It wakes the event loop where there are webhooks, else it need not."""
        document = self._validated() or self._searched_for  # the request of the change has validated it
        if document is None or not document.webhooks:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lambda: self.deliverer.changed(document, index, project, action))

    async def stop(self) -> None:
        """Wait some seconds for deliveries that are under way, and begin no more."""
        if "deliverer" in self.__dict__:
            await in_thread(None, self.deliverer.close)
