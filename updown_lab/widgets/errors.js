// A table of scores: sort by a column, filter, click a row to look at it.

const MOST = 200; // rows in the page at a time

/** How many decimals show a column's numbers to about four digits, one under the other; null if it holds no number. */
function decimalsOf(column) {
  const numbers = column.filter((value) => typeof value === "number");
  if (!numbers.length || numbers.every(Number.isInteger)) return numbers.length ? 0 : null;
  const most = numbers.reduce((so, value) => Math.max(so, Math.abs(value)), 0);
  return Math.min(8, Math.max(0, 3 - Math.floor(Math.log10(most))));
}

class Table {
  constructor(model, el) {
    this.model = model;
    this.endings = [];
    this.root = makeRoot(el, "errors", "error browser", this.endings);
    Object.assign(this, { columns: model.get("columns"), rows: model.get("rows"), sorted: model.get("sort"), down: false, filters: {} });
    this.search = make("input", { type: "search", class: "ud-search", placeholder: "find in any column", "aria-label": "find" });
    this.search.addEventListener("input", () => this.show());
    const choices = Object.entries(model.get("choices")).map(([column, values]) => {
      const list = make("select", { "aria-label": column }, make("option", { value: "" }, `${column}: all`),
        ...values.map((value) => make("option", { value }, value)));
      list.addEventListener("change", () => ((this.filters[column] = list.value), this.show()));
      return list;
    });
    this.count = make("div", { class: "ud-count", role: "status" });
    this.decimals = this.columns.map((_, place) => decimalsOf(this.rows.map((row) => row[place])));
    this.heads = this.columns.map((column, place) => this.head(column, this.decimals[place] !== null));
    this.body = make("tbody");
    this.stop = rove(this.body, "row", walkList);
    this.note = make("div", { class: "ud-note", role: "status" });
    this.root.append(make("div", { class: "ud-controls" }, this.search, ...choices, this.count),
      make("div", { class: "ud-table" }, make("table", { role: "grid", "aria-label": "scores" },
        make("thead", {}, make("tr", {}, ...this.heads)), this.body)), this.note);
    on(model, "change:chosen", () => this.mark(), this.endings);
    on(model, "change:note", () => say(this.note, model.get("note")), this.endings);
    say(this.note, model.get("note"));
    this.show();
  }

  head(column, numbers) {
    const button = make("button", { type: "button" }, column), head = make("th", { scope: "col", class: numbers ? "ud-number" : null }, button);
    button.addEventListener("click", () => {
      this.down = this.sorted === column ? !this.down : false;
      this.sorted = column;
      this.show();
    });
    return head;
  }

  show() {
    const text = this.search.value.toLowerCase(), place = this.columns.indexOf(this.sorted), sign = this.down ? -1 : 1;
    const wanted = Object.entries(this.filters).filter(([, value]) => value).map(([column, value]) => [this.columns.indexOf(column), value]);
    const order = this.rows.map((_, number) => number).filter((number) => {
      const row = this.rows[number];
      return wanted.every(([column, value]) => String(row[column]) === value) && (!text || row.some((cell) => String(cell).toLowerCase().includes(text)));
    });
    if (place >= 0) order.sort((one, other) => {
      const [a, b] = [this.rows[one][place], this.rows[other][place]];
      return a === b ? 0 : a === null ? 1 : b === null ? -1 : sign * (a < b ? -1 : 1);
    });
    this.heads.forEach((head, number) => head.setAttribute("aria-sort", number !== place ? "none" : this.down ? "descending" : "ascending"));
    this.body.replaceChildren(...order.slice(0, MOST).map((number) => this.row(number)));
    const values = place >= 0 ? order.map((number) => this.rows[number][place]).filter((value) => typeof value === "number") : [];
    const mean = values.length ? `, mean ${this.sorted} ${+(values.reduce((sum, value) => sum + value, 0) / values.length).toPrecision(4)}` : "";
    say(this.count, `${order.length} of ${this.rows.length}${mean}${order.length > MOST ? `, first ${MOST} shown` : ""}`);
    this.stop(this.body.firstElementChild);
    this.mark();
  }

  row(number) {
    const cells = this.rows[number].map((value, place) => typeof value === "number"
      ? make("td", { class: "ud-number", title: value }, value.toFixed(this.decimals[place] ?? 0))
      : make("td", { title: value }, value ?? ""));
    const row = make("tr", { role: "row", tabindex: "-1", "data-row": number }, ...cells);
    row.addEventListener("click", () => this.choose(number));
    row.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.choose(number);
    });
    return row;
  }

  choose(number) {
    if (this.model.get("chosen") === number && this.model.get("note")) this.model.set("chosen", -1), this.model.save_changes(); // once more
    this.model.set("chosen", number);
    this.model.save_changes();
    this.mark();
    if (this.model.offline) say(this.note, "a saved page: open the notebook to look at the picture");
  }

  mark() {
    const chosen = String(this.model.get("chosen"));
    for (const row of this.body.children) row.setAttribute("aria-selected", String(row.dataset.row === chosen));
  }
}

export default {
  render({ model, el }) {
    return ender(new Table(model, el).endings);
  },
};
