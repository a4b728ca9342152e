// A table of scores: sort by a column, filter, click a row to look at it.

const MOST = 200; // rows in the page at a time

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
    this.heads = this.columns.map((column) => this.head(column));
    this.body = make("tbody");
    this.root.append(make("div", { class: "ud-controls" }, this.search, ...choices, this.count),
      make("div", { class: "ud-table" }, make("table", {}, make("thead", {}, make("tr", {}, ...this.heads)), this.body)));
    on(model, "change:chosen", () => this.mark(), this.endings);
    this.show();
  }

  head(column) {
    const button = make("button", { type: "button" }, column), head = make("th", { scope: "col" }, button);
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
    this.mark();
  }

  row(number) {
    const cells = this.rows[number].map((value) => make("td", { class: typeof value === "number" ? "ud-number" : null },
      value === null ? "" : typeof value === "number" && !Number.isInteger(value) ? String(+value.toPrecision(4)) : String(value)));
    const row = make("tr", { tabindex: "0", "data-row": number }, ...cells);
    const choose = () => (this.model.set("chosen", number), this.model.save_changes(), this.mark());
    row.addEventListener("click", choose);
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter") choose();
      const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
      if (next) event.preventDefault(), next.focus();
    });
    return row;
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
