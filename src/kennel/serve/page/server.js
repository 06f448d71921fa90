// What the server is asked, and what it says when it refuses.

import { size, or } from "./words.js";

const KEPT_KEY = "kennel-key";
const TITLES = {
  400: "No photo arrived",
  401: "A key is needed",
  403: "This is not allowed",
  408: "The photo took too long to arrive",
  413: "This photo is too large",
  415: "This is not a photo I can read",
  422: "This photo cannot be read",
  429: "Too many photos at once",
  502: "The server cannot be reached",
  503: "The server is busy",
  504: "The server took too long",
};
const PATIENCE_S = 60; // longer than this, nobody waits for a server that is busy

// A refusal in words. `again` says whether the same photo may be answered another time.
export class Problem extends Error {
  constructor(title, { detail = "", fix = "", status = 0, waitS = null, again = false } = {}) {
    super(title);
    Object.assign(this, { title, detail, fix, status, waitS, again });
  }
}

let key = kept();

export function useKey(word) {
  key = word;
  try {
    if (word) sessionStorage.setItem(KEPT_KEY, word);
    else sessionStorage.removeItem(KEPT_KEY);
  } catch {
    // A browser that keeps nothing: then it is asked for again after a reload.
  }
}

// What may stand in a header.
export function isKey(word) {
  return /^[\x21-\x7e]+$/.test(word);
}

function kept() {
  try {
    return sessionStorage.getItem(KEPT_KEY) ?? "";
  } catch {
    return "";
  }
}

// The answer to a photo: what the server says, the round trip in ms, and its own times by part.
export async function predict(body, contentType, { top, signal }) {
  const began = performance.now();
  const response = await ask(`predict?top=${top}`, {
    method: "POST",
    body,
    headers: { "Content-Type": contentType },
    signal,
  });
  const said = await json(response);
  const roundTripMs = performance.now() - began;
  const isAnswer = typeof said?.label === "string" && Array.isArray(said.top) && said.top.length;
  if (!isAnswer) throw foreign(response);
  return { said, roundTripMs, parts: parts(response.headers.get("Server-Timing")) };
}

// What the server says of its bundle: asked once, and again where that went wrong.
let asked = null;
export function bundle({ fresh = false } = {}) {
  if (fresh) asked = null;
  asked ??= ask("bundle", {})
    .then(async (response) => {
      const said = await json(response);
      if (typeof said?.bundle_id !== "string") throw foreign(response);
      return said;
    })
    .catch((problem) => {
      asked = null;
      throw problem;
    });
  return asked;
}

// Refused here, before it is sent, where the server would refuse it after.
export function checkSize(bytes, limits) {
  if (!limits?.bytes || bytes <= limits.bytes) return;
  throw new Problem("This file is too large", {
    detail: `It has ${size(bytes)}; ${size(limits.bytes)} are allowed.`,
    fix: `Save it smaller, as ${or(limits.formats ?? ["JPEG"])}.`,
  });
}

async function ask(path, { headers = {}, ...options }) {
  const sent = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
  let response;
  try {
    response = await fetch(path, { cache: "no-store", headers: sent, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server cannot be reached", {
      fix: "See whether it still runs and whether you are online, then try again.",
      again: true,
    });
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function json(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw foreign(response);
  }
}

function foreign(response) {
  return new Problem("This is no answer of Kennel", {
    detail: `Something else replied, with status ${response.status}.`,
    fix: "See what stands between this page and the server, then try again.",
    status: response.status,
    again: true,
  });
}

// A problem document (RFC 9457), or what can be said of a server in between that sends none.
async function refusal(response) {
  const said = await response.json().catch(() => null);
  const { status } = response;
  const text = (name) => (typeof said?.[name] === "string" ? said[name] : "");
  const blank = !text("type") || text("type") === "about:blank"; // then the title is HTTP's own
  return new Problem((blank && TITLES[status]) || text("title") || inOwnWords(status), {
    detail: sentence(text("detail")),
    fix: sentence(text("fix")),
    status,
    waitS: status === 429 || status === 503 ? wait(response.headers.get("Retry-After")) : null,
    again: status === 429 || status === 401 || status >= 500,
  });
}

function inOwnWords(status) {
  return status >= 500 ? "The server is in trouble" : `The server refuses this, with ${status}`;
}

// "ask again" -> "Ask again."
function sentence(words) {
  const whole = words.trim();
  if (!whole) return "";
  return whole[0].toUpperCase() + whole.slice(1) + (/[.!?)]$/.test(whole) ? "" : ".");
}

// Seconds from Retry-After, which is a number or a date; null where waiting is not worth it.
function wait(header) {
  if (header === null) return 1;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1e3;
  if (Number.isNaN(seconds)) return 1;
  return seconds > PATIENCE_S ? null : Math.max(0.5, seconds);
}

// "queue;dur=0.1, model;dur=5" -> {queue: 0.1, model: 5}
function parts(header) {
  const found = {};
  for (const part of (header ?? "").split(",")) {
    const [name, ...rest] = part.split(";").map((word) => word.trim());
    const ms = rest.find((word) => word.startsWith("dur="));
    if (name && ms) found[name] = Number(ms.slice(4));
  }
  return found;
}
