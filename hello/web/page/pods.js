// Pods. Each keeps a letter and one of eight colours, which not everybody can tell apart.

const faces = new Map();
const versions = new Map(); // by pod, if known
const known = new Set();
const arrivals = new Map(); // when each new pod first appeared
const rows = new Map();

function face(pod) {
  if (!faces.has(pod)) faces.set(pod, { colour: `pod${faces.size % 8}`, letter: String.fromCharCode(65 + (faces.size % 26)) });
  return faces.get(pod);
}

function learn({ pod, version }) {
  if (version) versions.set(pod, version);
}

function showPods({ pods, earlier }) {
  const first = !rows.size;
  const lines = [...pods].sort((a, b) => a.gone - b.gone || (a.pod < b.pod ? -1 : 1));
  if (earlier) lines.push({ pod: "other pods", count: earlier, gone: true });
  for (const [pod, row] of rows)
    if (!lines.some((line) => line.pod === pod)) {
      row.line.remove();
      rows.delete(pod);
    }
  const all = lines.reduce((sum, { count }) => sum + count, 0);
  lines.forEach((line, place) => {
    const row = rows.get(line.pod) ?? makeRow(line, first);
    if (find("pods").children[place] !== row.line) find("pods").insertBefore(row.line, find("pods").children[place]);
    fillRow(row, line, all ? line.count / all : 0);
  });
}

function makeRow({ pod, gone }, first) {
  if (!first && !gone && !known.has(pod)) {
    tell(`Pod ${pod} is new.`);
    arrivals.set(pod, performance.now());
  }
  const line = document.createElement("tr");
  known.add(pod);
  const { colour, letter } = face(pod);
  line.className = colour;
  const head = add(line, "th");
  head.scope = "row";
  add(head, "i", "face", letter).setAttribute("aria-hidden", "true");
  add(head, "span", "pod", pod);
  const tags = ["greeted you", "new", "gone", ""].map((text) => add(head, "span", "tag", text));
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
  const version = versions.get(pod) ?? "";
  write(row.tags[3], version);
  [pod === greeter, isNew && !gone, gone, version].forEach((holds, i) => (row.tags[i].hidden = !holds));
  row.bar.style.width = `${100 * share}%`;
  const perPod = rate(({ shares }) => shares.get(pod) ?? count);
  [number(count), `${(100 * share).toFixed(1)} %`, gone ? "–" : perSecond(perPod)].forEach((text, i) => write(row.cells[i], text));
}
