// The page: photos come in, are answered one after the other, and can be seen again.

import { drawAbout, summary } from "./about.js";
import { drawAnswer, drawProblem, drawWaiting, spoken } from "./answer.js";
import { thumbnail, toSend } from "./photo.js";
import { Problem, bundle, checkSize, isKey, predict, useKey } from "./server.js";
import { MOST, Visit, release } from "./visit.js";
import { count } from "./words.js";

const TOP = 10; // answers asked for; three are shown, the rest is one click away
const $ = (id) => document.getElementById(id);

let round = null; // photos that came together and are being answered: an AbortController
let shown = null; // the entry on the stage
let following = true; // whether new answers take the stage: not while an old one is looked at

const visit = new Visit($("seen"), {
  choose(entry) {
    following = false;
    show(entry);
    $("main").scrollIntoView({ block: "start" });
  },
  changed(n) {
    $("visit").hidden = n === 0;
  },
});

// ---- Photos come in -------------------------------------------------------------------------

$("choose").addEventListener("click", () => $("file").click());
$("take").addEventListener("click", () => $("camera").click());
for (const input of [$("file"), $("camera")]) {
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // the same photo may be chosen again
    if (files.length) answerAll(files);
  });
}

document.addEventListener("paste", (event) => {
  if (event.target.closest?.("input, textarea")) return;
  const files = [...event.clipboardData.files];
  if (files.length) answerAll(files);
  else notice("There is no picture on the clipboard: copy the picture itself, not its address.");
});

let inside = 0; // elements that what is dragged has entered and not left
document.addEventListener("dragenter", (event) => {
  event.preventDefault();
  inside += 1;
  document.body.classList.add("dragged-over");
});
document.addEventListener("dragleave", () => {
  inside = Math.max(0, inside - 1);
  if (!inside) document.body.classList.remove("dragged-over");
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("dragged-over");
  const items = [...event.dataTransfer.items];
  if (items.some((item) => item.webkitGetAsEntry?.()?.isDirectory)) {
    return notice("That is a folder: open it and drop the photos in it.");
  }
  const files = [...event.dataTransfer.files];
  if (files.length) return answerAll(files);
  return notice("No picture came with that: save it first, then drop the file.");
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && round && !document.querySelector("dialog[open]")) stop();
});
$("stop").addEventListener("click", stop);
$("forget").addEventListener("click", () => {
  stop();
  if (shown) shown.gone = true; // it may not be among them yet
  visit.clear();
  showNothing();
  $("choose").focus();
});

// ---- Photos are answered --------------------------------------------------------------------

// Each in order. What comes while others are under way takes their place.
async function answerAll(files) {
  round?.abort();
  $("about").close();
  const mine = new AbortController();
  round = mine;
  following = true;
  const taken = files.slice(0, MOST);
  const [took, came] = [taken.length, files.length];
  notice(took < came ? `The first ${took} of ${came} were taken: kennel predict answers whole folders.` : "");
  for (const [at, file] of taken.entries()) {
    await answerOne(file, mine.signal, taken.length > 1 ? `${at + 1} of ${taken.length}` : "");
    if (mine.signal.aborted) return;
  }
  round = null;
  working(false);
}

async function answerOne(file, signal, place) {
  const name = file.name || "the photo";
  const entry = { file, name, url: URL.createObjectURL(file), thumb: null, gone: false };
  const before = shown;
  if (following) showPhoto(entry);
  working(true, place);
  try {
    entry.answer = await asked(file, signal, place);
  } catch (error) {
    if (signal.aborted) return stopped(entry, before);
    entry.problem = error instanceof Problem ? error : unexpected(error);
  }
  say(spoken(entry));
  if (following && !signal.aborted) show(entry);
  const small = await thumbnail(file);
  entry.thumb = small && URL.createObjectURL(small);
  if (entry.gone) return release(entry);
  visit.add(entry);
  visit.mark(shown);
}

// Back to what was seen before, unless another photo has taken its place already.
function stopped(entry, before) {
  if (shown === entry) {
    if (visit.has(before)) show(before);
    else showNothing();
  }
  release(entry);
}

// One answer; once more by itself where the server is busy, and as often as a key is given.
async function asked(file, signal, place) {
  let waited = false;
  for (;;) {
    try {
      const about = await bundle().catch(refusedKey);
      const { body, type, shrunk } = await toSend(file, about);
      signal.throwIfAborted();
      checkSize(body.size, about?.limits);
      const answer = await predict(body, type, { top: TOP, signal });
      if (about && answer.said.bundle !== about.bundle_id) tell(bundle({ fresh: true }));
      return { ...answer, shrunk };
    } catch (problem) {
      if (problem.status === 401 && (await askForKey(problem, signal))) continue;
      if (waited || !(problem.waitS > 0)) throw problem;
      waited = true;
      const words = `The server is busy. Trying again in ${count(Math.ceil(problem.waitS), "second")}`;
      working(true, place, words);
      say(words);
      await pause(1000 * problem.waitS, signal);
      working(true, place);
    }
  }
}

