/* The card of a call that runs: its state, Pause and Resume, Listen, and a level meter for each side.

   What the card says follows `data-recording` on it (the style sheet shows one of the two sets of sentences).
   Its buttons come disabled from the server: a press before this script is there would be lost.
   Not here: the audio (`listener.js`), the change to another page when the call ends (`call.js`).
*/

import { duration, now } from "./clock.js";
import { watchLevels } from "./levels.js";
import { canListen, Listener } from "./listener.js";
import { Meter } from "./meters.js";
import { send } from "./requests.js";
import { text } from "./texts.js";

// The database follows the engine's answer within a second or two; an older state from there is not believed.
const ANSWER_HOLDS_MS = 5000;
// Who paused when it was no person.
const PHONE_SYSTEM = "phone-system";

const who = (by) => (by === PHONE_SYSTEM ? text("phone_system") : by || text("somebody"));

export class LiveCard {
  constructor(card, signal, changed) {
    this.card = card;
    this.call = card.dataset.call;
    this.changed = changed; // told when the call has ended
    this.answered_at = -Infinity;
    for (const button of card.querySelectorAll("[data-put]")) {
      button.addEventListener("click", () => this.put(button.dataset.put));
      button.disabled = false;
    }
    this.listen_button = card.querySelector("[data-listen]");
    if (this.listen_button) this.offerListening(signal);
    const meters = [...card.querySelectorAll("[data-meter]")].map((element) => new Meter(element));
    if (meters.length) {
      const show = (levels) => levels[this.call]?.forEach((level, side) => meters[side].set(level));
      watchLevels([this.call], show, signal);
    }
    signal.addEventListener("abort", () => this.listener?.stop());
  }

  /* Shows a state, and since when where it is a pause. `at_s`: position of the pause on the call's clock. */
  show(recording, at_s, by) {
    const { dataset } = this.card;
    if (dataset.recording === recording) return;
    dataset.recording = recording;
    if (recording === "paused") {
      this.part("since").textContent = text("paused_since", { position: duration(at_s), by: who(by) });
      this.part("paused-for").dataset.since = now() - Math.max(0, this.position_s() - at_s) * 1000;
    }
    this.part("announcement").textContent = text(recording === "paused" ? "is_paused" : "is_recording");
  }

  /* What the database says. */
  follow(recording, pause) {
    if (performance.now() - this.answered_at < ANSWER_HOLDS_MS) return;
    this.show(recording, pause?.start_s ?? this.position_s(), pause?.by);
  }

  async put(state) {
    const buttons = [...this.card.querySelectorAll("[data-put]")];
    for (const button of buttons) button.disabled = true;
    this.card.classList.add("live-card-asking");
    this.complain("");
    try {
      const url = `/api/v1/calls/${this.call}/recording`;
      const answer = await (await send(url, { method: "PUT", body: { state } })).json();
      this.answered_at = performance.now();
      this.show(answer.state, answer.position_s, this.card.dataset.login);
    } catch (error) {
      this.complain(error.message);
    } finally {
      this.card.classList.remove("live-card-asking");
      for (const button of buttons) button.disabled = false;
      this.card.querySelector(`[data-put="${this.card.dataset.recording === "paused" ? "recording" : "paused"}"]`)?.focus();
    }
  }

  offerListening(signal) {
    if (!canListen()) {
      this.part("insecure").hidden = false;
      return;
    }
    this.listen_button.addEventListener("click", () => (this.listener ? this.stopListening() : this.startListening()), {
      signal,
    });
    this.listen_button.disabled = false;
  }

  startListening() {
    this.complain("");
    this.listening("connecting");
    this.listener = new Listener(this.call, {
      hello: ({ recording, position_s }) => this.heardState(recording, position_s),
      state: ({ recording, at_s, by }) => this.heardState(recording, at_s, by),
      started: (ms) => {
        this.card.dataset.firstSoundMs = Math.round(ms);
        this.listening("playing");
        this.part("delay").replaceChildren();
      },
      status: (status) => this.showDelay(status),
      waiting: (sentence) => this.part("delay").replaceChildren(sentence),
      ended: () => {
        this.stopListening();
        this.changed();
      },
      failed: (sentence) => {
        this.stopListening();
        this.complain(sentence);
      },
    });
  }

  stopListening() {
    this.listener?.stop();
    this.listener = null;
    this.listening("off");
  }

  listening(how) {
    this.card.dataset.listening = how;
    this.listen_button.setAttribute("aria-pressed", how !== "off");
    if (how === "off") this.part("delay").replaceChildren();
    if (how === "connecting") this.part("delay").textContent = text("connecting");
  }

  /* The engine's word, over the websocket: newer than anything the database says. */
  heardState(recording, at_s, by) {
    this.answered_at = performance.now();
    this.show(recording, at_s, by);
  }

  showDelay({ delay_ms, dropped }) {
    if (this.card.dataset.listening === "connecting" && this.card.dataset.recording !== "paused") return;
    const parts = [delay_ms === null ? text("no_sound_now") : text("delay", { ms: Math.round(delay_ms / 10) * 10 })];
    if (dropped) parts.push(text("dropped", { frames: dropped }));
    this.part("delay").textContent = parts.join(" · ");
  }

  complain(sentence) {
    this.part("complaint").hidden = !sentence;
    this.part("complaint-text").textContent = sentence;
  }

  position_s() {
    return (now() - Number(this.card.dataset.started)) / 1000;
  }

  part(name) {
    return this.card.querySelector(`[data-part="${name}"]`);
  }
}
