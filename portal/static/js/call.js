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

/* Replaces a part of the page, by its id, by what the server renders of it now. */
async function renew(id) {
  const answer = await send(location.href, { accept: "text/html" });
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
  if (next) document.getElementById(id).replaceWith(document.adoptNode(next));
}

/* The call is at another stage: everything is another. */
async function turn() {
  await renew("call");
  setup.abort();
  start();
}

async function ask() {
  const page = document.getElementById("call");
  if (document.hidden || page.dataset.stage === "finished") return;
  const call = await (await send(page.dataset.api)).json();
  if (call.state !== page.dataset.stage) {
    await turn();
    return;
  }
  live?.follow(call.recording, call.pauses.findLast((pause) => pause.end_s === null));
  const over = call.pauses.filter((pause) => pause.end_s !== null);
  const told = document.getElementById("facts").dataset.pauses;
  if (told !== `${over.length} of ${call.pauses.length}`) await renew("facts");
}

async function follow() {
  await ask().catch(() => {}); // a portal that restarts: the page stays as it is, and asks again
  setTimeout(follow, ASK_MS);
}

start();
keepTicking();
setTimeout(follow, ASK_MS);
document.addEventListener("visibilitychange", () => ask().catch(() => {}));
