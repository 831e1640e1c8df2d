/* The list of calls: refreshes itself without losing place or focus, and can be walked with the keyboard.

   j and k move from row to row, Enter opens; a press anywhere on a row opens it as its link does.
*/

import { keepTicking } from "./clock.js";
import { send } from "./requests.js";

const REFRESH_MS = 5000;

const list = () => document.getElementById("calls");
const rows = () => [...list().querySelectorAll("[data-row]")];
const link = (row) => row.querySelector("[data-open]");

function move(step) {
  const all = rows();
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
  if (next) link(next).focus();
}

function open(event) {
  const row = event.target.closest("[data-row]");
  if (!row || event.target.closest("a, button") || getSelection().toString()) return;
  if (event.metaKey || event.ctrlKey || event.button === 1) window.open(link(row).href, "_blank", "noopener");
  else link(row).click();
}

/* Fetches the table anew and puts it in place of the old one; the focused row keeps the focus. */
async function refresh() {
  if (document.hidden || getSelection().toString()) return;
  const url = list().dataset.refresh;
  const fresh = await (await send(url, { accept: "text/html" })).text();
  if (url !== list().dataset.refresh) return;
  const next = new DOMParser().parseFromString(fresh, "text/html").getElementById("calls");
  if (!next || next.innerHTML === list().innerHTML) return;
  const focused = document.activeElement?.closest("[data-row]")?.dataset.row;
  list().replaceWith(document.adoptNode(next));
  if (focused) link(list().querySelector(`[data-row="${focused}"]`) ?? list())?.focus({ preventScroll: true });
}

async function follow() {
  await refresh().catch(() => {}); // a portal that restarts: the list stays as it is, and asks again
  setTimeout(follow, REFRESH_MS);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
});
document.addEventListener("click", open);
document.addEventListener("auxclick", open);
document.addEventListener("visibilitychange", () => refresh().catch(() => {}));
keepTicking();
setTimeout(follow, REFRESH_MS);
