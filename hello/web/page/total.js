// The total and the rate.

function showTotal(message) {
  write(find("total"), number(message.count));
  write(find("rate"), perSecond(rate((reading) => reading.count)));
  const now = readings[readings.length - 1].at;
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

// Over the last five seconds, so that it does not flicker.
function rate(count) {
  const last = readings[readings.length - 1];
  const first = readings.find(({ at }) => at > last.at - 5500);
  return first === last ? 0 : (1000 * (count(last) - count(first))) / (last.at - first.at);
}
