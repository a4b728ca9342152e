// Training as it runs: one small chart a column, a line a run.

const WIDE = 300, TALL = 130, LEFT = 44, LOW = 22; // pixels of a chart and of its margins

/** A number in at most seven letters. */
function short(value) {
  const size = Math.abs(value), [digits, power] = value.toExponential(2).split("e");
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return `${+digits}e${+power}`;
  return size >= 1000 ? `${+(value / 1000).toFixed(1)}k` : `${+value.toPrecision(3)}`;
}

const colourOf = (number) => COLOURS[number % COLOURS.length];

/** The mark of a run. */
function dab(number) {
  const mark = make("i", { class: "ud-dab" });
  mark.style.background = colourOf(number);
  return mark;
}

/** One column of all runs. */
function chart(column, runs) {
  const points = runs.map(({ rows }) => rows.filter((row) => Number.isFinite(row[column])).map((row) => [row.step, row[column]]));
  const all = points.flat();
  if (!all.length) return figure(column, [], blank());
  const [xs, ys] = [0, 1].map((side) => all.map((point) => point[side]));
  const [last, low, high] = [Math.max(1, ...xs), Math.min(...ys), Math.max(...ys)], room = high - low || Math.abs(high) || 1;
  const x = (step) => LEFT + (step / last) * (WIDE - LEFT - 8), y = (value) => TALL - LOW - ((value - low) / room) * (TALL - LOW - 12);
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": `${column} over steps` });
  for (const value of high > low ? [low, (low + high) / 2, high] : [low]) {
    svg.append(draw("line", { class: "ud-rule", x1: LEFT, x2: WIDE - 8, y1: y(value), y2: y(value) }),
      draw("text", { x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end" }, short(value)));
  }
  svg.append(draw("text", { x: WIDE - 8, y: TALL - 5, "text-anchor": "end" }, `step ${short(last)}`));
  points.forEach((line, number) => {
    const colour = colourOf(number);
    svg.append(draw("polyline", { points: line.map(([step, value]) => `${x(step)},${y(value)}`).join(" "), stroke: colour, fill: "none" }));
    for (const [step, value] of line.length > 40 ? line.slice(-1) : line) {
      const dot = draw("circle", { cx: x(step), cy: y(value), r: 2.6, fill: colour });
      dot.append(draw("title", {}, `${runs[number].name}: step ${step}, ${value.toPrecision(4)}`));
      svg.append(dot);
    }
  });
  const now = points.map((line, number) => line.length && make("b", {}, runs.length > 1 ? dab(number) : null, short(line.at(-1)[1])));
  return figure(column, now.filter(Boolean), svg);
}

/** A chart with its name and the newest values. */
function figure(name, values, svg) {
  return make("figure", { class: "ud-chart" }, make("figcaption", {}, make("span", {}, name), ...values), svg);
}

/** As large as a chart, so that nothing jumps when the first score comes. */
function blank() {
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": "no score yet" });
  for (const share of [0, 1]) {
    const y = 12 + share * (TALL - LOW - 12);
    svg.append(draw("line", { class: "ud-rule", x1: LEFT, x2: WIDE - 8, y1: y, y2: y }));
  }
  svg.append(draw("text", { class: "ud-waiting", x: (LEFT + WIDE - 8) / 2, y: (TALL - LOW + 12) / 2 + 4, "text-anchor": "middle" }, "no score yet"));
  return svg;
}

class Monitor {
  constructor(model, el) {
    this.model = model;
    this.endings = [];
    this.root = makeRoot(el, "monitor", "training monitor", this.endings);
    this.stop = make("button", { type: "button", class: "ud-tool" }, "■ stop");
    this.stop.addEventListener("click", () => ((this.asked = true), model.send({ kind: "stop" }), this.show()));
    this.state = make("div", { class: "ud-hint", role: "status" });
    this.note = make("div", { class: "ud-note", role: "status" });
    this.charts = make("div", { class: "ud-charts" });
    this.key = make("div", { class: "ud-key" });
    this.sentences = make("ol", { class: "ud-sentences", "aria-label": "what it says now", "aria-live": "polite" });
    this.root.append(this.key, this.charts, this.sentences, make("div", { class: "ud-bottom" }, this.stop, this.state, this.note));
    for (const name of ["runs", "samples", "state", "stoppable", "note"]) on(model, `change:${name}`, () => this.show(), this.endings);
    this.show();
  }

  show() {
    const { model } = this, runs = model.get("runs"), columns = [...new Set(runs.flatMap(({ columns }) => columns))];
    this.key.replaceChildren(...runs.map(({ name }, number) => make("span", {}, dab(number), name)));
    this.charts.replaceChildren(...(columns.length ? columns.map((column) => chart(column, runs)) : [figure("", [], blank())]));
    this.sentences.replaceChildren(...model.get("samples").map((text) => make("li", {}, text)));
    this.sentences.hidden = !model.get("samples").length;
    say(this.state, model.get("state"));
    say(this.note, model.get("note") || (this.asked && model.get("stoppable") ? "asked to stop; it saves first" : ""));
    this.stop.hidden = !model.get("stoppable");
  }
}

export default {
  render({ model, el }) {
    return ender(new Monitor(model, el).endings);
  },
};
