"""The lines to install one release."""

from __future__ import annotations

from typing import Final

from quire.config.settings import Settings
from quire.domain.names import is_version
from quire.http.ui.layout import Site
from quire.http.ui.projects.page import ProjectPage
from quire.http.ui.usage import usage

_MOST_HASHES: Final = 20

Tabs = list[tuple[str, list[str]]]
"""The title of a tab, and its lines."""


def install_tabs(page: ProjectPage, site: Site, settings: Settings, index: str) -> Tabs:
    """The lines by tool; none where no file can be installed. Each works as it stands, but for the words in capitals.

    Versions outside PEP 440 are in no line: no installer takes them, and a shell would take them for more than text.
    """
    shown = usage(site.url, settings, read_only=True)
    if not page.files or page.version is None or not is_version(page.version) or not shown.install:
        return []
    requirement = page.name if page.is_newest and not page.is_prerelease else f"{page.name}=={page.version}"
    tabs: dict[str, list[str]] = {"uv": [], "pip": []}
    program = ""
    for named, line in shown.install:
        program = named or program
        tabs.setdefault(program, []).append(
            f"{line.removesuffix('NAME')}{requirement}" if line.endswith(" NAME") else line
        )
    simple = f"{site.url}simple/"
    version = requirement.replace("==", "@")
    tabs["poetry"] = [f"poetry source add {index} {simple}", f"poetry add --source {index} {version}"]
    hashes = "".join(f" \\\n    --hash=sha256:{file.sha256}" for file in page.files)
    pinned = f"--index-url {simple}\n{page.name}=={page.version}"
    tabs["requirements.txt"] = [pinned + (hashes if len(page.files) <= _MOST_HASHES and not page.omitted_files else "")]
    return [tab for tab in tabs.items() if tab[1]]
