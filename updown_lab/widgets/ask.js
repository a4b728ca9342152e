// Ask the image: a question, the likeliest answers, and where the model looked for them.

const HINT = "hover a region or a bar  ·  click keeps it  ·  esc lets go  ·  alt-click or × takes a region away  ·  drag on the picture draws one";

class Answers {
  constructor(view, url, rows, truth, hands) {
    const boxes = floats(view.boxes);
    Object.assign(this, { view, weights: halves(view.weights) });
    this.order = largest(this.weights, rows);
    this.most = this.weights.reduce((best, weight) => Math.max(best, weight), 1e-9);
    const colours = coloursOf(this.weights), remove = view.redo ? hands.remove : null;
    this.stage = new Stage(url, view.aspect, boxes, view.grid ? view.labels.map(() => "") : view.names, colours, rows);
    this.stage.remember(view.gone, view.own);
    this.stage.listen({ point: hands.point, draw: hands.draw,
      pick: (region, event) => (event.altKey ? region >= 0 && hands.remove(region) : hands.pick(region)) });
    this.bars = new Bars(rows, view.labels, view.names, colours, { point: hands.point, pick: hands.pick, remove });
    const answers = make("ol", { class: "ud-answers", "aria-label": "answers" }, ...view.answers.map((item) => this.answer(...item)));
    const said = make("div", { class: "ud-truth" }, truth);
    const side = make("div", { class: "ud-side" }, make("div", {}, answers, said), this.bars.node);
    const body = make("div", { class: view.aspect > 2 ? "ud-body ud-broad" : "ud-body" }, this.stage.node, side);
    body.style.setProperty("--aspect", view.aspect);
    this.node = make("article", { class: "ud-panel" }, view.name ? make("h4", {}, view.name) : null, this.earlier(hands), body);
  }

  /** What was done, the answer before it, and the way back. */
  earlier(hands) {
    const { before, done } = this.view, row = make("div", { class: "ud-before" });
    if (!done) return row;
    const back = make("button", { type: "button", class: "ud-back" }, "↩ all regions");
    back.addEventListener("click", hands.back);
    row.append(make("span", { class: "ud-done" }, done), make("span", { class: "ud-was" }, before ? `before: ${before}` : ""), back);
    return row;
  }

  answer(text, share, score) {
    const fill = make("i"), marks = score === null ? null : make("small", { title: "share of full marks against people's answers" },
      score > 0 ? `✓ ${score.toFixed(2)}` : "✗");
    fill.style.transform = `scaleX(${share})`;
    return make("li", { class: score === null ? null : score > 0 ? "ud-right" : "ud-wrong" }, make("span", { class: "ud-fill" }, fill),
      make("span", { class: "ud-name" }, text), marks, make("span", { class: "ud-share" }, percent(share)));
  }

  show(region) {
    const frames = this.order.map((number, rank) => ({ region: number, number: String(rank + 1),
      strength: this.weights[number] / this.most, quiet: this.weights[number] < 0.01 }));
    if (region >= 0 && !frames.some((item) => item.region === region)) frames.unshift({ region, number: "", strength: 1 });
    const asked = this.view.answers.length > 0;
    this.bars.node.style.visibility = asked ? "" : "hidden";
    this.stage.frame(asked ? frames : []);
    this.stage.dim("all", asked ? this.weights : null, 0);
    this.bars.show("where it looked", this.weights, this.order, this.most, region);
  }
}

class Asking {
  constructor(model, el) {
    this.model = model;
    this.endings = [];
    this.root = makeRoot(el, "ask", "ask the image", this.endings);
    this.url = pictureURL(model.get("image"), this.endings);
    this.field = make("input", { class: "ud-question", type: "text", "aria-label": "Question", placeholder: "ask about the picture, then Enter",
      autocomplete: "off", spellcheck: "false" });
    this.field.value = model.get("question");
    this.field.addEventListener("keydown", (event) => event.key === "Enter" && this.ask(this.field.value));
    this.row = make("div", { class: "ud-panels" });
    this.earlier = make("div", { class: "ud-chips ud-earlier", role: "group", "aria-label": "asked before" });
    this.note = make("div", { class: "ud-note", role: "status" });
    this.live = make("div", { class: "ud-live", "aria-live": "polite" });
    this.root.append(this.field, this.earlier, this.row, make("div", { class: "ud-bottom" }, make("div", { class: "ud-hint" }, HINT), this.note), this.live);
    this.root.addEventListener("keydown", (event) => event.key === "Escape" && this.set({ kept: -1, region: -1 }));
    on(model, "change:panels", () => this.rebuild(), this.endings);
    on(model, "change:question", () => (this.field.value = model.get("question")), this.endings);
    on(model, "change:note", () => say(this.note, model.get("note")), this.endings);
    on(model, "change:busy", () => this.wait(model.get("busy")), this.endings);
    this.rebuild();
    say(this.note, model.get("note"));
  }

  /** One wish at a time: the numbers of the next one would mean what is shown now. */
  tell(message) {
    if (this.model.offline) return say(this.note, "a saved page cannot ask the model; open the notebook for that");
    if (this.waiting) return;
    this.wait(true);
    this.model.send(message);
  }

  wait(busy) {
    this.waiting = busy;
    this.root.classList.toggle("ud-busy", busy);
  }

  ask(question) {
    if (question.trim()) this.tell({ kind: "ask", question });
  }

  rebuild() {
    const model = this.model;
    Object.assign(this, { region: -1, kept: -1, owner: -1 });
    const views = model.get("panels"), rows = Math.min(model.get("top"), Math.max(1, ...views.map((view) => view.labels.length)));
    this.panels = views.map((view, panel) => new Answers(view, this.url, rows, model.get("truth"), {
      point: (region) => this.set({ region, owner: region < 0 && this.kept < 0 ? -1 : panel }),
      pick: (region) => this.set({ kept: region === this.kept ? -1 : region, owner: panel }),
      remove: (region) => this.tell({ kind: "remove", panel, region }),
      draw: (box) => this.tell({ kind: "add", panel, box }),
      back: () => this.tell({ kind: "back", panel }),
    }));
    this.root.classList.toggle("ud-one", views.length === 1);
    this.root.classList.toggle("ud-changed", views.some((view) => view.done));
    arrange(this.row, views.length);
    this.row.replaceChildren(...this.panels.map((panel) => panel.node));
    this.earlier.replaceChildren(...model.get("examples").map((text) => {
      const chip = make("button", { type: "button", class: "ud-chip" }, make("span", {}, text));
      chip.addEventListener("click", () => ((this.field.value = text), this.ask(text)));
      return chip;
    }));
    say(this.live, views.map(({ name, answers }) => answers.length ? `${name} ${answers[0][0]}, ${percent(answers[0][1])}` : "").join("; "));
    this.show();
  }

  set(changes) {
    Object.assign(this, changes);
    this.show();
  }

  show() {
    this.panels.forEach((panel, number) => panel.show(number !== this.owner ? -1 : this.region >= 0 ? this.region : this.kept));
  }
}

export default {
  render({ model, el }) {
    return ender(new Asking(model, el).endings);
  },
};
