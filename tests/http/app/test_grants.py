"""Grants and tokens: what was given counts for the next request of every worker, and so does what was taken back."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest

from quire.access.document import KEY, AccessDocument
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity, new_token
from quire.index.audit.entries import Origin
from tests.asking import Site, password_file, publish, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire

SECRETS = {"ann": "secret-a", "bob": "secret-b"}
READABLE = ("-a", "update", "--disable-fallback")
CLOSED = ("-a", "list,download,update", "--disable-fallback")


def quire(site: Site, *words: str, code: int = 0) -> str:
    """The output of a command on the store of a site."""
    done = run_quire(*words, "-d", site.root, cwd=site.root)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def create(site: Site, *words: str) -> tuple[str, str]:
    """A new token: its id, and its text."""
    made = json.loads(quire(site, "token", "create", *words, "--json").partition("quire: warning")[0])
    return made["id"], made["token"]


def basic(user: str, password: str = "") -> str:
    return f"Basic {b64encode(f'{user}:{password or SECRETS[user]}'.encode()).decode()}"


def page(site: Site, authorization: str = "", project: str = "acme") -> int:
    """The status of a page, asked for three times, so that the fast path answers as well; on a connection each."""
    headers = {"connection": "close", **({"authorization": authorization} if authorization else {})}
    statuses = {site.client.get(f"/simple/{project}/", headers=headers).status_code for _ in range(3)}
    assert len(statuses) == 1
    return statuses.pop()


def upload(site: Site, project: str, authorization: str, version: str = "1.0") -> httpx.Response:
    content = make_wheel(project, version)
    headers = {"authorization": authorization} if authorization else {}
    return publish(site, wheel_name(project, version), content, name=project, version=version, **headers)


def removal(site: Site, project: str, authorization: str, version: str = "1.0") -> httpx.Response:
    form = {":action": "remove_pkg", "name": project, "version": version}
    return site.client.post("/", data=form, headers={"authorization": authorization})


def test_a_token_does_what_it_is_for(tmp_path: Path) -> None:
    """As the password of any user, or as Bearer; on its projects, until it is revoked. It needs no password file."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS), "--workers", 2) as site:
        _, reader = create(site, "--right", "read")
        identity, writer = create(site, "--right", "upload", "--project", "acme*", "--user", "ci")
        for sent in (basic("__token__", writer), basic("anything", writer), f"Bearer {writer}", f"bearer  {writer}"):
            assert upload(site, "acme", sent).status_code == 200
        refused = upload(site, "other", f"Bearer {writer}")
        assert refused.status_code == 403
        assert refused.text == (
            f"The token {identity} may not upload here; it needs the right upload on other on the index main.\n"
        )
        assert removal(site, "acme", f"Bearer {writer}").status_code == 403
        assert page(site, f"Bearer {writer}") == 403
        assert (
            page(site, f"Bearer {reader}") == page(site, basic("__token__", reader)) == page(site, basic("ann")) == 200
        )
        assert page(site) == 401
        assert upload(site, "acme", f"Bearer {reader}", "2.0").status_code == 403
        quire(site, "token", "revoke", identity)
        revoked = upload(site, "acme", f"Bearer {writer}", "3.0")
        assert (revoked.status_code, revoked.text) == (401, "The token was revoked; ask for a new one.\n")
        log = quire(site, "log", "acme", "--json")
        assert '"user": "ci"' in log
    output = site.served.output()
    assert writer not in output
    assert reader not in output
    assert identity in output


