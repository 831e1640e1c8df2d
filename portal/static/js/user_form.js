/* The form of a user: further inputs for phones and for whom one manages, and only what the choices call for.

   What is hidden keeps its values, so that a choice can be taken back.
*/

const form = document.querySelector("[data-user-form]");

for (const group of form.querySelectorAll("[data-several]")) {
  const inputs = group.querySelector("[data-part=inputs]");
  const add = group.querySelector("[data-part=add]");
  add.hidden = false;
  add.addEventListener("click", () => {
    const another = inputs.lastElementChild.cloneNode();
    another.value = "";
    another.classList.remove("is-invalid");
    inputs.append(another);
    another.focus();
  });
}

function show() {
  const role = form.elements.role;
  const manages = role.dataset.managing.split(" ").includes(role.value);
  form.querySelector("[data-part=managing]").hidden = !manages;
  const password = form.querySelector("[data-part=password]");
  if (password) password.hidden = form.elements.authentication.value !== "password";
  const first = form.elements.first_access;
  if (first) form.elements.password.closest(".mb-3").hidden = first.value !== "password";
}

form.addEventListener("change", show);
show();
