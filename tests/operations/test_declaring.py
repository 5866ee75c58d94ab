"""A declared configuration: read, compared, applied in one step or not at all, and written.

Replaced here: the log of a server's comparison, to see its lines.
"""

from __future__ import annotations

import contextlib
import io
import json
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire import cli
from quire.access import defining
from quire.access.document import EMPTY, AccessDocument, Grant, with_fields
from quire.access.records import AccessRecords, Details, Transition
from quire.domain.advisories import Severity
from quire.domain.changes import Selection
from quire.domain.errors import InvalidRequest
from quire.domain.indexes import DEFAULT, IndexDefinition
from quire.domain.policy import NO_POLICY, Effect, Policy, with_changes
from quire.http.app.declared import DeclaredWatch
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations.declaring.applying import applied, apply, differences
from quire.operations.declaring.reading import Declared, parse_declared
from quire.operations.declaring.writing import export, file_settings, toml_text
from quire.operations.defining import create_index, delete_index
from quire.store.memory import MemoryState, MemoryStore
from quire.store.opening import open_store
from quire.store.posix.store import PosixStore
from tests.asking import password_file
from tests.index.test_index import staged_wheel

EVERYTHING = """
[indexes.main]
uploads = false
overwrite = true
new-projects = "owned"
quota = "50G"
project_quota = 1000
keep = ["dev:10", "Acme/any:3"]
claims = ["Acme-*"]
upstreams = [{ url = "https://index.example/simple", only = ["torch*"], max-age = 60 }]
merged = ["Torch_Vision"]
namespaces = [{ name = "Acme", owners = ["ann", "group:ops"] }]

[indexes.front]
behind = ["team", "main"]

[indexes.team]
quota = "none"

[indexes.pr-1]
in-front-of = "main"
expires = "2026-12-01T00:00:00Z"
"""


def declared(text: str) -> Declared:
    return parse_declared(tomllib.loads(text))


def after(text: str, document: AccessDocument = EMPTY, *, prune: bool = False) -> AccessDocument:
    return applied(document, declared(text), "main", prune=prune)


def test_every_setting_can_be_declared() -> None:
    """In any order of the file, with the same forms as on the command line; a second time nothing is different."""
    document = after(EVERYTHING)
    main = document.indexes["main"]
    assert (main.uploads, main.overwrite, main.new_projects) == (False, True, "owned")
    assert (main.quota, main.project_quota, main.keep) == (50 << 30, 1000, ("dev:10", "acme/any:3"))
    assert (main.claims, main.merged) == (("acme-*",), ("torch-vision",))
    assert (main.upstreams[0].url, main.upstreams[0].max_age) == ("https://index.example/simple/", 60)
    assert (main.namespaces[0].name, main.namespaces[0].owners) == ("acme", ("user:ann", "group:ops"))
    assert document.indexes["front"].behind == ("team", "main")
    assert document.indexes["pr-1"].in_front_of == "main"
    assert after(EVERYTHING, document) is document
    fields = {each.name for each in msgspec.structs.fields(IndexDefinition)} - {"unknown", "session"}
    assert {key.partition(".")[0] for key in file_settings(DEFAULT)} == {each.replace("_", "-") for each in fields}


POLICY = """
[indexes.main.policy]
allow = ["Requests", "torch*"]
deny = ["leftpad", { pattern = "Evil_*", reason = "stolen names" }]
min-age = "7d"
min-age-except = ["acme-*"]
min-age-except-fixes = true
blocked = [{ sha256 = "DIGEST", reason = "stolen key" }]
exempt = ["six==1.17", { release = "attrs==26.1", until = "2026-12-24T00:00:00Z" }]
malicious = "block"
block-severity = "critical"
warn-severity = "high"
""".replace("DIGEST", "ab" * 32)