@pytest.mark.parametrize(
    "sent",
    ["quire_0123456789_cut", "pypi-AgEIcHlwaS5vcmc", "", "quire_0123456789_" + "a" * 49, "\u0661" * 20, "a" * 9000],
)
def test_what_is_no_token_is_refused(tmp_path: Path, sent: str) -> None:
    """With a sentence that helps, whether or not there is such an id; and never with a 500."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:
        for header in (basic("__token__", sent or " "), f"Bearer {sent}".strip()):
            answer = site.client.get("/simple/", headers=[(b"authorization", header.encode())])
            assert answer.status_code == 401
            assert "www-authenticate" in answer.headers
        identity, token = create(site, "--right", "read")
        texts = {
            site.client.get("/simple/", headers={"authorization": f"Bearer {each.text}"}).text
            for each in (new_token(identity), new_token("0000000000"))
        }
        assert texts == {"The token is wrong, or was removed.\n"}
        assert page(site, f"Bearer {token[:-1]}") == 401


def test_a_token_of_another_index_or_store_gives_nothing_here(tmp_path: Path) -> None:
    """Of another index of the store it is known, and lacks the right; of another store it is no token here."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:
        _, other = create(site, "--right", "read", "--right", "upload", "--index", "staging")
        assert page(site, f"Bearer {other}") == 403
        refused = upload(site, "acme", f"Bearer {other}", "1.0")
        assert (refused.status_code, "on the index main" in refused.text) == (403, True)
        foreign = new_token(new_identity()).text
        answer = upload(site, "acme", f"Bearer {foreign}", "1.0")
        assert (answer.status_code, answer.text) == (401, "The token is wrong, or was removed.\n")
        for text in (foreign[:-1], f"{foreign}=", f"{foreign}a", foreign.upper(), foreign.replace("_", "-")):
            wrong = site.client.get("/simple/", headers={"authorization": f"Bearer {text}"})
            assert (wrong.status_code, wrong.text.startswith("The token is no token of this server")) == (401, True)


