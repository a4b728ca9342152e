// The picture: lit where the model looked, framed regions with numbers and names, a hand that points and draws.

const VEIL = [8, 10, 18], DARKEST = 0.8, FINE = 176; // colour and strength of the dark; pixels of the light map's width

class Stage {
  /**
   * @param url     of the picture
   * @param aspect  its width / height
   * @param boxes   Float32Array 4 a region, in shares of the picture
   * @param labels  a name a region, as it is written on the picture
   * @param colours a colour a region
   * @param top     how many frames are wanted at once
   */
  constructor(url, aspect, boxes, labels, colours, top) {
    Object.assign(this, { aspect, boxes, labels, colours, count: boxes.length / 4, lights: new Map(),
      room: { width: 0, height: 0 }, chosen: [], idle: false });
    this.veil = make("canvas", { class: "ud-veil", width: FINE, height: Math.max(1, Math.round(FINE / aspect)) });
    this.faint = make("div", { class: "ud-faint" });
    for (let region = 0; region < this.count; region++) {
      this.faint.append(this.put(make("i"), region));
    }
    this.frames = Array.from({ length: top + 1 }, () => make("div", { class: "ud-frame" }));
    this.tags = this.frames.map(() => make("div", { class: "ud-tag" }, make("b"), make("span")));
    this.ghosts = make("div", { class: "ud-ghosts" });
    this.rubber = make("div", { class: "ud-rubber" });
    this.node = make("div", { class: "ud-stage", role: "img", "aria-label": this.told() },
      make("img", { src: url, alt: "", draggable: "false" }), this.veil, this.faint, this.ghosts, ...this.frames, ...this.tags, this.rubber);
    this.node.style.setProperty("--aspect", aspect);
    // The size is kept, because asking for it after other panels were written costs a layout each. The observer goes
    // with the node.
    new ResizeObserver(([{ contentRect }]) => {
      this.room = contentRect;
      this.frame(this.chosen, this.idle);
    }).observe(this.node);
  }

  /** What a screen reader hears of the picture. */
  told() {
    const names = this.labels.filter(Boolean).slice(0, 8), others = this.count - names.length;
    return `the picture with ${this.count} regions${names.length ? `: ${names.join(", ")}` : ""}${names.length && others ? ` and ${others} others` : ""}`;
  }

  put(node, region) {
    return this.place(node, this.boxes.subarray(4 * region, 4 * region + 4));
  }

  place(node, [x1, y1, x2, y2]) {
    const shares = { left: x1, top: y1, width: x2 - x1, height: y2 - y1 };
    for (const [side, share] of Object.entries(shares)) node.style[side] = `${(100 * share).toFixed(2)}%`;
    return node;
  }

  /** Regions that were taken away, hatched for the memory, and the last `own` ones, which were drawn by hand. */
  remember(boxes, own = 0) {
    const mine = Array.from({ length: own }, (_, number) => this.count - own + number);
    this.own = this.count - own;
    this.ghosts.replaceChildren(...boxes.map((box) => this.place(make("i"), box)),
      ...mine.map((region) => this.put(make("i", { class: "ud-mine" }), region)));
  }

  /** Darken what got little; `full` is the light of an undimmed point, or 0 for the brightest one. */
  dim(key, weights, full) {
    this.veil.style.opacity = weights ? 1 : 0;
    if (!weights) return;
    const name = `${key} ${full}`;
    if (!this.lights.has(name)) this.lights.set(name, this.veiled(this.light(weights), full));
    this.veil.getContext("2d", { willReadFrequently: true }).putImageData(this.lights.get(name), 0, 0);
  }

  /** The sum of the weights of all regions that cover a point, as an array over the veil's pixels. */
  light(weights) {
    const { width, height } = this.veil, sums = new Float32Array(width * height);
    for (let region = 0; region < this.count; region++) {
      const weight = weights[region];
      if (weight < 1e-4) continue;
      const [x1, y1, x2, y2] = this.boxes.subarray(4 * region, 4 * region + 4);
      const left = Math.round(x1 * width), right = Math.round(x2 * width), bottom = Math.round(y2 * height);
      for (let row = Math.round(y1 * height); row < bottom; row++) {
        for (let spot = row * width + left, end = row * width + right; spot < end; spot++) sums[spot] += weight;
      }
    }
    return sums;
  }

  /**
   * Light the places that lie in no region, and half of it those in nothing but regions that were missed.
   * @returns the share of the picture in no region
   */
  unseen(missed) {
    if (!this.lights.has("unseen 1")) {
      const all = this.light(new Float32Array(this.count).fill(1)), few = new Float32Array(this.count);
      for (const region of missed) few[region] = 1;
      const ignored = this.light(few), light = all.map((sum, spot) => (sum ? (ignored[spot] === sum ? 0.5 : 0) : 1));
      this.lights.set("unseen 1", this.veiled(light, 1));
      this.nowhere = light.reduce((count, value) => count + (value === 1), 0) / light.length;
    }
    this.dim("unseen", this.lights, 1);
    return this.nowhere;
  }

