/* The page's translated texts: a JSON block that the server wrote. No sentence for people stands in a script. */

const texts = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");

/* The text of this name, with `{words}` filled in. */
export function text(name, words = {}) {
  const found = texts[name];
  if (found === undefined) throw new Error(`The page has no text "${name}".`);
  return found.replace(/\{(\w+)\}/g, (_, word) => words[word] ?? "");
}
