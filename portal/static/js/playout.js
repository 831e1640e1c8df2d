/* The audio thread's half of live listening: a small jitter buffer and a resampler for both sides of a call.

   Frames come through the port as they arrived; silence goes out where there are none. The caller is on the left,
   the callee on the right. Not here: the websocket, positions shown to people (`listener.js`).

   In:  {frame: Int16Array (interleaved caller, callee), gap: bool, sequence, position_s} | {hello: {rate_hz, frame_ms}}
        | {state: "recording" | "paused"}
   Out: {status: {position_s, buffered_ms, underruns, skipped_ms}} four times a second, {started: true} at the first sound
*/

// Enough for the jitter of a local network. A frame comes whole, so half of one is needed beside it.
const LEAST_DELAY_MS = 60;
// Beyond this the buffer is not trimmed by playing faster any more: what is too late is skipped.
const MOST_DELAY_MS = 400;
const RING_S = 4;
// How much faster or slower the buffer is played to stay near its target: nobody hears one per cent in speech.
const MOST_STRETCH = 0.01;
// Zero crossings of the interpolating sinc on each side, and its table's steps between two samples.
const LOBES = 8;
const PHASES = 64;
const STATUS_S = 0.25;

const kernel = makeKernel();

/* A Hann-windowed sinc: row `phase` holds the weights of the 2 * LOBES samples around a point. */
function makeKernel() {
  const rows = new Float32Array((PHASES + 1) * 2 * LOBES);
  for (let phase = 0; phase <= PHASES; phase++) {
    for (let tap = 0; tap < 2 * LOBES; tap++) {
      const x = tap - (LOBES - 1) - phase / PHASES;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
      const hann = Math.abs(x) >= LOBES ? 0 : 0.5 * (1 + Math.cos((Math.PI * x) / LOBES));
      rows[phase * 2 * LOBES + tap] = sinc * hann;
    }
  }
  return rows;
}

class Playout extends AudioWorkletProcessor {
  constructor() {
    super();
    this.reset({ rate_hz: 8000, frame_ms: 20 });
    this.port.onmessage = ({ data }) => this.take(data);
  }

  reset({ rate_hz, frame_ms }) {
    this.rate_hz = rate_hz;
    this.target = ((LEAST_DELAY_MS + frame_ms) * rate_hz) / 1000;
    this.most = this.target + (MOST_DELAY_MS * rate_hz) / 1000;
    this.size = RING_S * rate_hz;
    this.ring = [new Float32Array(this.size), new Float32Array(this.size)];
    this.written = 0; // samples ever written; the ring holds the last `size` of them
    this.read = 0; // where playing is, in the same count, with a fraction
    this.level = this.target; // the buffer's level, smoothed
    this.playing = false;
    this.started = false;
    this.paused = false;
    this.edge_s = 0; // position of the sample `written`
    this.underruns = 0;
    this.skipped_ms = 0;
    this.until_status = 0;
  }

  take({ frame, position_s, hello, state }) {
    if (hello) this.reset(hello);
    if (state) this.paused = state === "paused";
    if (!frame) return;
    const samples = frame.length / 2;
    for (let i = 0; i < samples; i++) {
      const at = this.written % this.size;
      this.ring[0][at] = frame[2 * i] / 32768;
      this.ring[1][at] = frame[2 * i + 1] / 32768;
      this.written++;
    }
    this.edge_s = position_s + samples / this.rate_hz;
    if (this.written - this.read > this.most) {
      this.skipped_ms += ((this.written - this.target - this.read) * 1000) / this.rate_hz;
      this.read = this.written - this.target;
      this.level = this.target;
    }
  }

  process(_, [output]) {
    const count = output[0].length;
    const buffered = this.written - this.read;
    if (!this.playing && buffered >= this.target) {
      this.playing = true;
      this.level = buffered;
    }
    if (this.playing) this.play(output, count);
    this.until_status -= count / sampleRate;
    if (this.until_status <= 0) {
      this.until_status = STATUS_S;
      this.port.postMessage({ status: this.status() });
    }
    return true;
  }

  /* Moves `count` output samples on; where the buffer runs dry the rest is silence, until it has filled again. */
  play(output, count) {
    this.level += 0.002 * (this.written - this.read - this.level);
    const lean = Math.max(-1, Math.min(1, (this.level - this.target) / this.target));
    const step = (this.rate_hz / sampleRate) * (1 + MOST_STRETCH * lean);
    const right = output[1] ?? output[0];
    for (let i = 0; i < count; i++) {
      const whole = Math.floor(this.read);
      if (whole + LOBES >= this.written) {
        if (!this.paused) this.underruns++;
        this.playing = false;
        return;
      }
      const row = Math.round((this.read - whole) * PHASES) * 2 * LOBES;
      let caller = 0;
      let callee = 0;
      for (let tap = 0; tap < 2 * LOBES; tap++) {
        const at = (whole - (LOBES - 1) + tap + this.size) % this.size;
        caller += kernel[row + tap] * this.ring[0][at];
        callee += kernel[row + tap] * this.ring[1][at];
      }
      output[0][i] = caller;
      right[i] = callee;
      this.read += step;
    }
    if (!this.started) {
      this.started = true;
      this.port.postMessage({ started: true });
    }
  }

  status() {
    return {
      position_s: this.edge_s - (this.written - this.read) / this.rate_hz,
      buffered_ms: ((this.written - this.read) * 1000) / this.rate_hz,
      playing: this.playing,
      underruns: this.underruns,
      skipped_ms: this.skipped_ms,
    };
  }
}

registerProcessor("playout", Playout);