def test_a_right_that_was_revoked_serves_no_request(tmp_path: Path) -> None:
    """From the moment at which the command has ended, on both workers, on the fast path and off it; and the other way
    round, what was given is there at once."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS), "--workers", 2) as site:
        upload(site, "acme", basic("ann"))
        quire(site, "access", "init", "--admin", "ann", "-a", "list,download,update")
        assert page(site, basic("bob")) == 200
        assert page(site) == 401
        listed = json.loads(quire(site, "grants", "--json"))["grants"]
        (reading,) = [each["id"] for each in listed if each["rights"] == ["read"]]
        (writing,) = [each["id"] for each in listed if "upload" in each["rights"]]
        quire(site, "revoke", reading, writing)
        for _ in range(5):
            assert page(site, basic("bob")) == 403
            assert page(site, basic("ann")) == 200
            given = json.loads(quire(site, "grant", "anonymous", "read", "--json"))["id"]
            assert page(site) == page(site, basic("bob")) == 200
            quire(site, "revoke", given)
            assert page(site) == 401
            identity, token = create(site, "--right", "read")
            assert page(site, f"Bearer {token}") == 200
            new = json.loads(quire(site, "token", "rotate", identity, "--grace", "0", "--json"))["token"]
            assert (page(site, f"Bearer {token}"), page(site, f"Bearer {new}")) == (401, 200)
            quire(site, "token", "revoke", identity)
            assert page(site, f"Bearer {new}") == 401


def test_files_that_were_public_are_not_kept_by_shared_caches(tmp_path: Path) -> None:
    """Cache-Control says what is true now, also of a file that the fast path has ready."""
    with serve(tmp_path, "-a", "update", "--disable-fallback", "-P", password_file(tmp_path, **SECRETS)) as site:
        upload(site, "acme", basic("ann"))
        url = site.file_url("acme", wheel_name("acme", "1.0"))

        def kept() -> set[str]:
            answers = [site.client.get(url, headers={"authorization": basic("ann")}) for _ in range(3)]
            assert {answer.status_code for answer in answers} == {200}
            return {answer.headers["cache-control"].partition(",")[0] for answer in answers}

        assert kept() == {"public"}
        quire(site, "access", "init", "--admin", "ann", "-a", "update")
        (reading,) = re.findall(r"^(\w+)\tanonymous\tread\t", quire(site, "grants"), re.M)
        quire(site, "revoke", reading)
        assert kept() == {"private"}


def test_the_first_grant_locks_no_user_out(tmp_path: Path) -> None:
    """It is refused with what to do; `access init` keeps what is allowed."""
    with serve(tmp_path, "-a", "update", "--disable-fallback", "-P", password_file(tmp_path, **SECRETS)) as site:
        upload(site, "acme", basic("ann"))
        assert "run 'quire access init' first" in quire(site, "grant", "user:ann", "upload", code=1)
        assert page(site) == upload(site, "acme", basic("bob"), "2.0").status_code == 200
        said = quire(site, "access", "init", "--admin", "ann", "-a", "update")
        assert "every user may upload to" in said
        assert page(site) == upload(site, "acme", basic("bob"), "3.0").status_code == 200
        assert upload(site, "acme", "", "4.0").status_code == 401
        quire(site, "access", "init", "--admin", "bob", "-a", "update", code=1)


def test_a_group_gives_and_takes(tmp_path: Path) -> None:
    """Its members change at once."""
    with serve(tmp_path, "-a", "update", "--disable-fallback", "-P", password_file(tmp_path, **SECRETS)) as site:
        quire(site, "access", "init", "--admin", "ann", "-a", "update")
        for line in quire(site, "grants", "--json").splitlines():
            assert line
        writing = next(
            each["id"] for each in json.loads(quire(site, "grants", "--json"))["grants"] if "upload" in each["rights"]
        )
        quire(site, "revoke", writing)
        quire(site, "grant", "group:tools", "upload", "--project", "acme-*")
        assert upload(site, "acme-x", basic("bob")).status_code == 403
        quire(site, "group", "tools", "bob")
        assert upload(site, "acme-x", basic("bob")).status_code == 200
        assert upload(site, "other", basic("bob")).status_code == 403
        explained = quire(site, "grants", "--explain", "bob", "acme-x")
        assert "bob may read, upload on acme-x" in explained
        listed = json.loads(quire(site, "grants", "--json"))["grants"]
        (uploading,) = [each["id"] for each in listed if each["rights"] == ["upload"]]
        (reading,) = [each["id"] for each in listed if each["rights"] == ["read"]]
        assert f"upload: by grant {uploading}\n" in explained
        assert f"read: by grant {reading}\n" in explained
        quire(site, "index", "set", "main", "--new-projects", "owned")
        quire(site, "owner", "add", "acme-x", "bob")
        owned = json.loads(quire(site, "grants", "--explain", "bob", "acme-x", "--json"))
        assert (owned["rights"]["manage"], owned["by"]["manage"]) == (True, ["owner user:bob"])
        quire(site, "index", "set", "main", "--new-projects", "shared")
        left = [each["id"] for each in listed if each["subject"] == "group:tools"]
        said = quire(site, "group", "tools", "--remove")
        assert f"warning: The store still has grants to the group tools ({left[0]})" in said
        assert f"'quire revoke {left[0]}'" in said
        assert upload(site, "acme-x", basic("bob"), "2.0").status_code == 403


def test_the_start_says_which_rules_decide(tmp_path: Path) -> None:
    """The grants of the store, and how many; the line of the start says enough where the settings decide."""
    users = password_file(tmp_path, **SECRETS)
    flags = ("-v", "-a", "list,download,update", "--disable-fallback", "-P", users)
    with serve(tmp_path, *flags) as site:
        assert "Access is decided" not in site.served.output()
        quire(site, "access", "init", "--admin", "ann", "-a", "list,download,update")
    with serve(tmp_path, *flags) as site:
        output = site.served.output()
        assert "Access is decided by the store's grants (3); -a (download, list, update)" in output
        assert "; the grants say which users may upload ('quire grants')." in output
        assert f"the users in {users}" not in output


def test_a_document_of_a_newer_version_stops_a_start(tmp_path: Path) -> None:
    """In one sentence; a server that runs already refuses each request until it is upgraded, with 5xx and no page."""
    flags = ("-a", "update", "--disable-fallback", "-P", password_file(tmp_path, **SECRETS))
    with serve(tmp_path, *flags) as site:
        assert page(site, project="absent") == 404
        records = site.index().store.records
        records.write(KEY, b'{"format": 99}', records.read(KEY))
        assert page(site, project="absent") == 503
        answer = site.get("/simple/absent/")
        assert "written by a newer quire" in answer.text
    refused = run_quire("run", *flags, site.root, cwd=tmp_path)
    assert refused.returncode == 2
    assert "written by a newer quire" in refused.stderr


def test_a_password_may_begin_like_a_token(tmp_path: Path) -> None:
    """It is the password of its user, on every path; a token that was cut is called that, for every user name."""
    lookalike = new_token("0000000000").text
    secrets = {"ann": "quire_is_nice", "bob": lookalike}
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **secrets)) as site:
        for user, secret in secrets.items():
            assert page(site, basic(user, secret), "absent") == 404
            assert upload(site, user, basic(user, secret)).status_code == 200
            assert page(site, basic(user, secret), user) == 200
            assert page(site, basic("__token__", secret)) == page(site, f"Bearer {secret}") == 401
        for user in ("ann", "unknown"):
            for sent, sentence in ((lookalike, "The token is wrong"), (lookalike[:-1], "The token is no token of")):
                answer = site.get("/simple/", authorization=basic(user, sent))
                assert (answer.status_code, answer.text.startswith(sentence)) == (401, True)


def test_logins_by_token_are_counted_as_such(tmp_path: Path) -> None:
    """On the fast path, too."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:
        upload(site, "acme", basic("ann"))
        _, reader = create(site, "--right", "read")
        for _ in range(2):
            assert page(site, f"Bearer {reader}") == 200
        metrics = site.get("/metrics", authorization=basic("ann")).text
        counts = dict(re.findall(r'quire_logins_total{[^}]*result="(\w+)"[^}]*} (\d+)', metrics))
        assert counts["token"] == "6"


