/* Rows of a form of which there may be any number: `[data-repeat]` holds them, each a `[data-repeat-row]`.

   Without a script there is an empty row to fill in, and a row that is emptied is gone: the server leaves such rows out.
*/

for (const group of document.querySelectorAll("[data-repeat]")) {
  const rows = () => [...group.querySelectorAll("[data-repeat-row]")];
  const blank = rows().at(-1).cloneNode(true);
  const add = group.querySelector("[data-repeat-add]");

  const emptied = (row) => {
    for (const input of row.querySelectorAll("input")) input.value = "";
    return row;
  };
  const show = () => {
    for (const row of rows()) row.querySelector("[data-repeat-remove]").hidden = rows().length === 1;
  };

  emptied(blank);
  add.hidden = false;
  show();
  add.addEventListener("click", () => {
    const row = blank.cloneNode(true);
    rows().at(-1).after(row);
    show();
    row.querySelector("input").focus();
  });
  group.addEventListener("click", (event) => {
    const remove = event.target.closest("[data-repeat-remove]");
    if (!remove) return;
    const row = remove.closest("[data-repeat-row]");
    const neighbour = row.previousElementSibling?.matches("[data-repeat-row]") ? row.previousElementSibling : row.nextElementSibling;
    if (rows().length > 1) row.remove();
    else emptied(row);
    show();
    neighbour.querySelector("input, button")?.focus();
  });
}
