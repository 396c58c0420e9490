-- What a script sees, and the only code that stands between it and the host.
--
-- Loaded once for each runtime with the host's functions as arguments; returns what the host calls. Scripts get one
-- shared environment of read-only tables. Nothing of the host is reachable from there: its functions are upvalues of the
-- functions below, and `debug`, `getfenv`, `os`, `io`, `package`, `require`, `python` and the like are in no table.
--
-- Memory. While a script runs the allocator has a limit, and an allocation above it is an error that Lua can catch.
-- The host's conversions of arguments and results must not meet that error: it would jump over their frames. So each
-- call of the host stands between `lift` and `restrict` or `fits`. These and `tick` take and return nothing that allocates.
--
-- Frames of this file count as functions written in C do in Redis: errors name the line of the script that called.

local lift, restrict, fits, tick, host_call, host_acl_check, host_log, host_sha1, host_set_repl, host_set_resp, flatten,
  libraries = ...

local debug_sethook, getinfo = debug.sethook, debug.getinfo
local assert, error, getmetatable, load, loadstring, next, pairs, pcall, rawequal, rawget, rawset, select, setfenv =
  assert, error, getmetatable, load, loadstring, next, pairs, pcall, rawequal, rawget, rawset, select, setfenv
local setmetatable, tonumber, tostring, type, unpack, xpcall = setmetatable, tonumber, tostring, type, unpack, xpcall
local collectgarbage = collectgarbage
local byte, dump, find, format, gsub, match, sub =
  string.byte, string.dump, string.find, string.format, string.gsub, string.match, string.sub
local concat, floor = table.concat, math.floor
local create, resume, running = coroutine.create, coroutine.resume, coroutine.running
local string_metatable = getmetatable("")

-- The chunks whose frames count as functions in C.
local OWN = { ["=sandbox"] = true, ["@arguments.lua"] = true, ["@bits.lua"] = true, ["@cjson.lua"] = true,
  ["@cmsgpack.lua"] = true, ["@floats.lua"] = true, ["@structs.lua"] = true }
local TICK = 10000  -- instructions between two looks at the clock: 0.1 ms, unless they call costly functions
local LONGEST_PATTERN = 10000  -- the matcher recurses on the C stack once for each item of a pattern
local MOST_SLOTS = 7995  -- of Lua's stack: Redis takes one for an array in an array and three for a map or a set
local READ_ONLY = "Attempt to modify a readonly table"
local KILLED = "ERR Script killed by user with SCRIPT KILL..."

-- Stopping a script.

local stopping = false  -- the script is to end: nobody catches anything any more

local function hook()
  if tick() then
    stopping = true
    debug_sethook(hook, "", 1)  -- from now on each instruction, so that no pcall can swallow the end for long
    error({ err = KILLED }, 0)
  end
end

debug_sethook(hook, "", TICK)  -- for good: setting it for each script takes a twentieth of what a small one costs

-- Read-only tables: an empty table in front of the real one.

local contents = setmetatable({}, { __mode = "k" })  -- front -> what is behind it
local shown = setmetatable({}, { __mode = "k" })  -- front -> its metatable as scripts see it, if any
local fronts = {}

local function refuse()
  error(READ_ONLY, 2)
end

