"""Log lines: their fields, their two forms, what is sampled, and that no secret is ever in them."""

from __future__ import annotations

import ast
import base64
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

import quire
from quire.config.settings import Settings
from quire.http.app.access_lines import AccessFields
from quire.http.app.request_log import AccessLog, RequestContext, RequestIds, request_properties
from quire.observe.logs import JsonFormatter, LineFormatter, redacted
from tests.asking import OPEN, Site, content_type, multipart, password_file, publish, publish_wheel, serve, twine_form
from tests.distributions import make_sdist, make_wheel, wheel_name
from tests.serving import until

SECRET = "hunter2-Geheim"
JSON = ("-v", "--log-format", "json")


def lines(site: Site) -> list[dict[str, Any]]:
    """The objects that a server has logged."""
    return [json.loads(line) for line in site.served.output().splitlines() if line.startswith("{")]


def requests_of(site: Site, path: str) -> list[dict[str, Any]]:
    return [line for line in lines(site) if line["event"] == "request" and line["path"] == path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET https://alice:hunter2@host/simple/", "GET https://***@host/simple/"),
        ("https://token@host", "https://***@host"),
        ("//a:b@c and http://d:e@f", "//***@c and http://***@f"),
        ("https://user:p@ss@host/", "https://***@host/"),
        ("(b'authorization', b'Basic dXNlcjpw')", "(b'authorization', b'Basic ***')"),
        ("mail to alice@example.org", "mail to alice@example.org"),
        ("https://host/path@1", "https://host/path@1"),
        ("https://host:8080/path@1", "https://host:8080/path@1"),
        ("https://[::1]:8080/path@1", "https://[::1]:8080/path@1"),
        ("to https://user:hun/ter#2?x@host/ now", "to https://***@host/ now"),
        ("Authorization: Basic YWxpY2U6aHVudGVyMg==", "Authorization: Basic ***"),
        ("{'authorization': 'Bearer abc.def'}", "{'authorization': 'Bearer ***'}"),
        ("basic authentication works", "basic authentication works"),
    ],
)
def test_what_is_redacted(text: str, expected: str) -> None:
    """User parts of URLs and Authorization headers go, in any text; nothing else does."""
    assert redacted(text) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a=1&token=abc&b=2", "a=1&token=***&b=2"),
        ("code=abc&state=x&encoded=1", "code=***&state=***&encoded=1"),
        ("password=what?and=more&x=1", "password=***?***&x=1"),
        ("password=what?more", "password=***?***"),
        ("q=pass", "q=pass"),
        ("?pass" * 15_000, "?pass" * 15_000),  # in no more time than it has characters
    ],
)
def test_secret_parameters_are_hidden(query: str, expected: str) -> None:
    """By their names; what hides them looks at each character once."""
    scope = {"method": "GET", "path": "/", "query_string": query.encode(), "http_version": "1.1", "scheme": "http"}
    properties = request_properties(scope | {"type": "http", "headers": [], "server": ("host", 80)})
    assert properties["QUERY_STRING"] == expected
    assert properties["bottle.request"] == f"<Request: GET http://host/?{expected}>"


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("some.library", logging.WARNING, "file.py", 7, message, arguments, None)
    made.__dict__.update(extra)
    return made


def test_lines_of_libraries_are_redacted_too() -> None:
    """From any logger, in any way: message, arguments and traceback go through the same place."""
    for formatter in (LineFormatter("%(message)s"), JsonFormatter()):
        assert SECRET not in formatter.format(record("asking %s", f"https://alice:{SECRET}@mirror/simple/"))
        try:
            raise ValueError(f"https://alice:{SECRET}@mirror/")
        except ValueError as error:
            failed = record("failed")
            failed.exc_info = (ValueError, error, error.__traceback__)
        line = formatter.format(failed)
        assert SECRET not in line
        assert "ValueError" in line


