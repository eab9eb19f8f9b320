-- Drives wrk at the chat route, and ends with 1 where an answer was no success:
--
--   wrk -t2 -c64 -d10s --latency -s test.lua http://127.0.0.1:3000
--
-- TOKEN, MODEL and STREAM=1 in the environment say as whom, what, and whether as a stream; without them it asks
-- the demo of scripts/run.sh. Figures that compare gateways come from scripts/benchmark.sh.

local token = os.getenv("TOKEN") or "berry-demo-token"
local model = os.getenv("MODEL") or "demo"
local stream = os.getenv("STREAM") == "1" and "true" or "false"

wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["Authorization"] = "Bearer " .. token
wrk.headers["Content-Type"] = "application/json"
wrk.body = string.format('{"model":"%s","stream":%s,"messages":[{"role":"user","content":"Hello"}]}', model, stream)

-- wrk counts what failed but ends well all the same.
function done(summary)
    local errors = summary.errors
    if errors.status + errors.connect + errors.read + errors.write + errors.timeout > 0 or summary.requests == 0 then
        os.exit(1)
    end
end
