/* A box that leaves of what stands on the page only what has all its words: `data-sift="#where"` on the box,
   `data-sift-item` on what is left or hidden, `data-sift-group` around items that hide together with the last of them.

   Accents and upper case count for nothing. Enter opens the first that is left.
*/

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase();

for (const box of document.querySelectorAll("[data-sift]")) {
  const place = document.querySelector(box.dataset.sift);
  const items = [...place.querySelectorAll("[data-sift-item]")];
  const groups = [...place.querySelectorAll("[data-sift-group]")];
  const nothing = place.querySelector("[data-sift-nothing]");

  const sift = () => {
    const words = plain(box.value).split(/\s+/).filter(Boolean);
    for (const item of items) {
      const said = plain(item.textContent);
      item.hidden = !words.every((word) => said.includes(word));
    }
    for (const group of groups) group.hidden = !group.querySelector("[data-sift-item]:not([hidden])");
    nothing.hidden = items.some((item) => !item.hidden);
  };

  box.addEventListener("input", sift);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") items.find((item) => !item.hidden)?.querySelector("a")?.click();
    if (event.key !== "Escape") return;
    box.value = "";
    sift();
  });
  sift(); // a browser that comes back keeps what was typed
}
