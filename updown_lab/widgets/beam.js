// Beam search as a tree that grows to the right.

const ROW = 27, STEP = 108, EDGE = 12, START = 30; // pixels; START is the room of the dot where all sentences begin

class Tree {
  constructor(model, el) {
    this.model = model;
    this.endings = [];
    this.root = makeRoot(el, "beam", "beam search", this.endings);
    this.sentence = make("div", { class: "ud-beam-sentence", "aria-live": "polite" });
    this.head = make("div", { class: "ud-beam-head" });
    this.facts = make("div", { class: "ud-hint" });
    this.field = make("div", { class: "ud-tree", role: "tree", "aria-orientation": "horizontal", "aria-label":
      "half-sentences; right and left go on and back, up and down to other words" });
    this.stop = rove(this.field, "treeitem", (item, key) => this.items[this.next(this.items.indexOf(item) + 1, key) - 1]);
    this.root.append(this.head, make("div", { class: "ud-tree-frame" }, this.field), make("div", { class: "ud-bottom" }, this.facts));
    on(model, "change:nodes", () => this.build(), this.endings);
    this.build();
  }

  /** Rows of all nodes: the winner's way on top, then the likelier half-sentences. */
  lay() {
    const { nodes } = this, best = (id) => (nodes[id].best ? Infinity : nodes[id].total);
    this.children = nodes.map(() => []);
    nodes.forEach((node) => node.parent >= 0 && this.children[node.parent].push(node.id));
    this.children.forEach((ids) => ids.sort((one, other) => best(other) - best(one)));
    this.rows = new Array(nodes.length);
    let leaves = 0;
    const lay = (id) => {
      const below = this.children[id].map(lay);
      return (this.rows[id] = below.length ? below[0] : leaves++);
    };
    if (nodes.length) lay(0);
    return leaves;
  }

  build() {
    const nodes = (this.nodes = this.model.get("nodes")), leaves = this.lay();
    const lines = draw("svg", { "aria-hidden": "true" });
    const spot = ({ id, place }) => [place ? EDGE + START + (place - 1) * STEP : EDGE, EDGE + this.rows[id] * ROW];
    this.items = nodes.slice(1).map((node) => {
      lines.append(this.line(spot(nodes[node.parent]), spot(node), node));
      return this.item(node, spot(node));
    });
    lines.append(draw("circle", { class: "ud-start", cx: EDGE + 4, cy: EDGE + ROW / 2 - 3, r: 4 }));
    const wide = EDGE * 2 + START + STEP * Math.max(1, ...nodes.map((node) => node.place)), tall = EDGE * 2 + ROW * Math.max(1, leaves);
    for (const [side, size] of [["width", wide], ["height", tall]]) {
      lines.setAttribute(side, size);
      this.field.style[side] = `${size}px`;
    }
    this.field.replaceChildren(lines, ...this.items);
    const ends = nodes.filter(({ id }) => id && !this.children[id].length); // unseen, they keep the room of the longest
    this.head.replaceChildren(this.sentence, ...ends.map(({ id }) => make("div", { class: "ud-beam-room", "aria-hidden": "true" }, this.words(id))));
    this.stop(this.items[0]);
    this.held = -1;
    this.tell(-1);
  }

  item(node, [x, y]) {
    const siblings = this.children[node.parent], chance = percent(Math.exp(node.log_prob));
    const item = make("div", { class: `ud-node ud-${node.fate}${node.best ? " ud-best" : ""}`, role: "treeitem", tabindex: "-1",
      "aria-label": `${node.word === "■" ? "end" : node.word}, ${chance}, ${this.fate(node)}`, "aria-level": node.place,
      "aria-setsize": siblings.length, "aria-posinset": siblings.indexOf(node.id) + 1,
      "aria-expanded": this.children[node.id].length ? "true" : null }, make("span", {}, node.word), make("small", {}, chance));
    Object.assign(item.style, { left: `${x}px`, top: `${y}px` });
    item.addEventListener("pointerenter", () => this.tell(node.id));
    item.addEventListener("pointerleave", () => this.tell(this.held));
    item.addEventListener("focus", () => this.tell((this.held = node.id)));
    item.addEventListener("blur", () => this.tell((this.held = -1)));
    return item;
  }

  line([x1, y1], [x2, y2], node) {
    const half = ROW / 2 - 3, chance = Math.exp(node.log_prob), from = node.parent ? x1 + STEP - 22 : x1 + 6;
    const bend = Math.min(14, (x2 - from) / 2);
    return draw("path", { class: node.best ? "ud-best" : `ud-${node.fate}`, "stroke-width": (0.8 + 3.2 * chance).toFixed(2),
      d: `M${x1 + 2} ${y1 + half} H${from} C${from + bend} ${y1 + half} ${x2 - bend} ${y2 + half} ${x2} ${y2 + half}` });
  }

  /** Where a key leads from a node: on, back, or to the word above or below in the same place. */
  next(id, key) {
    const column = this.nodes.filter(({ place }) => place === this.nodes[id].place).map((node) => node.id);
    column.sort((one, other) => this.rows[one] - this.rows[other]);
    const at = column.indexOf(id), way = this.nodes.filter(({ best }) => best);
    return { ArrowRight: this.children[id][0], ArrowLeft: this.nodes[id].parent, ArrowUp: column[at - 1], ArrowDown: column[at + 1],
      Home: way[1]?.id, End: way.at(-1).id }[key];
  }

  words(id) {
    const words = [];
    for (let at = id; at > 0; at = this.nodes[at].parent) words.unshift(this.nodes[at].word);
    return words.join(" ");
  }

  fate(node) {
    return node.best ? "on the winner's way" : node.fate === "dropped" ? "given up here" : node.fate;
  }

  /** The half-sentence up to a node; -1 for the winner. */
  tell(id) {
    const way = new Set(), winner = this.nodes.findLast(({ best }) => best)?.id ?? 0, node = this.nodes[id];
    for (let at = id; at > 0; at = this.nodes[at].parent) way.add(at);
    say(this.sentence, this.words(id < 0 ? winner : id));
    say(this.facts, node ? `log p ${node.total.toFixed(2)} so far  ·  ${this.fate(node)}` : this.model.get("title"));
    this.items.forEach((item, number) => item.classList.toggle("ud-way", way.has(number + 1)));
  }
}

export default {
  render({ model, el }) {
    return ender(new Tree(model, el).endings);
  },
};
