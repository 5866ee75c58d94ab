"""The documentation: links lead somewhere, tables are those of the program, examples run."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from quire.cli import make_parser
from quire.config.resolving import resolve
from quire.config.settings import RUN_DEFAULTS, SERVE_DEFAULTS
from quire.domain.project import File, decode_project, encode_project
from quire.http.app.problems import STATUS
from quire.index.audit.entries import entries_of
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.store.posix.store import PosixStore
from tests.command_line import flags
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.documents import DOCS, ROOT, block, blocks, commands
from tests.serving import environment

PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CODE_OF_CONDUCT.md",
    *sorted(DOCS.rglob("*.md")),
]
_LINK = re.compile(r"\]\(([^)\s]+)\)")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def shell(script: str, cwd: Path, **variables: str) -> str:
    """The output of a script, which must not fail."""
    done = subprocess.run(
        ["sh", "-euc", script], cwd=cwd, env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def published(root: Path) -> Index:
    """An index with one release of acme-tools, a wheel and an sdist."""
    root.mkdir()
    index = Index(PosixStore.open(root))
    contents = (
        (wheel_name("acme-tools", "1.0"), make_wheel("acme-tools", "1.0")),
        (sdist_name("acme-tools", "1.0"), make_sdist("acme-tools", "1.0")),
    )
    uploads = []
    for filename, content in contents:
        staging = index.store.blobs.stage(upload_key(filename))
        staging.write(content)
        uploads.append(examine(staging.finish(), filename))
    index.publish(uploads)
    return index


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script that writes the tables."""
    specification = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


