-- What a script finds in the table `wrk`, beside what the program itself puts there (scheme, host, port, path, headers,
-- lookup, connect). The table that this chunk returns is the program's: how it calls the hooks.

local wrk = wrk

wrk.method = "GET"

-- The value of the automatic Host header.
local function authority()
   local host = wrk.host
   if string.find(host, ":", 1, true) then
      host = "[" .. host .. "]"
   end
   return wrk.port and host .. ":" .. wrk.port or host
end

-- A request's bytes. What is nil is taken from `wrk`. `headers` is changed: it gets the Host of wrk.headers unless it
-- has one, and the length of the body, or none.
function wrk.format(method, path, headers, body)
   method, path = method or wrk.method, path or wrk.path
   headers, body = headers or wrk.headers, body or wrk.body
   if not headers["Host"] then
      headers["Host"] = wrk.headers["Host"]
   end
   headers["Content-Length"] = body and #tostring(body) or nil
   local lines, count = { string.format("%s %s HTTP/1.1", method, path) }, 1
   for name, value in pairs(headers) do
      count = count + 1
      lines[count] = string.format("%s: %s", name, value)
   end
   lines[count + 1] = ""
   lines[count + 2] = body and tostring(body) or ""
   return table.concat(lines, "\r\n")
end

-- The addresses of wrk.host that accept a connection.
function wrk.resolve(host, service)
   local accepting = {}
   for _, address in ipairs(wrk.lookup(host, service)) do
      if wrk.connect(address) then
         table.insert(accepting, address)
      end
   end
   wrk.addrs = accepting
end

-- Runs in the main state, once for each thread.
function wrk.setup(thread)
   thread.addr = wrk.addrs[1]
   if type(setup) == "function" then
      setup(thread)
   end
end

-- Runs in each thread's state, before it starts.
function wrk.init(args)
   if not wrk.headers["Host"] then
      wrk.headers["Host"] = authority()
   end
   if type(init) == "function" then
      init(args)
   end
   local fixed = wrk.format()
   function wrk.request()
      return fixed
   end
end

local hooks = {}

-- A script may put another function into a hook's place at any time; hence the look at the global each time.
function hooks.request()
   return request()
end

function hooks.delay()
   return delay()
end

-- The headers come as one string, each name and each value ended by a NUL.
function hooks.response(status, fields, body)
   local headers = {}
   for name, value in string.gmatch(fields, "([^%z]*)%z([^%z]*)%z") do
      headers[name] = value
   end
   return response(status, headers, body)
end

function hooks.wants()
   return type(request) == "function", type(response) == "function", type(delay) == "function"
end

-- Runs in the main state, after the report.
function hooks.done(summary, latency, requests)
   if type(done) == "function" then
      done(summary, latency, requests)
   end
end

-- Prints and writes of all states go through one buffer, which is the C library's and not the program's.
hooks.flush = io.flush

return hooks
