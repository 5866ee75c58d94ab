"""The header lines that a raw request may have: an allow-list. A request with any other goes to the server's parser.

None of these names changes the answer, except those that the fast path itself reads: Host, Accept,
Accept-Encoding, If-None-Match, X-Request-Id, and proxies' reports: of the client for the log, of the address by which
it knows the index for pages for people. So a header that gets a meaning in the application is safe until its name is
added here.

Not in the list, on purpose:

- anything about the frame of a message or about the connection, other than `Connection: keep-alive`;
- conditions and ranges other than If-None-Match, which the application answers;
- secrets (Cookie, Proxy-Authorization, tokens), since the lines are kept in memory for a while. Authorization is dealt
  with apart (`quire.http.fast.raw_requests`);
- names by which a proxy or framework gives a request another method or address (X-HTTP-Method-Override,
  X-Original-URL, X-Rewrite-URL).
"""

from __future__ import annotations

from typing import Final

_CLIENTS: Final = frozenset(
    # pip, uv, twine, poetry, pdm, hatch, curl, wget, and libraries below them
    {"host", "user-agent", "accept", "accept-encoding", "connection", "keep-alive", "if-none-match"}
    | {"cache-control", "pragma"}
)
_BROWSERS: Final = frozenset(
    {"accept-charset", "accept-language", "dnt", "origin", "priority", "purpose", "referer", "save-data"}
    | {"sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site"}
    | {"sec-fetch-user", "sec-gpc", "sec-purpose", "upgrade-insecure-requests", "x-requested-with"}
)
_PROXIES: Final = frozenset(
    # nginx, Caddy, Apache, HAProxy, Traefik, Envoy, load balancers
    {"forwarded", "via", "x-forwarded", "x-forwarded-by", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port"}
    | {"x-forwarded-prefix", "x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-server", "x-forwarded-ssl"}
    | {"front-end-https", "x-client-ip", "x-cluster-client-ip", "x-original-forwarded-for", "x-real-ip", "x-scheme"}
    | {"x-envoy-attempt-count", "x-envoy-decorator-operation", "x-envoy-expected-rq-timeout-ms"}
    | {"x-envoy-external-address", "x-envoy-internal"}
    # AWS and CloudFront, Google Cloud, Azure, Cloudflare, Fastly, Akamai
    | {"x-amz-cf-id", "cloudfront-forwarded-proto", "cloudfront-is-desktop-viewer", "cloudfront-is-mobile-viewer"}
    | {"cloudfront-is-smarttv-viewer", "cloudfront-is-tablet-viewer", "cloudfront-viewer-address"}
    | {"cloudfront-viewer-asn", "cloudfront-viewer-country", "cloudfront-viewer-http-version"}
    | {"cloudfront-viewer-tls", "x-appengine-country", "x-azure-clientip", "x-azure-fdid", "x-azure-ref"}
    | {"x-azure-socketip", "cdn-loop", "cf-connecting-ip", "cf-connecting-ipv6", "cf-ew-via", "cf-ipcity"}
    | {"cf-ipcontinent", "cf-ipcountry", "cf-ray", "cf-visitor", "cf-warp-tag-id", "cf-worker", "fastly-client-ip"}
    | {"fastly-ssl", "true-client-ip", "x-varnish"}
)
_TRACES: Final = frozenset(
    {"baggage", "traceparent", "tracestate", "b3", "x-b3-flags", "x-b3-parentspanid", "x-b3-sampled", "x-b3-spanid"}
    | {"x-b3-traceid", "uber-trace-id", "x-amzn-trace-id", "x-cloud-trace-context", "x-correlation-id"}
    | {"x-request-id", "x-request-start", "x-datadog-origin", "x-datadog-parent-id", "x-datadog-sampling-priority"}
    | {"x-datadog-tags", "x-datadog-trace-id"}
)

ALLOWED_NAMES: Final = _CLIENTS | _BROWSERS | _PROXIES | _TRACES
"""In lower case."""