def test_a_json_line_is_one_object_whatever_is_in_it() -> None:
    """Line breaks, quotes, surrogates and objects of any kind become text; long text is cut."""
    fields = {"event": "odd", "path": 'a\nb"c\udcff', "what": object(), "number": 1.5, "long": "x" * 10**6}
    line = JsonFormatter().format(record("odd", quire_fields=fields))
    assert "\n" not in line
    found = json.loads(line)
    assert found["event"] == "odd"
    assert found["path"] == 'a\nb"c\\udcff'
    assert found["number"] == 1.5
    assert len(found["long"]) == 20_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", found["time"])


def test_times_of_text_lines_have_a_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """UTC, wherever the server is: its clock may be set back by an hour, and other servers may be elsewhere."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        record = logging.LogRecord("quire", logging.INFO, "", 0, "said", (), None)
        record.created, record.msecs = 1_795_000_000.25, 250.0
        formatter = LineFormatter(Settings(directories=()).log_format)
        assert formatter.format(record) == "2026-11-18T11:06:40.250Z INFO said"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_event_cannot_forge_a_line_field() -> None:
    """A field named like one that every line has does not replace it."""
    line = json.loads(JsonFormatter().format(record("x", quire_fields={"event": "x", "level": "lie", "time": "lie"})))
    assert line["level"] == "warning"
    assert line["time"] != "lie"


@pytest.mark.parametrize("sent", [b"", b"a b", b"x" * 65, b"a\r\nb", b"-x", "ä".encode(), b"a;b", b'a"b', b"a\0"])
def test_a_request_id_that_could_do_harm_is_replaced(sent: bytes) -> None:
    """Only short, plain ids are taken over from outside."""
    assert RequestIds().of(sent) != sent.decode("latin-1")


def test_request_ids_are_different() -> None:
    """Within a process and between processes."""
    one, other = RequestIds(), RequestIds()
    made = [each.of(None) for each in (one, other) for _ in range(1000)]
    assert len(set(made)) == 2000
    assert one.of(b"0af7651916cd43dd-8448eb211c80319c") == "0af7651916cd43dd-8448eb211c80319c"


def test_sampling_leaves_out_quick_reads_only() -> None:
    """With a sample of none, errors of the server, changes and slow requests are logged all the same."""
    access = AccessLog(Settings(directories=("/nowhere",), verbosity=1, log_sample=0.0))
    for method, status, seconds, logged in (
        ("GET", 200, 0.01, False),
        ("HEAD", 304, 0.01, False),
        ("GET", 404, 0.01, False),
        ("GET", 503, 0.01, True),
        ("POST", 200, 0.01, True),
        ("GET", 200, 3.0, True),
        ("GET", 0, 0.01, True),
    ):
        path = f"/{method}/{status}/{seconds}"
        with structlog.testing.capture_logs() as captured:
            access.line(method, path, status, seconds, sent=1, client="192.0.2.1", context=RequestContext("id"))
        assert [line["path"] for line in captured] == ([path] if logged else [])
        assert not any("share" in line for line in captured)


# -- real servers -----------------------------------------------------------------------------------------------------


def test_a_request_has_its_fields(tmp_path: Path) -> None:
    """Each documented field is in the line of an upload by a user; the id goes in, into both logs, and out again."""
    users = password_file(tmp_path, alice=SECRET)
    with serve(tmp_path, "-a", "update", "-P", users, "--disable-fallback", *JSON) as site:
        content = make_wheel("acme", "1.0")
        body = multipart(twine_form(wheel_name("acme", "1.0"), content, name="acme", version="1.0"))
        answer = site.client.post(
            "/",
            content=body,
            headers={"content-type": content_type(), "x-request-id": "from-the-proxy-7", "user-agent": "twine/7"},
            auth=httpx.BasicAuth("alice", SECRET),
        )
        assert answer.status_code == 200
        assert answer.headers["x-request-id"] == "from-the-proxy-7"
        until(lambda: bool(requests_of(site, "/")))
        found = next(line for line in requests_of(site, "/") if line["method"] == "POST")
        assert found["milliseconds"] > 0
        expected = {
            "status": 200,
            "client": "127.0.0.1",
            "request": "from-the-proxy-7",
            "route": "upload",
            "index": "main",
            "received": len(body),
            "sent": len(answer.content),
            "user": "alice",
            "project": "acme",
            "action": "publish",
            "file": wheel_name("acme", "1.0"),
        }
        assert {name: found[name] for name in expected} == expected
        (entry,) = [line for line in audit(site) if line["action"] == "publish"]
        assert (entry["user"], entry["request"], entry["agent"]) == ("alice", "from-the-proxy-7", "twine/7")
        assert entry["address"] == "127.0.0.1"
        assert entry["revision"] == 1
        assert documented() >= set(found)


def audit(site: Site) -> list[dict[str, Any]]:
    from quire.index.audit.reading import LogReader

    index = site.index()
    reader = LogReader(index.store.records, index.name, index.prefix)
    return [logged.entry for logged in reader.all(index.names())]


def documented() -> set[str]:
    """The fields that docs/reference/logs.md has in its tables."""
    text = (Path(__file__).parent.parent.parent / "docs" / "reference" / "logs.md").read_text()
    return fields_of(text)


def fields_of(text: str) -> set[str]:
    """The names in the first column of Markdown tables."""
    return set(re.findall(r"^\| `(\w+)` \|", text, re.M))


LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
NO_FIELDS = {"exc_info", "stack_info"}
"""Arguments of the logging library's own, which become `exception` and `stack`."""


