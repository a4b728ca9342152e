// The attention explorer: words above a picture; point at a word and see where the model looked.
// Pointing, pinning and playing need no kernel. Only a new sentence does.

const BEAT = 900; // milliseconds a word while playing

/** One model: its sentence, its picture, its bars. `hands` tells the explorer what people do here. */
class Panel {
  constructor(view, url, top, hands) {
    const { words } = view, boxes = floats(view.boxes), count = boxes.length / 4, weights = halves(view.weights);
    Object.assign(this, { view, words, count, top: Math.min(top, count) });
    this.rows = words.map((_, place) => weights.subarray(place * count, (place + 1) * count));
    this.mean = new Float32Array(count).map((_, region) => this.rows.reduce((sum, row) => sum + row[region], 0) / (words.length || 1));
    this.most = this.rows.map((row) => row.reduce((best, weight) => Math.max(best, weight), 1e-9));
    this.orders = this.rows.map((row) => largest(row, this.top));
    this.order = largest(this.mean, this.top);
    this.colours = coloursOf(this.mean);
    this.stage = new Stage(url, view.aspect, boxes, view.grid ? view.labels.map(() => "") : view.labels, this.colours, this.top);
    this.stage.remember(view.gone || []);
    this.stage.listen({ point: hands.point, draw: hands.draw,
      pick: (region, event) => (event.altKey ? region >= 0 && hands.remove(region) : hands.pick(region)) });
    this.bars = new Bars(top, view.labels, this.colours, { point: hands.point, pick: hands.pick, remove: view.redo ? hands.remove : null });
    this.buttons = words.map((word, place) => this.word(word, place, hands));
    this.stats = make("div", { class: "ud-stats" });
    this.more = make("div", { class: "ud-stats" });
    this.chips = Array.from({ length: Math.max(0, ...view.alternatives.map((list) => list.length)) }, () => this.chip(hands));
    this.node = this.assemble(hands);
  }

  word(word, place, hands) {
    const logProb = this.view.logProbs[place];
    const button = make("button", { type: "button", class: "ud-word", "aria-pressed": "false", tabindex: place ? "-1" : "0" }, word);
    button.style.setProperty("--sure", logProb === undefined ? 0 : Math.exp(logProb).toFixed(3));
    button.addEventListener("pointerenter", () => hands.hover(place));
    button.addEventListener("click", () => hands.pin(place));
    return button;
  }

  chip(hands) {
    const button = make("button", { type: "button", class: "ud-chip", title: this.view.redo ? "let the sentence go on from this word" : "" },
      make("span"), make("small"));
    button.addEventListener("click", () => hands.say(this.shown, button.word));
    return button;
  }

  assemble(hands) {
    const { name, before } = this.view;
    const sentence = make("div", { class: "ud-words", role: "toolbar", "aria-label": `words ${name}`.trim() }, ...this.buttons);
    sentence.addEventListener("pointerleave", () => hands.hover(-1));
    const back = make("button", { type: "button", class: "ud-back" }, "↩ back");
    back.addEventListener("click", hands.back);
    const body = make("div", { class: "ud-body" }, this.stage.node, make("div", { class: "ud-side" }, this.bars.node,
      make("div", { class: "ud-foot" }, this.stats, this.more, make("div", { class: "ud-chips" }, ...this.chips))));
    body.style.setProperty("--aspect", this.view.aspect);
    const old = make("div", { class: "ud-before" }, before ? make("s", {}, before) : null, before ? back : null);
    return make("article", { class: "ud-panel", "aria-label": name || null }, name ? make("h4", {}, name) : null, sentence, old,
      body);
  }

  /** Show a word (or -1 for the whole sentence), and what one region got (or -1). */
  show(place, region, absolute, pinned) {
    const here = place >= 0 && place < this.words.length, weights = here ? this.rows[place] : this.mean;
    const order = here ? this.orders[place] : this.order;
    const full = absolute ? 1 : here ? this.most[place] : weights.reduce((best, weight) => Math.max(best, weight), 1e-9);
    this.shown = here ? place : -1;
    const frames = (here ? order : []).map((number, rank) => ({ region: number, number: String(rank + 1),
      strength: Math.min(1, weights[number] / full), quiet: weights[number] < 0.01 }));
    if (region >= 0 && !frames.some((item) => item.region === region)) frames.unshift({ region, number: "", strength: 1 });
    this.stage.frame(frames);
    if (here) this.stage.dim(place, weights, absolute ? 1 : 0);
    else if (region >= 0) this.stage.dim(`region ${region}`, new Float32Array(this.count).map((_, other) => +(other === region)), 1);
    else this.stage.dim("", null);
    this.bars.show(here ? `where it looked for “${this.words[place]}”` : "where it looked, on average", weights, order, full, region);
    this.heat(place, region, pinned);
    this.foot(here ? place : -1);
  }

