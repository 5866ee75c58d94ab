"""`quire --url`: the same commands over the API, with the same output; credentials; answers that cannot be trusted."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import random
import re
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quire import cli
from quire.access.defining import with_deletions, without_index
from quire.access.document import AccessDocument
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity, new_token
from quire.administration.access_documents import IdsBody, Sender
from quire.administration.client import MAX_ANSWER_BYTES, Client
from quire.administration.documents import IndexList
from quire.administration.remote import Remote
from quire.domain.errors import ConfigurationError, QuireError, UpstreamError
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.store.opening import open_store
from tests.asking import Site, basic, password_file, post, publish, serve, twine_form
from tests.command_line import parts
from tests.distributions import make_wheel, wheel_name
from tests.index.test_index import staged_wheel
from tests.serving import DEADLINE, environment, free_port, quire_command, run_quire, until

SECRETS = {"root": "secret-r"}
EMPTY = b'{"indexes": []}'
TOKEN = new_token(new_identity()).text


# -- the same commands ------------------------------------------------------------------------------------------------


@dataclass
class Pair:
    """A store with its server."""

    site: Site
    token: str

    def local(self, *words: str) -> tuple[int, str, str]:
        return run(*words, "-d", str(self.site.root))

    def remote(self, *words: str) -> tuple[int, str, str]:
        return run("--url", self.site.base.replace("http://", f"http://__token__:{self.token}@"), *words)


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command, which runs in this process: a start takes longer than most of them."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(list(words))
    return code, out.getvalue(), err.getvalue()


def upload(site: Site, name: str, version: str) -> None:
    headers = {"authorization": basic("root", SECRETS["root"])}
    content = make_wheel(name, version)
    assert publish(site, wheel_name(name, version), content, name=name, version=version, **headers).status_code == 200


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two workers; the token may do everything."""
    folder = tmp_path_factory.mktemp("remote")
    users = password_file(folder, **SECRETS)
    with serve(folder, "-a", "update", "-P", users, "--disable-fallback", "--workers", 2) as site:
        upload(site, "acme-tools", "1.2.0")  # makes the store
        (site.root / wheel_name("dropped", "1.0")).write_bytes(make_wheel("dropped", "1.0"))
        run_quire("access", "init", "--admin", "root", "-a", "update", "-d", site.root, cwd=folder)
        made = run_quire("token", "create", "--right", "admin", "-d", site.root, cwd=folder)
        yield Pair(site, made.stdout.strip())


READING = (
    *(
        "ls",
        "ls acme-tools",
        "ls dropped",
        "show dropped",
        "show dropped --json",
        "ls dropped --json",
        "ls --json",
        "ls acme-tols",
        "show acme-tools",
        "show acme-tools 1.2.0 --json",
    ),
    *("show acme-tools 9", "status acme-tools", "status acme-tools --json", "log", "log acme-tools --json"),
    *(
        "log --user nobody",
        "grants",
        "grants --json",
        "grants --explain root acme-tools",
        "token list",
        "delete acme-tools",
    ),
    *(
        "delete acme-tools 1.2.0",
        "delete acme-tools 9 --yes",
        "yank acme-tools 9",
        "yank nothing 1.0",
        "status dropped",
    ),
    *("apply --export", "apply --export --json"),
    *("retention", "retention --keep dev:1 --keep pre:3d", "retention --keep x", "retention --keep any:1 --json"),
    *("namespace list", "namespace list --json", "namespace show acme", "namespace revoke acme"),
    *("namespace grant a* b", "namespace grant acme anonymous"),
    *("claim", "index list", "index list --json", "index show main", "index show main --json", "index show nain"),
    *("policy show", "policy show --json", "policy explain acme-tools", "policy explain acme-tools --json"),
    *("policy explain nothing", "policy block abc", "policy exempt acme-tools", "policy set", "policy allow -"),
    *("policy block abababab --remove", "policy deny acme-* --remove"),
    *("osv show", "osv show --json", "osv show acme-tools", "osv remove acme", "osv update missing.zip"),
    *("owner list acme-tools", "owner list acme-tools --json", "owner list nothing", "owner list dropped"),
    *("owner add acme-tools anonymous", "owner add nothing ann", "owner remove acme-tools ann"),
    *("index set main", "index set staging --quota 1G"),
    *("revoke 0000000000", "token revoke 0000000000", "grant user:ann nothing", "grant nobody read"),
    *("grants --check --json", "publisher list", "publisher list --json", "publisher audience"),
    *("publisher remove 0000000000", "publisher add github --project x", "publisher audience x", "session end"),
    *("session end a:b", "trash list", "trash list --json", "trash list acme-tools", "trash list acme-tols"),
    *("trash list acme-tools --newer-than 2d", "trash restore acme-tools 1.2.0", "trash restore acme-tools 9"),
    *("log acme-tols", "log acme-tols --json", "log acme-tols --follow", "log dropped", "show acme-tols"),
    *("status acme-tols", "yank acme-tols 1.0", "delete acme-tols --all", "log nothing-at-all"),
    *("trash restore acme-tols", "trash empty", "trash empty acme-tools 9", "trash empty acme-tools", "trash empty x"),
)