def logger_names(tree: ast.Module) -> Iterator[str]:
    """The names to which a module assigns loggers, whatever they are made by."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and "getlogger" in ast.unparse(node.value).lower().replace("_", ""):
            for target in node.targets:
                yield ast.unparse(target)


def keys_in(function: ast.AST) -> Iterator[str]:
    """The constant keys of all dictionaries that a function writes out, and those that it adds to one."""
    for node in ast.walk(function):
        if isinstance(node, ast.Dict):
            yield from (key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            assert isinstance(node.slice, ast.Constant), ast.unparse(node)
            yield str(node.slice.value)


def logged_fields(source: str) -> dict[str, list[str]]:
    """Name of a field -> the calls that log it, of one module. Fields passed as `**fields` are those of any dictionary
    in the same function."""
    tree = ast.parse(source)
    loggers = set(logger_names(tree))
    assert loggers <= {"log", "_log"}, f"a logger under another name: {loggers}"
    found: dict[str, list[str]] = {}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        method = call.func
        if not (isinstance(method, ast.Attribute) and ast.unparse(method.value) in loggers):
            continue
        assert method.attr in LEVELS, f"{ast.unparse(call)}: what it logs is not known to this test"
        for keyword in call.keywords:
            around = [function for function in functions if call in set(ast.walk(function))]
            for name in [keyword.arg] if keyword.arg is not None else keys_in(around[-1]):
                found.setdefault(name, []).append(ast.unparse(call))
    return found


def test_fields_are_found_in_the_source() -> None:
    """The collection below sees plain fields and such as come in a dictionary, in any function, at any level."""
    source = """
_log = structlog.stdlib.get_logger("x")
def outer(error):
    def inner():
        fields = {"one": 1}
        fields["two"] = 2
        _log.info("some", **fields)
    _log.exception("event %s", 1, three=3, exc_info=True)
    other.info("no", four=4)
