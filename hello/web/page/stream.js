// The live stream, one for all windows of this browser: over HTTP/1.1 it has six connections to a server, and a seventh
// window could not even load. A window that hears of no stream opens one and tells the others; of two, one gives way.

const SILENCE = 5000; // a message comes each second: after so many milliseconds without one the stream is broken

// Behind a proxy's prefix this page may be at /prefix or at /prefix/: the stream is below it.
const EVENTS = location.pathname.replace(/\/?$/, "/events");

const rank = Math.random();
let channel;
let stream; // if it is this window that has it
let latest; // what it told last: a message, null if it is broken, undefined if it has told nothing yet
let alarm;
let sender; // the pod that it comes from
let broken = false;

function watch() {
  leave();
  channel = new BroadcastChannel(EVENTS);
  channel.onmessage = ({ data }) => hear(data);
  channel.postMessage({ word: "who has it?" });
  wake(open, 100 + 100 * Math.random());
}

function leave() {
  clearTimeout(alarm);
  if (stream) channel.postMessage({ word: "it ends" });
  giveWay();
  channel?.close();
}

function wake(step, milliseconds) {
  clearTimeout(alarm);
  alarm = setTimeout(step, milliseconds);
}

function hear({ word, from, message }) {
  if (word === "who has it?") {
    if (stream) channel.postMessage({ word: "I", from: rank, message: latest });
  } else if (word === "it ends") {
    if (!stream) wake(open, 200 * Math.random());
  } else if (!stream || from < rank) {
    giveWay();
    take(message);
    wake(open, SILENCE + 1000 + 1000 * Math.random());
  }
}

function giveWay() {
  stream?.close();
  stream = undefined;
}

function open() {
  stream = new EventSource(EVENTS);
  stream.onerror = openAgain;
  stream.onmessage = ({ data }) => {
    wake(openAgain, SILENCE);
    pass(JSON.parse(data));
  };
  wake(openAgain, SILENCE);
  pass(undefined);
}

// The browser would try again by itself, but not after a 503, and all browsers in the same moment.
function openAgain() {
  stream.close();
  wake(open, 500 + 1000 * Math.random());
  pass(null);
}

function pass(message) {
  latest = message;
  channel.postMessage({ word: "I", from: rank, message });
  take(message);
}

function take(message) {
  if (message) show(message);
  else if (message === null) {
    if (sender && !broken) tell(`The stream from ${sender} broke off: looking for another pod.`);
    showStream(true);
  }
}

function showStream(isBroken) {
  broken = isBroken;
  find("stream-lamp").classList.toggle("on", !broken);
  write(find("stream"), broken ? "connecting again" : `live from ${sender}`);
  showStale();
}

// A page that is not seen does not watch: a browser keeps no page for "back" that has something open.
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : watch()));
