/* The page of one call: sets up its live card or its player, and turns the page over when the call moves on.

   Active, being finished, finished: the server renders each; this asks where the call is, and fetches the page anew.
*/

import { keepTicking } from "./clock.js";
import { LiveCard } from "./live.js";
import { Player } from "./player.js";
import { send } from "./requests.js";

const ASK_MS = 2000;

let setup = new AbortController();
let live = null;

function start() {
  setup = new AbortController();
  const page = document.getElementById("call");
  const card = page.querySelector("[data-live]");
  const player = page.querySelector("[data-player]");
  live = card ? new LiveCard(card, setup.signal, turn) : null;
  if (player) new Player(player, setup.signal);
}

/* Replaces the page's content by what the server renders now. */
async function turn() {
  const answer = await send(location.href, { accept: "text/html" });
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("call");
  if (!next) return;
  setup.abort();
  document.getElementById("call").replaceWith(document.adoptNode(next));
  start();
}

async function ask() {
  const page = document.getElementById("call");
  if (document.hidden || page.dataset.stage === "finished") return;
  const call = await (await send(page.dataset.api)).json();
  if (call.state !== page.dataset.stage) await turn();
  else live?.follow(call.recording, call.pauses.findLast((pause) => pause.end_s === null));
}

async function follow() {
  await ask().catch(() => {}); // a portal that restarts: the page stays as it is, and asks again
  setTimeout(follow, ASK_MS);
}

start();
keepTicking();
setTimeout(follow, ASK_MS);
document.addEventListener("visibilitychange", () => ask().catch(() => {}));
