/* The player of a finished recording: two waveforms on one time axis, from stored peaks, over a native audio element.

   The browser decodes nothing to draw; it streams the file by ranges while it plays. Pauses are marked bands.
   The controls come disabled from the server, until this script is there to obey them.
   Keys: space plays, arrows seek 5 s (with shift 30 s), [ and ] change the speed.
*/

import HoverPlugin from "../vendor/wavesurfer-hover.js";
import RegionsPlugin from "../vendor/wavesurfer-regions.js";
import TimelinePlugin from "../vendor/wavesurfer-timeline.js";
import WaveSurfer from "../vendor/wavesurfer.js";
import { duration } from "./clock.js";
import { send } from "./requests.js";
import { text } from "./texts.js";

const SEEK_S = 5;
const LONG_SEEK_S = 30;
// Below this width of the page each side gets less height.
const PHONE_PX = 576;
const SIDE_HEIGHT_PX = { phone: 44, desktop: 64 };
// A recording of whispers is drawn no larger than this many times its size: its noise would look like speech.
const QUIETEST_PEAK = 0.2;
// Marks on the time axis lie no closer than this.
const MARK_PX = 80;
// A band narrower than this has no room for its word.
const WORD_PX = 60;
const MARKS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

export class Player {
  constructor(root, signal) {
    this.root = root;
    this.audio = root.querySelector("audio");
    this.total_s = Number(root.dataset.duration);
    this.speeds = [...this.part("speed").options].map((option) => Number(option.value));
    this.signal = signal;
    this.controls();
    this.draw().catch((error) => this.complain(error.message));
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  controls() {
    const { audio, signal } = this;
    const on = (target, event, act) => target.addEventListener(event, act, { signal });
    on(this.part("play"), "click", () => this.toggle());
    for (const button of this.root.querySelectorAll("[data-seek]")) {
      on(button, "click", () => this.seek(audio.currentTime + Number(button.dataset.seek)));
    }
    on(this.part("speed"), "change", (event) => this.speed(Number(event.target.value)));
    for (const event of ["play", "pause", "ended"]) {
      on(audio, event, () => {
        this.root.dataset.playing = String(!audio.paused);
        this.part("play").setAttribute("aria-label", text(audio.paused ? "play" : "pause_playing"));
      });
    }
    on(audio, "timeupdate", () => this.tell());
    on(audio, "seeking", () => this.tell());
    on(audio, "error", () => this.complain(text("audio_failed")));
    on(document, "keydown", (event) => this.key(event));
    for (const jump of document.querySelectorAll("[data-jump]")) {
      on(jump, "click", () => {
        this.seek(Number(jump.dataset.jump));
        this.play();
      });
    }
    this.tell();
    for (const control of this.root.querySelectorAll("button, select")) control.disabled = false;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, [contenteditable], .dropdown-menu")) return;
    if (event.key === " " && event.target.closest("button, a")) return;
    const far_s = event.shiftKey ? LONG_SEEK_S : SEEK_S;
    if (event.key === " ") this.toggle();
    else if (event.key === "ArrowLeft") this.seek(this.audio.currentTime - far_s);
    else if (event.key === "ArrowRight") this.seek(this.audio.currentTime + far_s);
    else if (event.key === "[") this.nextSpeed(-1);
    else if (event.key === "]") this.nextSpeed(1);
    else return;
    event.preventDefault();
  }

  toggle() {
    if (this.audio.paused) this.play();
    else this.audio.pause();
  }

  play() {
    const pressed = performance.now();
    const heard = () => (this.root.dataset.firstSoundMs = Math.round(performance.now() - pressed));
    this.audio.addEventListener("playing", heard, { once: true });
    this.audio.play().catch((error) => {
      if (error.name !== "AbortError") this.complain(text("audio_failed"));
    });
  }

  seek(to_s) {
    this.audio.currentTime = Math.max(0, Math.min(this.total_s, to_s));
    this.tell();
  }

  nextSpeed(step) {
    const at = this.speeds.indexOf(this.audio.playbackRate) + step;
    if (at >= 0 && at < this.speeds.length) this.speed(this.speeds[at]);
  }

  speed(rate) {
    this.audio.preservesPitch = true;
    this.audio.playbackRate = rate;
    this.part("speed").value = String(rate);
  }

  tell() {
    this.part("time").textContent = duration(this.audio.currentTime);
  }

  async draw() {
    const peaks = await (await send(this.root.dataset.peaks)).json();
    const style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const wide = window.innerWidth >= PHONE_PX;
    const height = wide ? SIDE_HEIGHT_PX.desktop : SIDE_HEIGHT_PX.phone;
    const side = (name) => ({
      waveColor: colour(`--side-${name}-soft`),
      progressColor: colour(`--side-${name}`),
      height,
    });
    const loudest = [...peaks.caller, ...peaks.callee].reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const regions = RegionsPlugin.create();
    this.wave = WaveSurfer.create({
      container: this.part("wave"),
      media: this.audio,
      peaks: [peaks.caller, peaks.callee],
      duration: this.total_s,
      splitChannels: [side("caller"), side("callee")],
      normalize: true,
      maxPeak: Math.max(loudest, QUIETEST_PEAK),
      height,
      barWidth: 2,
      barGap: 1,
      barRadius: 1,
      cursorWidth: 2,
      cursorColor: colour("--tblr-body-color"),
      dragToSeek: true,
      cspNonce: document.querySelector("meta[name=style-nonce]").content,
      plugins: [
        regions,
        // Marks are sums of fractions: 3.9999 is 0:04.
        TimelinePlugin.create({ ...this.marks(), height: 18, formatTimeCallback: (s) => duration(Math.round(s)) }),
        HoverPlugin.create({
          formatTimeCallback: duration,
          lineColor: colour("--tblr-secondary"),
          labelBackground: colour("--tblr-body-color"),
          labelColor: colour("--tblr-body-bg"),
        }),
      ],
    });
    this.signal.addEventListener("abort", () => this.wave.destroy());
    this.wave.on("ready", () => this.wave.setTime(this.audio.currentTime)); // somebody may have sought already
    // Not before: nothing of the audio is fetched until somebody plays it, and a band needs to know how long it is.
    this.wave.once("ready", () => {
      for (const band of JSON.parse(this.root.dataset.bands)) {
        const roomy = ((band.end - band.start) / this.total_s) * this.part("wave").clientWidth > WORD_PX;
        const content = roomy ? text("paused") : undefined;
        regions.addRegion({ ...band, content, color: colour("--pause-band"), drag: false, resize: false });
      }
    });
    this.part("wave").classList.remove("placeholder");
  }

  marks() {
    const most = Math.max(2, Math.floor(this.part("wave").clientWidth / MARK_PX));
    const each = MARKS_S.find((s) => this.total_s / s <= most) ?? MARKS_S.at(-1);
    return { timeInterval: each / 5, primaryLabelInterval: each, secondaryLabelInterval: each };
  }

  complain(sentence) {
    this.part("complaint").hidden = false;
    this.part("complaint").textContent = sentence;
  }
}
