-- Spreads wrk's threads over the ports in $PORTS, and tells what wrk measured as one line of JSON.
local ports, threads = {}, 0
for port in string.gmatch(os.getenv("PORTS"), "%d+") do ports[#ports + 1] = port end

function setup(thread)
  thread.addr = wrk.lookup("127.0.0.1", ports[threads % #ports + 1])[1]
  threads = threads + 1
end

function done(summary, latency)
  local failed, errors = summary.errors.status, summary.errors
  io.write(string.format('{"requests": %d, "failed": %d, "broken": %d, "seconds": %f, "p99": %f}\n',
    summary.requests - failed, failed, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(99) / 1e3))
end
