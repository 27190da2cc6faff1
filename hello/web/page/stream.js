// The live stream. Behind a proxy that buffers it, the page polls the count instead.

const SILENCE = 5000; // milliseconds without a message, of which there is one a second, until the stream counts as broken
const POLL = 2000; // milliseconds between requests for the count
const LONGEST_PAUSE = 60_000; // milliseconds between attempts to open the stream
const MOST_PODS = 10; // shown without a stream, since the count does not say which are gone

let stream;
let opened;
let failures = 0; // consecutive
let poller;
let link = "connecting"; // or "live", "polling", "broken"
let sender; // of the last message

function openStream() {
  stream?.close();
  opened = performance.now();
  wake(giveUp, SILENCE);
  if (!poller) pollAfter(SILENCE);
  if (!window.EventSource) return;
  stream = new EventSource(`${BASE}events`);
  stream.onmessage = receiveMessage;
  stream.addEventListener("end", openStream);
  stream.onerror = breakOff;
}

function closeStream() {
  stream?.close();
  clearTimeout(poller);
  stream = poller = undefined;
}

function receiveMessage({ data }) {
  if (performance.now() - opened > 2 * SILENCE) failures = 0;
  wake(breakOff, SILENCE);
  pollAfter(SILENCE);
  pass(JSON.parse(data));
}

// If a proxy holds the stream back, each attempt occupies a place on the server until that stream ends.
function giveUp() {
  failures += 3;
  breakOff();
}

// A browser's own retries stop after a 503, come at the same moment as everyone else's, and never get rarer.
function breakOff() {
  stream?.close();
  wake(openStream, (0.5 + Math.random()) * Math.min(1000 * 2 ** failures++, LONGEST_PAUSE));
  if (!latest?.polled) pass(null);
}

function pollAfter(milliseconds) {
  clearTimeout(poller);
  poller = setTimeout(poll, milliseconds);
}

async function poll() {
  const current = poller;
  const message = await readCount().catch(() => null);
  if (poller !== current) return; // meanwhile the stream is back, or another window leads
  pollAfter(POLL);
  pass(message);
}

// What the count knows of a message of the stream.
async function readCount() {
  const { status, headers, body } = await get(`${BASE}count`);
  const message = { polled: true, pod: headers.get("Hello-Pod") ?? sender };
  if (status === 503 && headers.has("Retry-After")) return { ...message, state: "lost" };
  const { count, epoch, pods } = JSON.parse(body);
  const shares = Object.entries(pods).map(([pod, count]) => ({ pod, count, gone: rows.get(pod)?.gone ?? false }));
  shares.sort((a, b) => b.count - a.count);
  const earlier = shares.splice(MOST_PODS).reduce((sum, share) => sum + share.count, 0);
  return { ...message, state: "up", count, epoch, pods: shares, earlier };
}

function take(message) {
  if (message) show(message);
  else if (message === null) {
    if (link === "live") tell(`The stream from ${sender} broke off: looking for another pod.`);
    showLink("broken");
  }
}

function showLink(name) {
  link = name;
  find("stream-lamp").classList.toggle("on", link === "live");
  write(find("stream"), { live: `live from ${sender}`, polling: "no live stream: asking every 2 s", broken: "reconnecting" }[link]);
  showStale();
}
