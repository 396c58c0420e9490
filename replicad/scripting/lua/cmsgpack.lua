-- The library `cmsgpack`: Lua values as MessagePack and back.
--
-- What differs from other MessagePack libraries and is kept: a double that is a whole number is packed as an integer and
-- one that loses nothing as a single; tables deeper than 16 levels and what has no form of its own become nil; binary
-- and extension types cannot be read; unsigned 64-bit integers are read as signed ones.

local shared, floats = ...
local fail, argument_error, export, to_int64 = shared.fail, shared.argument_error, shared.export, shared.to_int64
local fail_nowhere, text_argument, number_argument = shared.fail_nowhere, shared.text, shared.number
local optional_integer, to_int32 = shared.optional_integer, shared.to_int32
local byte, char, format, sub, concat = string.byte, string.char, string.format, string.sub, table.concat
local floor, next, select, type, unpack = math.floor, next, select, type, unpack

local DEEPEST_PACKED, DEEPEST_UNPACKED, MOST_ARGUMENTS, MOST_RESULTS = 16, 3999, 4000, 7997

local function two_bytes(number) return char(floor(number / 2^8), number % 256) end

local function four_bytes(number)
  return char(floor(number / 2^24), floor(number / 2^16) % 256, floor(number / 2^8) % 256, number % 256)
end

local function eight_bytes(number) return four_bytes(floor(number / 2^32) % 2^32) .. four_bytes(number % 2^32) end

local function pack_integer(number)
  if number >= 0 then
    if number < 2^7 then return char(number) end
    if number < 2^8 then return "\204" .. char(number) end
    if number < 2^16 then return "\205" .. two_bytes(number) end
    if number < 2^32 then return "\206" .. four_bytes(number) end
    return "\207" .. eight_bytes(number)
  end
  if number >= -32 then return char(number + 2^8) end
  if number >= -2^7 then return "\208" .. char(number + 2^8) end
  if number >= -2^15 then return "\209" .. two_bytes(number + 2^16) end
  if number >= -2^31 then return "\210" .. four_bytes(number + 2^32) end
  return "\211" .. eight_bytes(number)
end

local function pack_number(number)
  if number >= -2^63 and number < 2^63 and floor(number) == number then return pack_integer(number) end
  if floats.fits_single(number) then return "\202" .. four_bytes(floats.to_single(number)) end
  local high, low = floats.to_double(number)
  return "\203" .. four_bytes(high) .. four_bytes(low)
end

local function string_head(length)
  if length < 32 then return char(160 + length) end
  if length < 2^8 then return "\217" .. char(length) end
  if length < 2^16 then return "\218" .. two_bytes(length) end
  return "\219" .. four_bytes(length)
end

-- `short` is the type of up to 15 items, `long` the one whose count has two bytes.
local function container_head(length, short, long)
  if length < 16 then return char(short + length) end
  if length < 2^16 then return char(long) .. two_bytes(length) end
  return char(long + 1) .. four_bytes(length)
end

-- The number of items, and whether the keys are just 1, 2, 3, ...
local function measure(value)
  local count, greatest, is_array = 0, 0, true
  for key in next, value do
    count = count + 1
    if type(key) ~= "number" or key <= 0 or floor(key) ~= key then
      is_array = false
    elseif key > greatest then
      greatest = key
    end
  end
  return count, is_array and greatest == count
end

