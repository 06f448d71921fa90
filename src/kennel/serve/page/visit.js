// What was answered on this visit: thumbnails, in memory only, and a click to see one again.

import { inWords, make, percent } from "./words.js";

export const MOST = 60; // photos that are kept, and that are taken at once

// Args: list, an <ol>. choose(entry) is called when one is to be seen again, changed(n) when
// their number changes.
export class Visit {
  constructor(list, { choose, changed }) {
    Object.assign(this, { list, choose, changed });
    this.buttons = new Map(); // of entries, oldest first
  }

  add(entry) {
    const button = make("button", { type: "button" }, picture(entry), ...caption(entry));
    button.addEventListener("click", () => this.choose(entry));
    const item = make("li", {}, button);
    this.buttons.set(entry, button);
    this.list.prepend(item);
    while (this.buttons.size > MOST) this.remove(this.buttons.keys().next().value);
    this.changed(this.buttons.size);
  }

  remove(entry) {
    if (!this.has(entry)) return;
    this.buttons.get(entry).parentNode.remove();
    this.buttons.delete(entry);
    release(entry);
    this.changed(this.buttons.size);
  }

  has(entry) {
    return this.buttons.has(entry);
  }

  clear() {
    for (const entry of [...this.buttons.keys()]) this.remove(entry);
  }

  mark(shown) {
    for (const [entry, button] of this.buttons) {
      if (entry === shown) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }
}

// The browser's memory of a photo that is no longer shown anywhere.
export function release({ url, thumb }) {
  URL.revokeObjectURL(url);
  if (thumb) URL.revokeObjectURL(thumb);
}

function picture({ thumb }) {
  return thumb ? make("img", { src: thumb, alt: "" }) : make("span", { kind: "nothing" }, "No preview");
}

// In words what the colour says besides: not known, or not answered.
function caption({ answer, problem, name }) {
  if (problem) return [make("span", { kind: "what bad" }, "Not answered"), make("span", { kind: "quiet" }, name)];
  const { known, label, probability } = answer.said;
  if (known === false) {
    return [make("span", { kind: "what" }, "Not one I know"), make("span", { kind: "quiet" }, name)];
  }
  const said = make("span", { kind: "what" }, make("bdi", {}, inWords(label)));
  return [said, make("span", { kind: "quiet" }, percent(probability))];
}
