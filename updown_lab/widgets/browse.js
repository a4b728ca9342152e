// The regions of an image: which of them are left at a threshold and after non-maximum suppression.

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
    this.list = make("ol", { class: "ud-list", "aria-label": "regions" });
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
    const colours = view.classes.map((kind) => COLOURS[kind] || `hsl(${Math.round(137.5 * kind) % 360} 80% 70%)`);
    this.colours = colours;
    this.stage = new Stage(this.url, view.aspect, boxes, view.labels, colours, Math.min(60, view.labels.length));
    this.stage.listen({ point: (region) => this.show(this.kept.includes(region) ? region : -1), pick() {}, draw() {} });
    this.rows = view.labels.map((label, region) => {
      const fill = make("i"), row = make("li", {}, make("span", { class: "ud-fill" }, fill), make("span", { class: "ud-name" }, label));
      fill.style.transform = `scaleX(${this.scores[region]})`;
      row.style.setProperty("--colour", colours[region]);
      row.addEventListener("pointerenter", () => this.show(region));
      row.addEventListener("pointerleave", () => this.show(-1));
      return row;
    });
    this.list.replaceChildren(...this.order.map((region) => this.rows[region]));
    this.holder.style.setProperty("--aspect", view.aspect);
    this.holder.replaceChildren(this.stage.node, make("div", { class: "ud-side" }, this.list));
    this.choose();
  }

  overlap(one, other) {
    const [a, b] = [one, other].map((region) => this.boxes.subarray(4 * region, 4 * region + 4));
    const wide = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), tall = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
    if (wide <= 0 || tall <= 0) return 0;
    const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
    return (wide * tall) / (area(a) + area(b) - wide * tall);
  }

  /** Keep the best box, drop its look-alikes, repeat. */
  choose() {
    const { model, view } = this, [threshold, most, across] = ["threshold", "overlap", "across"].map((name) => model.get(name));
    for (const [name, { input, shown }] of Object.entries(this.sliders)) {
      input.value = model.get(name);
      say(shown, model.get(name).toFixed(2));
    }
    const sure = this.order.filter((region) => this.scores[region] >= threshold);
    this.kept = [];
    for (const region of sure) {
      const rivals = this.kept.filter((other) => across || view.classes[other] === view.classes[region]);
      if (!rivals.some((other) => this.overlap(region, other) > most)) this.kept.push(region);
    }
    const kinds = new Set(this.kept.map((region) => view.classes[region])).size;
    say(this.count, `${this.order.length} found → ${sure.length} sure enough → ${this.kept.length} kept, ${kinds} classes`);
    const kept = new Set(this.kept);
    this.rows.forEach((row, region) => (row.hidden = !kept.has(region)));
    this.show(-1);
  }

  show(region) {
    const frames = this.kept.slice(0, 60).filter((other) => other !== region).map((other) => ({ region: other, number: "",
      strength: region < 0 ? this.scores[other] : 0, quiet: region >= 0 }));
    if (region >= 0) frames.unshift({ region, number: "", strength: 1 });
    this.stage.frame(frames);
    this.rows.forEach((row, number) => row.classList.toggle("ud-special", number === region));
  }
}

export default {
  render({ model, el }) {
    return ender(new Browser(model, el).endings);
  },
};
