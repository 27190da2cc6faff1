// The live part of the page. Without it the page still shows the number.
"use strict";

const VISITS = 100;
const AT_ONCE = 4; // a browser has six connections to a server, and the stream holds one of them
const SILENCE = 5000; // a message comes each second: after so many milliseconds without one the stream is broken
const MINUTE = 60_000;
const STORES = { memory: "this pod’s memory", sqlite: "a SQLite file" }; // all others are Redis
const STATES = { up: "counting", starting: "has not answered yet", lost: "away", distrusted: "not to be trusted" };

// Behind a proxy's prefix this page may be at /prefix or at /prefix/: the stream is below it.
const EVENTS = location.pathname.replace(/\/?$/, "/events");

const find = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const perSecond = (rate) => (rate < 9.95 ? rate.toFixed(1) : number(Math.round(rate)));

// A pod's name is input: it is only ever written as text.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function add(parent, tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}

// An alert is read out when it changes: write it only then.
function warn(id, text) {
  if (find(id).textContent === text) return;
  find(id).hidden = !text;
  find(id).textContent = text;
}

function tell(text) {
  const item = document.createElement("li");
  add(item, "time", "", new Date().toLocaleTimeString("en-GB"));
  item.append(text);
  find("news").prepend(item);
  if (find("news").children.length > 8) find("news").lastChild.remove();
}

// ---- the stream ----

let stream, silence, pause;
let sender; // the pod that the stream comes from
let broken = false;

function listen() {
  stop();
  stream = new EventSource(EVENTS);
  stream.onerror = listenAgain;
  stream.onmessage = ({ data }) => {
    expect();
    show(JSON.parse(data));
  };
  expect();
}

function expect() {
  clearTimeout(silence);
  silence = setTimeout(listenAgain, SILENCE);
}

function stop() {
  clearTimeout(silence);
  clearTimeout(pause);
  stream?.close();
}

// The browser would try again by itself, but not after a 503, and all browsers in the same moment.
function listenAgain() {
  stop();
  if (!broken) tell(`The stream${sender ? ` from ${sender}` : ""} broke off: looking for another pod.`);
  showStream(true);
  pause = setTimeout(listen, 500 + 1000 * Math.random());
}

// A page that is not seen does not watch: a browser has few connections, and keeps no page with an open one for "back".
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : listen()));

// ---- what it tells ----

let state = "up";
let store;
let epoch = find("page").dataset.epoch;
let readings = []; // of the last minute: when, count, and each pod's share
const colours = new Map(); // a pod keeps the colour in which it was first shown
const arrivals = new Map(); // when a pod came that was not there before

function show(message) {
  if (broken) tell(`The stream is back, from ${message.pod}.`);
  sender = message.pod;
  showStream(false);
  showStore(message);
  const last = readings.at(-1);
  // While the store is empty there is no epoch, and a pod that learns of a reset late may still tell of the old one.
  if (message.state !== "up" || !message.epoch) return;
  if (message.epoch !== epoch) begin(message);
  else if (last && message.count < last.count) return;
  const shares = new Map(message.pods.map(({ pod, count }) => [pod, count]));
  readings.push({ at: performance.now(), count: message.count, shares });
  readings = readings.filter(({ at }) => at > performance.now() - MINUTE);
  showTotal(message);
  showPods(message);
}

function begin(message) {
  if (epoch && message.store !== "memory")
    warn("anew", `The count began anew: someone ran “hello reset”, or the store lost what it had.
      A number that was given before may come again.`);
  epoch = message.epoch;
  readings = [];
}

function showStream(isBroken) {
  broken = isBroken;
  find("stream-lamp").classList.toggle("on", !broken);
  write(find("stream"), broken ? "connecting again" : `live from ${sender}`);
  showStale();
}

function showStore(message) {
  store = message.store;
  const name = STORES[store] ?? "Redis";
  find("store-lamp").classList.toggle("on", message.state === "up");
  write(find("store"), `${name}: ${STATES[message.state]}`);
  warn("trouble", {
    up: "",
    starting: `The store has not answered yet: ${name}. Visitors wait.`,
    lost: `The store is away: ${name} does not answer. Visitors wait, or are told to come again; no number is made up.`,
    distrusted: `Nobody is counted: ${message.reason}. A person must run “hello reset”.`,
  }[message.state]);
  if (state !== "up" && message.state === "up") tell("The store is back.");
  state = message.state;
  find("alone").hidden = store !== "memory";
  write(find("alone-pod"), message.pod);
  showStale();
}

function showStale() {
  find("live").classList.toggle("stale", broken || state !== "up");
}

// ---- the count ----

function showTotal(message) {
  write(find("total"), number(message.count));
  write(find("rate"), perSecond(rate((reading) => reading.count)));
  const now = readings.at(-1).at;
  const steps = readings.slice(1).map((reading, i) => ({
    x: 60 * (1 - (now - reading.at) / MINUTE),
    rate: Math.max(0, (1000 * (reading.count - readings[i].count)) / (reading.at - readings[i].at)),
  }));
  const highest = Math.max(1, ...steps.map((step) => step.rate));
  const line = steps.map((step) => `${step.x.toFixed(2)},${(19 - (18 * step.rate) / highest).toFixed(2)}`);
  find("curve").querySelector("polyline").setAttribute("points", line.join(" "));
  find("curve").querySelector("polygon")
    .setAttribute("points", steps.length ? `${steps[0].x},20 ${line.join(" ")} 60,20` : "");
}