local function read_only(behind, metatable)
  local front = {}
  contents[front], shown[front] = behind, metatable
  fronts[#fronts + 1] = front
  return setmetatable(front, { __index = behind, __newindex = refuse })
end

-- The environment.

local globals = {}
local environment = {}
contents[environment] = globals
fronts[#fronts + 1] = environment

local function missing(_, name)
  local kind = type(name)
  name = (kind == "string" or kind == "number") and tostring(name) or "(null)"
  error("Script attempted to access nonexistent global variable '" .. name .. "'", 2)
end
setmetatable(globals, { __index = missing })
setmetatable(environment, { __index = globals, __newindex = refuse })
shown[environment] = read_only({ __index = missing })

local shown_string_metatable = read_only({})

-- Errors.

-- Only the host's own defects would come as userdata; a script shall not hold them.
local null = libraries.cjson and libraries.cjson.null
local function harmless(err)
  if type(err) == "userdata" and not rawequal(err, null) then return "internal error" end
  return err
end

-- Adds to an error the place in the script where it was raised, for the reply. `level` is that of the function that
-- raised it, seen from here.
local function with_place(err, level)
  err = harmless(err)
  local info = getinfo(level, "Sl")
  if info and info.what == "C" then
    level = level + 1
    info = getinfo(level, "Sl")
  end
  while info and (OWN[info.source] or info.what == "tail") do
    level = level + 1
    info = getinfo(level, "Sl")
  end
  if type(err) ~= "table" then err = { err = "ERR " .. tostring(err) } end
  if info and info.what ~= "C" then
    rawset(err, "source", info.source)
    rawset(err, "line", info.currentline)
  end
  return err
end

-- The handler of the outermost call: the script ends here, so nothing shall stop the sandbox from reporting it.
local function last_error(err)
  stopping = false
  debug_sethook(hook, "", TICK)
  err = with_place(err, 3)
  return err
end

-- As a function of Redis's library would: the error is the table, and the line comes from `with_place`.
local function raise(text)
  error({ err = text }, 0)
end

-- Called by the function that the script called.
local function argument_error(index, expected, count, value)
  local got = index > count and "no value" or type(value)
  local name = getinfo(2, "n").name or "?"
  error(format("bad argument #%d to '%s' (%s expected, got %s)", index, name, expected, got), 3)
end

-- Lua's own functions, with what read-only tables and the memory limit ask for.

local function settle(ok, ...)
  if ok then return true, ... end
  if stopping then error({ err = KILLED }, 0) end
  local err = harmless((...))
  if type(err) == "table" then
    local text = rawget(err, "err")
    if type(text) == "string" then return false, text end
  end
  return false, err
end

local function safe_pcall(...)
  if select("#", ...) == 0 then return false, "attempt to call a nil value" end
  return settle(pcall(...))
end

-- The handler is called when the frames of the error are gone, not before: an error that the hook raises, or that comes
-- up while it begins, calls handlers with hooks switched off, and one that loops could never be stopped.  Scripts have no
-- `debug` to see the difference with.
local function handled(handler, ok, ...)
  if ok then return true, ... end
  if stopping then error({ err = KILLED }, 0) end
  local fine, value = pcall(handler, harmless((...)))
  if fine then return false, value end
  return false, "error in error handling"
end

local function safe_xpcall(...)
  if select("#", ...) < 2 then error("bad argument #2 to 'xpcall' (value expected)", 2) end
  local fn, handler = ...
  return handled(handler, pcall(fn))
end

local function safe_next(...)
  local t, key = ...
  if type(t) ~= "table" then argument_error(1, "table", select("#", ...), t) end
  return next(contents[t] or t, key)
end

local function safe_pairs(...)
  local t = ...
  if type(t) ~= "table" then argument_error(1, "table", select("#", ...), t) end
  if contents[t] then return safe_next, t, nil end  -- never what is behind it: `pairs` hands it to the script
  return next, t, nil
end

local function safe_getmetatable(...)
  if select("#", ...) == 0 then error("bad argument #1 to 'getmetatable' (value expected)", 2) end
  local value = ...
  if type(value) == "string" then return shown_string_metatable end
  if type(value) == "userdata" then return nil end  -- cjson.null, which is a light one in Redis
  if type(value) == "table" and contents[value] then return shown[value] end
  return getmetatable(value)
end

local function safe_setmetatable(...)
  local t, metatable = ...
  local count = select("#", ...)
  if type(t) ~= "table" then argument_error(1, "table", count, t) end
  if count < 2 or (metatable ~= nil and type(metatable) ~= "table") then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
  end
  if contents[t] then error(READ_ONLY, 0) end
  local old = getmetatable(t)
  if type(old) == "table" and rawget(old, "__metatable") ~= nil or (old ~= nil and type(old) ~= "table") then
    error("cannot change a protected metatable", 2)
  end
  return setmetatable(t, metatable)
end

local function safe_rawget(...)
  local t, key = ...
  local count = select("#", ...)
  if type(t) ~= "table" then argument_error(1, "table", count, t) end
  if count < 2 then error("bad argument #2 to 'rawget' (value expected)", 2) end
  return rawget(contents[t] or t, key)
end

local function safe_rawset(...)
  local t, key, value = ...
  local count = select("#", ...)
  if type(t) ~= "table" then argument_error(1, "table", count, t) end
  if count < 3 then error(format("bad argument #%d to 'rawset' (value expected)", count + 1), 2) end
  if contents[t] then error(READ_ONLY, 0) end
  if key == nil then error("table index is nil", 0) end
  if key ~= key then error("table index is NaN", 0) end
  return rawset(t, key, value)
end

-- Never bytecode: the virtual machine trusts it blindly.  All code of scripts and libraries is compiled here.
local function compile_text(text, name)
  if byte(text, 1) == 27 then
    local _, err = loadstring("\1", name)
    return nil, (gsub(err, "char%(1%)", "char(27)"))
  end
  return loadstring(text, name)
end

local function safe_loadstring(...)
  local text, name = ...
  local count = select("#", ...)
  if type(text) == "number" then text = tostring(text) end
  if type(text) ~= "string" then argument_error(1, "string", count, text) end
  if name ~= nil and type(name) ~= "string" and type(name) ~= "number" then
    argument_error(2, "string", count, name)
  end
  name = name ~= nil and tostring(name) or text
  local fn, err = compile_text(text, name)
  if not fn then return nil, err end
  return setfenv(fn, environment)
end

local function safe_load(...)
  local reader, name = ...
  local count = select("#", ...)
  if type(reader) ~= "function" then argument_error(1, "function", count, reader) end
  local pieces = {}
  while true do
    local piece = reader()
    if piece == nil or piece == "" then break end
    if type(piece) ~= "string" and type(piece) ~= "number" then return nil, "reader function must return a string" end
    pieces[#pieces + 1] = piece
  end
  return safe_loadstring(concat(pieces), name ~= nil and name or "=(load)")
end

-- A hook belongs to one coroutine.
local function hooked(fn, name)
  if type(fn) ~= "function" then error("bad argument #1 to '" .. name .. "' (Lua function expected)", 3) end
  local thread = create(fn)
  debug_sethook(thread, hook, "", TICK)
  return thread
end

local function safe_create(fn)
  return hooked(fn, "create")
end

-- The hook of a coroutine that was stopped went with it, and that of its creator may be far from its next look.
local function resumed(ok, ...)
  if ok then return true, ... end
  if stopping then error({ err = KILLED }, 0) end
  return false, harmless((...))
end

local function safe_resume(...)
  if type((...)) ~= "thread" then error("bad argument #1 to 'resume' (coroutine expected)", 2) end
  return resumed(resume(...))
end

local function unwrapped(ok, ...)
  if ok then return ... end
  if stopping then error({ err = KILLED }, 0) end
  error(harmless((...)), 3)
end

local function safe_wrap(fn)
  local thread = hooked(fn, "wrap")
  return function(...)
    return unwrapped(resume(thread, ...))
  end
end

local COLLECTOR = { stop = 1, restart = 1, collect = 1, count = 1, step = 1, setpause = 1, setstepmul = 1 }
local collector_used = false
local function safe_collectgarbage(...)
  local option, number = ...
  option = option == nil and "collect" or option
  if type(option) ~= "string" then argument_error(1, "string", 1, option) end
  if not COLLECTOR[option] then
    error("bad argument #1 to 'collectgarbage' (invalid option '" .. option .. "')", 2)
  end
  collector_used = true
  return collectgarbage(option, tonumber(number) or 0)
end

-- An error that a function in C found itself has no place when the sandbox called it, and names the wrong function.
-- Called by the function that the script called; raises.
local function raise_as_own(err)
  if type(err) ~= "string" or err == "not enough memory" or find(err, "^[^\n]-:%d+: ") then error(err, 0) end
  local index, rest = match(err, "^bad argument #(%d+) to '.-' (.*)$")
  if index then
    local caller = getinfo(3, "n")
    local name = caller.name or "?"
    if caller.namewhat == "method" then index = index - 1 end
    if index == 0 then
      err = "calling '" .. name .. "' on bad self " .. rest
    else
      err = "bad argument #" .. index .. " to '" .. name .. "' " .. rest
    end
  end
  error(err, 4)
end

local function results(ok, ...)
  if ok then return ... end
  raise_as_own((...))
end

local function with_short_patterns(fn)
  return function(...)
    local _, pattern = ...
    if type(pattern) == "string" and #pattern > LONGEST_PATTERN then error("pattern too complex", 2) end
    return results(pcall(fn, ...))
  end
end

-- The generator of pseudo random numbers is drand48's: 48 bits, of which 31 come out. Three limbs of 16 bits keep every
-- product exact in a double.

local r0, r1, r2 = 0x330E, 0xABCD, 0x1234
local M0, M1, M2, CARRY = 0xE66D, 0xDEEC, 0x5, 0xB

local function random_bits()
  local low = r0 * M0 + CARRY
  local middle = floor(low / 65536) + r1 * M0 + r0 * M1
  local high = floor(middle / 65536) + r2 * M0 + r1 * M1 + r0 * M2
  r0, r1, r2 = low % 65536, middle % 65536, high % 65536
  return r2 * 32768 + floor(r1 / 2)
end

local function whole(number)
  return number < 0 and -floor(-number) or floor(number)
end

local function random(...)
  local count = select("#", ...)
  local low, high = ...
  local fraction = (random_bits() % 2147483647) / 2147483647
  if count == 0 then return fraction end
  if count == 1 then
    high = whole(tonumber(low) or argument_error(1, "number", count, low))
    if high < 1 then error("bad argument #1 to 'random' (interval is empty)", 2) end
    return floor(fraction * high) + 1
  end
  if count > 2 then error("wrong number of arguments", 2) end
  low = whole(tonumber(low) or argument_error(1, "number", count, low))
  high = whole(tonumber(high) or argument_error(2, "number", count, high))
  if low > high then error("bad argument #2 to 'random' (interval is empty)", 2) end
  return floor(fraction * (high - low + 1)) + low
end

local function randomseed(...)
  local seed = tonumber((...)) or argument_error(1, "number", select("#", ...), (...))
  seed = whole(seed) % 4294967296
  r0, r1, r2 = 0x330E, seed % 65536, floor(seed / 65536)
end

-- The library `redis`.

local script_resp, client_resp = 2, 2

-- A reply came in while nothing limited memory, and there is too much of it now.  Without this a script that keeps the
-- collector from running and catches its errors takes the memory of the machine, one reply after the other.
-- Nothing limits memory before `restrict`: above the limit not even a function could be called.
local function make_room()
  collectgarbage()
  if tick() then
    stopping = true
    debug_sethook(hook, "", 1)
  end
  if not fits() then
    restrict()
    error("not enough memory", 0)
  end
end

local function call(...)
  if select("#", ...) == 0 then raise("ERR Please specify at least one argument for this redis lib call") end
  lift()
  local reply, text, more = host_call(...)
  if not fits() then make_room() end
  if more then
    if not text then return { ok = more } end
    error({ err = text, ignore_error_stats_update = true }, 0)
  end
  if text then error({ err = text }, 0) end
  return reply
end

local function redis_pcall(...)
  if select("#", ...) == 0 then return { err = "ERR Please specify at least one argument for this redis lib call" } end
  lift()
  local reply, text, more = host_call(...)
  if not fits() then make_room() end
  if more then
    if not text then return { ok = more } end
    return { err = text, ignore_error_stats_update = true }
  end
  if text then return { err = text } end
  return reply
end

local WRONG = "ERR wrong number or type of arguments"

local function is_text(value)
  return type(value) == "string" or type(value) == "number"
end

local function error_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then return { err = WRONG } end
  text = gsub(text, "[\r\n]+$", "")
  if sub(text, 1, 1) == "-" then text = sub(text, 2) end
  if not find(text, " ", 1, true) then return { err = "ERR " .. text } end
  return { err = text }
end

local function status_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then return { err = WRONG } end
  return { ok = text }
end

local function log(...)
  local count = select("#", ...)
  if count < 2 then raise("ERR redis.log() requires two arguments or more.") end
  local level = ...
  if type(tonumber(level)) ~= "number" or type(level) == "boolean" then
    raise("ERR First argument must be a number (log level).")
  end
  level = whole(tonumber(level))
  if level < 0 or level > 3 then raise("ERR Invalid debug level.") end
  local parts = {}
  for index = 2, count do
    local part = select(index, ...)
    if is_text(part) then parts[#parts + 1] = tostring(part) end
  end
  local line = concat(parts, " ")
  lift()
  host_log(level, line)
  restrict()
end

local function sha1hex(...)
  if select("#", ...) ~= 1 then raise("ERR wrong number of arguments") end
  local text = ...
  text = is_text(text) and tostring(text) or ""
  lift()
  local digest = host_sha1(text)
  restrict()
  return digest
end

local function setresp(...)
  if select("#", ...) ~= 1 then raise("ERR redis.setresp() requires one argument.") end
  local version = whole(tonumber((...)) or 0)
  if version ~= 2 and version ~= 3 then raise("ERR RESP version must be 2 or 3.") end
  script_resp = version
  lift()
  host_set_resp(version)
  restrict()
end

local function set_repl(...)
  if select("#", ...) ~= 1 then raise("ERR redis.set_repl() requires two arguments.") end
  local flags = whole(tonumber((...)) or 0)
  if flags < 0 or flags > 3 then
    raise("ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
  end
  lift()
  host_set_repl(flags)
  restrict()
end

local function acl_check_cmd(...)
  if select("#", ...) == 0 then raise("ERR Please specify at least one argument for this redis lib call") end
  lift()
  local allowed, text = host_acl_check(...)
  restrict()
  if text then raise(text) end
  return allowed
end

local function own_error_handler(err)
  err = with_place(err, 3)
  return err
end

local redis = {
  call = call, pcall = redis_pcall, log = log, sha1hex = sha1hex, error_reply = error_reply,
  status_reply = status_reply, setresp = setresp, set_repl = set_repl, acl_check_cmd = acl_check_cmd,
  replicate_commands = function() return true end,
  breakpoint = function() return false end,
  debug = function() end,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
  REDIS_VERSION = libraries.version, REDIS_VERSION_NUM = libraries.version_number,
}

-- Filling the environment.

local function copied(library, replaced)
  local copy = {}
  for name, value in pairs(library) do copy[name] = value end
  for name, value in pairs(replaced) do copy[name] = value end
  return copy
end

for _, name in pairs({ "assert", "error", "gcinfo", "ipairs", "rawequal", "select", "tonumber", "tostring", "type",
  "unpack", "_VERSION" }) do
  globals[name] = _G[name]
end
globals._G = environment
globals.__redis__err__handler = own_error_handler
globals.collectgarbage, globals.getmetatable, globals.load = safe_collectgarbage, safe_getmetatable, safe_load
globals.loadstring, globals.next, globals.pairs, globals.pcall = safe_loadstring, safe_next, safe_pairs, safe_pcall
globals.rawget, globals.rawset, globals.setmetatable = safe_rawget, safe_rawset, safe_setmetatable
globals.xpcall = safe_xpcall

local strings = copied(string, {
  find = with_short_patterns(string.find), match = with_short_patterns(string.match),
  gmatch = with_short_patterns(string.gmatch), gfind = with_short_patterns(string.gfind),
  gsub = with_short_patterns(string.gsub),
})
globals.redis, globals.string = read_only(redis), read_only(strings)
globals.table, globals.math = read_only(copied(table, {})), read_only(copied(math, { random = random, randomseed = randomseed }))
globals.coroutine = read_only(copied(coroutine, { create = safe_create, resume = safe_resume, wrap = safe_wrap }))
for _, name in pairs({ "bit", "cjson", "cmsgpack", "struct" }) do
  if libraries[name] then globals[name] = read_only(libraries[name]) end
end
rawset(contents[shown_string_metatable], "__index", globals.string)
string_metatable.__index = strings

-- Replies: a Lua value as the bytes of RESP.

local out, filled = {}, 0

local function put(text)
  filled = filled + 1
  out[filled] = text
end

local function put_null()
  put(client_resp == 3 and "_\r\n" or "$-1\r\n")
end

local function put_bulk(text)
  put("$" .. #text .. "\r\n" .. text .. "\r\n")
end

local function c_string(text)
  return match(text, "^[^%z]*")
end

local function one_line(text)
  return (gsub(text, "[\r\n]", " "))
end

local put_value

local function put_pairs(map, slots)
  local count = 0
  for _ in next, map do count = count + 1 end
  put(client_resp == 3 and "%" .. count .. "\r\n" or "*" .. 2 * count .. "\r\n")
  for key, value in next, map do
    put_value(key, slots)
    put_value(value, slots)
  end
end

local function put_members(set, slots)
  local count = 0
  for _ in next, set do count = count + 1 end
  put((client_resp == 3 and "~" or "*") .. count .. "\r\n")
  for key in next, set do put_value(key, slots) end
end

local function put_verbatim(parts)
  local kind, text = rawget(parts, "format"), rawget(parts, "string")
  if type(kind) ~= "string" or type(text) ~= "string" then return false end
  if client_resp == 3 then
    put("=" .. #text + 4 .. "\r\n" .. sub(kind .. "   ", 1, 3) .. ":" .. text .. "\r\n")
  else
    put_bulk(text)
  end
  return true
end

-- Whether `t` is one of the tables that stand for a type of RESP; if so it is put.
local function put_typed(t, slots)
  local value = rawget(t, "err")
  if type(value) == "string" then
    put("-" .. one_line((gsub(c_string(value), "[\r\n]+$", ""))) .. "\r\n")
    return true
  end
  value = rawget(t, "ok")
  if type(value) == "string" then
    put("+" .. one_line(c_string(value)) .. "\r\n")
    return true
  end
  value = rawget(t, "double")
  if type(value) == "number" then
    local text = format("%.17g", value)
    if client_resp == 3 then put("," .. text .. "\r\n") else put_bulk(text) end
    return true
  end
  value = rawget(t, "map")
  if type(value) == "table" then
    put_pairs(value, slots + 3)
    return true
  end
  value = rawget(t, "set")
  if type(value) == "table" then
    put_members(value, slots + 3)
    return true
  end
  value = rawget(t, "big_number")
  if type(value) == "string" then
    value = one_line(value)
    if client_resp == 3 then put("(" .. value .. "\r\n") else put_bulk(value) end
    return true
  end
  value = rawget(t, "verbatim_string")
  return type(value) == "table" and put_verbatim(value)
end

-- Arrays are put here, not in a function of their own: Lua allows 20,000 frames, and this is one for each depth.
function put_value(value, slots)
  if slots >= MOST_SLOTS then return put("-ERR reached lua stack limit\r\n") end
  local kind = type(value)
  if kind == "string" then
    put_bulk(value)
  elseif kind == "number" then
    put(format(":%d\r\n", value))
  elseif kind == "table" then
    if put_typed(value, slots) then return end
    local head = filled + 1
    filled = head
    local count = 0
    while true do
      local item = rawget(value, count + 1)
      if item == nil then break end
      count = count + 1
      put_value(item, slots + 1)
    end
    out[head] = "*" .. format("%d", count) .. "\r\n"
  elseif kind == "boolean" then
    if script_resp == 3 then
      put(client_resp == 3 and (value and "#t\r\n" or "#f\r\n") or (value and ":1\r\n" or ":0\r\n"))
    elseif value then
      put(":1\r\n")
    else
      put_null()
    end
  else
    put_null()
  end
end

local function encoded(value)
  out, filled = {}, 0
  put_value(value, 0)
  local text = concat(out, "", 1, filled)
  out = {}
  return text
end

local returned  -- what the script returned, for a function without arguments: a closure would need memory

local function encoded_result()
  return encoded(returned)
end

-- What the host calls. It does so with the limit lifted, and gets strings, numbers, booleans and nil.

-- Returns the function and nil, or nil and the error.
local function compile(text, name)
  local fn, err = compile_text(text, name)
  if not fn then return nil, err end
  fn = loadstring(flatten(dump(fn)), name)
  return setfenv(fn, environment), nil
end

local function clean()
  for index = 1, #fronts do
    local front = fronts[index]
    while next(front) ~= nil do rawset(front, next(front), nil) end
  end
  if collector_used then
    collector_used = false
    collectgarbage("restart")
    collectgarbage("setpause", 200)
    collectgarbage("setstepmul", 200)
  end
end

-- Runs `fn` with the keys and arguments that follow, of which `key_count` are keys (nil: they are two tables), and returns: true, a string; true, a number; true, nil, the encoded reply, three times nil, whether it is an
-- error that was counted already; or false, the error's text, its
-- source, its line, whether it was counted already.
local function run(fn, resp, key_count, ...)
  if key_count == 0 then
    globals.KEYS, globals.ARGV = {}, { ... }
  elseif key_count == 1 then
    globals.KEYS, globals.ARGV = { (...) }, { select(2, ...) }
  elseif key_count then
    local keys, all, argv = {}, { ... }, {}
    for index = 1, key_count do keys[index] = all[index] end
    for index = key_count + 1, #all do argv[index - key_count] = all[index] end
    globals.KEYS, globals.ARGV = keys, argv
  else
    globals.KEYS, globals.ARGV = ...
  end
  script_resp, client_resp = 2, resp
  stopping = false
  restrict()
  local ok, value = xpcall(fn, last_error)
  local reply, counted
  if ok then
    local kind = type(value)
    if kind ~= "string" and kind ~= "number" then
      if kind == "table" then counted = rawget(value, "ignore_error_stats_update") and true or nil end
      returned = value
      ok, value = xpcall(encoded_result, last_error)  -- a table that holds itself twice may be stopped here, too
      returned = nil
      if ok then reply, value = value, nil end
    end
  end
  lift()
  clean()
  if ok then return true, value, reply, nil, nil, nil, counted end
  if type(value) ~= "table" then return false, "ERR " .. tostring(value) end
  local text, source, line = rawget(value, "err"), rawget(value, "source"), rawget(value, "line")
  if type(text) ~= "string" then text = "ERR unknown error" end
  return false, text, source, line, rawget(value, "ignore_error_stats_update") and true or nil
end

return compile, run, globals, read_only, clean
