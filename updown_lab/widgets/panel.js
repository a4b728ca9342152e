// One model in the explorer: its sentence, its picture, its bars, and what else it might have said.

class Panel {
  /**
   * @param view  what the kernel tells of it
   * @param url   of the picture
   * @param rows  how many bars there is room for, the same beside all pictures
   * @param hands what people do here: {hover, pin, point, pick, say, remove, draw, back}
   */
  constructor(view, url, rows, hands) {
    const { words } = view, boxes = floats(view.boxes), count = boxes.length / 4, weights = halves(view.weights);
    Object.assign(this, { view, words, count, fair: 1 / count });
    this.rows = words.map((_, place) => weights.subarray(place * count, (place + 1) * count));
    this.mean = new Float32Array(count).map((_, region) => this.rows.reduce((sum, row) => sum + row[region], 0) / (words.length || 1));
    this.peak = new Float32Array(count).map((_, region) => this.rows.reduce((most, row) => Math.max(most, row[region]), 0));
    this.most = this.rows.map(most);
    this.orders = this.rows.map((row) => largest(row, rows));
    this.order = largest(this.mean, rows);
    this.missed = Array.from(this.peak.keys()).filter((region) => this.peak[region] < this.fair)
      .sort((one, other) => this.peak[one] - this.peak[other]);
    this.colours = coloursOf(this.mean);
    this.stage = new Stage(url, view.aspect, boxes, view.grid ? view.labels.map(() => "") : view.names, this.colours, rows);
    this.stage.remember(view.gone || [], view.own || 0);
    this.stage.listen({ point: hands.point, draw: hands.draw,
      pick: (region, event) => (event.altKey ? region >= 0 && hands.remove(region) : hands.pick(region)) });
    this.bars = new Bars(rows, view.labels, view.names, this.colours,
      { point: hands.point, pick: hands.pick, remove: view.redo ? hands.remove : null });
    this.buttons = words.map((word, place) => this.word(word, place, hands));
    this.stats = make("div", { class: "ud-stats" });
    this.more = make("div", { class: "ud-stats" });
    this.offer = make("div", { class: "ud-offer" });
    this.chips = Array.from({ length: Math.max(0, ...view.alternatives.map((list) => list.length)) }, () => this.chip(hands));
    this.node = this.assemble(hands);
  }