// Over the last five seconds, so that it can be read.
function rate(count) {
  const last = readings.at(-1);
  const first = readings.find(({ at }) => at > last.at - 5500);
  return first === last ? 0 : (1000 * (count(last) - count(first))) / (last.at - first.at);
}

// ---- the pods ----

const rows = new Map();

function showPods({ pods, count, began, earlier }) {
  const first = !rows.size;
  const lines = pods.toSorted((a, b) => a.gone - b.gone || (a.pod < b.pod ? -1 : 1));
  if (earlier) lines.push({ pod: "earlier pods", count: earlier, gone: true });
  for (const [pod, row] of rows)
    if (!lines.some((line) => line.pod === pod)) {
      row.line.remove();
      rows.delete(pod);
    }
  lines.forEach((line, place) => {
    const row = rows.get(line.pod) ?? makeRow(line, first);
    if (find("pods").children[place] !== row.line) find("pods").insertBefore(row.line, find("pods").children[place]);
    fillRow(row, line, count > began ? line.count / (count - began) : 0);
  });
}

function makeRow({ pod, gone }, first) {
  if (!first && !gone && !colours.has(pod)) {
    tell(`Pod ${pod} is new.`);
    arrivals.set(pod, performance.now());
  }
  const line = document.createElement("tr");
  line.className = colour(pod);
  const head = add(line, "th");
  head.scope = "row";
  add(head, "span", "pod", pod);
  const tags = ["greeted you", "new", "gone"].map((text) => add(head, "span", "tag", text));
  const bar = add(add(head, "div", "bar"), "i");
  const row = { line, gone, tags, bar, cells: [1, 2, 3].map(() => add(line, "td")) };
  rows.set(pod, row);
  return row;
}

function fillRow(row, { pod, count, gone }, share) {
  if (gone !== row.gone) tell(`Pod ${pod} is ${gone ? "gone" : "back"}.`);
  row.gone = gone;
  row.line.classList.toggle("gone", gone);
  const isNew = arrivals.get(pod) > performance.now() - MINUTE;
  [pod === greeter, isNew && !gone, gone].forEach((holds, i) => (row.tags[i].hidden = !holds));
  row.bar.style.width = `${100 * share}%`;
  const perPod = rate(({ shares }) => shares.get(pod) ?? count);
  [number(count), `${(100 * share).toFixed(1)} %`, gone ? "–" : perSecond(perPod)].forEach((text, i) => write(row.cells[i], text));
}

function colour(pod) {
  if (!colours.has(pod)) colours.set(pod, `pod${colours.size % 8}`);
  return colours.get(pod);
}

// ---- a hundred visits ----

const given = new Map(); // each number that came to this page, and the pods and epochs that it came from
const twice = new Set();

// After a reset a number may come again; pods that count each for itself have an epoch each, and there it must not.
function receive(count, pod, epoch) {
  const others = given.get(count) ?? [];
  const same = others.findLast((other) => other.epoch === epoch || store === "memory");
  if (same) twice.add(`Number ${number(count)} came twice: from ${same.pod} and from ${pod}.`);
  given.set(count, [...others, { pod, epoch }]);
}

// The server closes the connection of each of these: a kept one would stay with its pod.
async function visit() {
  const headers = { Accept: "application/json", "Hello-Connection": "close" };
  const response = await fetch("", { headers, cache: "no-store", signal: AbortSignal.timeout(15_000) });
  if (!response.ok) throw new Error(response.status);
  return response.json();
}

async function visitOften() {
  const squares = Array.from({ length: VISITS }, () => document.createElement("i"));
  find("squares").replaceChildren(...squares);
  find("visit").disabled = true;
  write(find("visited"), "");
  const numbers = [];
  const pods = new Map();
  const waiting = squares.values();
  const come = async () => {
    for (const square of waiting)
      try {
        const { count, pod, epoch } = await visit();
        receive(count, pod, epoch);
        numbers.push(count);
        pods.set(pod, (pods.get(pod) ?? 0) + 1);
        square.className = colour(pod);
      } catch {
        square.className = "failed";
      }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, come));
  find("visit").disabled = false;
  showVisits(numbers, pods);
}

function showVisits(numbers, pods) {
  const spread = [...pods].map(([pod, visits]) => `${visits} by ${pod}`).join(", ");
  const counted = numbers.length
    ? `${numbers.length} visits got the numbers ${number(Math.min(...numbers))} to ${number(Math.max(...numbers))}: ${spread}.` : "";
  const failed = numbers.length < VISITS ? `${VISITS - numbers.length} got no number.` : "";
  const verdict = twice.size ? [...twice].slice(0, 3).join(" ") : numbers.length ? "None came twice." : "";
  find("visited").classList.toggle("wrong", twice.size > 0);
  write(find("visited"), [counted, failed, verdict].filter(Boolean).join(" "));
}

// ---- the beginning ----

const greeter = find("greeter")?.textContent;
if (greeter) {
  receive(Number(find("number").textContent), greeter, epoch);
  tell(`You came, and ${greeter} greeted you.`);
}
find("visit").addEventListener("click", visitOften);
find("live").hidden = false;
if (!document.hidden) listen();
