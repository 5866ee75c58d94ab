"""The lines by which each tool uses an index. Words in capitals are for the reader to fill in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_NO_UPLOADS: Final = ("# This index takes no uploads.", "# This publishes to the index as it is now.")
_LOGIN: Final = "a user name and its password, or __token__ and a token"


class Facts(NamedTuple):
    """The facts of an index that the lines depend on."""

    name: str
    url: str
    """As developers reach it, ended by a slash, without a login."""
    has_uploads: bool
    needs_login: bool
    """To install; to publish takes one unless the index is open."""
    is_only: bool
    """Whether no other index is used."""
    as_of: str | None = None
    """The moment of the past to install from, as the address has it."""
    publishes_with_login: bool = True
    """Whether a login is needed to publish."""

    @property
    def simple(self) -> str:
        return f"{self.url}simple/" if self.as_of is None else f"{self.url}@{self.as_of}/simple/"

    @property
    def variable(self) -> str:
        """The name as a part of the names of variables."""
        return re.sub(r"[^A-Z0-9]", "_", self.name.upper())


def _uv(facts: Facts) -> str:
    lines = ["# pyproject.toml", "[[tool.uv.index]]", f'name = "{facts.name}"', f'url = "{facts.simple}"']
    if facts.has_uploads:
        lines.append(f'publish-url = "{facts.url}"')
    if facts.is_only:
        lines.append("default = true")
    if facts.needs_login:
        prefix = f"UV_INDEX_{facts.variable}"
        lines += ["", f"# in the shell: {_LOGIN}", f"# export {prefix}_USERNAME=USER {prefix}_PASSWORD=PASSWORD"]
    if facts.has_uploads:
        lines += ["", f"# publish: uv build && uv publish --index {facts.name}"]
    return _text(lines)


def _pip(facts: Facts) -> str:
    lines = ["# pip.conf (`pip config debug` says where it is)", "[global]", f"index-url = {facts.simple}"]
    host = urlsplit(facts.url)
    if host.scheme == "http" and host.hostname not in {"localhost", "127.0.0.1", "::1"}:
        lines.append(f"trusted-host = {host.netloc}")
    if facts.needs_login:
        lines += ["", f"# ~/.netrc: {_LOGIN}", f"# machine {host.hostname} login USER password PASSWORD"]
    return _text(lines)


def _poetry(facts: Facts) -> str:
    lines = ["# pyproject.toml", "[[tool.poetry.source]]", f'name = "{facts.name}"', f'url = "{facts.simple}"']
    lines.append('priority = "primary"')
    if not (
        facts.is_only or facts.as_of
    ):  # without a primary source poetry would ask the public index first, for each private name
        lines += ["", "[[tool.poetry.source]]", 'name = "PyPI"', 'priority = "supplemental"']
    if facts.needs_login:
        prefix = f"POETRY_HTTP_BASIC_{facts.variable}"
        lines += ["", f"# in the shell: {_LOGIN}", f"# export {prefix}_USERNAME=USER {prefix}_PASSWORD=PASSWORD"]
    if facts.has_uploads:
        lines += [
            "",
            f"# publish: poetry config repositories.{facts.name} {facts.url}",
            f"#          poetry publish --build -r {facts.name}",
        ]
    return _text(lines)


_PDM_NAME: Final = (
    "# by this name it takes the place of the public index, which pdm would ask as well",
    'name = "pypi"',
)


def _pdm(facts: Facts) -> str:
    scheme, _, rest = facts.simple.partition("://")
    url = f"{scheme}://${{INDEX_USER}}:${{INDEX_PASSWORD}}@{rest}" if facts.needs_login else facts.simple
    lines = ["# pyproject.toml", "[[tool.pdm.source]]", *_PDM_NAME, f'url = "{url}"']
    lines.append(f"verify_ssl = {'true' if scheme == 'https' else 'false'}")
    if facts.needs_login:
        lines += ["", f"# in the shell: {_LOGIN}", "# export INDEX_USER=USER INDEX_PASSWORD=PASSWORD"]
    if facts.has_uploads:
        lines += ["", f"# publish: pdm publish --repository {facts.url}"]
    return _text(lines)


def _login_lines(facts: Facts) -> list[str]:
    if facts.publishes_with_login:
        return ["username = __token__", "password = TOKEN"]
    return ["# no login is needed; twine wants one all the same", "username = any", "password = any"]


def _secrets(facts: Facts, user: str, password: str) -> tuple[str, str]:
    """The login to publish with: where the CI keeps it or, where none is needed, one that any tool takes."""
    return (user, password) if facts.publishes_with_login else ("any", "any")


def _twine(facts: Facts) -> str:
    lines = ["# ~/.pypirc", "[distutils]", f"index-servers = {facts.name}", "", f"[{facts.name}]"]
    lines += [f"repository = {facts.url}", *_login_lines(facts)]
    lines += ["", f"# publish: twine upload -r {facts.name} dist/*"]
    return _text(lines if facts.has_uploads else [_NO_UPLOADS[facts.as_of is not None], *lines])


def _github(facts: Facts) -> str:
    variable = f"UV_INDEX_{facts.variable}"
    user, password = _secrets(facts, "${{ secrets.QUIRE_USER }}", "${{ secrets.QUIRE_PASSWORD }}")
    has_secrets = facts.needs_login or facts.publishes_with_login
    with_login = ", with the login in the secrets QUIRE_USER and QUIRE_PASSWORD" if has_secrets else ""
    lines = [f"# a job of .github/workflows/{with_login}", "env:"]
    lines.append(f"  {'UV_DEFAULT_INDEX' if facts.is_only else 'UV_INDEX'}: {facts.name}={facts.simple}")
    if facts.needs_login:
        lines += [f"  {variable}_USERNAME: ${{{{ secrets.QUIRE_USER }}}}"]
        lines += [f"  {variable}_PASSWORD: ${{{{ secrets.QUIRE_PASSWORD }}}}"]
    lines += ["steps:", "  - uses: actions/checkout@v5", "  - uses: astral-sh/setup-uv@v7", "  - run: uv sync"]
    if facts.has_uploads:
        lines += [
            "  - run: uv build",
            f"  - run: uv publish --publish-url {facts.url}",
            "    env:",
            f"      UV_PUBLISH_USERNAME: {user}",
            f"      UV_PUBLISH_PASSWORD: {password}",
        ]
    return _text(lines)


def _gitlab(facts: Facts) -> str:
    variable = f"UV_INDEX_{facts.variable}"
    user, password = _secrets(facts, "$QUIRE_USER", "$QUIRE_PASSWORD")
    has_secrets = facts.needs_login or facts.publishes_with_login
    with_login = ", with the login in the masked variables QUIRE_USER and QUIRE_PASSWORD" if has_secrets else ""
    lines = [f"# .gitlab-ci.yml{with_login}", "variables:"]
    lines.append(f"  {'UV_DEFAULT_INDEX' if facts.is_only else 'UV_INDEX'}: {facts.name}={facts.simple}")
    if facts.needs_login:
        lines += [f"  {variable}_USERNAME: $QUIRE_USER", f"  {variable}_PASSWORD: $QUIRE_PASSWORD"]
    image = "  image: ghcr.io/astral-sh/uv:python3.13-trixie-slim"
    lines += ["", "test:", image, "  script:", "    - uv sync"]
    if facts.has_uploads:
        lines += [
            *("", "publish:", image),
            *("  rules:", "    - if: $CI_COMMIT_TAG", "  variables:"),
            *(f"    UV_PUBLISH_USERNAME: {user}", f"    UV_PUBLISH_PASSWORD: {password}", "  script:"),
            *("    - uv build", f"    - uv publish --trusted-publishing never --publish-url {facts.url}"),
        ]
    return _text(lines)


def _text(lines: list[str]) -> str:
    return "\n".join([*lines, ""])


SNIPPETS: Final[Mapping[str, Callable[[Facts], str]]] = {
    "uv": _uv,
    "pip": _pip,
    "poetry": _poetry,
    "pdm": _pdm,
    "twine": _twine,
    "github": _github,
    "gitlab": _gitlab,
}
"""By the name of the tool."""
