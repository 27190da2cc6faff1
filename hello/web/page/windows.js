// One window of a browser leads: it has the live stream, and tells the others what it hears. Over HTTP/1.1 a browser has
// six connections to a server, so with a stream for each window a seventh could not even load. Of two leaders, the later
// one resigns.

let channel;
let leads = false;
let since; // when it began to lead
let latest; // what the leader told last: a message, null if the stream is broken, undefined if there was nothing yet
let alarm;

function watch() {
  channel = openChannel();
  lead();
}

// Firefox throws where cookies are blocked, and Safari has this since 15.4. Without it, each window has its own stream.
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

// A page that nobody sees does not watch: a browser keeps no page for "back" that has a connection open.
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : watch()));
