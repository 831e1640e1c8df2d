/* A list that is searched while one types: the table is fetched anew and put in place of the old one.

   The search box keeps the focus and the cursor, and what is asked for stands in the address. Without a script, or
   when the server does not answer, Enter does the same with a new page.
*/

import { send } from "./requests.js";

const PAUSE_MS = 200;

const form = document.querySelector("[data-filters]");
const box = form?.querySelector("[data-search]");
let waiting = 0;
let latest = 0;

function address() {
  // Not form.action: a filter may be called so.
  const asked = new URL(form.getAttribute("action"), location.href);
  for (const [name, value] of new FormData(form)) if (value !== "") asked.searchParams.append(name, value);
  return asked;
}

async function find() {
  const number = ++latest;
  const url = address();
  const found = await send(url, { accept: "text/html" }).then((answer) => answer.text(), () => undefined);
  if (found === undefined || number !== latest) return;
  const next = new DOMParser().parseFromString(found, "text/html").querySelector("[data-results]");
  if (!next) return;
  document.querySelector("[data-results]").replaceWith(document.adoptNode(next));
  history.replaceState(history.state, "", url);
}

box?.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(find, PAUSE_MS);
});
