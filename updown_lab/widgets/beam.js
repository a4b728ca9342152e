// Beam search as a tree that grows to the right.

const ROW = 27, STEP = 104, EDGE = 12; // pixels

class Tree {
  constructor(model, el) {
    this.model = model;
    this.endings = [];
    this.root = makeRoot(el, "beam", "beam search", this.endings);
    this.sentence = make("div", { class: "ud-beam-sentence", "aria-live": "polite" });
    this.facts = make("div", { class: "ud-hint" });
    this.field = make("div", { class: "ud-tree", tabindex: "0" });
    this.root.append(this.sentence, make("div", { class: "ud-tree-frame" }, this.field), make("div", { class: "ud-bottom" }, this.facts));
    on(model, "change:nodes", () => this.build(), this.endings);
    this.build();
  }

  build() {
    const nodes = this.model.get("nodes"), children = nodes.map(() => []);
    nodes.forEach((node) => node.parent >= 0 && children[node.parent].push(node.id));
    const rows = new Array(nodes.length), best = (id) => (nodes[id].best ? Infinity : nodes[id].total);
    let leaves = 0;
    const lay = (id) => {
      const below = children[id].sort((one, other) => best(other) - best(one)).map(lay);
      return (rows[id] = below.length ? below[0] : leaves++);
    };
    if (nodes.length) lay(0);
    const lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const spot = ({ id, place }) => [EDGE + (place - 1) * STEP, EDGE + rows[id] * ROW];
    this.nodes = nodes;
    this.buttons = nodes.slice(1).map((node) => {
      const [x, y] = spot(node), chance = Math.exp(node.log_prob);
      if (node.parent > 0) lines.append(this.line(spot(nodes[node.parent]), [x, y], chance, node));
      const button = make("button", { type: "button", class: `ud-node ud-${node.fate}${node.best ? " ud-best" : ""}` }, make("span", {}, node.word), make("small", {}, percent(chance)));
      button.style.left = `${x}px`;
      button.style.top = `${y}px`;
      for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, () => this.tell(node.id));
      for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, () => this.tell(-1));
      return button;
    });
    const wide = EDGE * 2 + STEP * Math.max(1, ...nodes.map((node) => node.place)), tall = EDGE * 2 + ROW * Math.max(1, leaves);
    lines.setAttribute("width", wide);
    lines.setAttribute("height", tall);
    this.field.replaceChildren(lines, ...this.buttons);
    Object.assign(this.field.style, { width: `${wide}px`, height: `${tall}px` });
    this.tell(-1);
  }

  line([x1, y1], [x2, y2], chance, node) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path"), half = ROW / 2 - 3, from = x1 + STEP - 22;
    path.setAttribute("d", `M${x1} ${y1 + half} H${from} C${from + 14} ${y1 + half} ${x2 - 14} ${y2 + half} ${x2} ${y2 + half}`);
    path.setAttribute("stroke-width", (0.6 + 3.4 * chance).toFixed(2));
    path.setAttribute("class", node.best ? "ud-best" : `ud-${node.fate}`);
    return path;
  }

  /** The half-sentence up to a node; -1 for the winner. */
  tell(id) {
    const way = new Set();
    let end = id;
    if (end < 0) this.nodes.forEach((node) => node.best && (end = node.id));
    for (let at = end; at > 0; at = this.nodes[at].parent) way.add(at);
    const words = this.nodes.filter((node) => way.has(node.id)).map(({ word }) => word), node = this.nodes[end];
    say(this.sentence, words.join(" "));
    say(this.facts, node && id >= 0 ? `log p ${node.total.toFixed(2)} so far  ·  ${node.best ? "on the winner's way" : node.fate === "dropped" ? "given up here" : node.fate}`
      : this.model.get("title"));
    this.buttons.forEach((button, number) => button.classList.toggle("ud-way", id >= 0 && way.has(number + 1)));
  }
}

export default {
  render({ model, el }) {
    return ender(new Tree(model, el).endings);
  },
};
