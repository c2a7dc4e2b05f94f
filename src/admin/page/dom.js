// Elements made of text and attributes. Nothing here parses markup: whatever a name holds, it stays
// a text.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else set(node, name, value);
  }
  node.append(...children);
  return node;
}

/** An element of HTML; `on...` attributes are listeners, null ones are left out. */
export const el = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets an attribute unless it is so already; null removes it. */
export function set(node, name, value) {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Sets the text unless it is so already: what is read aloud or marked stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const byId = (id) => document.getElementById(id);

/** Keeps the children of `parent` in step with `items`, by key: an element that stays keeps focus. */
export function keep(parent, items, keyOf, make, update) {
  const there = (parent.kept ??= new Map());
  const wanted = new Set();
  let place = null;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let node = there.get(key);
    if (!node) there.set(key, (node = make(item)));
    const next = place ? place.nextSibling : parent.firstChild;
    if (next !== node) parent.insertBefore(node, next);
    update(node, item);
    place = node;
  }
  for (const [key, node] of there) {
    if (!wanted.has(key)) {
      node.remove();
      there.delete(key);
    }
  }
}
