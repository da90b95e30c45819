// Theme: dark, or light by choice, which is kept.

import { byId } from "./dom.js";
import { readPalette } from "./canvas.js";

const KEY = "orderbook-theme";

export function startTheme(onChange) {
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    readPalette();
    onChange();
  };
  const toggle = () => {
    const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light";
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // A browser that keeps nothing shows it until the page is closed.
    }
    set(theme);
  };
  let kept = null;
  try {
    kept = localStorage.getItem(KEY);
  } catch {
    // as above
  }
  byId("theme").addEventListener("click", toggle);
  set(kept === "light" ? "light" : "dark");
  return toggle;
}
