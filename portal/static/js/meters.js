/* Level meters: `[data-meter]` elements that follow a level in dBFS and fall slowly, as a needle does. */

const FLOOR_DBFS = -54;
const FALL_DB_PER_S = 40;
// Above this the side is speaking; the card's lamp says so.
const SPEECH_DBFS = -42;

export class Meter {
  constructor(element) {
    this.element = element;
    this.bar = element.querySelector(".meter-bar");
    this.shown = FLOOR_DBFS;
    this.given = FLOOR_DBFS;
    this.at = performance.now();
    this.frame = requestAnimationFrame((at) => this.draw(at));
  }

  /* A new level, or null where none may be shown (the recording is paused). */
  set(dbfs) {
    this.given = dbfs ?? FLOOR_DBFS;
    if (dbfs === null) this.shown = FLOOR_DBFS;
    this.element.classList.toggle("meter-off", dbfs === null);
    this.element.classList.toggle("meter-speaking", dbfs !== null && dbfs > SPEECH_DBFS);
    this.element.setAttribute("aria-valuenow", Math.round(Math.max(FLOOR_DBFS, this.given)));
  }

  draw(at) {
    if (!this.element.isConnected) return;
    const fallen = this.shown - (FALL_DB_PER_S * (at - this.at)) / 1000;
    this.shown = Math.max(this.given, fallen, FLOOR_DBFS);
    this.at = at;
    this.bar.style.transform = `scaleX(${1 - this.shown / FLOOR_DBFS})`;
    this.frame = requestAnimationFrame((next) => this.draw(next));
  }
}