@pytest.mark.parametrize("line", READING)
def test_what_is_shown_is_the_same(pair: Pair, line: str) -> None:
    """Output, errors and exit codes are those of the command on the store."""
    local, remote = pair.local(*line.split()), pair.remote(*line.split())
    path = re.compile(r'"path": "[^"]+"')
    assert (remote[0], path.sub('"path": null', remote[1]), remote[2]) == (
        local[0],
        path.sub('"path": null', local[1]),
        local[2],
    )


@pytest.mark.parametrize(
    "line",
    [
        *("ls acme-tols", "show acme-tols", "status acme-tols", "log acme-tols", "log acme-tols --follow"),
        *("yank acme-tols 1.0", "unyank acme-tols 1.0", "delete acme-tols 1.0 -y", "status acme-tols archived"),
        *("trash list acme-tols", "trash restore acme-tols", "trash empty acme-tols -y", "owner list acme-tols"),
    ],
)
def test_a_misspelt_project_is_an_error_with_the_name_that_was_meant(pair: Pair, line: str) -> None:
    """By every command, on the store and on the server."""
    expected = (1, "", "quire: error: The project acme-tols does not exist (did you mean acme-tools?).\n")
    assert pair.remote(*line.split()) == expected
    assert pair.local(*line.split()) == expected


def test_advisories_of_this_machine_are_sent(pair: Pair, tmp_path: Path) -> None:
    """A file as it is, a folder packed; with the output of the command on the store, and the name of the file there."""
    folder, file = tmp_path / "advisories", tmp_path / "all.json"
    folder.mkdir()
    text = '{"id": "A-1", "modified": "2026-05-01T00:00:00Z", "affected": [{"package": {"ecosystem": "PyPI", "name": '
    (folder / "1.json").write_text(f'{text}"acme-tools"}}, "versions": ["1.2.0"]}}]}}')
    (folder / "2.json").write_text("{")
    file.write_text((folder / "1.json").read_text())
    sent = pair.remote("osv", "update", str(folder))
    assert (sent[0], sent[1].startswith("The source osv has 1 advisory"), "2.json was left out" in sent[2]) == (
        0,
        True,
        True,
    )
    assert pair.local("osv", "update", str(folder))[1] == sent[1].replace("project.", "project, as before.")
    assert pair.remote("osv", "update", str(file), "--as", "own", "--json")[0] == 0
    for words in ("osv show --json", "osv show", "osv show acme-tools==1.2.0"):
        assert pair.remote(*words.split()) == pair.local(*words.split())
    listed = json.loads(pair.remote("osv", "show", "--json")[1])["sources"]
    assert [(each["source"], each["origin"]) for each in listed] == [("osv", "advisories"), ("own", "all.json")]
    for source in ("own", "osv"):
        assert pair.remote("osv", "remove", source)[1].startswith(f"Removed the advisories of {source}")


def test_changes_are_made_on_the_server(pair: Pair) -> None:
    """Each command that changes something, with the output that it has on the store; the log names the token."""
    upload(pair.site, "changed", "1.0")
    upload(pair.site, "changed", "2.0")
    assert pair.remote("yank", "changed", "1.0", "--reason", "broken")[1] == (
        "Yanked the release 1.0 of changed (1 file): installers take it only when it is pinned.\n"
    )
    again = pair.remote("yank", "changed", "1.0", "--reason", "broken")
    assert again == (0, "Nothing to do: the release 1.0 of changed (1 file) was yanked before.\n", "")
    assert pair.local("yank", "changed", "1.0", "--reason", "broken") == again
    assert pair.remote("unyank", "changed", wheel_name("changed", "1.0"))[1].startswith("Unyanked the file changed-1.0")
    assert pair.remote("status", "changed", "deprecated", "--reason", "old")[1] == "changed: deprecated (old)\n"
    refused = pair.remote("delete", "changed", "1.0")
    assert (refused[0], "add --yes" in refused[2], "1 file" in refused[2]) == (1, True, True)
    assert pair.remote("delete", "changed", "1.0", "--yes")[1].startswith(
        "Deleted the release 1.0 of changed: 1 file, "
    )
    assert pair.remote("delete", "changed", "1.0", "--yes") == pair.local("delete", "changed", "1.0", "--yes")
    assert "was deleted before" in pair.remote("delete", "changed", "1.0", "--yes")[1]
    entries = json.loads(pair.remote("log", "changed", "--json")[1])
    assert [each["action"] for each in entries] == ["publish", "publish", "yank", "unyank", "status", "delete"]
    assert {each["user"] for each in entries[2:]} == {f"token:{pair.token.split('_')[1]}"}
    assert json.loads(pair.local("log", "changed", "--json")[1]) == entries