def test_a_policy_can_be_declared() -> None:
    """Every rule of it. Rules in the store that say the same keep their time, user and spelling; others go."""
    by_hand = with_changes(NO_POLICY, {"deny": ["leftpad", "other"], "exempt": ["six==1.17.0"]}, at="then", by="ann")
    before = with_fields(EMPTY, indexes={"main": IndexDefinition(policy=by_hand)})
    document = applied(before, declared(POLICY), "main", at="now", by="bob")
    policy = document.indexes["main"].policy
    assert {each.pattern: (each.since, each.by, each.reason) for each in policy.deny} == {
        "leftpad": ("then", "ann", None),
        "evil-*": ("now", "bob", "stolen names"),
    }
    assert [(each.version, each.since) for each in policy.exempt] == [("1.17.0", "then"), ("26.1", "now")]
    assert (policy.allow, policy.min_age, policy.min_age_since) == (("requests", "torch*"), 7 * 86400, "now")
    assert (policy.malicious, policy.block_severity) == (Effect.BLOCK, Severity.CRITICAL)
    assert after(POLICY, document) is document
    indexes = declared(POLICY).indexes
    assert indexes is not None
    assert {*indexes["main"]["policy"]} == {
        name for name in Policy.__struct_fields__ if not name.endswith("_since") and name != "unknown"
    }
    less = after("[indexes.main.policy]\ndeny = []\nblock-severity = 'off'", document)
    assert (less.indexes["main"].policy.deny, less.indexes["main"].policy.block_severity) == ((), None)
    assert less.indexes["main"].policy.min_age == 7 * 86400
    assert [str(each) for each in differences(less, document, "main")] == [
        'main: policy.deny = ["leftpad", {pattern = "evil-*", reason = "stolen names"}], in the store []',
        'main: policy.block-severity = "critical", in the store "off"',
    ]
    pruned = after("[indexes.main]\nquota = 1", document, prune=True).indexes["main"].policy
    assert pruned.is_empty
    assert (pruned.deny, pruned.exempt) == ((), ())


RIGHTS = """
[groups]
ops = ["ann", "bob"]

[[grants]]
subject = "group:ops"
rights = ["admin"]

[[grants]]
subject = "user:carl"
rights = ["manage", "upload"]
index = "main"
projects = ["Acme-*"]
"""


def test_grants_and_groups_can_be_declared() -> None:
    """A grant is there if the store has one that gives the same, whatever the order of its words."""
    document = applied(EMPTY, declared(RIGHTS), "main", at="now", by="ann")
    assert document.groups == {"ops": ("ann", "bob")}
    given = [(each.subject, each.permissions, each.index, each.projects) for each in document.grants.values()]
    assert given == [("group:ops", ("admin",), "*", ("*",)), ("user:carl", ("upload", "manage"), "main", ("acme-*",))]
    assert {(each.created, each.by) for each in document.grants.values()} == {("now", "ann")}
    assert after(RIGHTS, document) is document
    carl = 'rights = ["upload", "manage"]'
    assert sorted(map(str, differences(EMPTY, document, "main"))) == [
        'grants: {subject = "group:ops", rights = ["admin"]} to be given',
        f'grants: {{subject = "user:carl", {carl}, index = "main", projects = ["acme-*"]}} to be given',
        'groups.ops = ["ann", "bob"], in the store none',
    ]
    assert export(document, "main")["groups"] == {"ops": ["ann", "bob"]}
    assert after(toml_text(export(document, "main")), document, prune=True) is document


def test_grants_that_are_not_declared_go_only_where_some_are() -> None:
    """With prune; never those of tokens and publishers, which no file has. The last right admin can move, not go."""
    before = after(RIGHTS)
    token = Grant(subject="token:abc", permissions=("upload",))
    before = with_fields(before, grants={**before.grants, "of-token": token})
    assert after("[indexes.main]\n", before, prune=True) is before
    moved = after('[groups]\n[[grants]]\nsubject = "user:dora"\nrights = ["admin"]', before, prune=True)
    assert sorted(each.subject for each in moved.grants.values()) == ["token:abc", "user:dora"]
    assert moved.groups == {}
    assert [each["subject"] for each in export(moved, "main")["grants"]] == ["user:dora"]
    assert 'groups.ops = none, in the store ["ann", "bob"]' in map(str, differences(before, moved, "main"))
    for text in ('[[grants]]\nsubject = "user:dora"\nrights = ["read"]', "[groups]\nops = []"):
        with pytest.raises(InvalidRequest, match="last right admin"):
            after(text, before, prune=True)


