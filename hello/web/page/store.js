// What the stream tells, of the store first.

const MINUTE = 60_000;
const STORES = { memory: "this pod’s memory", sqlite: "a SQLite file", etcd: "etcd", etcds: "etcd" }; // all others are Redis
const STATES = { up: "counting", starting: "has not answered yet", lost: "away", distrusted: "not to be trusted" };

let state = "up";
let store;
let epoch = find("page").dataset.epoch;
let readings = []; // of the last minute: when, count, and each pod's share

function show(message) {
  if (broken && sender) tell(`The stream is back, from ${message.pod}.`);
  sender = message.pod;
  showStream(false);
  showStore(message);
  learn(message);
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
  if (message.state === "up" && (state === "lost" || state === "distrusted")) tell("The store is back.");
  state = message.state;
  find("alone").hidden = store !== "memory";
  write(find("alone-pod"), message.pod);
  showStale();
}

function showStale() {
  find("live").classList.toggle("stale", broken || state !== "up");
}
