// What a model looked at, as bars: a fixed number of rows, so nothing jumps.

class Bars {
  /**
   * @param labels a name a region
   * @param names  the ends of the labels that are kept whole where there is little room: what a thing is, not how
   * @param hands  {point(region), pick(region), remove(region) or null}
   */
  constructor(top, labels, names, colours, hands) {
    Object.assign(this, { labels, names, colours });
    this.title = make("div", { class: "ud-bars-title" });
    this.rest = make("div", { class: "ud-rest" });
    this.rows = Array.from({ length: top }, () => this.row(hands));
    this.node = make("div", { class: "ud-bars" }, this.title, make("ol", {}, ...this.rows.map((row) => row.node)), this.rest);
  }

  row(hands) {
    const parts = { number: make("b"), like: make("span"), name: make("span"), share: make("span", { class: "ud-share" }),
      fill: make("i"), region: -1 };
    const button = make("button", { type: "button", class: "ud-bar" }, make("span", { class: "ud-fill" }, parts.fill),
      parts.number, make("span", { class: "ud-name" }, parts.like, parts.name), parts.share);
    parts.away = make("button", { type: "button", class: "ud-away", title: "take this region away and decode again" }, "×");
    parts.away.hidden = !hands.remove;
    parts.node = make("li", {}, button, parts.away);
    parts.node.addEventListener("pointerenter", () => hands.point(parts.region));
    parts.node.addEventListener("pointerleave", () => hands.point(-1));
    button.addEventListener("focus", () => hands.point(parts.region));
    button.addEventListener("blur", () => hands.point(-1));
    button.addEventListener("click", () => hands.pick(parts.region));
    parts.away.addEventListener("click", () => hands.remove(parts.region));
    return Object.assign(parts, { button });
  }

  /**
   * @param order   the regions to show
   * @param full    the weight of a whole bar
   * @param special the region under the hand
   * @param rest    what is said of the others
   */
  show(title, weights, order, full, special, rest = this.others(weights, order)) {
    say(this.title, title);
    say(this.rest, rest);
    this.rows.forEach((row, rank) => {
      const region = row.region = order[rank] ?? -1, weight = region < 0 ? 0 : weights[region];
      row.node.classList.toggle("ud-empty", region < 0);
      row.button.disabled = row.away.disabled = region < 0;
      row.node.classList.toggle("ud-special", region >= 0 && region === special);
      say(row.number, region < 0 ? "" : String(rank + 1));
      const [label, name] = region < 0 ? ["", ""] : [this.labels[region], this.names[region]];
      say(row.like, label.endsWith(name) ? label.slice(0, label.length - name.length) : "");
      say(row.name, label.endsWith(name) ? name : label);
      say(row.share, region < 0 ? "" : percent(weight));
      row.fill.style.transform = `scaleX(${Math.min(1, weight / full).toFixed(4)})`;
      row.node.style.setProperty("--colour", region < 0 ? "transparent" : this.colours[region]);
      if (region >= 0) row.away.setAttribute("aria-label", `take away ${this.labels[region]}`);
    });
  }

  others(weights, order) {
    const others = this.labels.length - order.length, told = order.reduce((sum, region) => sum + weights[region], 0);
    return others > 0 ? `${percent(Math.max(0, 1 - told))} on ${others} other${others > 1 ? "s" : ""}` : "";
  }
}

/** A colour for each region, the same for all words: the most looked-at ones get the clearest. */
function coloursOf(totals) {
  const colours = new Array(totals.length);
  Array.from(totals.keys()).sort((one, other) => totals[other] - totals[one])
    .forEach((region, rank) => (colours[region] = COLOURS[rank] || `hsl(${Math.round(137.5 * rank) % 360} 80% 70%)`));
  return colours;
}
