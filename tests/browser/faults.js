/* All that hostile content has brought into the page that is shown, in words. `isOurs`: a page of the web interface.
   `isTyped`: a page that gives back what its reader typed, in fields. */
(asked) => {
    "use strict";
    const { isOurs, isTyped } = asked;
    const faults = [], own = location.origin, all = [...document.querySelectorAll("*")];
    const found = (fault, each) => faults.push(`${fault}: ${each.outerHTML.slice(0, 160)}`);
    const ELEMENTS = new Set([
        ..."style iframe frame frameset object embed base applet portal template dialog math".split(" "),
        ..."video audio picture marquee slot plaintext xmp noembed noframes".split(" "),
    ]);
    const PARTS = new Set("form input button select textarea main header footer nav h1 img svg script title".split(" "));
    const ADDRESSES = new Set(["href", "src", "action", "xlink:href", "data", "poster", "srcset", "background"]);
    const RUNS = /^[\s\x00-\x20]*(javascript|vbscript|data|blob|file|view-source)\s*:/i;
    const INVISIBLE = new RegExp("[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f"
        + "\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\u3164]");

    for (const each of all) {
        const tag = each.localName;
        if (ELEMENTS.has(tag)) { found("an element", each); }
        if (tag === "script" && (!each.getAttribute("src")?.includes("/-/static/") || each.textContent)) { found("a script", each); }
        if (tag === "img" && !each.src.includes("/-/static/")) { found("an image", each); }
        if (tag === "svg" && each.getAttribute("aria-hidden") !== "true") { found("a drawing", each); }
        if (tag === "link" && !/^(stylesheet|icon)$/.test(each.rel)) { found("a link", each); }
        if (tag === "meta" && each.httpEquiv) { found("a header", each); }
        if (tag === "form" && !new URL(each.getAttribute("action") ?? "", location).href.startsWith(`${own}/`)) {
            found("a form", each);
        }
        if (tag === "a" && /^https?:/.test(each.href) && !each.href.startsWith(`${own}/`)
            && each.rel !== "nofollow noopener noreferrer") { found("a link to another site", each); }
        for (const { name, value } of each.attributes) {
            if (/^on|^hx-on|^(style|srcdoc|formaction|ping)$/i.test(name)) { found(`the attribute ${name}`, each); }
            if (ADDRESSES.has(name) && RUNS.test(value) && value !== "data:,") { found("an address", each); }
        }
    }
    const ids = all.map((each) => each.id).filter(Boolean);
    for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) { faults.push(`the id ${id} twice`); }
    for (const each of document.querySelectorAll(".readme *")) {
        if (PARTS.has(each.localName)) { found("in a README", each); }
        if (each.id && !each.id.startsWith("user-content-")) { found("an id", each); }
        const isText = each.matches(".readme > pre.plain, .readme > p.muted"); /* the page's own, around plain text */
        if (!isText && [...each.classList].some((name) => !name.startsWith("r-"))) { found("a class", each); }
        if ([...each.attributes].some(({ name }) => /^(hx-|data-|aria-|name$|role$)/.test(name))) { found("an attribute", each); }
    }
    /* the values of hidden fields are shown nowhere, and the server compares them with what it has */
    const copy = document.documentElement.cloneNode(true);
    copy.querySelectorAll(isTyped ? "input, textarea" : "input[type=hidden]").forEach((each) => each.remove());
    const html = copy.outerHTML;
    const hidden = INVISIBLE.exec(html);
    if (hidden) {
        const around = html.slice(Math.max(0, hidden.index - 80), hidden.index + 20);
        faults.push(`an invisible character: ${JSON.stringify(around)}`);
    }
    if (/ranran|root:x:0/.test(document.body.textContent)) { faults.push("a template ran, or a file was read"); }
    if (isOurs) {
        const order = [...document.body.children].map((each) => each.localName + (each.id && `#${each.id}`)).join(" ");
        if (order !== "a header main#main footer") { faults.push(`other parts: ${order}`); }
        if (document.querySelectorAll("h1").length !== 1) { faults.push("not one heading of the page"); }
        if (!document.title || document.querySelectorAll("title").length !== 1) { faults.push("not one title"); }
    }
    return faults;
}
