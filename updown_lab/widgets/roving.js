// Many things, one tab stop: the arrows walk from one to the next.

/**
 * @param holder of the items
 * @param role   of an item
 * @param next   (item, key) => the item that the key leads to, or nothing
 * @returns a function that makes an item the tab stop
 */
function rove(holder, role, next) {
  const itemOf = (node) => node.closest(`[role="${role}"]`);
  const stop = (item) => {
    for (const other of holder.querySelectorAll(`[role="${role}"][tabindex="0"]`)) other.tabIndex = -1;
    if (item) item.tabIndex = 0;
  };
  holder.addEventListener("focusin", ({ target }) => itemOf(target) && stop(itemOf(target)));
  holder.addEventListener("keydown", (event) => {
    const item = itemOf(event.target), free = !(event.altKey || event.ctrlKey || event.metaKey);
    const other = item && free && next(item, event.key);
    if (!other) return;
    event.preventDefault();
    other.focus();
  });
  return stop;
}

/** What arrows, Home and End mean in a list whose items are siblings; hidden ones are passed over. */
function walkList(item, key) {
  const seen = [...item.parentElement.children].filter((other) => !other.hidden), at = seen.indexOf(item);
  return { ArrowDown: seen[at + 1], ArrowUp: seen[at - 1], Home: seen[0], End: seen.at(-1) }[key];
}