def test_settings_of_an_index_are_changed_on_the_server(pair: Pair) -> None:
    """They are shown to every command, and the log has each change; what is left out stays."""
    changed = pair.remote("index", "set", "main", "--quota", "50GB", "--new-projects", "owned", "--json")
    entry: dict[str, object] = {"name": "main", "is_default": True, "uploads": True, "overwrite": False}
    entry |= {"new_projects": "owned", "quota": 50 << 30, "project_quota": None}
    entry |= {"behind": [], "claims": [], "upstreams": [], "in_front_of": None, "expires": None, "merged": []}
    entry |= {"namespaces": [], "keep": [], "past_trash": "shown", "session": None, "downloads": True}
    assert json.loads(changed[1]) == {**entry, "changed": True}
    again = pair.remote("index", "set", "-", "--quota", "51200M")
    assert again == (0, "Nothing to do: the index has these settings.\n", "")
    assert pair.local("index", "set", "main", "--project-quota", "1.5G")[0] == 0
    for shown in (pair.local, pair.remote):
        assert shown("index", "list") == (0, "main\tdefault\tuploads\towned\t50G\t1536M\n", "")
        described = json.loads(shown("index", "show", "main", "--json")[1])
        del described["used"]
        assert described == {**entry, "project_quota": 3 << 29}
        assert [line.split("\t")[3:7:3] for line in shown("log", "--action", "index-set")[1].splitlines()] == [
            ["index-set", "index main: new projects owned, quota 53687091200"],
            ["index-set", "index main: project quota 1610612736"],
        ]
    assert pair.remote("index", "set", "main", "--quota", "none", "--project-quota", "None")[0] == 0
    assert pair.local("index", "set", "main", "--new-projects", "shared")[0] == 0
    assert pair.remote("index", "list")[1] == "main\tdefault\tuploads\tshared\tnone\tnone\n"


def test_owners_are_changed_on_the_server(pair: Pair) -> None:
    """With the output of the command on the store; the log of the project has each change."""
    upload(pair.site, "owned", "1.0")
    assert pair.local("index", "set", "main", "--new-projects", "owned")[0] == 0
    assert pair.remote("owner", "list", "owned") == (0, "", "owned has no owners.\n")
    assert pair.remote("owner", "add", "owned", "ann") == (0, "user:ann owns owned.\n", "")
    again = pair.remote("owner", "add", "Owned", "user:ann")
    assert again == pair.local("owner", "add", "owned", "ann")
    assert again[1] == "Nothing to do: user:ann owned owned before.\n"
    assert pair.local("owner", "add", "owned", "group:tools")[0] == 0
    assert pair.remote("owner", "list", "owned") == (0, "user:ann\ngroup:tools\n", "")
    assert pair.remote("owner", "remove", "owned", "ann")[1] == (
        "user:ann does not own owned any more; its owners are group:tools.\n"
    )
    refused = pair.local("owner", "remove", "owned", "group:tools")
    assert (refused[0], "last owner" in refused[2]) == (1, True)
    assert pair.local("owner", "remove", "owned", "group:tools", "--force")[1].endswith("it has no owners.\n")
    shown = [line.split("\t")[3:7:3] for line in pair.remote("log", "owned")[1].splitlines()]
    assert shown[1:] == [
        ["owner-add", "owners user:ann"],
        ["owner-add", "owners user:ann, group:tools"],
        ["owner-remove", "owners group:tools"],
        ["owner-remove", "no owners"],
    ]
    assert pair.local("index", "set", "main", "--new-projects", "shared")[0] == 0
    assert "Owners have no effect" in pair.remote("owner", "list", "owned")[2]


