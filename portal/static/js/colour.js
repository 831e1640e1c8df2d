/* The field for a colour: chooses one, and shows at once how it looks on light and on dark pages.

   What becomes of a colour so that it can be read is the server's to say: the preview asks it.
*/

import { send } from "./requests.js";

const PAUSE_MS = 120;
const COLOUR = /^#[0-9a-f]{6}$/i;

for (const field of document.querySelectorAll("[data-colour]")) {
  const part = (name) => field.querySelector(`[data-part=${name}]`);
  const typed = field.querySelector("[name=colour]");
  const [picker, clear, told] = [part("picker"), part("clear"), part("told")];
  let waiting = 0;
  let latest = 0;

  const show = async () => {
    const number = ++latest;
    const address = new URL(field.dataset.colour, location.href);
    address.searchParams.set("colour", typed.value.trim());
    const shades = await send(address).then(
      (answer) => answer.json(),
      () => null,
    );
    if (shades === null || number !== latest) return;
    for (const theme of ["light", "dark"]) {
      part(theme).style.setProperty("--chosen", shades[theme]);
      part(theme).style.setProperty("--chosen-ink", shades[`on_${theme}`]);
    }
    told.textContent = shades.told;
  };

  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, PAUSE_MS);
  };

  for (const control of [picker, clear]) control.hidden = false;
  picker.addEventListener("input", () => {
    typed.value = picker.value;
    soon();
  });
  typed.addEventListener("input", () => {
    if (COLOUR.test(typed.value.trim())) picker.value = typed.value.trim();
    soon();
  });
  clear.addEventListener("click", () => {
    typed.value = "";
    soon();
  });
}
