/* Small comforts for pages that work without them: copy buttons, the choice of dark or light, "/" for the search. */
(function () {
  "use strict";
  const root = document.documentElement;

  /* The choice is kept by the browser alone. Read before the page is drawn, so that it never flashes. */
  function themeKept() {
    try { return localStorage.getItem("quire-theme"); } catch { return null; }
  }
  function setTheme(theme) {
    if (theme === "dark" || theme === "light") { root.dataset.theme = theme; } else { delete root.dataset.theme; }
  }
  setTheme(themeKept());

  function isDark() {
    const chosen = root.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const text = button.dataset.text ?? source?.textContent ?? "";
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      /* Without https there is no clipboard: select the text, for the keyboard. */
      if (!source) { return; }
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) { return; }
    }
    const label = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = label; }, 1500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy], button[data-text], button[data-theme-toggle]");
    if (!button) { return; }
    if ("themeToggle" in button.dataset) {
      const theme = isDark() ? "light" : "dark";
      setTheme(theme);
      try { localStorage.setItem("quire-theme", theme); } catch { /* for this page alone, then */ }
    } else {
      copy(button);
    }
  });

  /* A form whose answer is shown once is sent once, until its page is shown again. */
  function allow(form, allowed) {
    for (const button of form.querySelectorAll("button")) { button.disabled = !allowed; }
  }
  document.addEventListener("submit", (event) => {
    if ("once" in event.target.dataset) { setTimeout(() => { allow(event.target, false); }); }
  });
  addEventListener("pageshow", () => { document.querySelectorAll("form[data-once]").forEach((form) => { allow(form, true); }); });

  /* A page that the browser has kept whole may be of a user that has logged out since: it is asked for again. */
  addEventListener("pageshow", (event) => {
    if (event.persisted && document.querySelector("header nav a[href$='/-/account/']")) { location.reload(); }
  });

  document.addEventListener("keydown", (event) => {
    const inField = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || inField || event.ctrlKey || event.metaKey || event.altKey) { return; }
    const search = document.querySelector("input[type=search]");
    if (search) { event.preventDefault(); search.focus(); search.select(); }
  });

  /* Controls that do nothing without scripts are hidden by the style sheet until this is there. */
  root.classList.add("scripted");
})();