  /** Colour the words by what a region got from each, and mark the one that is shown. */
  heat(place, region, pinned) {
    const got = region >= 0 ? this.rows.map((row) => row[region]) : null, best = got ? Math.max(1e-9, ...got) : 1;
    this.buttons.forEach((button, number) => {
      button.classList.toggle("ud-on", number === place);
      button.classList.toggle("ud-pin", number === pinned);
      const pressed = String(number === pinned), heat = got ? (got[number] / best).toFixed(2) : "0";
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
      if (button.heat !== heat) button.style.setProperty("--heat", (button.heat = heat));
    });
    this.node.style.setProperty("--region", region >= 0 ? this.colours[region] : "transparent");
  }

  foot(place) {
    const { logProbs, entropies, alternatives, redo } = this.view;
    const sum = logProbs.reduce((total, value) => total + value, 0);
    const [first, second] = place < 0
      ? [[`${this.words.length} words`, `${this.count} regions`], [logProbs.length ? `log p of the sentence ${signed(sum)}` : ""]]
      : [[`looks at ≈ ${spread(this.rows[place]).toFixed(1)} regions`],
         [logProbs.length ? `p ${percent(Math.exp(logProbs[place]))}` : "", logProbs.length ? `log p ${signed(logProbs[place])}` : "",
          entropies.length ? `entropy ${signed(entropies[place])}` : ""]];
    say(this.stats, first.join("  ·  "));
    say(this.more, second.filter(Boolean).join("  ·  "));
    const offered = place < 0 ? [] : alternatives[place] || [];
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

/** Two decimals, a real minus, no "-0.00". */
function signed(value) {
  const text = Math.abs(value).toFixed(2);
  return value < 0 && text !== "0.00" ? `−${text}` : text;
}

/** How many regions share the look: e to the power of the weights' entropy. */
function spread(weights) {
  return Math.exp(weights.reduce((sum, weight) => (weight > 0 ? sum - weight * Math.log(weight) : sum), 0));
}

class Explorer {
  constructor(model, el) {
    this.model = model;
    this.endings = [];
    this.root = makeRoot(el, "explorer", "attention explorer", this.endings);
    this.url = pictureURL(model.get("image"), this.endings);
    Object.assign(this, { hovered: -1, region: -1, kept: -1, owner: -1, timer: 0 });
    this.build();
    this.root.addEventListener("keydown", (event) => this.key(event));
    on(model, "change:panels", () => this.rebuild(), this.endings);
    for (const name of ["pinned", "scale"]) on(model, `change:${name}`, () => this.show(), this.endings);
    on(model, "change:note", () => this.noteOf(), this.endings);
    on(model, "change:busy", () => this.root.classList.toggle("ud-busy", model.get("busy")), this.endings);
    const observer = new ResizeObserver(() => this.show());
    observer.observe(this.row);
    this.endings.push(() => (observer.disconnect(), this.play(false)));
  }

  build() {
    this.player = make("button", { type: "button", class: "ud-tool", title: "play (space)", "aria-label": "play" }, "▶");
    this.scaler = make("button", { type: "button", class: "ud-tool", title: "bars and light: each word on its own scale, or all on one" });
    this.note = make("div", { class: "ud-note", role: "status" });
    this.live = make("div", { class: "ud-live", "aria-live": "polite" });
    this.row = make("div", { class: "ud-panels" });
    this.player.addEventListener("click", () => this.play(!this.timer));
    this.scaler.addEventListener("click", () => this.keep("scale", this.model.get("scale") === "word" ? "absolute" : "word"));
    const keys = "hover a word or a region  ·  click pins  ·  ← → walk  ·  space plays  ·  esc lets go";
    this.hint = make("div", { class: "ud-hint" }, keys);
    this.root.append(this.row, make("div", { class: "ud-bottom" }, this.player, this.scaler, this.hint, this.note), this.live);
    this.rebuild();
    this.noteOf();
  }

  rebuild() {
    this.play(false);
    const views = this.model.get("panels"), held = this.root.contains(document.activeElement);
    this.panels = views.map((view, number) => new Panel(view, this.url, this.model.get("top"), this.hands(number)));
    this.length = Math.max(0, ...this.panels.map((panel) => panel.words.length));
    this.row.replaceChildren(...this.panels.map((panel) => panel.node));
    this.root.classList.toggle("ud-one", views.length === 1);
    this.root.classList.toggle("ud-changed", views.some((view) => view.before));
    const redo = views.some((view) => view.redo);
    say(this.hint, this.hint.textContent.split("  ·  alt")[0] + (redo ? "  ·  alt-click takes a region away  ·  drag draws one" : ""));
    Object.assign(this, { hovered: -1, region: -1, kept: -1 });
    if (held) this.root.focus({ preventScroll: true });
    this.show();
  }

  /** What people do in one panel. */
  hands(panel) {
    const ask = (kind, rest) => this.ask({ kind, panel, ...rest });
    return {
      hover: (place) => this.set({ hovered: place }),
      pin: (place) => (this.play(false), this.pin(place === this.model.get("pinned") ? -1 : place)),
      point: (region) => this.set({ region, owner: region < 0 && this.kept < 0 ? -1 : panel }),
      pick: (region) => this.set({ kept: region === this.kept && panel === this.owner ? -1 : region, owner: panel }),
      say: (place, word) => ask("say", { place, word }),
      remove: (region) => ask("remove", { region }),
      draw: (box) => ask("add", { box }),
      back: () => ask("back", {}),
    };
  }

  set(changes) {
    if (Object.entries(changes).every(([name, value]) => this[name] === value)) return;
    Object.assign(this, changes);
    this.show();
  }

  ask(message) {
    if (this.model.get("panels")[message.panel].redo) return this.model.send(message);
    say(this.note, this.model.offline ? "a saved page cannot ask the model; open the notebook for that"
      : "these are words without their model; make the explorer from a Speaker to change the sentence");
  }

  /** Change a trait here and in the kernel. */
  keep(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  pin(place) {
    this.keep("pinned", place);
    this.show();
    say(this.live, place < 0 ? "" : this.panels.map((panel) => panel.told(place)).filter(Boolean).join("; "));
    for (const { buttons } of this.panels) buttons.forEach((button, number) => (button.tabIndex = number === Math.max(0, place) ? 0 : -1));
  }

  walk(step) {
    const now = this.model.get("pinned");
    this.pin(now < 0 ? (step > 0 ? 0 : this.length - 1) : (now + step + this.length) % this.length);
  }

  play(going) {
    clearInterval(this.timer);
    this.timer = going && this.length ? setInterval(() => this.walk(1), BEAT) : 0;
    if (this.timer) this.walk(1);
    say(this.player, this.timer ? "❚❚" : "▶");
    this.player.setAttribute("aria-label", this.timer ? "stop" : "play");
  }

  key(event) {
    const target = event.target, onButton = target.matches?.(".ud-bar, .ud-chip, .ud-tool, .ud-away, .ud-back");
    const deeds = {
      ArrowRight: () => this.walk(1), ArrowLeft: () => this.walk(-1), Home: () => this.pin(0), End: () => this.pin(this.length - 1),
      Escape: () => (this.play(false), this.set({ kept: -1, region: -1 }), this.pin(-1)),
      " ": onButton ? null : () => this.play(!this.timer),
    };
    if (!deeds[event.key] || !this.length) return;
    event.preventDefault();
    if (event.key.startsWith("Arrow")) this.play(false);
    deeds[event.key]();
  }

  noteOf() {
    say(this.note, this.model.get("note"));
  }

  show() {
    const pinned = this.model.get("pinned"), place = pinned >= 0 ? pinned : this.hovered;
    const absolute = this.model.get("scale") === "absolute";
    say(this.scaler, absolute ? "absolute" : "per word");
    this.panels.forEach((panel, number) => {
      const region = number !== this.owner ? -1 : this.region >= 0 ? this.region : this.kept;
      panel.show(place, region, absolute, pinned);
    });
  }
}

export default {
  render({ model, el }) {
    return ender(new Explorer(model, el).endings);
  },
};
