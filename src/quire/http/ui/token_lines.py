"""The lines to paste for a new token, by tool. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

Tabs = list[tuple[str, list[str]]]
"""The title of a tab, and its lines."""
_USER: Final = "__token__"


def lines_of(text: str, url: str, index: str, rights: Collection[str]) -> Tabs:
    """Of a token for an index at this address (ended by a slash). `index`: its name, or `*`."""
    name = "quire" if index == "*" else index
    host = urlsplit(url)
    variable = re.sub(r"[^A-Z0-9]", "_", name.upper())
    login = [f"export UV_INDEX_{variable}_USERNAME={_USER} UV_INDEX_{variable}_PASSWORD={text}"]
    reads, uploads = "read" in rights, "upload" in rights
    uv = [*login, f"uv pip install --index {name}={url}simple/ PROJECT"] if reads else []
    if uploads:
        uv.append(f"UV_PUBLISH_TOKEN={text} uv publish --publish-url {url} dist/*")
    found: Tabs = [("uv", uv)] if uv else []
    if reads:
        netrc = f"printf 'machine {host.hostname} login {_USER} password {text}\\n' >> ~/.netrc && chmod 600 ~/.netrc"
        found.append(("pip", [netrc, f"pip install --index-url {url}simple/ PROJECT"]))
    if uploads:
        twine = f"TWINE_USERNAME={_USER} TWINE_PASSWORD={text} twine upload --repository-url {url} dist/*"
        found.append(("twine", [twine]))
    secret = "QUIRE_TOKEN"  # noqa: S105 - the name of a variable
    found.append(("GitHub Actions", [f"gh secret set {secret} --body {text}"]))
    found.append(("GitLab CI", [f"glab variable set {secret} --masked --value {text}"]))
    header = f"curl -H 'Authorization: Bearer {text}' {url}-/api/v1/whoami"
    return [*found, ("curl", [header])]