-- Appends the packed value to the pieces in `out`, of which there are `count`; returns the new count.
local function pack_value(out, count, value, level)
  local kind = type(value)
  if kind == "string" then
    out[count + 1] = string_head(#value)
    out[count + 2] = value
    return count + 2
  elseif kind == "number" then
    out[count + 1] = pack_number(value)
  elseif kind == "boolean" then
    out[count + 1] = value and "\195" or "\194"
  elseif kind == "table" and level < DEEPEST_PACKED then
    local length, is_array = measure(value)
    out[count + 1] = is_array and container_head(length, 144, 220) or container_head(length, 128, 222)
    count = count + 1
    if is_array then
      for index = 1, length do count = pack_value(out, count, value[index], level + 1) end
    else
      for key, item in next, value do
        count = pack_value(out, count, key, level + 1)
        count = pack_value(out, count, item, level + 1)
      end
    end
    return count
  else
    out[count + 1] = "\192"
  end
  return count + 1
end

-- Reading. Every reader takes the text and a position and returns a value and the position behind it.

local function missing() fail("Missing bytes in input.") end

-- An unsigned integer of up to four bytes.
local function unsigned(text, at, size)
  if at + size - 1 > #text then missing() end
  local a, b, c, d = byte(text, at, at + size - 1)
  if size == 1 then return a end
  if size == 2 then return a * 2^8 + b end
  return a * 2^24 + b * 2^16 + c * 2^8 + d
end

local function signed(text, at, size)
  local number = unsigned(text, at, size)
  local limit = 2^(size * 8 - 1)
  return number >= limit and number - 2 * limit or number
end

local function long(text, at)
  if at + 7 > #text then missing() end
  return signed(text, at, 4) * 2^32 + unsigned(text, at + 4, 4), at + 8
end

local function take(text, at, length)
  if at + length - 1 > #text then missing() end
  return sub(text, at, at + length - 1), at + length
end

local unpack_value

local function take_array(text, at, length, depth)
  local array = {}
  if depth > DEEPEST_UNPACKED then fail("stack overflow (in function mp_decode_to_lua_array)") end
  for index = 1, length do
    array[index], at = unpack_value(text, at, depth)
  end
  return array, at
end

local function take_map(text, at, length, depth)
  local map = {}
  if depth > DEEPEST_UNPACKED then
    fail("stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)")
  end
  for _ = 1, length do
    local key, value
    key, at = unpack_value(text, at, depth)
    value, at = unpack_value(text, at, depth)
    if key == nil then fail_nowhere("table index is nil") end
    if key ~= key then fail_nowhere("table index is NaN") end
    map[key] = value
  end
  return map, at
end

local READERS = {
  [192] = function(_, at) return nil, at end,
  [194] = function(_, at) return false, at end,
  [195] = function(_, at) return true, at end,
  [202] = function(text, at) return floats.from_single(unsigned(text, at, 4)), at + 4 end,
  [203] = function(text, at)
    if at + 7 > #text then missing() end
    return floats.from_double(unsigned(text, at, 4), unsigned(text, at + 4, 4)), at + 8
  end,
  [204] = function(text, at) return unsigned(text, at, 1), at + 1 end,
  [205] = function(text, at) return unsigned(text, at, 2), at + 2 end,
  [206] = function(text, at) return unsigned(text, at, 4), at + 4 end,
  [207] = long,
  [208] = function(text, at) return signed(text, at, 1), at + 1 end,
  [209] = function(text, at) return signed(text, at, 2), at + 2 end,
  [210] = function(text, at) return signed(text, at, 4), at + 4 end,
  [211] = long,
}
for kind, size in next, { [217] = 1, [218] = 2, [219] = 4 } do
  READERS[kind] = function(text, at)
    local value, stop = take(text, at + size, unsigned(text, at, size))
    return value, stop
  end
end
for kind, size in next, { [220] = 2, [221] = 4 } do
  READERS[kind] = function(text, at, depth)
    local value, stop = take_array(text, at + size, unsigned(text, at, size), depth + 1)
    return value, stop
  end
  READERS[kind + 2] = function(text, at, depth)
    local value, stop = take_map(text, at + size, unsigned(text, at, size), depth + 1)
    return value, stop
  end
end

function unpack_value(text, at, depth)
  local kind = byte(text, at)
  if not kind then missing() end
  if kind < 128 then return kind, at + 1 end
  if kind >= 224 then return kind - 256, at + 1 end
  local value, stop
  if kind < 144 then
    value, stop = take_map(text, at + 1, kind - 128, depth + 1)
  elseif kind < 160 then
    value, stop = take_array(text, at + 1, kind - 144, depth + 1)
  elseif kind < 192 then
    value, stop = take(text, at + 1, kind - 160)
  else
    local reader = READERS[kind]
    if not reader then fail("Bad data format in input.") end
    value, stop = reader(text, at + 1, depth)
  end
  return value, stop
end

-- `limit` and `offset` of zero mean everything, without an offset among the results.
local function unpack_some(text, limit, offset)
  if offset < 0 or limit < 0 then
    fail(format("Invalid request to unpack with offset of %d and limit of %d.", to_int32(offset), #text))
  elseif offset > #text then
    fail(format("Start offset %d greater than input length %d.", to_int32(offset), #text))
  end
  local everything = limit == 0 and offset == 0
  local results, count, at = {}, 0, offset + 1
  while at <= #text and (everything or count < limit) do
    if count >= MOST_RESULTS then
      fail("stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)")
    end
    count = count + 1
    results[count], at = unpack_value(text, at, 0)
  end
  if everything then return unpack(results, 1, count) end
  return at > #text and -1 or at - 1, unpack(results, 1, count)
end

local cmsgpack = { _NAME = "cmsgpack", _VERSION = "lua-cmsgpack 0.4.0",
  _COPYRIGHT = "Copyright (C) 2012, Salvatore Sanfilippo", _DESCRIPTION = "MessagePack C implementation for Lua" }

function cmsgpack.pack(...)
  local given = select("#", ...)
  if given == 0 then argument_error(0, "MessagePack pack needs input.") end
  if given > MOST_ARGUMENTS then argument_error(0, "Too many arguments for MessagePack pack.") end
  local out, count = {}, 0
  local arguments = { ... }
  for index = 1, given do
    count = pack_value(out, count, arguments[index], 0)
  end
  return concat(out)
end

-- The calls of `unpack_some` are no tail calls: these frames must be there when it fails.
local function results_of(...) return ... end

function cmsgpack.unpack(...)
  return results_of(unpack_some(text_argument(1, select("#", ...), (...)), 0, 0))
end

function cmsgpack.unpack_one(...)
  local given = select("#", ...)
  local text, offset = ...
  offset = optional_integer(2, given, offset, 0)
  return results_of(unpack_some(text_argument(1, given, text), 1, offset))
end

function cmsgpack.unpack_limit(...)
  local given = select("#", ...)
  local text, limit, offset = ...
  limit = to_int64(number_argument(2, given, limit))
  offset = optional_integer(3, given, offset, 0)
  return results_of(unpack_some(text_argument(1, given, text), limit, offset))
end

return export(cmsgpack)
