"""The index that the browser looks at: projects as they are, and hostile ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.advisories.taking import document, take_in, until
from tests.asking import OPEN, Site, publish, serve
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name

_README: Final = """
# acme-tools

Shared helpers of the data platform. See [the changelog](https://example.test/changes).

```python
from acme_tools import connect
```

| Name | For |
|---|---|
| `connect` | connections with timeouts |
| `retry` | what may be repeated |

<script>document.title = "ran"</script><img src=x onerror="document.title='ran'">
"""
_FIELDS: Final = """Summary: Shared helpers: connections, retries, structured logs
Author-email: Data platform <data@example.test>
License-Expression: Apache-2.0
Keywords: retry,logs
Classifier: Programming Language :: Python :: 3
Classifier: Topic :: Software Development
Project-URL: Source, https://example.test/acme/tools
Project-URL: Broken, javascript:document.title='ran'
Requires-Dist: acme-core>=3
Requires-Dist: httpx>=0.28; extra == "http"
Provides-Extra: http
Description-Content-Type: text/markdown
"""
HOSTILE: Final = {
    "acme_tools/hostile.html": b"<!doctype html><script>document.title = 'ran'</script>\n\xe2\x80\xae turned\n",
    "acme_tools/image.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='document.title=1'/>",
    "acme_tools/deep/folder/of/one/file.py": b"VALUE = 1\n" * 300,
    "acme_tools/wide.txt": b"a long line " * 200,
    "acme_tools/logo.png": b"\x89PNG\r\n\x1a\n\0\0",
}
WHEEL: Final = wheel_name("acme-tools", "2.4.1")


_ADVISORY: Final = document(
    "ACME-2026-1",
    "acme-core",
    ranges=until("3.2"),
    summary="Rows of a table are read twice <b>",
    details="A retry reads on where it began.\n\nUpdate to 3.2. " + "a" * 300,
    aliases=["CVE-2026-0001"],
    severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
    references=[{"type": "WEB", "url": "https://example.test/acme/1"}, {"type": "FIX", "url": "javascript:alert(1)"}],
)


@contextmanager
def filled_site(folder: Path) -> Iterator[Site]:
    """Served over `folder`."""
    with serve(folder, *OPEN, "--disable-fallback", "--web-title", "Acme packages") as site:
        for version in ("2.3.0", "2.4.0", "2.4.1", "3.0rc1"):
            metadata = metadata_text("acme-tools", version, extra=_FIELDS).replace(
                "Summary: acme-tools for tests\n", ""
            )
            document = metadata.rpartition("\nThe description")[0] + _README
            wheel = make_wheel("acme-tools", version, metadata=document, files=HOSTILE)
            _put(site, wheel_name("acme-tools", version), wheel, "acme-tools", version)
            _put(site, sdist_name("acme-tools", version), make_sdist("acme-tools", version), "acme-tools", version)
        for name in ("acme-core", "acme-billing", "a" * 80):
            _put(site, wheel_name(name, "3.1"), make_wheel(name, "3.1"), name, "3.1")
        base = "/-/api/v1/indexes/-/projects"
        yanked = site.client.post(f"{base}/acme-tools/yank", json={"version": "2.4.0", "reason": "loses rows on retry"})
        assert yanked.status_code == 200, yanked.text
        archived = {"status": "archived", "reason": "use acme-core"}
        answer = site.client.post(f"{base}/acme-billing/status", json=archived)
        assert answer.status_code == 200, answer.text
        take_in(folder / "packages", _ADVISORY)
        yield site


def _put(site: Site, filename: str, content: bytes, name: str, version: str) -> None:
    answer = publish(site, filename, content, name=name, version=version)
    assert answer.status_code == 200, answer.text
