"""GET /ready: whether this server should be sent requests.

It should when the store can be read and, unless it is served read-only, written, and when the server is not
stopping. `/health` is another question: whether this process is alive at all, or must be replaced.

Theory of operation. Load balancers ask often, and from several places; a shared volume should not feel it. So a verdict
holds for a second, and while a check is under way all requests wait for that one. A hung NFS mount does not
fail: the call never returns. The check therefore runs in a thread of its own; when it has not ended
in time the answer is no, and no second check begins.

A scrape of the metrics begins a check as well, and shows the verdict of the last one: not every server has a load
balancer that asks.

A store that is not as a configuration file declares it is no reason either: the answer says so, and is 200.

A full disk is no reason to be taken out of service: every download still works, and every server of the volume would go
at once. Uploads then fail one by one, each with its own sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from quire.access.settings_alone import SettingsAlone
from quire.domain.errors import QuireError, StoreFull
from quire.http.app.problems import HttpError
from quire.index.index import Index
from quire.index.upload import upload_key
from quire.store.contracts import Record

HOLDS_SECONDS = 1.0
"""How long a verdict holds."""
REFRESH_SECONDS = 10.0
"""How old a verdict is before a scrape of the metrics begins another check: less than the time between two scrapes."""
COUNTS_SECONDS = 300.0
"""How long the metrics count a failure: longer than the time between two scrapes. A worker that nothing asks any more
does not see that the store works again."""
PATIENCE_SECONDS = 5.0
"""How long the store may take to answer; health checks of load balancers usually give up after that."""

DRAINING = "This server is being stopped; it finishes what it does, and takes nothing new. Ask another one."
SILENT = f"The store has not answered for {PATIENCE_SECONDS:g} seconds; check its volume, or the way to its bucket."
NO_THREAD = "The server cannot start a thread; raise the limit of processes of its container or service."


class StoreProbe:
    """Tries what every request needs: one read, and one name made and removed in the store. Blocks."""

    def __init__(self, index: Index, *, alone: SettingsAlone | None = None) -> None:
        """`alone`: what every request asks where none reads the store's grants."""
        self._index = index
        self._alone = alone
        self._known: Record | None = None

    def __call__(self) -> None:
        """Raises StoreError or a subclass when something does not work; never for a full disk."""
        store = self._index.store
        if self._alone is not None:
            self._alone.load("", None)
        # any key will do: absence is asked of the store as well, and a record that is there is not read twice
        self._known = store.records.read(self._index.key("ready"), self._known)
        if store.writable:
            with contextlib.suppress(StoreFull):
                store.blobs.stage(upload_key("")).discard()


class Readiness:
    """The verdict of one worker. Used from one event loop."""

    def __init__(
        self,
        probe: Callable[[], object],
        draining: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE_SECONDS,
        shown: Callable[[str], str] = str,
    ) -> None:
        """`probe` raises QuireError when the store does not work; it runs in a thread. `draining` is quick. `shown`:
        the public part of an error's sentence."""
        self._shown = shown
        self._probe = probe
        self._draining = draining
        self._clock = clock
        self._patience = patience
        self._verdict: str | None = None
        self._until = float("-inf")
        self._check: asyncio.Future[str | None] | None = None
        self._begun = self._ended = float("-inf")
        self.checks = 0
        """How many were begun."""

    @property
    def failed(self) -> bool:
        """Whether a check has not come back in time, or the last one, not long ago, found the store unusable."""
        return self._hangs or (self._verdict is not None and self._clock() - self._ended < COUNTS_SECONDS)

    @property
    def _hangs(self) -> bool:
        return self._check is not None and self._clock() - self._begun > self._patience

    async def problem(self) -> str | None:
        """Why this server should not be sent requests, in a sentence; None when it should."""
        if self._draining():
            return DRAINING
        if self._hangs:
            await asyncio.sleep(0)  # in case it has just come back
            return SILENT if self._hangs else await self.problem()
        if self._check is None and self._clock() < self._until:
            return self._verdict
        check = self._check or self._begin()
        try:
            return await asyncio.wait_for(asyncio.shield(check), self._patience)
        except TimeoutError:
            return SILENT

    def refresh(self) -> None:
        """Begin a check, which is not waited for, where none was asked for lately."""
        if self._check is None and self._clock() - self._begun >= REFRESH_SECONDS:
            self._begin()

    def _begin(self) -> asyncio.Future[str | None]:
        loop = asyncio.get_running_loop()
        check: asyncio.Future[str | None] = loop.create_future()
        self._check = check
        self._begun = self._clock()
        self.checks += 1

        def done(verdict: str | None) -> None:
            self._verdict, self._ended = verdict, self._clock()
            self._until = self._ended + HOLDS_SECONDS
            self._check = None
            check.set_result(verdict)

        def run() -> None:
            verdict = self._ask()
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(done, verdict)

        # a thread of its own, which the process does not wait for when it ends
        try:
            threading.Thread(target=run, name="ready", daemon=True).start()
        except RuntimeError:
            done(NO_THREAD)
        return check

    def _ask(self) -> str | None:
        try:
            self._probe()
        except QuireError as error:
            return self._shown(str(error))
        except Exception as error:  # noqa: BLE001 - after any error, the server should get no requests
            return f"The store cannot be used ({type(error).__name__})."
        return None


async def answer(readiness: Readiness, note: str | None = None) -> Response:
    """200, or HttpError 503 with the reason. `note`: a second line of the former."""
    problem = await readiness.problem()
    if problem is not None:
        raise HttpError(503, problem, {"Retry-After": "1"})
    return PlainTextResponse(f"Ready\n{note}\n" if note else "Ready\n", headers={"Cache-Control": "no-store"})


async def ready(request: Request) -> Response:
    """The route's handler; the application's worker has the `readiness`."""
    worker = request.app.state.worker
    return await answer(worker.readiness, worker.declared.sentence if worker.declared is not None else None)
