"""Clients of the access rules: keepers change the rights and tokens of a user, askers try what they may do.

An asker does what installers and publishing tools do: it reads the list, a page or a file, or uploads. All of them ask
for one project, which never changes, so nothing but rights decides about the answers.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Mapping
from typing import Any, Final

from tests.asking import basic, content_type, multipart, twine_form
from tests.linearizability.guarded import FILENAME, PROJECT, content, password_of
from tests.linearizability.hand_process import HandProcess
from tests.linearizability.http import Answer, Connection, NoAnswer, NotSent
from tests.linearizability.objects import Read, Write
from tests.linearizability.plan import Plan, rights_of
from tests.linearizability.recording import Recording, now
from tests.linearizability.rights import (
    PASSWORD,
    READ,
    RIGHTS,
    UNKNOWN,
    UPLOAD,
    Decided,
    Ended,
    Found,
    Give,
    Granted,
    Member,
    Revoke,
    Rotate,
    Secret,
    Take,
)
from tests.linearizability.writers import KILLED, Writer

_ALLOWED: Final = frozenset({200, 304})
_REFUSED: Final = frozenset({401, 403})
_SECRETS_ASKED: Final = 6
"""An asker tries the password and so many of the latest secrets, some of which count no more."""
_TOKENS: Final = 4
"""A keeper makes no more tokens while so many are left."""
_PROBES: Final = 4
"""Requests after each change, each on a new connection, so that most workers are asked at once."""
_AT_ONCE: Final = 8
"""Requests that are sent at once; each of them is decided for itself."""
_STAY: Final = 40
"""Requests on one connection, on the average."""
_DOORS: Final = ("store", "api", "command")
_QUOTAS: Final = (None, 10**12, 2 * 10**12)
"""Bytes for a project: more than it ever has."""
_SCOPES: Final = ((READ,), (UPLOAD,), RIGHTS)


class Secrets:
    """The secrets that clients of a holder have. Threads share it."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        self._lock = threading.Lock()
        self._texts = [(PASSWORD, "")]
        self._numbers = 0

    def add(self, text: str) -> int:
        """The number of a new secret."""
        with self._lock:
            self._numbers += 1
            self._texts = [self._texts[0], *self._texts[1:][-_SECRETS_ASKED:], (self._numbers, text)]
            return self._numbers

    def all(self) -> list[tuple[int, str]]:
        """The number and the text of each that is tried; the password is the first."""
        return self._texts


