"""Hostile contents for all that people read: what a publisher, an owner or an address can put into a page.

`ran()` stands for the harm that a script would do: a browser of `tests.browser` notes that it was called.
"""

from __future__ import annotations

import base64
import io
import tarfile
from typing import Final

TEXTS: Final = {
    "script": "<script>ran()</script>",
    "closing": "</title></textarea></select></style></script></main><script>ran()</script>",
    "double quote": '"><img src=x onerror=ran()><b id="main',
    "single quote": "'><svg onload=ran()><b class='top",
    "handler": '" autofocus onfocus="ran()" x="',
    "no quote": "x onmouseover=ran() style=position:fixed;inset:0",
    "template": "{{ 7 * 'ran' }}{% include '/etc/passwd' %}${ran()}#{ran()}",
    "format": "%s%n%(name)s{0.__class__}{site.user}%",
    "entities": "&lt;script&gt;ran()&lt;/script&gt;&#60;img src=x onerror=ran()&#62;",
    "address": "javascript:ran()//https://e.example/%0aran()",
    "bidi": "safe\u202egnp.exe\u2066\u2069\u200f\u061c",
    "nothing": "a\u200bb\u00adc\ufeffd\u2060e\u3164f\u180eg",
    "control": "a\x1b[31mb\x07c\x7fd\x85e\u2028f",
    "lines": "a\r\nX-Injected: yes\r\n\r\n<script>ran()</script>",
    "nul": "a\0<script>ran()</script>",
    "beyond": "\U0001f469\u200d\U0001f4bb \ue000 \U000f0000 \u0338\u0338 Z\u0351\u036b\u0343\u036a\u0302",
    "one word": "x" * 2000,
    "long": "<b>" * 350_000,
    "htmx": "<div hx-get=/-/logout hx-trigger=load data-copy=x hx-on:load=ran()>",
}
"""For every place that takes some words."""

README_ATTACKS: Final = (
    "<script>ran()</script>",
    "<ScRiPt src=https://e.example/x.js></sCrIpT>",
    "<img src=x onerror=ran()>",
    "<svg onload=ran()><script>ran()</script></svg>",
    "<svg><a xlink:href='javascript:ran()'><text>x</text></a></svg>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=ran()>",
    "<a href='javascript:ran()'>x</a>",
    "<a href=' java\tscript:ran()'>x</a><a href='java&#10;script:ran()'>x</a><a href='&#1;javascript:ran()'>x</a>",
    "<a href='JAVASCRIPT&colon;ran()'>x</a><a href='jav&#x61;script:ran()'>x</a><a href='javascript&#58;ran()'>x</a>",
    "<a href='data:text/html,<script>ran()</script>'>x</a><a href='blob:x'>x</a><a href='view-source:x'>y</a>",
    "<a href='vbscript:x'>x</a><a href='//evil.example/'>x</a><a href='/-/logout'>x</a><a href='../x'>y</a>",
    "<a href='https:/-/logout'>x</a><a href='HTTP:-/logout'>x</a><a href='https:\\\\-/logout'>x</a>",
    "[x](https:/-/logout) ![y](https:-/logout) <https:/-/logout>",
    "[x](javascript:ran()) [y](JaVaScRiPt:ran()) [z](data:text/html;base64,PHN2Zz4=) <javascript:ran()>",
    "[x](java&#115;cript:ran()) [y](<java\nscript:ran()>) [z](\\javascript:ran()) [w](&#x6A;avascript:ran())",
    "[x][1]\n\n[1]: javascript:ran()",
    "![x](javascript:ran()) ![x](data:image/svg+xml;base64,PHN2Zz4=)",
    '![x" onload="ran()](https://e.example/a.png "t\\" onload=ran()")',
    "<iframe src=https://e.example srcdoc='<script>ran()</script>'></iframe><object data=x></object><embed src=x>",
    "<base href=https://e.example/><base target=_top>",
    "<form action=/-/logout method=post><input type=submit><button formaction=/x>x</button><textarea>x</textarea>",
    "<style>body{display:none}</style><link rel=stylesheet href=https://e.example/x.css><meta http-equiv=refresh>",
    "<p style='position:fixed;inset:0' onclick=ran() id=main class='banner bad'>x</p>",
    "<video src=https://e.example/x autoplay></video><audio src=x></audio><picture><source srcset=x></picture>",
    "<div hx-get=/-/logout hx-trigger=load hx-on:load=ran() data-copy=x hidden></div>",
    "<table><tr><td colspan=99999999 rowspan=99999999>x</td></tr></table>",
    "<b id=main></b><a name=x id='\"><script>'></a><a name=forms></a><a id=documentElement></a>",
    "<details open ontoggle=ran()><summary>x</summary>y</details>",
    "<noscript><p title='</noscript><img src=x onerror=ran()>'>",
    "</article></main></body></html><!-- <script> --><![CDATA[<script>]]><?php x ?>",
    "<template><script>ran()</script></template><slot></slot><dialog open>x</dialog><portal src=x></portal>",
    "```<img onerror=x>\n<script>\n```",
    '```{=html}\n<script>ran()</script>\n```\n\n~~~" onclick=ran()\nx\n~~~',
    "`<script>ran()</script>`",
    "| a | b |\n|---|---|\n" + "| x | <img src=x onerror=ran()> |\n" * 1500,
    "- " * 400 + "deep",
    "> " * 400 + "<script>ran()</script>",
    "a long word " + "w" * 5000,
    "\u202e\u2066turned\u200b <b>\u202d</b> `\u202e`",
)
"""In Markdown, or raw HTML in it."""

