// What the bundle says of itself: its figures with n and interval, when it refuses, where it is from.

import { between, count, inWords, make, or, percent, percentBetween, percentWhole, size } from "./words.js";

const SPLITS = ["test", "validation", "train"]; // the first that there is, is the headline
const METHODS = {
  energy: "how strongly it answers at all",
  max_logit: "how strongly it answers at all",
  knn: "how near it lies to training photos",
  knn_energy: "how near it lies to training photos and how strongly it answers",
};

// One line: how many labels, and how often it is right.
export function summary(bundle) {
  const labels = `Knows ${count(bundle.labels.length, "label")}`;
  const found = headline(bundle);
  if (!found) return `${labels}.`;
  const [split, figures] = found;
  return `${labels}; right on ${percent(figures.top1)} of ${figures.n.toLocaleString("en")} ${split} photos.`;
}

export function drawAbout(place, bundle) {
  place.replaceChildren(
    ...figures(bundle),
    ...section("When it does not know", refuses(bundle)),
    ...section("How sure it is", sure(bundle)),
    ...section(count(bundle.labels.length, "label"), [labels(bundle)]),
    ...section("Where it comes from", [lineage(bundle)]),
    ...section("What it takes", takes(bundle)),
  );
}

function headline({ metrics }) {
  const split = SPLITS.find((each) => metrics?.[each]);
  return split ? [split, metrics[split]] : null;
}

function section(title, children) {
  return children.length ? [make("h3", {}, title), ...children] : [];
}

function figures(bundle) {
  const found = headline(bundle);
  if (!found) {
    return [make("p", {}, "It was not measured yet: kennel evaluate does that, and writes it down.")];
  }
  const [first, { n, top1, top1_interval: interval }] = found;
  const seen = { test: "that it never saw", validation: "that chose its settings", train: "that it learned from" };
  return [
    make(
      "p",
      { kind: "headline" },
      make("strong", {}, percent(top1)),
      make("span", {}, `right of ${count(n, `${first} photo`)} ${seen[first]}`),
      make("span", { kind: "quiet" }, `95 % interval ${percentBetween(interval)}`),
    ),
    ...SPLITS.filter((split) => bundle.metrics[split]).flatMap((split) => {
      const { n: photos, ...rest } = bundle.metrics[split];
      return [
        make("h4", {}, `${capital(split)}, ${count(photos, "photo")}`),
        make("dl", { kind: "figures" }, ...rows(rest)),
      ];
    }),
  ];
}

function rows(said) {
  const shares = [["Right at first", "top1", percent, percentBetween]];
  const numbers = [["Macro F1", "macro_f1"], ["Log loss", "log_loss"], ["Calibration error", "ece"]];
  const exact = (value) => value.toFixed(3);
  return [...shares, ...numbers.map((each) => [...each, exact, between])]
    .filter(([, key]) => typeof said[key] === "number")
    .map(([words, key, one, two]) => {
      const interval = said[`${key}_interval`];
      return make(
        "div",
        {},
        make("dt", {}, words),
        make("dd", {}, one(said[key])),
        Array.isArray(interval) ? make("dd", { kind: "quiet" }, two(interval)) : null,
      );
    });
}

function refuses({ rejection }) {
  if (!rejection) {
    return [make("p", {}, "It always names one of its labels, even for a photo of none of them.")];
  }
  const by = METHODS[rejection.method] ?? rejection.method;
  const own = rejection.candidates?.find((each) => each.method === rejection.method);
  return [
    make(
      "p",
      {},
      `It says “Not one I know” by ${by}, set so that it refuses at most ` +
        `${percentWhole(rejection.false_refusal_rate)} of ${count(rejection.n, `${rejection.split} photo`)} ` +
        "of its own labels.",
    ),
    ...(own
      ? [make("p", { kind: "quiet" }, `Told photos of left-out labels apart with an AUROC of ${own.auroc.toFixed(3)}.`)]
      : []),
  ];
}

function sure({ calibration, conformal }) {
  const said = [];
  if (calibration) {
    said.push(
      `Its percentages were set right on ${count(calibration.n, `${calibration.split} photo`)} ` +
        `(temperature ${calibration.temperature.toFixed(2)}).`,
    );
  } else {
    said.push("Its percentages are the network's own; nobody has set them right.");
  }
  if (conformal) {
    said.push(
      `Where several labels are named as possible, the right one is among them for ` +
        `${percentWhole(conformal.coverage)} of photos like the ${conformal.n} of ${conformal.split}.`,
    );
  }
  return said.map((words) => make("p", {}, words));
}

function labels(bundle) {
  return make("ul", { kind: "labels" }, ...bundle.labels.map((label) => make("li", {}, make("bdi", {}, inWords(label)))));
}

function lineage({ bundle_id: id, lineage: line, backbone, preprocess }) {
  const network = backbone ? [backbone.name, backbone.source, backbone.licence].filter(Boolean).join(", ") : null;
  const facts = [
    ["Bundle", id],
    ["Run", line?.run_id],
    ["Made", line?.created_utc?.replace("T", " ").replace("Z", " UTC")],
    ["Photos", line?.dataset_id?.slice(0, 12)],
    ["Commit", line?.git_commit?.slice(0, 12)],
    ["Seed", line?.seed],
    ["Network", network],
    ["Sees", preprocess?.size ? `${preprocess.size} × ${preprocess.size} pixels` : null],
  ];
  return make(
    "dl",
    { kind: "facts" },
    ...facts
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .flatMap(([words, value]) => [make("dt", {}, words), make("dd", {}, String(value))]),
  );
}

function takes({ limits, keys }) {
  const where = new URL("predict", document.baseURI).href;
  const key = keys ? "-H 'Authorization: Bearer KEY' " : "";
  const command = `curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' ${key}${where}`;
  const said = [];
  if (limits) {
    const pixels = limits.pixels ? ` and ${Math.round(limits.pixels / 1e6)} megapixels` : "";
    said.push(make("p", {}, `${or(limits.formats ?? [])} up to ${size(limits.bytes)}${pixels}.`));
  }
  said.push(
    make("p", {}, "A program asks like this; ", make("a", { href: "openapi.json" }, "openapi.json"), " says all of it."),
    make("pre", { tabindex: "0", "aria-label": "Command" }, make("code", {}, command)),
  );
  return said;
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1);
}
