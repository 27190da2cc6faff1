// Visits from this page. Each is a square with its pod's letter and colour.

const VISITS = 100;
const AT_ONCE = 4; // a browser opens six connections to a server, and the stream holds one of them
const EVERY = 100; // milliseconds between visits of "Keep visiting"
const SLOW = 1000; // milliseconds; a slower visit is drawn as long as it took
const SQUARES = 300;

const given = new Map(); // pods and epochs by number
const twice = new Set();

// After a reset a number may come again, except from pods that count separately, each in an epoch of its own.
function receive(count, pod, epoch) {
  const others = given.get(count) ?? [];
  const same = others.find((other) => other.epoch === epoch || store === "memory");
  if (same) twice.add(`Number ${number(count)} came twice: from ${same.pod} and from ${pod}.`);
  given.set(count, [...others, { pod, epoch }]);
}

// The server closes the connection after each visit: a kept one would stay with its pod.
async function ask() {
  const { status, headers, body } = await get("", { "Hello-Connection": "close" });
  if (status !== 200) throw new Error(status);
  return { ...JSON.parse(body), version: headers.get("Hello-Version") ?? "" };
}

// ---- a series ----

let series;

function beginSeries() {
  series = { made: 0, lost: 0, underWay: 0, gap: 0, waiting: undefined, lowest: Infinity, highest: 0, pods: new Map(), marks: new Map() };
  find("squares").replaceChildren();
  find("visits").hidden = false;
  find("marks").replaceChildren();
  write(find("visited"), "");
  find("visited").classList.remove("wrong");
  find("visit").disabled = true;
}

async function visit() {
  const square = add(find("squares"), "i");
  const began = performance.now();
  if (find("squares").children.length > SQUARES) find("squares").firstChild.remove();
  series.made++;
  series.underWay++;
  series.waiting ??= began;
  const answer = await ask().catch(() => undefined);
  const now = performance.now();
  series.underWay--;
  if (answer) {
    series.gap = Math.max(series.gap, now - series.waiting);
    series.waiting = series.underWay ? now : undefined;
    count(answer);
  } else series.lost++;
  draw(square, answer, now - began);
  showSeries();
}

function count({ count, pod, epoch, version }) {
  receive(count, pod, epoch);
  learn({ pod, version });
  series.lowest = Math.min(series.lowest, count);
  series.highest = Math.max(series.highest, count);
  series.pods.set(pod, (series.pods.get(pod) ?? 0) + 1);
  if (series.marks.has(version)) return;
  series.marks.set(version, series.marks.size % 4);
  showMarks();
}

function draw(square, answer, took) {
  const { colour, letter } = answer ? face(answer.pod) : { colour: "lost", letter: "×" };
  const mark = answer ? `mark${series.marks.get(answer.version)}` : "";
  square.className = `${colour} ${mark} ${took > SLOW ? "slow" : ""}`;
  square.textContent = took > SLOW ? `${letter} ${(took / 1000).toFixed(1)} s` : letter;
  square.title = answer ? `visitor ${answer.count}, ${answer.pod} ${answer.version}` : "no number";
  if (took > SLOW) square.style.width = `${Math.max(4, 1.15 * Math.min(15, took / 1000))}rem`;
}

// The legend of versions, once there are several.
function showMarks() {
  if (series.marks.size < 2) return;
  find("marks").replaceChildren();
  for (const [version, mark] of series.marks) {
    const entry = add(find("marks"), "span");
    add(entry, "i", `face mark${mark}`);
    entry.append(`version ${version || "unknown"}`);
  }
}

// The gap is the longest time with visits under way and no answer.
function showSeries() {
  const gap = Math.max(series.gap, performance.now() - (series.waiting ?? Infinity));
  write(find("made"), number(series.made));
  write(find("answered"), number(series.made - series.lost - series.underWay));
  write(find("lost"), number(series.lost));
  write(find("gap"), `${(gap / 1000).toFixed(1)} s`);
}

function showVerdict() {
  const visits = (n) => `${number(n)} ${n === 1 ? "visit" : "visits"}`;
  const answered = series.made - series.lost;
  const spread = [...series.pods].map(([pod, n]) => `${number(n)} by ${pod}`).join(", ");
  const counted = answered
    ? `${visits(answered)} got the numbers ${number(series.lowest)} to ${number(series.highest)}: ${spread}.` : "";
  const lost = series.lost ? `${number(series.lost)} got no number.` : "";
  const verdict = twice.size ? [...twice].slice(0, 3).join(" ") : answered ? "No number came twice." : "";
  find("visited").classList.toggle("wrong", twice.size > 0);
  write(find("visited"), [counted, lost, verdict].filter(Boolean).join(" "));
}

// ---- the buttons ----

let keeping = false;

const rest = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function visitWhile(more, every) {
  beginSeries();
  const clock = setInterval(showSeries, EVERY);
  let next = performance.now();
  const come = async () => {
    while (more()) {
      const now = performance.now();
      const pause = next - now;
      next = Math.max(next, now) + every;
      if (pause > 0) await rest(pause);
      if (more()) await visit();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, come));
  clearInterval(clock);
  showSeries();
  showVerdict();
  find("visit").disabled = find("keep").disabled = false;
}

find("visit").addEventListener("click", () => {
  find("keep").disabled = true;
  visitWhile(() => series.made < VISITS, 0);
});

find("keep").addEventListener("click", async () => {
  keeping = !keeping;
  find("keep").disabled = !keeping; // until the visits under way are answered
  if (!keeping) return;
  write(find("keep"), "Stop visiting");
  await visitWhile(() => keeping, EVERY);
  write(find("keep"), "Keep visiting");
});

addEventListener("pagehide", () => (keeping = false));
