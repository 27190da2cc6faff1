// Messages, and the state of the store.

const MINUTE = 60_000;
const STORES = { memory: "this pod’s memory", sqlite: "a SQLite file", etcd: "etcd", etcds: "etcd" }; // or else Redis
const STATES = { up: "counting", starting: "no answer yet", lost: "not answering", distrusted: "not trusted" };

let state = "up";
let { store, epoch } = find("page").dataset;
let readings = []; // of the last minute: time, count, and shares by pod

function show(message) {
  tellLink(message);
  sender = message.pod;
  showLink(message.polled ? "polling" : "live");
  showStore(message);
  learn(message);
  const last = readings[readings.length - 1];
  // An empty store has no epoch, and a pod that learns of a reset late may still send the old one.
  if (message.state !== "up" || !message.epoch) return;
  if (message.epoch !== epoch) begin(message);
  else if (last && message.count < last.count) return;
  const shares = new Map(message.pods.map(({ pod, count }) => [pod, count]));
  readings.push({ at: performance.now(), count: message.count, shares });
  readings = readings.filter(({ at }) => at > performance.now() - MINUTE);
  showTotal(message);
  showPods(message);
}

function tellLink({ pod, polled }) {
  if (polled && link !== "polling") tell("No live stream comes through: this page asks for the count instead.");
  if (!polled && sender && link !== "live") tell(`The stream is back, from ${pod}.`);
}

function begin(message) {
  if (epoch && store !== "memory")
    warn("anew", `The count restarted: someone ran “hello reset”, or the store lost its data.
      Numbers that were given before may appear again.`);
  epoch = message.epoch;
  readings = [];
}

function showStore(message) {
  const name = STORES[store] ?? "Redis";
  find("store-lamp").classList.toggle("on", message.state === "up");
  write(find("store"), `${name}: ${STATES[message.state]}`);
  warn("trouble", {
    up: "",
    starting: `The store has not answered yet: ${name}. Visitors wait.`,
    lost: `The store is not answering: ${name}. Visitors wait, or get an error; no number is made up.`,
    distrusted: `Counting has stopped: ${message.reason}. Someone must run “hello reset”.`,
  }[message.state]);
  if (message.state === "up" && (state === "lost" || state === "distrusted")) tell("The store is back.");
  state = message.state;
  find("alone").hidden = store !== "memory";
  write(find("alone-pod"), message.pod);
  showStale();
}

function showStale() {
  find("live").classList.toggle("stale", link === "broken" || state !== "up");
}
