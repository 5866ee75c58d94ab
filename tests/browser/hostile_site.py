"""An index that is full of hostile contents, published through its own API, and the addresses of all its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx

from tests.advisories.taking import document, take_in
from tests.asking import Site, basic, password_file, publish, serve
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.hostile_content import DIRECTIVES, MEMBERS, README_ATTACKS, TEXTS, metadata_of, sdist_members
from tests.http.ui.test_manage import make_admin
from tests.web_pages import QUERY, address, parameters

USER: Final = "\"'><img src=x onerror=ran()>{{ 7 * 'ran' }}"
"""Of the user that publishes everything: the name is on most pages."""
SOME: Final = ("double quote", "template", "bidi")
"""Of the texts: those that addresses have of which there are many."""
PASSWORD: Final = "secret"
TITLE: Final = "Acme <script>ran()</script>\"'{{ 7 * 'ran' }}"
INDEX: Final = "team"
"""An index in front of the one at the root."""


@dataclass
class Filled:
    """All that is in it, by the names of parameters in the route table."""

    site: Site
    releases: dict[str, list[str]] = field(default_factory=dict)
    """The versions of each project."""
    refused: list[str] = field(default_factory=list)
    """The sentences of refusals."""
    members: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Pages of files: project, version, filename, path of the member."""

    @property
    def login(self) -> dict[str, str]:
        return {"authorization": basic(USER, PASSWORD)}

    def put(self, name: str, version: str, metadata: bytes, files: Mapping[str, bytes] | None = None) -> bool:
        """Publish a wheel and an sdist; whether that was allowed. A refusal is a sentence."""
        text = metadata.decode("utf-8", "surrogatepass")
        wheel = make_wheel(name, version, metadata=text, files=files)
        sdist = make_sdist(name, version, metadata=text)
        return self.send(wheel_name(name, version), wheel, name, version) and self.send(
            sdist_name(name, version), sdist, name, version
        )

    def send(self, filename: str, content: bytes, name: str, version: str) -> bool:
        answer = publish(self.site, filename, content, name=name, version=version, **self.login)
        assert answer.status_code in {200, 400, 413}, answer.text
        if answer.status_code == 200:
            self.releases.setdefault(name, [])
            if version not in self.releases[name]:
                self.releases[name].append(version)
            return True
        self.refused.append(answer.text)
        return False

    def ask(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """A change through the JSON API, which may be refused with a sentence."""
        answer = self.site.client.post(f"/-/api/v1/{path}", json=body, headers=self.login)
        assert answer.status_code < 500, answer.text
        if answer.status_code != 200:
            self.refused.append(answer.text)
        return answer


@contextmanager
def hostile_site(folder: Path) -> Iterator[Filled]:
    """Served over `folder`."""
    password_file(folder, **{USER: PASSWORD})
    flags = ("-a", "list,download,update", "-P", "users", "--web-title", TITLE, "--disable-fallback")
    with serve(folder, *flags) as site:
        make_admin(folder, USER)
        filled = Filled(site)
        _projects(filled)
        _readmes(filled)
        _archives(filled)
        _operated(filled)
        yield filled


def _projects(filled: Filled) -> None:
    """A project for each text, with it in all fields."""
    for number, text in enumerate(TEXTS.values()):
        name = f"hostile-{number:02}"
        base = f"indexes/-/projects/{name}"
        plain = metadata_of(name, "0.1", "plain")
        assert filled.put(name, "0.1", plain), filled.refused[-1]
        assert filled.put(name, "1.0", metadata_of(name, "1.0", text)), filled.refused[-1]
        filled.ask(f"{base}/yank", {"version": "0.1", "reason": text})
        filled.ask(f"{base}/yank", {"version": "0.1", "reason": _words(text)})
        filled.ask(f"{base}/status", {"status": "deprecated", "reason": text})
        filled.ask(f"{base}/status", {"status": "deprecated", "reason": _words(text)})
        filled.ask(f"{base}/owners/add", {"subject": f"user:{_words(text)[:100]}"})


def _words(text: str) -> str:
    """A text as a field of one line takes it."""
    return "".join(each for each in text if each.isprintable())[:1000]


def _readmes(filled: Filled) -> None:
    """A release for each README."""
    large = {"text/markdown": "*a* <b> " * 1_250_000, "text/x-rst": "*a* " * 2_500_000}
    for media_type, attacks in (("text/markdown", README_ATTACKS), ("text/x-rst", DIRECTIVES), ("text/plain", TEXTS)):
        name = f"readme-{media_type.rpartition('/')[2]}"
        texts = attacks.values() if isinstance(attacks, Mapping) else attacks
        for number, text in enumerate((*texts, large.get(media_type, "x"))):
            head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {number}\nDescription-Content-Type: {media_type}\n"
            whole = f"{head}\nbefore\n\n{text}\n\nafter\n"
            filled.send(wheel_name(name, str(number)), make_wheel(name, str(number), metadata=whole), name, str(number))


def _archives(filled: Filled) -> None:
    """A release whose files have all members that the index takes, and drop-ins that have all."""
    name, plain = "hostile-files", metadata_of("hostile-files", "1.0", "plain")
    files: dict[str, bytes] = {}
    for number, (path, content) in enumerate(MEMBERS.items()):
        if filled.put("trial", f"0.{number}", metadata_of("trial", f"0.{number}", "plain"), {f"in/{path}": content}):
            files[f"in/{path}"] = content
    del filled.releases["trial"]
    assert len(files) > len(MEMBERS) // 2, filled.refused
    assert filled.put(name, "1.0", plain, files), filled.refused[-1]
    filled.members += [(name, "1.0", wheel_name(name, "1.0"), path) for path in ("", "in/", *files)]
    dropped = "hostile-dropped"
    wheel = make_wheel(dropped, "1.0", files={f"in/{path}": content for path, content in MEMBERS.items()})
    sdist = make_sdist(dropped, "1.0", members=sdist_members(f"{dropped.replace('-', '_')}-1.0/in"))
    for filename, content in ((wheel_name(dropped, "1.0"), wheel), (sdist_name(dropped, "1.0"), sdist)):
        (filled.site.root / f"{filename}.new").write_bytes(content)
        (filled.site.root / f"{filename}.new").rename(filled.site.root / filename)
        folder = "in/" if filename.endswith(".whl") else f"{dropped.replace('-', '_')}-1.0/in/"
        filled.members += [(dropped, "1.0", filename, path) for path in ("", folder)]
        filled.members += [(dropped, "1.0", filename, f"{folder}{path}") for path in MEMBERS]
    filled.releases[dropped] = ["1.0"]


def _operated(filled: Filled) -> None:
    """Indexes, policies, groups, grants, tokens, publishers, webhooks, advisories and deleted files."""
    assert filled.ask("indexes", {"name": INDEX, "behind": ["main"], "claim": ["acme-*"]}).status_code == 200
    filled.ask("indexes/-", {"keep": ["dev:1"], "new_projects": "owned"})
    for text in TEXTS.values():
        words = _words(text)
        filled.ask("indexes", {"name": text})
        filled.ask("indexes/-/policy", {"deny": ["evil-*"], "reason": text})
        filled.ask("indexes/-/policy", {"deny": ["evil-*"], "reason": words[:200]})
        filled.ask("groups/" + quote(words[:80], safe=""), {"users": [words[:80]]})
        filled.ask("grants", {"subject": f"group:{words[:80]}", "rights": ["read"], "index": "main", "projects": ["*"]})
        for note in (text, words[:200]):
            filled.ask("tokens", {"rights": ["read"], "note": note})
        filled.ask("account/tokens", {"rights": ["read"], "index": "main", "expires_in": 3600, "note": words[:200]})
        filled.ask("webhooks", {"url": f"https://e.example/{quote(words[:80])}?<b>", "projects": [words[:80]]})
        settings = {"repository": f"acme/{words[:80]}", "workflow": words[:80], "environment": words[:80]}
        filled.ask("publishers", {"platform": "github", "settings": settings, "projects": ["hostile-00"]})
    filled.ask("indexes/-/projects/trial/delete", {"version": "0.1"})
    summary = " ".join(_words(text)[:100] for text in TEXTS.values())
    more = {"summary": summary, "details": "\n\n".join((*README_ATTACKS, *TEXTS.values()))[:50_000]}
    references = [
        {"type": "WEB", "url": url} for url in ("javascript:ran()", "https://e.example/\"'><img onerror=ran()>")
    ]
    take_in(
        filled.site.root,
        document("HOSTILE-1", "hostile-00", "hostile-02", versions=["1.0"], references=references, **more),
        document("HOSTILE-2\"'<b>", "hostile-00", versions=["1.0"], aliases=["<script>ran()</script>"], **more),
    )


# -- addresses --------------------------------------------------------------------------------------------------------


def addresses(filled: Filled, path: str) -> Iterator[str]:
    """Of the pages of one path of the route table: with what is there, and with hostile words in every part of it."""
    known, names = _known(filled), parameters(path)
    is_below_index = "index" in names
    yield from (address(path, values) for values in known(names, is_below_index=is_below_index))
    plain = address(path, known(names, is_below_index=is_below_index)[0])
    is_search = path.endswith("search")
    for text in TEXTS.values() if is_search else map(TEXTS.__getitem__, SOME):
        words = text[:150].encode("utf-8", "replace").decode()
        yield address(
            path, dict.fromkeys(names, words) | ({"index": INDEX} if len(names) > 1 and is_below_index else {})
        )
        yield f"{plain}?{urlencode(dict.fromkeys(QUERY, words))}"
        if is_search or "/-/admin/" in path:
            yield from (f"{plain}?{urlencode({key: words})}" for key in (QUERY[0], QUERY[2], QUERY[6]))


def missing() -> Iterator[str]:
    """The addresses of pages that are not there."""
    for text in TEXTS.values():
        yield address("/{name}", {"name": text[:150]})
        yield address("/simple/{name}/", {"name": text[:150]})


def _known(filled: Filled) -> Callable[..., list[dict[str, str]]]:
    """All values of parameters of one address; those of a new parameter belong here."""
    projects = [{"name": name} for name in filled.releases]
    releases = [{"name": name, "version": each} for name, versions in filled.releases.items() for each in versions]
    keys = ("name", "version", "filename", "path")
    members = [dict(zip(keys, each, strict=True)) for each in filled.members]
    alone: dict[str, list[str]] = {"id": ["HOSTILE-1", "HOSTILE-2\"'<b>"]}

    def values(names: list[str], *, is_below_index: bool) -> list[dict[str, str]]:
        rest = [each for each in names if each != "index"]
        if "filename" in rest:
            found = members
        elif "version" in rest:
            found = releases
        elif "name" in rest:
            found = projects
        else:
            found = [{}]
        others = [each for each in rest if not found or each not in found[0]]
        more = [dict(zip(others, each, strict=True)) for each in product(*(alone.get(each, ["x"]) for each in others))]
        found = [one | other for one in (found[:2] if is_below_index else found) for other in more]
        return [{**each, "index": INDEX} for each in found] if is_below_index else found

    return values