def test_indexes_that_are_not_declared_go_only_where_some_are(tmp_path: Path) -> None:
    """With prune: a file of rights alone leaves claims, policies and upstreams alone; an empty table says that there is
    nothing of them."""
    before = after(EVERYTHING)
    changed = after(RIGHTS, before, prune=True)
    assert changed.indexes == before.indexes
    assert changed.groups.keys() == {"ops"}
    assert after("[indexes]\n", before, prune=True).indexes.keys() == {"pr-1"}
    store, file = tmp_path / "packages", tmp_path / "quire.toml"
    store.mkdir()
    access = AccessRecords(open_store(str(store)))
    for text, has_claim in ((RIGHTS, True), ("[indexes]\n", False)):
        file.write_text('[indexes.main]\nclaims = ["acme-*"]\n')
        quire("apply", file, "-d", store)
        file.write_text(text)
        quire("apply", file, "--prune", "-d", store)
        assert ("main" in access.read().state.document.indexes) is has_claim


def test_the_first_grants_need_an_administrator() -> None:
    """From the first one on grants decide, so without one no grant could be changed."""
    text = '[[grants]]\nsubject = "authenticated"\nrights = ["read"]'
    with pytest.raises(InvalidRequest, match="right admin on every index"):
        after(text)
    with pytest.raises(InvalidRequest, match="right admin on every index"):
        after(f'{text}\n[[grants]]\nsubject = "user:ann"\nrights = ["admin"]\nindex = "main"')
    assert len(after(f'{text}\n[[grants]]\nsubject = "user:ann"\nrights = ["admin"]').grants) == 2


def test_what_is_not_declared_stays() -> None:
    """Settings, and indexes; with prune they are set back and removed, but no stage."""
    document = after(EVERYTHING)
    text = '[indexes.team]\nquota = "1G"\n'
    changed = after(text, document)
    assert changed.indexes["main"] == document.indexes["main"]
    assert [str(each) for each in differences(document, changed, "main")] == ['team: quota = "1G", in the store "none"']
    pruned = after(text, document, prune=True)
    assert {name: each.quota for name, each in pruned.indexes.items()} == {"team": 1 << 30, "pr-1": None}
    said = [str(each) for each in differences(document, pruned, "main")]
    assert "front: to be deleted" in said
    assert 'main: quota = "none", in the store "50G"' in said


def test_the_end_of_a_stage_does_not_change() -> None:
    """A file that moves it is refused; one that says the same, or does not name it, leaves it, also with prune."""
    document = after(EVERYTHING)
    stage = "[indexes.pr-1]\nin-front-of = 'main'\n"
    for expires in ("2026-12-02T00:00:00Z", "2026-11-30T00:00:00Z", "none"):
        with pytest.raises(InvalidRequest, match=r"pr-1: The end of a stage does not change.*2026-12-01T00:00:00Z"):
            after(f"{stage}expires = '{expires}'\n", document)
    with pytest.raises(InvalidRequest, match="does not change, and this one's is none"):
        after(f"{stage}expires = '2026-12-02T00:00:00Z'\n", after("[indexes.pr-1]\nin-front-of = 'main'\n"))
    for same in ("", "expires = '2026-12-01T00:00:00Z'\n", "expires = '2026-12-01T01:00:00+0100'\n"):
        assert after(f"{stage}{same}", document) is document
        assert after(f"{stage}{same}", document, prune=True).indexes["pr-1"] == document.indexes["pr-1"]
    changed = after("[indexes.pr-1]\nquota = '1G'\n", document, prune=True).indexes["pr-1"]
    assert (changed.quota, changed.in_front_of, changed.expires) == (1 << 30, "main", "2026-12-01T00:00:00Z")