class Asker:
    """Tries what a holder may do, and records each decision."""

    def __init__(self, plan: Plan, secrets: Secrets, name: str, number: int, recording: Recording) -> None:
        self._plan = plan
        self._secrets = secrets
        self._history = recording.histories[rights_of(secrets.holder)]
        self._number = number
        self._recording = recording
        self._choose: random.Random = plan.random(name)
        self._connection: Connection | None = None
        filename, data = FILENAME, content()
        self._upload = multipart(twine_form(filename, data, name=PROJECT, version="1.0"))
        file = f"/packages/{PROJECT}/{hashlib.sha256(data).hexdigest()}/{filename}"
        self._paths = ("/simple/", f"/simple/{PROJECT}/", f"/simple/{PROJECT}/?parsed", file)
        self.decisions = 0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def step(self) -> None:
        """Try a right with the password or with a token."""
        choose = self._choose
        number, text = choose.choice(self._secrets.all()[-_SECRETS_ASKED:]) if choose.random() < 0.7 else (PASSWORD, "")
        if choose.random() < 1 / _STAY:
            self.close()
        kind = choose.random()
        if kind < 0.15:
            self._try_upload(number, text)
        else:
            self._try_reading(number, text, 1 if kind < 0.55 else _AT_ONCE)

    def probe(self, numbers: set[int]) -> None:
        """Try each right with these secrets, on connections of their own."""
        for number, text in self._secrets.all():
            if number in numbers:
                for _ in range(_PROBES):
                    self.close()
                    self._try_reading(number, text, _AT_ONCE)
                    if self._choose.random() < 0.3:
                        self._try_upload(number, text)

    def _try_upload(self, number: int, text: str) -> None:
        """Ask for something that needs the right to upload. `number`: of the secret."""
        headers = self._credentials(number, text)
        try:
            connection = self._connected()
            invoked = now()
            answer = connection.post("/", content_type(), self._upload, headers)
        except (NoAnswer, NotSent):
            self._lost(1)
        else:
            self._decided(number, UPLOAD, answer, invoked)

    def _try_reading(self, number: int, text: str, count: int) -> None:
        """Ask for something that needs the right to read, so many times at once."""
        paths, headers = self._choose.choices(self._paths, k=count), self._credentials(number, text)
        answered = 0
        try:
            connection = self._connected()
            invoked = now()
            for answer in connection.get_all(paths, headers):
                self._decided(number, READ, answer, invoked)
                answered += 1
        except (NoAnswer, NotSent):
            self._lost(count - answered)

    def _connected(self) -> Connection:
        """Raises NotSent."""
        if self._connection is None:
            self._connection = Connection(*self._choose.choice(self._plan.servers))
        self._connection.connect()
        return self._connection

    def _lost(self, requests: int) -> None:
        self._recording.counts["decision lost"] += requests
        self.close()

    def _decided(self, number: int, right: str, answer: Answer, invoked: int) -> None:
        ended = now()
        if answer.status not in _ALLOWED | _REFUSED:
            what = f"{right} as {'user' if number == PASSWORD else 'token'}"
            self._recording.odd[f"{what}: {answer.status} {answer.body[:120].decode(errors='replace')}"] += 1
            return
        decided = Decided(number, right, answer.status in _ALLOWED)
        self._history.add(decided, invoked, ended, client=self._number)
        self._recording.counts["allowed" if decided.allowed else "forbidden"] += 1
        self.decisions += 1

    def _credentials(self, number: int, text: str) -> bytes:
        holder = self._secrets.holder
        if number == PASSWORD:
            value = basic(holder, password_of(holder))
        else:
            value = f"Bearer {text}" if self._choose.random() < 0.5 else basic("__token__", text)
        return f"Authorization: {value}\r\n".encode()


