/* Proposes what may be meant: an input with `list` and `data-complete="/address"` gets its datalist from there.

   The answer to `?text=` is {"items": [{"login", "name"}]}; the login is what the input then holds. Without a script,
   or without an answer, the login is typed in full.
*/

import { send } from "./requests.js";

const PAUSE_MS = 150;

for (const input of document.querySelectorAll("input[data-complete]")) {
  const list = input.list;
  let waiting = 0;
  let latest = 0;

  const propose = async () => {
    const text = input.value.trim();
    // What was chosen needs no proposals.
    if (!text || [...list.options].some((option) => option.value === text)) return;
    const number = ++latest;
    const address = new URL(input.dataset.complete, location.href);
    address.searchParams.set("text", text);
    const items = await send(address).then((answer) => answer.json(), () => ({ items: [] })).then((found) => found.items);
    if (number !== latest) return;
    list.replaceChildren(
      ...items.map(({ login, name }) => Object.assign(document.createElement("option"), { value: login, label: name || login })),
    );
  };

  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(propose, PAUSE_MS);
  });
}
