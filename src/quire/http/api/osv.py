"""OSV's API, for scanners: `/-/osv/v1/query`, `querybatch` and `vulns/ID`. Few servers have advisories."""

from __future__ import annotations

from quire.http.app.lazily import lazily

query = lazily("api.osv_queries", "query")
querybatch = lazily("api.osv_queries", "querybatch")
vulnerability = lazily("api.osv_queries", "vulnerability")
