"""The clients of a run over promotions: those that publish to stages and promote them, and readers."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from tests.asking import content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.linearizability import pages
from tests.linearizability.hand_process import HandProcess
from tests.linearizability.history import History
from tests.linearizability.http import Answer, Connection, NoAnswer, NotSent
from tests.linearizability.objects import Action, Write
from tests.linearizability.promotions.model import Got, InList, Listed, PageOf, Promote, Remove
from tests.linearizability.promotions.plan import HAND_STAGES, STAGES, PromotionPlan
from tests.linearizability.recording import now

_JSON = b"Accept: application/vnd.pypi.simple.v1+json\r\n"
_HTML = b"Accept: text/html\r\n"
_FORM = "application/x-www-form-urlencoded"
_STAY = 40
_KEPT = 2
"""Releases of a stage in a project; older ones are deleted."""
_MOST = 3
"""Projects of a promotion."""
_KILLED = 0.25
"""The share of the promotions of a hand in which it is killed."""


@dataclass
class Record:
    """The changes and answers of the clients of one process. Threads may share it."""

    history: History = field(default_factory=History)
    counts: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    """Answers that no client should get."""

    def merge(self, other: Record) -> None:
        """Take over what another one has."""
        self.history.extend(other.history)
        self.counts += other.counts
        self.odd += other.odd


class Client:
    """Shared by all: choosing, and writing down."""

    def __init__(self, plan: PromotionPlan, name: str, number: int, record: Record) -> None:
        self.plan = plan
        self.choose: random.Random = plan.random(name)
        self.number = number
        self.record = record

    def close(self) -> None:
        """Let go of what it holds."""

    def step(self) -> None:
        raise NotImplementedError

    def done(self, action: Action, invoked: int) -> None:
        self.record.history.add(action, invoked, now(), client=self.number)

    def doubtful(self, write: Write, invoked: int) -> None:
        """It may have taken effect, or may yet."""
        self.record.counts["unknown"] += 1
        end = now() + int(self.plan.doubt * 1e9)
        self.record.history.add(write, invoked, end, client=self.number, certain=False)


class Promoter(Client):
    """Publishes wheels of several projects to its stage, promotes it, and deletes what it promoted long ago."""

    def __init__(self, plan: PromotionPlan, stage: str, number: int, record: Record) -> None:
        super().__init__(plan, f"promoter of {stage}", number, record)
        self.stage = stage
        self.staged: dict[Listed, bytes] = {}
        """Made, and not known to be promoted."""
        self._promoted: dict[str, list[Listed]] = {project: [] for project in plan.projects}
        self._made = 0

    def step(self) -> None:
        if len(self.staged) < 4 * _MOST:
            self._make()
        if self.promote():
            for file in self.staged:
                self._promoted[file.project].append(file)
            self.staged = {}
        for project, files in self._promoted.items():
            if len(files) > _KEPT and self.remove(files[0]):
                del self._promoted[project][0]
        time.sleep(self.choose.expovariate(1 / self.plan.pause))

    def promote(self) -> bool:
        """Promote all that is staged; whether it is known to be done."""
        raise NotImplementedError

    def remove(self, file: Listed) -> bool:
        """Delete a file from the target; whether that is over."""
        connection = Connection(*self.choose.choice(self.plan.servers))
        version = file.filename.split("-")[1]
        body = urlencode({":action": "remove_pkg", "name": file.project, "version": version}).encode()
        try:
            connection.connect()
            invoked = now()
            answer = connection.post("/", _FORM, body)
        except NotSent:
            return False
        except NoAnswer:
            self.doubtful(Remove(file), invoked)
            return True
        finally:
            connection.close()
        if answer.status == 200:
            self.done(Remove(file), invoked)
            self.record.counts["removed"] += 1
        else:
            self.doubtful(Remove(file), invoked)
            self._odd("remove", answer)
        return True

    def _make(self) -> None:
        for project in self.choose.sample(self.plan.projects, self.choose.randint(2, _MOST)):
            self._made += 1
            version = f"{self.number}.{self._made}"
            content = make_wheel(project, version)
            self.staged[Listed(project, wheel_name(project, version), hashlib.sha256(content).hexdigest())] = content

    def _odd(self, what: str, answer: Answer) -> None:
        self.record.odd[f"{what}: {answer.status} {answer.body[:160].decode(errors='replace')}"] += 1


class HttpPromoter(Promoter):
    """As twine and the JSON API do."""

    def promote(self) -> bool:
        if not all(self._upload(file, content) for file, content in self.staged.items()):
            return False
        connection = Connection(*self.choose.choice(self.plan.servers))
        write = Promote(frozenset(self.staged))
        try:
            connection.connect()
            invoked = now()
            answer = connection.post(f"/-/api/v1/indexes/{self.stage}/promote", "application/json", b"{}")
        except NotSent:
            return False
        except NoAnswer:
            self.doubtful(write, invoked)
            return False
        finally:
            connection.close()
        if answer.status == 200:
            self.done(write, invoked)
            self.record.counts["promoted"] += 1
            return True
        if answer.status >= 500:
            self.doubtful(write, invoked)
        elif answer.status in {403, 409}:  # another promotion of one of its projects is under way, or it took too long
            self.record.counts["refused"] += 1
        else:
            self._odd("promote", answer)
        return False

    def _upload(self, file: Listed, content: bytes) -> bool:
        """Publish to the stage; whether it is there."""
        version = file.filename.split("-")[1]
        body = multipart(twine_form(file.filename, content, name=file.project, version=version))
        connection = Connection(*self.choose.choice(self.plan.servers))
        try:
            answer = connection.post(f"/{self.stage}/", content_type(), body)
        except (NoAnswer, NotSent):
            return False
        finally:
            connection.close()
        if answer.status != 200:
            self._odd("upload", answer)
        return answer.status == 200


class HandPromoter(Promoter):
    """As the command line does, in a process that is killed."""

    def __init__(self, plan: PromotionPlan, stage: str, number: int, record: Record) -> None:
        super().__init__(plan, stage, number, record)
        self._hand = HandProcess(plan.stores, self.choose, "tests.linearizability.promotions.hand")

    def close(self) -> None:
        self._hand.close()

    def promote(self) -> bool:
        files = [(file.filename, base64.b64encode(content).decode()) for file, content in self.staged.items()]
        is_killed = self.plan.kill_hands and self.choose.random() < _KILLED
        after = self.choose.random() * 0.15 if is_killed else None
        answer, invoked, answered = self._hand.order({"stage": self.stage, "files": files}, after)
        self.record.counts["hands killed"] = self._hand.kills
        write = Promote(frozenset(self.staged))
        if answer.get("done") is True:
            self.record.history.add(write, invoked, answered, client=self.number)
            self.record.counts["promoted"] += 1
            return True
        if answer.get("done") is False:
            self.record.counts["refused"] += 1
        else:
            self.doubtful(write, invoked)
        return False


class PromotionReader(Client):
    """Reads pages, the list of projects, and files, through all workers."""

    def __init__(self, plan: PromotionPlan, number: int, record: Record) -> None:
        super().__init__(plan, f"reader {number}", number, record)
        self._connection = self._reconnected()
        self._pages: dict[tuple[str, bool], tuple[bytes, PageOf]] = {}

    def close(self) -> None:
        self._connection.close()

    def step(self) -> None:
        choose = self.choose
        if choose.random() < 1 / _STAY:
            self._connection.close()
            self._connection = self._reconnected()
        kind, project = choose.random(), choose.choice(self.plan.projects)
        try:
            if kind < 0.1:
                self._names()
            else:
                page = self.page(project, is_json=choose.random() < 0.8)
                if kind > 0.9 and page is not None and page.files:
                    self._download(choose.choice(sorted(page.files)))
        except (NoAnswer, NotSent):
            self.record.counts["lost"] += 1
            self._connection.close()
            self._connection = self._reconnected()

    def page(self, project: str, *, is_json: bool) -> PageOf | None:
        """Ask for a page. Raises NoAnswer, NotSent."""
        headers, known = _JSON if is_json else _HTML, self._pages.get((project, is_json))
        if known is not None:
            headers += b"If-None-Match: %b\r\n" % known[0]
        self._connection.connect()
        invoked = now()
        answer = self._connection.get(f"/simple/{project}/", headers)
        if answer.status == 304 and known is not None:
            page = known[1]
        elif answer.status == 404:
            page = PageOf(project, frozenset())
        elif answer.status == 200:
            entries = (pages.project_json if is_json else pages.project_html)(answer.body).files
            page = PageOf(project, frozenset(Listed(project, each.filename, each.sha256) for each in entries))
            self._pages[project, is_json] = answer.etag or b"", page
        else:
            self.record.odd[f"page: {answer.status} {answer.body[:120].decode(errors='replace')}"] += 1
            return None
        self.done(page, invoked)
        self.record.counts["page"] += 1
        return page

    def _names(self) -> None:
        self._connection.connect()
        invoked = now()
        answer = self._connection.get("/simple/", _JSON)
        if answer.status != 200:
            self.record.odd[f"list: {answer.status} {answer.body[:120].decode(errors='replace')}"] += 1
            return
        names = {each["name"] for each in json.loads(answer.body)["projects"]}
        for project in self.plan.projects:
            self.done(InList(project, project in names), invoked)
        self.record.counts["list"] += 1

    def _download(self, file: Listed) -> None:
        self._connection.connect()
        invoked = now()
        answer = self._connection.get(f"/packages/{file.project}/{file.sha256}/{file.filename}")
        if answer.status == 200:
            self.done(Got(file._replace(sha256=hashlib.sha256(answer.body).hexdigest())), invoked)
            self.record.counts["file"] += 1

    def _reconnected(self) -> Connection:
        return Connection(*self.choose.choice(self.plan.servers))


def work(plan: PromotionPlan, path: Path) -> None:
    """The process of all clients, until the time of the plan is over; its record is saved."""
    record, until = Record(), time.monotonic() + plan.seconds
    clients: list[Client] = [HttpPromoter(plan, stage, at, record) for at, stage in enumerate(STAGES, 1)]
    clients += [HandPromoter(plan, stage, 10 + at, record) for at, stage in enumerate(HAND_STAGES)]
    clients += [PromotionReader(plan, 100 + each, record) for each in range(plan.readers)]
    failed: list[str] = []

    def run(client: Client) -> None:
        try:
            while time.monotonic() < until and not failed:
                client.step()
        except Exception:  # noqa: BLE001 - it is printed and fails the process
            failed.append(traceback.format_exc())
        finally:
            client.close()

    jobs: list[Callable[[], None]] = [lambda client=client: run(client) for client in clients]  # type: ignore[misc]
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit("\n".join(failed))
    path.write_bytes(pickle.dumps(record))