def test_a_login_counts_where_others_need_none(tmp_path: Path) -> None:
    """Uploads to some projects need no login: those to others, and removals, are decided by the login that comes."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:
        quire(site, "access", "init", "--admin", "ann", "-a", "list,download,update")
        quire(site, "grant", "anonymous", "upload", "--project", "sandbox-*")
        assert upload(site, "sandbox-x", "").status_code == 200
        assert upload(site, "acme", "").status_code == 401
        assert upload(site, "acme", basic("ann", "wrong")).status_code == 401
        assert upload(site, "acme", basic("ann")).status_code == 200
        assert removal(site, "sandbox-x", basic("ann")).status_code == 200
        (entry,) = json.loads(quire(site, "log", "acme", "--json"))
        assert entry["user"] == "ann"


def test_a_token_to_upload_reads_no_metrics(tmp_path: Path) -> None:
    """They are read with the right to list, also where the settings decide."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:
        _, writer = create(site, "--right", "upload")
        _, reader = create(site, "--right", "read")
        answers = [
            site.client.get("/metrics", headers={"authorization": f"Bearer {each}"}) for each in (writer, reader)
        ]
        assert [answer.status_code for answer in answers] == [403, 200]


def test_the_log_has_changes_of_grants_and_tokens(tmp_path: Path) -> None:
    """With the user of each; those that name a project are in the log of that project, beside its own changes, also
    when the project is not there yet. A name of which nothing was ever said is no project.
    """
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:
        upload(site, "acme", basic("ann"))
        quire(site, "access", "init", "--admin", "ann", "-a", "list,download,update")
        given = json.loads(quire(site, "grant", "user:bob", "manage", "--project", "acme*", "--user", "root", "--json"))
        identity, token = create(site, "--right", "manage", "--project", "acme", "--user", "bob")
        assert removal(site, "acme", f"Bearer {token}").status_code == 200
        quire(site, "revoke", given["id"])
        quire(site, "group", "tools", "bob")
        quire(site, "token", "revoke", identity)
        everything = json.loads(quire(site, "log", "--json"))
        of_project = json.loads(quire(site, "log", "acme", "--json"))
        of_other = quire(site, "log", "other", code=1)
        of_access = json.loads(quire(site, "log", "--access", "--json"))
        lines = quire(site, "log", "--access")
        quire(site, "grant", "user:bob", "upload", "--project", "planned")
        create(site, "--right", "upload", "--project", "plan*")
        of_planned = json.loads(quire(site, "log", "planned", "--json"))
        headers = {"authorization": basic("ann")}
        found = {
            name: site.client.get(f"/-/api/v1/indexes/main/projects/{name}/log", headers=headers)
            for name in ("planned", "other")
        }
    actions = ["publish", "access-init", "grant", "token-create", "delete", "revoke", "group", "token-revoke"]
    assert [entry["action"] for entry in everything] == actions
    assert [entry["project"] for entry in everything if entry["action"] in {"publish", "grant"}] == ["acme", None]
    assert [entry["action"] for entry in of_project] == ["publish", "grant", "token-create", "delete", "revoke"]
    assert [entry["action"] for entry in of_access] == [each for each in actions if each not in {"publish", "delete"}]
    assert "The project other does not exist." in of_other
    assert [entry["action"] for entry in of_planned] == ["grant", "token-create"]
    assert found["planned"].json()["entries"] == of_planned
    assert found["other"].status_code == 404
    deleted = of_project[3]
    assert (deleted["user"], deleted["by_token"]) == ("bob", identity)
    assert of_project[1]["user"] == "root"
    assert "user:bob: manage acme* on every index" in lines
    assert "group tools: bob" in lines


