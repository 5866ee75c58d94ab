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
from tests.linearizability.http import Connection, NoAnswer, NotSent
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
_STAY: Final = 40
"""Requests on one connection, on the average."""
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
        self.try_right(number, text, UPLOAD if choose.random() < 0.15 else READ)

    def probe(self, numbers: set[int]) -> None:
        """Try each right with these secrets, on connections of their own."""
        for number, text in self._secrets.all():
            if number in numbers:
                for _ in range(_PROBES):
                    self.close()
                    self.try_right(number, text, UPLOAD if self._choose.random() < 0.3 else READ)

    def try_right(self, number: int, text: str, right: str) -> None:
        """Ask for something that needs a right. `number`: of the secret."""
        choose = self._choose
        if self._connection is None:
            self._connection = Connection(*choose.choice(self._plan.servers))
        path, headers = choose.choice(self._paths), self._credentials(number, text)
        try:
            self._connection.connect()
            invoked = now()
            if right == UPLOAD:
                answer = self._connection.post("/", content_type(), self._upload, headers)
            else:
                answer = self._connection.get(path, headers)
            ended = now()
        except (NoAnswer, NotSent):
            self._recording.counts["decision lost"] += 1
            self.close()
            return
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

    It works on the store as the command line does, by a process that is killed now and then.
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
        elif self._tokens and kind < 0.85:
            self._rotate(choose.choice(sorted(self._tokens)), killed_after)
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
        answer, invoked, ended = self._process.order(order | {"user": self._secrets.holder}, killed_after)
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
        order = {"user": self._secrets.holder, "do": "rotate", "id": identity, "grace": has_grace}
        answer, invoked, ended = self._process.order(order, killed_after)
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

    def _order(self, order: Mapping[str, Any], write: Write, refusal: Read | None, killed_after: float | None) -> bool:
        """Change something and record it; whether it took place. `refusal`: what `done: false` tells."""
        answer, invoked, ended = self._process.order({"user": self._secrets.holder, **order}, killed_after)
        self.kills = self._process.kills
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