  /** Light as a picture of the dark that is left. */
  veiled(light, full) {
    let most = full || 1e-9;
    if (!full) for (let spot = 0; spot < light.length; spot++) if (light[spot] > most) most = light[spot];
    const pixels = new ImageData(this.veil.width, this.veil.height), { data } = pixels;
    for (let spot = 0; spot < light.length; spot++) {
      data[4 * spot] = VEIL[0];
      data[4 * spot + 1] = VEIL[1];
      data[4 * spot + 2] = VEIL[2];
      data[4 * spot + 3] = 255 * DARKEST * (1 - Math.min(1, light[spot] / most));
    }
    return pixels;
  }

  /** Frame some regions: a list of {region, strength in 0..1, number or ""}; faintly if nobody points at anything. */
  frame(chosen, idle = false) {
    Object.assign(this, { chosen, idle });
    const { room } = this, taken = [];
    this.node.classList.toggle("ud-looking", chosen.length > 0 && !idle);
    this.node.classList.toggle("ud-idle", idle);
    this.frames.forEach((frame, rank) => {
      const tag = this.tags[rank], item = chosen[rank];
      frame.hidden = tag.hidden = !item;
      if (!item) return;
      frame.classList.toggle("ud-hand", item.region >= this.own);
      this.put(frame, item.region).style.setProperty("--colour", this.colours[item.region]);
      frame.style.setProperty("--strength", (0.35 + 0.65 * item.strength).toFixed(3));
      frame.style.setProperty("--thick", `${(1 + 2.5 * item.strength).toFixed(2)}px`);
      tag.style.setProperty("--colour", this.colours[item.region]);
      say(tag.firstChild, item.number);
      this.name(tag, item, room, taken);
    });
  }

  /** Write number and name at the corner of a box where they cover no earlier ones; else the number alone. */
  name(tag, { region, number, quiet }, room, taken) {
    const [x1, y1, x2, y2] = this.boxes.subarray(4 * region, 4 * region + 4);
    const [left, top, right, bottom] = [x1 * room.width, y1 * room.height, x2 * room.width, y2 * room.height];
    const tall = 18, tries = [];
    for (const text of [this.labels[region], ""]) {
      if (!text && !number) continue;
      const wide = 8 + (number ? 12 : 0) + 6.3 * text.length;
      for (const x of [left, right - wide]) for (const y of [top - tall, top, bottom - tall, bottom]) tries.push({ text, x, y, wide });
    }
    const crossing = (one) => taken.reduce((sum, other) => sum
      + Math.max(0, Math.min(one.x + one.wide, other.x + other.wide) - Math.max(one.x, other.x))
      * Math.max(0, Math.min(one.y, other.y) + tall - Math.max(one.y, other.y)), 0);
    const inside = (one) => one.x >= 0 && one.y >= 0 && one.x + one.wide <= room.width && one.y + tall <= room.height;
    const spot = tries.find((one) => inside(one) && crossing(one) === 0);
    tag.hidden = !spot || quiet;
    if (tag.hidden) return;
    taken.push(spot);
    say(tag.lastChild, spot.text);
    tag.style.transform = `translate(${Math.round(spot.x)}px, ${Math.round(spot.y)}px)`;
  }

  /** The smallest region under a point (shares of the picture), or -1: what a finger means where boxes overlap. */
  under(x, y) {
    let best = -1, smallest = Infinity;
    for (let region = 0; region < this.count; region++) {
      const [x1, y1, x2, y2] = this.boxes.subarray(4 * region, 4 * region + 4);
      const area = (x2 - x1) * (y2 - y1);
      if (x >= x1 && x < x2 && y >= y1 && y < y2 && area < smallest) [best, smallest] = [region, area];
    }
    return best;
  }

  /** Tell what the hand does: point(region), pick(region, event), draw(box in shares). */
  listen({ point, pick, draw }) {
    const spot = (event) => {
      const frame = this.node.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top].map((value, side) =>
        Math.min(1, Math.max(0, value / (side ? frame.height : frame.width))));
    };
    let start = null, drawn = null;
    const forget = () => {
      start = drawn = null;
      this.rubber.style.display = "none";
      window.removeEventListener("keydown", cancel, true);
    };
    const cancel = (event) => {
      if (event.key !== "Escape") return;
      event.stopImmediatePropagation(); // this Escape is for the drag alone
      event.preventDefault();
      forget();
    };
    this.node.addEventListener("pointerdown", (event) => {
      if (event.button === 0) start = spot(event);
    });
    this.node.addEventListener("pointermove", (event) => {
      const [x, y] = spot(event);
      if (!start) return point(this.under(x, y));
      const far = Math.hypot((x - start[0]) * this.node.clientWidth, (y - start[1]) * this.node.clientHeight);
      if (!drawn && far < 6) return;
      if (!drawn) {
        this.node.setPointerCapture(event.pointerId);
        window.addEventListener("keydown", cancel, true);
      }
      drawn = [Math.min(x, start[0]), Math.min(y, start[1]), Math.max(x, start[0]), Math.max(y, start[1])];
      this.place(this.rubber, drawn).style.display = "block";
    });
    this.node.addEventListener("pointerup", (event) => {
      const [box, was] = [drawn, start];
      forget();
      if (box) draw(box);
      else if (was) pick(this.under(...spot(event)), event);
    });
    this.node.addEventListener("pointercancel", forget);
    this.node.addEventListener("pointerleave", () => start || point(-1));
  }
}
