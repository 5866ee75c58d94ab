"""The index as of a moment, below `/@MOMENT/`."""

from __future__ import annotations

from quire.http.app.lazily import lazily

projects_page = lazily("simple.past", "projects_page")
project_page = lazily("simple.past", "project_page")
download = lazily("simple.past", "download")
refuse = lazily("simple.past", "refuse")
elsewhere = lazily("simple.past", "elsewhere")
