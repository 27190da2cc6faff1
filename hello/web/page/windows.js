// One window of a browser leads: it has the live stream and passes the messages on. Over HTTP/1.1 a browser opens six
// connections to a server, so with a stream for each, a seventh window could not load. Of two leaders, the later resigns.

let channel;
let leads = false;
let since; // when it began to lead
let latest; // from the leader: a message, null if the stream is broken, undefined at first
let alarm;

function watch() {
  channel = openChannel();
  lead();
}

// Firefox throws if cookies are blocked, and Safari before 15.4 lacks it. Then each window has its own stream.
function openChannel() {
  try {
    const opened = new BroadcastChannel(`${BASE}events`);
    opened.onmessage = ({ data }) => hear(data);
    return opened;
  } catch {
    return undefined;
  }
}

function leave() {
  if (leads) say("it leaves");
  resign();
  channel?.close();
}

function say(word) {
  channel?.postMessage({ word, since, message: latest });
}

function wake(step, milliseconds) {
  clearTimeout(alarm);
  alarm = setTimeout(step, milliseconds);
}

function hear(said) {
  if (said.word === "it leaves") {
    if (!leads) wake(lead, 200 * Math.random());
  } else if (leads && since < said.since) {
    say("I lead");
  } else {
    resign();
    take(said.message);
    wake(lead, SILENCE + 1000 + 1000 * Math.random());
  }
}

function lead() {
  leads = true;
  since = Date.now() + Math.random();
  latest = undefined;
  say("I lead");
  openStream();
}

function resign() {
  leads = false;
  clearTimeout(alarm);
  closeStream();
}

function pass(message) {
  latest = message;
  say("I lead");
  take(message);
}

// A hidden page does not watch: browsers keep no page with an open connection for the back button.
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : watch()));
