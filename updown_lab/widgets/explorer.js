// The attention explorer: words above a picture; point at a word and see where the model looked.
// Pointing, pinning and playing need no kernel. Only a new sentence does.

const BEAT = 900; // milliseconds a word while playing
const KEYS = "hover a word or a region  ·  click pins  ·  ← → walk  ·  space plays  ·  esc lets go";
const WISHES = "  ·  alt-click or × takes a region away  ·  drag on the picture draws one";

class Explorer {
  constructor(model, el) {
    this.model = model;
    this.endings = [];
    this.root = makeRoot(el, "explorer", "attention explorer", this.endings);
    this.url = pictureURL(model.get("image"), this.endings);
    Object.assign(this, { hovered: -1, region: -1, kept: -1, owner: -1, timer: 0, unseen: false });
    this.build();
    this.root.addEventListener("keydown", (event) => this.key(event));
    on(model, "change:panels", () => this.renew(), this.endings);
    for (const name of ["pinned", "scale"]) on(model, `change:${name}`, () => this.show(), this.endings);
    on(model, "change:note", () => this.noteOf(), this.endings);
    on(model, "change:busy", () => this.wait(model.get("busy")), this.endings);
    this.endings.push(() => this.play(false));
  }

  build() {
    this.player = make("button", { type: "button", class: "ud-tool", title: "play (space)", "aria-label": "play" }, "▶");
    this.scaler = make("button", { type: "button", class: "ud-tool", "aria-pressed": "false",
      title: "bars and light of all words on one scale, or each word on its own" }, "one scale");
    this.misser = make("button", { type: "button", class: "ud-tool", "aria-pressed": "false",
      title: "light what lies in no region, and list the regions that were hardly looked at" }, "what did it not see?");
    this.note = make("div", { class: "ud-note", role: "status" });
    this.live = make("div", { class: "ud-live", "aria-live": "polite" });
    this.row = make("div", { class: "ud-panels" });
    this.player.addEventListener("click", () => this.play(!this.timer));
    this.scaler.addEventListener("click", () => this.keep("scale", this.model.get("scale") === "word" ? "absolute" : "word"));
    this.misser.addEventListener("click", () => this.miss(!this.unseen));
    this.hint = make("div", { class: "ud-hint" });
    this.root.append(this.row, make("div", { class: "ud-bottom" }, this.player, this.scaler, this.misser, this.hint, this.note), this.live);
    this.rebuild();
    this.noteOf();
  }

  rebuild() {
    this.play(false);
    const views = this.model.get("panels"), most = Math.max(1, ...views.map((view) => view.labels.length));
    const rows = Math.min(this.model.get("top"), most);
    this.panels = views.map((view, number) => new Panel(view, this.url, rows, this.hands(number)));
    this.length = Math.max(0, ...this.panels.map((panel) => panel.words.length));
    this.row.replaceChildren(...this.panels.map((panel) => panel.node));
    arrange(this.row, views.length);
    this.root.classList.toggle("ud-one", views.length === 1);
    this.root.classList.toggle("ud-changed", views.some((view) => view.before?.length));
    say(this.hint, KEYS + (views.some((view) => view.redo) ? WISHES : ""));
    Object.assign(this, { hovered: -1, region: -1, kept: -1 });
    this.show();
  }

  /** After a change: the focus stays with the words, and the change is told. */
  renew() {
    const held = this.root.contains(this.focused()), changed = this.asked ?? 0;
    this.rebuild();
    const { view, words, buttons } = this.panels[changed] || this.panels[0];
    say(this.live, [view.done, words.join(" ")].filter(Boolean).join(": "));
    if (held) (buttons[this.model.get("pinned")] || this.root).focus({ preventScroll: true });
  }

  /** What has the focus, also within a shadow root. */
  focused() {
    return this.root.getRootNode().activeElement;
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

  /** One wish at a time: the numbers of the next one would mean what is shown now. */
  ask(message) {
    if (this.waiting) return;
    if (this.model.get("panels")[message.panel].redo) {
      this.asked = message.panel;
      this.wait(true);
      return this.model.send(message);
    }
    say(this.note, this.model.offline ? "a saved page cannot ask the model; open the notebook for that"
      : "these are words without their model; make the explorer from a Speaker to change the sentence");
  }

  wait(busy) {
    this.waiting = busy && !this.model.offline;
    this.root.classList.toggle("ud-busy", this.waiting);
  }

  /** Change a trait here and in the kernel. */
  keep(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  pin(place) {
    this.unseen = false;
    this.keep("pinned", place);
    const focused = this.focused(), panel = this.panels.find(({ buttons }) => buttons.includes(focused));
    if (place >= 0) panel?.buttons[place]?.focus({ preventScroll: true });
    this.show();
    say(this.live, place < 0 ? "" : this.panels.map((one) => one.told(place)).filter(Boolean).join("; "));
  }

  miss(unseen) {
    this.play(false);
    if (unseen) this.keep("pinned", -1);
    this.set({ unseen, hovered: -1, kept: -1 });
    say(this.live, unseen ? this.panels.map(({ stats, more }) => `${stats.textContent}; ${more.textContent}`).join("; ") : "");
  }

  walk(step) {
    const pinned = this.model.get("pinned"), now = pinned < 0 ? this.hovered : pinned;
    this.pin(now < 0 ? (step > 0 ? 0 : this.length - 1) : (now + step + this.length) % this.length);
  }

  play(going) {
    clearInterval(this.timer);
    this.timer = going && this.length ? setInterval(() => this.walk(1), BEAT) : 0;
    if (this.timer) this.model.get("pinned") < 0 ? this.pin(Math.max(0, this.hovered)) : this.walk(1);
    say(this.player, this.timer ? "❚❚" : "▶");
    this.player.setAttribute("aria-label", this.timer ? "stop" : "play");
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const onButton = event.target.matches?.(".ud-bar, .ud-chip, .ud-tool, .ud-away, .ud-back");
    const deeds = {
      ArrowRight: () => this.walk(1), ArrowLeft: () => this.walk(-1), Home: () => this.pin(0), End: () => this.pin(this.length - 1),
      Escape: () => (this.play(false), this.set({ kept: -1, region: -1, hovered: -1, unseen: false }), this.pin(-1)),
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
    const absolute = this.model.get("scale") === "absolute", unseen = this.unseen && place < 0;
    this.scaler.setAttribute("aria-pressed", String(absolute));
    this.misser.setAttribute("aria-pressed", String(unseen));
    this.panels.forEach((panel, number) => {
      const region = number !== this.owner ? -1 : this.region >= 0 ? this.region : this.kept;
      panel.show(place, region, { absolute, pinned, unseen });
    });
  }
}

export default {
  render({ model, el }) {
    return ender(new Explorer(model, el).endings);
  },
};