// Without the bundle's own words a photo is sent as it is; only a missing key is in the way.
function refusedKey(problem) {
  if (problem.status === 401) throw problem;
  return null;
}

function unexpected(error) {
  console.error(error);
  return new Problem("This photo cannot be read", {
    detail: "It may have been moved or changed since you chose it.",
    fix: "Choose it again.",
  });
}

function stop() {
  const under = round;
  round = null;
  under?.abort();
  if (under) say("Stopped.");
  working(false);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

// ---- What is seen ---------------------------------------------------------------------------

function show(entry) {
  showPhoto(entry);
  $("main").dataset.state = entry.problem ? "problem" : "answer";
  if (entry.problem) drawProblem($("answer"), entry, () => answerAgain(entry));
  else drawAnswer($("answer"), entry, coverage);
}

function answerAgain(entry) {
  entry.gone = true;
  visit.remove(entry);
  answerAll([entry.file]);
  $("answer").focus();
}

function showPhoto(entry) {
  shown = entry;
  const photo = $("photo");
  $("no-picture").hidden = true;
  photo.hidden = false;
  photo.alt = entry.name;
  photo.onerror = () => {
    if (entry.thumb && photo.src !== entry.thumb) {
      photo.src = entry.thumb;
      return;
    }
    photo.hidden = true;
    $("no-picture").textContent = `${entry.name}: your browser cannot show it.`;
    $("no-picture").hidden = false;
  };
  photo.src = entry.url;
  visit.mark(entry);
}

function showNothing() {
  shown = null;
  $("main").dataset.state = "empty";
  $("photo").hidden = true;
  $("photo").removeAttribute("src");
  $("no-picture").hidden = true;
  $("answer").replaceChildren();
}

function working(yes, place = "", words = "") {
  document.body.classList.toggle("at-work", yes);
  $("stage").setAttribute("aria-busy", String(yes));
  if (!yes && document.activeElement === $("stop")) $("choose").focus();
  $("stop").hidden = !yes;
  if (!yes || !following) return;
  $("main").dataset.state = "waiting";
  drawWaiting($("answer"), words || `Looking${place ? `, ${place}` : ""} …`);
}

function notice(words) {
  $("notice").textContent = words;
}

function say(words) {
  $("status").textContent = words;
}

// ---- The model ------------------------------------------------------------------------------

let coverage = null; // that the bundle promises for the labels named as possible

// Words of the bundle, wherever they stand.
async function tell(asking) {
  try {
    const said = await asking;
    coverage = said.conformal?.coverage ?? null;
    $("summary").textContent = summary(said);
    if ($("about").open) drawAbout($("about-body"), said);
  } catch {
    $("summary").textContent = "";
  }
}

$("open-about").addEventListener("click", async () => {
  const body = $("about-body");
  body.textContent = "One moment …";
  if (!$("about").open) $("about").showModal();
  for (;;) {
    try {
      drawAbout(body, await bundle());
      return;
    } catch (problem) {
      if (problem.status === 401 && (await askForKey(problem))) continue;
      drawProblem(body, { problem }, () => $("open-about").click());
      return;
    }
  }
});
$("close-about").addEventListener("click", () => $("about").close());
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
}

// ---- A key ----------------------------------------------------------------------------------

let given = false; // whether a key was sent that the server did not take

// Asks for a key; true once there is one, false where none is given.
function askForKey(problem, signal) {
  const dialog = $("ask-key");
  $("key-wrong").textContent = given ? "The server does not take this key." : "";
  $("key").value = "";
  useKey("");
  dialog.showModal();
  $("key").focus();
  return new Promise((resolve) => {
    const end = (key) => {
      over.abort();
      given = key !== "";
      useKey(key);
      if (dialog.open) dialog.close();
      resolve(key !== "");
    };
    const over = new AbortController();
    const until = { signal: over.signal };
    $("key-form").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        const word = $("key").value.trim();
        if (isKey(word)) return end(word);
        $("key-wrong").textContent = "A key has letters, digits and signs, and no blanks.";
        return $("key").focus();
      },
      until,
    );
    $("no-key").addEventListener("click", () => end(""), until);
    dialog.addEventListener("close", () => end(""), until);
    signal?.addEventListener("abort", () => end(""), until);
  });
}

tell(bundle());