class Keeper(Writer):
    """Gives and takes the rights of a holder, and makes, rotates and revokes its tokens; asks at once for the result.

    It does so by a process that is killed now and then: on the store as the command line does, over the JSON API of any
    of the servers, and by `quire --url`.
    """

    def __init__(self, plan: Plan, secrets: Secrets, number: int, recording: Recording) -> None:
        super().__init__(plan, f"keeper of {secrets.holder}", number, recording)
        self._secrets = secrets
        self._object = rights_of(secrets.holder)
        self._process = HandProcess(plan.stores, self.choose)
        self._asker = Asker(plan, secrets, f"asker of {self.name}", number, recording)
        self._facts: set[Granted | Member] = set()
        """The rights that it believes to be given; after a change of unknown outcome it may be wrong."""
        self._tokens: dict[int, tuple[str, set[int]]] = {}
        """The id of each token that was not revoked, and the numbers of its secrets; by number."""
        self._made = 0

    def close(self) -> None:
        self._process.close()
        self._asker.close()

    def step(self) -> None:
        choose = self.choose
        self.changes += 1
        kind = choose.random()
        is_killed, after = self.plan.kill_hands and choose.random() < KILLED, choose.random() * 0.02
        killed_after = after if is_killed else None
        if kind < 0.45:
            self._change_fact(killed_after)
        elif kind < 0.65 and len(self._tokens) < _TOKENS:
            self._make_token(killed_after)
        elif self._tokens and kind < 0.8:
            self._rotate(choose.choice(sorted(self._tokens)), killed_after)
        elif kind < 0.85:
            self._set_quota(killed_after)
        elif self._tokens:
            self._revoke(choose.choice(sorted(self._tokens)), killed_after)

    def _change_fact(self, killed_after: float | None) -> None:
        choose, fact = self.choose, Member()
        order: dict[str, Any]
        given: Granted | Member = fact
        gives = choose.random() < 0.3  # else the reverse of what it believes
        if choose.random() < 0.25:
            gives = gives or given not in self._facts
            order = {"do": "group", "member": gives}
        else:
            given = Granted(choose.choice(("user", "user", "group")), choose.choice(RIGHTS))
            gives = gives or given not in self._facts
            order = {"do": "grant" if gives else "take", "to": given.receiver, "right": given.right}
        (self._facts.add if gives else self._facts.discard)(given)
        write = Give(given) if gives else Take(given)
        self._order(order, write, Found(given, present=gives), killed_after)
        others = [number for number, _ in self._secrets.all()]
        self._asker.probe({PASSWORD, choose.choice(others)})

    def _make_token(self, killed_after: float | None) -> None:
        choose = self.choose
        rights, of_user = choose.choice(_SCOPES), choose.random() < 0.4
        self._made += 1
        order = {"do": "token", "rights": list(rights), "of user": of_user}
        answer, invoked, ended = self._sent(order, killed_after)
        if "text" not in answer:
            self.recording.counts["unknown"] += 1  # nobody has the token
            self._report(answer, "token")
            return
        # the moment of its making is over when the number is known
        number = self._secrets.add(answer["text"])
        self._tokens[self._made] = (answer["id"], {number})
        give = Give(Secret(self._made, number, rights, of_user))
        self.recording.histories[self._object].add(give, invoked, ended, client=self.number)
        self.recording.counts["token made"] += 1
        self._asker.probe({number})

    def _rotate(self, token: int, killed_after: float | None) -> None:
        identity, numbers = self._tokens[token]
        has_grace = self.choose.random() < 0.4
        answer, invoked, ended = self._sent({"do": "rotate", "id": identity, "grace": has_grace}, killed_after)
        history, counts = self.recording.histories[self._object], self.recording.counts
        if "text" in answer:
            number = self._secrets.add(answer["text"])
            history.add(Rotate(token, number, has_grace), invoked, ended, client=self.number)
            counts["token rotated"] += 1
            numbers.add(number)
        elif answer.get("done") is False:
            history.add(Ended(token), invoked, ended, client=self.number)
        else:
            self.is_doubtful(self._object, Rotate(token, UNKNOWN, has_grace), invoked)
            self._report(answer, "rotate")
        self._asker.probe(numbers)

    def _revoke(self, token: int, killed_after: float | None) -> None:
        identity, numbers = self._tokens[token]
        if self._order({"do": "revoke", "id": identity}, Revoke(token), None, killed_after):
            del self._tokens[token]
        self._asker.probe(numbers)

    def _set_quota(self, killed_after: float | None) -> None:
        """Change the definition of the index, which is in the same record; it changes no right."""
        answer, _, _ = self._sent({"do": "index", "quota": self.choose.choice(_QUOTAS)}, killed_after)
        self.recording.counts["index changed"] += answer.get("done") is True
        self._report(answer, "index")
        self._asker.probe({PASSWORD})

    def _sent(self, order: Mapping[str, Any], killed_after: float | None) -> tuple[dict[str, Any], int, int]:
        """See `HandProcess.order`."""
        via = self.choose.choices(_DOORS, (3, 2, 1))[0]
        whole = {"user": self._secrets.holder, "via": via, **order}
        if via != "store":
            host, port = self.choose.choice(self.plan.servers)
            whole |= {"url": f"http://{host}:{port}", "token": self.plan.admin}
        sent = self._process.order(whole, killed_after)
        self.kills = self._process.kills
        if "done" in sent[0]:
            self.recording.counts[f"by {via}"] += 1
        return sent

    def _order(self, order: Mapping[str, Any], write: Write, refusal: Read | None, killed_after: float | None) -> bool:
        """Change something and record it; whether it took place. `refusal`: what `done: false` tells."""
        answer, invoked, ended = self._sent(order, killed_after)
        history, counts = self.recording.histories[self._object], self.recording.counts
        if answer.get("done") is True:
            history.add(write, invoked, ended, client=self.number)
            counts["right taken" if isinstance(write, Take | Revoke) else "right given"] += 1
            return True
        if answer.get("done") is False and refusal is not None:
            history.add(refusal, invoked, ended, client=self.number)
            counts["refused"] += 1
            return False
        self.is_doubtful(self._object, write, invoked)
        self._report(answer, str(order["do"]))
        return False

    def _report(self, answer: Mapping[str, Any], what: str) -> None:
        if "error" in answer:
            self.recording.odd[f"{what}: {answer['error']}"] += 1
