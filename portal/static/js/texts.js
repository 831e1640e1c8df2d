/* The page's translated texts: JSON blocks that the server wrote, one for requests on every page, and the page's own.
   No sentence for people stands in a script. */

const block = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "{}");
const texts = { ...block("texts-of-requests"), ...block("texts") };

/* The text of this name, with `{words}` filled in. */
export function text(name, words = {}) {
  const found = texts[name];
  if (found === undefined) throw new Error(`The page has no text "${name}".`);
  return found.replace(/\{(\w+)\}/g, (_, word) => words[word] ?? "");
}
