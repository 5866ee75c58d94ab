"""The documentation as a site (`make site`): which pages, in which order, and how they look.

The pages are read as they stand in the repository, so their links lead to the same places here and on a code host.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent

project = html_title = "quire"
extensions = ["myst_parser"]
root_doc = "docs/README"
include_patterns = [
    *("*.md", "docs/*.md", "docs/*/*.md"),
    *("deploy/compose/README.md", "deploy/helm/quire-index/README.md", "deploy/terraform/aws/*.md"),
]
myst_heading_anchors = 6
suppress_warnings = ["misc.highlighting_failure"]  # colours: an example that a lexer does not know stays as it is

html_theme = "furo"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_use_index = False
html_show_copyright = False
templates_path: list[str] = []
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2f4a9e", "color-brand-content": "#2f4a9e"},
    "dark_css_variables": {"color-brand-primary": "#9fb4ff", "color-brand-content": "#9fb4ff"},
}

_HOW_TO = "docs/how-to/"
NAMED = {
    "Start here": [
        "README",
        *(f"docs/start/{role}" for role in ("developer", "owner", "operator", "auditor")),
        "docs/features",
    ],
    "Tutorials": ["docs/tutorials/first-index", "docs/tutorials/two-containers"],
    "How to install and publish": [
        *(_HOW_TO + page for page in ("pip", "uv", "twine", "poetry", "flit", "hatch", "pipx")),
        *(_HOW_TO + page for page in ("github-actions", "gitlab-ci")),
        "docs/web",
    ],
    "How to set it up": [
        *(_HOW_TO + page for page in ("install", "container", "kubernetes", "systemd", "reverse-proxy", "bucket")),
        *(_HOW_TO + page for page in ("move-to-a-bucket", "doctor")),
        *("docs/aws", "deploy/compose/README", "deploy/helm/quire-index/README", "deploy/terraform/aws/README"),
        "docs/pypiserver",
        *(_HOW_TO + page for page in ("move-from-an-index", "move-from-devpi")),
    ],
    "How to mirror": [
        *(_HOW_TO + page for page in ("mirror", "replace-a-mirror", "namespaces", "air-gap", "pytorch")),
        *(_HOW_TO + page for page in ("vulnerabilities", "policy")),
    ],
    "How to run it": ["docs/operations", "docs/upgrading", "docs/stability"],
    "Reference": [],
    "Explanation": ["docs/how-it-works", "docs/consistency", "docs/bucket"],
    "Comparison": [
        "docs/comparison",
        "docs/benchmarks",
        "docs/benchmarks-targets",
        "docs/benchmarks-mirror",
        "docs/sizing",
    ],
    "Decisions and changes": ["docs/adr/README", "CHANGELOG", "deploy/terraform/aws/CHANGELOG"],
    "Taking part": ["CONTRIBUTING", "docs/architecture", "docs/releasing", "SECURITY", "CODE_OF_CONDUCT"],
}
REST = {"How to run it": "docs/how-to/*.md", "Reference": "docs/reference/*.md", "Explanation": "docs/*.md"}
"""The section that takes the pages of a folder that no section names."""


def sections() -> dict[str, list[str]]:
    """The pages of each section of the navigation, in order."""
    named = {page for pages in NAMED.values() for page in pages} | {root_doc}
    rest = {section: sorted(ROOT.glob(pattern)) for section, pattern in REST.items()}
    found = {
        section: [str(path.relative_to(ROOT).with_suffix("")) for path in paths] for section, paths in rest.items()
    }
    return {
        section: [*pages, *(page for page in found.get(section, []) if page not in named)]
        for section, pages in NAMED.items()
    }


def toctree(pages: list[str], caption: str = "") -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *options, "", *(f"/{page}" for page in pages), "```", ""])


def add_navigation(_app: Any, page: str, source: list[str]) -> None:
    """Sphinx takes the navigation from pages; a code host would show it as text, so the files do not have it."""
    if page == root_doc:
        source[0] += "".join(toctree(pages, section) for section, pages in sections().items())
    elif page == "docs/adr/README":
        paths = sorted(ROOT.glob("docs/adr/[0-9]*.md"))
        source[0] += toctree([str(path.relative_to(ROOT).with_suffix("")) for path in paths])


def read_navigation_again(_app: Any, _env: Any, *_changes: set[str]) -> list[str]:
    """A page that is new since the last build changes no file that has a navigation, so these count as changed."""
    return [root_doc, "docs/adr/README"]


def write_entrance(app: Any, failure: Exception | None) -> None:
    """The address of the site itself leads to its first page."""
    if failure is None:
        home = f"{root_doc}.html"
        page = f'<meta http-equiv="refresh" content="0; url={home}"><title>quire</title><a href="{home}">quire</a>'
        (Path(app.outdir) / "index.html").write_text(f'<!doctype html><html lang="en"><meta charset="utf-8">{page}\n')


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", add_navigation)
    app.connect("env-get-outdated", read_navigation_again)
    app.connect("build-finished", write_entrance)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
