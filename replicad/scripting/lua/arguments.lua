-- What the libraries share: the checks of arguments and the errors, with the words and the places that functions
-- written in C would give.
--
-- An error names the line of the script that called the library, however deep in the library it was found: `fail` walks
-- up to the function that was exported. The name in "bad argument #1 to 'encode'" is the one at the place of the call
-- (a local's, a field's), which only `debug.getinfo` knows; scripts themselves never see `debug`.

local getinfo, error, next, type, tonumber, tostring = debug.getinfo, error, next, type, tonumber, tostring
local floor, format = math.floor, string.format

local shared = {}

-- The functions that scripts can call. Weak: `cjson.new` makes functions that may go again.
local exported = setmetatable({}, { __mode = "k" })

function shared.export(library)
  for _, value in next, library do
    if type(value) == "function" then exported[value] = true end
  end
  return library
end

-- The level of the exported function, as seen from the caller of this function.
local function entry_level()
  local level = 3
  local info = getinfo(level, "f")
  while info and not exported[info.func] do
    level = level + 1
    info = getinfo(level, "f")
  end
  return level - 1
end

local function fail(message)
  error(message, entry_level() + 1)
end
shared.fail = fail

local function argument_error(index, message)
  local level = entry_level()
  local call = getinfo(level, "n")
  local name = call.name or "?"
  if call.namewhat == "method" then
    index = index - 1
    if index == 0 then
      error("calling '" .. name .. "' on bad self (" .. message .. ")", level + 1)
    end
  end
  error(format("bad argument #%d to '%s' (%s)", index, name, message), level + 1)
end
shared.argument_error = argument_error

-- `count` is how many arguments there are: what lies behind them is "no value", not nil.
local function wrong_type(index, count, value, expected)
  argument_error(index, expected .. " expected, got " .. (index > count and "no value" or type(value)))
end

function shared.number(index, count, value)
  if type(value) == "number" then return value end
  local number = type(value) == "string" and tonumber(value)
  if not number then wrong_type(index, count, value, "number") end
  return number
end

function shared.text(index, count, value)
  if type(value) == "string" then return value end
  if type(value) ~= "number" then wrong_type(index, count, value, "string") end
  return tostring(value)
end

-- A number as a C cast to a 64-bit integer leaves it.
local function to_int64(number)
  if number >= -2^63 and number < 2^63 then
    return number < 0 and -floor(-number) or floor(number)
  end
  return -2^63
end
shared.to_int64 = to_int64

function shared.to_int32(number)
  local low = to_int64(number) % 2^32
  return low >= 2^31 and low - 2^32 or low
end

function shared.optional_integer(index, count, value, default)
  if value == nil then return default end
  return to_int64(shared.number(index, count, value))
end

-- What Lua itself finds wrong inside a function in C has no place.
function shared.fail_nowhere(message)
  error(message, 0)
end

return shared
