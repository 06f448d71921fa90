// How things are said: labels, shares, sizes and times in words.

const THIN = "\u202f"; // a narrow blank at which no line breaks

// A label as people read it: folders have underscores where words have spaces. As kennel.look has it.
export function inWords(label) {
  return label.replaceAll("_", " ").split(/\s+/).filter(Boolean).join(" ") || label;
}

// 0.9523 -> "95.2 %"
export function percent(share) {
  return `${(100 * share).toFixed(1)}${THIN}%`;
}

// 0.95 -> "95 %": for what was set, not measured
export function percentWhole(share) {
  return `${Math.round(1000 * share) / 10}${THIN}%`;
}

// [0.949, 0.989] -> "94.9 to 98.9 %"
export function percentBetween([low, high]) {
  return `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}${THIN}%`;
}

export function between([low, high]) {
  return `${low.toFixed(3)} to ${high.toFixed(3)}`;
}

export function size(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))}${THIN}kB`;
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)}${THIN}MB`;
}

export function milliseconds(ms) {
  if (ms >= 1e4) return `${Math.round(ms / 1e3)}${THIN}s`;
  if (ms >= 1e3) return `${(ms / 1e3).toFixed(1)}${THIN}s`;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)}${THIN}ms`;
}

export function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

// ["a", "b", "c"] -> "a, b or c"
export function or(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

// An element. Children are nodes or strings, and strings become text, whatever they hold.
export function make(name, { kind, ...attributes } = {}, ...children) {
  const node = document.createElement(name);
  if (kind) node.className = kind;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}
