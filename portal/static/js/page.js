/* What every page has: Tabler's own components (menus, dropdowns), the button for light or dark, the question before
   what cannot be undone, filters that search by themselves, and the key / for the search box.
*/

import "../vendor/tabler.esm.min.js";
import { askBeforeSubmitting } from "./confirm.js";

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

askBeforeSubmitting();

for (const form of document.querySelectorAll("[data-filters]")) {
  form.addEventListener("change", (event) => {
    if (event.target.matches("select, [type=date], [type=checkbox]")) form.requestSubmit();
  });
  // What is empty says nothing: addresses that are passed on stay short.
  form.addEventListener("formdata", ({ formData }) => {
    for (const [name, value] of [...formData]) if (value === "") formData.delete(name);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, [contenteditable]")) return;
  const box = document.querySelector("[data-search]");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});
