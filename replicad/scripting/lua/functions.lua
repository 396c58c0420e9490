-- Libraries of functions: what a library sees while it is loaded, and how one of its functions is called.
--
-- Loaded behind the sandbox, in an interpreter of its own, with the sandbox's insides as arguments; returns what the host
-- calls. While a library is loaded, the one environment of all code shows nothing but a small `redis`; afterwards it shows
-- everything, without KEYS and ARGV, which functions get as arguments.

local globals, read_only = ...

local error, lower, match, next, rawget, select, tostring, type =
  error, string.lower, string.match, next, rawget, select, tostring, type
local concat = table.concat

local FLAGS = { "no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys" }

local visible = getmetatable(globals._G)
local missing = getmetatable(globals).__index
local redis = getmetatable(globals.redis).__index
local registered, count  -- what the library that is being loaded has registered so far, nil at other times

-- As a function of Redis's library would: the error is the table, without a place.
local function raise(text)
  error({ err = "ERR " .. text }, 0)
end

local function is_text(value)
  return type(value) == "string" or type(value) == "number"
end

local function read_flags(given)
  if type(given) ~= "table" then
    raise("flags argument to redis.register_function must be a table representing function flags")
  end
  local set = {}
  local index = 1
  while rawget(given, index) ~= nil do
    local word = rawget(given, index)
    word = is_text(word) and lower(tostring(word)) or ""
    local known = false
    for _, flag in next, FLAGS do known = known or flag == word end
    if not known then raise("unknown flag given") end
    set[word] = true
    index = index + 1
  end
  local words = {}
  for _, flag in next, FLAGS do
    if set[flag] then words[#words + 1] = flag end
  end
  return concat(words, " ")
end

local function named_arguments(given)
  local name, callback, description, flags = nil, nil, nil, ""
  for key, value in next, given do
    if not is_text(key) then raise("named argument key given to redis.register_function is not a string") end
    key = lower(tostring(key))
    if key == "function_name" then
      if not is_text(value) then raise("function_name argument given to redis.register_function must be a string") end
      name = tostring(value)
    elseif key == "description" then
      if not is_text(value) then raise("description argument given to redis.register_function must be a string") end
      description = tostring(value)
    elseif key == "callback" then
      if type(value) ~= "function" then raise("callback argument given to redis.register_function must be a function") end
      callback = value
    elseif key == "flags" then
      flags = read_flags(value)
    else
      raise("unknown argument given to redis.register_function")
    end
  end
  if not name then raise("redis.register_function must get a function name argument") end
  if not callback then raise("redis.register_function must get a callback argument") end
  return name, callback, description, flags
end

local function two_arguments(name, callback)
  if not is_text(name) then raise("first argument to redis.register_function must be a string") end
  if type(callback) ~= "function" then raise("second argument to redis.register_function must be a function") end
  return tostring(name), callback, nil, ""
end

local function register_function(...)
  if not registered then raise("redis.register_function can only be called on FUNCTION LOAD command") end
  local given = select("#", ...)
  if given < 1 or given > 2 then raise("wrong number of arguments to redis.register_function") end
  local name, callback, description, flags
  if given == 2 then
    name, callback, description, flags = two_arguments(...)
  elseif type((...)) == "table" then
    name, callback, description, flags = named_arguments((...))
  else
    raise("calling redis.register_function with a single argument is only applicable to Lua table (representing named "
      .. "arguments).")
  end
  if not match(name, "^[A-Za-z0-9_]+$") then
    raise("Library names can only contain letters, numbers, or underscores(_) and must be at least one character long")
  end
  for index = 1, count do
    if registered[index].name == name then raise("Function already exists in the library") end
  end
  count = count + 1
  registered[count] = { name = name, callback = callback, description = description, flags = flags }
end

local while_loading = { register_function = register_function, log = redis.log }
for name, value in next, redis do
  if match(name, "^LOG_") or match(name, "^REDIS_") then while_loading[name] = value end
end
setmetatable(while_loading, { __index = missing })
local all_while_loading = setmetatable({ redis = read_only(while_loading) }, { __index = missing })

redis.replicate_commands, redis.breakpoint, redis.debug = nil, nil, nil
globals.__redis__err__handler = nil

-- What the host calls; nothing limits memory then.

local function begin()
  registered, count = {}, 0
  visible.__index = all_while_loading
end

-- Returns the functions that were registered: a function to ask for each, and their number.
local function finish()
  local found, number = registered, count
  registered, count = nil, nil
  visible.__index = globals
  return function(index)
    local one = found[index]
    return one.name, one.callback, one.flags, one.description
  end, number
end

-- A call of `callback` as a function without arguments, which is what the sandbox runs.
local function bind(callback, keys, arguments)
  return function()
    globals.KEYS, globals.ARGV = nil, nil
    return callback(keys, arguments)
  end
end

return begin, finish, bind
