-- For wrk: asks for many paths in turn, at a pace if wanted, and prints what it found as one line of JSON.
--
-- BENCH_PATHS: a file with one path a line; without it wrk asks for the one in its URL, without calling Lua at all.
-- BENCH_DELAY: milliseconds that a connection waits before each request, in the mean, for a load of a fixed rate. Each
-- wait is random each time: with one length for all the connections would go on asking at the same moments.

local paths = os.getenv("BENCH_PATHS")
local pause = tonumber(os.getenv("BENCH_DELAY") or "")

if paths then
    local requests, count, turn = {}, 0, 0

    function init()
        for path in io.lines(paths) do
            count = count + 1
            requests[count] = wrk.format("GET", path)
        end
    end

    function request()
        turn = turn % count + 1
        return requests[turn]
    end
end

if pause then
    function delay()
        return math.random(0, 2 * pause)
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        'BENCH {"requests": %d, "microseconds": %d, "bytes": %d, "connect": %d, "read": %d, "write": %d, ' ..
        '"status": %d, "timeout": %d, "p50": %d, "p99": %d, "max": %d}\n',
        summary.requests, summary.duration, summary.bytes, errors.connect, errors.read, errors.write,
        errors.status, errors.timeout, latency:percentile(50), latency:percentile(99), latency.max))
end