def test_an_order_of_indexes_can_be_turned_round() -> None:
    """Each of two indexes behind the other, before and after."""
    before = after('[indexes.a]\nbehind = ["b"]\n[indexes.b]\n')
    turned = after('[indexes.b]\nbehind = ["a"]\n[indexes.a]\nbehind = []\n', before)
    assert (turned.indexes["a"].behind, turned.indexes["b"].behind) == ((), ("a",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("indexes = 1", "a table for each index"),
        ("[indexes]\nmain = 1", "a table for each index"),
        ("[indexes.main]\nqouta = 1", "did you mean quota"),
        ("[indexes.main]\nsession = { project = 'alpha', version = '1.0' }", "session of indexes.main is no setting"),
        ("[indexes.main]\nunknown = { later = 1 }", "unknown of indexes.main is no setting"),
        ("[indexes.main]\npolicy = 1", "policy of indexes.main: Expected `object`"),
        ("[indexes.main.policy]\nmin_agee = 1", "did you mean min-age"),
        ("[indexes.main.policy]\nmin-age = 'x'", "policy of indexes.main: min-age: 'x' is no duration"),
        ("[indexes.main.policy]\nmin-age = -1", "up to 3650d"),
        ("[indexes.main.policy]\ndeny = [{ reason = 'x' }]", "a denial has no pattern"),
        ("[indexes.main.policy]\ndeny = [{ pattern = 'x', since = 'y' }]", "since is no setting of a denial"),
        ("[indexes.main.policy]\ndeny = [1]", "Expected `object`"),
        ("[indexes.main.policy]\nblocked = ['ab']", "64 hexadecimal digits"),
        ("[indexes.main.policy]\nexempt = ['six']", "no release"),
        ("[indexes.main.policy]\nexempt = [{ release = 'six==1', until = 'x' }]", "no time"),
        ("[indexes.main.policy]\nblock-severity = 'worst'", "Invalid enum value 'worst'"),
        ("groups = 1", "groups: Expected `object`"),
        ("[groups]\nops = 'ann'", "Expected `array`"),
        ("[groups]\nops = [' ann']", "no name of a user"),
        ("grants = 1", "grants: Expected `array`"),
        ("[[grants]]\nsubject = 'user:ann'", "The 1. of .*no rights"),
        ("[[grants]]\nsubject = 'ann'\nrights = ['read']", "cannot be given a right"),
        ("[[grants]]\nsubject = 'user:ann'\nrights = ['raed']", "no right"),
        ("[[grants]]\nsubject = 'user:ann'\nright = ['read']", "did you mean rights"),
        ("[[grants]]\nsubject = 'token:a'\nrights = ['read']", "not for a file"),
        ("[indexes.main]\nuploads = 'yes'", "uploads of indexes.main: Expected `bool`"),
        ("[indexes.main]\nquota = '50 apples'", "quota of indexes.main"),
        ("[indexes.main]\nkeep = ['any:3']", "final releases of every project"),
        ("[indexes.main]\nclaims = ['a b']", "claims of indexes.main"),
        ("[indexes.main]\nnew-projects = 'mine'", "new-projects of indexes.main"),
        ("[indexes.main]\nupstreams = [{ url = 'ftp://x' }]", "plain http or https"),
        ("[indexes.main]\nupstreams = [{ url = 'https://x/', ony = ['a'] }]", "did you mean only"),
        ("[indexes.main]\nupstreams = [{ url = 'https://x/', max-age = 'a' }]", "Expected `int`"),
        ("[indexes.main]\nnamespaces = [{ name = 'a' }]", "has no owners"),
        ("[indexes.main]\nnamespaces = [{ name = 'a', owners = ['b'] }, { name = 'a', owners = ['b'] }]", "twice"),
        ("[indexes.main]\nnamespaces = [{ name = 'a', owner = ['b'] }]", "did you mean owners"),
        ("[indexes.main]\nmerged = ['acme']", "has no upstream"),
        ("[indexes.a]\nbehind = ['b']", "indexes.a: There is no index 'b'"),
        ("[indexes.a]\nbehind = ['b']\n[indexes.b]\nbehind = ['a']", "indexes.a"),
        ("[indexes.a]\nexpires = '2026-12-01T00:00:00Z'", "for a stage"),
        ("[indexes.main]\nin-front-of = 'a'\n[indexes.a]", "in-front-of does not change"),
        ("[indexes.simple]", "beginning of other addresses"),
        ("[indexes.'../x']", "no name of an index"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    """Which setting of which index; nothing of the file is applied."""
    with pytest.raises(InvalidRequest, match=words):
        after(text)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "uploads": st.booleans(),
    "quota": st.just("none") | st.integers(1, 1 << 50),
    "keep": st.lists(st.sampled_from(["dev:1", "pre:3d"]), unique=True),
    "claims": st.lists(st.sampled_from(["a", "b-*", "c?"]), unique=True),
    "policy": st.fixed_dictionaries(
        {},
        optional={
            "min-age": st.integers(0, 90_000),
            "deny": st.lists(st.sampled_from(["a", "b-*", "c?"]), unique=True),
            "exempt": st.just([{"release": "six==1.0", "reason": 'a "b"'}]),
            "block-severity": st.sampled_from(["off", "high"]),
        },
    ),
    "behind": st.lists(st.sampled_from(["x", "y"]), unique=True),
    "namespaces": st.just([]) | st.just([{"name": "n", "owners": ['user:"é\\\n\x7f\U0001f600'.replace("\n", "")]}]),
}


@given(st.fixed_dictionaries({}, optional=VALUES), st.fixed_dictionaries({}, optional=VALUES))
def test_an_exported_configuration_is_the_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Of any state: applied to it, and with prune to an empty store."""
    table = {"indexes": {"main": first, "a_b": second, "x": {}, "y": {}}}
    try:
        document = applied(EMPTY, parse_declared(table), "main", at="now")
    except InvalidRequest:
        return
    text = toml_text(export(document, "main"))
    assert after(text, document, prune=True) is document
    again = applied(EMPTY, declared(text), "main", at="now")
    assert {name: each for name, each in again.indexes.items() if each != DEFAULT} == {
        name: each for name, each in document.indexes.items() if each != DEFAULT
    }


def test_unknown_fields_of_the_store_stay() -> None:
    """Also with prune: a later version set them."""
    document = with_fields(EMPTY, indexes={"main": IndexDefinition(quota=1, unknown={"later": 1})})
    assert after("[indexes.main]\nuploads = false", document, prune=True).indexes["main"].unknown == {"later": 1}


def quire(*words: object, code: int = 0) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert cli.main([*map(str, words)]) == code, said.getvalue()
    return said.getvalue()


def test_the_command_line(tmp_path: Path) -> None:
    """Compared with exit code 1, applied in one entry of the log, exported. The file may have settings of servers."""
    store, file = tmp_path / "packages", tmp_path / "quire.toml"
    store.mkdir()
    Index(open_store(str(store))).publish([staged_wheel(open_store(str(store)), "acme-old", "1.0")])
    file.write_text('port = 8081\n[indexes.main]\nquota = "1G"\n[indexes.team]\nbehind = ["main"]\n')
    with file.open("a") as more:
        more.write('[[indexes.main.namespaces]]\nname = "acme"\nowners = ["group:ops"]\n')
        more.write('[indexes.main.policy]\nmin-age = "7d"\n[groups]\nops = ["ann"]\n')
        more.write('[[grants]]\nsubject = "group:ops"\nrights = ["admin"]\n')
    place = ("-d", store)
    assert 'main: quota = "1G", in the store "none"' in quire("apply", file, "--check", *place, code=1)
    assert "team: to be made" in quire("apply", file, "-n", *place)
    assert AccessRecords(open_store(str(store))).read().state.document.indexes == {}
    assert "Applied 7 differences" in quire("apply", file, *place)
    assert quire("apply", file, "--check", *place) == "Nothing to do: the store is as the file declares it.\n"
    (line,) = [each for each in quire("log", "--access", *place).splitlines() if "\tapply\t" in each]
    assert line.endswith(
        '\t7 differences of main, team: main: quota = "1G", in the store "none"; main: policy.min-age = "7d", in the '
        'store "0d"; main: namespaces = [{name = "acme", owners = ["group:ops"], exempt = ["main/acme-old"]}], in the '
        "store []; and 4 more"
    ), line
    assert len(quire("log", "--action", "apply", *place).splitlines()) == 1
    assert json.loads(quire("namespace", "show", "acme", "--json", *place))["exempt"] == ["main/acme-old"]
    exported = quire("apply", "--export", *place)
    assert tomllib.loads(exported)["indexes"]["team"] == {"behind": ["main"]}
    assert json.loads(quire("apply", "--export", "--json", *place)) == tomllib.loads(exported)
    assert json.loads(quire("policy", "show", "--json", *place))["min_age"] == 7 * 86400
    assert "\tgroup:ops\tadmin\t" in quire("grants", *place)
    quire("index", "set", "main", "--quota", "2G", *place)
    assert json.loads(quire("apply", file, "-n", "--json", *place))["differences"][0]["stored"] == "2G"


def test_prune_removes_no_files(tmp_path: Path) -> None:
    """An index that is not declared goes without files only; and nothing else is applied then."""
    store = MemoryStore(MemoryState())
    access, origin = AccessRecords(store), Origin(user="ann")
    apply(access, declared("[indexes.old]\n"), default="main", prune=False, dry_run=False, origin=origin)
    index = Index(store, "old")
    index.publish([staged_wheel(store, "alpha", "1.0")])
    wanted = declared("[indexes.main]\nuploads = false\n")
    with pytest.raises(InvalidRequest, match="quire index delete old"):
        apply(access, wanted, default="main", prune=True, dry_run=False, origin=origin)
    assert [*access.read().state.document.indexes] == ["old"]
    index.delete("alpha", Selection())
    apply(access, wanted, default="main", prune=True, dry_run=False, origin=origin)
    assert [*access.read().state.document.indexes] == ["main"]
    Index(store, "main").publish([staged_wheel(store, "alpha", "1.0")])
    apply(access, declared("[indexes.main]\n"), default="main", prune=True, dry_run=False, origin=origin)
    assert access.read().state.document.indexes == {}  # the index at the root needs no definition


class Racing(AccessRecords):
    """With an upload that is published after a change has looked at the document and the files, before it is stored."""

    upload: Callable[[], object] | None = None

    def change(self, transition: Transition, action: str, details: Details, origin: Origin) -> Any:
        def raced(document: AccessDocument) -> AccessDocument:
            after = transition(document)
            upload, self.upload = self.upload, None
            if upload is not None:
                upload()
            return after

        return super().change(raced, action, details, origin)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_an_index_with_a_file_that_comes_meanwhile_stays(is_deleted: bool) -> None:
    """With what it was in front of, by `apply --prune` and `index delete`: the upload was acknowledged."""
    store = MemoryStore(MemoryState())
    access, origin = Racing(store), Origin(user="ann")
    text = '[indexes.deep]\n[indexes.old]\nbehind = ["deep"]\n[indexes.empty]\n'
    apply(access, declared(text), default="main", prune=False, dry_run=False, origin=origin)
    index = Index(store, "old")
    access.upload = lambda: index.publish([staged_wheel(store, "alpha", "1.0")])
    remove: Callable[[], object] = partial(
        apply, access, Declared({"main": {}}), default="main", prune=True, dry_run=False, origin=origin
    )
    if is_deleted:
        remove = partial(delete_index, access, index, with_files=False, default="main", origin=origin)
    with pytest.raises(InvalidRequest, match="The index old got a file while it was being removed, and is there again"):
        remove()
    assert access.read().state.document.indexes.keys() - {"main", "empty"} == {"deep", "old"}


def test_an_index_that_is_made_meanwhile_is_not_pruned_with_its_files() -> None:
    """It was not there when the file was compared."""
    store = MemoryStore(MemoryState())
    origin = Origin(user="ann")

    class Late(AccessRecords):
        def change(self, *words: Any) -> Any:
            create_index(AccessRecords(store), "new", {}, default="main", origin=origin)
            Index(store, "new").publish([staged_wheel(store, "alpha", "1.0")])
            return super().change(*words)

    wanted = declared("[indexes.main]\nuploads = false\n")
    with pytest.raises(InvalidRequest, match="new is not declared, and has files"):
        apply(Late(store), wanted, default="main", prune=True, dry_run=False, origin=origin)
    assert [*AccessRecords(store).read().state.document.indexes] == ["new"]


def test_names_that_are_not_known_are_warned_of(tmp_path: Path) -> None:
    """Of grants and groups, when they are applied: the first admin of this file is a typing error."""
    store, file = tmp_path / "packages", tmp_path / "quire.toml"
    store.mkdir()
    PosixStore.open(store)
    users = password_file(tmp_path, ann="secret")
    file.write_text(
        '[groups]\nops = ["ann", "bob"]\n[[grants]]\nsubject = "user:an"\nrights = ["admin"]\n'
        '[[grants]]\nsubject = "group:opss"\nrights = ["read"]\nindex = "team"\n'
    )
    warned = [
        line.partition("warning: ")[2]
        for line in quire("apply", file, "-P", users, "-d", store).splitlines()
        if "warning" in line
    ]
    assert warned == [
        "The password file has no user bob.",
        "The password file has no user an.",
        "The group opss has no users here; only a proxy or an identity provider could name it.",
        "No index team is known here, only main.",
    ]
    assert "warning" not in quire("apply", file, "--check", "-d", store)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "declares no index"),
        ("[indexes.main]\nqouta = 1", "did you mean quota"),
        ("prot = 1\n[indexes.main]", "did you mean port"),
        ("port = 99999\n[indexes.main]", "out of range"),
        ("[indexes.main]\n[index.team]\nuploads = false", "did you mean indexes?"),
        ("[indexes.main]\n[[index]]\nname = 'team'", "index in"),
        ("[", "is not TOML"),
    ],
)
def test_a_wrong_file_changes_nothing(text: str, words: str, tmp_path: Path) -> None:
    """Exit code 2 and a sentence."""
    file = tmp_path / "quire.toml"
    file.write_text(text)
    assert words in quire("apply", file, "-d", tmp_path, code=2)
    assert words in quire("apply", file, "--check", "-d", tmp_path, code=2)
    assert words in quire("apply", file, "--prune", "-d", tmp_path, code=2)
    assert "does not exist" in quire("apply", tmp_path / "no.toml", "-d", tmp_path, code=2)
    assert "--export" in quire("apply", "-d", tmp_path, code=2)


def test_a_server_reports_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each state of them once, also of a file that changes or breaks; it applies none."""
    file = tmp_path / "quire.toml"
    file.write_text('[indexes.main]\nquota = "1G"\n')
    watch = DeclaredWatch(str(file), "main")
    said: list[str] = []
    note = SimpleNamespace(
        warning=lambda event, **_: said.append(event),
        info=lambda event, **_: said.append(event),
    )
    monkeypatch.setattr("quire.http.app.declared.log", note)
    counts, sentences = [watch.count], [watch.sentence]
    for _ in range(2):
        watch.compare(EMPTY)
        counts.append(watch.count)
    sentences.append(watch.sentence)
    same = defining.with_settings(EMPTY, "main", {"quota": 1 << 30}, "main")
    watch.compare(same)
    counts.append(watch.count)
    sentences.append(watch.sentence)
    file.write_text("[indexes.main]\nqouta = 1\n")
    watch.compare(same)
    assert [*counts, watch.count] == [None, 1, 1, 0, 1]
    told = "The store is not as declared: 1 difference; 'quire apply FILE --check' shows them."
    assert [*sentences, watch.sentence] == [None, told, None, told]
    assert said == ["store is not as declared", "store is as declared", "store is not as declared"]


@pytest.mark.parametrize(
    ("text", "circle"),
    [
        ('[indexes.a]\nbehind = ["b"]\n[indexes.b]\nbehind = ["a"]\n', "a, b, a"),
        ('[indexes.a]\nbehind = ["a"]\n', "a, a"),
        ('[indexes.main]\nbehind = ["old"]\n', "main, old, main"),
        ('[indexes.x]\nbehind = ["c"]\n[indexes.b]\nbehind = ["c"]\n[indexes.c]\nbehind = ["b"]\n', "b, c, b"),
    ],
)
def test_a_circle_is_named(text: str, circle: str) -> None:
    """All of it, also where one of its indexes is in the store."""
    document = after('[indexes.old]\nbehind = ["main"]\n')
    with pytest.raises(InvalidRequest, match=rf"in a circle \({circle}\)"):
        after(text, document)


@pytest.mark.parametrize(
    "words",
    [
        ("apply", "circle.toml", "--check"),
        ("grants", "--check", "-P", "missing"),
        ("policy", "explain", "no-such-project"),
        ("policy", "try", "--lock", "missing"),
    ],
)
def test_the_exit_code_of_a_question_that_has_no_answer_is_2(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 is the answer no: files differ, a grant gives nothing, a file is held back."""
    monkeypatch.chdir(tmp_path)
    Path("circle.toml").write_text('[indexes.a]\nbehind = ["b"]\n[indexes.b]\nbehind = ["a"]\n')
    open_store(str(tmp_path))
    quire(*words, "-d", ".", code=2)
