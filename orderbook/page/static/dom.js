// Elements and their text; text goes in as text only, and only where it changed.

export const byId = (id) => document.getElementById(id);

export function element(tag, name = "", text = "", attributes = {}) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function write(node, text) {
  const first = node.firstChild;
  if (!first) node.textContent = text;
  else if (first.nodeValue !== text) first.nodeValue = text;
}

export function mark(node, name, on) {
  if (node.classList.contains(name) !== on) node.classList.toggle(name, on);
}

export function name(node, value) {
  if (node.className !== value) node.className = value;
}

export function label(node, text) {
  if (node.getAttribute("aria-label") !== text) node.setAttribute("aria-label", text);
}

// A bar that is a share of its cell, by a scale that no layout depends on.
export function stretch(bar, share) {
  const scale = `scaleX(${Math.min(1, Math.max(0, share || 0)).toFixed(3)})`;
  if (bar.style.transform !== scale) bar.style.transform = scale;
}

// Make a table's body have so many rows, each with these cells; gives the rows.
export function haveRows(body, count, make) {
  while (body.children.length < count) body.append(make(body.children.length));
  while (body.children.length > count) body.lastChild.remove();
  return body.children;
}

// A row of cells, the first of which may be its header.
export function cells(names, header = false) {
  const row = element("tr");
  names.forEach((each, place) => {
    const isHeader = header && place === 0;
    row.append(element(isHeader ? "th" : "td", each, "", isHeader ? { scope: "row" } : {}));
  });
  return row;
}