  word(word, place, hands) {
    const logProb = this.view.logProbs[place], came = (this.view.came || []).includes(place);
    const button = make("button", { type: "button", class: came ? "ud-word ud-came" : "ud-word", "aria-pressed": "false",
      "aria-description": came ? "new in this sentence" : null }, word);
    button.style.setProperty("--sure", logProb === undefined ? 0 : Math.exp(logProb).toFixed(3));
    for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, () => hands.hover(place));
    button.addEventListener("click", () => hands.pin(place));
    return button;
  }

  chip(hands) {
    const button = make("button", { type: "button", class: "ud-chip" }, make("span"), make("small"));
    button.addEventListener("click", () => hands.say(this.shown, button.word));
    return button;
  }

  assemble(hands) {
    const { name, aspect } = this.view;
    const sentence = make("div", { class: "ud-words", role: "toolbar", "aria-label": `words ${name}`.trim() }, ...this.buttons);
    const body = make("div", { class: aspect > 2 ? "ud-body ud-broad" : "ud-body" }, this.stage.node, make("div", { class: "ud-side" }, this.bars.node,
      make("div", { class: "ud-foot" }, this.stats, this.more,
        this.chips.length ? this.offer : null, this.chips.length ? make("div", { class: "ud-chips" }, ...this.chips) : null)));
    body.style.setProperty("--aspect", aspect);
    const node = make("article", { class: "ud-panel", "aria-label": name || null }, name ? make("h4", {}, name) : null, sentence,
      this.earlier(hands), body);
    // A word stays as long as the hand or the focus is in this panel, so that its alternatives can be reached.
    node.addEventListener("pointerleave", () => hands.hover(-1));
    node.addEventListener("focusout", (event) => node.contains(event.relatedTarget) || hands.hover(-1));
    return node;
  }

  /** What was done, the sentence before it with the words that went, and the way back. */
  earlier(hands) {
    const { before = [], done } = this.view, row = make("div", { class: "ud-before" });
    if (!before.length) return row;
    const back = make("button", { type: "button", class: "ud-back" }, "↩ back");
    back.addEventListener("click", hands.back);
    const words = before.flatMap(([word, went]) => [make(went ? "s" : "span", {}, word), " "]);
    row.append(make("span", { class: "ud-done" }, done), make("span", { class: "ud-was" }, "before: ", ...words), back);
    return row;
  }

  /** Show a word (or -1 for the whole sentence), and what one region got (or -1); or what was not seen. */
  show(place, region, { absolute, pinned, unseen }) {
    const here = place >= 0 && place < this.words.length;
    this.shown = here ? place : -1;
    if (here) this.look(this.rows[place], this.orders[place], absolute ? 1 : this.most[place], region, `where it looked for “${this.words[place]}”`);
    else if (unseen) this.unseen(region);
    else this.look(this.mean, this.order, absolute ? 1 : most(this.mean), region, "where it looked, on average");
    if (region >= 0 && !(here && pinned >= 0)) this.stage.dim(`region ${region}`, alone(this.count, region), 1);
    else if (here) this.stage.dim(place, this.rows[place], absolute ? 1 : 0);
    else if (!unseen) this.stage.dim("", null);
    this.heat(place, region, pinned);
    if (here || !unseen) this.foot(this.shown);
    this.alternatives(this.shown, unseen);
  }

  look(weights, order, full, region, title) {
    this.frame(order.map((number, rank) => ({ region: number, number: String(rank + 1), strength: Math.min(1, weights[number] / full),
      quiet: weights[number] < 0.01 })), region, this.shown < 0);
    this.bars.show(title, weights, order, full, region);
  }

  /** What the model did not see: places in no region, and regions that never got an equal share of a word's look. */
  unseen(region) {
    const few = this.missed.slice(0, this.bars.rows.length), others = this.missed.length - few.length;
    this.frame(few.map((number, rank) => ({ region: number, number: String(rank + 1), strength: 0.5 })), region, false);
    this.bars.show("hardly looked at: most of any word", this.peak, few, this.fair, region,
      others > 0 ? `and ${others} other${others > 1 ? "s" : ""}` : few.length ? "" : "each region got its share from some word");
    const nowhere = this.stage.unseen(this.missed);
    say(this.stats, `bright: ${percent(nowhere)} of the picture lies in no region`);
    say(this.more, `${this.missed.length} of ${this.count} regions never got an equal share, ${percent(this.fair)}`);
  }

  /** Frames of these regions, and of the one under the hand. */
  frame(frames, region, idle) {
    if (region >= 0 && !frames.some((item) => item.region === region)) frames.unshift({ region, number: "", strength: 1 });
    this.stage.frame(frames, idle && region < 0);
  }

  /** Colour the words by what a region got from each, and mark the one that is shown. */
  heat(place, region, pinned) {
    const got = region >= 0 ? this.rows.map((row) => row[region]) : null, best = got ? Math.max(1e-9, ...got) : 1;
    const stop = Math.min(Math.max(0, pinned), this.buttons.length - 1);
    this.buttons.forEach((button, number) => {
      button.classList.toggle("ud-on", number === place);
      button.classList.toggle("ud-pin", number === pinned);
      const pressed = String(number === pinned), heat = got ? (got[number] / best).toFixed(2) : "0";
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
      if (button.heat !== heat) button.style.setProperty("--heat", (button.heat = heat));
      if (button.tabIndex !== (number === stop ? 0 : -1)) button.tabIndex = number === stop ? 0 : -1;
    });
    this.node.style.setProperty("--region", region >= 0 ? this.colours[region] : "transparent");
  }

  foot(place) {
    const { logProbs, entropies } = this.view;
    const sum = logProbs.reduce((total, value) => total + value, 0);
    const [first, second] = place < 0
      ? [[`${this.words.length} words`, `${this.count} regions`], [logProbs.length ? `log p of the sentence ${signed(sum)}` : ""]]
      : [[`looks at ≈ ${spread(this.rows[place]).toFixed(1)} regions`],
         [logProbs.length ? `p ${percent(Math.exp(logProbs[place]))}` : "", logProbs.length ? `log p ${signed(logProbs[place])}` : "",
          entropies.length ? `entropy ${signed(entropies[place])}` : ""]];
    say(this.stats, first.join("  ·  "));
    say(this.more, second.filter(Boolean).join("  ·  "));
  }

  alternatives(place, unseen) {
    const { alternatives, redo } = this.view, offered = place < 0 ? [] : alternatives[place] || [];
    say(this.offer, place >= 0 ? (redo ? "click an alternative: the sentence goes on from there" : "what else it might have said")
      : unseen && redo ? "drag a box over such a place and see whether the sentence changes" : "point at a word to see what else it might have said");
    this.chips.forEach((chip, rank) => {
      const [word, logProb] = offered[rank] || ["", -99];
      chip.word = word;
      chip.classList.toggle("ud-none", !offered[rank]);
      chip.classList.toggle("ud-said", word === this.words[place]);
      chip.disabled = !offered[rank] || !redo;
      say(chip.firstChild, word);
      say(chip.lastChild, offered[rank] ? percent(Math.exp(logProb)) : "");
      chip.style.setProperty("--share", Math.exp(logProb).toFixed(3));
    });
  }

  /** What a screen reader hears of a word. */
  told(place) {
    if (place >= this.words.length) return "";
    const looks = this.orders[place].slice(0, 3).map((region) => `${percent(this.rows[place][region])} ${this.view.labels[region]}`);
    return `${this.view.name} ${this.words[place]}: ${looks.join(", ")}`.trim();
  }
}

const most = (weights) => weights.reduce((best, weight) => Math.max(best, weight), 1e-9);
const alone = (count, region) => new Float32Array(count).map((_, other) => +(other === region));

/** Two decimals, a real minus, no "-0.00". */
function signed(value) {
  const text = Math.abs(value).toFixed(2);
  return value < 0 && text !== "0.00" ? `−${text}` : text;
}

/** How many regions share the look: e to the power of the weights' entropy. */
function spread(weights) {
  return Math.exp(weights.reduce((sum, weight) => (weight > 0 ? sum - weight * Math.log(weight) : sum), 0));
}