DIRECTIVES: Final = (
    ".. include:: /etc/passwd",
    ".. raw:: html\n   :file: /etc/passwd",
    ".. raw:: html\n\n   <script>ran()</script>",
    ".. raw:: html\n   :url: https://e.example/",
    ".. csv-table:: t\n   :file: /etc/passwd",
    ".. csv-table:: t\n   :url: https://e.example/",
    ".. code:: python\n   :include: /etc/passwd",
    ".. role:: raw-html(raw)\n   :format: html\n\n:raw-html:`<script>ran()</script>`",
    ".. image:: javascript:ran()\n   :target: javascript:ran()",
    ".. figure:: https://e.example/x.svg\n   :target: data:text/html,x\n\n   <script>ran()</script>",
    ".. _x: javascript:ran()\n\nx_ and `y <javascript:ran()>`_ and `z <data:text/html,x>`__",
    ".. container:: banner bad\n\n   x\n\n.. class:: main\n\nx\n\n.. _main:\n\nMain\n====",
    ".. meta::\n   :http-equiv=refresh: 0;url=https://e.example/",
    ".. math::\n\n   \\href{javascript:ran()}{x}",
    ".. |x| replace:: <script>ran()</script>\n\n|x|",
    ".. default-role:: raw\n\n`x`",
    ".. contents::\n\n.. sectnum::\n\n.. header:: x\n\n.. target-notes::",
)
"""In reStructuredText."""

MEMBERS: Final[dict[str, bytes]] = {
    "page.html": b"<!doctype html><script>ran()</script>\n\xe2\x80\xae turned\n",
    "page.xhtml": b"<html xmlns='http://www.w3.org/1999/xhtml'><script>ran()</script></html>",
    "image.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='ran()'><script>ran()</script></svg>",
    "style.css": b"@import url(https://e.example/x.css); body { background: url(https://e.example/x) }",
    "code.js": b"ran()",
    "polyglot.gif": b"GIF89a=1;ran()/*<script>ran()</script>*/",
    "polyglot.pdf": b"%PDF-1.4\n<script>ran()</script>",
    "utf7.txt": b"+ADw-script+AD4-ran()+ADw-/script+AD4-",
    "utf16.html": "\ufeff<script>ran()</script>".encode("utf-16"),
    "closing.txt": b"</code></pre></main></body></html><script>ran()</script>",
    "bidi.py": "if access\u202e\u2066 # check\u2069\u2066:\n    ran()\n".encode(),
    "control.txt": b"a\x1b[2Jb\x08\x07\x00c\x85\r\nd\x0c\x0b",
    "long-line.txt": b"<b>" * 100_000,
    "<script>ran()<": b"a name that is a script",
    '"><img src=x onerror=ran()>.txt': b"a name that closes an attribute",
    "'><svg onload=ran()>.txt": b"another one",
    "javascript:ran()": b"a name that is an address",
    "{{ 7 * 'ran' }}.txt": b"a name that is a template",
    "%2e%2e%2fetc%2fpasswd": b"a name that is an escape",
    "a?q=1#x&amp;y=<b>.txt": b"a name that is a query",
    "safe\u202egnp.exe": b"a name that reads otherwise",
    "a\u200bb.txt": b"a name with nothing in it",
    " leading and trailing ": b"a name of spaces",
    "w" * 250: b"a long name",
    "/".join("d" * 60): b"a deep one",
}
"""The members of an archive, in a folder that a test chooses."""


def sdist_members(root: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Of an sdist, below its root folder: those above, a link, and a device."""
    found = []
    for name, content in MEMBERS.items():
        member = tarfile.TarInfo(f"{root}/{name}")
        member.size = len(content)
        found.append((member, content))
    link = tarfile.TarInfo(f"{root}/link.html")
    link.type, link.linkname = tarfile.SYMTYPE, "page.html"
    return [*found, (link, b"")]


def in_data_address(html: str) -> str:
    """A page as the address of itself."""
    return f"data:text/html;base64,{base64.b64encode(html.encode()).decode()}"


def metadata_of(name: str, version: str, text: str) -> bytes:
    """Core metadata with this text in every field that takes words."""
    at_most = text[:100_000]
    line = at_most.replace("\r", " ").replace("\n", "\n        ")
    fields = [
        *("Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", f"Summary: {line}", f"Keywords: {line},b"),
        *(f"Author: {line}", f"Author-email: {line} <a@e.example>", f"Maintainer: {line}", f"Maintainer-email: {line}"),
        *(f"License: {line}", f"Classifier: {line}", f"Classifier: Topic :: {line}", f"Home-page: {line}"),
        *(f"Download-URL: {line}", f"Project-URL: {line}, https://e.example/", f"Project-URL: Documentation, {line}"),
        f"Project-URL: Data, {in_data_address('<script>ran()</script>')}",
        f"Project-URL: Quoted, https://e.example/{line}",
        *(f"Requires-External: {line}", f"Platform: {line}", "Requires-Dist: hostile-00>=1"),
        f"Requires-Dist: e @ https://e.example/{''.join(line.split())[:900]}",
    ]
    out = io.BytesIO()
    out.write("\n".join(fields).encode("utf-8", "surrogatepass"))
    out.write(f"\n\n{text}\n".encode())
    return out.getvalue()
