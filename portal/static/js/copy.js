/* Buttons that copy what is shown once: data-copy names the element, data-done says that it is done. Without a clipboard
   they stay hidden. */

for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.querySelector(button.dataset.copy);
  if (!source || !navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const items = [...source.querySelectorAll("li")];
    const copied = items.length ? items.map((item) => item.textContent.trim()).join("\n") : source.textContent.trim();
    await navigator.clipboard.writeText(copied);
    button.lastChild.textContent = button.dataset.done;
  });
}
