/* Requests to our own server: the CSRF token goes along, and a refusal becomes an error with the server's sentence. */

import { text } from "./texts.js";

// The server itself answers within 2 s, whatever the engine does; past this the network is gone.
const PATIENCE_MS = 8000;

export class Refused extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

/* Sends, and gives the answer. Throws `Refused` with a sentence for people. */
export async function send(url, { method = "GET", body, accept = "application/json" } = {}) {
  // Over plain HTTP browsers do not say by themselves that a script asks.
  const headers = { Accept: accept, "X-Requested-With": "fetch" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRF-Token"] = document.querySelector("meta[name=csrf-token]")?.content ?? "";
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new Refused(text("no_answer"), 0);
  }
  if (answer.status === 401) {
    location.reload(); // signed out meanwhile: the server asks to sign in, and leads back here
    throw new Refused(text("signed_out"), 401);
  }
  if (!answer.ok) throw new Refused(await sentenceOf(answer), answer.status);
  return answer;
}

async function sentenceOf(answer) {
  if (answer.headers.get("Content-Type")?.includes("json")) {
    const problem = await answer.json().catch(() => ({}));
    if (problem.detail || problem.title) return problem.detail || problem.title;
  }
  return text("refused", { status: answer.status });
}