# -- pages ------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The fragments that lead to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file of the repository, and its fragment a heading there."""
    for link in _LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def test_the_list_of_decisions_has_each_once() -> None:
    """In the order of their numbers, which are the names of their pages; lines are added by many hands at once."""
    listed = re.findall(r"^(\d+)\. \[.*\]\((\d{4})-.*\.md\)", (DOCS / "adr" / "README.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _ in listed] == [int(page) for _, page in listed]
    assert [page for _, page in listed] == sorted(page.name[:4] for page in DOCS.glob("adr/[0-9]*.md"))


def test_every_page_can_be_found() -> None:
    """Starting at the README, links lead to every page."""
    found, new = set[Path](), [ROOT / "README.md"]
    while new:
        page = new.pop()
        found.add(page)
        links = (link.partition("#")[0] for link in _LINK.findall(page.read_text()))
        targets = {(page.parent / link).resolve() for link in links if link.endswith(".md")}
        new += [target for target in targets - found if target.exists() and target not in new]
    assert set(PAGES) - found == set()


@every_page
def test_commands_are_understood(page: Path) -> None:
    """Every `quire ...` line of an example is one that the program takes."""
    parser, _ = make_parser()
    for words in commands(page):
        parser.parse_args(words)


@every_page
def test_no_example_opens_an_index_to_the_network(page: Path) -> None:
    """Where nothing needs a login, the server of an example listens on this machine alone; `quire run` listens on every
    address unless it is told otherwise."""
    parser, _ = make_parser()
    lines = re.findall(r"^[ $]*(quire (?:run|serve) .*)$", page.read_text().replace("\\\n", " "), re.M)
    for line in lines:
        found = parser.parse_args(shlex.split(line, comments=True)[1:])
        host = found.host or found.setting_defaults.get("host", "0.0.0.0")
        assert found.authenticate != "." or host == "127.0.0.1", line


# -- reference --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted((DOCS / "reference").glob("*.md")), ids=lambda page: page.name)
def test_tables_are_those_of_the_program(page: Path, reference: ModuleType) -> None:
    """Flags and settings are listed as they are now; if not: scripts/reference.py."""
    assert page.read_text() == reference.rewritten(page.read_text()), "run scripts/reference.py"


def test_every_command_has_its_table(reference: ModuleType) -> None:
    """No command is missing from the reference."""
    assert reference.missing() == set()


def test_every_error_is_documented() -> None:
    """Every class of error stands in http.md with the status that it maps to."""
    page = (DOCS / "reference" / "http.md").read_text()
    for kind, status in STATUS:
        assert re.search(rf"^\| {status} \|.*`{kind.__name__}`.*\|$", page, re.M), kind


def test_the_example_record_is_one() -> None:
    """The documented record is, byte for byte, what the program would write, and its table has every field."""
    page = DOCS / "reference" / "store.md"
    example = block(page, "json", "record")
    project = decode_project(example.encode())
    assert encode_project(project).decode() == example
    (file,) = project.files.values()
    assert (project.unknown, file.unknown) == ({}, {})
    for field in {"format", "name", "status", "status_reason", "files", *File.__struct_fields__} - {
        "filename",
        "unknown",
    }:
        assert f"| `{field}` |" in page.read_text(), field
        assert f'"{field}"' in example, field


def test_the_example_configuration_is_one(tmp_path: Path) -> None:
    """The documented quire.toml is taken, and means what it says."""
    file = tmp_path / "quire.toml"
    file.write_text(block(DOCS / "reference" / "settings.md", "toml", "toml"))
    settings = resolve({}, {}, config_file=str(file))
    assert settings.directories == (str(tmp_path / "packages"), "/mnt/old-packages")
    assert settings.passwords == str(tmp_path / "htpasswd")
    assert settings.max_upload_size == 500 * 1024**2
    assert settings.fallback_url is None


def test_pypiservers_flags_are_documented() -> None:
    """Every flag of `pypi-server run` stands in the page about moving over, and is one of ours."""
    page = (DOCS / "pypiserver.md").read_text()
    theirs = set(_in_pypiserver(_PRINT_FLAGS)) - {"-h", "--help", "--verbose"}
    assert theirs <= flags("run")
    assert {flag for flag in theirs if f"`{flag}`" not in page} == set()


_PRINT_FLAGS = """
from pypiserver.config import get_parser
(run,) = (action.choices["run"] for action in get_parser()._actions if action.dest == "cmd")
print("\\n".join(flag for action in run._actions for flag in action.option_strings))
"""
_PRINT_NAMES = """
import sys
from pathlib import Path
from pypiserver.backend import listdir
print("\\n".join(Path(package.fn).name for package in listdir(Path(sys.argv[1]))))
"""


def _in_pypiserver(code: str, *arguments: object) -> list[str]:
    """The lines that code of pypiserver's prints; in a process of its own, for it changes how Python imports."""
    if importlib.util.find_spec("pypiserver") is None:
        pytest.skip("pypiserver is not installed")
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_defaults_of_serve_are_documented() -> None:
    """The table of settings has those of `quire run`; the page names each setting in which `quire serve` differs."""
    page = (DOCS / "reference" / "settings.md").read_text()
    (sentence,) = re.findall(r"`quire serve` has three others: .*", page)
    assert len(SERVE_DEFAULTS) == 3
    assert {name for name in SERVE_DEFAULTS if f"`{name.replace('_', '-')}`" not in sentence} == set()


# -- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [code for page in PAGES for code in blocks(page, "python", "python")], ids=lambda code: code.split("\n")[-2]
)
def test_python_examples_run(code: str) -> None:
    """An example in Python runs as it stands there."""
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=60)


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "pypiserver.md"], ids=lambda page: page.name)
def test_the_switch_is_one_word(page: Path) -> None:
    """The documented command of a pypiserver deployment means here what it means there."""
    words = next(words for words in commands(page) if words[0] == "run")
    assert shlex.join(words) == (
        "run -p 8080 --server gunicorn --backend simple-dir --authenticate download,list,update -P /data/.htpasswd"
    )
    flags = vars(make_parser()[0].parse_args(words)) | {"directories": None}
    settings = resolve(flags, {}, RUN_DEFAULTS)
    assert settings.port == 8080
    assert settings.server == "gunicorn"
    assert settings.authenticate == ("download", "list", "update")
    assert settings.passwords == "/data/.htpasswd"
    assert settings.directories == (str(Path.home() / "packages"),)
    assert settings.fallback_url is not None


def test_going_back(tmp_path: Path) -> None:
    """pypiserver reads the directory as it is; the documented command puts the files where it would have put them."""
    root = tmp_path / "packages"
    published(root)
    names = {wheel_name("acme-tools", "1.0"), sdist_name("acme-tools", "1.0")}
    assert sorted(_in_pypiserver(_PRINT_NAMES, root)) == sorted(names)
    shell(block(DOCS / "pypiserver.md", "sh", "go-back"), tmp_path)
    assert {path.name for path in root.iterdir()} == names | {"quire"}
    assert (root / wheel_name("acme-tools", "1.0")).read_bytes() == make_wheel("acme-tools", "1.0")


def test_reading_the_store_by_hand(tmp_path: Path) -> None:
    """The documented commands show the record and the files."""
    index = published(tmp_path / "packages")
    shown = shell(block(DOCS / "reference" / "store.md", "sh", "by-hand"), tmp_path)
    project = index.project("acme-tools")
    assert project is not None
    entries = entries_of(index.store.records.read(index.key("acme-tools")))
    assert encode_project(project, entries).decode() in shown
    assert all(f"packages/quire/blobs/{file.blob}/{name}\n" in shown for name, file in project.files.items())
