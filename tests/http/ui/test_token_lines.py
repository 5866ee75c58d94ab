"""The lines to paste for a new token: for what it may do, and with the address of its index."""

from __future__ import annotations

import pytest

from quire.http.ui.token_lines import lines_of

URL = "https://packages.acme.example/team/"
TEXT = "quire_0123456789_secret"


@pytest.mark.parametrize(
    ("rights", "tools"),
    [
        (("read",), ["uv", "pip"]),
        (("upload",), ["uv", "twine"]),
        (("read", "upload", "manage"), ["uv", "pip", "twine"]),
        (("manage",), []),
    ],
)
def test_lines_are_for_what_the_token_may_do(rights: tuple[str, ...], tools: list[str]) -> None:
    """Tools that install want the right to read, those that publish that to upload."""
    found = lines_of(TEXT, URL, "team-1", rights)
    assert [title for title, _ in found] == [*tools, "GitHub Actions", "GitLab CI", "curl"]
    for title, lines in found:
        assert any(TEXT in line for line in lines), title
        assert not any("PASSWORD=$" in line for line in lines)


def test_names_are_as_each_tool_has_them() -> None:
    """uv makes variables of the name of an index; a token for every index has a neutral one."""
    lines = dict(lines_of(TEXT, URL, "team-1", ["read"]))
    assert f"UV_INDEX_TEAM_1_PASSWORD={TEXT}" in lines["uv"][0]
    assert lines["uv"][1] == f"uv pip install --index team-1={URL}simple/ PROJECT"
    assert "machine packages.acme.example login __token__" in lines["pip"][0]
    assert "UV_INDEX_QUIRE_PASSWORD" in dict(lines_of(TEXT, URL, "*", ["read"]))["uv"][0]
