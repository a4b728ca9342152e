// Small tools that all widgets share.
// Text of data sets and models enters the page only as text nodes (make, textContent): never as HTML.

const COLOURS = ["#ffb000", "#4cc2ff", "#ff6f9c", "#3ddc97", "#c79bff", "#ff8a5c", "#8be04e", "#f2e85c"];

/** An element with attributes and children; strings become text. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Write only what changed: an untouched node costs the browser nothing. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Bytes from the kernel come as DataView, ArrayBuffer or Uint8Array, depending on the notebook. */
function viewOf(bytes) {
  if (bytes instanceof DataView) return bytes;
  return bytes instanceof ArrayBuffer ? new DataView(bytes) : new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** float16 numbers, none of them negative: attention weights. */
function halves(bytes) {
  const view = viewOf(bytes), numbers = new Float32Array(view.byteLength / 2);
  for (let place = 0; place < numbers.length; place++) {
    const bits = view.getUint16(2 * place, true), power = (bits >> 10) & 31, rest = bits & 1023;
    numbers[place] = power ? 2 ** (power - 15) * (1 + rest / 1024) : 2 ** -14 * (rest / 1024);
  }
  return numbers;
}

/** float32 numbers. */
function floats(bytes) {
  const view = viewOf(bytes), numbers = new Float32Array(view.byteLength / 4);
  for (let place = 0; place < numbers.length; place++) numbers[place] = view.getFloat32(4 * place, true);
  return numbers;
}

/** A link to picture bytes for as long as the widget lives; the browser finds out the format itself. */
function pictureURL(bytes, endings) {
  const view = viewOf(bytes);
  const url = URL.createObjectURL(new Blob([new Uint8Array(view.buffer, view.byteOffset, view.byteLength)]));
  endings.push(() => URL.revokeObjectURL(url));
  return url;
}

const percent = (share) => (share > 0 && share < 0.005 ? "<1%" : `${Math.round(100 * share)}%`);

/** The places of the largest numbers, largest first, none of them zero. */
function largest(numbers, count) {
  const order = Array.from(numbers.keys()).filter((place) => numbers[place] > 0);
  return order.sort((one, other) => numbers[other] - numbers[one]).slice(0, count);
}

/** Dark or light as the page around the widget is, in any notebook, and when it changes. */
function followTheme(root, endings) {
  const look = () => {
    for (let node = root.parentElement; node; node = node.parentElement) {
      const [red, green, blue, alpha = 1] = (getComputedStyle(node).backgroundColor.match(/[\d.]+/g) || []).map(Number);
      if (alpha > 0 && red !== undefined) {
        root.dataset.theme = 0.3 * red + 0.59 * green + 0.11 * blue < 128 ? "dark" : "light";
        return;
      }
    }
    root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  };
  const soon = () => requestAnimationFrame(look);
  const observer = new MutationObserver(soon), media = matchMedia("(prefers-color-scheme: dark)");
  for (const node of [document.documentElement, document.body]) observer.observe(node, { attributes: true });
  media.addEventListener("change", soon);
  endings.push(() => (observer.disconnect(), media.removeEventListener("change", soon)));
  look();
  soon(); // once more when the widget is in the page
}

/** Listen to a trait until the widget goes. */
function on(model, name, hear, endings) {
  model.on(name, hear);
  endings.push(() => model.off(name, hear));
}

/** The box around every widget. Keys pressed in here are ours, not the notebook's, but Ctrl+S must still save. */
function makeRoot(el, kind, label, endings) {
  const root = make("section", { class: `updown updown-${kind}`, role: "group", "aria-label": label, tabindex: "-1",
    "data-lm-suppress-shortcuts": "true" });
  const isCommand = (event) => event.ctrlKey || event.metaKey;
  root.addEventListener("keydown", (event) => isCommand(event) || event.stopPropagation());
  // JupyterLab looks at the document's door, before the key comes here, whether it may take it. We stand before it.
  const allow = (event) => root.toggleAttribute("data-lm-suppress-shortcuts", !isCommand(event));
  window.addEventListener("keydown", allow, true);
  endings.push(() => window.removeEventListener("keydown", allow, true));
  el.append(root);
  followTheme(root, endings);
  endings.push(() => root.remove());
  return root;
}

/** Up to three panels stand in a row, more in rows of two: four beside each other would leave a hole. */
function arrange(row, count) {
  row.style.setProperty("--columns", count > 3 ? 2 : count || 1);
  row.classList.toggle("ud-many", count > 3);
}

const ender = (endings) => () => endings.splice(0).forEach((end) => end());
