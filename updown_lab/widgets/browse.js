// The regions of an image: which of them are left at a threshold and after non-maximum suppression.

/** A colour for the class of a rank: the palette first, then softer ones that are not in it. */
const colourAt = (rank) => COLOURS[rank] || `hsl(${Math.round(137.5 * rank) % 360} 55% ${rank % 2 ? 72 : 58}%)`;

const areaOf = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);

class Browser {
  constructor(model, el) {
    this.model = model;
    this.endings = [];
    this.root = makeRoot(el, "browse", "region browser", this.endings);
    this.root.classList.add("ud-one");
    this.url = pictureURL(model.get("image"), this.endings);
    this.sliders = { threshold: this.slider("threshold", "score from"), overlap: this.slider("overlap", "NMS above IoU") };
    this.together = make("input", { type: "checkbox" });
    this.together.checked = model.get("across");
    this.together.addEventListener("change", () => this.keep("across", this.together.checked));
    this.count = make("div", { class: "ud-count", role: "status" });
    this.list = make("ol", { class: "ud-list", role: "listbox", "aria-label": "regions, the surest first" });
    this.stop = rove(this.list, "option", walkList);
    this.holder = make("div", { class: "ud-body" });
    this.root.append(make("div", { class: "ud-controls" }, ...Object.values(this.sliders).map(({ node }) => node),
      make("label", { class: "ud-check" }, this.together, "across classes"), this.count), this.holder);
    for (const name of ["threshold", "overlap", "across"]) on(model, `change:${name}`, () => this.choose(), this.endings);
    on(model, "change:view", () => this.rebuild(), this.endings);
    this.rebuild();
    const observer = new ResizeObserver(() => this.show(-1));
    observer.observe(this.holder);
    this.endings.push(() => observer.disconnect());
  }

  slider(name, title) {
    const input = make("input", { type: "range", min: "0", max: "1", step: "0.01", "aria-label": title }), shown = make("output");
    input.addEventListener("input", () => this.keep(name, Number(input.value)));
    return { input, shown, node: make("label", { class: "ud-slider" }, title, input, shown) };
  }

  keep(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
    this.choose();
  }

  rebuild() {
    const view = this.model.get("view"), boxes = floats(view.boxes);
    Object.assign(this, { view, boxes, scores: floats(view.scores), order: largest(floats(view.scores), Infinity) });
    const kinds = [...new Set(this.order.map((region) => view.classes[region]))]; // the surest class first
    const colours = view.classes.map((kind) => colourAt(kinds.indexOf(kind)));
    this.stage = new Stage(this.url, view.aspect, boxes, view.labels, colours, Math.min(60, view.labels.length));
    this.stage.node.addEventListener("pointerdown", (event) => event.stopImmediatePropagation(), true); // nothing to draw here
    this.stage.under = (x, y) => this.under(x, y);
    this.stage.listen({ point: (region) => this.show(region), pick() {}, draw() {} });
    this.rows = view.labels.map((label, region) => {
      const fill = make("i"), row = make("li", { role: "option", tabindex: "-1", "aria-selected": "false" }, make("span", { class: "ud-fill" }, fill), make("span", { class: "ud-name" }, label), make("small"));
      fill.style.transform = `scaleX(${this.scores[region]})`;
      row.style.setProperty("--colour", colours[region]);
      for (const kind of ["pointerenter", "focus"]) row.addEventListener(kind, () => this.show(region));
      for (const kind of ["pointerleave", "blur"]) row.addEventListener(kind, () => this.show(-1));
      return row;
    });
    this.list.replaceChildren(...this.order.map((region) => this.rows[region]));
    this.holder.style.setProperty("--aspect", view.aspect);
    this.holder.replaceChildren(this.stage.node, make("div", { class: "ud-side" }, this.list));
    this.choose();
  }

  box(region) {
    return this.boxes.subarray(4 * region, 4 * region + 4);
  }

  /** The smallest box under a point that is kept, or -1. */
  under(x, y) {
    const inside = this.kept.filter((region) => {
      const [x1, y1, x2, y2] = this.box(region);
      return x >= x1 && x < x2 && y >= y1 && y < y2;
    });
    return inside.sort((one, other) => areaOf(this.box(one)) - areaOf(this.box(other)))[0] ?? -1;
  }

  overlap(one, other) {
    const [a, b] = [this.box(one), this.box(other)];
    const wide = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), tall = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
    if (wide <= 0 || tall <= 0) return 0;
    return (wide * tall) / (areaOf(a) + areaOf(b) - wide * tall);
  }

  /** Keep the best box, drop its look-alikes, repeat. */
  choose() {
    const { model, view } = this, [threshold, most, across] = ["threshold", "overlap", "across"].map((name) => model.get(name));
    for (const [name, { input, shown }] of Object.entries(this.sliders)) {
      input.value = model.get(name);
      input.style.setProperty("--share", model.get(name));
      say(shown, model.get(name).toFixed(2));
    }
    const sure = this.order.filter((region) => this.scores[region] >= threshold);
    this.kept = [];
    this.lost = new Map(); // region -> the better one that it looks like
    for (const region of sure) {
      const rivals = this.kept.filter((other) => across || view.classes[other] === view.classes[region]);
      const winner = rivals.find((other) => this.overlap(region, other) > most);
      if (winner === undefined) this.kept.push(region);
      else this.lost.set(region, winner);
    }
    const kinds = new Set(this.kept.map((region) => view.classes[region])).size;
    say(this.count, `${this.order.length} found → ${sure.length} sure enough → ${this.kept.length} kept, ${kinds} classes`);
    this.rows.forEach((row, region) => {
      const winner = this.lost.get(region), lost = winner !== undefined;
      row.hidden = !lost && this.scores[region] < threshold;
      row.classList.toggle("ud-lost", lost);
      say(row.lastChild, lost ? `IoU ${this.overlap(region, winner).toFixed(2)}` : "");
      row.title = lost ? `suppressed: too much like ${view.labels[winner]}` : view.labels[region];
    });
    this.stop(this.rows[sure[0]]);
    this.show(-1);
  }

  /** Frame what is kept, or one region and, if it was suppressed, the one that did it. */
  show(region) {
    const winner = this.lost.get(region);
    const frames = this.kept.slice(0, 59).filter((other) => other !== region).map((other) => ({ region: other, number: "",
      strength: region < 0 ? this.scores[other] : other === winner ? 0.5 : 0, quiet: region >= 0 && other !== winner }));
    if (region >= 0) frames.unshift({ region, number: "", strength: 1 });
    this.stage.frame(frames);
    this.rows.forEach((row, number) => {
      row.classList.toggle("ud-special", number === region);
      row.setAttribute("aria-selected", String(number === region));
    });
  }
}

export default {
  render({ model, el }) {
    return ender(new Browser(model, el).endings);
  },
};
