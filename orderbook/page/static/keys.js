// Keys, and the help that lists them.

import { byId, element } from "./dom.js";

const HELP = [
  ["↑ ↓", "choose the product above or below; Page and Home, End likewise"],
  ["/", "filter by name or state; Escape ends it"],
  ["s, S", "sort by the next column; turn the order round"],
  ["+ −", "group the ladder by a larger, a smaller step"],
  ["c", "put the mid into the middle of the ladder"],
  ["t", "dark or light"],
  ["?", "this help"],
];

export function startKeys({ table, ladder, toggleTheme }) {
  const help = byId("help");
  const search = byId("search");
  const showHelp = () => help.open || help.showModal();
  for (const [key, meaning] of HELP) byId("keys").append(element("dt", "", key), element("dd", "", meaning));
  byId("help-open").addEventListener("click", showHelp);
  const actions = {
    ArrowUp: () => table.move(-1),
    ArrowDown: () => table.move(1),
    PageUp: () => table.move(-20),
    PageDown: () => table.move(20),
    Home: () => table.move(-Infinity),
    End: () => table.move(Infinity),
    "/": () => search.focus(),
    s: () => table.sortBy(table.column + 1, false),
    S: () => table.sortBy(table.column, !table.reversed),
    "+": () => ladder.shift(1),
    "-": () => ladder.shift(-1),
    c: () => ladder.centre(),
    t: toggleTheme,
    "?": showHelp,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const { target, key } = event;
    if (target === search) {
      if (key === "Escape") {
        search.value = "";
        table.search("");
      }
      if (key === "Escape" || key === "Enter") byId("grid").focus();
      if (key !== "ArrowUp" && key !== "ArrowDown") return;
    } else if (target.closest("input, select")) {
      return;
    } else if (target.closest(".scroll") && key.length > 1) {
      return; // what scrolls a pane, scrolls it
    }
    const action = actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
