/* Asks before what cannot be undone: a form or a button with `data-confirm="Delete the group Support?"`.

   The question stands in the page's dialog, which keeps the focus and gives it back; Cancel has it first, so that
   Enter twice deletes nothing. `data-confirm-button` is what the button that goes on says.
*/

const dialog = document.getElementById("confirm");
const agreed = new WeakSet();

export function askBeforeSubmitting() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const asks = event.submitter?.closest("[data-confirm]") ?? form.closest("[data-confirm]");
    if (!asks || agreed.delete(form)) return;
    event.preventDefault();
    document.getElementById("confirm-question").textContent = asks.dataset.confirm;
    const yes = dialog.querySelector("[data-part=yes]");
    yes.textContent = asks.dataset.confirmButton ?? event.submitter?.textContent.trim() ?? "";
    dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener(
      "close",
      () => {
        if (dialog.returnValue !== "yes") return;
        agreed.add(form);
        form.requestSubmit(event.submitter);
      },
      { once: true },
    );
  });
}