"""
    assert set(logged_fields(source)) == {"one", "two", "three", "exc_info"}
    with pytest.raises(AssertionError, match="another name"):
        logged_fields("logger = logging.getLogger()")
    with pytest.raises(AssertionError, match="not known"):
        logged_fields("log = structlog.get_logger()\nlog.bind(five=5)")


def test_every_field_of_the_log_is_documented() -> None:
    """The fields of each logging call in the source, and those of every JSON line, are in the tables of the server's
    log; and nothing else is."""
    logged: dict[str, list[str]] = {}
    for path in Path(quire.__file__).parent.rglob("*.py"):
        for name, calls in logged_fields(path.read_text()).items():
            logged.setdefault(name, []).extend(calls)
    failed = record("failed")
    failed.exc_info = (ValueError, ValueError(), None)
    failed.stack_info = "Stack"
    always = set(json.loads(JsonFormatter().format(failed)))
    text = (Path(__file__).parent.parent.parent / "docs" / "reference" / "logs.md").read_text()
    servers_log = text[text.index("## The server's log") : text.index("## The audit log")]
    expected = (set(logged) | always | set(AccessFields._fields)) - NO_FIELDS
    assert {name: logged.get(name) for name in expected - fields_of(servers_log)} == {}
    assert fields_of(servers_log) - expected == set()


def test_entries_of_the_audit_log_are_documented(tmp_path: Path) -> None:
    """Every field that an entry can have is in the table, and every kind of change."""
    from quire.domain.project import Project, Status
    from quire.index.audit.entries import Origin, make_entry
    from quire.observe.metrics.catalog import CHANGE_ACTIONS

    origin = Origin(*"uarqch")
    before = Project(name="a")
    entry = make_entry("status", before, Project(name="a", status=Status.ARCHIVED, status_reason="r"), origin, ())
    text = (Path(__file__).parent.parent.parent / "docs" / "reference" / "logs.md").read_text()
    assert documented() >= {*entry, "files", "more_files", "project"}
    assert all(f"`{action}`" in text for action in CHANGE_ACTIONS)


def test_a_login_is_in_no_log(tmp_path: Path) -> None:
    """The password comes as userinfo, header, form field, query and referrer; right or wrong: it is nowhere."""
    users = password_file(tmp_path, alice=SECRET)
    basic = base64.b64encode(f"alice:{SECRET}".encode()).decode()
    pypiserver_formats = (
        *("--log-req-frmt", "%s", "--log-res-frmt", "%s", "--log-err-frmt", "%s"),
        *("--log-file", str(tmp_path / "more.log"), "-v", "-v", "-v"),
    )
    for number, flags in enumerate((JSON, (*JSON, "-v", "-v"), ("-v",), pypiserver_formats)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with serve(folder, "-a", "list,download,update", "-P", users, "--disable-fallback", *flags) as site:
            for header in (f"Basic {basic}", f"Bearer {SECRET}", f"Basic {base64.b64encode(SECRET.encode()).decode()}"):
                site.get("/simple/", authorization=header, referer=f"https://alice:{SECRET}@host/")
                site.get(f"/simple/?password={SECRET}&token={SECRET}", authorization=header, x_api_key=SECRET)
            site.client.get("/simple/", auth=httpx.BasicAuth("alice", SECRET + "x"))
            site.client.get("/simple/", headers={"Cookie": f"session={SECRET}", "X-Auth-Token": SECRET})
            filename, content = wheel_name("acme", "1.0"), make_wheel("acme", "1.0")
            fields: dict[str, str | None] = {"password": SECRET, "token": SECRET}
            form = twine_form(filename, content, name="acme", version="1.0", replaced=fields)
            body = multipart(form)
            for authorization in (f"Basic {basic}", "Basic bm9ib2R5Om5vdGhpbmc="):
                site.client.post(
                    "/", content=body, headers={"content-type": content_type(), "authorization": authorization}
                )
            request = f"GET http://alice:{SECRET}@host/simple/ HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n"
            site.raw(request.encode())
            assert site.get("/health").status_code == 200
        output = site.served.output()
        assert output
        more = tmp_path / "more.log"
        for text in (output, more.read_text() if more.exists() else ""):
            assert SECRET not in text
            assert basic not in text
        assert SECRET not in json.dumps(audit(site))


def test_every_answer_has_an_id(tmp_path: Path) -> None:
    """Also errors and downloads; a harmful one that came is not sent back."""
    with serve(tmp_path, *OPEN, *JSON) as site:
        publish_wheel(site, "acme")
        url = site.file_url("acme", wheel_name("acme", "1.0"))
        for _ in range(3):  # then a worker has them ready
            assert site.get("/simple/acme/").status_code == site.get(url).status_code == 200
        for path in ("/packages/", "/simple/absent/", "/simple/acme/", "/nothing/here/at/all", url):
            sent = site.client.get(path, headers={"X-Request-ID": "abc-1"})
            assert sent.headers["x-request-id"] == "abc-1"
            made = site.client.get(path, headers={"X-Request-ID": "<script>"})
            assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", made.headers["x-request-id"])


def test_the_line_of_a_drop_in_has_its_project(tmp_path: Path) -> None:
    """Whatever its name, in a folder of any name, or in none."""
    (tmp_path / "packages" / "simple").mkdir(parents=True)
    places = {"My.Tool-1.0.tar.gz": "my-tool", "simple/other_tool-1.0.tar.gz": "other-tool"}
    for place, project in places.items():
        (tmp_path / "packages" / place).write_bytes(make_sdist(project, "1.0"))
    with serve(tmp_path, *OPEN, *JSON) as site:
        for place in places:
            assert site.get(f"/packages/{place}").status_code == 200
        until(lambda: all(requests_of(site, f"/packages/{place}") for place in places))
        logged = {place: requests_of(site, f"/packages/{place}")[0].get("project") for place in places}
    assert logged == places


def test_refused_uploads_are_in_the_log_and_not_in_the_audit_log(tmp_path: Path) -> None:
    """A request that changed nothing is a line with its status, and no entry."""
    with serve(tmp_path, *OPEN, *JSON) as site:
        publish_wheel(site, "acme")
        other = make_wheel("acme", "1.0", files={"x": b"y"})
        assert publish(site, wheel_name("acme", "1.0"), other, name="acme", version="1.0").status_code == 409
        until(lambda: [line["status"] for line in requests_of(site, "/")] == [200, 409])
        assert len(audit(site)) == 1


def test_failures_and_changes_have_the_id_of_their_request(tmp_path: Path) -> None:
    """Lines that tell of a change, of a refused login, or why an answer is 503, lead to the line of their request."""
    users = password_file(tmp_path, alice=SECRET)
    with serve(tmp_path, "-a", "update", "-P", users, "--disable-fallback", *JSON) as site:

        def ask(request: str, user: str = "alice", **replaced: str) -> int:
            form = twine_form(
                wheel_name("acme", "1.0"), make_wheel("acme", "1.0"), name="acme", version="1.0", replaced=replaced
            )
            headers = {"content-type": content_type(), "x-request-id": request}
            answer = site.client.post("/", content=multipart(form), headers=headers, auth=(user, SECRET))
            return answer.status_code

        assert ask("guess-0", "mallory") == 401
        assert 429 in [ask(f"guess-{number}", "mallory") for number in range(1, 15)]
        assert [ask("new"), ask("again")] == [200, 200]
        assert ask("gone", **{":action": "remove_pkg"}) == 200
        away = site.root.rename(tmp_path / "away")
        assert ask("failing") == 503
        away.rename(site.root)
        until(lambda: any(line.get("request") == "failing" for line in requests_of(site, "/")))
        events = {(line["event"], line.get("request")) for line in lines(site)}
        assert events >= {
            ("login failed", "guess-0"),
            ("published", "new"),
            ("already published", "again"),
            ("deleted", "gone"),
            ("store error", "failing"),
        }
        throttled = {request for event, request in events if event.startswith("login not looked at")}
        assert throttled
        assert throttled <= {f"guess-{number}" for number in range(15)}


@pytest.mark.parametrize("style", ["human", "json"])
def test_a_client_cannot_command_a_terminal(tmp_path: Path, style: str) -> None:
    """Control characters of paths and headers are escaped in every form of a line, also in pypiserver's formats."""
    formats = ("--log-req-frmt", "%(PATH_INFO)s %(HTTP_USER_AGENT)s", "--log-res-frmt", "%s", "--log-err-frmt", "%s")
    for number, flags in enumerate((formats, ())):
        folder = tmp_path / str(number)
        folder.mkdir()
        with serve(folder, *OPEN, "-vvv", "--log-format", style, *flags) as site:
            for path in ("/simple/%1b%5b2Jx/", "/%c2%9b2Jx", "/a%0ab%0dc%07", "/packages/%e2%80%ae%d8%9c.whl"):
                lines = ("Host: x", "User-Agent: \xc2\x9b31m\x9b31m\x85", "Connection: close")
                head = "\r\n".join((f"GET {path} HTTP/1.1", *lines, "", ""))
                site.raw(head.encode("latin-1"))
        said = site.served.output()
        assert "2Jx" in said
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u202e]", said)
        assert not [line for line in said.splitlines() if line.startswith("b")]  # no line begins inside a path