def test_the_log_has_grants_of_all_indexes_for_an_administrator_of_all(tmp_path: Path) -> None:
    """And for the operator of the store; an administrator of one index reads what is of that index, and nothing of
    others or of all."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:
        quire(site, "access", "init", "--admin", "ann", "-a", "list,download,update")
        quire(site, "index", "create", "other")
        quire(site, "grant", "user:bob", "admin", "--index", "main")
        given = quire(site, "grant", "user:bob", "upload", "--index", "other", "--project", "hidden-*", "--json")
        other, planned = json.loads(given)["id"], ("--project", "planned")
        main = json.loads(quire(site, "grant", "user:cid", "manage", "--index", "main", *planned, "--json"))["id"]
        quire(site, "token", "create", "--right", "read", "--index", "other")
        quire(site, "revoke", other, main)
        quire(site, "group", "tools", "bob")
        for index in ("main", "other"):
            quire(site, "index", "set", index, "--new-projects", "owned")

        def shown(user: str, path: str = "log") -> list[dict[str, object]]:
            answer = site.get(f"/-/api/v1/indexes/main/{path}?limit=500", authorization=basic(user))
            entries: list[dict[str, object]] = answer.json()["entries"]
            return entries

        def actions(entries: list[dict[str, object]]) -> list[object]:
            return [each["action"] for each in entries]

        of_bob, of_ann, of_project = shown("bob"), shown("ann"), shown("bob", "projects/planned/log")
        of_all = ["access-init", "index-create", *3 * ["grant"], "token-create", "revoke", "group", *2 * ["index-set"]]
        assert actions(of_ann) == of_all
        assert actions(of_bob) == ["grant", "grant", "revoke", "index-set"]
        assert actions(of_project) == ["grant", "revoke"]
        for entries in (of_bob, of_project):
            assert "other" not in json.dumps(entries)
            assert "hidden" not in json.dumps(entries)
        assert "user:bob: upload hidden-* on other" in quire(site, "log", "--access")
        assert actions(json.loads(quire(site, "log", "--access", "--json"))) == of_all


def test_no_index_has_the_name_of_the_log_of_grants(tmp_path: Path) -> None:
    """Its project `store` would share the key of their archive."""
    folder = tmp_path / "packages"
    folder.mkdir()
    refused = run_quire("run", "--index", "access", "-a", ".", "-P", ".", folder, cwd=tmp_path)
    assert refused.returncode == 2
    assert "'access' cannot be the name of an index" in refused.stderr


def test_the_day_of_the_last_use_is_listed(tmp_path: Path) -> None:
    """Of requests on both paths; a server that ends writes what it has noted. The record of grants is not written."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:
        used, token = create(site, "--right", "read")
        unused, _ = create(site, "--right", "read")
        before = site.index().store.records.read(KEY)
        assert page(site, f"Bearer {token}", "absent") == 404
        site.served.stop()
        assert site.index().store.records.read(KEY).tag == before.tag
    tokens = {each["id"]: each for each in json.loads(quire(site, "token", "list", "--json"))["tokens"]}
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert tokens[used]["last_used"] in {today, f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"}
    assert tokens[unused]["last_used"] is None


def test_a_token_that_expires_soon_is_warned_of(tmp_path: Path) -> None:
    """In a header of each answer, and once a day in the log; a new one, and one of some minutes, are not."""
    with serve(tmp_path, *CLOSED, "-v", "-P", password_file(tmp_path, **SECRETS)) as site:
        upload(site, "acme", basic("ann"))
        ending, token = create(site, "--right", "read", "--expires", "90d")
        _, short = create(site, "--right", "read", "--expires", "15m")
        records = AccessRecords(site.index().store)
        soon = f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"

        def let_end(document: AccessDocument) -> AccessDocument:
            old = f"{datetime.now(UTC) - timedelta(days=81):%Y-%m-%dT%H:%M:%SZ}"
            changed = msgspec.structs.replace(document.tokens[ending], created=old, expires=soon)
            return msgspec.structs.replace(document, tokens={**document.tokens, ending: changed})

        def warning(text: str) -> set[str | None]:
            answers = [site.get("/simple/acme/", authorization=f"Bearer {text}") for _ in range(3)]
            assert {answer.status_code for answer in answers} == {200}
            return {answer.headers.get("quire-token-expires") for answer in answers}

        assert warning(token) == warning(short) == {None}
        records.change(let_end, "test", {}, Origin())
        assert warning(token) == {soon}
        assert warning(short) == {None}
        assert site.served.output().count("token expires soon") == 1


def test_the_holder_of_an_old_secret_is_told_what_became_of_it(tmp_path: Path) -> None:
    """Replaced, or revoked with the token: the secret that was replaced as well as the last one."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:

        def told(text: str) -> str:
            answer = site.get("/simple/acme/", authorization=f"Bearer {text}")
            assert answer.status_code == 401
            return answer.text

        identity, old = create(site, "--right", "read")
        before = datetime.now(UTC).replace(microsecond=0)
        said = quire(site, "token", "rotate", identity, "--grace", "1h")
        (until,) = re.findall(r"The old secret counts until (\S+)\.$", said, re.M)
        assert before + timedelta(hours=1) <= datetime.fromisoformat(until) <= datetime.now(UTC) + timedelta(hours=1)
        assert page(site, f"Bearer {old}") == 404
        quire(site, "token", "revoke", identity)
        assert "was revoked" in told(old)
        identity, old = create(site, "--right", "read")
        assert "The old secret does not count any more." in quire(site, "token", "rotate", identity, "--grace", "0")
        assert "was replaced by a new one" in told(old)
        quire(site, "token", "revoke", identity)
        assert "was revoked" in told(old)


def test_rights_are_explained_by_the_id_of_a_token(tmp_path: Path) -> None:
    """As lists show it; one that has expired may do nothing, and an unknown one is an error."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, **SECRETS)) as site:
        identity, _ = create(site, "--right", "upload")
        assert "may upload on acme" in quire(site, "grants", "--explain", identity, "acme")
        records = AccessRecords(site.index().store)

        def end(document: AccessDocument) -> AccessDocument:
            changed = msgspec.structs.replace(document.tokens[identity], expires="2026-01-01T00:00:00Z")
            return msgspec.structs.replace(document, tokens={**document.tokens, identity: changed})

        records.change(end, "test", {}, Origin())
        said = quire(site, "grants", "--explain", identity, "acme")
        assert "may do nothing" in said
        assert f"The token {identity} expired at 2026-01-01T00:00:00Z." in said
        revoked, _ = create(site, "--right", "upload")
        quire(site, "token", "revoke", revoked)
        said = quire(site, "grants", "--explain", f"token:{revoked}", "acme")
        assert re.search(rf"may do nothing on acme .*\n.*The token {revoked} was revoked at 20\d\d-", said), said
        users = str(tmp_path / "users")
        password_file(tmp_path, **SECRETS)
        assert "has no user amm." in quire(site, "grants", "--explain", "amm", "-P", users)
        for known in ("ann", "user:ann", "anonymous", revoked):
            assert "warning" not in quire(site, "grants", "--explain", known, "-P", users)
        assert "There is no token 'absent'" in quire(site, "grants", "--explain", "token:absent", code=1)


def test_an_operator_of_the_store_gets_in(tmp_path: Path) -> None:
    """With grants that leave no user the right admin to use, a new token has it at once."""
    with serve(tmp_path, *CLOSED, "-P", password_file(tmp_path, bob="secret-b")) as site:
        quire(site, "access", "init", "--admin", "gone", "-a", "list,download,update")
        _, token = create(site, "--admin", "--expires", "1h")
        assert site.get("/-/api/v1/grants", authorization=basic("bob")).status_code == 403
        assert site.get("/-/api/v1/grants", authorization=f"Bearer {token}").status_code == 200
        assert upload(site, "acme", f"Bearer {token}").status_code == 200


def test_names_that_are_not_known_are_warned_of(tmp_path: Path) -> None:
    """On standard error, one line each, on the store and over the API; the change is made all the same."""
    users = str(password_file(tmp_path, **SECRETS))
    with serve(tmp_path, *CLOSED, "-P", users) as site:
        quire(site, "access", "init", "--admin", "ann", "-a", "list,download,update")
        url = str(site.client.base_url).replace("//", f"//ann:{SECRETS['ann']}@")
        for where in (("-d", site.root), ("--url", url)):

            def warned(*words: str, where: tuple[object, ...] = where) -> list[str]:
                done = run_quire(*words, "-P", users, *where, cwd=tmp_path)
                assert done.returncode == 0, done.stderr
                return re.findall(r"^quire: warning: (.*)$", done.stderr, re.MULTILINE)

            no_index, no_user = "No index other is known here, only main.", "The password file has no user bbo."
            assert warned("grant", "user:bbo", "upload", "--index", "other") == [no_user, no_index]
            assert warned("token", "create", "--right", "read", "--user", "bbo", "--index", "other") == [
                no_user,
                no_index,
            ]
            assert warned("group", "few", "ann", "bbo") == [no_user]
            (said,) = warned("grant", "group:nobodies", "read", "--index", "main")
            assert said.startswith("The group nobodies has no users here")
            assert warned("grant", "user:bob", "read", "--index", "main") == []
            assert warned("grant", "group:few", "read") == []
            assert warned("token", "create", "--right", "read", "--user", "bob") == []
        found = json.loads(quire(site, "grants", "--json"))
    assert {"user:bbo", "group:nobodies"} <= {each["subject"] for each in found["grants"]}
    assert found["groups"] == {"few": ["ann", "bbo"]}


def test_a_check_names_grants_that_give_nothing(tmp_path: Path) -> None:
    """By the password file that it is given; without one it says that users were not looked for."""
    users = password_file(tmp_path, **SECRETS)
    with serve(tmp_path, *CLOSED, "-P", users) as site:
        quire(site, "access", "init", "--admin", "ann", "-a", "list,download,update")
        assert "Each grant gives something. Users were not looked for" in quire(site, "grants", "--check")
        quire(site, "grant", "user:bbo", "upload", "--project", "acme")
        assert "The password file has no user bbo." in quire(site, "grants", "--check", "-P", str(users), code=1)
        quire(site, "grant", "group:nobodies", "read")
        assert "Users were not looked for" in quire(site, "grants", "--check", code=1)
        _, both = create(site, "--right", "upload,read", "--right", "manage")
        assert "may read" in quire(site, "grants", "--explain", both.split("_")[1])
        quire(site, "token", "create", "--right", "upload,fly", code=1)
        quire(site, "group", "nobodies", "ann")
        assert upload(site, "acme", basic("ann")).status_code == 200
        quire(site, "owner", "add", "acme", "gone")
        lost = quire(site, "grants", "--check", "-P", str(users), code=1)
        assert "main/acme\tuser:gone\tThe password file has no user gone.\n" in lost
        quire(site, "owner", "remove", "acme", "gone", "--force")
        found = json.loads(quire(site, "grants", "--check", "-P", str(users), "--json", code=1))["unmatched"]
        problems = [each["problem"] for each in found]
        assert problems[0] == "The password file has no user bbo."
        assert len(problems) == 2
        assert "gives the same" in problems[1]  # read, which each login has
