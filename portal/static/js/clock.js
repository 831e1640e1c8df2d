/* Durations as people read them, and the ones that tick.

   An element with `data-since` (ms since 1970, by the server's clock) shows how long ago that was.
   `<html data-now>` is the server's clock when it made the page: a viewer's own clock may be wrong.
*/

const TICK_MS = 250;
const skew_ms = Number(document.documentElement.dataset.now || Date.now()) - Date.now();

/* 59 -> "0:59", 3347 -> "55:47", 3661 -> "1:01:01". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/* Now, by the server's clock; ms since 1970. */
export function now() {
  return Date.now() + skew_ms;
}

function tick() {
  for (const element of document.querySelectorAll("[data-since]")) {
    const shown = duration((now() - Number(element.dataset.since)) / 1000);
    if (element.textContent !== shown) element.textContent = shown;
  }
}

/* Keeps every ticking duration of the page up to date, also those that come later. */
export function keepTicking() {
  tick();
  setInterval(tick, TICK_MS);
}
