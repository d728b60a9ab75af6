"use strict";
// Light or dark: as the reader's system has it, until the button says otherwise. Remembered where the browser allows it.
(() => {
  const root = document.documentElement;
  const key = "maskcorrect-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  try {
    const kept = localStorage.getItem(key);
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch { /* no storage for this page */ }

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", String(isDark()));
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem(key, root.dataset.theme); } catch { /* no storage for this page */ }
      show();
    });
    system.addEventListener("change", show);
    show();
  });
})();
