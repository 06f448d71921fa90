// The answer to a photo, the wait for it, or why there is none: all in the same place.

import { inWords, make, milliseconds, percent, percentWhole, size } from "./words.js";

const SHOWN = 3; // bars; the others are one click away
const NAMED = 6; // of the labels among which the right one should be
const LONG = 32; // letters from which a label is set smaller
const PARTS = { queue: "waiting in line", decode: "reading the photo", model: "the model" };

// An answer. `coverage` is what the bundle promises of `among`, or null.
export function drawAnswer(place, { answer }, coverage) {
  const { said } = answer;
  if (said.known === false) {
    place.replaceChildren(
      make("h2", { kind: "label" }, "Not one I know"),
      make("p", {}, "The nearest I know is ", name(said.label), ". That is a hint, not an answer."),
      folded("What I would have guessed", said.top.map(bar)),
      times(answer),
    );
    return;
  }
  const rest = said.top.slice(SHOWN).map(bar);
  place.replaceChildren(
    make("h2", { kind: longOr("label", said.label) }, name(said.label)),
    firstBar(said.top[0]),
    ...said.top.slice(1, SHOWN).map(bar),
    ...(rest.length ? [folded(`${rest.length} more`, rest)] : []),
    ...among(said, coverage),
    times(answer),
  );
}

export function drawWaiting(place, words) {
  place.replaceChildren(make("h2", { kind: "label waiting" }, words));
}

// A refusal, with what to do now. `again` is called where trying again makes sense.
export function drawProblem(place, { problem }, again) {
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", again);
  place.replaceChildren(
    make("h2", { kind: longOr("label bad", problem.title) }, problem.title),
    ...(problem.detail ? [make("p", {}, problem.detail)] : []),
    ...(problem.fix ? [make("p", { kind: "fix" }, problem.fix)] : []),
    ...(problem.again ? [make("p", {}, button)] : []),
  );
}

// What a screen reader says of it.
export function spoken({ answer, problem, name: file }) {
  if (problem) return [problem.title, problem.detail, problem.fix].filter(Boolean).join(" ");
  const { said } = answer;
  if (said.known === false) {
    return `${file}: not one I know. The nearest I know is ${inWords(said.label)}.`;
  }
  const [first, ...others] = said.top.slice(0, SHOWN);
  const say = ({ label, probability }) => `${inWords(label)}, ${percent(probability)}`;
  return `${file}: ${say(first)}. ${others.length ? `Then ${others.map(say).join("; ")}.` : ""}`;
}

// A label may be written in any script, in any direction: that ends with it.
function name(label) {
  return make("bdi", {}, inWords(label));
}

function longOr(kind, words) {
  return words.length > LONG ? `${kind} long` : kind;
}

function track(probability) {
  const bar = make("div", { kind: "bar", "aria-hidden": "true" }, make("i"));
  bar.firstChild.style.width = `${Math.min(100, Math.max(0, 100 * probability))}%`;
  return bar;
}

function firstBar({ probability }) {
  return make(
    "div",
    { kind: "guess first" },
    track(probability),
    make("strong", {}, percent(probability)),
  );
}

function bar({ label, probability }) {
  return make(
    "div",
    { kind: "guess" },
    make("span", { kind: "of" }, name(label)),
    make("span", { kind: "share" }, percent(probability)),
    track(probability),
  );
}

function folded(title, children) {
  return make("details", {}, make("summary", {}, title), ...children);
}

// Where more labels than the first are possible: which, and how often the right one is among them.
function among(said, coverage) {
  if (!Array.isArray(said.among) || said.among.length < 2) return [];
  const named = said.among.slice(0, NAMED);
  const left = said.among.length - named.length;
  const words = named.flatMap((label, at) => [at ? ", " : "", name(label)]);
  if (left) words.push(` and ${left} more`);
  const often = coverage ? `, as it is for ${percentWhole(coverage)} of photos` : "";
  return [make("p", { kind: "among" }, "The right one should be among ", ...words, `${often}.`)];
}

function times({ said, roundTripMs, parts, shrunk }) {
  const own = typeof said.took_ms === "number" ? `, ${milliseconds(said.took_ms)} on the server` : "";
  const detail = Object.entries(PARTS)
    .filter(([part]) => Number.isFinite(parts[part]))
    .map(([part, words]) => `${words} ${milliseconds(parts[part])}`);
  return make(
    "p",
    { kind: "quiet times" },
    make("span", {}, `Answered in ${milliseconds(roundTripMs)}${own}`),
    detail.length ? make("span", {}, `Of these: ${detail.join(", ")}`) : null,
    shrunk ? make("span", {}, `Sent as ${size(shrunk.to)} of ${size(shrunk.from)}`) : null,
  );
}
