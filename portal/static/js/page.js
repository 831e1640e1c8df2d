/* What every page has: Tabler's own components (menus, dropdowns), and the button for light or dark. */

import "../vendor/tabler.esm.min.js";

for (const button of document.querySelectorAll("[data-theme-toggle]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const theme = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
    document.documentElement.dataset.bsTheme = theme;
    try {
      localStorage.setItem("earshot-theme", theme);
    } catch {
      // storage is blocked: it holds for this page
    }
  });
}
