/* Listening to a call that runs: the websocket, the audio context, and the worklet that plays (`playout.js`).

   A binary frame is (little-endian): version u8, flags u8 (bit 0: a gap before), samples a channel u16, sequence u32,
   position of the first sample in s f64, then interleaved int16, caller and callee (docs/live.md).
*/

import { text } from "./texts.js";

const HEADER_BYTES = 16;
const VERSION = 1;
const GAP = 1;
const RECONNECT_MS = 1000;
const MOST_RECONNECTS = 10;
// The server's own close codes: asking again changes nothing, whatever the reason.
const REASONS = { 4401: "listen_signed_out", 4403: "listen_not_permitted", 4404: "listen_no_call", 4504: "listen_silent" };
const ENDED = 4409;

/* Whether this page may play live audio: browsers have no AudioWorklet outside https and localhost. */
export function canListen() {
  return typeof AudioWorkletNode === "function";
}

/* One press of Listen. `on` is told: hello(message), state(message), started(ms), status({delay_ms, dropped}),
   waiting(sentence), ended(), failed(sentence). */
export class Listener {
  constructor(call, on) {
    this.on = on;
    this.pressed = performance.now();
    this.url = new URL(`/calls/${call}/listen`, location.href);
    this.url.protocol = this.url.protocol.replace("http", "ws");
    this.dropped = 0;
    this.attempts = 0;
    this.waiting = []; // what came before the worklet was there
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.connect();
    this.start().catch((error) => this.fail(text("listen_no_audio", { reason: error.message })));
  }

  async start() {
    await this.context.audioWorklet.addModule(new URL("playout.js", import.meta.url));
    if (this.stopped) return;
    this.node = new AudioWorkletNode(this.context, "playout", { numberOfInputs: 0, outputChannelCount: [2] });
    this.node.port.onmessage = ({ data }) => this.heard(data);
    this.node.connect(this.context.destination);
    for (const message of this.waiting.splice(0)) this.node.port.postMessage(message);
    await this.context.resume();
  }

  connect() {
    this.socket = new WebSocket(this.url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.told(JSON.parse(data)) : this.frame(data));
    this.socket.onclose = ({ code }) => this.closed(code);
  }

  told(message) {
    if (message.type === "hello") {
      this.attempts = 0;
      this.hello = { position_s: message.position_s, at: performance.now() };
      this.post({ hello: { rate_hz: message.rate_hz, frame_ms: message.frame_ms } });
      this.post({ state: message.recording });
      this.on.hello(message);
    } else if (message.type === "state") {
      this.post({ state: message.recording });
      this.on.state(message);
    } else if (message.type === "dropped") {
      this.dropped += message.frames;
    } else if (message.type === "error") {
      this.reason = message.detail || message.title;
    } else if (message.type === "ended") {
      this.ended();
    }
  }

  frame(data) {
    const header = new DataView(data);
    if (header.getUint8(0) !== VERSION) return;
    const frame = new Int16Array(data, HEADER_BYTES, 2 * header.getUint16(2, true));
    const gap = (header.getUint8(1) & GAP) !== 0;
    this.post({ frame, gap, sequence: header.getUint32(4, true), position_s: header.getFloat64(8, true) });
  }

  post(message) {
    if (this.node) this.node.port.postMessage(message);
    else this.waiting.push(message);
  }

  heard({ started, status }) {
    if (started) this.on.started(performance.now() - this.pressed);
    if (!status || !this.hello) return;
    const edge_s = this.hello.position_s + (performance.now() - this.hello.at) / 1000;
    const output_s = this.context.outputLatency || this.context.baseLatency || 0;
    const delay_ms = status.playing ? Math.max(0, edge_s - status.position_s + output_s) * 1000 : null;
    this.on.status({ ...status, delay_ms, dropped: this.dropped });
  }

  closed(code) {
    if (this.stopped) return;
    if (code === ENDED) {
      this.ended();
    } else if (code in REASONS || ++this.attempts > MOST_RECONNECTS) {
      this.fail(this.reason || text(REASONS[code] ?? "listen_lost"));
    } else {
      this.on.waiting(text("listen_again"));
      this.retry = setTimeout(() => this.connect(), RECONNECT_MS);
    }
  }

  ended() {
    if (this.stopped) return;
    this.stop();
    this.on.ended();
  }

  fail(sentence) {
    if (this.stopped) return;
    this.stop();
    this.on.failed(sentence);
  }

  /* Stops listening; nothing is told after this. */
  stop() {
    if (this.stopped) return;
    this.stopped = true;
    clearTimeout(this.retry);
    this.socket.close();
    this.context.close();
  }
}