@pytest.mark.parametrize("flags", ["--quota -1", "--quota 0", "--quota 9999999T", "--quota much", "--new-projects all"])
def test_settings_that_are_none_are_refused(pair: Pair, flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line says what is wrong; exit code 2."""
    with pytest.raises(SystemExit, match="2"):
        cli.main(["index", "set", "main", *flags.split(), "-d", str(pair.site.root)])
    assert "error: argument --" in capsys.readouterr().err


def test_indexes_are_made_and_deleted_on_the_server(pair: Pair) -> None:
    """With the output that the command has on the store; repeated, nothing is done."""
    made = pair.remote("index", "create", "team", "--no-uploads", "--quota", "1G")
    assert made == (0, "Made the index team: every server has it below /team/ from now on.\n", "")
    again = pair.local("index", "create", "team", "--no-uploads", "--quota", "1G")
    assert again == pair.remote("index", "create", "team", "--no-uploads", "--quota", "1G")
    assert again[1] == "Nothing to do: there is the index team with these settings.\n"
    for shown in (pair.local, pair.remote):
        assert "team\t\tno uploads\tshared\t1G\tnone\n" in shown("index", "list")[1]
        assert "Address\t/team/\n" in shown("index", "show", "team")[1]
        assert "already" in shown("index", "create", "team")[2]
        assert "cannot be deleted" in shown("index", "delete", "main", "--yes")[2]
        assert "no index 'Team'" in shown("index", "delete", "Team", "--yes")[2]
    assert pair.remote("ls", "--index", "team") == (0, "", "")
    assert pair.remote("index", "delete", "team") == (0, "Deleted the index team.\n", "")
    assert pair.remote("index", "delete", "team") == pair.local("index", "delete", "team")
    rows = pair.remote("log", "--access", "--action", "index-create")[1].splitlines()
    assert rows[0].endswith("\tindex team: uploads no, quota 1073741824")
    assert pair.local("log", "--action", "index-delete")[1].endswith("\tindex team\n")


def test_a_deletion_that_was_interrupted_is_repeated(pair: Pair) -> None:
    """Of a stage, on the store and over HTTP: its name is free only then."""
    store = open_store(str(pair.site.root))
    for number, repeat in enumerate((pair.local, pair.remote)):
        create = ("stage", "create", "pr-1", "--in-front-of", "main")
        assert repeat(*create)[0] == 0
        Index(store, "pr-1").publish([staged_wheel(store, "alpha", f"{number}.0")])

        def interrupted(document: AccessDocument) -> AccessDocument:
            return with_deletions(without_index(document, "pr-1", "main"), ["pr-1"])

        AccessRecords(store).change(interrupted, "index-delete", {"index": "pr-1"}, Origin())
        for place in (pair.local, pair.remote):
            assert "'quire index delete pr-1 --yes' ends it" in place(*create)[2]
            assert "has files of 1 project" in place("index", "delete", "pr-1")[2]
        assert repeat("stage", "delete", "pr-1") == (0, "Deleted the stage pr-1 with 1 file.\n", "")
        assert "no stage 'pr-1'" in repeat("stage", "delete", "pr-1")[2]
        assert "no stage 'main'" in repeat("stage", "delete", "main")[2]


def test_a_project_of_an_index_behind_is_shown_with_a_word(pair: Pair) -> None:
    """The list says what it leaves out; a project says of what it may be; on the store it is named."""
    assert pair.remote("index", "create", "front", "--behind", "main")[0] == 0
    try:
        assert pair.remote("ls", "--index", "front") == (0, "", "Not listed: what front offers of main, behind it.\n")
        for command in ("ls", "show"):
            code, out, said = pair.remote(command, "acme-tools", "--index", "front")
            assert (code, "acme_tools-1.2.0" in out, "it may be of main, behind it" in said) == (0, True, True)
            assert "main has, behind it: --index main" in pair.local(command, "acme-tools", "--index", "front")[2]
    finally:
        pair.remote("index", "delete", "front", "--yes")


def test_an_index_with_a_quota_is_shown_with_its_bytes(pair: Pair) -> None:
    """Published files count, in words and as a number; an index without a quota is not counted."""
    made = pair.remote("index", "create", "limited", "--quota", "1M")
    assert made[0] == 0
    wheel = make_wheel("alder", "1.0", files={"alder.py": random.Random(7).randbytes(200_000)})
    form = twine_form(wheel_name("alder", "1.0"), wheel, name="alder", version="1.0")
    answer = post(pair.site, form, "/limited/", authorization=basic("root", SECRETS["root"]))
    assert answer.status_code == 200, answer.text
    words = f"{len(wheel) / 1000:.1f} kB of 1.0 MB ({len(wheel) * 100 >> 20} %)"
    until(lambda: "not counted yet" not in pair.remote("index", "show", "limited")[1])
    for shown in (pair.local, pair.remote):
        assert f"Quota\t1M\nUsed\t{words}\n" in shown("index", "show", "limited")[1]
        assert json.loads(shown("index", "show", "limited", "--json")[1])["used"] == len(wheel)
    assert pair.local("index", "set", "limited", "--quota", "none")[0] == 0
    for shown in (pair.local, pair.remote):
        assert "Used" not in shown("index", "show", "limited")[1]
        assert json.loads(shown("index", "show", "limited", "--json")[1])["used"] is None
    assert pair.remote("index", "delete", "limited", "--yes")[0] == 0


def test_grants_and_tokens_are_changed_on_the_server(pair: Pair) -> None:
    """A token that was made remotely counts, and its text was never on the network."""
    granted = json.loads(pair.remote("grant", "user:eve", "manage", "--project", "eve-*", "--json")[1])
    assert granted["changed"] is True
    again = pair.remote("grant", "user:eve", "manage", "--project", "eve-*")
    assert again == pair.local("grant", "user:eve", "manage", "--project", "eve-*")
    assert again[1].startswith("Nothing to do: user:eve had manage of eve-*")
    assert pair.remote("revoke", granted["id"])[1] == "Took manage of eve-* on every index from user:eve.\n"
    assert pair.remote("group", "ops", "ann", "bob")[1] == "The group ops has 2 users.\n"
    assert pair.remote("group", "ops") == pair.local("group", "ops") == (0, "ann\nbob\n", "")  # shown, not removed
    assert pair.remote("group", "ops", "ann", "--remove")[0] == 1
    assert pair.remote("group", "ops", "--remove")[1] == "There is no group ops any more.\n"
    assert "no group ops" in pair.remote("group", "ops")[2]
    code, out, err = pair.remote("token", "create", "--right", "read", "--expires", "1d", "--note", "ci")
    assert code == 0
    reader = Pair(pair.site, out.strip())
    identity = reader.token.split("_")[1]
    assert f"The token {identity} may read every index; it expires" in err
    assert reader.remote("ls", "acme-tools")[0] == 0
    assert "needs the right manage" in reader.remote("yank", "acme-tools", "1.2.0")[2]
    rotated = json.loads(pair.remote("token", "rotate", identity, "--grace", "0", "--json")[1])
    assert "The token was replaced by a new one" in reader.remote("token", "list")[2]
    assert Pair(pair.site, rotated["token"]).remote("ls", "acme-tools")[0] == 0
    assert pair.remote("token", "revoke", identity)[1] == "Revoked 1 token: no further request is served by it.\n"
    code, _, err = Pair(pair.site, rotated["token"]).remote("token", "list")
    assert (code, "was revoked" in err, "is from the URL" in err) == (1, True, True)
    assert rotated["token"] not in err
    for text in (reader.token, rotated["token"]):
        assert text not in pair.site.served.output()


def test_the_trash_is_used_on_the_server(pair: Pair) -> None:
    """Listed, restored and emptied, each once more without harm; the log names the token."""
    for version in ("1.0", "2.0", "3.0"):
        upload(pair.site, "binned", version)
    deleted = pair.remote("delete", "binned", "--all", "--yes")[1]
    assert "'quire trash restore binned' brings it back" in deleted
    token = f"token:{pair.token.split('_')[1]}"
    listed = json.loads(pair.remote("trash", "list", "binned", "--json")[1])
    assert [(each["version"], each["deleted_by"]) for each in listed["files"]] == [
        (version, token) for version in ("1.0", "2.0", "3.0")
    ]
    assert pair.remote("trash", "list", "binned") == pair.local("trash", "list", "binned")
    assert json.loads(pair.remote("trash", "list", "--older-than", "1h", "--json")[1])["files"] == []
    assert json.loads(pair.remote("trash", "list", "--by", "nobody", "--json")[1])["files"] == []
    name = wheel_name("binned", "1.0")
    assert pair.remote("trash", "restore", "binned", "1.0", "-n") == (0, f"Would restore {name}.\n", "")
    assert pair.remote("trash", "restore", "binned", name) == (0, f"Restored {name}.\n", "")
    again = (0, "Nothing to do: the same content is published.\n", "")
    assert pair.remote("trash", "restore", "binned", name) == again
    assert pair.local("trash", "restore", "binned", "1.0") == again
    refused = pair.remote("trash", "empty", "binned", "2.0")
    assert (refused[0], "Remove 1 file, " in refused[2], "add --yes" in refused[2]) == (1, True, True)
    emptied = json.loads(pair.remote("trash", "empty", "binned", "2.0", "--yes", "--json")[1])
    assert [each["filename"] for each in emptied["removed"]] == [wheel_name("binned", "2.0")]
    nothing = (0, "Nothing to do: the trash has no such file.\n", "")
    assert pair.remote("trash", "empty", "binned", "2.0", "--yes") == nothing
    assert pair.local("trash", "empty", "binned", "2.0", "--yes") == nothing
    assert "The trash has no such file of binned" in pair.remote("trash", "restore", "binned", "2.0")[2]
    assert pair.remote("trash", "empty", "--all", "--yes")[1].endswith("removed for good.\n")
    assert json.loads(pair.remote("trash", "list", "--json")[1])["files"] == []
    entries = json.loads(pair.remote("log", "binned", "--json")[1])
    assert [each["action"] for each in entries[3:]] == ["delete", "restore", "empty", "empty"]
    assert {each["user"] for each in entries[3:]} == {token}


def test_publishers_and_sessions_are_changed_on_the_server(pair: Pair) -> None:
    """A pending publisher says so; the same one is added once; the log names the token."""
    add = ("publisher", "add", "github", "--repository", "acme/tools", "--workflow", "release.yml")
    words = (*add, "--project", "acme-tools", "--project", "acme-new")
    added = json.loads(pair.remote(*words, "--json")[1])
    assert (added["changed"], added["pending"]) == (True, ["acme-new"])
    again = pair.remote(*words)
    assert again == pair.local(*words)
    assert again[1].startswith(f"There is already the publisher {added['id']}: GitHub acme/tools release.yml\n")
    assert "to the index main" in again[1]
    assert pair.remote("publisher", "list", "--json") == pair.local("publisher", "list", "--json")
    listed = json.loads(pair.remote("publisher", "list", "--json")[1])
    assert [(each["id"], each["by"]) for each in listed["publishers"]] == [
        (added["id"], f"token:{pair.token.split('_')[1]}")
    ]
    assert pair.remote("publisher", "audience", "packages.acme.example") == (0, "packages.acme.example\n", "")
    assert pair.local("publisher", "audience")[1] == "packages.acme.example\n"
    assert pair.remote("publisher", "remove", added["id"])[1].startswith("Removed 1 publisher")
    assert pair.local("publisher", "list")[1] == "There are no publishers.\n"
    assert pair.remote("session", "end", "ann")[1] == "The sessions of ann have ended.\n"
    assert json.loads(pair.remote("session", "end", "--all", "--json")[1]) == {"users": [], "all": True}
    log = json.loads(pair.remote("log", "--access", "--json")[1])
    assert [each["action"] for each in log[-4:]] == ["publisher-add", "audience", "publisher-remove", "session-end"]


def test_grants_that_give_nothing_are_found_on_the_server(pair: Pair) -> None:
    """The server has a password file, which the command on the store is not told of."""
    granted = json.loads(pair.remote("grant", "user:nobody", "read", "--json")[1])
    code, out, err = pair.remote("grants", "--check")
    assert (code, err) == (1, "")
    assert out == f"{granted['id']}\tuser:nobody\tThe password file has no user nobody.\n"
    assert "a server has its own" in pair.remote("grants", "--check", "-P", "x")[2].lower()
    pair.remote("revoke", granted["id"])
    assert pair.remote("grants", "--check") == (0, "Each grant gives something.\n", "")


def test_each_command_takes_a_url_or_the_page_says_why_not() -> None:
    """docs/how-to/remote.md has a table of the commands of each kind."""
    page = (Path(__file__).parent.parent.parent / "docs" / "how-to" / "remote.md").read_text()
    remote, local = (
        {word for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for word in re.findall(r"`([a-z-]+)", cell)}
        for table in page.partition("## The login")[0].split("|---|---|")[1:]
    )
    takes_url = {name for name in cli.COMMANDS if any(part.get_default("takes_url") for part in parts(name))}
    assert remote == takes_url
    assert local == set(cli.COMMANDS) - takes_url


def test_the_environment_names_the_server(pair: Pair) -> None:
    """QUIRE_URL is --url; a directory that is named comes before it. Commands for the store alone say so."""
    environ = environment(QUIRE_TOKEN=pair.token, QUIRE_URL=pair.site.base)
    folder = pair.site.root.parent
    assert "acme-tools" in run_quire("ls", cwd=folder, environ=environ).stdout
    assert "acme-tools" in run_quire("ls", "--url", f"{pair.site.base}simple/", cwd=folder, environ=environ).stdout
    (folder / "other").mkdir(exist_ok=True)
    assert run_quire("ls", "-d", folder / "other", cwd=folder, environ=environ).stdout == ""
    for words, sentence in (
        (["check"], "works on the store itself"),
        (["access", "init", "--admin", "a", "-a", "."], "works on the store itself"),
        (["ls", "-d", "packages"], "not both"),
        (["yank", "acme-tools", "1.0", "--user", "me"], "logs the user that logs in"),
    ):
        code, out, err = pair.remote(*words)
        assert (code, out, sentence in err, "Traceback" in err) == (2, "", True, False), err


def test_a_server_without_grants_says_how_to_begin(tmp_path: Path) -> None:
    """Users of a password file may change projects, as they do now, and administer nothing."""
    users = password_file(tmp_path, ann="secret")
    with serve(tmp_path, "-a", "update", "-P", users, "--disable-fallback") as site:
        content = make_wheel("a", "1.0")
        publish(site, wheel_name("a", "1.0"), content, name="a", version="1.0", authorization=basic("ann", "secret"))
        url = site.base.replace("http://", "http://ann:secret@")
        assert run_quire("yank", "a", "1.0", "--url", url, cwd=tmp_path).returncode == 0
        done = run_quire("token", "list", "--url", url, cwd=tmp_path)
        assert (done.returncode, "quire access init" in done.stderr) == (1, True)
        assert "secret" not in done.stderr


# -- a server that is not quire ---------------------------------------------------------------------------------------


@dataclass
class Fake:
    """A server that answers as it is told, and remembers the Authorization header of each request."""

    port: int
    answer: Callable[[BaseHTTPRequestHandler], None]
    authorizations: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/python/"


@contextmanager
def fake(answer: Callable[[BaseHTTPRequestHandler], None], certificate: Path | None = None) -> Iterator[Fake]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.authorizations.append(self.headers.get("authorization"))
            answer(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    found = Fake(server.server_address[1], answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join(DEADLINE)
        server.server_close()


def saying(
    status: int = 200, body: bytes = EMPTY, media_type: str = "application/json", **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", media_type)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def problem(status: int, detail: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return saying(status, json.dumps({"status": status, "detail": detail}).encode(), "application/problem+json")


def wants(header: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """401 without this Authorization header."""
    refused = problem(401, "This needs a login.")
    return lambda request: (saying() if request.headers.get("authorization") == header else refused)(request)


def ask(url: str, **environ: str) -> IndexList:
    client = Client(url, {"PATH": "", "HOME": "/nonexistent", **environ})
    try:
        return client.get(IndexList, "indexes")
    finally:
        client.close()


def script(folder: Path, text: str) -> str:
    """A PATH with a command `keyring`."""
    program = folder / "keyring"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def netrc_of(folder: Path, host: str = "127.0.0.1") -> str:
    path = folder / "netrc"
    path.write_text(f"machine {host} login carl password from-netrc\n")
    path.chmod(0o600)
    return str(path)


def test_credentials_at_hand_are_sent_at_once(tmp_path: Path) -> None:
    """Those of the URL, else QUIRE_TOKEN, else netrc; and none to a host that none are for."""
    with fake(saying()) as server:
        own = server.url.replace("http://", "http://ann%40x:p%3A%2F@")
        named = {"QUIRE_TOKEN": f" {TOKEN}\n", "NETRC": netrc_of(tmp_path)}
        for url, environ in (
            (own, named),
            (server.url, named),
            (server.url, {"NETRC": named["NETRC"]}),
            (server.url, {}),
        ):
            ask(url, **environ)
        ask(server.url, NETRC=netrc_of(tmp_path, "other.example"))
    expected = [basic("ann@x", "p:/"), f"Bearer {TOKEN}", basic("carl", "from-netrc"), None, None]
    assert server.authorizations == expected


@pytest.mark.parametrize(
    ("user", "program", "expected"),
    [
        ("", '[ "$1 $2 $3" = "--mode creds get" ] && printf "dora\\nfrom-keyring\\n"', ("dora", "from-keyring")),
        ("", '[ "$1" = get ] && [ "$3" = __token__ ] && echo from-keyring', ("__token__", "from-keyring")),
        ("erin@", '[ "$1 $3" = "get erin" ] && echo from-keyring', ("erin", "from-keyring")),
    ],
)
def test_a_keyring_is_asked_when_a_login_is_needed(
    tmp_path: Path, user: str, program: str, expected: tuple[str, str]
) -> None:
    """Not before, since it may ask a person."""
    header = basic(*expected)
    with fake(wants(header)) as server:
        ask(server.url.replace("http://", f"http://{user}"), PATH=script(tmp_path, program))
        assert server.authorizations == [None, header]
    with fake(saying()) as server:
        ask(server.url, PATH=script(tmp_path, "exit 1"))
        assert server.authorizations == [None]


def test_a_person_is_asked_at_a_terminal(tmp_path: Path) -> None:
    """For the user and the password, which is not echoed."""
    with fake(wants(basic("fred", "typed-in"))) as server:
        terminal, inside = pty.openpty()
        environ = environment(HOME=str(tmp_path), PATH="/nonexistent")
        command = quire_command("--url", server.url, "ls")
        with subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, env=environ, start_new_session=True):
            os.close(inside)
            shown = b""
            for asked, typed in ((b"User for", b"fred\n"), (b"Password or token of fred", b"typed-in\n")):
                while asked not in shown:
                    shown += os.read(terminal, 1024)
                os.write(terminal, typed)
            with contextlib.suppress(OSError):  # it has ended
                while chunk := os.read(terminal, 1024):
                    shown += chunk
        os.close(terminal)
    assert server.authorizations == [None, basic("fred", "typed-in")]
    assert b"typed-in" not in shown


def test_wrong_credentials_end_with_a_sentence(tmp_path: Path) -> None:
    """It says where they are from, and never shows them."""
    with fake(wants("nobody's")) as server:
        for environ, source in (
            ({"QUIRE_TOKEN": TOKEN}, "QUIRE_TOKEN"),
            ({"NETRC": netrc_of(tmp_path)}, str(tmp_path / "netrc")),
            ({"PATH": script(tmp_path, "echo secret; echo secret")}, "the keyring"),
            ({}, "Set QUIRE_TOKEN"),
        ):
            with pytest.raises(UpstreamError, match=re.escape(source)) as caught:
                ask(server.url, **environ)
            assert not re.search(f"{TOKEN}|from-netrc|secret", str(caught.value))
    for environ in ({"QUIRE_TOKEN": TOKEN[:-1]}, {"QUIRE_TOKEN": "pypi-x"}, {"NETRC": str(tmp_path)}):
        with pytest.raises(ConfigurationError) as configuration:
            ask(server.url, **environ)
        assert TOKEN[:-1] not in str(configuration.value)
    broken = tmp_path / "broken"
    broken.write_text("machine x login y password secret oops")
    with pytest.raises(ConfigurationError) as configuration:
        ask(server.url, NETRC=str(broken))
    assert "secret" not in str(configuration.value)


@pytest.mark.parametrize("url", ["", "packages", "ftp://a/", "http://", "http://a:x/", "https://a/?x=1", "http://[/"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="--url"):
        ask(url)


def _endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.end_headers()
    try:
        for _ in range(MAX_ANSWER_BYTES // 2**20 + 64):
            request.wfile.write(b" " * 2**20)
    except OSError:
        """The client has gone."""


def _silent(request: BaseHTTPRequestHandler) -> None:
    request.rfile.read(1)  # until the client goes


def _cut(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b"{")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (_endless, "answers with more than"),
        (_silent, "does not answer in time"),
        (_cut, "broke"),
        (saying(200, b"<html>Log in", "text/html"), "login page"),
        (saying(200, b"Welcome", "text/plain"), "no quire at this address"),
        (saying(404, b"nginx", "text/html"), "no quire at this address"),
        (saying(502, b"bad gateway", "text/html"), "no quire at this address"),
        (saying(200, b"not json"), "does not understand"),
        (saying(200, b'{"projects": 5}'), "does not understand"),
        (saying(200, b"[" * 100_000), "does not understand"),
        (saying(200, b"\x1f\x8b\x08", **{"Content-Encoding": "gzip"}), "does not understand"),
        (problem(500, "The index has a defect here."), "a defect"),
        (problem(404, "There is nothing at this address."), "another version"),
        (problem(404, "There is nothing at this address."), "check the address"),
        (problem(400, "\x1b[2Jhi\nthere."), "?[2Jhi there."),
        (saying(302, b"", Location="http://other.example/login"), "redirects to 'http://other.example',"),
        (saying(302, b"", Location="https://127.0.0.1/x"), "redirects to 'https://127.0.0.1',"),
        (saying(301, b"", Location="/python/loop"), "in a circle"),
        (saying(302, b"", Location="http://[/"), "redirects"),
        (saying(304, b"", "text/html"), "no quire at this address"),
        (saying(300, b"<html>", "text/html"), "no quire at this address"),
    ],
)  # fmt: skip
def test_answers_are_not_trusted(answer: Callable[[BaseHTTPRequestHandler], None], sentence: str) -> None:
    """Each ends with one sentence, within the bounds; no credentials go to another host."""
    with fake(answer) as server:
        client = Client(server.url, {"QUIRE_TOKEN": TOKEN}, seconds=1.0 if answer is _silent else 60.0)
        with pytest.raises(QuireError, match=re.escape(sentence)) as caught:
            client.get(IndexList, "indexes")
        client.close()
        assert TOKEN not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_redirect_within_the_server_is_followed() -> None:
    """As of a prefix that moved; a change is not sent again elsewhere."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        moved = saying(307, b"", Location=f"/new{request.path}")
        (saying() if request.path.startswith("/new") else moved)(request)

    with fake(answer) as server:
        client = Client(server.url, {"QUIRE_TOKEN": TOKEN})
        assert client.get(IndexList, "indexes").indexes == []
        with pytest.raises(UpstreamError, match="redirects"):
            client.post(IndexList, IdsBody(ids=[]), "tokens", "revoke")
        client.close()
    assert server.authorizations == [f"Bearer {TOKEN}"] * 3


def test_a_list_without_an_end_is_given_up() -> None:
    """A cursor that comes again is no progress."""
    page = b'{"index": "main", "projects": [], "next": "same"}'
    with fake(saying(200, page)) as server, pytest.raises(UpstreamError, match="has no end"):
        Remote(server.url, None, {}).projects()


def test_no_server_is_a_sentence() -> None:
    """In words, without a number of the system, and without a word of a change that cannot have been made."""
    port = free_port()
    with pytest.raises(UpstreamError) as caught:
        ask(f"http://127.0.0.1:{port}/")
    assert str(caught.value) == f"The server http://127.0.0.1:{port} cannot be reached: Connection refused."


def test_tls_where_there_is_none_is_a_sentence() -> None:
    """https to a server that speaks http."""
    with fake(saying()) as server, pytest.raises(UpstreamError) as caught:
        ask(server.url.replace("http:", "https:"))
    assert re.search(r"cannot be reached: TLS fails \([a-z ]+\); an http server needs http://\.$", str(caught.value))


def test_proxies_of_the_environment_are_used(tmp_path: Path) -> None:
    """HTTP_PROXY, but for the hosts of NO_PROXY."""
    page = b'{"index": "main", "projects": [], "next": null}'
    with fake(saying(200, page)) as server:
        environ = environment(HTTP_PROXY=server.url, http_proxy=server.url, NO_PROXY="", no_proxy="")
        done = run_quire("ls", "--json", "--url", "http://packages.invalid/", cwd=tmp_path, environ=environ)
        assert (done.returncode, len(server.authorizations)) == (0, 1), done.stderr


def test_fields_of_a_newer_server_do_not_matter() -> None:
    """Answers grow; what is not known is left."""
    body = b'{"user": "a", "token": null, "groups": [], "rights": [], "index": "main", "quire": "9", "more": {}}'
    with fake(saying(200, body)) as server:
        client = Client(server.url, {})
        assert client.get(Sender, "whoami").quire == "9"
        client.close()


def test_certificates_are_checked(tmp_path: Path) -> None:
    """By the system's authorities, or those of SSL_CERT_FILE."""
    certificate = tmp_path / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    more = [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(tmp_path / "key.pem"),
        "-out",
        str(tmp_path / "c.pem"),
    ]
    subprocess.run([*command, *more], check=True, capture_output=True, timeout=DEADLINE)
    certificate.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "c.pem").read_text())
    page = b'{"index": "main", "projects": [], "next": null}'
    with fake(saying(200, page), certificate) as server:
        url = server.url.replace("http:", "https:")

        def listing(**variables: str) -> subprocess.CompletedProcess[str]:
            return run_quire("ls", "--json", "--url", url, cwd=tmp_path, environ=environment(**variables))

        trusted = listing(SSL_CERT_FILE=str(tmp_path / "c.pem"))
        assert (trusted.returncode, json.loads(trusted.stdout)["projects"]) == (0, []), trusted.stderr
        with pytest.raises(UpstreamError, match=r" broke: .*; a server with TLS needs https://\.$"):
            ask(server.url)
        refused = listing()
        assert (refused.returncode, "cannot be reached" in refused.stderr) == (1, True)
        assert "certificate" in refused.stderr
