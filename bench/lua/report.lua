-- What the bench reads of a run: one line after wrk's own report.
-- requests, bytes read, microseconds, answers that are not 2xx or 3xx, socket errors, median and
-- 99th percentile of the latency in microseconds
done = function(summary, latency)
  local errors = summary.errors
  local sockets = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("bench %d %d %d %d %d %d %d\n", summary.requests, summary.bytes,
    summary.duration, errors.status, sockets, latency:percentile(50), latency:percentile(99)))
end
